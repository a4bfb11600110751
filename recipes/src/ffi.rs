//! What ctypes calls functions and makes callbacks with: the part of libffi's interface that it uses, over the loader's calls or in C alone.

use build_graph::dsl::{Compilation, Context, Product};

use crate::toolchains;

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let files = cx.files("recipes/files/ffi");
    let unit = if cx.target().as_str() == toolchains::NACL { "x86_64.c" } else { "wasm32.c" };
    let objects = cx.compile(&Compilation {
        units: vec![unit.to_owned()],
        source: Some(files.clone()),
        headers: vec!["ffi.h".to_owned()],
        flags: [&cx.toolchain().standard, "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
            .map(str::to_owned)
            .to_vec(),
        pic: true,
        ..Compilation::default()
    });
    let library = cx.static_library("libffi.a", &objects);
    let tree = cx.merge("tree", [(library.all(), ""), (files.select(["ffi.h"]), "include")]);
    Product { tree: Some(tree), package: None }
}
