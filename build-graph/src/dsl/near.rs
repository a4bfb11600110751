//! What somebody may have meant who wrote a name that is not there.

/// More names than this are not listed.
const MAX_LISTED: usize = 12;
/// Names less alike than this are not taken for one another.
const LEAST_SIMILARITY: f64 = 0.8;

/// Returns the end of a message about a name that is none of these: the one that is most like it,
/// or all of them.
pub(super) fn near<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    let similarity = |other: &str| strsim::jaro_winkler(name, other);
    let best = names.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    match best {
        None => "; there is none".to_owned(),
        Some(best) if similarity(best) >= LEAST_SIMILARITY => format!("; did you mean `{best}`?"),
        Some(_) => {
            let more = match names.len().saturating_sub(MAX_LISTED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            names.truncate(MAX_LISTED);
            format!("; there are {}{more}", names.join(", "))
        }
    }
}
