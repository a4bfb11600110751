//! Native code of Python 3's interpreter and of its C modules, for `run --engine native`.

use build_graph::dsl::{Recipe, recipe};

use super::python_native::{Interpreter, interpreter};
use super::python3::LIBRARY;
use crate::toolchains::WASM;

pub(super) const PYTHON3: Interpreter =
    Interpreter { name: "python3", library: LIBRARY, parts: 40, needed: "bzip2 gdbm ncurses zlib" };

pub(crate) const RECIPE: Recipe = recipe("python3-native", "3.13.5")
    .license("Python-2.0")
    .targets(&[WASM])
    .on_request()
    .files("recipes/files/python3-training")
    .describe(|cx| interpreter(cx, &PYTHON3));
