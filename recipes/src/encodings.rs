//! The tables of the sandbox's iconv: a program for this machine asks glibc, whose encodings are
//! part of the image's C library.

use build_graph::dsl::{Compilation, Context, Product, Program};

/// Where Debian's C library lists its encodings and their names.
const LISTS: &str =
    "/usr/lib/x86_64-linux-gnu/gconv/gconv-modules /usr/lib/x86_64-linux-gnu/gconv/gconv-modules.d/*.conf";

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let files = cx.files("recipes/files/encodings");
    let objects = cx.compile(&Compilation {
        units: vec!["tables.c".to_owned()],
        source: Some(files.clone()),
        headers: vec!["*.h".to_owned()],
        flags: [&cx.toolchain().standard, "-Iheaders", "-Wall", "-Wextra", "-Werror"].map(str::to_owned).to_vec(),
        ..Compilation::default()
    });
    let program = cx.program(&Program { name: "tables".to_owned(), objects, ..Program::default() });
    let tables = cx
        .action("encodings")
        .shell(&format!("mkdir encodings && program/tables files/labels.txt {LISTS} encodings"))
        .input(&program, "/build/program")
        .input(files.select(["labels.txt"]), "/build/files")
        .output("encodings")
        .finish();
    Product { tree: Some(tables), package: None }
}
