//! ncurses.
use build_graph::dsl::{Context, Product};
pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    Product { tree: Some(cx.source("ncurses", 1)), package: None }
}
pub(crate) fn describe2(cx: &mut Context<'_>) -> Product {
    Product { tree: Some(cx.source("readline", 1)), package: None }
}
