//! Native code of lxml for Python 2.7, and of the libraries that it calls.

use build_graph::dsl::{Recipe, recipe};

use super::python_native::{PYTHON, package};
use crate::toolchains::WASM;

/// The libraries that lxml needs, by their recipes. They have in them what they use of zlib.
pub(super) const NEEDED: &str = "libxml2 libxslt";

pub(crate) const RECIPE: Recipe = recipe("lxml-native", "4.9.4")
    .license("BSD-3-Clause AND MIT")
    .targets(&[WASM])
    .on_request()
    .files("recipes/files/lxml-training")
    .describe(|cx| package(cx, &PYTHON, "lxml", "lxml", NEEDED, ""));
