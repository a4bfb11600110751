//! The build tool.

pub mod executor;
