//! The trusted loader: what runs outside the sandbox.

use build_graph::dsl::{Context, Product};

use crate::toolchains;

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let sources = cx.files("sandbox");
    let program = cx.host_program("host/sandbox_outer", &sources, "run");
    let mut content = vec![(program.all(), "")];
    if cx.target().as_str() == toolchains::NACL {
        // `bin/run` starts these; where they are not, it runs WebAssembly itself.
        let sdk = cx.unpacked(toolchains::SDK, toolchains::SDK_STRIP);
        let loader = ["tools/sel_ldr_x86_64", "tools/irt_core_x86_64.nexe"];
        content.push((sdk.select(loader).strip("tools"), "lib/nacl"));
    }
    let package = cx.package(content, []);
    Product { tree: Some(program), package: Some(package) }
}
