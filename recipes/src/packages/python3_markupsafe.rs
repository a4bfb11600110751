//! MarkupSafe for Python 3, with its C half: what templates of Jinja2 escape text by.

use build_graph::dsl::{Recipe, pypi, recipe};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-markupsafe", "3.0.3")
    .license("BSD-3-Clause")
    .targets(&[WASM])
    .source(pypi("markupsafe"))
    .for_python("python3")
    .on_request()
    .describe(|cx| {
        cx.python_extension("markupsafe._speedups").sources_in("src/markupsafe", "_speedups").installed();
        let pure = cx.source().select("src/markupsafe/*.py src/markupsafe/py.typed").strip("src/markupsafe");
        cx.python_files(pure, "markupsafe");
        cx.python_metadata("");
    });
