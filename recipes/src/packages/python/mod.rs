//! CPython 2.7 for the sandbox: the interpreter with its C modules linked in, and the library.

mod core;
pub(super) mod modules;

use build_graph::dsl::{Code, Context, Handle, Pin, Python, Recipe, Take, fixed, kind, recipe};
use modules::{CORE, MODULES};

use super::python_tests::TESTS;

/// Where the interpreter finds everything in the sandbox.
pub(super) const LIBRARY: &str = "/python/lib/python2.7";
/// Where that is installed.
const LIBRARY_IN_DEST: &str = "root/python/lib/python2.7";
/// Where its headers are, for those that build modules.
pub(super) const INCLUDE: &str = "include/python2.7";

/// What CPython's own build gives to every unit, but for optimisation; integers have digits of 30
/// bits, which makes long ones several times faster where a long long is a machine word.
const FLAGS: &str = "-fno-strict-aliasing -fwrapv -DNDEBUG -DPYLONG_BITS_IN_DIGIT=30";

/// In what the ports to the systems differ.
struct Port {
    /// Options of configure.
    options: &'static str,
    /// Flags of every unit.
    flags: &'static str,
    /// Units beside `main.c`.
    start: &'static str,
    /// What is not there beside `NOT_THERE`, of the library and of the modules in files of their
    /// own.
    without: &'static str,
    without_modules: &'static [&'static str],
}

const WASI: Port = Port {
    // A computed goto becomes a switch in WebAssembly; the interpreter's own switch is as fast and
    // smaller.
    options: "--without-computed-gotos",
    flags: "-Werror=incompatible-function-pointer-types",
    start: "snapshot",
    without: "",
    without_modules: &[],
};

const NACL: Port = Port {
    options: "--with-computed-gotos",
    flags: "",
    start: "",
    without: "!Lib/multiprocessing/**",
    without_modules: &["_multiprocessing"],
};

fn port(cx: &Context<'_>) -> &'static Port {
    if cx.toolchain().system() == "NaCl" { &NACL } else { &WASI }
}

/// Where programs in the sandbox see the interpreter.
fn program_path(cx: &Context<'_>) -> String {
    format!("/python/bin/python{}", cx.toolchain().program_suffix())
}

/// What `sys.platform` says.
fn platform(cx: &Context<'_>) -> String {
    cx.toolchain().system().to_lowercase()
}

/// Headers of the sources, and C files that others include.
const HEADERS: &str = "Include/*.h Objects/**/*.h Parser/*.h Python/*.h Modules/**/*.h Modules/expat/xmltok_impl.c \
                       Modules/expat/xmltok_ns.c";

/// Parts of the library that are left out: Tk and IDLE, which draws with it; what is for other
/// systems, whose headers' constants would be taken for the library's.
const NOT_THERE: &str = "!Lib/lib-tk/** !Lib/idlelib/** !Lib/msilib/** !Lib/plat-*/**";

const PIN: Pin = fixed("Python-2.7.18.tgz", "da3080e3b488f648a3d7a4560ddee895284c3380b11d6de75edb986526b9a814")
    .in_pool("pool/main/p/python2.7/python2.7_2.7.18.orig.tar.gz")
    .urls(&["https://www.python.org/ftp/python/2.7.18/Python-2.7.18.tgz"]);

pub(crate) const RECIPE: Recipe = recipe("python", "2.7.18").license("Python-2.0").source(PIN).describe(|cx| {
    let source = cx.source();
    let files = cx.files("recipes/files/python");
    let python_host = cx.host_tool("python-host");
    let configured = configure(cx, &source, &files);
    let program = interpreter(cx, &source, &files, &configured);
    cx.install_tree(&program, "root/python/bin");

    let sysconfig = cx
        .action("_sysconfigdata.py")
        .shell("python/bin/python2.7 files/gen_sysconfigdata.py config/Makefile config/pyconfig.h > _sysconfigdata.py")
        .env("PYTHONHASHSEED", "0")
        .input(python_host.below("python"), "/build/python")
        .input(files.select("gen_sysconfigdata.py"), "/build/files")
        .input(&configured, "/build/config")
        .output("_sysconfigdata.py")
        .finish();
    let pure = format!(
        "Lib/**/*.py Lib/lib2to3/*.txt Lib/ensurepip/_bundled/*.whl {NOT_THERE} {} {}",
        TESTS.replace("Lib", "!Lib"),
        port(cx).without
    );
    let pure = source.select(pure).strip("Lib");
    // Constants of Linux's headers, which are those of this system as well.
    let constants = source.select("Lib/plat-linux2/*.py").strip("Lib/plat-linux2");
    let own = format!("plat-{}", platform(cx));
    let library = cx.merge("library", [(pure, ""), (constants, &own), (sysconfig.all(), "")]);
    let compiled = bytecode(cx, &library, LIBRARY);
    cx.install_tree(&library, LIBRARY_IN_DEST);
    cx.install_tree(compiled, LIBRARY_IN_DEST);
    cx.install_tree(source.select("Lib/site-packages/README").strip("Lib"), LIBRARY_IN_DEST);

    extensions(cx, &source, &configured);
    let headers = [(source.select("Include/*.h").strip("Include"), ""), (configured.select("pyconfig.h"), "")];
    let headers = cx.merge("headers", headers);
    cx.install_tree(&headers, "root/python/include/python2.7");
    cx.install_tree(configured.select("Makefile"), "root/python/lib/python2.7/config");
    // The interpreter has of zlib what its own module uses; programs that load the library find all
    // of it.
    cx.requires("sandbox_outer sandbox_inner zlib");
    let path = program_path(cx);
    cx.short_name("python", &path);
    cx.tree(&program, "bin");
    cx.tree(&headers, INCLUDE);
    cx.gives("program", &program);
    cx.gives("library", &library);
    cx.offers_python(None, INCLUDE, offered("root/python/lib/python2.7/site-packages", Some(bytecode)));
});

/// What those know who build for this Python or for the native one, whose modules lie in `site`.
pub(super) fn offered(site: &'static str, bytecode: Option<fn(&mut Context<'_>, &Handle, &str) -> Take>) -> Python {
    Python {
        site,
        site_at: "/python/lib/python2.7/site-packages",
        flags: "-fno-strict-aliasing -fwrapv -DNDEBUG",
        bytecode,
    }
}

/// The bytecode of the Python files of a tree, for where they are installed.
pub(super) fn bytecode(cx: &mut Context<'_>, library: &Handle, folder: &str) -> Take {
    let python_host = cx.host_tool("python-host");
    let files = cx.files("recipes/files/python");
    let compiled = cx
        .action("bytecode")
        .shell(&format!("python/bin/python2.7 -S files/compile_library.py library {folder} bytecode"))
        .env("PYTHONHASHSEED", "0")
        .input(python_host.below("python"), "/build/python")
        .input(files.select("compile_library.py"), "/build/files")
        .input(library, "/build/library")
        .output("bytecode")
        .finish();
    compiled.below("bytecode")
}

/// Runs configure outside the sources, of which it sees what it reads and no more. Gives
/// `pyconfig.h` and `Makefile`.
fn configure(cx: &mut Context<'_>, source: &Handle, files: &Handle) -> Handle {
    let toolchain = cx.toolchain();
    let scripts = "configure config.guess config.sub install-sh *.in Include/object.h Misc/*.in Modules/*.in Modules/Setup* \
                   Modules/makesetup";
    let script = format!(
        "mkdir work && cd work && ../src/configure {} --prefix=/python --with-threads {} --disable-ipv6 \
         --enable-unicode=ucs4 --with-suffix={} --disable-shared && cp pyconfig.h Makefile ..",
        toolchain.configure_options(),
        port(cx).options,
        toolchain.program_suffix(),
    );
    let platform = platform(cx);
    // Answers to what it can't try out.
    let answers = format!("config.{platform}.site");
    cx.action("configure")
        .shell(&script)
        .for_target()
        .env("CONFIG_SITE", format!("/build/files/{answers}"))
        // config.sub knows neither WASI nor NaCl, so it is told of a Linux, and this is what it
        // builds for.
        .env("MACHDEP", platform)
        .env("ac_sys_system", toolchain.system())
        .input(source.select(scripts), "/build/src")
        .input(files.select(answers), "/build/files")
        .output("pyconfig.h Makefile")
        .finish()
}

/// C code of the interpreter's sources: `core` for what is part of the interpreter.
fn code<'c, 'a>(
    cx: &'c mut Context<'a>,
    source: &Handle,
    configured: &Handle,
    core: bool,
) -> Code<'c, 'a, kind::Objects> {
    let port = port(cx);
    cx.compile()
        .source(source)
        .headers(HEADERS)
        .sees(configured.select("pyconfig.h"), "/build/config")
        .flags(FLAGS)
        .flags(if core { "-DPy_BUILD_CORE" } else { "" })
        .flags("-Iconfig -Iheaders/Include -w -Werror=implicit-function-declaration")
        .flags(port.flags)
}

/// Builds the modules in files of their own.
fn extensions(cx: &mut Context<'_>, source: &Handle, configured: &Handle) {
    for extension in modules::extensions(cx) {
        let mut recipes: Vec<_> = extension.recipes().collect();
        recipes.dedup();
        let headers: Vec<_> = recipes.iter().map(|recipe| cx.dependency(recipe).select("include")).collect();
        let mut code = code(cx, source, configured, false).sources_in("Modules", extension.sources).pic();
        code = code.flags(extension.flags).flags(if headers.is_empty() { "" } else { "-Ineeded/include" });
        for headers in headers {
            code = code.sees(headers, "/build/needed");
        }
        let objects = code.finish();
        let module = cx.module(&format!("lib-dynload/{}.so", extension.name)).objects(objects);
        let module = extension.needs.split_whitespace().fold(module, |module, library| module.dep(library)).finish();
        cx.install_tree(module.below("lib-dynload"), "root/python/lib/python2.7/lib-dynload");
    }
}

fn interpreter(cx: &mut Context<'_>, source: &Handle, files: &Handle, configured: &Handle) -> Handle {
    let (port, platform) = (port(cx), platform(cx));
    let zlib = cx.dependency("zlib");
    let mut objects = code(cx, source, configured, true).sources(core::units()).finish();
    for (unit, flags) in core::units_with_flags(&platform) {
        objects.extend(code(cx, source, configured, true).sources(unit).flags(flags).finish());
    }
    for module in MODULES {
        let mut code = code(cx, source, configured, true).sources_in("Modules", module.sources).flags(module.flags);
        if module.zlib {
            code = code.sees(zlib.select("include"), "/build/zlib").flags("-Izlib/include");
        }
        objects.extend(code.finish());
    }
    let table = cx.text_file("config.c", "pynbox/config.c", &modules::table(CORE, MODULES, "init"), false);
    let own = cx.merge("own", [(files.select("*.c"), "pynbox"), (table.all(), "")]);
    let program = format!("-DPYTHON_PROGRAM=\"{}\"", program_path(cx));
    let start = cx
        .compile()
        .source(&own)
        .sources_in("pynbox", "config main")
        .sources_in("pynbox", port.start)
        .sees(configured.select("pyconfig.h"), "/build/config")
        .sees(source.select("Include/*.h"), "/build/headers")
        .sees(files.select("*.h"), "/build/own")
        .flags(FLAGS)
        .flags("-DPy_BUILD_CORE -Iconfig -Iheaders/Include -w -Werror=implicit-function-declaration")
        .flags(port.flags)
        .flags("-Iown")
        .flags([program]);
    objects.extend(start.finish());
    cx.program("python").objects(objects).dep("zlib").loads_libraries().finish()
}
