//! The build tool.

pub mod archive;
pub mod image;
pub mod patch;
