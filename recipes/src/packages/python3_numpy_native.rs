//! Native code of numpy for Python 3, and of the library of C++.

use build_graph::dsl::{Recipe, recipe};

use super::python_native::package;
use super::python3_native::PYTHON3;
use crate::toolchains::WASM;

/// Modules of numpy's own tests, and one that nothing of numpy calls.
const UNTRAINED: &str =
    "_multiarray_tests _operand_flag_tests _rational_tests _simd _struct_ufunc_tests _umath_tests lapack_lite";

pub(crate) const RECIPE: Recipe = recipe("python3-numpy-native", "2.3.5")
    .license("BSD-3-Clause AND Apache-2.0 WITH LLVM-exception")
    .targets(&[WASM])
    .on_request()
    .files("recipes/files/numpy-training")
    .describe(|cx| package(cx, &PYTHON3, "python3-numpy", "numpy", "libcxx", UNTRAINED));
