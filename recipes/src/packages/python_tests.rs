//! CPython's own tests, in a package of their own: who does not check the interpreter does without
//! their 30 MB.

use build_graph::dsl::{Recipe, recipe};

use super::python::{LIBRARY, bytecode};

/// Where the library has its tests, with the data that they read.
pub(super) const TESTS: &str = "Lib/test/** Lib/**/test/** Lib/**/tests/**";

/// Tests of what is not there (`NOT_THERE` of the library, and the C half of `bsddb`); the others
/// of that list have none by these names.
const WITHOUT: &str = "!Lib/bsddb/** !Lib/lib-tk/**";

pub(crate) const RECIPE: Recipe = recipe("python-tests", "2.7.18").license("Python-2.0").describe(|cx| {
    let source = cx.unpacked("python", 1);
    let tests = source.select(format!("{TESTS} {WITHOUT}")).strip("Lib");
    let tests = cx.merge("tests", [(tests, "")]);
    // Each file of tests is a process: without bytecode, every one would compile what they share.
    let bytecode = bytecode(cx, &tests, LIBRARY);
    cx.install_tree(&tests, "root/python/lib/python2.7");
    cx.install_tree(bytecode, "root/python/lib/python2.7");
    cx.requires("python");
});
