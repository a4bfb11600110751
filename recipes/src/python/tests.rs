//! CPython's own tests, in a package of their own: who does not check the interpreter does without their 30 MB.

use build_graph::dsl::{Context, Product};

/// Where the library has its tests, with the data that they read.
pub(super) const TESTS: [&str; 3] = ["Lib/test/**", "Lib/**/test/**", "Lib/**/tests/**"];

/// Tests of what is not there: see `NOT_INSTALLED`.
const WITHOUT: [&str; 5] =
    ["Lib/bsddb/**", "Lib/idlelib/**", "Lib/lib-tk/**", "Lib/msilib/**", "Lib/multiprocessing/**"];

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.unpacked("python", 1);
    let tests = source.select(TESTS).except(WITHOUT).strip("Lib");
    let package = cx.package([(tests, "root/python/lib/python2.7")], ["python"]);
    Product { tree: None, package: Some(package) }
}
