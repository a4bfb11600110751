//! Hypothesis for Python 3: some of numpy's tests let it choose what they try.

use build_graph::dsl::{Recipe, recipe, wheel};

use crate::toolchains::HOST;

pub(crate) const RECIPE: Recipe = recipe("python3-hypothesis", "6.131.9")
    .license("MPL-2.0")
    .targets(&[HOST])
    .source(wheel("hypothesis"))
    .describe(|cx| drop(cx.wheel().needs("attrs sortedcontainers").installed()));
