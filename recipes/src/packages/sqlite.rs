//! SQLite, as the one file that its authors make of it.

use build_graph::dsl::{Pin, Recipe, debian, recipe};

/// One thread; no maps of files, which are copies here; no write-ahead log, which needs one that
/// several processes share.
const DEFINES: &str = "-DSQLITE_THREADSAFE=0 -DSQLITE_MAX_MMAP_SIZE=0 -DSQLITE_OMIT_WAL -DSQLITE_ENABLE_COLUMN_METADATA \
     -DSQLITE_ENABLE_FTS3_PARENTHESIS -DSQLITE_ENABLE_FTS4 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_JSON1 -DSQLITE_ENABLE_RTREE";

/// What holds SQLite as one file (the amalgamation), unchanged; SQLite's own source package needs
/// Tcl to make it.
const PIN: Pin = debian("libdbd-sqlite3-perl").package_version("1.72");

pub(crate) const RECIPE: Recipe = recipe("sqlite", "3.39.4").license("blessing").source(PIN).describe(|cx| {
    cx.c_library("sqlite3").sources("sqlite3").defines(DEFINES).public_headers("sqlite3.h sqlite3ext.h").shared();
});
