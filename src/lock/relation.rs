//! Relations between packages: `a (>= 1) | b, c` (Debian Policy, 7.1).

use std::cmp::Ordering;

use super::version::compare;

/// One alternative: a name, and which versions will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) name: String,
    pub(super) version: Option<(String, String)>,
}

impl Relation {
    /// Parses `NAME[:ARCH] [(OPERATOR VERSION)]`.
    pub(super) fn parse(text: &str) -> Self {
        let (name, version) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.trim_end().trim_end_matches(')').trim())),
            None => (text, None),
        };
        let name = name.split(':').next().unwrap_or_default().trim().to_owned();
        let version = version.map(|text| {
            let at = text.find(|c| !"<>=".contains(c)).unwrap_or(text.len());
            (text[..at].to_owned(), text[at..].trim().to_owned())
        });
        Self { name, version }
    }

    /// Whether this version will do; `None`: a virtual package without a version, which does where
    /// none is asked for.
    pub(super) fn allows(&self, version: Option<&str>) -> bool {
        let Some((operator, wanted)) = &self.version else { return true };
        let Some(version) = version else { return false };
        let order = compare(version, wanted);
        match operator.as_str() {
            ">=" | ">" => order != Ordering::Less,
            "<=" | "<" => order != Ordering::Greater,
            "=" => order == Ordering::Equal,
            ">>" => order == Ordering::Greater,
            "<<" => order == Ordering::Less,
            _ => false,
        }
    }
}

/// The relations of a field: all of the outer list, any of each inner one.
pub(super) fn relations(field: &str) -> Vec<Vec<Relation>> {
    let groups = field.split(',').map(str::trim).filter(|group| !group.is_empty());
    groups.map(|group| group.split('|').map(Relation::parse).collect()).collect()
}

impl std::fmt::Display for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.version {
            Some((operator, version)) => write!(f, "{} ({operator} {version})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_of_a_field() {
        let found = relations("libc6 (>= 2.36), python3:any | a (= 1:2-3),\nb");
        assert_eq!(found.len(), 3);
        assert_eq!(found[1][0].name, "python3");
        assert_eq!(found[1][1].to_string(), "a (= 1:2-3)");
        assert!(found[0][0].allows(Some("2.36-9+deb12u13")));
        assert!(!found[0][0].allows(Some("2.31")));
        assert!(!found[0][0].allows(None));
        assert!(found[2][0].allows(None));
        for (relation, version, allows) in
            [("a (<< 2)", "2", false), ("a (<< 2)", "2~", true), ("a (>> 2)", "2", false), ("a (<= 2)", "2", true)]
        {
            assert_eq!(Relation::parse(relation).allows(Some(version)), allows, "{relation} {version}");
        }
    }
}
