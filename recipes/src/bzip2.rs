//! bzip2: a library of seven files without a configure script.

use build_graph::dsl::{Compilation, Context, Product, SharedLibrary};

/// The units of the library; the others in the tarball are programs.
const UNITS: [&str; 7] =
    ["blocksort.c", "huffman.c", "crctable.c", "randtable.c", "compress.c", "decompress.c", "bzlib.c"];

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.source("bzip2", 1);
    let objects = cx.compile(&Compilation {
        units: UNITS.map(str::to_owned).to_vec(),
        source: Some(source.clone()),
        headers: vec!["*.h".to_owned()],
        flags: vec!["-D_FILE_OFFSET_BITS=64".to_owned()],
        pic: true,
        ..Compilation::default()
    });
    let library =
        cx.shared_library(&SharedLibrary { path: "lib/libbz2.so".to_owned(), objects, ..SharedLibrary::default() });
    let tree = cx.merge("tree", [(library.all(), ""), (source.select(["bzlib.h"]), "include")]);
    let package = cx.package([(library.below("lib"), "root/slib")], ["sandbox_inner"]);
    Product { tree: Some(tree), package: Some(package) }
}
