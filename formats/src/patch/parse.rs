//! Unified diffs (the format of POSIX `diff -u`, with git's file headers), strictly.

use std::borrow::Cow;

use build_graph::RelPath;
use build_graph::untrusted::printable;

use super::foreign;
use super::git::{self, Mode};
use super::names::{self, Side};

/// Why a patch is refused.
#[derive(Debug)]
pub(super) struct Malformed {
    /// Line of the patch, from 1.
    pub(super) line: usize,
    /// What is wrong, and what to do.
    pub(super) reason: String,
}

/// How to make a patch that this parser takes.
pub(super) const AGAIN: &str = "make it again with `git diff` or, from the folder above, with `diff -Nru a b`";

/// What a patch does to one file.
#[derive(Debug)]
pub(super) struct FileDiff<'a> {
    /// Where it begins in the patch, from 1.
    pub(super) line: usize,
    /// Which of the commits in the patch it belongs to, from 0.
    pub(super) commit: usize,
    pub(super) change: Change,
    pub(super) hunks: Vec<Hunk<'a>>,
    /// The modes that it names.
    pub(super) old_mode: Option<Mode>,
    pub(super) new_mode: Option<Mode>,
}

/// What becomes of the file.
#[derive(Debug)]
pub(super) enum Change {
    Modify(RelPath),
    /// It is new.
    Create(RelPath),
    /// It is new, or it is changed at its beginning: the patch does not say which.
    CreateOrModify(RelPath),
    Delete(RelPath),
    Rename {
        from: RelPath,
        to: RelPath,
    },
    Copy {
        from: RelPath,
        to: RelPath,
    },
}

impl FileDiff<'_> {
    /// The file's path after the change, or before it if it goes away.
    pub(super) fn path(&self) -> &RelPath {
        match &self.change {
            Change::Modify(path) | Change::Create(path) | Change::CreateOrModify(path) | Change::Delete(path) => path,
            Change::Rename { to, .. } | Change::Copy { to, .. } => to,
        }
    }
}

/// A stretch of changed lines.
#[derive(Debug)]
pub(super) struct Hunk<'a> {
    /// Where its header stands in the patch, from 1.
    pub(super) patch_line: usize,
    /// How many lines of the old file come before it.
    pub(super) old_start: usize,
    /// Whether it begins at line 0 of the old file, and of the new one: where there is no line.
    nothing: (bool, bool),
    pub(super) lines: Vec<Line<'a>>,
}

/// A line of a hunk, with its line feed unless `unended`.
#[derive(Debug)]
pub(super) struct Line<'a> {
    kind: Kind,
    bytes: &'a [u8],
    unended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Context,
    Old,
    New,
}

impl Line<'_> {
    /// The line as the old file has it.
    pub(super) fn before(&self) -> Option<Cow<'_, [u8]>> {
        (self.kind != Kind::New).then(|| self.content())
    }

    /// The line as the new file has it.
    pub(super) fn after(&self) -> Option<Cow<'_, [u8]>> {
        (self.kind != Kind::Old).then(|| self.content())
    }

    fn content(&self) -> Cow<'_, [u8]> {
        // A patch may itself lack the last line feed.
        match (self.bytes.strip_suffix(b"\n"), self.unended) {
            (Some(line), true) => Cow::Borrowed(line),
            (Some(_), false) | (None, true) => Cow::Borrowed(self.bytes),
            (None, false) => Cow::Owned([self.bytes, b"\n"].concat()),
        }
    }
}

/// What stands before a line that belongs to no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Prose,
    /// A hunk, and perhaps empty lines: what looks like a line of a hunk is one that was lost.
    Hunk,
    /// The line `-- ` before a mail's signature. It may itself be a lost line, and then more follow
    /// at once.
    Signature,
}

/// The files that a patch changes, in its order.
///
/// Between files there may be anything that nobody could take for a change: why the patch is
/// needed, for example, or the header of a mail. What other programs write about changes that a
/// unified diff can't hold is refused, and so is what may be a lost line of a hunk.
pub(super) fn parse(patch: &[u8]) -> Result<Vec<FileDiff<'_>>, Malformed> {
    let mut parser =
        Parser { lines: patch.split_inclusive(|byte| *byte == b'\n').collect(), at: 0, commit: 0, files: Vec::new() };
    let mut after = After::Prose;
    while let Some(line) = parser.peek() {
        let text = trim(line);
        if parser.is_at_names() {
            parser.plain_file()?;
            after = After::Hunk;
            continue;
        }
        if text.starts_with(b"diff --git ") {
            after = if parser.git_file()? { After::Hunk } else { After::Prose };
            continue;
        }
        if git::begins_commit(text) {
            parser.commit += 1;
            after = After::Prose;
        } else if after == After::Hunk && matches!(text, b"-- " | b"--") {
            after = After::Signature;
        } else if after != After::Prose && matches!(line.first(), Some(b'+' | b'-' | b' ' | b'@' | b'\\')) {
            return Err(parser.error(format!(
                "this line belongs to no hunk: the header of the hunk before it counts fewer lines than there are; {AGAIN}"
            )));
        } else if text.starts_with(b"@@ -") {
            return Err(
                parser.error(format!("a hunk without the lines `--- a/FILE` and `+++ b/FILE` before it; {AGAIN}"))
            );
        } else if let Some(reason) = foreign::refusal(text, parser.ahead(1).map(trim)) {
            return Err(parser.error(reason));
        } else {
            after = match after {
                After::Hunk if text.is_empty() => After::Hunk,
                After::Signature if !text.is_empty() => After::Signature,
                _ => After::Prose,
            };
        }
        parser.at += 1;
    }
    if parser.files.is_empty() {
        return Err(parser.error(format!("there is no `--- a/FILE` line followed by `+++ b/FILE` in it; {AGAIN}")));
    }
    Ok(parser.files)
}

/// A line without its end.
pub(super) fn trim(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

struct Parser<'a> {
    lines: Vec<&'a [u8]>,
    at: usize,
    commit: usize,
    files: Vec<FileDiff<'a>>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a [u8]> {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> Option<&'a [u8]> {
        self.lines.get(self.at + by).copied()
    }

    fn error(&self, reason: impl Into<String>) -> Malformed {
        Malformed { line: self.at + 1, reason: reason.into() }
    }

    fn is_at_names(&self) -> bool {
        self.peek().is_some_and(|line| line.starts_with(b"--- "))
            && self.ahead(1).is_some_and(|line| line.starts_with(b"+++ "))
    }

    /// The two lines of names.
    fn names(&mut self) -> Result<(Side, Side), Malformed> {
        let mut side = |mark: &[u8]| {
            let line = trim(self.peek().unwrap_or_default()).strip_prefix(mark).unwrap_or_default();
            let side = Side::read(line).map_err(|reason| self.error(reason))?;
            self.at += 1;
            Ok(side)
        };
        Ok((side(b"--- ")?, side(b"+++ ")?))
    }

    /// A file as `diff -u` writes it: two lines of names, and hunks.
    fn plain_file(&mut self) -> Result<(), Malformed> {
        let line = self.at + 1;
        let (old, new) = self.names()?;
        let hunks = self.hunks()?;
        let refuse = |reason: String| Malformed { line, reason };
        // Of a file that is not there `diff -N` writes the name, and the time when time began.
        let one = hunks.len() == 1;
        let (begins, ends) = (one && hunks[0].nothing.0, one && hunks[0].nothing.1);
        let change = match (old.name.as_deref(), new.name.as_deref()) {
            (None, None) => return Err(refuse("both files are /dev/null".to_owned())),
            (None, Some(new)) => Change::Create(names::with_prefix(new, "b").map_err(refuse)?),
            (Some(old), None) => Change::Delete(names::with_prefix(old, "a").map_err(refuse)?),
            (Some(old_name), Some(new_name)) => {
                let path = names::shared(old_name, new_name).map_err(refuse)?;
                match (begins, ends) {
                    (true, true) => return Err(refuse("its hunk changes nothing".to_owned())),
                    (true, false) if old.is_epoch => Change::Create(path),
                    (true, false) => Change::CreateOrModify(path),
                    (false, true) if new.is_epoch => Change::Delete(path),
                    _ => Change::Modify(path),
                }
            }
        };
        self.files.push(FileDiff { line, commit: self.commit, change, hunks, old_mode: None, new_mode: None });
        Ok(())
    }

    /// A file as git writes it: with a header that may say all. Gives whether it has hunks.
    fn git_file(&mut self) -> Result<bool, Malformed> {
        let line = self.at + 1;
        let first = trim(self.peek().unwrap_or_default());
        let mut header = git::Header::new(first.strip_prefix(b"diff --git ").unwrap_or_default());
        self.at += 1;
        let mut sides = None;
        while let Some(text) = self.peek().map(trim) {
            if self.is_at_names() {
                sides = Some(self.names()?);
                break;
            }
            if !header.take(text).map_err(|reason| self.error(reason))? {
                break;
            }
            self.at += 1;
        }
        let hunks = if sides.is_some() { self.hunks()? } else { Vec::new() };
        let has_hunks = !hunks.is_empty();
        let (change, old_mode, new_mode) = header.change(sides).map_err(|reason| Malformed { line, reason })?;
        self.files.push(FileDiff { line, commit: self.commit, change, hunks, old_mode, new_mode });
        Ok(has_hunks)
    }

    fn hunks(&mut self) -> Result<Vec<Hunk<'a>>, Malformed> {
        let mut hunks: Vec<Hunk<'a>> = Vec::new();
        let mut old_end = 0;
        while self.peek().is_some_and(|line| line.starts_with(b"@@ ")) {
            let header = self.at;
            let hunk = self.hunk()?;
            if hunk.old_start < old_end {
                let reason = format!("hunks overlap or are out of order; {AGAIN}");
                return Err(Malformed { line: header + 1, reason });
            }
            old_end = hunk.old_start + hunk.lines.iter().filter(|line| line.kind != Kind::New).count();
            hunks.push(hunk);
        }
        if hunks.is_empty() {
            return Err(self.error(format!("expected a hunk: `@@ -START,LINES +START,LINES @@`; {AGAIN}")));
        }
        Ok(hunks)
    }

    fn hunk(&mut self) -> Result<Hunk<'a>, Malformed> {
        let patch_line = self.at + 1;
        let header = trim(self.peek().unwrap_or_default());
        let Some(Ranges { old_start, lines: (mut old_left, mut new_left), nothing }) = Ranges::read(header) else {
            return Err(self.error(format!("expected `@@ -START,LINES +START,LINES @@`; {AGAIN}")));
        };
        self.at += 1;
        let mut lines: Vec<Line<'a>> = Vec::new();
        loop {
            let line = self.peek();
            if line.is_some_and(|line| line.starts_with(b"\\")) {
                match lines.last_mut() {
                    Some(last) if !last.unended => last.unended = true,
                    _ => return Err(self.error("`\\` follows no line of a hunk")),
                }
                self.at += 1;
                continue;
            }
            if old_left == 0 && new_left == 0 {
                break;
            }
            let kind = match line.and_then(|line| line.first()) {
                // Some editors and mailers strip the blank of an empty context line.
                Some(b' ' | b'\n') => Kind::Context,
                Some(b'\r') if line.is_some_and(|line| line == b"\r\n") => Kind::Context,
                Some(b'-') => Kind::Old,
                Some(b'+') => Kind::New,
                _ => {
                    return Err(self.error(format!(
                        "the hunk at line {patch_line} lacks lines: its header counts {old_left} old and {new_left} new \
                         ones more; {AGAIN}"
                    )));
                }
            };
            // Only the last line of a file lacks its line feed.
            let ended =
                |of: Kind| lines.iter().any(|line| line.unended && (line.kind == Kind::Context || line.kind == of));
            if (kind != Kind::New && ended(Kind::Old)) || (kind != Kind::Old && ended(Kind::New)) {
                return Err(self.error("this line comes after one that ends the file without a line feed"));
            }
            for (left, counts) in [(&mut old_left, kind != Kind::New), (&mut new_left, kind != Kind::Old)] {
                match left.checked_sub(usize::from(counts)) {
                    Some(rest) => *left = rest,
                    None => {
                        return Err(self.error(format!(
                            "the hunk at line {patch_line} has more lines than its header counts; {AGAIN}"
                        )));
                    }
                }
            }
            let line = line.unwrap_or_default();
            let bytes = if matches!(line.first(), Some(b' ' | b'-' | b'+')) { &line[1..] } else { line };
            lines.push(Line { kind, bytes, unended: false });
            self.at += 1;
        }
        if lines.iter().all(|line| line.kind == Kind::Context) {
            return Err(Malformed { line: patch_line, reason: "this hunk changes nothing".to_owned() });
        }
        Ok(Hunk { patch_line, old_start, nothing, lines })
    }
}

/// What stands in `@@ -START,LINES +START,LINES @@`.
struct Ranges {
    /// How many old lines come before.
    old_start: usize,
    /// The numbers of old and new lines.
    lines: (usize, usize),
    /// Whether the old and the new range are `0,0`.
    nothing: (bool, bool),
}

impl Ranges {
    fn read(header: &[u8]) -> Option<Self> {
        let header = String::from_utf8_lossy(header);
        let ranges = header.strip_prefix("@@ -")?.split_once(" @@")?.0;
        let (old, new) = ranges.split_once(" +")?;
        let range = |text: &str| -> Option<(usize, usize)> {
            let (start, lines) = text.split_once(',').unwrap_or((text, "1"));
            let digits =
                |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
            Some((digits(start)?, digits(lines)?))
        };
        let (old, new) = (range(old)?, range(new)?);
        // With no old lines, the number is that of the line before.
        let old_start = if old.1 == 0 { old.0 } else { old.0.checked_sub(1)? };
        let fits = old_start.checked_add(old.1).is_some() && new.1 < usize::MAX;
        fits.then_some(Self { old_start, lines: (old.1, new.1), nothing: (old == (0, 0), new == (0, 0)) })
    }
}

/// A text of the patch, for a message.
pub(super) fn shown(text: &[u8]) -> String {
    format!("`{}`", printable(text))
}
