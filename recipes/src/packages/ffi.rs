//! What ctypes calls functions and makes callbacks with: the part of libffi's interface that it
//! uses, over the loader's calls or in C alone.

use build_graph::dsl::{Recipe, recipe};

use crate::toolchains::WASM;

const FLAGS: &str = "-Wall -Wextra -Wno-unused-parameter -Werror";

pub(crate) const RECIPE: Recipe =
    recipe("ffi", "0.1.0").license("MIT OR Apache-2.0").files("recipes/files/ffi").describe(|cx| {
        let unit = cx.toolchain().architecture();
        cx.c_library("ffi")
            .sources(unit)
            .headers("ffi.h")
            .newest_standard()
            .flags(FLAGS)
            .public_headers("ffi.h")
            .pic_archive();
        if cx.target().as_str() == WASM {
            // It knows functions of the interpreter by name.
            let compile = cx.compile().sources(unit).sources("types").headers("ffi.h").newest_standard();
            let objects = compile.flags(FLAGS).flags("-DPYTHON3").pic().prefix("python3/").finish();
            cx.c_library("ffi_python3").objects(objects).public_headers("ffi.h").pic_archive();
        }
    });
