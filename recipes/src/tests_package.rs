//! What shows that an installed sandbox keeps its promises: `bin/test_pynbox`, with a native and a
//! Python program; and a program whose calls `scripts/differences.py` compares with what they give
//! natively.

use build_graph::dsl::{Compilation, Context, Handle, Product, Program};

use crate::toolchains;

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let files = cx.files("recipes/files/tests");
    // It loads a library. Native Client's C library does that by itself.
    let nacl = cx.target().as_str() == toolchains::NACL;
    let loading = if nacl {
        Program { flags: vec!["-ldl".to_owned()], ..Program::default() }
    } else {
        Program { loads: true, ..Program::default() }
    };
    let native = program(cx, &files, "native", loading);
    let mut content = vec![
        (native.all(), "root/test"),
        (files.select(["test_pynbox.py"]), "root/test"),
        (files.select(["bin/test_pynbox"]), ""),
    ];
    // Native Client's C library lacks much of what this calls.
    if !nacl {
        content.push((program(cx, &files, "calls", Program::default()).all(), "root/test"));
    }
    let package = cx.package(content, ["sandbox_outer", "sandbox_inner", "python"]);
    Product { tree: None, package: Some(package) }
}

/// A program of one file, linked as the last one says.
fn program(cx: &mut Context<'_>, files: &Handle, name: &str, linked: Program) -> Handle {
    let objects = cx.compile(&Compilation {
        units: vec![format!("{name}.c")],
        source: Some(files.clone()),
        flags: [&cx.toolchain().standard, "-Wall", "-Werror"].map(str::to_owned).to_vec(),
        ..Compilation::default()
    });
    cx.program(&Program { name: name.to_owned(), objects, ..linked })
}
