//! Small programs as native code, for the tests of the way there (`tests/native_code.rs`), and
//! those that both engines run for comparison (`tests/native_engine.rs`): two of them load
//! libraries, of which one throws exceptions.

use build_graph::dsl::{Context, MemoryBase, Recipe, recipe};

use super::python_native::libraries;
use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("native-tests", "0.1.0")
    .license("MIT OR Apache-2.0")
    .targets(&[WASM])
    .on_request()
    .files("recipes/files/native/tests")
    .describe(|cx| {
        for (name, argument) in [("turns", "words"), ("other", "")] {
            let program = cx.program(name).sources(name).flags(FLAGS).finish();
            for base in MemoryBase::ALL {
                let trained = format!("{name} {argument}");
                let native = cx.native_code(name, &program).trained_by(trained).finish(base);
                cx.tree(&native, base.word());
            }
        }
        // Of the first random programs, those that don't trap.
        for (name, argument) in [("engine", "random 3 4 5"), ("kept", "")] {
            let program = cx.program(name).sources(name).flags(FLAGS).finish();
            for base in MemoryBase::ALL {
                let trained = format!("{name} {argument}");
                let native = cx.native_code(name, &program).trained_by(trained).finish(base);
                cx.installs_native_code(name, &native, base);
            }
            cx.install_tree(&program, &format!("lib/native/{name}"));
            cx.install_tree(&program, "root/test");
        }
        loads(cx);
        throws(cx);
        cx.requires("sandbox_outer sandbox_inner");
    });

const FLAGS: &str = "-Wall -Wextra -Werror";
/// How programs that load libraries are linked: all of the C library, which others have, would take
/// a compiler longer than the rest of the tests.
const LOADS: &str = "-Wl,--export-all -Wl,--export-table -Wl,--growable-table -Wl,--export=__stack_pointer";

/// The program that loads libraries, and these. One of them can't be loaded, and so not be trained.
fn loads(cx: &mut Context<'_>) {
    let program = cx.program("loads").sources("loads").headers("*.h").flags(FLAGS).link_flags(LOADS).finish();
    let second = cx.c_library("second").sources("second").headers("*.h").flags(FLAGS).without_headers().shared();
    let first = cx.module("first.so").sources("first").headers("*.h").flags(FLAGS).links(&second).finish();
    let third = cx.module("third.so").sources("third").flags(FLAGS).finish();
    for module in [&first, &third] {
        cx.install_tree(module, "root/test");
    }
    cx.install_tree(&program, "root/test");
    cx.install_tree(&program, "lib/native/loads");
    let linked = cx.linked_here();
    for base in MemoryBase::ALL {
        let native = cx.native_code("loads", &program).trained_by("loads").finish(base);
        cx.installs_native_code("loads", &native, base);
        let (trained, untrained): (Vec<_>, Vec<_>) = linked.iter().cloned().partition(|(path, _)| path != "third.so");
        let code = cx.native_libraries("loads", &native).trained_by("loads works");
        libraries(code, "native-tests", &trained, "/test").installed(base);
        libraries(cx.native_libraries("loads", &native), "native-tests", &untrained, "/test").installed(base);
    }
}

/// The program in C++ that throws, and the library that it loads, which uses what the program has
/// of the library of C++.
fn throws(cx: &mut Context<'_>) {
    let program = cx.program("throws").cxx("17").sources("throws.cpp").headers("*.h").flags(FLAGS);
    let program = program.link_flags(LOADS).link_flags("-Wl,--undefined=sandbox_uncaught_exception").finish();
    let objects = cx.compile().cxx("17").sources("caught.cpp").headers("*.h").flags(FLAGS).pic().finish();
    let library = cx.module("caught.so").objects(objects).finish();
    for tree in [&program, &library] {
        cx.install_tree(tree, "root/test");
    }
    cx.install_tree(&program, "lib/native/throws");
    let linked = [("caught.so".to_owned(), library)];
    for base in MemoryBase::ALL {
        let native = cx.native_code("throws", &program).parts(4).trained_by("throws").finish(base);
        cx.installs_native_code("throws", &native, base);
        let code = cx.native_libraries("throws", &native).trained_by("throws works");
        libraries(code, "native-tests", &linked, "/test").installed(base);
    }
}
