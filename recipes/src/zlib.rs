//! zlib: a library of C files without a configure script to speak of.

use build_graph::dsl::{Compilation, Context, Product, SharedLibrary};

use crate::toolchains;

/// The units of the library; the others in the tarball are programs and examples.
const UNITS: [&str; 15] = [
    "adler32.c",
    "compress.c",
    "crc32.c",
    "deflate.c",
    "gzclose.c",
    "gzlib.c",
    "gzread.c",
    "gzwrite.c",
    "infback.c",
    "inffast.c",
    "inflate.c",
    "inftrees.c",
    "trees.c",
    "uncompr.c",
    "zutil.c",
];

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.source("zlib", 1);
    let compilation = Compilation {
        units: UNITS.map(str::to_owned).to_vec(),
        source: Some(source.clone()),
        headers: vec!["*.h".to_owned()],
        // What its configure would find out of any system of today.
        flags: ["-DHAVE_UNISTD_H", "-DHAVE_STDARG_H", "-DHAVE_HIDDEN"].map(str::to_owned).to_vec(),
        ..Compilation::default()
    };
    let objects = cx.compile(&compilation);
    let library = cx.static_library("libz.a", &objects);
    // For shared libraries that are to have it in them.
    let objects = cx.compile(&Compilation { pic: true, prefix: "pic/".to_owned(), ..compilation });
    let for_shared = cx.static_library("libz-pic.a", &objects);
    let headers = source.select(["zlib.h", "zconf.h"]);
    let tree = cx.merge("tree", [(library.all(), ""), (for_shared.all(), ""), (headers, "include")]);
    if cx.target().as_str() == toolchains::HOST {
        return Product { tree: Some(tree), package: None };
    }
    // For who loads it by its name, as any Linux has it. What is built here has its own parts of
    // it.
    let shared =
        cx.shared_library(&SharedLibrary { path: "lib/libz.so.1".to_owned(), objects, ..SharedLibrary::default() });
    let package = cx.package([(shared.below("lib"), "root/slib")], ["sandbox_inner"]);
    Product { tree: Some(tree), package: Some(package) }
}
