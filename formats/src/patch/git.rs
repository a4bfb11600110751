//! git's headers of files (git-diff(1), "Generating patch text with -p").

use build_graph::RelPath;
use build_graph::untrusted::printable;

use super::foreign::BINARY;
use super::names::{self, PREFIX, Side};
use super::parse::{AGAIN, Change, shown};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Regular,
    Executable,
    Link,
}

/// Whether a line begins a commit: the first one of a mail of `git format-patch`, or of an entry of
/// `git log`.
pub(super) fn begins_commit(line: &[u8]) -> bool {
    let rest = line.strip_prefix(b"From ").or_else(|| line.strip_prefix(b"commit "));
    let id = rest.map(|rest| rest.split(|byte| *byte == b' ').next().unwrap_or_default());
    // SHA-1 or SHA-256.
    id.is_some_and(|id| matches!(id.len(), 40 | 64) && id.iter().all(u8::is_ascii_hexdigit))
}

/// git's digests of a file that holds nothing, by SHA-1 and by SHA-256.
const EMPTY: [&[u8]; 2] =
    [b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", b"473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"];

/// A header, from `diff --git` to the names or to the end.
#[derive(Debug)]
pub(super) struct Header<'a> {
    names: &'a [u8],
    fields: Vec<(Field, &'a [u8])>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    OldMode,
    NewMode,
    NewFile,
    DeletedFile,
    RenameFrom,
    RenameTo,
    CopyFrom,
    CopyTo,
    Index,
    Similarity,
}

const FIELDS: [(&[u8], Field); 13] = [
    (b"old mode ", Field::OldMode),
    (b"new mode ", Field::NewMode),
    (b"new file mode ", Field::NewFile),
    (b"deleted file mode ", Field::DeletedFile),
    (b"rename from ", Field::RenameFrom),
    (b"rename to ", Field::RenameTo),
    (b"rename old ", Field::RenameFrom),
    (b"rename new ", Field::RenameTo),
    (b"copy from ", Field::CopyFrom),
    (b"copy to ", Field::CopyTo),
    (b"index ", Field::Index),
    (b"similarity index ", Field::Similarity),
    (b"dissimilarity index ", Field::Similarity),
];

/// A change, and the modes before and after that the header names.
type Changed = (Change, Option<Mode>, Option<Mode>);

impl<'a> Header<'a> {
    /// Begins with what follows `diff --git`.
    pub(super) fn new(names: &'a [u8]) -> Self {
        Self { names, fields: Vec::new() }
    }

    /// Takes a line; `false` if it is none of the header.
    pub(super) fn take(&mut self, line: &'a [u8]) -> Result<bool, String> {
        if line == b"GIT binary patch" || (line.starts_with(b"Binary files ") && line.ends_with(b" differ")) {
            return Err(format!("{}: {} is no text; {BINARY}", shown(line), shown(self.names)));
        }
        let field = FIELDS.iter().find_map(|(mark, field)| Some((*field, line.strip_prefix(*mark)?)));
        let Some((field, value)) = field else { return Ok(false) };
        if self.get(field).is_some() {
            return Err(format!("{}: the header of the file says that twice", shown(line)));
        }
        self.fields.push((field, value));
        Ok(true)
    }

    fn get(&self, field: Field) -> Option<&'a [u8]> {
        self.fields.iter().find(|(there, _)| *there == field).map(|(_, value)| *value)
    }

    fn mode(&self, field: Field) -> Result<Option<Mode>, String> {
        self.get(field).map(mode).transpose()
    }

    /// What becomes of the file, with the lines `---` and `+++` if there are hunks.
    pub(super) fn change(&self, sides: Option<(Side, Side)>) -> Result<Changed, String> {
        let (old_mode, new_mode) = (self.mode(Field::OldMode)?, self.mode(Field::NewMode)?);
        if old_mode.is_some() != new_mode.is_some() {
            return Err("the header has one of `old mode` and `new mode` without the other".to_owned());
        }
        let (created, deleted) = (self.mode(Field::NewFile)?, self.mode(Field::DeletedFile)?);
        // Behind the digests of a file that keeps its mode.
        let index = self.get(Field::Index).and_then(|index| index.split(|byte| *byte == b' ').nth(1));
        let kept = index.map(mode).transpose()?;
        let rename = self.pair(Field::RenameFrom, Field::RenameTo)?;
        let copy = self.pair(Field::CopyFrom, Field::CopyTo)?;
        let kinds =
            [created.is_some(), deleted.is_some(), rename.is_some(), copy.is_some()].iter().filter(|is| **is).count();
        if kinds > 1 || (kinds == 1 && old_mode.is_some() && (created.is_some() || deleted.is_some())) {
            return Err("the header says two things of what becomes of the file".to_owned());
        }
        if sides.is_none() {
            self.check_nothing_is_lost()?;
        }
        if let Some((from, to)) = rename.or(copy) {
            if let Some((old, new)) = &sides {
                let is = |side: &Side, path: &RelPath| {
                    let name = side.name.as_deref().unwrap_or_default();
                    name.strip_suffix(path.as_str()).is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('/'))
                };
                if !is(old, &from) || !is(new, &to) {
                    return Err(contradiction());
                }
            }
            let is_copy = self.get(Field::CopyFrom).is_some();
            let change = if is_copy { Change::Copy { from, to } } else { Change::Rename { from, to } };
            return Ok((change, old_mode.or(kept), new_mode.or(kept)));
        }
        let has_hunks = sides.is_some();
        let change = match sides {
            None => self.without_hunks(created, deleted)?,
            Some((old, new)) => self.with_hunks(old.name.as_deref(), new.name.as_deref(), created, deleted)?,
        };
        if matches!(change, Change::Modify(_)) && !has_hunks && old_mode == new_mode {
            return Err(format!(
                "{} changes nothing, or what it changes is lost; make it again with `git diff`",
                shown(self.names)
            ));
        }
        Ok((change, deleted.or(old_mode).or(kept), created.or(new_mode).or(kept)))
    }

    /// Of a file without hunks, the digests tell whether its content changed all the same.
    fn check_nothing_is_lost(&self) -> Result<(), String> {
        let Some(ids) = self.get(Field::Index).and_then(|index| index.split(|byte| *byte == b' ').next()) else {
            return Ok(());
        };
        let lost = || {
            Err(format!(
                "of {} the header says that its content changes, and no hunk follows; {AGAIN}",
                shown(self.names)
            ))
        };
        let Some(between) = ids.windows(2).position(|two| two == b"..") else { return lost() };
        let (old, new) = (&ids[..between], &ids[between + 2..]);
        let is_nothing = |id: &[u8]| {
            id.iter().all(|digit| *digit == b'0') || (id.len() >= 4 && EMPTY.iter().any(|empty| empty.starts_with(id)))
        };
        if old == new || (is_nothing(old) && is_nothing(new)) { Ok(()) } else { lost() }
    }

    /// Two fields that come together, each with a path.
    fn pair(&self, from: Field, to: Field) -> Result<Option<(RelPath, RelPath)>, String> {
        let path = |name: &[u8]| {
            let name = match names::quoted(name) {
                Some((name, [])) => name,
                _ => name.to_vec(),
            };
            let name = String::from_utf8(name)
                .map_err(|error| format!("the name {} is not UTF-8", shown(error.as_bytes())))?;
            RelPath::new(name).map_err(|error| error.to_string())
        };
        match (self.get(from), self.get(to)) {
            (None, None) => Ok(None),
            (Some(from), Some(to)) => Ok(Some((path(from)?, path(to)?))),
            _ => Err("the header names one of two files, and not the other".to_owned()),
        }
    }

    fn without_hunks(&self, created: Option<Mode>, deleted: Option<Mode>) -> Result<Change, String> {
        let path = match GitNames::read(self.names)? {
            GitNames::Same { path, .. } => path,
            GitNames::NoPrefix => {
                return Err(format!("the names {} have no prefix, or the same; {PREFIX}", shown(self.names)));
            }
            GitNames::Unknown => {
                return Err(format!("expected `a/PATH b/PATH`, found {}; {PREFIX}", shown(self.names)));
            }
        };
        Ok(match (created, deleted) {
            (Some(_), _) => Change::Create(path),
            (None, Some(_)) => Change::Delete(path),
            (None, None) => Change::Modify(path),
        })
    }

    fn with_hunks(
        &self,
        old: Option<&str>,
        new: Option<&str>,
        created: Option<Mode>,
        deleted: Option<Mode>,
    ) -> Result<Change, String> {
        let names = GitNames::read(self.names)?;
        if matches!(names, GitNames::NoPrefix) {
            return Err(format!("the names {} have no prefix, or the same; {PREFIX}", shown(self.names)));
        }
        // With `diff.mnemonicPrefix` the prefixes are others.
        let (a, b) = match &names {
            GitNames::Same { prefixes: (a, b), .. } => (a.as_str(), b.as_str()),
            _ => ("a", "b"),
        };
        let change = match (old, new) {
            (None, None) => return Err("both files are /dev/null".to_owned()),
            (None, Some(new)) if deleted.is_none() => Change::Create(names::with_prefix(new, b)?),
            (Some(old), None) if created.is_none() => Change::Delete(names::with_prefix(old, a)?),
            (Some(old), Some(new)) if created.is_none() && deleted.is_none() => {
                Change::Modify(names::shared(old, new)?)
            }
            _ => {
                return Err(
                    "the header says that the file is new or goes away, and the names say something else".to_owned()
                );
            }
        };
        match (&names, &change) {
            (
                GitNames::Same { path: there, .. },
                Change::Create(path) | Change::Delete(path) | Change::Modify(path),
            ) if there != path => Err(contradiction()),
            _ => Ok(change),
        }
    }
}

fn contradiction() -> String {
    "the names in the lines `---` and `+++` are others than those of the header before them".to_owned()
}

fn mode(digits: &[u8]) -> Result<Mode, String> {
    let number = std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 8).ok());
    match number {
        Some(number) if number >> 9 == 0o100 => Ok(if number & 0o100 == 0 { Mode::Regular } else { Mode::Executable }),
        Some(0o120_000) => Ok(Mode::Link),
        Some(0o160_000) => {
            Err("a submodule can't be patched; leave it out (`git diff --ignore-submodules`)".to_owned())
        }
        _ => Err(format!("{} is no mode of a file", shown(digits))),
    }
}

/// What `diff --git` names, if both names are of one file.
enum GitNames {
    /// One path, behind two prefixes.
    Same { path: RelPath, prefixes: (String, String) },
    /// The names are the same to the last byte.
    NoPrefix,
    /// Two paths, or more than one way to tell them apart.
    Unknown,
}

impl GitNames {
    fn read(names: &[u8]) -> Result<Self, String> {
        let mut same = Vec::new();
        let mut no_prefix = false;
        for (old, new) in splits(names) {
            no_prefix |= old == new;
            if let Ok(path) = names::shared(&old, &new) {
                let prefix = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
                same.push(Self::Same { path, prefixes: (prefix(&old), prefix(&new)) });
            }
        }
        match (same.len(), no_prefix) {
            (1, _) => Ok(same.remove(0)),
            (0, true) => Ok(Self::NoPrefix),
            (0, false) => Ok(Self::Unknown),
            _ => Err(format!("the names `{}` can be told apart in more than one way; {PREFIX}", printable(names))),
        }
    }
}

/// All ways to take the line for two names; each may be quoted.
fn splits(names: &[u8]) -> Vec<(String, String)> {
    let text = |name: Vec<u8>| String::from_utf8(name).ok();
    let second = |rest: &[u8]| match rest.first() {
        Some(b'"') => names::quoted(rest).filter(|(_, rest)| rest.is_empty()).map(|(name, _)| name),
        _ => Some(rest.to_vec()),
    };
    if names.first() == Some(&b'"') {
        let both = names::quoted(names)
            .and_then(|(first, rest)| Some((text(first)?, text(second(rest.strip_prefix(b" ")?)?)?)));
        return both.into_iter().collect();
    }
    let blanks = names.iter().enumerate().filter(|(_, byte)| **byte == b' ');
    blanks.filter_map(|(at, _)| Some((text(names[..at].to_vec())?, text(second(&names[at + 1..])?)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_in_one_line() {
        let path = |names: &str| match GitNames::read(names.as_bytes()) {
            Ok(GitNames::Same { path, .. }) => path.to_string(),
            Ok(GitNames::NoPrefix) => "no prefix".into(),
            Ok(GitNames::Unknown) => "unknown".into(),
            Err(error) => error,
        };
        for (names, expected) in [
            ("a/x b/x", "x"),
            ("a/x y b/x y", "x y"),
            ("a/x b/x b/x b/x", "x b/x"),
            ("i/x w/x", "x"),
            (r#""a/\303\274" "b/\303\274""#, "ü"),
            (r#""a/q\"" "b/q\"""#, "q\""),
            ("x x", "no prefix"),
            ("src/x src/x", "no prefix"),
            ("a/x b/y", "unknown"),
            (r#""a/x b/x"#, "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(path(names), expected, "{names}");
        }
    }

    #[test]
    fn modes_of_files() {
        for (digits, expected) in
            [("100644", Mode::Regular), ("100755", Mode::Executable), ("100664", Mode::Regular), ("120000", Mode::Link)]
        {
            assert_eq!(mode(digits.as_bytes()), Ok(expected));
        }
        for bad in ["160000", "040000", "644", "", "100888", "\u{1b}"] {
            assert!(mode(bad.as_bytes()).is_err_and(|error| !error.contains('\u{1b}')));
        }
    }
}
