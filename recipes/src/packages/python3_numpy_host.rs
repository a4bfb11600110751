//! numpy for the native Python 3, which the sandbox's is compared with: from the same source, by
//! its own build system, with the same choices. It has no code for some processors alone and no
//! library of linear algebra but its own, so that both run the same C.

use build_graph::dsl::{Recipe, recipe};

use super::python3_numpy::ENTRY_POINTS;
use crate::toolchains::HOST;

/// meson asks for a program `cython`.
const SCRIPT: &str = "mkdir bin && printf '#!/bin/sh\\nexec /build/python3/bin/python3 -m cython \"$@\"\\n' > bin/cython\n\
     chmod +x bin/cython && export PATH=/build/bin:$PATH\n\
     meson='/build/python3/bin/python3 src/vendored-meson/meson/meson.py'\n\
     $meson setup src work --prefix=/build/python3 --buildtype release -Doptimization=2 -Db_ndebug=true \
     -Dblas=none -Dlapack=none -Dallow-noblas=true -Dcpu-baseline=none -Dcpu-dispatch=none \
     -Ddisable-optimization=true -Ddisable-highway=true\n\
     ninja -C work -j2\n\
     DESTDIR=/build/installed $meson install -C work --no-rebuild --quiet";

pub(crate) const RECIPE: Recipe = recipe("python3-numpy-host", "2.3.5")
    .license("BSD-3-Clause")
    .targets(&[HOST])
    .source_of("python3-numpy")
    .for_python("python3")
    .on_request()
    .describe(|cx| {
        let (python, cython) = (cx.host_tool("python3"), cx.host_tool("python3-cython"));
        let built = cx
            .makefile(SCRIPT)
            .in_image("host-cxx")
            .env("PYTHONHASHSEED", "0")
            .input(python.below("python3"), "/build/python3")
            .input(cython.below("python3"), "/build/python3")
            .output("installed")
            .finish();
        let files = "installed/build/python3/lib/** !installed/**/tests/** !installed/**/__pycache__/**";
        // numpy's tests come from a package of their own.
        cx.tree(built.select(files).strip("installed/build"), "");
        cx.python_metadata(ENTRY_POINTS);
    });
