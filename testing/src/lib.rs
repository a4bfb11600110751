//! What several tests share. Every server listens on loopback only and ends with its value.
//!
//! | module | what it has |
//! |---|---|
//! | [`certificates`] | an authority, and certificates for loopback |
//! | `engines` (a feature) | servers of the Remote Execution API |
//! | [`helper`] | processes that run a function of a test's own program |
//! | [`scripted`] | an HTTP server whose answers are scripts |
//! | [`trees`] | generated trees, on disk and as values |
//! | [`web`] | nginx and an S3 server |

pub mod certificates;
#[cfg(feature = "engines")]
pub mod engines;
pub mod helper;
pub mod scripted;
pub mod trees;
pub mod web;

use std::net::TcpListener;
use std::time::{Duration, Instant};

/// The user and the group `nobody`, for tests that root starts and that need an ordinary user.
pub const NOBODY: u32 = 65_534;

/// Returns a port of loopback that nothing listens on at this moment.
///
/// # Panics
/// If the system gives none.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port of loopback").local_addr().expect("its address").port()
}

/// Waits until a condition holds.
///
/// # Panics
/// If it does not hold within two minutes; `what` says what was waited for.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(120), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
