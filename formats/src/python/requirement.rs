//! One requirement: `NAME[EXTRA,…] VERSIONS; MARKER`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use build_graph::untrusted::printable;
use pep440_rs::{Operator, Version, VersionSpecifiers};

use super::Unreadable;
use super::marker::Marker;
use super::names::ProjectName;

/// The longest requirement that is read, in bytes.
pub const MAX_LENGTH: usize = 64 << 10;

/// What is required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The project.
    pub project: ProjectName,
    /// Which of its extras.
    pub extras: BTreeSet<ProjectName>,
    /// Which of its versions, or where it is.
    pub what: Wanted,
    /// When it is required.
    pub marker: Option<Marker>,
}

/// Which distribution of a project is required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// One of these versions; any, if there are no specifiers.
    Versions(VersionSpecifiers),
    /// The one at this URL.
    Url(String),
}

impl Requirement {
    /// Whether a version fulfils it. Pre-releases do, as their number says.
    pub fn takes(&self, version: &Version) -> bool {
        match &self.what {
            Wanted::Versions(versions) => versions.contains(version),
            Wanted::Url(_) => false,
        }
    }

    /// The one version that it pins by `==` or `===`; `None` if it leaves a choice.
    pub fn pinned(&self) -> Option<&Version> {
        let Wanted::Versions(versions) = &self.what else { return None };
        let mut versions = versions.iter();
        let only = versions.next().filter(|_| versions.next().is_none())?;
        matches!(only.operator(), Operator::Equal | Operator::ExactEqual).then(|| only.version())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.project)?;
        if !self.extras.is_empty() {
            let extras: Vec<_> = self.extras.iter().map(ProjectName::as_str).collect();
            write!(f, "[{}]", extras.join(","))?;
        }
        match &self.what {
            Wanted::Versions(versions) => write!(f, "{}", versions.to_string().replace(' ', "")),
            Wanted::Url(url) => write!(f, " @ {}", printable(url)),
        }
    }
}

impl FromStr for Requirement {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        if text.len() > MAX_LENGTH {
            return Err(Unreadable::new(format!("a requirement has more than {MAX_LENGTH} bytes")));
        }
        let mut cursor = Cursor::new(text);
        cursor.blanks();
        let project = ProjectName::new(cursor.word())?;
        cursor.blanks();
        let extras = extras(&mut cursor)?;
        cursor.blanks();
        let what = wanted(&mut cursor)?;
        cursor.blanks();
        let marker = match cursor.takes(";") {
            true => Some(Marker::parse(&mut cursor)?),
            false => None,
        };
        match cursor.is_at_end() {
            true => Ok(Self { project, extras, what, marker }),
            false => Err(cursor.error("the end of the requirement or `;`")),
        }
    }
}

fn extras(cursor: &mut Cursor<'_>) -> Result<BTreeSet<ProjectName>, Unreadable> {
    let mut extras = BTreeSet::new();
    if !cursor.takes("[") {
        return Ok(extras);
    }
    let inside = cursor.until("]").ok_or_else(|| cursor.error("`]`"))?;
    for extra in inside.split(',').map(str::trim).filter(|extra| !extra.is_empty()) {
        extras.insert(ProjectName::new(extra)?);
    }
    Ok(extras)
}

fn wanted(cursor: &mut Cursor<'_>) -> Result<Wanted, Unreadable> {
    if cursor.takes("@") {
        cursor.blanks();
        // A URL ends with a blank; `;` may be part of it.
        let url = cursor.take_while(|char| !char.is_whitespace());
        return Ok(Wanted::Url(url.to_owned()));
    }
    let text = match cursor.takes("(") {
        true => cursor.until(")").ok_or_else(|| cursor.error("`)`"))?,
        false => cursor.take_while(|char| char != ';'),
    };
    let text = text.trim();
    let malformed = |_| Unreadable::new(format!("`{}` says no versions", printable(text)));
    // A comma may end the list.
    let list = text.strip_suffix(',').unwrap_or(text);
    if list.len() > 4096 {
        return Err(Unreadable::new("a requirement has more than 4096 bytes of versions"));
    }
    Ok(Wanted::Versions(VersionSpecifiers::from_str(list).map_err(malformed)?))
}

/// A place in a text.
pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Goes on behind this text, if it is next.
    pub(super) fn takes(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Goes on behind this word, if it is the next one.
    pub(super) fn takes_word(&mut self, word: &str) -> bool {
        let mut ahead = Self { rest: self.rest };
        if ahead.word() != word {
            return false;
        }
        self.rest = ahead.rest;
        true
    }

    /// The next word: letters, digits, `-`, `_` and `.`.
    pub(super) fn word(&mut self) -> &'a str {
        self.take_while(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
    }

    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|char| !wanted(char)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// What stands before this text, behind which it goes on; `None` if it does not come.
    pub(super) fn until(&mut self, end: &str) -> Option<&'a str> {
        let (before, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(before)
    }

    pub(super) fn error(&self, expected: &str) -> Unreadable {
        let rest: String = self.rest.chars().take(40).collect();
        match rest.is_empty() {
            true => Unreadable::new(format!("it ends where {expected} should be")),
            false => Unreadable::new(format!("`{}` stands where {expected} should be", printable(&rest))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Requirement {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn requirements() {
        for (text, shown) in [
            ("MarkupSafe>=2.0", "markupsafe>=2.0"),
            ("requests [security, tests] >= 2.8.1, == 2.8.*", "requests[security,tests]==2.8.*,>=2.8.1"),
            ("a(>1,<2)", "a>1,<2"),
            ("a (>1) ; python_version > '3'", "a>1"),
            ("a", "a"),
            ("a;os_name=='x'", "a"),
            ("a @ https://example.org/a.whl#sha256=1;2 ; os_name == 'x'", "a @ https://example.org/a.whl#sha256=1;2"),
        ] {
            assert_eq!(read(text).to_string(), shown, "{text}");
        }
        for text in ["", "-a", "a >> 1", "a [x", "a (>1", "a >1 b", "a @ u x", "a; ", "a = 1", "a==1==2", "ä"] {
            assert!(text.parse::<Requirement>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_that_fulfil_it() {
        let takes = |text: &str, version: &str| read(text).takes(&version.parse().unwrap());
        assert!(takes("a>=2,<3", "2.31"));
        assert!(!takes("a>=2,<3", "3"));
        assert!(takes("a", "1"));
        assert!(!takes("a @ https://example.org/a.whl", "1"));
        assert_eq!(read("a==1.0").pinned().unwrap().to_string(), "1.0");
        assert_eq!(read("a===1.0").pinned().unwrap().to_string(), "1.0");
        for text in ["a", "a>=1", "a==1.*", "a==1,<2", "a @ x"] {
            assert_eq!(read(text).pinned(), None, "{text}");
        }
    }
}
