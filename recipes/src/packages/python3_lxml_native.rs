//! Native code of lxml for Python 3, and of the libraries that it calls.

use build_graph::dsl::{Recipe, recipe};

use super::lxml_native::NEEDED;
use super::python_native::package;
use super::python3_native::PYTHON3;
use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-lxml-native", "6.0.2")
    .license("BSD-3-Clause AND MIT")
    .targets(&[WASM])
    .on_request()
    .files("recipes/files/lxml-training")
    .describe(|cx| package(cx, &PYTHON3, "python3-lxml", "lxml", NEEDED, ""));
