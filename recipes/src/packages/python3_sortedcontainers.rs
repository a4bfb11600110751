//! Sorted Containers for Python 3, which Hypothesis stands on.

use build_graph::dsl::{Recipe, recipe, wheel};

use crate::toolchains::HOST;

pub(crate) const RECIPE: Recipe = recipe("python3-sortedcontainers", "2.4.0")
    .license("Apache-2.0")
    .targets(&[HOST])
    .source(wheel("sortedcontainers"))
    .describe(|cx| drop(cx.wheel().installed()));
