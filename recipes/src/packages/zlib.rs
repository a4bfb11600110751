//! zlib: a library of C files without a configure script to speak of.

use build_graph::dsl::{Recipe, debian, recipe};

use crate::toolchains::ALL;

/// The units of the library; the others in the tarball are programs and examples.
const UNITS: &str = "adler32 compress crc32 deflate gzclose gzlib gzread gzwrite infback inffast inflate inftrees trees \
                     uncompr zutil";

pub(crate) const RECIPE: Recipe =
    recipe("zlib", "1.2.13").license("Zlib").targets(ALL).source(debian("zlib")).describe(|cx| {
        cx.c_library("z")
            .sources(UNITS)
            .headers("*.h")
            // What its configure would find out of any system of today.
            .defines("-DHAVE_UNISTD_H -DHAVE_STDARG_H -DHAVE_HIDDEN")
            .public_headers("zlib.h zconf.h")
            .archives_and_shared("libz.so.1");
    });
