//! What shows that an installed sandbox keeps its promises: `bin/test_pynbox`, with a native and a Python program.

use build_graph::dsl::{Compilation, Context, Product, Program};

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let files = cx.files("recipes/files/tests");
    let objects = cx.compile(&Compilation {
        units: vec!["native.c".to_owned()],
        source: Some(files.clone()),
        flags: [&cx.toolchain().standard, "-Wall", "-Werror"].map(str::to_owned).to_vec(),
        ..Compilation::default()
    });
    let native = cx.program(&Program { name: "native".to_owned(), objects, ..Program::default() });
    let package = cx.package(
        [
            (native.all(), "root/test"),
            (files.select(["test_pynbox.py"]), "root/test"),
            (files.select(["bin/test_pynbox"]), ""),
        ],
        ["sandbox_outer", "sandbox_inner", "python"],
    );
    Product { tree: None, package: Some(package) }
}
