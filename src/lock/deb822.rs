//! Paragraphs of fields: the format of Debian's indices (deb822(5)).

use std::collections::HashMap;

/// One paragraph: field names in lower case, with their values; lines of a value are joined by line feeds.
pub(super) type Paragraph = HashMap<String, String>;

/// The paragraphs of an index.
pub(super) fn paragraphs(text: &str) -> impl Iterator<Item = Paragraph> {
    text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()).map(fields)
}

fn fields(paragraph: &str) -> Paragraph {
    let mut fields = HashMap::new();
    let mut last: Option<String> = None;
    for line in paragraph.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some(value) = last.as_ref().and_then(|name| fields.get_mut(name)) {
                let value: &mut String = value;
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            let name = name.to_ascii_lowercase();
            fields.insert(name.clone(), value.trim().to_owned());
            last = Some(name);
        }
    }
    fields
}

/// The lines `HASH SIZE NAME` of a field of checksums.
pub(super) fn checksums(value: &str) -> impl Iterator<Item = (&str, u64, &str)> {
    value.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?.parse().ok()?, words.next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_may_go_on() {
        let text = "Package: a\nDepends: b,\n c\n\nPackage: d\nChecksums-Sha256:\n ab 12 d.tar\n cd 3 d.dsc\n";
        let found: Vec<_> = paragraphs(text).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["depends"], "b,\nc");
        let sums: Vec<_> = checksums(&found[1]["checksums-sha256"]).collect();
        assert_eq!(sums, [("ab", 12, "d.tar"), ("cd", 3, "d.dsc")]);
    }
}
