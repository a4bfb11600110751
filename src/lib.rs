//! The build tool.

pub mod archive;
pub mod image;
