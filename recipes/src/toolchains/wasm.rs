//! `wasm32-wasi`: Debian's clang, lld and wasi-libc.

use build_graph::dsl::{Cxx, Toolchain, Words};

use super::{NATIVE_IMAGE, WASM, base};

/// The toolchain of `wasm32-wasi`. `/usr/include/wasm32-wasi` is where Debian's wasi-libc has its
/// headers; `-nostdlibinc` keeps clang from the image's own `/usr/include`, which is for another
/// machine. What wasi-libc emulates has to be asked for by name. The stack lies first in memory, so
/// that running out of it traps instead of overwriting data. Functions lose their names: nothing
/// shows them, and reading them would take its part of each start. What wasi-libc makes of relative
/// paths goes through a function of ours (`folder.c` of `sandbox_inner`).
pub fn wasm() -> Toolchain {
    let arithmetic = ARITHMETIC.split_whitespace().map(|name| format!("-Wl,--undefined=__{name}"));
    base(WASM, "wasm")
        .for_system("WASI")
        .for_architecture("wasm32")
        .without_threads()
        .with_makefiles_image("wasm-makefiles")
        .with_cc("clang-19 --target=wasm32-wasi")
        .with_cflags(
            "-O2 -nostdlibinc -isystem /sysroot/include -isystem /usr/include/wasm32-wasi -D_GNU_SOURCE -D_WASI_EMULATED_SIGNAL \
             -D_WASI_EMULATED_PROCESS_CLOCKS -D_WASI_EMULATED_MMAN -D_WASI_EMULATED_GETPID",
        )
        .with_ldflags(
            "-Wl,-z,stack-size=8388608 -Wl,--stack-first -Wl,--strip-all -Wl,--keep-section=pynbox.snapshot \
             -Wl,--wrap=__wasilibc_find_relpath_alloc -Wl,--undefined=sandbox_close_the_ring",
        )
        .with_libraries(format!("-L/sysroot/lib -lsandbox_inner {EMULATED}"))
        .with_cxx(Cxx { library: "libcxx", flags: "-nostdinc++ -fwasm-exceptions" })
        // Without the second, clang hides every symbol of a WebAssembly object.
        .with_pic("-fPIC -fvisibility=default")
        // The linker itself: clang would add a start file and the C library, which only the program
        // has. A library's own functions are bound to it: their calls are anyway, and each of their
        // addresses would be a symbol to be looked for at each load. With the feature, addresses of
        // a library's own hidden data are initialised; without it, a start function would do that,
        // which the loader refuses.
        .with_shared_linker(
            "wasm-ld-19 --experimental-pic -shared -Bsymbolic --export-dynamic --unresolved-symbols=import-dynamic --strip-all \
             --extra-features=extended-const",
        )
        .with_soname_flag(None)
        .with_loading(
            "-nostartfiles -Wl,--export-all -Wl,--export-table -Wl,--growable-table -Wl,--export=__stack_pointer"
                .words()
                .into_iter()
                .chain(arithmetic)
                .collect::<Vec<_>>(),
        )
        .with_loading_libraries(format!(
            "-L/sysroot/lib -Wl,--whole-archive -lsandbox_inner {EMULATED} -lc -Wl,--no-whole-archive"
        ))
        .with_binutils("llvm-", "-19")
        .with_configure("--host=wasm32-unknown-linux --build=x86_64-linux-gnu")
        .with_program_suffix(".wasm")
        .with_sysroot("sandbox_inner")
        .with_native_code(NATIVE_IMAGE, "native-runtime")
}

/// What wasi-libc emulates.
const EMULATED: &str =
    "-lwasi-emulated-signal -lwasi-emulated-process-clocks -lwasi-emulated-mman -lwasi-emulated-getpid";

/// What the compiler calls for long doubles and for integers of 128 bits (but for their division,
/// which Debian built with a stack protector that nothing supports here): a library may need what
/// the program does not.
const ARITHMETIC: &str = "addtf3 subtf3 multf3 divtf3 eqtf2 netf2 letf2 lttf2 getf2 gttf2 unordtf2 extendsftf2 extenddftf2 trunctfsf2 \
     trunctfdf2 fixtfsi fixtfdi fixtfti fixunstfsi fixunstfdi fixunstfti floatsitf floatditf floattitf floatunsitf floatunditf floatuntitf \
     multi3 ashlti3 ashrti3 lshrti3";
