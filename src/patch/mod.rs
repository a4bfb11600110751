//! Applying patches to a tree: unified diffs, exactly where they say they go.
//!
//! No fuzz, no offset, and no reverse application: a patch that does not fit its sources is out of date, and a build that guesses is
//! not reproducible. The diff parsers at hand skip what they don't understand (a hunk with one line too many loses the rest of its
//! patch in silence), so the parser is our own, and strict.

mod parse;

use std::collections::BTreeMap;
use std::io;

use build_graph::{Entry, RelPath, Tree, TreeError};
use thiserror::Error;

use crate::archive::{BlobSink, BlobSource};
use parse::{FileDiff, Hunk, Line};

/// Patches were not applied; nothing of them was.
#[derive(Debug, Error)]
pub enum PatchError {
    /// The patch is no strict unified diff.
    #[error("patch `{patch}`, line {line}: {reason}; make it again with `diff -Nru a b` or `git diff`")]
    Malformed {
        /// The patch's path.
        patch: RelPath,
        /// The line of the patch, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A hunk's old lines are not what the file has there.
    #[error(
        "patch `{patch}` does not fit `{file}`: hunk {hunk} (line {patch_line} of the patch) expects at line {line} of the file\n  \
         {expected}\nbut the file has\n  {found}\nmake the patch again against these sources; hunks are not moved, and no context \
         is ignored"
    )]
    Mismatch {
        /// The patch's path.
        patch: RelPath,
        /// The file's path in the tree.
        file: RelPath,
        /// Which hunk of the file, from 1.
        hunk: usize,
        /// The hunk's first line in the patch, from 1.
        patch_line: usize,
        /// The line of the file (as earlier patches left it), from 1.
        line: usize,
        /// The line that the patch expects.
        expected: String,
        /// The line that the file has.
        found: String,
    },
    /// The patch and the tree disagree about whether the file is there, or what it is.
    #[error("patch `{patch}` can't change `{file}`: {reason}; make the patch again against these sources")]
    File {
        /// The patch's path.
        patch: RelPath,
        /// The file's path in the tree.
        file: RelPath,
        /// What is in the way.
        reason: String,
    },
    /// A blob can't be read or stored.
    #[error("patching `{file}` failed: {error}")]
    Store {
        /// The file's path in the tree.
        file: RelPath,
        /// What the store says.
        error: io::Error,
    },
}

/// The tree with these patches applied, in this order; a patch sees what those before it did.
///
/// A patch's paths are `a/PATH` and `b/PATH`, or `/dev/null` for a file that is new or goes away. Bytes need not be UTF-8, line
/// ends may be CRLF. A file keeps its mode; a new one is executable if the patch says `new file mode 100755`.
///
/// # Errors
/// [`PatchError`]; the first thing that does not fit ends it.
pub fn apply<B: BlobSource + BlobSink + ?Sized>(
    base: &Tree,
    patches: &[(RelPath, Vec<u8>)],
    blobs: &B,
) -> Result<Tree, PatchError> {
    // Files that a patch touched: content and mode, or nothing if the last patch took it away.
    let mut changed: BTreeMap<RelPath, Option<(Vec<u8>, bool)>> = BTreeMap::new();
    for (patch, bytes) in patches {
        let diffs = parse::parse(bytes).map_err(|error| PatchError::Malformed {
            patch: patch.clone(),
            line: error.line,
            reason: error.reason,
        })?;
        for diff in diffs {
            let file = diff.path().clone();
            let now = match changed.remove(&file) {
                Some(now) => now,
                None => load(base, &file, patch, blobs)?,
            };
            let next = patched(patch, &diff, now)?;
            changed.insert(file, next);
        }
    }
    let mut tree = base.clone();
    for path in changed.keys() {
        tree.remove(path);
    }
    for (path, next) in changed {
        let Some((content, executable)) = next else { continue };
        let entry =
            blobs.put_bytes(&content, executable).map_err(|error| PatchError::Store { file: path.clone(), error })?;
        tree.insert(path.clone(), entry).map_err(|error: TreeError| PatchError::File {
            patch: patches.last().map_or_else(|| path.clone(), |(patch, _)| patch.clone()),
            file: path,
            reason: error.to_string(),
        })?;
    }
    Ok(tree)
}

fn load<B: BlobSource + ?Sized>(
    base: &Tree,
    file: &RelPath,
    patch: &RelPath,
    blobs: &B,
) -> Result<Option<(Vec<u8>, bool)>, PatchError> {
    match base.get(file.as_str()) {
        None => Ok(None),
        Some(entry @ Entry::File { executable, .. }) => {
            let content = blobs.read(entry).map_err(|error| PatchError::Store { file: file.clone(), error })?;
            Ok(Some((content, *executable)))
        }
        Some(Entry::Symlink { .. }) => Err(refuse(patch, file, "it is a symbolic link")),
        Some(Entry::EmptyDirectory) => Err(refuse(patch, file, "it is a directory")),
    }
}

fn refuse(patch: &RelPath, file: &RelPath, reason: &str) -> PatchError {
    PatchError::File { patch: patch.clone(), file: file.clone(), reason: reason.to_owned() }
}

/// What becomes of one file.
fn patched(
    patch: &RelPath,
    diff: &FileDiff<'_>,
    now: Option<(Vec<u8>, bool)>,
) -> Result<Option<(Vec<u8>, bool)>, PatchError> {
    let file = diff.path();
    let (content, executable) = match (diff, now) {
        (FileDiff::Create { executable, .. }, None) => (Vec::new(), *executable),
        (FileDiff::Create { .. }, Some(_)) => {
            return Err(refuse(patch, file, "it is new in the patch, but there already"));
        }
        (_, None) => return Err(refuse(patch, file, "there is no such file")),
        (_, Some(now)) => now,
    };
    let result = rewrite(patch, file, diff.hunks(), &content)?;
    match diff {
        FileDiff::Delete { .. } if result.is_empty() => Ok(None),
        FileDiff::Delete { .. } => {
            Err(refuse(patch, file, "the patch takes it away, but it holds more than the patch knows"))
        }
        _ => Ok(Some((result, executable))),
    }
}

fn rewrite(patch: &RelPath, file: &RelPath, hunks: &[Hunk<'_>], content: &[u8]) -> Result<Vec<u8>, PatchError> {
    let old: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let mut result = Vec::with_capacity(content.len());
    let mut at = 0;
    for (index, hunk) in hunks.iter().enumerate() {
        let mismatch = |line: usize, expected: String, found: String| PatchError::Mismatch {
            patch: patch.clone(),
            file: file.clone(),
            hunk: index + 1,
            patch_line: hunk.patch_line,
            line: line + 1,
            expected,
            found,
        };
        if hunk.old_start > old.len() {
            let found = format!("(its end, after {} lines)", old.len());
            let expected = hunk.lines.iter().find_map(Line::before).map_or("(a line)".into(), |line| show(&line));
            return Err(mismatch(hunk.old_start, expected, found));
        }
        result.extend(old[at..hunk.old_start].iter().copied().flatten());
        at = hunk.old_start;
        for line in &hunk.lines {
            if let Some(expected) = line.before() {
                match old.get(at) {
                    Some(found) if **found == *expected => {}
                    Some(found) => return Err(mismatch(at, show(&expected), show(found))),
                    None => return Err(mismatch(at, show(&expected), format!("(its end, after {at} lines)"))),
                }
                at += 1;
            }
            if let Some(new) = line.after() {
                result.extend_from_slice(&new);
            }
        }
    }
    result.extend(old[at..].iter().copied().flatten());
    Ok(result)
}

/// A line for a message: its end is shown where it is not the usual one, other bytes where they are not text.
fn show(line: &[u8]) -> String {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && c != '\t') => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    };
    match line.strip_suffix(b"\n") {
        Some(line) => format!("`{}`", text(line)),
        None => format!("`{}` without a line feed at its end", text(line)),
    }
}
