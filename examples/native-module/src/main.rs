//! `pynbox-build` with a library and native modules of one's own: the distance between two texts,
//! in C, for both Pythons of the sandbox, and in Cython and C++ for Python 3.
//!
//! In this folder (`docs/guide/native-module.md` goes through it line by line):
//!
//! ```sh
//! cargo build --release
//! native-module gen && ninja python editdistance
//! native-module install DEST && native-module install DEST editdistance
//! DEST/bin/run python -c 'import editdistance; print editdistance.distance("kitten", "sitting")'
//! ```

use std::process::ExitCode;

use pynbox_build::build_graph::dsl::{Context, Recipe, pypi, recipe};
use pynbox_build::recipes::{self, toolchains::WASM};

fn main() -> ExitCode {
    pynbox_build::main(|| {
        let bundle = recipes::bundle().with(DISTANCE).with(EDITDISTANCE).with(EDITDISTANCE_3).with(RATIO);
        bundle.with(PYBIND11).with(WORDS)
    })
}

/// What all are compiled with.
const FLAGS: &str = "-Wall -Werror";

/// A shared library of one unit, with the header for those that use it.
const DISTANCE: Recipe = recipe("distance", "1.0").files("recipes/files/distance").describe(|cx| {
    cx.c_library("distance").sources("distance").headers("*.h").flags(FLAGS).public_headers("distance.h").shared();
});

/// A module of Python that calls it. Its one source is for Python 2.7 and for Python 3.
const EDITDISTANCE: Recipe = recipe("editdistance", "1.0").files("recipes/files/editdistance").describe(editdistance);
const EDITDISTANCE_3: Recipe = recipe("python3-editdistance", "1.0")
    .files("recipes/files/editdistance")
    .targets(&[WASM])
    .for_python("python3")
    .on_request()
    .describe(editdistance);

fn editdistance(cx: &mut Context<'_>) {
    cx.python_extension("editdistance").sources("editdistance").dep("distance").flags(FLAGS).installed();
}

/// A module in Cython: a pinned Cython writes its C on the machine that builds.
const RATIO: Recipe = recipe("python3-ratio", "1.0")
    .files("recipes/files/ratio")
    .targets(&[WASM])
    .for_python("python3")
    .on_request()
    .describe(|cx| {
        let source = cx.source();
        let c = recipes::cython(cx, &source, "ratio");
        cx.python_extension("ratio").source(&c).sources("ratio").dep("distance").quiet().installed();
    });

/// Headers alone, from a pinned source: `recipes/locks/sources.toml`, which `native-module lock`
/// wrote.
const PYBIND11: Recipe =
    recipe("pybind11", "2.13.6").targets(&[WASM]).source(pypi("pybind11")).on_request().describe(|cx| {
        let headers = cx.source().select("pybind11/include/**").strip("pybind11");
        let tree = cx.merge("headers", [(headers, "")]);
        cx.exports(&tree, "");
    });

/// A module in C++, with pybind11: what it throws, Python gets as exceptions.
const WORDS: Recipe = recipe("python3-words", "1.0")
    .files("recipes/files/words")
    .targets(&[WASM])
    .for_python("python3")
    .on_request()
    .describe(|cx| {
        let words = cx.python_extension("words").cxx("17").sources("words.cpp").dep("pybind11").dep("distance");
        words.flags(FLAGS).installed();
    });
