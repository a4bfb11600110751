//! The tables of the sandbox's iconv: a program for this machine asks glibc, whose encodings are
//! part of the image's C library.

use build_graph::dsl::{Recipe, recipe};

use crate::toolchains::HOST;

/// Where Debian's C library lists its encodings and their names.
const LISTS: &str =
    "/usr/lib/x86_64-linux-gnu/gconv/gconv-modules /usr/lib/x86_64-linux-gnu/gconv/gconv-modules.d/*.conf";

pub(crate) const RECIPE: Recipe = recipe("encodings", "0.1.0")
    .license("MIT OR Apache-2.0")
    .targets(&[HOST])
    .files("recipes/files/encodings")
    .describe(|cx| {
        let files = cx.source();
        let program = cx
            .program("tables")
            .sources("tables")
            .headers("*.h")
            .include(".")
            .newest_standard()
            .flags("-Wall -Wextra -Werror")
            .finish();
        let tables = cx
            .action("encodings")
            .shell(&format!("mkdir encodings && program/tables files/labels.txt {LISTS} encodings"))
            .input(&program, "/build/program")
            .input(files.select("labels.txt"), "/build/files")
            .output("encodings")
            .finish();
        cx.tree(&tables, "");
    });
