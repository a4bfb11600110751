//! libxslt and libexslt: two libraries of C files, with one configure script that only writes three headers.

use build_graph::dsl::{Compilation, Context, Handle, Product, SharedLibrary};

use crate::{configured, toolchains};

/// The units of the libraries, as their makefiles list them.
const XSLT: &str = "attrvt xslt xsltlocale xsltutils pattern templates variables keys numbers extensions extra functions namespaces imports \
     attributes documents preproc transform security";
const EXSLT: &str = "exslt common crypto math sets functions strings date saxon dynamic";

const OPTIONS: &str =
    "--without-python --without-crypto --without-plugins --without-debugger --with-libxml-prefix=/build/libxml2";

/// What configure asks for libxml2's flags: it may be called from any directory.
const XML2_CONFIG: &str = "#!/bin/sh\n\
     case $1 in\n\
     --version) echo 2.9.14 ;;\n\
     --cflags) echo -I/build/libxml2/include ;;\n\
     --libs) echo -L/build/libxml2/lib ;;\n\
     esac\n";

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.source("libxslt", 1);
    let libxml2 = cx.dependency("libxml2");
    let asked = cx.text_file("xml2-config", "bin/xml2-config", XML2_CONFIG, true);
    let libxml2_configured = cx.merge("libxml2", [(asked.all(), ""), (libxml2.select(["include"]), "")]);
    let outputs = ["config.h", "libxslt/xsltconfig.h", "libexslt/exsltconfig.h"];
    let scripts = source.select([
        "configure",
        "config.guess",
        "config.sub",
        "compile",
        "missing",
        "depcomp",
        "install-sh",
        "ltmain.sh",
        "**/*.in",
        // By this it knows the folder of the sources; the other is linked to.
        "libxslt/xslt.c",
        "tests/fuzz/*.x*",
    ]);
    let configured = configured::run(cx, scripts, OPTIONS, &[(&libxml2_configured, "/build/libxml2")], &outputs);
    let xslt = library(cx, &source, &configured, "libxslt", XSLT, vec![(libxml2.clone(), "lib/libxml2.so".to_owned())]);
    let needed = vec![(xslt.clone(), "lib/libxslt.so".to_owned()), (libxml2, "lib/libxml2.so".to_owned())];
    let exslt = library(cx, &source, &configured, "libexslt", EXSLT, needed);
    let headers = source.select(["libxslt/*.h", "libexslt/*.h"]);
    let tree = cx.merge(
        "tree",
        [
            (xslt.all(), ""),
            (exslt.all(), ""),
            (headers, "include"),
            (configured.select(["libxslt/*.h", "libexslt/*.h"]), "include"),
        ],
    );
    if cx.target().as_str() == toolchains::HOST {
        return Product { tree: Some(tree), package: None };
    }
    let libraries = [(xslt.below("lib"), "root/slib"), (exslt.below("lib"), "root/slib")];
    let package = cx.package(libraries, ["sandbox_inner", "libxml2"]);
    Product { tree: Some(tree), package: Some(package) }
}

fn library(
    cx: &mut Context<'_>,
    source: &Handle,
    configured: &Handle,
    name: &str,
    units: &str,
    needed: Vec<(Handle, String)>,
) -> Handle {
    let libxml2 = cx.dependency("libxml2");
    let objects = cx.compile(&Compilation {
        units: units.split_whitespace().map(|unit| format!("{name}/{unit}.c")).collect(),
        source: Some(source.clone()),
        headers: ["libxslt/*.h", "libexslt/*.h"].map(str::to_owned).to_vec(),
        include: vec![
            (configured.all(), "/build/config".to_owned()),
            (libxml2.select(["include"]), "/build/libxml2".to_owned()),
        ],
        flags: ["-DHAVE_CONFIG_H", "-Iconfig", "-Iheaders", "-Ilibxml2/include", "-w"].map(str::to_owned).to_vec(),
        pic: true,
        ..Compilation::default()
    });
    cx.shared_library(&SharedLibrary { path: format!("lib/{name}.so"), objects, needed, ..SharedLibrary::default() })
}
