//! The remote execution protocol against real servers, and against one that does wrong.

mod cache;
#[path = "../remote/certificates.rs"]
mod certificates;
mod engine;
mod execution;
mod farm;
mod liar;
mod own;
mod servers;
mod tls;
