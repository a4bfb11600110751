//! gdbm: one database of keys and values in a file, and the older interface `ndbm` on top of it.

use build_graph::dsl::{Code, Configured, Context, Handle, Recipe, debian, kind, recipe};

use crate::toolchains::{HOST, WASM};

/// The units, as the makefiles list them.
const UNITS: &str = "gdbmclose gdbmcount gdbmdelete gdbmdump gdbmerrno gdbmexists gdbmexp gdbmfdesc gdbmfetch gdbmload gdbmopen gdbmimp \
     gdbmreorg gdbmseq gdbmsetopt gdbmstore gdbmsync avail base64 bucket falloc findkey fullio hash lock mmap recover update version";
const NDBM: &str = "dbmopen dbmdelete dbmerr dbmfetch dbmstore dbmseq dbmclose dbmdirfno dbmpagfno dbmrdonly";

/// Messages stay in English. Maps of files are copies here, which others who have the file open
/// don't see.
const OPTIONS: &str = "--disable-nls --disable-memory-mapped-io --enable-libgdbm-compat --without-readline";

// Not for NaCl: it has not been tried there.
pub(crate) const RECIPE: Recipe =
    recipe("gdbm", "1.23").license("GPL-3.0-or-later").targets(&[WASM, HOST]).source(debian("gdbm")).describe(|cx| {
        let config = cx
            .configure(OPTIONS)
            // By the third it knows the folder of the sources.
            .reads("configure build-aux/* src/gdbmdefs.h **/*.in tests/atlocal.in tests/testsuite")
            .writes("autoconf.h src/gdbm.h=gdbm.h")
            .finish();
        let compile = |cx: &mut Context<'_>, folder, units| {
            let code = cx.compile().sources_in(folder, units).headers("src/*.h compat/*.h").include("src");
            code.configured_by(&config).quiet().pic().finish()
        };
        let own = compile(cx, "src", UNITS);
        let both = [own.clone(), compile(cx, "compat", NDBM)].concat();
        if cx.toolchain().installs() {
            library(cx, "gdbm", &config, both).shared();
        } else {
            // Whoever links with the second names the first before it.
            library(cx, "gdbm", &config, own).pic_archive();
            library(cx, "gdbm_compat", &config, both).pic_archive();
        }
    });

fn library<'c, 'a>(
    cx: &'c mut Context<'a>,
    name: &str,
    config: &Configured,
    objects: Vec<Handle>,
) -> Code<'c, 'a, kind::Library> {
    let library = cx.c_library(name).objects(objects).configured_by(config).public_headers("gdbm.h");
    // Where distributions have it.
    library.public_headers_from("compat", "ndbm.h", "include/gdbm")
}
