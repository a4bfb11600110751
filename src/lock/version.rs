//! Debian's order of versions (deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions: epoch, upstream's version, Debian's revision.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (split(a), split(b));
    a.0.cmp(&b.0).then_with(|| compare_part(a.1, b.1)).then_with(|| compare_part(a.2, b.2))
}

/// Upstream's part of a version.
pub(super) fn upstream(version: &str) -> &str {
    split(version).1
}

fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Stretches without digits and numbers in turn; `~` before the end, letters before the rest.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = take(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = take(b, |c| !c.is_ascii_digit());
        let rank = |c: Option<char>| match c {
            Some('~') => -1,
            None => 0,
            Some(c) if c.is_ascii_alphabetic() => i32::from(u8::try_from(c).unwrap_or(0)),
            Some(c) => 256 + i32::try_from(u32::from(c)).unwrap_or(i32::MAX - 256),
        };
        let (mut chars_a, mut chars_b) = (text_a.chars(), text_b.chars());
        loop {
            let (one, two) = (chars_a.next(), chars_b.next());
            match rank(one).cmp(&rank(two)) {
                Ordering::Equal if one.is_none() => break,
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        let (number_a, rest_a) = take(rest_a, |c| c.is_ascii_digit());
        let (number_b, rest_b) = take(rest_b, |c| c.is_ascii_digit());
        let (number_a, number_b) = (number_a.trim_start_matches('0'), number_b.trim_start_matches('0'));
        let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn take(text: &str, fits: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !fits(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    use super::*;

    /// dpkg itself is the reference.
    #[test]
    #[ignore = "needs dpkg"]
    fn the_order_of_dpkg() {
        let version = || "([0-9]:)?[0-9][0-9a-c.+~]{0,5}(-[0-9a-c.+~]{1,4})?";
        let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
        runner
            .run(&(version(), version()), |(a, b)| {
                let says = |relation: &str| {
                    let arguments = ["--compare-versions", &a, relation, &b];
                    std::process::Command::new("dpkg").args(arguments).status().unwrap().success()
                };
                let expected = match (says("lt"), says("gt")) {
                    (true, _) => Ordering::Less,
                    (_, true) => Ordering::Greater,
                    _ => Ordering::Equal,
                };
                prop_assert_eq!(compare(&a, &b), expected, "{} {}", a, b);
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn the_order_of_the_manual() {
        for (a, b) in [
            ("1.0~rc1", "1.0"),
            ("1.0~~", "1.0~"),
            ("1.0~~a", "1.0~"),
            ("1.0", "1.0a"),
            ("1.0a", "1.0+b1"),
            ("1.9", "1.10"),
            ("9:1", "10:0"),
            ("1.0-1", "1.0-1.1"),
            ("1.0-1", "1.0-1+deb12u1"),
            ("2:0.5", "2:0.5-1"),
            ("1:19.1.7-3~deb12u1", "1:19.1.7-3"),
            ("1.2-3-1", "1.2-3-2"),
        ] {
            assert_eq!(compare(a, b), Ordering::Less, "{a} < {b}");
            assert_eq!(compare(b, a), Ordering::Greater, "{b} > {a}");
        }
        assert_eq!(compare("0:1.01", "1.1"), Ordering::Equal);
        assert_eq!(upstream("1:1.2.13.dfsg-1"), "1.2.13.dfsg");
    }
}
