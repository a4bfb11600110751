//! Applying patches to a tree: unified diffs, exactly where they say they go.
//!
//! No fuzz, no offset, and no reverse application: a patch that does not fit its sources is out of
//! date, and a build that guesses is not reproducible. The diff parsers at hand skip what they
//! don't understand (a hunk with one line too many loses the rest of its patch in silence), so the
//! parser is our own, and strict.

mod foreign;
mod git;
mod names;
mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use build_graph::untrusted::printable;
use build_graph::{Entry, RelPath, Tree, TreeError};
use thiserror::Error;

use crate::archive::{BlobSink, BlobSource};
use git::Mode;
use parse::{Change, FileDiff, Hunk, Line};

/// Patches were not applied; nothing of them was.
#[derive(Debug, Error)]
pub enum PatchError {
    /// The patch is no strict unified diff.
    #[error("patch `{}`, line {line}: {reason}", printable(patch))]
    Malformed {
        /// The patch's path.
        patch: RelPath,
        /// The line of the patch, from 1.
        line: usize,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A hunk's old lines are not what the file has there.
    #[error(
        "patch `{}` does not fit `{}`: hunk {hunk} (line {patch_line} of the patch) expects at line {line} of the file\n  \
         {expected}\nbut the file has\n  {found}\nmake the patch again against these sources; hunks are not moved, and no \
         context is ignored",
        printable(patch),
        printable(file)
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
        /// The line that the file has, and perhaps why it is another.
        found: String,
    },
    /// The patch and the tree disagree about whether the file is there, or what it is.
    #[error(
        "patch `{}`, line {line}: it can't change `{}`: {reason}; make the patch again against these sources",
        printable(patch),
        printable(file)
    )]
    File {
        /// The patch's path.
        patch: RelPath,
        /// The line of the patch with which the change begins, from 1.
        line: usize,
        /// The file's path in the tree.
        file: RelPath,
        /// What is in the way.
        reason: String,
    },
    /// A blob can't be read or stored.
    #[error("patching `{}` failed: {error}", printable(file))]
    Store {
        /// The file's path in the tree.
        file: RelPath,
        /// What the store says.
        error: io::Error,
    },
}

/// The tree with these patches applied, in this order; a patch sees what those before it did.
///
/// A patch is one or several unified diffs or git's diffs, and between them prose. A file's names
/// are `a/PATH` and `b/PATH`, or have other prefixes that differ, or are `/dev/null` for a file
/// that is new or goes away; in git's diffs files are also renamed, copied, made executable, and
/// symbolic links. Commits that `git format-patch` wrote into one file are applied one after the
/// other. Bytes need not be UTF-8, line ends may be CRLF.
///
/// # Errors
/// [`PatchError`]; the first thing that does not fit, or that is not understood, ends it.
pub fn apply<B: BlobSource + BlobSink + ?Sized>(
    base: &Tree,
    patches: &[(RelPath, Vec<u8>)],
    blobs: &B,
) -> Result<Tree, PatchError> {
    let mut patched = Patched { base, blobs, changed: BTreeMap::new() };
    for (patch, bytes) in patches {
        let diffs = parse::parse(bytes).map_err(|error| PatchError::Malformed {
            patch: patch.clone(),
            line: error.line,
            reason: error.reason,
        })?;
        for commit in diffs.chunk_by(|one, next| one.commit == next.commit) {
            patched.commit(patch, commit)?;
        }
    }
    patched.tree()
}

/// A file while it is patched.
#[derive(Debug, Clone)]
struct Content {
    /// Its bytes, or where it links to.
    bytes: Vec<u8>,
    mode: Mode,
}

/// What a patch did last to a path.
#[derive(Debug, Clone)]
struct Changed {
    /// `None`: it took it away.
    now: Option<Content>,
    patch: RelPath,
    line: usize,
}

struct Patched<'a, B: ?Sized> {
    base: &'a Tree,
    blobs: &'a B,
    changed: BTreeMap<RelPath, Changed>,
}

/// A change of one file, for messages.
#[derive(Clone, Copy)]
struct At<'a> {
    patch: &'a RelPath,
    line: usize,
}

impl At<'_> {
    fn refuse(self, file: &RelPath, reason: impl Into<String>) -> PatchError {
        PatchError::File { patch: self.patch.clone(), line: self.line, file: file.clone(), reason: reason.into() }
    }
}

impl<B: BlobSource + BlobSink + ?Sized> Patched<'_, B> {
    /// Applies the changes of one commit. Renames and copies take files as they were before it: so
    /// two can change places, and the order of the changes does not matter.
    fn commit(&mut self, patch: &RelPath, diffs: &[FileDiff<'_>]) -> Result<(), PatchError> {
        let moves = |diff: &FileDiff<'_>| matches!(diff.change, Change::Rename { .. } | Change::Copy { .. });
        let before = if diffs.iter().any(moves) { self.changed.clone() } else { BTreeMap::new() };
        let leaving: BTreeSet<&RelPath> = diffs
            .iter()
            .filter_map(|diff| match &diff.change {
                Change::Rename { from, .. } => Some(from),
                _ => None,
            })
            .collect();
        let mut arrived: BTreeSet<&RelPath> = BTreeSet::new();
        for diff in diffs {
            let at = At { patch, line: diff.line };
            let path = diff.path();
            let there = self.load(&self.changed, path, at)?;
            let is_new = match &diff.change {
                Change::Modify(_) | Change::Delete(_) => false,
                Change::CreateOrModify(_) => there.is_none(),
                Change::Create(_) | Change::Rename { .. } | Change::Copy { .. } => true,
            };
            if is_new && there.is_some() && (!leaving.contains(path) || arrived.contains(path)) {
                return Err(at.refuse(path, "it is new in the patch, but there already"));
            }
            let source = match &diff.change {
                Change::Rename { from, .. } | Change::Copy { from, .. } => {
                    let source = self.load(&before, from, at)?;
                    Some(source.ok_or_else(|| at.refuse(from, "there is no such file"))?)
                }
                _ if is_new => None,
                _ => Some(there.ok_or_else(|| at.refuse(path, "there is no such file"))?),
            };
            let next = changed(at, diff, source)?;
            if let Change::Rename { from, .. } = &diff.change
                && !arrived.contains(from)
            {
                let was_changed = self.changed.get(from).map(|changed| (changed.line, &changed.patch));
                if was_changed != before.get(from).map(|changed| (changed.line, &changed.patch)) {
                    return Err(at.refuse(from, "the same commit changes it before it renames it"));
                }
                self.set(from, None, at);
            }
            if is_new {
                arrived.insert(path);
            }
            self.set(path, next, at);
        }
        Ok(())
    }

    fn set(&mut self, path: &RelPath, now: Option<Content>, At { patch, line }: At<'_>) {
        self.changed.insert(path.clone(), Changed { now, patch: patch.clone(), line });
    }

    /// A file after these changes.
    fn load(
        &self,
        changed: &BTreeMap<RelPath, Changed>,
        file: &RelPath,
        at: At<'_>,
    ) -> Result<Option<Content>, PatchError> {
        if let Some(changed) = changed.get(file) {
            return Ok(changed.now.clone());
        }
        match self.base.get(file.as_str()) {
            None => Ok(None),
            Some(entry @ Entry::File { executable, .. }) => {
                let read = self.blobs.read(entry);
                let bytes = read.map_err(|error| PatchError::Store { file: file.clone(), error })?;
                Ok(Some(Content { bytes, mode: if *executable { Mode::Executable } else { Mode::Regular } }))
            }
            Some(Entry::Symlink { target }) => {
                Ok(Some(Content { bytes: target.clone().into_bytes(), mode: Mode::Link }))
            }
            Some(Entry::EmptyDirectory) => Err(at.refuse(file, "it is a directory")),
        }
    }

    /// The tree with all changes.
    fn tree(self) -> Result<Tree, PatchError> {
        let mut tree = self.base.clone();
        for path in self.changed.keys() {
            tree.remove(path);
        }
        for (path, Changed { now, patch, line }) in self.changed {
            let Some(Content { bytes, mode }) = now else { continue };
            let at = At { patch: &patch, line };
            let entry = match mode {
                Mode::Link => Entry::Symlink { target: target(bytes).map_err(|reason| at.refuse(&path, reason))? },
                _ => {
                    let put = self.blobs.put_bytes(&bytes, mode == Mode::Executable);
                    put.map_err(|error| PatchError::Store { file: path.clone(), error })?
                }
            };
            tree.insert(path.clone(), entry).map_err(|error: TreeError| at.refuse(&path, error.to_string()))?;
        }
        Ok(tree)
    }
}

/// Where a symbolic link leads.
fn target(bytes: Vec<u8>) -> Result<String, String> {
    match String::from_utf8(bytes) {
        Ok(target) if !target.is_empty() && target.len() <= 4096 && !target.contains('\0') => Ok(target),
        _ => Err("what it would link to is empty, too long, or no text".to_owned()),
    }
}

/// What becomes of one file; it has no content yet if it is new.
fn changed(at: At<'_>, diff: &FileDiff<'_>, now: Option<Content>) -> Result<Option<Content>, PatchError> {
    let file = diff.path();
    let is_link = |mode: Option<Mode>| mode == Some(Mode::Link);
    let mode = match &now {
        None => diff.new_mode.unwrap_or(Mode::Regular),
        Some(now) => {
            // A plain diff does not say what the file is; then it is a file.
            let means_link = is_link(diff.old_mode);
            let says_nothing = diff.old_mode.is_none() && diff.hunks.is_empty();
            if !says_nothing && means_link != (now.mode == Mode::Link) {
                let is = if means_link { "it is a file, and no symbolic link" } else { "it is a symbolic link" };
                return Err(at.refuse(file, is));
            }
            let new = diff.new_mode.filter(|_| diff.new_mode != diff.old_mode);
            if new.is_some_and(|new| (new == Mode::Link) != (now.mode == Mode::Link)) {
                return Err(at.refuse(file, "the patch makes it a file of another kind"));
            }
            if new == Some(now.mode) {
                return Err(at.refuse(file, "it has the mode already that the patch gives it"));
            }
            new.unwrap_or(now.mode)
        }
    };
    let bytes = rewrite(at.patch, file, &diff.hunks, &now.map(|now| now.bytes).unwrap_or_default())?;
    match diff.change {
        Change::Delete(_) if bytes.is_empty() => Ok(None),
        Change::Delete(_) => Err(at.refuse(file, "the patch takes it away, but it holds more than the patch knows")),
        _ => Ok(Some(Content { bytes, mode })),
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
                    Some(found) => {
                        return Err(mismatch(at, show(&expected), show(found) + line_ends(&expected, found)));
                    }
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

/// What to say of two lines that differ in their ends alone.
fn line_ends(expected: &[u8], found: &[u8]) -> &'static str {
    match (expected.strip_suffix(b"\r\n"), found.strip_suffix(b"\r\n")) {
        (Some(expected), None) if found.strip_suffix(b"\n") == Some(expected) => {
            "\nthe patch has line ends of Windows (CRLF), which the file has not: `git config core.autocrlf` may have made them"
        }
        (None, Some(found)) if expected.strip_suffix(b"\n") == Some(found) => {
            "\nthe file has line ends of Windows (CRLF), which the patch has not"
        }
        _ => "",
    }
}

/// A line for a message: its end is shown where it is not the usual one, other bytes where they are
/// not text.
fn show(line: &[u8]) -> String {
    let text = |bytes: &[u8]| {
        let cells: Vec<_> = bytes.split(|byte| *byte == b'\t').map(|cell| printable(cell).to_string()).collect();
        cells.join("\t")
    };
    match line.strip_suffix(b"\n") {
        Some(line) => format!("`{}`", text(line)),
        None => format!("`{}` without a line feed at its end", text(line)),
    }
}
