//! What diff programs write about changes that a unified diff does not hold, and other formats of
//! changes.

use super::parse::shown;

/// Why a line outside of any file can't be passed over as prose. `next` is the line after it.
pub(super) fn refusal(line: &[u8], next: Option<&[u8]>) -> Option<String> {
    let begins = |mark: &[u8]| line.starts_with(mark);
    let between = |from: &[u8], to: &[u8]| begins(from) && line.ends_with(to);
    let told = |what: &str, advice: &str| Some(format!("{}: {what}; {advice}", shown(line)));
    if between(b"Binary files ", b" differ")
        || between(b"Files ", b" differ")
        || between(b"Binary file ", b" has changed")
        || line == b"GIT binary patch"
        || begins(b"Cannot display: file marked as a binary type")
    {
        return told("the patch does not say how", BINARY);
    }
    if between(b"Symbolic links ", b" differ") || (begins(b"File ") && contains(line, b" while file ")) {
        return told("the patch does not say how", "make it again with `git diff`, which can say it");
    }
    if let Some(rest) = line.strip_prefix(b"Only in ")
        && let Some(colon) = rest.windows(2).position(|two| two == b": ")
        && (!rest[..colon].contains(&b' ') || rest[..colon].contains(&b'/'))
    {
        let advice = "make it again with `diff -Nru a b`, and indent the line if it is prose";
        return told("the patch does not hold that file", advice);
    }
    if begins(b"Submodule ")
        && (contains(line, b"..") || contains(line, b" submodule") || contains(line, b" contains "))
    {
        return told("submodules can't be patched", "leave them out (`git diff --ignore-submodules`)");
    }
    if begins(b"Common subdirectories: ") {
        return told("they were not compared", "make it again with `diff -Nru a b`");
    }
    if begins(b"***************") || (begins(b"*** ") && next.is_some_and(|next| next.starts_with(b"--- "))) {
        return told("this is a context diff", UNIFIED);
    }
    if is_normal(line) && next.is_some_and(|next| next.starts_with(b"< ") || next.starts_with(b"> ")) {
        return told("this is a diff without context", UNIFIED);
    }
    if begins(b"diff --cc ") || begins(b"diff --combined ") || begins(b"@@@ ") {
        return told("this is the diff of a merge", "make it again against one parent: `git diff PARENT MERGE`");
    }
    if begins(b"Property changes on: ") {
        return told("properties are not in the patch", "make it again with `git diff`, or cut them off");
    }
    let mode = |mark: &[u8]| line.strip_prefix(mark).is_some_and(|mode| mode.iter().all(u8::is_ascii_digit));
    if mode(b"old mode ") || mode(b"new mode ") || mode(b"new file mode ") || mode(b"deleted file mode ") {
        return told("there is no line `diff --git a/FILE b/FILE` before it", "make it again with `git diff`");
    }
    if begins(b"Content-Transfer-Encoding:") && !line.ends_with(b"8bit") && !line.ends_with(b"7bit") {
        return told("the mail is encoded", "save its text, or make the patch again with `git format-patch`");
    }
    let half = begins(b"--- a/") || begins(b"--- /dev/null") || begins(b"+++ b/") || begins(b"+++ /dev/null");
    if half {
        return told("the lines `--- a/FILE` and `+++ b/FILE` follow each other", UNIFIED);
    }
    if speaks_of_two(line) || speaks_of_one(line) {
        let advice = "make it again with `LC_ALL=C diff -Nru a b` or `git diff`, and indent the line if it is prose";
        return told("what it says of a file is not in the patch", advice);
    }
    None
}

/// What to do about a file that is no text.
pub(super) const BINARY: &str = "only text can be patched: leave the file out of the patch (`git diff -- . ':!FILE'`, \
                                 `diff -x FILE`), and let the recipe bring it if it is needed";

const UNIFIED: &str = "make it again with `git diff` or, from the folder above, with `diff -Nru a b`";

/// Whether a line speaks of `a/PATH` and `b/PATH`, as diff does in every language of files that it
/// can't compare.
fn speaks_of_two(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let names = |prefix: &'static str| {
        let words = line.split_whitespace().map(|word| word.trim_matches(['.', ',', ':', '\'', '"', '`', '«', '»']));
        words.filter_map(move |word| word.strip_prefix(prefix).filter(|path| !path.is_empty()))
    };
    !line.starts_with("diff ") && names("a/").any(|path| names("b/").any(|other| other == path))
}

/// Whether a line is `Only in DIRECTORY: FILE` in some language, for the directories `a` and `b`.
fn speaks_of_one(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split(' ').collect();
    let Some((_, [directory, _])) = words.split_last_chunk::<2>() else { return false };
    let directory = directory.strip_suffix(':').unwrap_or_default();
    let is_side = matches!(directory, "a" | "b") || directory.starts_with("a/") || directory.starts_with("b/");
    (3..=5).contains(&words.len()) && is_side && line.starts_with(char::is_uppercase)
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|window| window == part)
}

/// Whether this is a command of POSIX's default format, such as `3,4c5`.
fn is_normal(line: &[u8]) -> bool {
    let Some(at) = line.iter().position(|byte| matches!(byte, b'a' | b'c' | b'd')) else { return false };
    let range = |text: &[u8]| {
        text.first().is_some_and(u8::is_ascii_digit) && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b',')
    };
    range(&line[..at]) && range(&line[at + 1..])
}
