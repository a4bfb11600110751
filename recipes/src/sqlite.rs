//! SQLite, as the one file that its authors make of it.

use build_graph::dsl::{Compilation, Context, Product, SharedLibrary};

/// One thread; no maps of files, which are copies here; no write-ahead log, which needs one that several processes share.
const FLAGS: [&str; 9] = [
    "-DSQLITE_THREADSAFE=0",
    "-DSQLITE_MAX_MMAP_SIZE=0",
    "-DSQLITE_OMIT_WAL",
    "-DSQLITE_ENABLE_COLUMN_METADATA",
    "-DSQLITE_ENABLE_FTS3_PARENTHESIS",
    "-DSQLITE_ENABLE_FTS4",
    "-DSQLITE_ENABLE_FTS5",
    "-DSQLITE_ENABLE_JSON1",
    "-DSQLITE_ENABLE_RTREE",
];

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.source("sqlite", 1);
    let objects = cx.compile(&Compilation {
        units: vec!["sqlite3.c".to_owned()],
        source: Some(source.clone()),
        flags: FLAGS.map(str::to_owned).to_vec(),
        pic: true,
        ..Compilation::default()
    });
    let library =
        cx.shared_library(&SharedLibrary { path: "lib/libsqlite3.so".to_owned(), objects, ..SharedLibrary::default() });
    let tree = cx.merge("tree", [(library.all(), ""), (source.select(["sqlite3.h", "sqlite3ext.h"]), "include")]);
    let package = cx.package([(library.below("lib"), "root/slib")], ["sandbox_inner"]);
    Product { tree: Some(tree), package: Some(package) }
}
