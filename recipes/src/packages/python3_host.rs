//! A native CPython 3.13: it compiles the library to bytecode, and is the baseline that speed is
//! measured against.

use build_graph::dsl::{Recipe, recipe};

use super::python3;
use crate::toolchains::HOST;

/// Of the library, what `make install` would copy and compile three times over. Bytecode notes its
/// source's time, so it is made when that is what it will be wherever the tree is laid out. Some
/// files are there to show what does not compile.
const SCRIPT: &str = "mkdir work && cd work\n\
     ../src/configure --prefix=/build/python3 --build=x86_64-linux-gnu --without-ensurepip --with-openssl=/build/openssl3\n\
     make -j2\n\
     make altbininstall inclinstall sharedinstall\n\
     ln -s python3.13 /build/python3/bin/python3\n\
     cd /build/python3/lib/python3.13\n\
     cp -r /build/src/Lib/. /build/work/$(cat /build/work/pybuilddir.txt)/_sysconfigdata* .\n\
     rm -rf test idlelib tkinter turtledemo ensurepip\n\
     find /build/python3 -name __pycache__ -prune -exec rm -r {} +\n\
     find /build/python3 -exec touch -h -d @$SOURCE_DATE_EPOCH {} +\n\
     /build/python3/bin/python3 -m compileall -q --invalidation-mode timestamp . || true";

/// What its modules stand on, in the baseline as in the sandbox: recipes with the names by which
/// configure is told, where the headers are, and the options for the linker. OpenSSL is told of by
/// an option.
const LIBRARIES: [(&str, &str, &str, &str); 8] = [
    ("zlib", "ZLIB", "include", "-lz"),
    ("gdbm", "GDBM", "include", "-lgdbm"),
    ("bzip2", "BZIP2", "include", "-lbz2"),
    ("xz", "LIBLZMA", "include", "-llzma"),
    ("sqlite3", "LIBSQLITE3", "include", "-lsqlite3 -lm"),
    ("libuuid", "LIBUUID", "include/uuid", "-luuid"),
    ("libffi", "LIBFFI", "include", "-lffi"),
    ("openssl3", "OPENSSL", "include", "-lssl -lcrypto"),
];

/// Where packages lie in its tree.
pub(super) const SITE: &str = "python3/lib/python3.13/site-packages";

pub(crate) const RECIPE: Recipe = recipe("python3-host", "3.13.5")
    .license("Python-2.0")
    .targets(&[HOST])
    .source_of("python3")
    .provides("python3")
    .describe(|cx| {
        let libraries = LIBRARIES.map(|(recipe, ..)| (recipe, cx.dependency(recipe)));
        let mut build = cx
            .makefile(SCRIPT)
            .env("OPT", "-O2 -DNDEBUG")
            .env("PYTHONHASHSEED", "0")
            .env("PKG_CONFIG", "false")
            // It would find out how kindly this build runs.
            .env("ac_cv_broken_nice", "no")
            .output("python3");
        for (recipe, variable, headers, names) in LIBRARIES {
            build = build.env(&format!("{variable}_CFLAGS"), format!("-I/build/{recipe}/{headers}"));
            build = build.env(&format!("{variable}_LIBS"), format!("-L/build/{recipe}/lib {names}"));
        }
        for (recipe, library) in &libraries {
            build = build.input(library, format!("/build/{recipe}"));
        }
        let tree = build.finish();
        cx.tree(&tree, "");
        let headers = tree.select("python3/include").strip("python3");
        cx.offers_python(Some(headers), python3::INCLUDE, python3::offered(SITE, None));
    });
