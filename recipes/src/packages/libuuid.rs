//! libuuid of util-linux: an archive that becomes part of Python's module `_uuid`.

use build_graph::dsl::{Recipe, debian, recipe};

use crate::toolchains::{HOST, WASM};

/// The units of the library, and what they call of what all of util-linux shares.
const UNITS: &str = "clear compare copy gen_uuid isnull pack parse predefined unpack unparse uuid_time";
const SHARED: &str = "md5 randutils sha1";

/// What its configure would find here. Of what it looks for, interfaces of a network and the daemon
/// `uuidd` are not there; so a node's number is random.
const DEFINES: &str = "-DHAVE_UNISTD_H -DHAVE_STDLIB_H -DHAVE_SYS_TIME_H -DHAVE_SYS_FILE_H -DHAVE_ERR_H -DHAVE_NANOSLEEP \
     -DHAVE_LOFF_T -DHAVE_DIRFD -DHAVE_DECL_DIRFD=1 -DHAVE_STRUCT_STAT_ST_MTIM_TV_NSEC -DHAVE_JRAND48";

pub(crate) const RECIPE: Recipe =
    recipe("libuuid", "2.38.1").license("BSD-3-Clause").targets(&[WASM, HOST]).source(debian("util-linux")).describe(
        |cx| {
            cx.c_library("uuid")
                .sources_in("libuuid/src", UNITS)
                .sources_in("lib", SHARED)
                .headers("libuuid/src/*.h include/*.h")
                .include("libuuid/src include")
                .defines(DEFINES)
                .quiet()
                .public_headers_from("libuuid/src", "uuid.h", "include/uuid")
                .pic_archive();
        },
    );
