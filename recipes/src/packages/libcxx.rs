//! The library of C++ with exceptions: libc++, libc++abi, and the part of libunwind that
//! WebAssembly needs, from LLVM's sources. Debian's, for this target, end the program at a throw.

use build_graph::dsl::{Recipe, debian, recipe};

use crate::toolchains::WASM;

/// What is stored of LLVM's sources.
const SOURCES: &str = "LICENSE.TXT libcxx/include/** libcxx/src/** libcxxabi/include/** libcxxabi/src/** libunwind/include/** \
                       libunwind/src/*.c libunwind/src/*.h";

const LIBCXX: &str = "algorithm any bind call_once charconv chrono error_category exception expected functional hash ios \
     ios.instantiations iostream fstream legacy_pointer_safety locale memory memory_resource new_handler new_helpers optional ostream \
     print random random_shuffle regex stdexcept string strstream system_error typeinfo valarray variant vector verbose_abort \
     ryu/d2fixed ryu/d2s ryu/f2s \
     filesystem/directory_entry filesystem/directory_iterator filesystem/filesystem_clock filesystem/filesystem_error \
     filesystem/operations filesystem/path";

const LIBCXXABI: &str = "abort_message cxa_aux_runtime cxa_default_handlers cxa_demangle cxa_exception cxa_exception_storage cxa_guard \
     cxa_handlers cxa_personality cxa_vector cxa_virtual fallback_malloc private_typeinfo stdlib_exception stdlib_new_delete \
     stdlib_stdexcept stdlib_typeinfo";

/// Ours, beside those.
const OWN: &str = "divide uncaught unwind";

/// Each of the parts is told that it is being built, and that there is one thread.
const DEFINES: &str = "-DNDEBUG -D_LIBCPP_BUILDING_LIBRARY -D_LIBCXXABI_BUILDING_LIBRARY -DLIBCXX_BUILDING_LIBCXXABI -D_LIBCXXABI_HAS_NO_THREADS \
     -D_LIBUNWIND_HAS_NO_THREADS -D_LIBUNWIND_HIDE_SYMBOLS";

pub(crate) const RECIPE: Recipe = recipe("libcxx", "19.1.7")
    .license("Apache-2.0 WITH LLVM-exception")
    .targets(&[WASM])
    .source(debian("llvm-toolchain-19"))
    .on_request()
    .describe(|cx| {
        let llvm = cx.unpacked_part("libcxx", 1, SOURCES);
        let files = cx.files("recipes/files/libcxx");
        let source = cx.merge("source", [(llvm.all(), ""), (files.select("*.cpp"), "libcxxabi/src")]);
        let cpp = |folder: &'static str, names: &'static str| {
            names.split_whitespace().map(move |name| format!("{folder}/{name}.cpp"))
        };
        let units = cpp("libcxx/src", LIBCXX).chain(cpp("libcxxabi/src", LIBCXXABI)).chain(cpp("libcxxabi/src", OWN));
        cx.c_library("c++")
            .source(&source)
            .sources(units.collect::<Vec<_>>())
            .headers("libcxx/include/** libcxx/src/**/*.h libcxx/src/**/*.ipp libcxx/src/ryu/* libcxxabi/include/** libcxxabi/src/**/*.h \
                      libcxxabi/src/**/*.def libunwind/include/** libunwind/src/*")
            .include("libcxx/include libcxxabi/include libcxx/src libunwind/include libunwind/src")
            .include_tree("config", files.select("__*"))
            .defines("-std=c++23 -nostdinc++ -fwasm-exceptions")
            .defines(DEFINES)
            .quiet()
            .public_headers_from("libcxx/include", "**", "include")
            .public_headers_from("libcxxabi/include", "*.h", "include")
            .archive_and_shared();
        cx.tree(files.select("__*"), "include");
    });
