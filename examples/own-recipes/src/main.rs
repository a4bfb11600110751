//! `pynbox-build` with a recipe of one's own: a greeting, built for the sandbox and for this
//! machine.
//!
//! In this folder:
//!
//!     cargo build --release
//!     own-recipes gen && ninja greeting
//!     own-recipes install DEST greeting
//!     DEST/bin/run /greeting/greeting.wasm

use std::process::ExitCode;

use pynbox_build::build_graph::dsl::{Recipe, recipe};
use pynbox_build::recipes::{self, toolchains};

fn main() -> ExitCode {
    pynbox_build::main(|| recipes::bundle().with(GREETING))
}

/// A program of two units and a header, installed at `/greeting` in the sandbox.
const GREETING: Recipe = recipe("greeting", "1.0")
    .targets(&[toolchains::WASM, toolchains::HOST])
    .files("recipes/files/greeting")
    .describe(|cx| {
        cx.program("greeting").sources("main words").headers("*.h").installed("root/greeting");
    });
