//! What makes native code of WebAssembly modules, and what that runs on: wasm2c, a runtime for each
//! way to reach the memory, and a program that runs instrumented code for its profile.

use build_graph::dsl::{MemoryBase, Recipe, recipe};

use crate::toolchains::{HOST, NATIVE_IMAGE};

const FLAGS: &str =
    "-std=gnu2x -O2 -fPIC -Wall -Wextra -Werror -DWASM_RT_NONCONFORMING_UNCHECKED_STACK_EXHAUSTION=1 -Iinclude -Ifiles";

pub(crate) const RECIPE: Recipe = recipe("native-runtime", "0.1.0")
    .license("MIT OR Apache-2.0")
    .targets(&[HOST])
    .files("recipes/files/native")
    .describe(|cx| {
        let files = cx.source();
        let wabt = cx.dependency("wabt");
        for base in MemoryBase::ALL {
            let (word, flags) = (base.word(), base.flags());
            let script = format!(
                "mkdir {word}\n\
                 clang-19 {FLAGS} {flags} -fuse-ld=lld-19 -shared -Wl,-soname,libnative.so -Wl,-z,defs -Wl,-z,now \
                 -o {word}/libnative.so files/runtime.c files/call.c files/exceptions.c\n\
                 clang-19 {FLAGS} {flags} -fuse-ld=lld-19 -Wl,-rpath,'$ORIGIN' -o {word}/train files/train.c files/libraries.c \
                 {word}/libnative.so"
            );
            let built = cx
                .action(word)
                .in_image(NATIVE_IMAGE)
                .shell(&script)
                .input(files.select("*.c *.h"), "/build/files")
                .input(wabt.select("include").strip("include"), "/build/include")
                .output(word)
                .finish();
            cx.tree(&built, "");
        }
        cx.tree(wabt.select("bin/wasm2c include/*.h"), "");
        cx.tree(files.select("*.h"), "include");
        cx.tree(files.select("module.awk"), "");
    });
