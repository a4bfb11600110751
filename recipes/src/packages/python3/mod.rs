//! CPython 3.13 for the sandbox: the interpreter with its C modules linked in, and the library.

mod core;
mod modules;

use build_graph::dsl::{Code, Context, Handle, Pin, Python, Recipe, Take, fixed, kind, recipe};
pub(super) use modules::TEST_EXTENSIONS;
use modules::{CORE, EXTENSIONS, MODULES};

use super::python::modules::{Extension, table};
use super::python3_tests::TESTS;
use crate::toolchains::WASM;

/// Where the interpreter finds everything in the sandbox.
pub(super) const LIBRARY: &str = "/python3/lib/python3.13";
/// Where that is installed.
pub(super) const LIBRARY_IN_DEST: &str = "root/python3/lib/python3.13";
/// Where its headers are, for those that build modules.
pub(super) const INCLUDE: &str = "include/python3.13";
/// The interpreter in the sandbox.
const PROGRAM: &str = "/python3/bin/python3.wasm";

/// What CPython's own build gives to every unit, but for optimisation. A clock's identity is an
/// address in this C library, which becomes a number in many places.
const FLAGS: &str = "-std=gnu11 -fno-strict-overflow -DNDEBUG -Wno-int-conversion";

/// Headers of the sources, and C files that others include.
const HEADERS: &str = "Include/**/*.h Objects/**/*.h Objects/typeslots.inc Parser/**/*.h Python/**/*.h Modules/**/*.h \
                       Modules/expat/xmltok_impl.c Modules/expat/xmltok_ns.c Modules/getaddrinfo.c Modules/getnameinfo.c \
                       Modules/_blake2/impl/*.c Modules/*.inc";

/// Parts of the library that are left out: Tk and what draws with it; bundled wheels, which `pip`
/// would be installed from.
const NOT_THERE: &str = "!Lib/tkinter/** !Lib/turtledemo/** !Lib/turtle.py !Lib/idlelib/** !Lib/ensurepip/**";

const PIN: Pin = fixed("Python-3.13.5.tar.xz", "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640")
    .in_pool("pool/main/p/python3.13/python3.13_3.13.5.orig.tar.xz")
    .urls(&["https://www.python.org/ftp/python/3.13.5/Python-3.13.5.tar.xz"]);

// Not for NaCl, whose compiler is older than the C that it is written in.
pub(crate) const RECIPE: Recipe =
    recipe("python3", "3.13.5").license("Python-2.0").targets(&[WASM]).source(PIN).on_request().describe(|cx| {
        let source = cx.source();
        let files = cx.files("recipes/files/python3");
        let configured = configure(cx, &source, &files);
        let program = interpreter(cx, &source, &files, &configured);
        cx.install_tree(&program, "root/python3/bin");
        cx.short_name("python3", PROGRAM);
        library(cx, &source, &files, &configured);
        for extension in EXTENSIONS {
            self::extension(cx, &source, configured.select("pyconfig.h"), extension);
        }
        cx.install_tree(files.select("tests/*.py").strip("tests"), "root/test");
        cx.install_tree(files.select("tests/bin").strip("tests"), "");
        let headers = [(source.select("Include/**/*.h").strip("Include"), ""), (configured.select("pyconfig.h"), "")];
        let headers = cx.merge("headers", headers);
        cx.install_tree(&headers, "root/python3/include/python3.13");
        // The interpreter has of zlib what its own module uses; programs that load the library find
        // all of it.
        cx.requires("sandbox_outer sandbox_inner zlib");
        cx.tree(&program, "bin");
        cx.gives("program", &program);
        cx.tree(&headers, INCLUDE);
        cx.tree(configured.select("pyconfig.h"), "config");
        cx.offers_python(None, INCLUDE, offered("root/python3/lib/python3.13/site-packages", Some(bytecode)));
    });

/// What those know who build for this Python or for the native one, whose modules lie in `site`.
pub(super) fn offered(site: &'static str, bytecode: Option<fn(&mut Context<'_>, &Handle, &str) -> Take>) -> Python {
    Python { site, site_at: "/python3/lib/python3.13/site-packages", flags: "-fno-strict-overflow -DNDEBUG", bytecode }
}

/// The bytecode of the Python files of a tree, for where they are installed.
pub(super) fn bytecode(cx: &mut Context<'_>, library: &Handle, folder: &str) -> Take {
    let python_host = cx.host_tool("python3-host");
    let files = cx.files("recipes/files/python3");
    let compiled = cx
        .action("bytecode")
        .shell(&format!("python3/bin/python3 -S files/compile_library.py library {folder} bytecode"))
        .env("PYTHONHASHSEED", "0")
        .input(python_host.below("python3"), "/build/python3")
        .input(files.select("compile_library.py"), "/build/files")
        .input(library, "/build/library")
        .output("bytecode")
        .finish();
    compiled.below("bytecode")
}

/// Installs the library's Python files, and what configure found out.
fn library(cx: &mut Context<'_>, source: &Handle, files: &Handle, configured: &Handle) {
    let python_host = cx.host_tool("python3-host");
    let name = "_sysconfigdata__wasi_wasm32-wasi.py";
    let sysconfig = cx
        .action(name)
        .shell(&format!("python3/bin/python3 -S files/gen_sysconfigdata.py config/Makefile config/pyconfig.h > {name}"))
        .env("PYTHONHASHSEED", "0")
        .input(python_host.below("python3"), "/build/python3")
        .input(files.select("gen_sysconfigdata.py"), "/build/files")
        .input(configured, "/build/config")
        .output(name)
        .finish();
    let pure = format!("Lib/**/*.py Lib/pydoc_data/* {NOT_THERE} !{TESTS}");
    let zones = cx.dependency("tzdata");
    let parts = [(source.select(pure).strip("Lib"), ""), (sysconfig.all(), ""), (zones.all(), "site-packages")];
    let library = cx.merge("library", parts);
    let compiled = bytecode(cx, &library, LIBRARY);
    cx.gives("library", &library);
    cx.install_tree(&library, LIBRARY_IN_DEST);
    cx.install_tree(compiled, LIBRARY_IN_DEST);
    cx.install_tree(source.select("Lib/site-packages/README.txt").strip("Lib"), LIBRARY_IN_DEST);
    let makefile = format!("{LIBRARY_IN_DEST}/config-3.13-wasm32-wasi");
    cx.install_tree(configured.select("Makefile"), &makefile);
}

/// Runs configure outside the sources, of which it sees what it reads and no more. Gives
/// `pyconfig.h` and `Makefile`. Of the Python that runs here it asks the version alone, so it does
/// not wait for one.
fn configure(cx: &mut Context<'_>, source: &Handle, files: &Handle) -> Handle {
    let scripts = "configure config.guess config.sub install-sh *.in Include/object.h Include/patchlevel.h Misc/*.in \
                   Misc/platform_triplet.c Modules/*.in Modules/Setup* Modules/makesetup";
    let script = format!(
        "printf '#!/bin/sh\\necho 3.13\\n' > python3 && chmod +x python3 && mkdir work && cd work && \
         ../src/configure --host=wasm32-wasi --build=x86_64-linux-gnu --with-build-python=/build/python3 --prefix=/python3 --disable-ipv6 --with-suffix={} \
         --without-computed-gotos --with-pymalloc --without-mimalloc --without-ensurepip && cp pyconfig.h Makefile ..",
        cx.toolchain().program_suffix(),
    );
    let libraries = format!("{} -lwasi-emulated-pthread", cx.toolchain().libraries());
    cx.action("configure")
        .shell(&script)
        .for_target()
        .env("LIBS", libraries)
        .env("PKG_CONFIG", "false")
        // Answers to what it can't try out.
        .env("CONFIG_SITE", "/build/files/config.wasi.site")
        .input(source.select(scripts), "/build/src")
        .input(files.select("config.wasi.site"), "/build/files")
        .output("pyconfig.h Makefile")
        .finish()
}

/// C code of the interpreter's sources, which sees what configure wrote.
fn code<'c, 'a>(cx: &'c mut Context<'a>, source: &Handle, config: Take) -> Code<'c, 'a, kind::Objects> {
    cx.compile()
        .source(source)
        .headers(HEADERS)
        .sees(config, "/build/config")
        .flags(FLAGS)
        .flags("-Iconfig -Iheaders/Include -Iheaders/Include/internal -w -Werror=implicit-function-declaration")
        .flags("-Werror=incompatible-function-pointer-types")
}

/// Builds a module in a file of its own.
pub(super) fn extension(cx: &mut Context<'_>, source: &Handle, config: Take, extension: &Extension) {
    let mut recipes: Vec<_> = extension.recipes().collect();
    recipes.dedup();
    let headers: Vec<_> = recipes.iter().map(|recipe| cx.dependency(recipe).select("include")).collect();
    let mut code = code(cx, source, config).sources_in("Modules", extension.sources).pic();
    code = code.flags(extension.flags).flags(if headers.is_empty() { "" } else { "-Ineeded/include" });
    for headers in headers {
        code = code.sees(headers, "/build/needed");
    }
    if let Some(included) = modules::included(extension.name) {
        code = code.sees(source.select(included), "/build/headers");
    }
    let objects = code.finish();
    let module = cx.module(&format!("lib-dynload/{}.so", extension.name)).objects(objects);
    let module = extension.needs.split_whitespace().fold(module, |module, library| module.dep(library)).finish();
    cx.install_tree(module.below("lib-dynload"), "root/python3/lib/python3.13/lib-dynload");
}

/// The headers with modules in bytecode that the interpreter holds.
fn frozen(cx: &mut Context<'_>, source: &Handle, files: &Handle) -> Handle {
    let python_host = cx.host_tool("python3-host");
    let modules = "Programs/_freeze_module.py Modules/getpath.py Tools/freeze/flag.py Lib/importlib/*.py Lib/zipimport.py Lib/abc.py \
                   Lib/codecs.py Lib/io.py Lib/_collections_abc.py Lib/_sitebuiltins.py Lib/genericpath.py Lib/ntpath.py \
                   Lib/posixpath.py Lib/os.py Lib/site.py Lib/stat.py Lib/runpy.py Lib/__hello__.py Lib/__phello__/**/*.py";
    cx.action("frozen_modules")
        .shell(&format!("sh files/freeze.sh python3/bin/python3 src frozen_modules {}", core::FROZEN))
        .env("PYTHONHASHSEED", "0")
        .input(python_host.below("python3"), "/build/python3")
        .input(files.select("freeze.sh"), "/build/files")
        .input(source.select(modules), "/build/src")
        .output("frozen_modules")
        .finish()
}

fn interpreter(cx: &mut Context<'_>, source: &Handle, files: &Handle, configured: &Handle) -> Handle {
    const CORE_FLAG: &str = "-DPy_BUILD_CORE";
    let config = || configured.select("pyconfig.h");
    let zlib = cx.dependency("zlib");
    let frozen = frozen(cx, source, files);
    let mut objects = code(cx, source, config()).flags(CORE_FLAG).sources(core::units().collect::<Vec<_>>()).finish();
    for (unit, flags) in core::UNITS_WITH_FLAGS {
        objects.extend(code(cx, source, config()).flags(CORE_FLAG).sources(*unit).flags(*flags).finish());
    }
    for (unit, flags) in core::FREEZING_UNITS {
        let code = code(cx, source, config()).flags(CORE_FLAG).sources(*unit).flags(*flags);
        objects.extend(code.sees(&frozen, "/build/headers/Python").finish());
    }
    for module in MODULES {
        let mut code = code(cx, source, config()).flags("-DPy_BUILD_CORE_BUILTIN");
        code = code.sources_in("Modules", module.sources).flags(module.flags);
        if module.zlib {
            code = code.sees(zlib.select("include"), "/build/zlib").flags("-Izlib/include");
        }
        objects.extend(code.finish());
    }
    let table = cx.text_file("config.c", "pynbox/config.c", &table(CORE, MODULES, "PyInit_"), false);
    let own = cx.merge("own", [(files.select("*.c"), "pynbox"), (table.all(), "")]);
    let start = cx
        .compile()
        .source(&own)
        .sources_in("pynbox", "config float_errors main snapshot seed")
        .sees(config(), "/build/config")
        .sees(source.select("Include/**/*.h"), "/build/headers")
        .sees(files.select("*.h"), "/build/own")
        .flags(FLAGS)
        .flags("-DPy_BUILD_CORE -Iconfig -Iheaders/Include -Iheaders/Include/internal -Iown -Wall -Werror")
        .flags([format!("-DPYTHON_PROGRAM=\"{PROGRAM}\""), "-DPYTHON_HOME=\"/python3\"".to_owned()]);
    objects.extend(start.finish());
    objects.push(long_doubles(cx));
    let program = cx.program("python3").objects(objects).dep("zlib").loads_libraries();
    program.link_flags("-Lobjects/lib -lwasi-emulated-pthread").finish()
}

/// A C library that prints and reads long doubles: extension modules may have them, and Debian's
/// ends the program at one, unless its other functions for that come first. They can't beside the
/// whole of it, so they take the place of the usual ones. The linker finds it among the objects.
fn long_doubles(cx: &mut Context<'_>) -> Handle {
    let ar = cx.toolchain().archiver();
    let script = format!(
        "mkdir -p objects/lib members && cd members && {ar} x /usr/lib/wasm32-wasi/libc-printscan-long-double.a\n\
         library=../objects/lib/libc.a && cp /usr/lib/wasm32-wasi/libc.a $library\n\
         for member in *.long-double.o; do {ar} dD $library ${{member%.long-double.o}}.o; done\n\
         {ar} rcsD $library *.o"
    );
    cx.action("libc.a").shell(&script).output("objects/lib/libc.a").finish()
}
