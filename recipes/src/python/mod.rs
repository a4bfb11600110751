//! CPython 2.7 for the sandbox: the interpreter with its C modules linked in, and the library.

mod core;
mod modules;
pub(crate) mod tests;

use std::collections::BTreeSet;

use build_graph::dsl::{Compilation, Context, Handle, Product, Program, SharedLibrary, Take};
use build_graph::node::Target;
use modules::MODULES;

use crate::toolchains;

/// Where the interpreter finds everything in the sandbox.
const LIBRARY: &str = "/python/lib/python2.7";

/// What CPython's own build gives to every unit, but for optimisation; integers have digits of 30 bits, which makes long ones several
/// times faster where a long long is a machine word.
const FLAGS: [&str; 9] = [
    "-fno-strict-aliasing",
    "-fwrapv",
    "-DNDEBUG",
    "-DPYLONG_BITS_IN_DIGIT=30",
    "-DPy_BUILD_CORE",
    "-Iconfig",
    "-Iheaders/Include",
    "-w",
    "-Werror=implicit-function-declaration",
];

/// In what the ports to the targets differ.
struct Port {
    /// What `sys.platform` says.
    platform: &'static str,
    /// What configure is to take the system's name for.
    system: &'static str,
    /// Its answers to what configure can't try out.
    answers: &'static str,
    /// Options of configure.
    options: &'static str,
    /// Flags beside `FLAGS`.
    flags: &'static [&'static str],
    /// Units beside `main.c`.
    start: &'static [&'static str],
    /// What is not there beside `NOT_INSTALLED`, of the library and of the modules in files of
    /// their own.
    without: &'static [&'static str],
    without_modules: &'static [&'static str],
}

const WASI: Port = Port {
    platform: "wasi",
    system: "WASI",
    answers: "config.wasi.site",
    // A computed goto becomes a switch in WebAssembly; the interpreter's own switch is as fast and smaller.
    options: "--without-computed-gotos",
    flags: &["-Werror=incompatible-function-pointer-types"],
    start: &["snapshot"],
    without: &[],
    without_modules: &[],
};

const NACL: Port = Port {
    platform: "nacl",
    system: "NaCl",
    answers: "config.nacl.site",
    options: "--with-computed-gotos",
    flags: &[],
    start: &[],
    without: &["Lib/multiprocessing/**"],
    without_modules: &["_multiprocessing"],
};

fn port(cx: &Context<'_>) -> &'static Port {
    if cx.target().as_str() == toolchains::NACL { &NACL } else { &WASI }
}

/// The flags of every unit of the interpreter.
fn flags(cx: &Context<'_>) -> Vec<String> {
    FLAGS.iter().chain(port(cx).flags).map(|flag| (*flag).to_owned()).collect()
}

/// Headers of the sources, and C files that others include.
const HEADERS: [&str; 7] = [
    "Include/*.h",
    "Objects/**/*.h",
    "Parser/*.h",
    "Python/*.h",
    "Modules/**/*.h",
    "Modules/expat/xmltok_impl.c",
    "Modules/expat/xmltok_ns.c",
];

/// Parts of the library that are left out: Tk and IDLE, which draws with it; what is for other
/// systems.
const NOT_THERE: [&str; 3] = ["Lib/lib-tk/**", "Lib/idlelib/**", "Lib/msilib/**"];

/// Constants of other systems' headers, which would be taken for the library's.
const OTHER_SYSTEMS: &str = "Lib/plat-*/**";

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.source("python", 1);
    let files = cx.files("recipes/files/python");
    let python_host = cx.dependency_for("python-host", &Target(toolchains::HOST.to_owned()));
    let configured = configure(cx, &source, &files);
    let program = interpreter(cx, &source, &files, &configured);

    let sysconfig = cx
        .action("_sysconfigdata.py")
        .shell("python/bin/python2.7 files/gen_sysconfigdata.py config/Makefile config/pyconfig.h > _sysconfigdata.py")
        .env("PYTHONHASHSEED", "0")
        .input(python_host.below("python"), "/build/python")
        .input(files.select(["gen_sysconfigdata.py"]), "/build/files")
        .input(&configured, "/build/config")
        .output("_sysconfigdata.py")
        .finish();
    let pure = source
        .select(["Lib/**/*.py", "Lib/lib2to3/*.txt", "Lib/ensurepip/_bundled/*.whl"])
        .except(NOT_THERE.iter().chain(&tests::TESTS).chain([&OTHER_SYSTEMS]).chain(port(cx).without).copied())
        .strip("Lib");
    // Constants of Linux's headers, which are those of this system as well.
    let constants = source.select(["Lib/plat-linux2/*.py"]).strip("Lib/plat-linux2");
    let own = if port(cx).platform == "nacl" { "plat-nacl" } else { "plat-wasi" };
    let library = cx.merge("library", [(pure, ""), (constants, own), (sysconfig.all(), "")]);
    let bytecode = bytecode(cx, &library, LIBRARY);

    let extensions = extensions(cx, &source, &configured);
    let headers = cx.merge(
        "headers",
        [(source.select(["Include/*.h"]).strip("Include"), ""), (configured.select(["pyconfig.h"]), "")],
    );
    let mut content = vec![
        (program.all(), "root/python/bin"),
        (library.all(), "root/python/lib/python2.7"),
        (bytecode.below("bytecode"), "root/python/lib/python2.7"),
        (source.select(["Lib/site-packages/README"]).strip("Lib"), "root/python/lib/python2.7"),
        (headers.all(), "root/python/include/python2.7"),
        (configured.select(["Makefile"]), "root/python/lib/python2.7/config"),
    ];
    content.extend(extensions.into_iter().map(|extension| (extension, "root/python/lib/python2.7/lib-dynload")));
    // The interpreter has of zlib what its own module uses; programs that load the library find all
    // of it.
    let mut requires = vec!["sandbox_outer", "sandbox_inner", "zlib"];
    // What is not a shared library is in the modules.
    let needs = modules::extensions(cx).into_iter().flat_map(|extension| extension.needs);
    let shared = needs.filter(|(_, library)| library.ends_with(".so"));
    requires.extend(shared.map(|(recipe, _)| *recipe).collect::<BTreeSet<_>>());
    let package = cx.package(content, requires);
    let tree = cx.merge("tree", [(program.all(), "bin"), (headers.all(), "include/python2.7")]);
    Product { tree: Some(tree), package: Some(package) }
}

/// The bytecode of the Python files of a tree, for where they are installed; in `bytecode` of the tree that is given.
pub(crate) fn bytecode(cx: &mut Context<'_>, library: &Handle, folder: &str) -> Handle {
    let python_host = cx.dependency_for("python-host", &Target(toolchains::HOST.to_owned()));
    let files = cx.files("recipes/files/python");
    cx.action("bytecode")
        .shell(&format!("python/bin/python2.7 -S files/compile_library.py library {folder} bytecode"))
        .env("PYTHONHASHSEED", "0")
        .input(python_host.below("python"), "/build/python")
        .input(files.select(["compile_library.py"]), "/build/files")
        .input(library, "/build/library")
        .output("bytecode")
        .finish()
}

/// Runs configure outside the sources, of which it sees what it reads and no more. Gives `pyconfig.h` and `Makefile`.
fn configure(cx: &mut Context<'_>, source: &Handle, files: &Handle) -> Handle {
    let toolchain = cx.toolchain();
    let scripts = source.select([
        "configure",
        "config.guess",
        "config.sub",
        "install-sh",
        "*.in",
        "Include/object.h",
        "Misc/*.in",
        "Modules/*.in",
        "Modules/Setup*",
        "Modules/makesetup",
        "Modules/makesetup",
    ]);
    let script = format!(
        "mkdir work && cd work && ../src/configure {} --prefix=/python --with-threads {} --disable-ipv6 \
         --enable-unicode=ucs4 --with-suffix={} --disable-shared && cp pyconfig.h Makefile ..",
        toolchain.configure.join(" "),
        port(cx).options,
        toolchain.program_suffix,
    );
    let runtime = cx.runtime();
    let port = port(cx);
    let mut action = cx
        .action("configure")
        .shell(&script)
        .env("CC", toolchain.cc_line())
        .env("CFLAGS", toolchain.cflags.join(" "))
        .env("LIBS", toolchain.libraries.join(" "))
        .env("AR", toolchain.ar.clone())
        .env("RANLIB", toolchain.ranlib.clone())
        .env("CONFIG_SITE", format!("/build/files/{}", port.answers))
        // config.sub knows neither WASI nor NaCl, so it is told of a Linux, and this is what it builds for.
        .env("MACHDEP", port.platform)
        .env("ac_sys_system", port.system)
        .input(scripts, "/build/src")
        .input(files.select([port.answers]), "/build/files")
        .output("pyconfig.h")
        .output("Makefile");
    if let Some(runtime) = &runtime {
        action = action.input(runtime, "/sysroot");
    }
    action.finish()
}

/// The modules in files of their own, each at the top of what is taken.
fn extensions(cx: &mut Context<'_>, source: &Handle, configured: &Handle) -> Vec<Take> {
    let mut built = Vec::new();
    for extension in modules::extensions(cx) {
        let needs: Vec<_> =
            extension.needs.iter().map(|(recipe, library)| (cx.dependency(recipe), (*library).to_owned())).collect();
        let flags = flags(cx).into_iter().filter(|flag| *flag != "-DPy_BUILD_CORE");
        let flags = flags.chain(extension.flags.split_whitespace().map(str::to_owned));
        let mut compilation = Compilation {
            units: extension.sources.split_whitespace().map(|unit| format!("Modules/{unit}")).collect(),
            source: Some(source.clone()),
            headers: HEADERS.map(str::to_owned).to_vec(),
            include: vec![(configured.select(["pyconfig.h"]), "/build/config".to_owned())],
            flags: flags.collect(),
            pic: true,
            ..Compilation::default()
        };
        for (at, (needed, _)) in needs.iter().enumerate() {
            // Two libraries may be of one recipe.
            if needs[..at].iter().all(|(other, _)| other != needed) {
                compilation.include.push((needed.select(["include"]), "/build/needed".to_owned()));
            }
        }
        if !needs.is_empty() {
            compilation.flags.push("-Ineeded/include".to_owned());
        }
        let objects = cx.compile(&compilation);
        let module = cx.shared_library(&SharedLibrary {
            path: format!("lib-dynload/{}.so", extension.name),
            objects,
            needed: needs,
            ..SharedLibrary::default()
        });
        built.push(module.below("lib-dynload"));
    }
    built
}

fn interpreter(cx: &mut Context<'_>, source: &Handle, files: &Handle, configured: &Handle) -> Handle {
    let zlib = cx.dependency("zlib");
    let port = port(cx);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let base = Compilation {
        source: Some(source.clone()),
        headers: HEADERS.map(str::to_owned).to_vec(),
        include: vec![(configured.select(["pyconfig.h"]), "/build/config".to_owned())],
        flags: flags(cx),
        ..Compilation::default()
    };
    let compile = |cx: &mut Context<'_>, units: Vec<String>, flags: Vec<String>| {
        let flags = base.flags.iter().cloned().chain(flags).collect();
        cx.compile(&Compilation { units, flags, ..base.clone() })
    };
    let mut objects = compile(cx, core::units(), Vec::new());
    for (unit, flags) in core::units_with_flags(port.platform) {
        objects.extend(compile(cx, vec![unit.to_owned()], flags));
    }
    for module in MODULES {
        let units = words(module.sources).iter().map(|unit| format!("Modules/{unit}")).collect();
        let flags = base.flags.iter().cloned().chain(words(module.flags)).collect();
        let mut compilation = Compilation { units, flags, ..base.clone() };
        if module.zlib {
            compilation.include.push((zlib.select(["include"]), "/build/zlib".to_owned()));
            compilation.flags.push("-Izlib/include".to_owned());
        }
        objects.extend(cx.compile(&compilation));
    }
    let table = cx.text_file("config.c", "pynbox/config.c", &modules::table(), false);
    let own = cx.merge("own", [(files.select(["*.c"]), "pynbox"), (table.all(), "")]);
    let mut compilation = Compilation {
        units: ["config", "main"].iter().chain(port.start).map(|unit| format!("pynbox/{unit}.c")).collect(),
        source: Some(own),
        headers: Vec::new(),
        ..base.clone()
    };
    compilation.include.push((source.select(["Include/*.h"]), "/build/headers".to_owned()));
    compilation.include.push((files.select(["*.h"]), "/build/own".to_owned()));
    compilation.flags.push("-Iown".to_owned());
    let program = format!("-DPYTHON_PROGRAM=\"/python/bin/python{}\"", cx.toolchain().program_suffix);
    compilation.flags.push(program);
    objects.extend(cx.compile(&compilation));
    cx.program(&Program {
        name: "python".to_owned(),
        objects,
        libraries: vec![(zlib, "z".to_owned())],
        loads: true,
        ..Program::default()
    })
}
