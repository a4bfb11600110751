//! Jinja2 for Python 3: a wheel, as it is.

use build_graph::dsl::{Recipe, recipe, wheel};

use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-jinja2", "3.1.6")
    .license("BSD-3-Clause")
    .targets(&[WASM])
    .source(wheel("jinja2"))
    .on_request()
    .describe(|cx| drop(cx.wheel().needs("markupsafe").installed()));
