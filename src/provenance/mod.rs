//! What a result comes from, for those who are to judge it: provenance statements, bills of
//! materials, and comparing what two builders made.
//!
//! All of it is computed from the [model](crate::model), so that the same build says the same.
//!
//! - [`ingredients`]: the sources, patches, files and tools that went into nodes
//! - [`statement`]: in-toto statements with SLSA provenance
//! - [`wheel`]: packages that were made of wheels without a recipe
//! - [`spdx`], [`cyclonedx`]: bills of materials, of a [`Bill`](bill::Bill)
//! - [`difference`]: how two trees differ, in which files and where in them

pub mod bill;
pub mod crates;
pub mod cyclonedx;
pub mod difference;
pub mod ingredients;
pub mod spdx;
pub mod statement;
pub mod wheel;

/// The name of this program in documents.
const TOOL: &str = "pynbox-build";
/// Its version.
const VERSION: &str = env!("CARGO_PKG_VERSION");
