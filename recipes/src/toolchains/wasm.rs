//! `wasm32-wasi`: Debian's clang, lld and wasi-libc.

use build_graph::dsl::Toolchain;
use build_graph::node::Target;

use super::{WASM, documentation, links, words};

/// The toolchain of `wasm32-wasi`. `/usr/include/wasm32-wasi` is where Debian's wasi-libc has its
/// headers; `-nostdlibinc` keeps clang from the image's own `/usr/include`, which is for another
/// machine. What wasi-libc emulates has to be asked for by name. The stack lies first in memory, so
/// that running out of it traps instead of overwriting data. Functions lose their names: nothing
/// shows them, and reading them would take its part of each start. What wasi-libc makes of relative
/// paths goes through a function of ours (`folder.c` of `sandbox_inner`).
pub fn wasm() -> Toolchain {
    Toolchain {
        target: Target(WASM.to_owned()),
        image: "wasm".to_owned(),
        makefiles_image: "wasm-makefiles".to_owned(),
        image_links: links(&[("usr/bin/awk", "mawk")]),
        image_without: documentation(),
        image_sources: Vec::new(),
        cc: words("clang-19 --target=wasm32-wasi"),
        cflags: words(
            "-O2 -nostdlibinc -isystem /sysroot/include -isystem /usr/include/wasm32-wasi -D_GNU_SOURCE -D_WASI_EMULATED_SIGNAL \
             -D_WASI_EMULATED_PROCESS_CLOCKS -D_WASI_EMULATED_MMAN -D_WASI_EMULATED_GETPID",
        ),
        standard: "-std=gnu2x".to_owned(),
        ldflags: words(
            "-Wl,-z,stack-size=8388608 -Wl,--stack-first -Wl,--strip-all -Wl,--keep-section=pynbox.snapshot \
             -Wl,--wrap=__wasilibc_find_relpath_alloc",
        ),
        libraries: words(
            "-L/sysroot/lib -lsandbox_inner -lwasi-emulated-signal -lwasi-emulated-process-clocks -lwasi-emulated-mman \
             -lwasi-emulated-getpid",
        ),
        // Without the second, clang hides every symbol of a WebAssembly object.
        pic: words("-fPIC -fvisibility=default"),
        // The linker itself: clang would add a start file and the C library, which only the program has.
        // A library's own functions are bound to it: their calls are anyway, and each of their addresses would be a symbol to be looked for at
        // each load. With the feature, addresses of a library's own hidden data are initialised; without it, a start function would do that, which the
        // loader refuses.
        link_shared: words(
            "wasm-ld-19 --experimental-pic -shared -Bsymbolic --export-dynamic --unresolved-symbols=import-dynamic --strip-all \
             --extra-features=extended-const",
        ),
        shared_libraries: Vec::new(),
        strip: String::new(),
        soname: None,
        loading: words(
            "-nostartfiles -Wl,--export-all -Wl,--export-table -Wl,--growable-table -Wl,--export=__stack_pointer",
        )
        .into_iter()
        .chain(ARITHMETIC.split_whitespace().map(|name| format!("-Wl,--undefined=__{name}")))
        .collect(),
        loading_libraries: words(
            "-L/sysroot/lib -Wl,--whole-archive -lsandbox_inner -lwasi-emulated-signal -lwasi-emulated-process-clocks -lwasi-emulated-mman \
             -lwasi-emulated-getpid -lc -Wl,--no-whole-archive",
        ),
        ar: "llvm-ar-19".to_owned(),
        ranlib: "llvm-ranlib-19".to_owned(),
        configure: words("--host=wasm32-unknown-linux --build=x86_64-linux-gnu"),
        program_suffix: ".wasm".to_owned(),
        runtime: Some("sandbox_inner".to_owned()),
    }
}

/// What the compiler calls for long doubles and for integers of 128 bits (but for their division, which Debian built with a stack protector that
/// nothing supports here): a library may need what the program does not.
const ARITHMETIC: &str = "addtf3 subtf3 multf3 divtf3 eqtf2 netf2 letf2 lttf2 getf2 gttf2 unordtf2 extendsftf2 extenddftf2 trunctfsf2 \
     trunctfdf2 fixtfsi fixtfdi fixtfti fixunstfsi fixunstfdi fixunstfti floatsitf floatditf floattitf floatunsitf floatunditf floatuntitf \
     multi3 ashlti3 ashrti3 lshrti3";
