//! The trusted loader: what runs outside the sandbox.

use build_graph::dsl::{Recipe, recipe};

use crate::toolchains::WASM;

/// What cargo compiles. Tests and what else lies there are in no key: compiling the engine takes
/// minutes.
pub(super) const SOURCES: &str = "Cargo.toml Cargo.lock src/**/*.rs";

pub(crate) const RECIPE: Recipe =
    recipe("sandbox_outer", "0.1.0").license("MIT OR Apache-2.0").targets(&[WASM]).files("sandbox").describe(|cx| {
        let sources = cx.source().select(SOURCES);
        let program = cx.host_program("host/sandbox_outer", sources, "run", "wasm");
        cx.tree(&program, "");
        cx.install_tree(&program, "");
    });
