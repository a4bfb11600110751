//! `pynbox-build` with a library and a native module of one's own: the distance between two texts,
//! in C, for the sandbox's Python.
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

use pynbox_build::build_graph::dsl::{Recipe, recipe};
use pynbox_build::recipes;

fn main() -> ExitCode {
    pynbox_build::main(|| recipes::bundle().with(DISTANCE).with(EDITDISTANCE))
}

/// What both are compiled with.
const FLAGS: &str = "-Wall -Werror";

/// A shared library of one unit, with the header for those that use it.
const DISTANCE: Recipe = recipe("distance", "1.0").files("recipes/files/distance").describe(|cx| {
    cx.c_library("distance").sources("distance").headers("*.h").flags(FLAGS).public_headers("distance.h").shared();
});

/// A module of Python that calls it.
const EDITDISTANCE: Recipe = recipe("editdistance", "1.0").files("recipes/files/editdistance").describe(|cx| {
    cx.python_extension("editdistance").sources("editdistance").dep("distance").flags(FLAGS).installed();
});
