//! Executors: what runs the command of an action in a container of its own. Their common face and the embedded one are a crate apart,
//! `namespaces`, because remote workers get it as well.

pub use namespaces::*;
