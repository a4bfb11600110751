//! Names in patches: quoted or not, with prefixes, and with times behind them.

use build_graph::RelPath;
use build_graph::untrusted::printable;

use super::parse::shown;

/// What a line `--- NAME` or `+++ NAME` says.
#[derive(Debug)]
pub(super) struct Side {
    /// The name; `None` for `/dev/null`.
    pub(super) name: Option<String>,
    /// Whether the time behind it is 1970-01-01 00:00 UTC, which `diff -N` gives to files that are
    /// not there.
    pub(super) is_epoch: bool,
}

/// What to do about names that don't tell where a file is.
pub(super) const PREFIX: &str = "make it again with `git diff --src-prefix=a/ --dst-prefix=b/` or, from the folder above, with \
                                 `diff -Nru a b`";

impl Side {
    /// Reads what follows the mark.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let (name, rest) = match text.first() {
            Some(b'"') => quoted(text).ok_or_else(|| format!("{} is no quoted name", shown(text)))?,
            // What follows a tab is the file's time.
            _ => {
                let end = text.iter().position(|byte| *byte == b'\t').unwrap_or(text.len());
                (text[..end].to_vec(), &text[end..])
            }
        };
        let name = utf8(name)?;
        let is_epoch = std::str::from_utf8(rest).is_ok_and(|time| is_epoch(time.trim()));
        Ok(Self { name: Some(name).filter(|name| name != "/dev/null"), is_epoch })
    }
}

fn utf8(name: Vec<u8>) -> Result<String, String> {
    String::from_utf8(name).map_err(|error| format!("the name {} is not UTF-8", shown(error.as_bytes())))
}

/// A name in quotes as in C, and what follows it.
pub(super) fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut name = Vec::new();
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((name, rest)),
            b'\\' => {
                let (escape, after) = rest.split_first()?;
                rest = after;
                name.push(match escape {
                    b'a' => 7,
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => b'\r',
                    b'"' | b'\\' => *escape,
                    b'0'..=b'3' => {
                        let (more, after) = rest.split_at_checked(2)?;
                        rest = after;
                        let digits =
                            std::str::from_utf8(more).ok().filter(|more| more.bytes().all(|b| b.is_ascii_digit()))?;
                        (escape - b'0') * 64 + u8::from_str_radix(digits, 8).ok()?
                    }
                    _ => return None,
                });
            }
            byte => name.push(*byte),
        }
    }
}

/// The path of a name that stands alone, without its prefix: `a/` for an old file, `b/` for a new
/// one.
pub(super) fn with_prefix(name: &str, prefix: &str) -> Result<RelPath, String> {
    let path = name.strip_prefix(prefix).and_then(|name| name.strip_prefix('/'));
    let path = path.ok_or_else(|| {
        let (prefix, name) = (printable(prefix), printable(name));
        format!("expected `{prefix}/PATH` or `/dev/null`, found `{name}`; {PREFIX}")
    })?;
    RelPath::new(path).map_err(|error| error.to_string())
}

/// The path that two names share behind a first component, in which they differ: `a/PATH` and
/// `b/PATH`, `x.orig/PATH` and `x/PATH`. If they don't differ, nobody can tell whether it is a
/// prefix or a folder.
pub(super) fn shared(old: &str, new: &str) -> Result<RelPath, String> {
    let refuse = |why: &str| {
        Err(format!("expected `a/PATH` and `b/PATH`, found `{}` and `{}`: {why}", printable(old), printable(new)))
    };
    let (Some((old_prefix, old_path)), Some((new_prefix, new_path))) = (old.split_once('/'), new.split_once('/'))
    else {
        return refuse(&format!("they have no prefix; {PREFIX}"));
    };
    if old_prefix.is_empty() || new_prefix.is_empty() {
        return refuse(&format!("they are absolute; {PREFIX}"));
    }
    if old_path != new_path {
        return refuse(&format!(
            "they are two files, and only git's `rename from` and `rename to` rename one; {PREFIX}"
        ));
    }
    if old_prefix == new_prefix {
        return refuse(&format!("they have no prefix, or the same; {PREFIX}"));
    }
    RelPath::new(new_path).map_err(|error| error.to_string())
}

/// Whether a time, as diff programs write it, is the one with which Unix's time begins. Without a
/// zone it is local, so it counts in every zone.
fn is_epoch(time: &str) -> bool {
    let words: Vec<&str> = time.split_whitespace().collect();
    let (day, clock, zone) = match words[..] {
        ["1969-12-31", clock] => (-1, clock, None),
        ["1969-12-31", clock, zone] => (-1, clock, Some(zone)),
        ["1970-01-01", clock] => (0, clock, None),
        ["1970-01-01", clock, zone] => (0, clock, Some(zone)),
        ["Wed", "Dec", "31", clock, "1969"] => (-1, clock, None),
        ["Wed", "Dec", "31", clock, "1969", zone] => (-1, clock, Some(zone)),
        ["Thu", "Jan", "1" | "01", clock, "1970"] => (0, clock, None),
        ["Thu", "Jan", "1" | "01", clock, "1970", zone] => (0, clock, Some(zone)),
        _ => return false,
    };
    let Some(minutes) = clock_minutes(clock) else { return false };
    let minutes = day * 24 * 60 + minutes;
    match zone {
        Some(zone) => zone_minutes(zone) == Some(minutes),
        None => (-12 * 60..=14 * 60).contains(&minutes) && minutes % 15 == 0,
    }
}

/// Minutes of `HH:MM:SS.000`, whose seconds are 0.
fn clock_minutes(clock: &str) -> Option<i32> {
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let (hours, rest) = whole.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let zero = |digits: &str| digits.bytes().all(|byte| byte == b'0');
    (zero(seconds) && zero(fraction)).then_some(sixties(hours, minutes)?)
}

/// Minutes of `+HHMM` or `+HH:MM`.
fn zone_minutes(zone: &str) -> Option<i32> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    let (hours, minutes) = digits.split_at_checked(2)?;
    Some(sign * sixties(hours, minutes)?)
}

fn sixties(hours: &str, minutes: &str) -> Option<i32> {
    Some(i32::from(hours.parse::<u8>().ok()?) * 60 + i32::from(minutes.parse::<u8>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_time_in_every_zone() {
        for time in [
            "1970-01-01 00:00:00.000000000 +0000",
            "1970-01-01 01:00:00.000000000 +0100",
            "1969-12-31 19:00:00.000000000 -0500",
            "1970-01-01 05:30:00 +05:30",
            "1970-01-01 01:00:00",
            "1969-12-31 16:00:00",
            "Thu Jan  1 01:00:00 1970",
            "Thu Jan 01 00:00:00 1970 +0000",
            "Wed Dec 31 16:00:00 1969",
            "1970-01-01 00:00:00Z +0000".trim_end_matches("Z +0000"),
        ] {
            assert!(is_epoch(time), "{time}");
        }
        for time in [
            "",
            "2020-01-01 00:00:00 +0000",
            "1970-01-01 00:00:01 +0000",
            "1970-01-01 00:00:00 +0100",
            "1970-01-01 00:00:00.1 +0000",
            "1970-01-01 23:00:00",
            "1970-01-01",
            "(revision 0)",
            "1970-01-01 00:00:00 é",
            "1970-01-01 00:00:00 +",
        ] {
            assert!(!is_epoch(time), "{time}");
        }
    }

    #[test]
    fn quotes_are_those_of_c() {
        let name = |text: &str| quoted(text.as_bytes()).map(|(name, rest)| (name, rest.to_vec()));
        assert_eq!(name(r#""a\303\274\t\"\\ b" x"#), Some(("aü\t\"\\ b".as_bytes().to_vec(), b" x".to_vec())));
        for bad in [r#""a"#, r#""\"#, r#""\9""#, r#""\38x""#, r#""\400""#, "a\"", r#""\x41""#] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_share_a_path_behind_prefixes_that_differ() {
        for (old, new) in [("a/x/y", "b/x/y"), ("p.orig/x/y", "p/x/y"), ("i/x/y", "w/x/y")] {
            assert_eq!(shared(old, new).unwrap().as_str(), "x/y");
        }
        for (old, new) in [
            ("x/y", "x/y"),
            ("x", "x"),
            ("a/x", "b/y"),
            ("/a/x", "/b/x"),
            ("x.orig", "x"),
            ("a/../x", "b/../x"),
            ("a/", "b/"),
        ] {
            assert!(shared(old, new).is_err(), "{old}");
        }
    }
}
