//! SQLite for Python 3, as the one file that its authors make of it: an archive that becomes part
//! of the module `_sqlite3`, in the sandbox and natively.

use build_graph::dsl::{Pin, Recipe, fixed, recipe};

use crate::toolchains::{HOST, WASM};

/// One thread; no maps of files, which are copies here; no write-ahead log, which needs one that
/// several processes share; no extensions from files, which the guest could not load.
const DEFINES: &str = "-DSQLITE_THREADSAFE=0 -DSQLITE_MAX_MMAP_SIZE=0 -DSQLITE_OMIT_WAL -DSQLITE_OMIT_LOAD_EXTENSION \
     -DSQLITE_ENABLE_COLUMN_METADATA -DSQLITE_ENABLE_DESERIALIZE -DSQLITE_ENABLE_FTS3_PARENTHESIS \
     -DSQLITE_ENABLE_FTS4 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_MATH_FUNCTIONS -DSQLITE_ENABLE_RTREE";

/// Holds SQLite as one file (the amalgamation), unchanged, and is of trixie; SQLite's own source
/// package needs Tcl to make it.
const PIN: Pin =
    fixed("libdbd-sqlite3-perl_1.76.orig.tar.gz", "0a33a7a935be63371071dbe600cfaefa67cd971b67580a917bbf6ebaf723c584")
        .in_pool("pool/main/libd/libdbd-sqlite3-perl/libdbd-sqlite3-perl_1.76.orig.tar.gz")
        .urls(&["https://cpan.metacpan.org/authors/id/I/IS/ISHIGAKI/DBD-SQLite-1.76.tar.gz"]);

pub(crate) const RECIPE: Recipe =
    recipe("sqlite3", "3.46.1").license("blessing").targets(&[WASM, HOST]).source(PIN).describe(|cx| {
        cx.c_library("sqlite3")
            .sources("sqlite3")
            .defines(DEFINES)
            .public_headers("sqlite3.h sqlite3ext.h")
            .pic_archive();
    });
