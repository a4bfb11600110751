//! Unified diffs (the format of POSIX `diff -u`, with git's file headers), strictly.

use std::borrow::Cow;

use build_graph::RelPath;

/// Why a patch is refused.
#[derive(Debug)]
pub(super) struct Malformed {
    /// Line of the patch, from 1.
    pub(super) line: usize,
    pub(super) reason: String,
}

/// What a patch does to one file.
#[derive(Debug)]
pub(super) enum FileDiff<'a> {
    Modify { path: RelPath, hunks: Vec<Hunk<'a>> },
    Create { path: RelPath, hunks: Vec<Hunk<'a>>, executable: bool },
    Delete { path: RelPath, hunks: Vec<Hunk<'a>> },
}

impl<'a> FileDiff<'a> {
    pub(super) fn path(&self) -> &RelPath {
        match self {
            Self::Modify { path, .. } | Self::Create { path, .. } | Self::Delete { path, .. } => path,
        }
    }

    pub(super) fn hunks(&self) -> &[Hunk<'a>] {
        match self {
            Self::Modify { hunks, .. } | Self::Create { hunks, .. } | Self::Delete { hunks, .. } => hunks,
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

/// The files that a patch changes, in its order.
///
/// Before a file's `---` line there may be anything (why the patch is needed, for example), but after a file's last hunk nothing that
/// could be a lost line of it: a line that begins with `+`, `-`, a blank or `@@`.
pub(super) fn parse(patch: &[u8]) -> Result<Vec<FileDiff<'_>>, Malformed> {
    let mut parser = Parser { lines: patch.split_inclusive(|byte| *byte == b'\n').collect(), at: 0 };
    let mut files = Vec::new();
    // Prose may stand before a file's header; right after a hunk it must not look like part of it.
    let mut after_hunk = false;
    // From `diff --git` to the file's `---` line.
    let mut in_git_header = false;
    let mut executable = false;
    while let Some(line) = parser.peek() {
        if line.starts_with(b"--- ") && parser.ahead(1).is_some_and(|next| next.starts_with(b"+++ ")) {
            files.push(parser.file(executable)?);
            (after_hunk, executable, in_git_header) = (true, false, false);
            continue;
        }
        if after_hunk && is_signature(line) {
            // `git format-patch` ends with `-- ` and git's version.
            parser.at = parser.lines.len();
            break;
        }
        if after_hunk && matches!(line.first(), Some(b'+' | b'-' | b' ' | b'@' | b'\\')) {
            return Err(parser.error("this line belongs to no hunk: the hunk's header counts fewer lines than it has"));
        }
        if line.starts_with(b"@@ -") {
            return Err(parser.error("a hunk without the lines `--- a/FILE` and `+++ b/FILE` before it"));
        }
        let text = trim(line);
        in_git_header |= text.starts_with(b"diff --git ");
        if in_git_header {
            executable |= text == b"new file mode 100755";
            for known_not in
                [&b"rename "[..], b"copy ", b"old mode ", b"new mode ", b"GIT binary patch", b"Binary files "]
            {
                if text.starts_with(known_not) {
                    let text = String::from_utf8_lossy(text);
                    return Err(parser.error(format!("`{text}`: only the contents of text files can be patched")));
                }
            }
        }
        // A section of prose or of git's headers ends what belongs to the hunk before it.
        after_hunk = false;
        parser.at += 1;
    }
    if files.is_empty() {
        return Err(parser.error("there is no `--- a/FILE` line followed by `+++ b/FILE` in it"));
    }
    Ok(files)
}

fn is_signature(line: &[u8]) -> bool {
    trim(line) == b"-- " || trim(line) == b"--"
}

fn trim(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

struct Parser<'a> {
    lines: Vec<&'a [u8]>,
    at: usize,
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

    /// A file's two header lines and its hunks.
    fn file(&mut self, executable: bool) -> Result<FileDiff<'a>, Malformed> {
        let old = self.name(b"--- ", "a/")?;
        let new = self.name(b"+++ ", "b/")?;
        let mut hunks: Vec<Hunk<'a>> = Vec::new();
        let mut old_end = 0;
        while self.peek().is_some_and(|line| line.starts_with(b"@@ ")) {
            let header = self.at;
            let hunk = self.hunk()?;
            if hunk.old_start < old_end {
                return Err(Malformed { line: header + 1, reason: "hunks overlap or are out of order".into() });
            }
            old_end = hunk.old_start + hunk.lines.iter().filter(|line| line.kind != Kind::New).count();
            hunks.push(hunk);
        }
        if hunks.is_empty() {
            return Err(self.error("expected a hunk: `@@ -START,LINES +START,LINES @@`"));
        }
        match (old, new) {
            (Some(old), Some(new)) if old == new => Ok(FileDiff::Modify { path: new, hunks }),
            (Some(old), Some(new)) => Err(self.error(format!("it renames `{old}` to `{new}`, which is not known"))),
            (None, Some(path)) => Ok(FileDiff::Create { path, hunks, executable }),
            (Some(path), None) => Ok(FileDiff::Delete { path, hunks }),
            (None, None) => Err(self.error("both files are /dev/null")),
        }
    }

    /// The path of a header line; `None` for `/dev/null`.
    fn name(&mut self, mark: &[u8], prefix: &str) -> Result<Option<RelPath>, Malformed> {
        let line = trim(self.peek().unwrap_or_default()).strip_prefix(mark).unwrap_or_default();
        // What follows a tab is the file's time.
        let name = line.split(|byte| *byte == b'\t').next().unwrap_or_default();
        let Ok(name) = std::str::from_utf8(name) else { return Err(self.error("the file's name is not UTF-8")) };
        let name = name.trim_end();
        if name == "/dev/null" {
            self.at += 1;
            return Ok(None);
        }
        let Some(path) = name.strip_prefix(prefix) else {
            return Err(self.error(format!("expected `{prefix}PATH` or `/dev/null`, found `{name}`")));
        };
        let path = RelPath::new(path).map_err(|error| self.error(error.to_string()))?;
        self.at += 1;
        Ok(Some(path))
    }

    fn hunk(&mut self) -> Result<Hunk<'a>, Malformed> {
        let patch_line = self.at + 1;
        let header = trim(self.peek().unwrap_or_default());
        let Some((old_start, mut old_left, mut new_left)) = ranges(header) else {
            return Err(self.error("expected `@@ -START,LINES +START,LINES @@`"));
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
                        "the hunk at line {patch_line} lacks lines: its header counts {old_left} old and {new_left} new ones more"
                    )));
                }
            };
            for (left, counts) in [(&mut old_left, kind != Kind::New), (&mut new_left, kind != Kind::Old)] {
                match left.checked_sub(usize::from(counts)) {
                    Some(rest) => *left = rest,
                    None => {
                        let reason = format!("the hunk at line {patch_line} has more lines than its header counts");
                        return Err(self.error(reason));
                    }
                }
            }
            let line = line.unwrap_or_default();
            let bytes = if matches!(line.first(), Some(b' ' | b'-' | b'+')) { &line[1..] } else { line };
            lines.push(Line { kind, bytes, unended: false });
            self.at += 1;
        }
        Ok(Hunk { patch_line, old_start, lines })
    }
}

/// From `@@ -START,LINES +START,LINES @@`: how many old lines come before, and the numbers of old and new lines.
fn ranges(header: &[u8]) -> Option<(usize, usize, usize)> {
    let header = String::from_utf8_lossy(header);
    let ranges = header.strip_prefix("@@ -")?.split_once(" @@")?.0;
    let (old, new) = ranges.split_once(" +")?;
    let range = |text: &str| -> Option<(usize, usize)> {
        let (start, lines) = text.split_once(',').unwrap_or((text, "1"));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        Some((digits(start)?, digits(lines)?))
    };
    let (old_start, old_lines) = range(old)?;
    let (_, new_lines) = range(new)?;
    // With no old lines, the number is that of the line before.
    let before = if old_lines == 0 { old_start } else { old_start.checked_sub(1)? };
    (before.checked_add(old_lines).is_some() && new_lines < usize::MAX).then_some((before, old_lines, new_lines))
}
