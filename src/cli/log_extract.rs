//! What is shown of the log of a failed action: the first errors in it, and its end.

use std::collections::BTreeSet;

/// So many errors are shown: later ones mostly follow from these.
const MAX_ERRORS: usize = 10;
/// So many lines are shown after each error: the compiler's picture of it, what make says of it.
const AFTER_ERROR: usize = 4;
/// So many lines of the end are shown: a script's last words, or a program's summary.
const MAX_END: usize = 20;
/// A log of no more lines than this is shown whole.
const MAX_WHOLE: usize = 40;
/// So many characters of a line are shown.
const MAX_LINE: usize = 1000;

/// Returns the lines of a log that say what went wrong. Where lines are left out, a line says how
/// many.
pub(super) fn extract(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    if lines.len() <= MAX_WHOLE {
        return lines.into_iter().map(cut).collect::<Vec<_>>().join("\n");
    }
    let errors = (0..lines.len()).filter(|at| is_error(lines[*at])).take(MAX_ERRORS);
    let mut shown: BTreeSet<usize> = (lines.len() - MAX_END..lines.len()).collect();
    for at in errors {
        // Compilers name the function, or the file that includes this one, in the line before.
        let before = usize::from(at > 0 && is_introduction(lines[at - 1]));
        shown.insert(at - before);
        shown.insert(at);
        let after = (at + 1..lines.len()).take(AFTER_ERROR).take_while(|next| !is_warning(lines[*next]));
        shown.extend(after);
    }
    let mut text = Vec::new();
    let mut next = 0;
    for at in shown {
        if at > next {
            let left_out = at - next;
            text.push(format!("[… {left_out} {} …]", if left_out == 1 { "line" } else { "lines" }));
        }
        text.push(cut(lines[at]));
        next = at + 1;
    }
    text.join("\n")
}

/// A command of a link is a line of many thousand characters.
fn cut(line: &str) -> String {
    match line.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Whether a line says that something failed, in the words of compilers, linkers, make, configure,
/// shells, Python and cargo.
fn is_error(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let words = [
        "error:",
        "error[",
        "error ",
        "errors:",
        "fatal:",
        "undefined reference",
        "undefined symbol",
        "no such file or directory",
        "command not found",
        ": not found",
        "permission denied",
        "cannot find",
        "can't open",
        "no rule to make target",
        "segmentation fault",
        "assertion",
        "traceback (most recent call last)",
        "panicked at",
        "*** ",
    ];
    // Not `-Werror=…`, nor a file called `error.c` that is compiled.
    !is_warning(line) && words.iter().any(|word| begins_a_word(&lower, word)) && !lower.contains("0 errors")
}

/// Whether a text occurs in a line where no other word ends: `error:`, but not `on_error:`.
fn begins_a_word(line: &str, text: &str) -> bool {
    let part_of_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/' | b'.');
    let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic());
    line.match_indices(text).any(|(at, _)| at == 0 || !is_word || !part_of_word(line.as_bytes()[at - 1]))
}

fn is_warning(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    ["warning:", "note:"].iter().any(|word| begins_a_word(&lower, word))
}

fn is_introduction(line: &str) -> bool {
    line.contains(": In function ") || line.trim_start().starts_with("In file included from ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(count: usize) -> String {
        let warning = |n: usize| {
            format!(
                "src/a.c:{n}:5: warning: unused variable 'error_{n}' [-Wunused-variable]\n    5 |     int error_{n};\n      |         ^~~\n"
            )
        };
        (0..count).map(warning).collect()
    }

    #[test]
    fn the_first_errors_are_shown_however_much_follows() {
        let errors = "src/a.c: In function 'f':\nsrc/a.c:100:9: error: 'x' undeclared (first use in this function)\n  100 |  return x;\n\
                      src/a.c:101:9: error: expected ';' before '}' token\n";
        let text = extract(&format!("{}{errors}{}72 warnings and 2 errors generated.\n", warnings(30), warnings(42)));
        for line in errors.lines() {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.starts_with("[… 90 lines …]\nsrc/a.c: In function"), "{text}");
        assert!(text.ends_with("72 warnings and 2 errors generated."), "{text}");
        assert!(text.lines().count() < 40, "{text}");
    }

    #[test]
    fn what_different_programs_say() {
        let much = "checking for something... yes\n".repeat(100);
        for line in [
            "clang: error: unsupported option '-fPIE'",
            "wasm-ld-19: error: objects/a.o: undefined symbol: foo",
            "/usr/bin/ld: main.c:(.text+0x5): undefined reference to `foo'",
            "make: *** [Makefile:7: a.o] Error 1",
            "make: *** No rule to make target 'b.c', needed by 'b.o'.  Stop.",
            "configure: error: no acceptable C compiler found in $PATH",
            "bash: line 3: gperf: command not found",
            "sh: 1: ed: not found",
            "cp: cannot stat 'x.h': No such file or directory",
            "Traceback (most recent call last):",
            "a.c:1:10: fatal error: yaml.h: No such file or directory",
            "Error: unknown mnemonic `foo'",
        ] {
            let text = extract(&format!("{much}{line}\n{much}"));
            assert!(text.contains(line), "{line}");
        }
        for line in [
            "checking for error.h... yes",
            "cc -Werror=format -c src/error.c -o error.o",
            "a.c:1: warning: comparison of error: codes",
            "0 errors, 3 warnings",
            "  CC       lib/on_error.o",
        ] {
            assert!(!extract(&format!("{much}{line}\n{much}")).contains(line), "{line}");
        }
    }

    #[test]
    fn a_short_log_is_shown_whole_and_errors_are_bounded() {
        let short = "one\ntwo\nthree";
        assert_eq!(extract(&format!("{short}\n")), short);
        assert!(extract(&"x".repeat(5000)).len() < 1010);
        let text = extract(&"x.c:1:1: error: wrong\n".repeat(10_000));
        assert!(text.lines().count() <= MAX_ERRORS + AFTER_ERROR + MAX_END + 1, "{text}");
    }
}
