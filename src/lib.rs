//! `pynbox-build`: a reproducible build system for sandboxed Python.
//!
//! Recipes (crate `recipes`, or a stranger's own) are put together to a graph (crate
//! `build-graph`), which is written out as a ninja file. Every edge runs this program again for one
//! node; what it makes is kept in a content-addressed store.
//!
//! The rooms: [`cli`] one file a verb; [`project`] settings and files of the project; [`build`]
//! nodes to trees; [`executor`] containers; [`source`] pinned files; [`lock`] pins; [`install`]
//! packages and receipts; [`remote`] caches and engines on other machines; [`check`] tests that
//! others wrote. Rooms that are crates of their own: [`store`] trees and results; [`archive`],
//! [`image`], [`patch`], [`python`] readers of what strangers wrote.
//!
//! A program with recipes of its own:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     pynbox_build::main(pynbox_build::recipes::bundle)
//! }
//! ```

pub mod build;
pub mod build_report;
pub mod check;
pub mod cli;
pub mod executor;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod install;
pub mod lock;
pub mod model;
pub mod project;
pub mod provenance;
pub mod repository;
pub mod source;
pub mod wheels;

pub use build_graph;
pub use cli::main;
pub use formats::{archive, image, patch, python};
pub use recipes;
pub use remote;
pub use store;
pub use support::report;
pub(crate) use support::{called, environment, regular, retry, signals, waiting};
