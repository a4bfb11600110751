//! The trusted loader: what runs outside the sandbox.

use build_graph::dsl::{Context, Product};

use crate::toolchains;

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    // What cargo compiles. Tests and what else lies there are in no key: compiling the engine takes
    // minutes.
    let sources = cx.files("sandbox").select(["Cargo.toml", "Cargo.lock", "src/**/*.rs"]);
    // The engine for WebAssembly is most of the loader; a front of `sel_ldr` does without.
    let is_nacl = cx.target().as_str() == toolchains::NACL;
    let (step, feature) = if is_nacl { ("host/sandbox_outer-nacl", "nacl") } else { ("host/sandbox_outer", "wasm") };
    let program = cx.host_program(step, sources, "run", &[feature]);
    let mut content = vec![(program.all(), "")];
    if is_nacl {
        // What `bin/run` starts.
        let sdk = cx.unpacked(toolchains::SDK, toolchains::SDK_STRIP);
        let loader = ["tools/sel_ldr_x86_64", "tools/irt_core_x86_64.nexe"];
        content.push((sdk.select(loader).strip("tools"), "lib/nacl"));
    }
    let package = cx.package(content, []);
    Product { tree: Some(program), package: Some(package) }
}
