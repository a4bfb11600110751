//! What ctypes calls functions and makes callbacks with: the part of libffi's interface that it
//! uses, over the loader's calls or in C alone.

use build_graph::dsl::{Recipe, recipe};

pub(crate) const RECIPE: Recipe =
    recipe("ffi", "0.1.0").license("MIT OR Apache-2.0").files("recipes/files/ffi").describe(|cx| {
        let unit = cx.toolchain().architecture();
        cx.c_library("ffi")
            .sources(unit)
            .headers("ffi.h")
            .newest_standard()
            .flags("-Wall -Wextra -Wno-unused-parameter -Werror")
            .public_headers("ffi.h")
            .pic_archive();
    });
