//! What a program needs inside the sandbox of Native Client. Of the SDK's glibc: the dynamic
//! loader, and the libraries that a program may ask for, stripped. They lie in `/slib`, because the
//! loader treats `/lib` as a place of its own. Beside them, linked into every program, what the
//! loader can do and this glibc does not ask it for.

use build_graph::dsl::{Recipe, recipe};

use crate::toolchains::{NACL, SDK, SDK_STRIP};

const UNITS: &str =
    "nacl/descriptors nacl/entropy nacl/files nacl/signals nacl/streams nacl/system nacl/waits src/iconv";

/// Where the SDK has its libraries.
const LIBRARIES: &str = "toolchain/linux_x86_glibc/x86_64-nacl/lib";

pub(crate) const RECIPE: Recipe =
    recipe("sandbox_inner", "0.1.0").license("MIT OR Apache-2.0").targets(&[NACL]).files("recipes/files/sandbox_inner").describe(|cx| {
        // How the tables are laid out that `iconv.c` reads.
        let format = cx.files("recipes/files/encodings").select("tables.h");
        cx.c_library("sandbox_inner")
            .sources(UNITS)
            .headers("nacl/*.h")
            .include_tree("encodings", format)
            .newest_standard()
            .flags("-Wall -Wextra -Werror")
            .without_headers()
            .archive();
        // The tree of a sysroot has headers; this one needs none.
        let include = cx.empty_directory("include", "include");
        cx.tree(&include, "");

        let sdk = cx.unpacked(SDK, SDK_STRIP);
        let names = "c crypt dl gcc_s m pthread resolv rt stdc++ util";
        let mut patterns: Vec<_> = names.split(' ').map(|name| format!("{LIBRARIES}/lib{name}.so.*")).collect();
        patterns.extend([format!("{LIBRARIES}/runnable-ld.so"), format!("!{LIBRARIES}/*.py")]);
        // The loader opens no link, so a file lies there under the name by which it is asked for.
        // What loads programs is loaded by its program headers alone, and is left as it is.
        let script = format!(
            "mkdir slib && cp -L libraries/* slib && chmod -R u+w slib && \
             for link in libraries/*; do [ ! -L $link ] || rm -f slib/$(basename $(readlink $link)); done && cd slib && \
             for file in *.so.*; do {} --strip-unneeded $file; done",
            cx.toolchain().strip()
        );
        let stripped = cx
            .action("slib")
            .shell(&script)
            .input(sdk.select(patterns).strip(LIBRARIES), "/build/libraries")
            .output("slib")
            .finish();
        cx.install_tree(stripped.below("slib"), "root/slib");
        let encodings = cx.host_tool("encodings");
        cx.install_tree(&encodings, "root/slib");
    });
