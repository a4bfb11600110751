//! libxml2: one library of C files; its configure script only writes two headers.

use build_graph::dsl::{Compilation, Context, Handle, Product, SharedLibrary};

use crate::{configured, toolchains};

/// The units of the library, as its makefile lists them, but for those that open connections (nanohttp, nanoftp), which there are none of.
const UNITS: &str = "SAX entities encoding error parserInternals parser tree hash list xmlIO xmlmemory uri valid xlink HTMLparser HTMLtree \
     debugXML xpath xpointer xinclude catalog globals threads c14n xmlstring buf xmlregexp xmlschemas xmlschemastypes xmlunicode xmlreader \
     relaxng dict SAX2 xmlwriter legacy chvalid pattern xmlsave xmlmodule schematron";

/// No network and no threads in the sandbox, no modules of the library's own, and nobody packs XML with LZMA.
const OPTIONS: &str = "--without-http --without-ftp --without-threads --without-modules --without-python --without-lzma --with-zlib=/build/zlib";

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.source("libxml2", 1);
    let zlib = cx.dependency("zlib");
    let configured = configure(cx, &source, &zlib);
    let objects = cx.compile(&Compilation {
        units: UNITS.split_whitespace().map(|unit| format!("{unit}.c")).collect(),
        source: Some(source.clone()),
        headers: ["*.h", "include/**/*.h"].map(str::to_owned).to_vec(),
        include: vec![
            (configured.all(), "/build/config".to_owned()),
            (zlib.select(["include"]), "/build/zlib".to_owned()),
        ],
        flags: ["-DHAVE_CONFIG_H", "-Iconfig", "-Iconfig/include", "-Iheaders/include", "-Izlib/include", "-w"]
            .map(str::to_owned)
            .to_vec(),
        pic: true,
        ..Compilation::default()
    });
    let library = cx.shared_library(&SharedLibrary {
        path: "lib/libxml2.so".to_owned(),
        objects,
        // The interpreter has only those parts of zlib that its own module uses.
        needed: vec![(zlib, "lib/libz-pic.a".to_owned())],
        ..SharedLibrary::default()
    });
    // The archive has one of these already, of another configuration.
    let headers = source.select(["include/libxml/*.h"]).except(["include/libxml/xmlversion.h"]);
    let tree = cx.merge("tree", [(library.all(), ""), (headers, ""), (configured.select(["include/libxml/*.h"]), "")]);
    if cx.target().as_str() == toolchains::HOST {
        return Product { tree: Some(tree), package: None };
    }
    let package = cx.package([(library.below("lib"), "root/slib")], ["sandbox_inner"]);
    Product { tree: Some(tree), package: Some(package) }
}

/// Runs configure beside the sources, of which it sees what it reads. Gives `config.h` and `include/libxml/xmlversion.h`.
fn configure(cx: &mut Context<'_>, source: &Handle, zlib: &Handle) -> Handle {
    let scripts = source.select([
        "configure",
        "config.guess",
        "config.sub",
        "compile",
        "missing",
        "depcomp",
        "install-sh",
        "ltmain.sh",
        "xml2-config.in",
        "xml2Conf.sh.in",
        "**/*.in",
        // By this it knows the folder of the sources.
        "entities.c",
        "xmlregexp.c",
        "tree.c",
    ]);
    configured::run(cx, scripts, OPTIONS, &[(zlib, "/build/zlib")], &["config.h", "include/libxml/xmlversion.h"])
}
