//! gdbm: one database of keys and values in a file, and the older interface `ndbm` on top of it.

use build_graph::dsl::{Compilation, Context, Product, SharedLibrary};

use crate::{configured, toolchains};

/// The units, as the makefiles list them.
const UNITS: &str = "gdbmclose gdbmcount gdbmdelete gdbmdump gdbmerrno gdbmexists gdbmexp gdbmfdesc gdbmfetch gdbmload gdbmopen gdbmimp \
     gdbmreorg gdbmseq gdbmsetopt gdbmstore gdbmsync avail base64 bucket falloc findkey fullio hash lock mmap recover update version";
const NDBM: &str = "dbmopen dbmdelete dbmerr dbmfetch dbmstore dbmseq dbmclose dbmdirfno dbmpagfno dbmrdonly";

/// Messages stay in English. Maps of files are copies here, which others who have the file open don't see.
const OPTIONS: &str = "--disable-nls --disable-memory-mapped-io --enable-libgdbm-compat --without-readline";

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.source("gdbm", 1);
    let scripts = source.select([
        "configure",
        "build-aux/*",
        "**/*.in",
        // By this it knows the folder of the sources.
        "src/gdbmdefs.h",
        "tests/atlocal.in",
        "tests/testsuite",
    ]);
    let configured = configured::run(cx, scripts, OPTIONS, &[], &["autoconf.h", "src/gdbm.h=gdbm.h"]);
    let paths = |folder: &str, units: &str| -> Vec<String> {
        units.split_whitespace().map(|unit| format!("{folder}/{unit}.c")).collect()
    };
    let compile = |cx: &mut Context<'_>, units| {
        cx.compile(&Compilation {
            units,
            source: Some(source.clone()),
            headers: ["src/*.h", "compat/*.h"].map(str::to_owned).to_vec(),
            include: vec![(configured.all(), "/build/config".to_owned())],
            flags: ["-Iconfig", "-Iheaders/src", "-w"].map(str::to_owned).to_vec(),
            pic: true,
            ..Compilation::default()
        })
    };
    let own = compile(cx, paths("src", UNITS));
    let older = compile(cx, paths("compat", NDBM));
    // Where distributions have the headers.
    let headers = [
        (configured.select(["gdbm.h"]), "include"),
        (source.select(["compat/ndbm.h"]).strip("compat"), "include/gdbm"),
    ];
    let both: Vec<_> = own.iter().cloned().chain(older).collect();
    if cx.target().as_str() == toolchains::HOST {
        // Whoever links with the second names the first before it.
        let libraries = [cx.static_library("libgdbm.a", &own), cx.static_library("libgdbm_compat.a", &both)];
        let libraries = libraries.iter().map(|library| (library.all(), ""));
        let tree = cx.merge("tree", libraries.chain(headers).collect::<Vec<_>>());
        return Product { tree: Some(tree), package: None };
    }
    let library = cx.shared_library(&SharedLibrary {
        path: "lib/libgdbm.so".to_owned(),
        objects: both,
        ..SharedLibrary::default()
    });
    let tree = cx.merge("tree", [(library.all(), "")].into_iter().chain(headers).collect::<Vec<_>>());
    let package = cx.package([(library.below("lib"), "root/slib")], ["sandbox_inner"]);
    Product { tree: Some(tree), package: Some(package) }
}
