//! What one action may take of the machine that runs it.
//!
//! A limit is part of no key: an action never learns of it. It is told no error that it could go
//! around; it is ended, and fails. So an output can't depend on a limit, and the same action gives
//! the same bytes wherever it comes to its end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of one action, over all of its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionLimits {
    /// How long it may take.
    pub time: Option<Duration>,
    /// Bytes that it may print.
    pub log: u64,
    /// Bytes that `/tmp` may hold. It never holds more than half of the machine's memory.
    pub tmp: u64,
    /// Bytes that `/dev/shm` may hold, with the same bound.
    pub shm: u64,
    /// Processes and threads at once.
    pub processes: u32,
    /// Bytes of memory that its processes may take together, what lies in `/tmp` and `/dev/shm`
    /// included. `None`: three quarters of the memory of the machine that runs it.
    pub memory: Option<u64>,
}

impl ActionLimits {
    /// Most that [`ActionLimits::processes`] can be: somewhat less than the number at which the
    /// kernel refuses one more, so that an action is ended before it is refused.
    pub const MAX_PROCESSES: u32 = 4000;

    /// Limits that only an action reaches which has gone wrong.
    pub const DEFAULT: Self = Self {
        time: Some(Duration::from_secs(6 * 60 * 60)),
        log: 64 << 20,
        tmp: 8 << 30,
        shm: 2 << 30,
        processes: Self::MAX_PROCESSES,
        memory: None,
    };
}

impl Default for ActionLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionLimit {
    /// [`ActionLimits::time`].
    Time,
    /// [`ActionLimits::log`].
    Log,
    /// [`ActionLimits::tmp`].
    Tmp,
    /// [`ActionLimits::shm`].
    Shm,
    /// [`ActionLimits::processes`].
    Processes,
    /// [`ActionLimits::memory`].
    Memory,
}

impl ActionLimit {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Time, Self::Log, Self::Tmp, Self::Shm, Self::Processes, Self::Memory];

    /// The name of its setting.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Log => "log",
            Self::Tmp => "tmp",
            Self::Shm => "shm",
            Self::Processes => "processes",
            Self::Memory => "memory",
        }
    }
}
