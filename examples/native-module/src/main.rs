//! `pynbox-build` with a native module of one's own: the distance between two texts, in C, for the sandbox's Python.
//!
//! In this folder (`docs/guide/native-module.md` goes through it line by line):
//!
//! ```sh
//! cargo build --release
//! native-module gen && ninja python editdistance
//! native-module install DEST && native-module install DEST editdistance
//! DEST/bin/run python -c 'import editdistance; print editdistance.distance("kitten", "sitting")'
//! ```

use std::process::ExitCode;

use pynbox_build::build_graph::dsl::{Compilation, Context, Product, Recipe, SharedLibrary};
use pynbox_build::build_graph::node::Target;
use pynbox_build::recipes::{self, toolchains};

/// Where Python looks for modules that are not its own.
const SITE: &str = "root/python/lib/python2.7/site-packages";

fn main() -> ExitCode {
    let module = Recipe {
        name: "editdistance".into(),
        version: "1.0".into(),
        targets: vec![Target(toolchains::WASM.into()), Target(toolchains::NACL.into())],
        describe: editdistance,
    };
    pynbox_build::main(|| recipes::bundle().with(module))
}

/// One unit, compiled against the headers of the Python that it will be loaded by; a module, which is a shared library that Python loads; and
/// a package that lays it into `site-packages` of an installation that has Python.
fn editdistance(cx: &mut Context<'_>) -> Product {
    let source = cx.files("recipes/files/editdistance");
    let python = cx.dependency("python");
    let objects = cx.compile(&Compilation {
        units: vec!["editdistance.c".into()],
        source: Some(source),
        include: vec![(python.select(["include"]), "/build/python".into())],
        flags: ["-Ipython/include/python2.7", "-fno-strict-aliasing", "-Wall", "-Werror"].map(Into::into).to_vec(),
        pic: true,
        ..Compilation::default()
    });
    let module =
        cx.shared_library(&SharedLibrary { path: "editdistance.so".into(), objects, ..SharedLibrary::default() });
    let package = cx.package([(&module, SITE)], ["python"]);
    Product { tree: Some(module), package: Some(package) }
}
