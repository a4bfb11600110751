//! The remote execution protocol against real servers, and against one that does wrong.

mod cache;
mod engine;
mod execution;
mod farm;
mod liar;
mod own;
mod tls;
