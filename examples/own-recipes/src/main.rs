//! `pynbox-build` with a recipe of one's own: a greeting, built for the sandbox and for this machine.
//!
//! In this folder:
//!
//!     cargo build --release
//!     own-recipes gen && ninja greeting
//!     own-recipes install DEST greeting
//!     DEST/bin/run /greeting/greeting.wasm

use std::process::ExitCode;

use pynbox_build::build_graph::dsl::{Compilation, Context, Product, Program, Recipe};
use pynbox_build::build_graph::node::Target;
use pynbox_build::recipes::{self, toolchains};

fn main() -> ExitCode {
    let greeting = Recipe {
        name: "greeting".into(),
        version: "1.0".into(),
        targets: vec![Target(toolchains::WASM.into()), Target(toolchains::HOST.into())],
        describe: greeting,
    };
    pynbox_build::main(|| recipes::bundle().with(greeting))
}

/// Two units and a header, a program, and a package that installs it at `/greeting` in the sandbox.
fn greeting(cx: &mut Context<'_>) -> Product {
    let files = cx.files("recipes/files/greeting");
    let source = cx.patched(&files);
    let objects = cx.compile(&Compilation {
        units: vec!["main.c".into(), "words.c".into()],
        headers: vec!["*.h".into()],
        source: Some(source),
        ..Compilation::default()
    });
    let program = cx.program(&Program { name: "greeting".into(), objects, ..Program::default() });
    let package = cx.package([(&program, "root/greeting")], []);
    Product { tree: Some(program), package: Some(package) }
}
