//! `pynbox-build`: a reproducible build system for sandboxed Python.
//!
//! Recipes (crate `recipes`, or a stranger's own) are put together to a graph (crate
//! `build-graph`), which is written out as a ninja file. Every edge runs this program again for one
//! node; what it makes is kept in a content-addressed store.
//!
//! The rooms: [`cli`] one file a verb; [`project`] settings and files of the project; [`build`]
//! nodes to trees; [`store`] trees and results; [`executor`] containers; [`source`] pinned files;
//! [`archive`], [`image`], [`patch`] operations in process; [`lock`] pins; [`install`] packages and
//! receipts; [`remote`] caches and engines on other machines; [`check`] tests that others wrote.
//!
//! A program with recipes of its own:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     pynbox_build::main(pynbox_build::recipes::bundle)
//! }
//! ```

#[macro_use]
mod print;

pub mod archive;
pub mod build;
mod called;
pub mod check;
pub mod cli;
mod environment;
pub mod executor;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod image;
pub mod install;
pub mod lock;
pub mod patch;
mod program;
pub mod project;
pub mod regular;
pub mod remote;
mod retry;
mod signals;
pub mod source;
pub mod store;

pub use build_graph;
pub use cli::main;
pub use recipes;
