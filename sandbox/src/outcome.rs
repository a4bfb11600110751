//! How a run ended, and the exit status that says so.

use crate::limits::Limit;

/// Exit status for wrong usage, and for a program that is not there or no program.
pub const USAGE_STATUS: u8 = 2;
/// Exit status when something of the machine is in the way.
pub const ENVIRONMENT_STATUS: u8 = 3;
/// Exit status of a fault of the loader's own: `EX_SOFTWARE` of `sysexits.h`.
pub const FAULT_STATUS: u8 = 70;
/// Exit status of a guest that trapped, as of a native program that aborts.
pub const TRAP_STATUS: u8 = 134;
/// What a shell adds to the number of the signal that ended a program.
const SIGNALLED: u8 = 128;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The guest ended itself, with this status.
    Exit(u8),
    /// The guest did what no program may.
    Trap,
    /// The run reached a limit that ends it.
    Limit(Limit),
    /// Somebody sent the loader this signal, or its engine.
    Signal(u8),
    /// No guest was run; the status says whether the command line or the machine is at fault.
    Refused(u8),
    /// The loader itself failed.
    Fault,
}

impl How {
    /// The name in the line of `--status-fd`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exit(_) => "exit",
            Self::Trap => "trap",
            Self::Limit(_) => "limit",
            Self::Signal(_) => "signal",
            Self::Refused(_) => "refused",
            Self::Fault => "fault",
        }
    }

    /// The exit status of the process.
    pub fn status(self) -> u8 {
        match self {
            Self::Exit(status) | Self::Refused(status) => status,
            Self::Trap => TRAP_STATUS,
            // A limit that the guest is told of ends no run.
            Self::Limit(limit) => limit.row().status.unwrap_or(FAULT_STATUS),
            Self::Signal(signal) => SIGNALLED.saturating_add(signal),
            Self::Fault => FAULT_STATUS,
        }
    }
}

/// How a run ended, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How.
    pub how: How,
    /// Why, for people; nothing where the guest ended itself.
    pub reason: Option<String>,
}

impl Outcome {
    /// The guest ended itself.
    pub fn exit(status: u8) -> Self {
        Self { how: How::Exit(status), reason: None }
    }

    /// Somebody's signal ended the run.
    pub fn ended_by(signal: i32) -> Self {
        Self::new(How::Signal(u8::try_from(signal).unwrap_or(0)), format_args!("it was ended by signal {signal}"))
    }

    /// The run reached a limit that ends it.
    pub fn reached(limit: Limit) -> Self {
        Self::new(How::Limit(limit), format_args!("it reached the limit that `{}` sets", limit.row().option))
    }

    /// The run ended in another way.
    pub fn new(how: How, reason: impl ToString) -> Self {
        Self { how, reason: Some(reason.to_string()) }
    }
}
