//! What ctypes calls functions and makes callbacks with: the part of libffi's interface that it uses, over the loader's calls.

use build_graph::dsl::{Compilation, Context, Product};

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let files = cx.files("recipes/files/ffi");
    let objects = cx.compile(&Compilation {
        units: vec!["ffi.c".to_owned()],
        source: Some(files.clone()),
        headers: vec!["ffi.h".to_owned()],
        flags: ["-std=gnu2x", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"].map(str::to_owned).to_vec(),
        pic: true,
        ..Compilation::default()
    });
    let library = cx.static_library("libffi.a", &objects);
    let tree = cx.merge("tree", [(library.all(), ""), (files.select(["ffi.h"]), "include")]);
    Product { tree: Some(tree), package: None }
}
