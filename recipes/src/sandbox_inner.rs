//! What a program needs inside the sandbox: the part of the C library that wasi-libc lacks, linked into every program, and the folder
//! of shared libraries.

use build_graph::dsl::{Compilation, Context, Handle, Product, Take};
use build_graph::node::Target;

use crate::toolchains;

const UNITS: [&str; 25] = [
    "calls",
    "create",
    "descriptors",
    "dlfcn",
    "errors",
    "files",
    "flags",
    "folder",
    "iconv",
    "identity",
    "links",
    "locale",
    "mman",
    "netdb",
    "process",
    "signal",
    "socket",
    "start",
    "stat",
    "system",
    "temporary",
    "terminal",
    "times",
    "waits",
    "zone",
];

const NACL_UNITS: [&str; 7] = ["descriptors", "entropy", "files", "signals", "streams", "system", "waits"];

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    if cx.target().as_str() == toolchains::NACL {
        return for_nacl(cx);
    }
    let files = cx.files("recipes/files/sandbox_inner");
    let format = table_format(cx);
    let objects = cx.compile(&Compilation {
        units: UNITS.map(|unit| format!("src/{unit}.c")).to_vec(),
        source: Some(files.clone()),
        headers: vec!["src/*.h".to_owned()],
        include: vec![(files.select(["include"]), "/sysroot".to_owned()), (format, "/build/encodings".to_owned())],
        flags: [&cx.toolchain().standard, "-Iencodings", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
            .map(str::to_owned)
            .to_vec(),
        ..Compilation::default()
    });
    let library = cx.static_library("libsandbox_inner.a", &objects);
    let tree = cx.merge("tree", [(library.all(), ""), (files.select(["include"]), "")]);
    let slib = cx.empty_directory("slib", "root/slib");
    let encodings = encodings(cx);
    let package = cx.package([(slib.all(), ""), (encodings.all(), "root/slib")], []);
    Product { tree: Some(tree), package: Some(package) }
}

/// What `iconv.c` reads: a folder of tables, the same for all targets.
fn encodings(cx: &mut Context<'_>) -> Handle {
    cx.dependency_for("encodings", &Target(toolchains::HOST.to_owned()))
}

/// How the tables are laid out.
fn table_format(cx: &mut Context<'_>) -> Take {
    cx.files("recipes/files/encodings").select(["tables.h"])
}

/// For Native Client. Of the SDK's glibc: the dynamic loader, and the libraries that a program may ask for, stripped. They lie in `/slib`,
/// because the loader treats `/lib` as a place of its own. Beside them, linked into every program, what the loader can do and this glibc
/// does not ask it for.
fn for_nacl(cx: &mut Context<'_>) -> Product {
    let files = cx.files("recipes/files/sandbox_inner");
    let format = table_format(cx);
    let units = NACL_UNITS.map(|unit| format!("nacl/{unit}.c")).into_iter().chain(["src/iconv.c".to_owned()]);
    let objects = cx.compile(&Compilation {
        units: units.collect(),
        source: Some(files),
        headers: vec!["nacl/*.h".to_owned()],
        include: vec![(format, "/build/encodings".to_owned())],
        flags: [&cx.toolchain().standard, "-Iencodings", "-Wall", "-Wextra", "-Werror"].map(str::to_owned).to_vec(),
        ..Compilation::default()
    });
    let library = cx.static_library("libsandbox_inner.a", &objects);
    // A tree of a runtime has headers; this one needs none.
    let include = cx.empty_directory("include", "include");
    let tree = cx.merge("tree", [(&library, ""), (&include, "")]);

    let sdk = cx.unpacked(toolchains::SDK, toolchains::SDK_STRIP);
    let libraries = "toolchain/linux_x86_glibc/x86_64-nacl/lib";
    let names = ["c", "crypt", "dl", "gcc_s", "m", "pthread", "resolv", "rt", "stdc++", "util"];
    let patterns = names.iter().map(|name| format!("{libraries}/lib{name}.so.*"));
    let patterns: Vec<_> = patterns.chain([format!("{libraries}/runnable-ld.so")]).collect();
    let strip = cx.toolchain().strip.clone();
    // The loader opens no link, so a file lies there under the name by which it is asked for. What loads programs is loaded by its program
    // headers alone, and is left as it is.
    let script = format!(
        "mkdir slib && cp -L libraries/* slib && chmod -R u+w slib && \
         for link in libraries/*; do [ ! -L $link ] || rm -f slib/$(basename $(readlink $link)); done && cd slib && \
         for file in *.so.*; do {strip} --strip-unneeded $file; done"
    );
    let stripped = cx
        .action("slib")
        .shell(&script)
        .input(sdk.select(patterns).except([format!("{libraries}/*.py")]).strip(libraries), "/build/libraries")
        .output("slib")
        .finish();
    let encodings = encodings(cx);
    let package = cx.package([(stripped.below("slib"), "root/slib"), (encodings.all(), "root/slib")], []);
    Product { tree: Some(tree), package: Some(package) }
}
