//! attrs for Python 3, which Hypothesis stands on.

use build_graph::dsl::{Recipe, recipe, wheel};

use crate::toolchains::HOST;

pub(crate) const RECIPE: Recipe = recipe("python3-attrs", "25.4.0")
    .license("MIT")
    .targets(&[HOST])
    .source(wheel("attrs"))
    .describe(|cx| drop(cx.wheel().installed()));
