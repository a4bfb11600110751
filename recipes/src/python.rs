//! Under construction.

use build_graph::dsl::{Context, Product};

pub(crate) fn describe(_cx: &mut Context<'_>) -> Product {
    Product::default()
}
