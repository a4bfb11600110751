//! lxml for the sandbox's Python: C modules that Cython wrote, and Python files; and for the native one, which it is compared with.

use build_graph::dsl::{Compilation, Context, Handle, Product, SharedLibrary, Take};

use crate::toolchains;

/// Where the interpreter finds it in the sandbox.
const FOLDER: &str = "/python/lib/python2.7/site-packages/lxml";
const MODULES: [&str; 5] = ["etree", "objectify", "_elementpath", "builder", "sax"];

/// What the modules include of Python and of the libraries; Cython's C has casts and leftovers that a compiler would speak of at length.
const FLAGS: [&str; 9] = [
    "-fno-strict-aliasing",
    "-fwrapv",
    "-DNDEBUG",
    "-DCYTHON_CLINE_IN_TRACEBACK=0",
    "-Ipython/include/python2.7",
    "-Ilibxml2/include",
    "-Ilibxslt/include",
    "-Iheaders/src/lxml/includes",
    "-w",
];

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let is_host = cx.target().as_str() == toolchains::HOST;
    let source = cx.source("lxml", 1);
    let (libxml2, libxslt) = (cx.dependency("libxml2"), cx.dependency("libxslt"));
    // The baseline is a module of the native Python, which has its headers elsewhere.
    let headers = if is_host {
        cx.dependency("python-host").select(["python/include"]).strip("python")
    } else {
        cx.dependency("python").select(["include"])
    };
    let libraries = [
        (libxml2.clone(), "lib/libxml2.so".to_owned()),
        (libxslt.clone(), "lib/libxslt.so".to_owned()),
        (libxslt.clone(), "lib/libexslt.so".to_owned()),
    ];
    let mut built = Vec::new();
    for name in MODULES {
        let mut objects = cx.compile(&Compilation {
            units: vec![format!("src/lxml/{name}.c")],
            source: Some(source.clone()),
            headers: ["src/lxml/*.h", "src/lxml/includes/*.h"].map(str::to_owned).to_vec(),
            include: vec![
                (headers.clone(), "/build/python".to_owned()),
                (libxml2.select(["include"]), "/build/libxml2".to_owned()),
                (libxslt.select(["include"]), "/build/libxslt".to_owned()),
            ],
            flags: FLAGS.map(str::to_owned).to_vec(),
            pic: true,
            ..Compilation::default()
        });
        if name == "etree" && !is_host {
            objects.extend(memory(cx, &headers, &libxml2));
        }
        // The others are Python that was compiled; only these two call the libraries.
        let needed = if matches!(name, "etree" | "objectify") { libraries.to_vec() } else { Vec::new() };
        built.push(cx.shared_library(&SharedLibrary {
            path: format!("lxml/{name}.so"),
            objects,
            needed,
            ..SharedLibrary::default()
        }));
    }
    // What was compiled is not imported from Python files.
    let compiled = ["src/lxml/_elementpath.py", "src/lxml/builder.py", "src/lxml/sax.py", "src/lxml/tests/**"];
    let pure =
        source.select(["src/lxml/**/*.py", "src/lxml/isoschematron/resources/**"]).except(compiled).strip("src/lxml");
    let library = cx.merge("library", [(pure, "")]);
    if is_host {
        return native(cx, &library, &built, &libraries);
    }
    let bytecode = crate::python::bytecode(cx, &library, FOLDER);
    let tests = cx.files("recipes/files/lxml");
    const SITE: &str = "root/python/lib/python2.7/site-packages/lxml";
    let mut content =
        vec![(tests.select(["test_*.py"]), "root/test"), (library.all(), SITE), (bytecode.below("bytecode"), SITE)];
    content.extend(built.iter().map(|module| (module.below("lxml"), SITE)));
    let package = cx.package(content, ["python", "libxml2", "libxslt"]);
    Product { tree: Some(library), package: Some(package) }
}

/// What makes a MemoryError of every allocation that fails in the libraries, whatever they make of
/// it.
fn memory(cx: &mut Context<'_>, headers: &Take, libxml2: &Handle) -> Vec<Handle> {
    let files = cx.files("recipes/files/lxml");
    cx.compile(&Compilation {
        units: vec!["memory.c".to_owned()],
        source: Some(files),
        include: vec![
            (headers.clone(), "/build/python".to_owned()),
            (libxml2.select(["include"]), "/build/libxml2".to_owned()),
        ],
        flags: ["-Ipython/include/python2.7", "-Ilibxml2/include", "-Wall", "-Werror"].map(str::to_owned).to_vec(),
        pic: true,
        ..Compilation::default()
    })
}

/// The baseline: the modules with their libraries beside them, where the native Python looks for them.
fn native(cx: &mut Context<'_>, library: &Handle, modules: &[Handle], libraries: &[(Handle, String)]) -> Product {
    const SITE: &str = "python/lib/python2.7/site-packages/lxml";
    let mut parts = vec![(library.all(), SITE)];
    parts.extend(modules.iter().map(|module| (module.below("lxml"), SITE)));
    parts.extend(libraries.iter().map(|(tree, path)| (tree.select([path]).strip("lib"), SITE)));
    Product { tree: Some(cx.merge("native", parts)), package: None }
}

/// lxml's own tests, in a package of their own, with the documentation whose examples are among them.
pub(crate) fn tests(cx: &mut Context<'_>) -> Product {
    let source = cx.unpacked("lxml", 1);
    let tests = source.select(["src/lxml/tests/**"]).strip("src");
    let documentation = source.select(["doc/**", "samples/**"]).except(["doc/html/**"]);
    let package = cx.package(
        [(tests, "root/python/lib/python2.7/site-packages"), (documentation, "root/python/lib/python2.7")],
        ["lxml"],
    );
    Product { tree: None, package: Some(package) }
}
