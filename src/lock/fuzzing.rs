//! The parsers of this room, for [`crate::fuzzing`].

use std::collections::BTreeSet;

use super::index::{Release, Signature};
use super::version::compare;

pub(crate) fn index(packages: &str, sources: &str) {
    let signed = super::index::unarmoured(sources);
    let signature = Signature::NotChecked(String::new());
    let Ok(release) = Release::parse("suite", "1", signature, packages, &[("i386", packages)], &signed) else { return };
    for package in ["a", "b"] {
        let _ = release.original(package, "1.2");
        let closure = super::resolve::closure(&release.packages, &[package.to_owned()], &BTreeSet::from(["c"]));
        if let Ok(chosen) = closure {
            assert!(chosen.iter().all(|name| release.packages.get(name).is_some()), "a package is chosen that is none");
        }
    }
}

pub(crate) fn versions([a, b, c]: [&str; 3]) {
    assert!(compare(a, a).is_eq());
    assert_eq!(compare(a, b), compare(b, a).reverse());
    if compare(a, b).is_le() && compare(b, c).is_le() {
        assert!(compare(a, c).is_le(), "{a:?} <= {b:?} <= {c:?}");
    }
}
