//! Native code of the C modules that CPython 3.13's own tests import.

use build_graph::dsl::{Recipe, recipe};

use super::python_native::untrained;
use super::python3_native::PYTHON3;
use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-tests-native", "3.13.5")
    .license("Python-2.0")
    .targets(&[WASM])
    .on_request()
    .describe(|cx| untrained(cx, &PYTHON3, "python3-tests"));
