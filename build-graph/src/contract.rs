//! The executor contract: what every action sees, whichever executor runs it.
//!
//! The number is part of every action's key. It grows when anything an action can observe changes:
//! a fixed value below, a mount, how outputs are normalised. A probe action's view is a golden test
//! of the executors, which fails when the view changes.
//!
//! It stays where the view changes for an unusual caller alone, and comes out as everybody else's
//! (`namespaces/src/namespace/caller.rs`), and where an action is refused what no tree can hold (a
//! mode that sets a user or a group): no result is another one for that.

use crate::SOURCE_DATE_EPOCH;

/// The number of the contract that this crate describes.
///
/// 2: the directories above an action's outputs are there when it starts.
pub const VERSION: u64 = 2;

/// Where an action starts, and below which its outputs lie. Fresh and writable; a directory on
/// disk.
pub const BUILD_DIR: &str = "/build";

/// The host name an action sees.
pub const HOSTNAME: &str = "pynbox";

/// Files that an action creates get modes without these bits.
pub const UMASK: u32 = 0o022;

/// The fixed part of an action's environment, sorted by name.
pub fn environment() -> [(&'static str, String); 7] {
    [
        ("HOME", "/build".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH.to_string()),
        ("TERM", "dumb".to_owned()),
        ("TMPDIR", "/tmp".to_owned()),
        ("TZ", "UTC".to_owned()),
    ]
}
