//! How this machine reaches others.
//!
//! | module | what it has |
//! |---|---|
//! | [`runtime`] | the one asynchronous runtime of the process |
//! | [`http`] | HTTP for threads that wait |
//! | [`stream`] | asynchronous bytes as a reader |
//! | [`login`] | names and passwords: in URLs, in files of the format of netrc |
//! | [`parallel`] | bounded parallel maps, over threads and over requests |
//! | [`worker_pool`] | threads that take what arrives asynchronously |
//!
//! Downloads, remote caches, engines and the Docker daemon are reached through these. The rest of
//! the program is synchronous: a thread that asks for something waits for it.

pub mod http;
pub mod login;
pub mod parallel;
mod proxy;
pub mod runtime;
pub mod stream;
pub mod worker_pool;
