//! The time zones of the world, for Python 3's `zoneinfo`: the files that zic makes of IANA's data,
//! as a Python package with what it says of itself, where `importlib.metadata` finds it. The native
//! Python has it for its tests.

use build_graph::dsl::{Recipe, pypi, recipe};

use super::python3_host::SITE;
use crate::toolchains::{HOST, WASM};

pub(crate) const RECIPE: Recipe =
    recipe("tzdata", "2026.6").license("Apache-2.0").targets(&[WASM, HOST]).source(pypi("tzdata")).describe(|cx| {
        let parts = [
            (cx.source().select("src/tzdata/**").strip("src"), String::new()),
            (cx.source().select("PKG-INFO"), format!("tzdata-{}.egg-info", cx.version())),
        ];
        let package = cx.merge("package", parts);
        cx.tree(&package, if cx.toolchain().installs() { "" } else { SITE });
    });
