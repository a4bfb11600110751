//! Which of two versions is the later one.

use std::cmp::Ordering;
use std::str::FromStr as _;

use pep440_rs::Version;

/// Compares versions: as Python's package indexes do where both are versions to them (`2.10` is
/// later than `2.9`, `1.0` than `1.0rc1`, `2.9.14+dfsg` than `2.9.14`), otherwise as Debian does
/// (`1.1.1w` is later than `1.1.1v`). Versions that count as equal, such as `1.0` and `1.0.0`, are
/// compared as text.
pub fn compare(a: &str, b: &str) -> Ordering {
    let order = match (Version::from_str(a), Version::from_str(b)) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => crate::lock::version::compare(a, b),
    };
    order.then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_version_is_greater() {
        for (earlier, later) in [
            ("2.9", "2.10"),
            ("2.7.18", "3.13.5"),
            ("1.0rc1", "1.0"),
            ("1.0rc2", "1.0rc10"),
            ("1.0a1", "1.0b1"),
            ("1.0.dev3", "1.0a1"),
            ("1.0", "1.0.post1"),
            ("2.9.14", "2.9.14+dfsg"),
            ("2.9.14+dfsg", "2.10"),
            ("2.9.14+dfsg", "2.9.14+dfsg.1"),
            ("1.1.1", "1.1.1w"),
            ("1.1.1v", "1.1.1w"),
            ("9e", "10"),
            ("2022b", "2026f"),
            ("0.0~git20220510", "0.0~git20241209"),
            ("1.0~rc1", "1.0"),
            ("1:1.0", "2:0.5"),
            ("99999999999999999999", "100000000000000000000"),
            ("1.0", "1.0.0"),
        ] {
            assert_eq!(compare(earlier, later), Ordering::Less, "{earlier} < {later}");
            assert_eq!(compare(later, earlier), Ordering::Greater, "{later} > {earlier}");
            assert_eq!(compare(later, later), Ordering::Equal);
        }
    }
}
