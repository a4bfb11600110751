//! Native code of MarkupSafe's C half.

use build_graph::dsl::{Recipe, recipe};

use super::python_native::untrained;
use super::python3_native::PYTHON3;
use crate::toolchains::WASM;

pub(crate) const RECIPE: Recipe = recipe("python3-markupsafe-native", "3.0.3")
    .license("BSD-3-Clause")
    .targets(&[WASM])
    .on_request()
    .describe(|cx| untrained(cx, &PYTHON3, "python3-markupsafe"));
