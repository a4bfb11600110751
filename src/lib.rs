//! The build tool.

pub mod archive;
