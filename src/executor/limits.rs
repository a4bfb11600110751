//! The section `[build.limits]` of `pynbox.toml`: what one action may take.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::{ActionLimit, ActionLimits};

/// The section `[build.limits]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitSettings {
    /// How many seconds an action may take.
    pub time: NonZeroU64,
    /// What it may print. Bytes are a number, or a text with a unit: `KB`, `KiB`, `MB`, `MiB`,
    /// `GB`, `GiB`.
    #[cfg_attr(test, schemars(with = "String"))]
    pub log: Size,
    /// What `/tmp` may hold, in bytes; never more than half of the machine's memory.
    #[cfg_attr(test, schemars(with = "String"))]
    pub tmp: Size,
    /// What `/dev/shm` may hold, in bytes; never more than half of the machine's memory.
    #[cfg_attr(test, schemars(with = "String"))]
    pub shm: Size,
    /// Processes and threads at once, from 1 to 4000.
    #[cfg_attr(test, schemars(with = "u32"))]
    pub processes: Processes,
    /// What its processes, `/tmp` and `/dev/shm` may take of memory, in bytes; by default three
    /// quarters of the memory of the machine that runs the action.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub memory: Option<Size>,
}

impl Default for LimitSettings {
    fn default() -> Self {
        let ActionLimits { time, log, tmp, shm, processes, memory } = ActionLimits::DEFAULT;
        let time = time.and_then(|time| NonZeroU64::new(time.as_secs())).unwrap_or(NonZeroU64::MAX);
        let processes = Processes(processes);
        Self { time, log: Size(log), tmp: Size(tmp), shm: Size(shm), processes, memory: memory.map(Size) }
    }
}

impl LimitSettings {
    /// The limits.
    pub fn limits(&self) -> ActionLimits {
        ActionLimits {
            time: Some(Duration::from_secs(self.time.get())),
            log: self.log.0,
            tmp: self.tmp.0,
            shm: self.shm.0,
            processes: self.processes.0,
            memory: self.memory.map(|memory| memory.0),
        }
    }
}

/// A number of bytes, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Size(u64);

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Bytes(u64),
    Text(String),
}

impl TryFrom<Written> for Size {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let bytes = match written {
            Written::Bytes(bytes) => bytes,
            Written::Text(text) => match text.parse::<ByteSize>() {
                Ok(size) => size.as_u64(),
                Err(_) => return Err("that is no number of bytes; write it as in `\"512MiB\"`".to_owned()),
            },
        };
        if bytes == 0 { Err("no action can do with 0 bytes".to_owned()) } else { Ok(Self(bytes)) }
    }
}

impl From<Size> for Written {
    fn from(size: Size) -> Self {
        Self::Text(size.to_string())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// A number of processes and threads that an action may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Processes(u32);

impl TryFrom<u32> for Processes {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        let most = ActionLimits::MAX_PROCESSES;
        if (1..=most).contains(&number) { Ok(Self(number)) } else { Err(format!("that is no number from 1 to {most}")) }
    }
}

impl From<Processes> for u32 {
    fn from(processes: Processes) -> Self {
        processes.0
    }
}

/// What an action did that reached a limit, and what to change so that it may; goes on after "its
/// command".
pub fn describe_reached(limit: ActionLimit, limits: &ActionLimits) -> String {
    let what = match limit {
        ActionLimit::Time => format!("took longer than {} seconds", limits.time.map_or(0, |time| time.as_secs())),
        ActionLimit::Log => format!("printed more than {}", Size(limits.log)),
        ActionLimit::Tmp => format!("filled `/tmp`, which may hold {} and half of the memory", Size(limits.tmp)),
        ActionLimit::Shm => format!("filled `/dev/shm`, which may hold {} and half of the memory", Size(limits.shm)),
        ActionLimit::Processes => format!("had more than {} processes and threads at once", limits.processes),
        ActionLimit::Memory => match limits.memory {
            Some(memory) => format!("took more than {} of memory", Size(memory)),
            None => "took more than three quarters of the memory of the machine that ran it".to_owned(),
        },
    };
    format!("{what} and was killed; if it needs more, raise `{}` in [build.limits] of `pynbox.toml`", limit.setting())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ActionLimits, String> {
        toml::from_str::<LimitSettings>(text).map(|settings| settings.limits()).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_have_units_and_the_rest_has_defaults() {
        let text = "time = 60\nlog = 1000\ntmp = \"1GiB\"\nmemory = '3 MB'\n";
        let expected = ActionLimits {
            time: Some(Duration::from_secs(60)),
            log: 1000,
            tmp: 1 << 30,
            memory: Some(3_000_000),
            ..ActionLimits::DEFAULT
        };
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read("").unwrap(), ActionLimits::DEFAULT);
        let settings: LimitSettings = toml::from_str(text).unwrap();
        assert_eq!(read(&toml::to_string(&settings).unwrap()).unwrap(), expected);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, part) in [
            ("time = 0", "time"),
            ("processes = 4001", "no number from 1 to 4000"),
            ("processes = 0", "no number from 1 to 4000"),
            ("log = 0", "0 bytes"),
            ("shm = 'much'", "no number of bytes"),
            ("memory = -1", "memory"),
            ("disk = 1", "disk"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn each_limit_names_its_setting() {
        for limit in ActionLimit::ALL {
            let text = describe_reached(limit, &ActionLimits::DEFAULT);
            assert!(text.contains(&format!("`{}` in [build.limits]", limit.setting())), "{text}");
        }
    }
}
