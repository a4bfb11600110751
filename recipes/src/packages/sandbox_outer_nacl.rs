//! The trusted loader for Native Client: a front of `sel_ldr`, which does without the engine for
//! WebAssembly, and what it starts.

use build_graph::dsl::{Recipe, recipe};

use super::sandbox_outer::SOURCES;
use crate::toolchains::{NACL, SDK, SDK_STRIP};

pub(crate) const RECIPE: Recipe =
    recipe("sandbox_outer", "0.1.0").license("MIT OR Apache-2.0").targets(&[NACL]).files("sandbox").describe(|cx| {
        let sources = cx.source().select(SOURCES);
        let program = cx.host_program("host/sandbox_outer-nacl", sources, "run", "nacl");
        cx.tree(&program, "");
        cx.install_tree(&program, "");
        let loader = cx.unpacked(SDK, SDK_STRIP).select("tools/sel_ldr_x86_64 tools/irt_core_x86_64.nexe");
        cx.install_tree(loader.strip("tools"), "lib/nacl");
    });
