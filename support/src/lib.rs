//! Small things that several rooms share, and that belong to none of them.
//!
//! | module | what it has |
//! |---|---|
//! | [`called`] | the program's name, as hints show it |
//! | [`environment`] | variables that hold text |
//! | [`regular`] | opening files that a user named: regular files only |
//! | [`report`] | what rooms tell a user |
//! | [`retry`] | attempts, and the pauses between them |
//! | [`signals`] | clean-up before the process ends |
//! | [`waiting`] | locks between processes, and who holds them |

pub mod called;
pub mod environment;
pub mod regular;
pub mod report;
pub mod retry;
pub mod signals;
pub mod waiting;
