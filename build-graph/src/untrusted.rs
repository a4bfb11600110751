//! Printing text that somebody else wrote: names in archives, packages and patches, answers of
//! remotes, output of programs.
//!
//! A terminal obeys what it is shown: escape sequences recolour, move and retitle, a line feed
//! forges a line of our own, a bidirectional override reorders what is read. So a message never
//! holds such text as it is; it holds [`printable`] of it.

use std::fmt::{self, Write as _};
use std::path::Path;

/// More characters than this are not shown of one line; an ellipsis stands for the rest.
pub const MAX_SHOWN: usize = 300;

/// Shows bytes as one line of printable text.
///
/// Whatever Unicode calls control, format (bidirectional overrides, zero-width characters),
/// separator, private or unassigned is escaped as in a Rust string (`\n`, `\u{1b}`, `\u{202e}`); a
/// byte that is not UTF-8 is shown as `\xff`. Quotes and backslashes stay as they are, so printing
/// what was printed already changes nothing. What is longer than [`MAX_SHOWN`] characters is cut.
pub fn printable<B: AsRef<[u8]> + ?Sized>(bytes: &B) -> Printable<'_> {
    Printable { bytes: bytes.as_ref(), limit: MAX_SHOWN, lines: false }
}

/// Shows a path of this machine as [`printable`] does, but whole: the kernel bounds it. One that is
/// not UTF-8 keeps its bytes legible.
pub fn printable_path<P: AsRef<Path> + ?Sized>(path: &P) -> Printable<'_> {
    Printable { limit: usize::MAX, ..printable(path.as_ref().as_os_str().as_encoded_bytes()) }
}

/// Whether a text is printed as it is, but for its length.
pub fn is_printable(text: &str) -> bool {
    !text.contains(['\n', '\t']) && printable(text).lines().to_string() == text
}

/// Untrusted bytes that are safe to print; see [`printable`].
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a> {
    bytes: &'a [u8],
    limit: usize,
    lines: bool,
}

impl Printable<'_> {
    /// Keeps line feeds and tabs, and cuts nothing: for logs and messages of several lines. A line
    /// that ends with a carriage return and a line feed ends with the line feed alone.
    #[must_use]
    pub fn lines(self) -> Self {
        Self { lines: true, ..self }
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.lines {
            return one_line(self.bytes, self.limit, f);
        }
        for (index, line) in self.bytes.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            for (index, cell) in line.split(|byte| *byte == b'\t').enumerate() {
                if index > 0 {
                    f.write_char('\t')?;
                }
                one_line(cell, usize::MAX, f)?;
            }
        }
        Ok(())
    }
}

fn one_line(bytes: &[u8], limit: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut left = limit;
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let shown = valid.char_indices().nth(left).map_or(valid, |(end, _)| &valid[..end]);
        escape(shown, f)?;
        if shown.len() < valid.len() {
            return f.write_char('…');
        }
        left -= shown.chars().count();
        for byte in chunk.invalid() {
            if left == 0 {
                return f.write_char('…');
            }
            write!(f, "\\x{byte:02x}")?;
            left -= 1;
        }
    }
    Ok(())
}

/// Escapes what is not printable, by the standard library's tables. Those escape quotes and
/// backslashes, too, which are no danger.
fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for part in text.split_inclusive(['\'', '"', '\\']) {
        let kept = part.trim_end_matches(['\'', '"', '\\']);
        write!(f, "{}", kept.escape_debug())?;
        f.write_str(&part[kept.len()..])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["", "zlib-1.2.13/zlib.h", r#"a "b" 'c' \d"#, "größe", "日本語", "e\u{301}", "नमस्ते", "🦀"]
        {
            assert_eq!(printable(text).to_string(), text);
        }
    }

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        for (text, shown) in [
            (&b"\x1b[31mred\x1b[0m"[..], r"\u{1b}[31mred\u{1b}[0m"),
            (b"a\nb\rc\td\0", r"a\nb\rc\td\0"),
            ("\u{9b}31m".as_bytes(), r"\u{9b}31m"),
            (b"\x9b31m\xff", r"\x9b31m\xff"),
            (b"\x7f\x08", r"\u{7f}\u{8}"),
            ("a\u{202e}gnp.exe".as_bytes(), r"a\u{202e}gnp.exe"),
            ("\u{2066}\u{200f}\u{61c}\u{200b}\u{feff}".as_bytes(), r"\u{2066}\u{200f}\u{61c}\u{200b}\u{feff}"),
            ("a\u{2028}b".as_bytes(), r"a\u{2028}b"),
        ] {
            assert_eq!(printable(text).to_string(), shown);
        }
    }

    #[test]
    fn lines_are_kept_on_request() {
        let text = b"one\r\n\ttwo \x1b]0;title\x07\nthree\rforged\n";
        assert_eq!(
            printable(text.as_slice()).lines().to_string(),
            "one\n\ttwo \\u{1b}]0;title\\u{7}\nthree\\rforged\n"
        );
    }

    #[test]
    fn long_names_are_cut_and_say_so() {
        let long = "é".repeat(MAX_SHOWN + 1);
        let shown = printable(&long).to_string();
        assert_eq!(shown.chars().count(), MAX_SHOWN + 1);
        assert!(shown.ends_with('…'));
        assert_eq!(printable(&"é".repeat(MAX_SHOWN)).to_string(), "é".repeat(MAX_SHOWN));
        assert!(printable(&[0xff; MAX_SHOWN + 1]).to_string().ends_with("\\xff…"));
    }

    proptest! {
        #[test]
        fn nothing_unprintable_is_left(bytes: Vec<u8>, text in any::<String>()) {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let shown = printable(bytes).to_string();
                let dangerous = |c: char| {
                    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                };
                prop_assert!(!shown.contains(dangerous), "{}", shown.escape_debug());
                prop_assert!(is_printable(&printable(bytes).to_string()));
                let lines = printable(bytes).lines().to_string();
                prop_assert!(!lines.contains(|c| dangerous(c) && !matches!(c, '\n' | '\t')));
                prop_assert_eq!(printable(&lines).lines().to_string(), lines);
            }
        }
    }
}
