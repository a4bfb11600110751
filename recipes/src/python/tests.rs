//! CPython's own tests, in a package of their own: who does not check the interpreter does without their 30 MB.

use build_graph::dsl::{Context, Product};

use super::{LIBRARY, bytecode};

/// Where the library has its tests, with the data that they read.
pub(super) const TESTS: [&str; 3] = ["Lib/test/**", "Lib/**/test/**", "Lib/**/tests/**"];

/// Tests of what is not there (`NOT_THERE`, and the C half of `bsddb`); the others of that list
/// have none by these names.
const WITHOUT: [&str; 2] = ["Lib/bsddb/**", "Lib/lib-tk/**"];

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.unpacked("python", 1);
    let tests = source.select(TESTS).except(WITHOUT).strip("Lib");
    let tests = cx.merge("tests", [(tests, "")]);
    // Each file of tests is a process: without bytecode, every one would compile what they share.
    let bytecode = bytecode(cx, &tests, LIBRARY);
    let content =
        [(tests.all(), "root/python/lib/python2.7"), (bytecode.below("bytecode"), "root/python/lib/python2.7")];
    let package = cx.package(content, ["python"]);
    Product { tree: None, package: Some(package) }
}
