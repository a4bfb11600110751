//! What a program needs inside the sandbox: the part of the C library that wasi-libc lacks, linked into every program, and the folder
//! of shared libraries.

use build_graph::dsl::{Compilation, Context, Product};

const UNITS: [&str; 16] = [
    "create",
    "descriptors",
    "errors",
    "files",
    "flags",
    "identity",
    "locale",
    "mman",
    "netdb",
    "process",
    "signal",
    "socket",
    "stat",
    "system",
    "temporary",
    "terminal",
];

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let files = cx.files("recipes/files/sandbox_inner");
    let objects = cx.compile(&Compilation {
        units: UNITS.map(|unit| format!("src/{unit}.c")).to_vec(),
        source: Some(files.clone()),
        headers: vec!["src/*.h".to_owned()],
        include: vec![(files.select(["include"]), "/sysroot".to_owned())],
        flags: ["-std=gnu2x", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"].map(str::to_owned).to_vec(),
        ..Compilation::default()
    });
    let library = cx.static_library("libsandbox_inner.a", &objects);
    let tree = cx.merge("tree", [(library.all(), ""), (files.select(["include"]), "")]);
    let slib = cx.empty_directory("slib", "root/slib");
    let package = cx.package([(&slib, "")], []);
    Product { tree: Some(tree), package: Some(package) }
}
