//! bzip2: a library of seven files without a configure script.

use build_graph::dsl::{Recipe, debian, recipe};

use crate::toolchains::ALL;

pub(crate) const RECIPE: Recipe =
    recipe("bzip2", "1.0.8").license("bzip2-1.0.6").targets(ALL).source(debian("bzip2")).describe(|cx| {
        let installs = cx.toolchain().installs();
        let library = cx
            .c_library("bz2")
            // The others in the tarball are programs.
            .sources("blocksort huffman crctable randtable compress decompress bzlib")
            .headers("*.h")
            .defines("-D_FILE_OFFSET_BITS=64")
            .public_headers("bzlib.h");
        if installs {
            library.shared();
        } else {
            library.pic_archive();
        }
    });
