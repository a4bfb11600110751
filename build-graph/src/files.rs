//! What of a folder is a source, and what other programs left there.

/// Folders and files of version control, which differ between two checkouts of the same sources and
/// may hold passwords.
const VERSION_CONTROL: [&str; 9] = [".git", ".hg", ".svn", ".bzr", ".jj", ".pijul", "_darcs", "CVS", "_FOSSIL_"];

/// Whether a file or folder of this name is no source: version control's, or what an editor leaves
/// while a file is open or behind it.
pub fn is_leaving(name: &str) -> bool {
    VERSION_CONTROL.contains(&name) || is_of_an_editor(name)
}

fn is_of_an_editor(name: &str) -> bool {
    // Backups (`x~`), Emacs' locks (`.#x`) and saved states (`#x#`), and the file with which Vim
    // tries whether a folder can be written to.
    if name.ends_with('~') || name.starts_with(".#") || name == "4913" {
        return true;
    }
    if name.len() > 2 && name.starts_with('#') && name.ends_with('#') {
        return true;
    }
    // Vim's swap files, `.x.swp`, then `.x.swo`, `.x.swn`, …; Kate's `.x.kate-swp`; what macOS
    // leaves in every folder.
    let swap = name.starts_with('.')
        && name.rsplit_once('.').is_some_and(|(file, end)| {
            let is_vims = matches!(end.as_bytes(), [b's', b'w' | b'v' | b'u', b'a'..=b'z']);
            !file.is_empty() && (is_vims || end == "kate-swp")
        });
    swap || name == ".DS_Store" || name.starts_with("._")
}

/// Whether a file of a project can be executed: it begins with `#!` or is an ELF program.
///
/// Its mode does not decide: git's settings and file systems without modes make all files
/// executable, or none.
pub fn is_program(bytes: &[u8]) -> bool {
    bytes.starts_with(b"#!") || bytes.starts_with(b"\x7fELF")
}

/// The bytes with the line ends of Unix in place of Windows'; `None` if they have none of those.
pub fn with_unix_line_ends(bytes: &[u8]) -> Option<Vec<u8>> {
    let is_windows = |pair: &[u8]| pair == b"\r\n";
    bytes.windows(2).any(is_windows).then(|| {
        let next = bytes.iter().skip(1).map(Some).chain([None]);
        bytes
            .iter()
            .zip(next)
            .filter(|(byte, next)| !(**byte == b'\r' && *next == Some(&b'\n')))
            .map(|(b, _)| *b)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_and_version_control_leave_is_no_source() {
        for name in [
            ".git",
            ".hg",
            ".svn",
            "CVS",
            ".#zlib.h",
            "zlib.h~",
            "~",
            ".zlib.h.swp",
            ".zlib.h.swo",
            ".zlib.h.swx",
            "4913",
            "#zlib.h#",
            ".zlib.h.un~",
            ".zlib.h.kate-swp",
            ".DS_Store",
            "._zlib.h",
            ".swp.swp",
        ] {
            assert!(is_leaving(name), "{name}");
        }
        for name in [
            ".gitignore",
            ".gitattributes",
            ".github",
            ".clang-format",
            "zlib.h",
            "#",
            "##",
            "#x",
            "x#",
            "4913.c",
            "x.swp",
            ".swp",
            "git",
            ".x.sw",
            ".x.swift",
            "Makefile.in",
            ".x.c",
        ] {
            assert!(!is_leaving(name), "{name}");
        }
    }

    #[test]
    fn line_ends_are_found_and_changed() {
        assert_eq!(with_unix_line_ends(b"a\nb\r"), None);
        assert_eq!(with_unix_line_ends(b""), None);
        assert_eq!(with_unix_line_ends(b"a\r\nb\rc\r\r\n").unwrap(), b"a\nb\rc\r\n");
    }

    #[test]
    fn a_program_is_told_by_its_beginning() {
        assert!(is_program(b"#!/bin/sh\n") && is_program(b"\x7fELF\x02"));
        assert!(!is_program(b"import os\n") && !is_program(b"") && !is_program(b"# !"));
    }
}
