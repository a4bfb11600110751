//! Labels that say which process made a container, so that the next tool on the same machine
//! removes what a killed one left.
//!
//! That is only needed for containers that were made and never started. One that runs ends with its
//! standard input, or when it has waited long enough, and the daemon removes it.

use std::collections::HashMap;
use std::fs;

use bollard::query_parameters::ListContainersOptions;

use super::client::Daemon;
use super::container;

/// The label that every container of ours has.
pub(super) const LABEL: &str = "pynbox-build.owner";
/// The label of those that are started ahead, and may outlive the process that started them.
pub(super) const WAITING: &str = "pynbox-build.waiting";

/// A process of a machine, told from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    machine: String,
    boot: String,
    /// The process namespace, whose numbers these are.
    namespace: String,
    process: u32,
    /// When it was started: numbers are used again.
    started: String,
}

impl Owner {
    fn this() -> Self {
        let process = std::process::id();
        Self {
            machine: machine(),
            boot: line("/proc/sys/kernel/random/boot_id"),
            namespace: namespace(),
            process,
            started: started(process).unwrap_or_default(),
        }
    }

    fn label(&self) -> String {
        [&self.machine, &self.boot, &self.namespace, &self.process.to_string(), &self.started]
            .map(String::as_str)
            .join(" ")
    }

    fn parse(label: &str) -> Option<Self> {
        let parts: Vec<_> = label.split(' ').collect();
        let [machine, boot, namespace, process, started] = parts[..] else { return None };
        let [machine, boot, namespace, started] = [machine, boot, namespace, started].map(str::to_owned);
        Some(Self { machine, boot, namespace, process: process.parse().ok()?, started })
    }

    /// Whether it is known to have ended. Of other machines, and of namespaces other than ours,
    /// nothing is known.
    fn has_ended(&self, this: &Self) -> bool {
        self.machine == this.machine
            && (self.boot != this.boot
                || self.namespace == this.namespace
                    && started(self.process).is_none_or(|started| started != self.started))
    }
}

/// The value of [`LABEL`] for this process.
pub(super) fn label() -> String {
    Owner::this().label()
}

/// Removes what ended processes left behind. What can't be removed now is left for another time.
pub(super) async fn reap(daemon: &Daemon) {
    let filters = HashMap::from([("label".to_owned(), vec![LABEL.to_owned()])]);
    let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
    let Ok(containers) = daemon.docker.list_containers(Some(options)).await else { return };
    let this = Owner::this();
    for found in containers {
        let (Some(id), Some(labels)) = (found.id, found.labels) else { continue };
        let Some(owner) = labels.get(LABEL).and_then(|label| Owner::parse(label)) else { continue };
        let running = found.state.is_some_and(|state| state.to_string() == "running");
        let waiting = running && (labels.contains_key(WAITING) || owner.boot != this.boot);
        if !waiting && owner.has_ended(&this) {
            container::remove(daemon, &id).await;
        }
    }
}

fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().split_whitespace().collect()
}

fn machine() -> String {
    let id = line("/etc/machine-id");
    if id.is_empty() { rustix::system::uname().nodename().to_string_lossy().replace(' ', "-") } else { id }
}

fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}

/// When a process was started, in the kernel's ticks since the boot; `None` if there is no such
/// process.
fn started(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ended_are_told_from_the_living() {
        let this = Owner::this();
        assert_eq!(Owner::parse(&this.label()).as_ref(), Some(&this));
        assert!(!this.has_ended(&this));
        let other = |change: fn(&mut Owner)| {
            let mut other = this.clone();
            change(&mut other);
            other.has_ended(&this)
        };
        assert!(other(|owner| owner.started = "1".to_owned()));
        assert!(other(|owner| owner.process = u32::MAX));
        assert!(other(|owner| owner.boot = "another".to_owned()));
        assert!(!other(|owner| (owner.machine, owner.process) = ("another".to_owned(), u32::MAX)));
        assert!(!other(|owner| (owner.namespace, owner.process) = ("another".to_owned(), u32::MAX)));
        assert_eq!(Owner::parse("of somebody else"), None);
    }
}
