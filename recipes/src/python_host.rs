//! A native CPython 2.7: it compiles the library to bytecode, and is the baseline that speed is measured against.

use build_graph::dsl::{Context, Product};

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.source("python", 1);
    let tree = cx
        .action("build")
        .heavy()
        .shell(
            "cp -r src work && cd work\n\
             ./configure --prefix=/build/python --build=x86_64-linux-gnu --enable-unicode=ucs4 --without-ensurepip\n\
             make -j2\n\
             make install\n\
             find /build/python -name '*.pyc' -delete\n\
             find /build/python -name '*.pyo' -delete\n\
             rm -rf /build/python/lib/python2.7/test /build/python/share",
        )
        .input(&source, "/build/src")
        .output("python")
        .finish();
    Product { tree: Some(tree), package: None }
}
