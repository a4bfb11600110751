//! The build tool.

pub mod store;
