//! Native code of Python 2.7's interpreter and of its C modules, for `run --engine native`. It
//! takes minutes to make, and no package needs it.

use build_graph::dsl::{Context, Handle, MemoryBase, NativeCode, Recipe, recipe};

use super::python::LIBRARY;
use crate::toolchains::WASM;

/// An interpreter, whose recipe and program have the same name.
pub(super) struct Interpreter {
    pub(super) name: &'static str,
    /// Where programs see its library.
    pub(super) library: &'static str,
    /// Into how many C files it is divided: none takes a compiler more than a few seconds and
    /// 500 MB.
    pub(super) parts: usize,
    /// The recipes of the shared libraries that its package brings.
    pub(super) needed: &'static str,
}

pub(super) const PYTHON: Interpreter =
    Interpreter { name: "python", library: LIBRARY, parts: 24, needed: "bzip2 gdbm ncurses sqlite zlib" };

pub(crate) const RECIPE: Recipe = recipe("python-native", "2.7.18")
    .license("Python-2.0")
    .targets(&[WASM])
    .on_request()
    .files("recipes/files/python-training")
    .describe(|cx| interpreter(cx, &PYTHON));

/// Native code of an interpreter, trained by the recipe's files, and of its modules and libraries.
pub(super) fn interpreter(cx: &mut Context<'_>, python: &Interpreter) {
    let Interpreter { name, library, parts, needed } = *python;
    let training = cx.source();
    let (program, files) = (cx.given_by(name, "program"), cx.given_by(name, "library"));
    let modules = cx.linked_by(name);
    let needed = linked_by(cx, needed);
    for base in MemoryBase::ALL {
        let native = cx
            .native_code(name, program.clone())
            .parts(parts)
            .sees(files.clone(), library)
            .sees(&training, "/training")
            .trained_by([name, "-B", "-S", "/training/train.py"])
            .finish(base);
        cx.gives(base.word(), &native);
        cx.tree(&native, base.word());
        cx.installs_native_code(name, &native, base);
        // Few programs use one, and none of them is trained.
        let code = libraries(cx.native_libraries(name, &native), name, &modules, library);
        libraries(code, name, &needed, "").installed(base);
    }
    cx.install_tree(program, &format!("lib/native/{name}"));
    cx.requires(name);
}

/// Native code of a package of an interpreter, trained by the recipe's files: of its modules, and
/// of the libraries that these recipes link. Training sees the package's Python files in `folder`.
/// It loads no module that `untrained` names.
pub(super) fn package(
    cx: &mut Context<'_>,
    python: &Interpreter,
    package: &str,
    folder: &str,
    needed: &str,
    untrained: &str,
) {
    let Interpreter { name, library, .. } = *python;
    let training = cx.source();
    let (files, pure) = (cx.given_by(name, "library"), cx.given_by(package, "files"));
    let (modules, needed) = (cx.linked_by(package), linked_by(cx, needed));
    let is_untrained = |path: &str| untrained.split_whitespace().any(|name| path.ends_with(&format!("/{name}.so")));
    let (untrained, modules): (Vec<_>, Vec<_>) = modules.into_iter().partition(|(path, _)| is_untrained(path));
    let site = format!("{library}/site-packages");
    for base in MemoryBase::ALL {
        let program = cx.given_by(&format!("{name}-native"), base.word());
        let code = cx
            .native_libraries(name, program.clone())
            .sees(files.clone(), library)
            .sees(pure.clone(), &format!("{site}/{folder}"))
            .sees(&training, "/training")
            .trained_by([name, "-B", "/training/train.py"]);
        let code = libraries(code, package, &modules, &site);
        libraries(code, package, &needed, "").installed(base);
        libraries(cx.native_libraries(name, program), package, &untrained, &site).installed(base);
    }
    cx.requires([package, &format!("{name}-native")]);
}

/// Native code of the modules of a package that no training loads.
pub(super) fn untrained(cx: &mut Context<'_>, python: &Interpreter, package: &str) {
    let (name, site) = (python.name, format!("{}/site-packages", python.library));
    let modules = cx.linked_by(package);
    for base in MemoryBase::ALL {
        let program = cx.given_by(&format!("{name}-native"), base.word());
        libraries(cx.native_libraries(name, program), package, &modules, &site).installed(base);
    }
    cx.requires([package, &format!("{name}-native")]);
}

fn linked_by(cx: &mut Context<'_>, recipes: &str) -> Vec<(String, Handle)> {
    recipes.split_whitespace().flat_map(|recipe| cx.linked_by(recipe)).collect()
}

/// Adds modules of Python, which lie below `folder`, or libraries. The package that installs them
/// is part of their names: two may bring code of the same library, each with a profile of its own.
pub(super) fn libraries<'c, 'a>(
    code: NativeCode<'c, 'a>,
    package: &str,
    linked: &[(String, Handle)],
    folder: &str,
) -> NativeCode<'c, 'a> {
    linked.iter().fold(code, |code, (path, tree)| {
        let (below, file) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = file.split_once('.').map_or(file, |(stem, _)| stem);
        let seen = if below == "lib" { format!("/slib/{file}") } else { format!("{folder}/{path}") };
        let take = tree.select([path]);
        let take = if below.is_empty() { take } else { take.strip(below) };
        code.library(&format!("{package}.{stem}"), take, &seen).parts(parts_of(stem))
    })
}

/// Into how many C files a library is divided.
fn parts_of(stem: &str) -> usize {
    match stem {
        "_multiarray_umath" => 32,
        "_umath_linalg" | "etree" | "lapack_lite" => 12,
        "_hashlib" | "_sqlite3" | "_ssl" | "libc++" | "libsqlite3" | "libxml2" => 8,
        "_testcapi" | "libncursesw" | "objectify" => 4,
        _ => 2,
    }
}
