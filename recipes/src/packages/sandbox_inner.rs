//! What a program needs inside the sandbox: the part of the C library that wasi-libc lacks, linked
//! into every program, and the folder of shared libraries.

use build_graph::dsl::{Recipe, recipe};

use crate::toolchains::WASM;

const UNITS: &str = "calls clocks create descriptors dlfcn errors files flags folder iconv identity links locale mman mutex netdb process \
     results signal socket start stat system temporary terminal threads times waits zone";

pub(crate) const RECIPE: Recipe = recipe("sandbox_inner", "0.1.0")
    .license("MIT OR Apache-2.0")
    .targets(&[WASM])
    .files("recipes/files/sandbox_inner")
    .describe(|cx| {
        let files = cx.source();
        // How the tables are laid out that `iconv.c` reads.
        let format = cx.files("recipes/files/encodings").select("tables.h");
        cx.c_library("sandbox_inner")
            .sources_in("src", UNITS)
            .headers("src/*.h")
            .sees(files.select("include"), "/sysroot")
            .include_tree("encodings", format)
            .newest_standard()
            .flags("-Wall -Wextra -Wno-unused-parameter -Werror")
            .public_headers("include")
            .archive();
        let slib = cx.empty_directory("slib", "root/slib");
        cx.install_tree(&slib, "");
        let encodings = cx.host_tool("encodings");
        cx.install_tree(&encodings, "root/slib");
    });
