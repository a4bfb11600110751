//! A native CPython 2.7: it compiles the library to bytecode, and is the baseline that speed is
//! measured against.

use build_graph::dsl::{Recipe, recipe};

use super::python;
use crate::toolchains::HOST;

/// Bytecode notes its source's time, so it is made when that is what it will be wherever the tree
/// is laid out. Some files are there to show what does not compile.
const SCRIPT: &str = "cp -r src work && cd work\n\
     ./configure --prefix=/build/python --build=x86_64-linux-gnu --enable-unicode=ucs4 --without-ensurepip\n\
     make -j2\n\
     make install\n\
     find /build/python -name '*.py[co]' -delete\n\
     rm -rf /build/python/lib/python2.7/test /build/python/share\n\
     find /build/python -exec touch -h -d @$SOURCE_DATE_EPOCH {} +\n\
     /build/python/bin/python2.7 -m compileall -q /build/python/lib/python2.7 || true";

pub(crate) const RECIPE: Recipe = recipe("python-host", "2.7.18")
    .license("Python-2.0")
    .targets(&[HOST])
    .source_of("python")
    .provides("python")
    .describe(|cx| {
        let (zlib, gdbm) = (cx.dependency("zlib"), cx.dependency("gdbm"));
        let tree = cx
            .makefile(SCRIPT)
            // In the baseline as in the sandbox; its setup.py looks where these point.
            .env("CPPFLAGS", "-I/build/zlib/include -I/build/gdbm/include")
            .env("LDFLAGS", "-L/build/zlib/lib -L/build/gdbm/lib")
            .input(&zlib, "/build/zlib")
            .input(&gdbm, "/build/gdbm")
            .output("python")
            .finish();
        cx.tree(&tree, "");
        let headers = tree.select("python/include").strip("python");
        cx.offers_python(Some(headers), python::INCLUDE, python::offered("python/lib/python2.7/site-packages", None));
    });
