//! libffi, on which ctypes of the native Python 3 stands. In the sandbox it stands on one of ours
//! (`ffi`).

use build_graph::dsl::{Recipe, debian, recipe};

use crate::toolchains::HOST;

const SCRIPT: &str = "mkdir work && cd work\n\
     ../src/configure --build=x86_64-linux-gnu --disable-shared --with-pic --disable-docs\n\
     make -j2\n\
     mkdir ../lib ../include\n\
     cp .libs/libffi.a ../lib\n\
     cp include/*.h ../include";

pub(crate) const RECIPE: Recipe =
    recipe("libffi", "3.4.4").license("MIT").targets(&[HOST]).source(debian("libffi")).describe(|cx| {
        let tree = cx.makefile(SCRIPT).output("lib include").finish();
        cx.exports(&tree, "lib/libffi.a");
    });
