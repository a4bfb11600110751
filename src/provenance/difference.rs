//! How two trees differ: in which files, and where in them.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use build_graph::untrusted::printable;
use build_graph::{Entry, RelPath, Tree};
use rustix::fs::{Access, access};

/// The program that explains files, if it is installed.
const DIFFOSCOPE: &str = "diffoscope";
/// So many lines of it are shown of one file.
const MAX_LINES: usize = 40;

/// A path at which two trees differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path.
    pub path: RelPath,
    /// What stands there in the first tree.
    pub before: Option<Entry>,
    /// What stands there in the second one.
    pub after: Option<Entry>,
}

/// The paths at which two trees differ, in their order.
pub fn of(before: &Tree, after: &Tree) -> Vec<Difference> {
    let mut found = Vec::new();
    for (path, entry) in before.iter() {
        let other = after.get(path.as_str());
        if other != Some(entry) {
            found.push(Difference { path: path.clone(), before: Some(entry.clone()), after: other.cloned() });
        }
    }
    for (path, entry) in after.iter().filter(|(path, _)| before.get(path.as_str()).is_none()) {
        found.push(Difference { path: path.clone(), before: None, after: Some(entry.clone()) });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Opens the file at a path of one of the trees; `None` if its bytes are not here.
pub type Open<'a> = dyn Fn(&RelPath, &Entry) -> Option<File> + 'a;

impl Difference {
    /// What differs, in words. If the bytes of both files are here: where the first other byte is,
    /// and what `diffoscope` says of it.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn explain(&self, before: &Open<'_>, after: &Open<'_>) -> io::Result<Vec<String>> {
        let path = printable(self.path.as_str());
        let (one, two) = match (&self.before, &self.after) {
            (Some(one @ Entry::File { .. }), Some(two @ Entry::File { .. })) => (one, two),
            (Some(_), None) => return Ok(vec![format!("`{path}` is only in the first")]),
            (None, Some(_)) => return Ok(vec![format!("`{path}` is only in the second")]),
            _ => return Ok(vec![format!("`{path}` is {} and {}", kind(&self.before), kind(&self.after))]),
        };
        let (Some(mut first), Some(mut second)) = (before(&self.path, one), after(&self.path, two)) else {
            return Ok(vec![format!("`{path}` differs; its bytes are not here")]);
        };
        let mut lines = match first_difference(&mut first, &mut second)? {
            None => vec![format!("`{path}` has the same bytes and another mode")],
            Some(at) => vec![format!("`{path}` differs from byte {at} on ({} and {} bytes)", size(one), size(two))],
        };
        if let Some(program) = in_path(DIFFOSCOPE) {
            let folder = tempfile::tempdir()?;
            for (name, mut from) in [("first", first), ("second", second)] {
                from.rewind()?;
                io::copy(&mut from, &mut File::create_new(folder.path().join(name))?)?;
            }
            lines.extend(diffoscope(&program, folder.path())?);
        }
        Ok(lines)
    }
}

/// The file that a program's name means.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| access(file, Access::EXEC_OK).is_ok())
}

fn kind(entry: &Option<Entry>) -> &'static str {
    match entry {
        None => "nothing",
        Some(Entry::File { .. }) => "a file",
        Some(Entry::Symlink { .. }) => "a link",
        Some(Entry::EmptyDirectory) => "an empty directory",
    }
}

fn size(entry: &Entry) -> u64 {
    if let Entry::File { size, .. } = entry { *size } else { 0 }
}

/// Where two files differ first, counted from 0; `None` if they are the same.
///
/// # Errors
/// Those of reading.
pub fn first_difference(one: &mut impl Read, two: &mut impl Read) -> io::Result<Option<u64>> {
    let (mut one, mut two) = (io::BufReader::new(one).bytes(), io::BufReader::new(two).bytes());
    let mut at = 0;
    loop {
        match (one.next().transpose()?, two.next().transpose()?) {
            (None, None) => return Ok(None),
            (a, b) if a != b => return Ok(Some(at)),
            _ => at += 1,
        }
    }
}

/// What `diffoscope` says of two files; its output is of the files' authors.
fn diffoscope(program: &Path, folder: &Path) -> io::Result<Vec<String>> {
    let mut child = Command::new(program)
        .args(["--text", "-", "--", "first", "second"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut text = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(1 << 20).read_to_end(&mut text)?;
    }
    let _ = child.wait()?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut lines: Vec<_> = lines.map(|line| format!("  {}", printable(line))).collect();
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(format!("  … and {more} lines more"));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn differences_are_named_and_located() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let tree = |files: &[(&str, &str, bool)]| {
            let mut tree = Tree::new();
            for (path, text, executable) in files {
                tree.insert(path.parse().unwrap(), store.put_bytes(text.as_bytes(), *executable).unwrap()).unwrap();
            }
            tree
        };
        let open = |_: &RelPath, entry: &Entry| store.open_blob(entry).ok();
        let one = tree(&[("a", "same", false), ("b", "0123x", false), ("c", "c", false), ("d", "d", false)]);
        let mut two = tree(&[("a", "same", false), ("b", "0123yz", false), ("c", "c", true), ("e", "e", false)]);
        two.insert("f".parse().unwrap(), Entry::EmptyDirectory).unwrap();
        let lines: Vec<_> =
            of(&one, &two).iter().map(|found| found.explain(&open, &open).unwrap()[0].clone()).collect();
        let expected = [
            "`b` differs from byte 4 on (5 and 6 bytes)",
            "`c` has the same bytes and another mode",
            "`d` is only in the first",
            "`e` is only in the second",
            "`f` is only in the second",
        ];
        assert_eq!(lines, expected);
        assert_eq!(of(&one, &one), []);
    }
}
