//! The trusted loader: what runs outside the sandbox.

use build_graph::dsl::{Context, Product};

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let sources = cx.files("sandbox");
    let program = cx.host_program("host/sandbox_outer", &sources, "run");
    let package = cx.package([(&program, "")], []);
    Product { tree: Some(program), package: Some(package) }
}
