//! Native code of lxml for Python 2.7, and of the libraries that it calls.

use build_graph::dsl::{MemoryBase, Recipe, recipe};

use super::python::LIBRARY;
use super::python_native::libraries;
use crate::toolchains::WASM;

/// The libraries that lxml needs, by their recipes. They have in them what they use of zlib.
const NEEDED: &str = "libxml2 libxslt";

pub(crate) const RECIPE: Recipe = recipe("lxml-native", "4.9.4")
    .license("BSD-3-Clause AND MIT")
    .targets(&[WASM])
    .on_request()
    .files("recipes/files/lxml-training")
    .describe(|cx| {
        let training = cx.source();
        let (library, pure) = (cx.given_by("python", "library"), cx.given_by("lxml", "files"));
        let needed: Vec<_> = NEEDED.split_whitespace().map(|recipe| (recipe, cx.linked_by(recipe))).collect();
        let modules = cx.linked_by("lxml");
        let site = format!("{LIBRARY}/site-packages");
        for base in MemoryBase::ALL {
            let python = cx.given_by("python-native", base.word());
            let code = cx
                .native_libraries("python", python)
                .sees(library.clone(), LIBRARY)
                .sees(pure.clone(), &format!("{site}/lxml"))
                .sees(&training, "/training")
                .trained_by("python -B /training/train.py");
            let code = libraries(code, "lxml", &modules, &site);
            needed.iter().fold(code, |code, (recipe, linked)| libraries(code, recipe, linked, "")).installed(base);
        }
        cx.requires("lxml python-native");
    });
