//! The remote execution protocol against real servers, and against one that does wrong.

mod cache;
mod engine;
mod execution;
mod liar;
mod own;
mod servers;
