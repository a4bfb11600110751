//! numpy for Python 3: its modules in C and C++, as files that are loaded, without a library of
//! linear algebra beside the one that it brings.

mod units;

use std::collections::HashMap;

use build_graph::dsl::{Code, Context, Handle, Recipe, pypi, recipe};
use units::{ARCHIVES, CYTHON_MODULES, MODULES, Part};

use crate::toolchains::WASM;

/// What meson reads to configure.
const CONFIGURED_FROM: &str = "meson.build meson.options meson_cpu/** numpy/** pyproject.toml vendored-meson/**";

/// Headers, and what else units include. Of Highway they see what is no test.
const HEADERS: &str = "meson_cpu/*.h numpy/_core/*.h numpy/_core/*.c numpy/_core/include/**/*.h numpy/_core/include/**/*.c \
                       numpy/_core/src/common/**/*.h numpy/_core/src/common/*.hpp numpy/_core/src/multiarray/**/*.h \
                       numpy/_core/src/npymath/*.h numpy/_core/src/npysort/*.h numpy/_core/src/npysort/*.hpp \
                       numpy/_core/src/umath/*.h numpy/_core/src/umath/*.inc numpy/_core/src/_simd/*.h \
                       numpy/_core/src/_simd/*.inc numpy/_core/src/highway/hwy/*.h numpy/_core/src/highway/hwy/ops/*.h \
                       numpy/fft/pocketfft/*.h numpy/linalg/**/*.h numpy/random/**/*.h";

/// Folders of these.
const INCLUDE: &str = "meson_cpu numpy/_core numpy/_core/include numpy/_core/src/common numpy/_core/src/multiarray \
                       numpy/_core/src/multiarray/stringdtype numpy/_core/src/npymath numpy/_core/src/umath \
                       numpy/_core/src/highway numpy/random numpy/random/src";

/// What meson gives to every unit, and Python's own build to every module. Loops stay loops: who
/// compiles the module to native code can't vectorise unrolled ones. What that costs and gains is
/// in `docs/reports/python3-speed.md`.
const FLAGS: &str = "-D_FILE_OFFSET_BITS=64 -D_LARGEFILE_SOURCE=1 -D_LARGEFILE64_SOURCE=1 -fno-strict-aliasing -fno-strict-overflow \
                     -DNDEBUG -DNPY_DISABLE_OPTIMIZATION -fno-unroll-loops";

/// What is installed beside modules: no tests, and nothing that only a build uses.
const FILES: &str = "numpy/**/*.py numpy/**/*.pyi numpy/**/*.pxd numpy/py.typed numpy/_core/include/**/*.[ch] \
                     numpy/f2py/src/** numpy/f2py/_backends/*.template !numpy/_build_utils/** \
                     !numpy/_core/code_generators/** !numpy/_core/include/numpy/libdivide/** !numpy/_core/src/** \
                     !numpy/distutils/** !numpy/linalg/lapack_lite/** !numpy/random/_examples/**";

/// The folder of a header that is installed into another one.
const LIBDIVIDE: &str = "numpy/_core/include/numpy/libdivide";

/// What `pyproject.toml` declares.
pub(super) const ENTRY_POINTS: &str = "[array_api]
numpy = numpy

[console_scripts]
f2py = numpy.f2py.f2py2e:main
numpy-config = numpy._configtool:main

[pkg_config]
numpy = numpy._core.lib.pkgconfig

[pyinstaller40]
hook-dirs = numpy:_pyinstaller_hooks_dir
";

pub(crate) const RECIPE: Recipe = recipe("python3-numpy", "2.3.5")
    .license("BSD-3-Clause")
    .targets(&[WASM])
    .source(pypi("numpy"))
    .for_python("python3")
    .on_request()
    .describe(|cx| {
        let source = cx.source();
        let files = cx.files("recipes/files/numpy");
        let configured = configure(cx, &source, &files);
        let generated = generate(cx, &source, &files);
        let mut parts = vec![
            (source.select("numpy/** !numpy/**/tests/**"), ""),
            (configured.below("configured"), ""),
            (generated.below("generated"), ""),
        ];
        for module in CYTHON_MODULES.split_whitespace() {
            parts.push((cython(cx, &source, &generated, module).all(), ""));
        }
        let tree = cx.merge("sources", parts);
        modules(cx, &tree);
        let library = [
            (tree.select(FILES).strip("numpy"), ""),
            (source.below(LIBDIVIDE), "_core/include/numpy/random"),
            (configured.below("installed"), ""),
        ];
        let library = cx.merge("files", library);
        cx.gives("files", &library);
        cx.python_files(&library, "numpy");
        cx.python_metadata(ENTRY_POINTS);
        cx.install_tree(files.select("test_numpy.py"), "root/test/python3");
    });

/// Configures by the meson that numpy brings, which also says what it would compile: a unit that
/// it has and this recipe has not, or the other way round, is an error. Python looks to it as if
/// it were the target's.
fn configure(cx: &mut Context<'_>, source: &Handle, files: &Handle) -> Handle {
    let (python, cython) = (cx.host_tool("python3"), cx.host_tool("python3-cython"));
    let headers = cx.dependency("python3").select("include");
    let listed = cx.text_file("units", "units", &listed(), false);
    cx.action("configure")
        .shell("sh -eu files/configure.sh /build/src listed/units")
        .for_target()
        .env("PYTHONHASHSEED", "0")
        .input(python.select("python3/bin python3/lib").strip("python3"), "/build/python3")
        .input(cython.below("python3"), "/build/python3")
        .input(headers, "/build/python3")
        .input(source.select(CONFIGURED_FROM), "/build/src")
        .input(files.select("configure.sh units.py"), "/build/files")
        .input(&listed, "/build/listed")
        .output("configured installed")
        .finish()
}

/// The units, a line each with meson's target.
fn listed() -> String {
    let module_parts = MODULES.iter().flat_map(|module| {
        let target = module.name.rsplit('.').next().unwrap_or_default();
        module.parts.iter().map(move |part| (target, *part))
    });
    let lines = ARCHIVES.iter().map(|part| ("", part)).chain(module_parts).flat_map(|(target, part)| {
        let target = part.target.unwrap_or(target);
        part.paths().map(move |path| format!("{target} {path}\n"))
    });
    let lines: std::collections::BTreeSet<_> = lines.collect();
    lines.into_iter().collect()
}

impl Part {
    /// The paths of its units.
    fn paths(&self) -> impl Iterator<Item = String> {
        self.units.split_whitespace().map(|unit| {
            let file = unit.rsplit('/').next().unwrap_or(unit);
            let ending = if file.contains('.') { "" } else { ".c" };
            format!("{}/{unit}{ending}", self.folder)
        })
    }
}

/// Runs numpy's generators of code and its templates.
fn generate(cx: &mut Context<'_>, source: &Handle, files: &Handle) -> Handle {
    let python = cx.host_tool("python3");
    let read = "numpy/**/*.src numpy/**/*.pyx.in numpy/**/*.pxd.in numpy/_build_utils/** numpy/distutils/conv_template.py \
                numpy/_core/code_generators/** numpy/_core/include/** numpy/_core/src/**/*.c numpy/_core/src/**/*.cpp \
                numpy/_core/src/**/*.h";
    cx.action("generate")
        .shell("python3/bin/python3 -S files/generate.py src generated")
        .env("PYTHONHASHSEED", "0")
        .input(python.below("python3"), "/build/python3")
        .input(files.select("generate.py"), "/build/files")
        .input(source.select(read), "/build/src")
        .output("generated")
        .finish()
}

/// The C of a module of `numpy.random`.
fn cython(cx: &mut Context<'_>, source: &Handle, generated: &Handle, module: &str) -> Handle {
    let (python, cython) = (cx.host_tool("python3"), cx.host_tool("python3-cython"));
    let file = format!("numpy/random/{module}.c");
    let script = format!(
        "mkdir -p numpy/random && python3/bin/python3 -I -m cython -3 --fast-fail -Xfreethreading_compatible=True --working src \
         -o ../{file} numpy/random/{module}.pyx"
    );
    cx.action(&format!("cython/{module}.c"))
        .shell(&script)
        .env("PYTHONHASHSEED", "0")
        .input(python.below("python3"), "/build/python3")
        .input(cython.below("python3"), "/build/python3")
        .input(
            source.select("numpy/__init__.py numpy/*.pxd numpy/random/*.py numpy/random/*.pxd numpy/random/*.pyx"),
            "/build/src",
        )
        .input(generated.select("generated/numpy/random").strip("generated"), "/build/src")
        .output([&file[..]])
        .finish()
}

/// Compiles and links all modules.
fn modules(cx: &mut Context<'_>, tree: &Handle) {
    let mut archives = HashMap::new();
    for part in ARCHIVES {
        let name = part.target.unwrap_or_default();
        let compiled = objects(cx, tree, part, name);
        archives.insert(name, cx.c_library(name).objects(compiled).without_headers().pic_archive());
    }
    // A part that two modules are linked from is compiled once.
    let mut compiled: HashMap<&str, Vec<Handle>> = HashMap::new();
    for module in MODULES {
        let target = module.name.rsplit('.').next().unwrap_or_default();
        let mut linked = Vec::new();
        for part in module.parts {
            let name = part.target.unwrap_or(target);
            let of_part = compiled.entry(part.units).or_insert_with(|| objects(cx, tree, part, name));
            linked.extend(of_part.iter().cloned());
        }
        let mut extension = cx.python_extension(module.name).objects(linked);
        for archive in module.archives {
            extension = extension.links(&archives[archive]);
        }
        if module.cxx {
            extension = extension.cxx("17");
        }
        extension.installed();
    }
}

/// Compiles the units of a part, those in C and those in C++.
fn objects(cx: &mut Context<'_>, tree: &Handle, part: &Part, name: &str) -> Vec<Handle> {
    fn described<'c, 'a, K>(code: Code<'c, 'a, K>, tree: &Handle, part: &Part) -> Code<'c, 'a, K> {
        code.source(tree)
            .headers(HEADERS)
            .include(INCLUDE)
            .headers_of("python3")
            .defines(FLAGS)
            .flags(part.flags)
            .quiet()
    }
    let prefix = format!("{name}/");
    let (cxx, c): (Vec<_>, Vec<_>) = part.paths().partition(|path| path.ends_with(".cpp"));
    let mut objects = Vec::new();
    if !c.is_empty() {
        let code = described(cx.compile(), tree, part).defines("-std=c11");
        objects.extend(code.sources(c).pic().prefix(&prefix).finish());
    }
    if !cxx.is_empty() {
        let code = described(cx.compile().cxx("17"), tree, part).flags(part.cxx_flags);
        objects.extend(code.sources(cxx).pic().prefix(&prefix).finish());
    }
    objects
}
