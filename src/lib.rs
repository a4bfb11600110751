//! The build tool.
