//! Native code of Python 2.7's interpreter and of its C modules, for `run --engine native`. It
//! takes minutes to make, and no package needs it.

use build_graph::dsl::{Handle, MemoryBase, NativeCode, Recipe, recipe};

use super::python::LIBRARY;
use crate::toolchains::WASM;

/// Into how many C files the interpreter is divided: none takes a compiler more than a few seconds
/// and 500 MB.
const PARTS: usize = 24;

/// What Python's modules need that is compiled with them. The others (OpenSSL, ncurses, GDBM,
/// readline) are large, or of little use without a terminal.
const NEEDED: &str = "bzip2 sqlite";

pub(crate) const RECIPE: Recipe = recipe("python-native", "2.7.18")
    .license("Python-2.0")
    .targets(&[WASM])
    .on_request()
    .files("recipes/files/python-training")
    .describe(|cx| {
        let training = cx.source();
        let (program, library) = (cx.given_by("python", "program"), cx.given_by("python", "library"));
        let modules = cx.linked_by("python");
        let needed: Vec<_> = NEEDED.split_whitespace().map(|recipe| (recipe, cx.linked_by(recipe))).collect();
        for base in MemoryBase::ALL {
            let native = cx
                .native_code("python", program.clone())
                .parts(PARTS)
                .sees(library.clone(), LIBRARY)
                .sees(&training, "/training")
                .trained_by("python -B -S /training/train.py")
                .finish(base);
            cx.gives(base.word(), &native);
            cx.tree(&native, base.word());
            cx.installs_native_code("python", &native, base);
            // Few programs use one, and none of them is trained.
            let code = libraries(cx.native_libraries("python", &native), "python", &modules, LIBRARY);
            needed.iter().fold(code, |code, (recipe, linked)| libraries(code, recipe, linked, "")).installed(base);
        }
        cx.install_tree(program, "lib/native/python");
        cx.requires("python");
    });

/// Adds the modules of Python, or the libraries, that a recipe links. Modules lie below `folder`.
pub(super) fn libraries<'c, 'a>(
    code: NativeCode<'c, 'a>,
    recipe: &str,
    linked: &[(String, Handle)],
    folder: &str,
) -> NativeCode<'c, 'a> {
    linked.iter().fold(code, |code, (path, tree)| {
        let (below, file) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = file.split_once('.').map_or(file, |(stem, _)| stem);
        let seen = if below == "lib" { format!("/slib/{file}") } else { format!("{folder}/{path}") };
        let take = if below.is_empty() { tree.all() } else { tree.below(below) };
        code.library(&format!("{recipe}.{stem}"), take, &seen).parts(parts_of(stem))
    })
}

/// Into how many C files a library is divided.
fn parts_of(stem: &str) -> usize {
    match stem {
        "etree" => 12,
        "libsqlite3" | "libxml2" => 8,
        "objectify" => 4,
        _ => 2,
    }
}
