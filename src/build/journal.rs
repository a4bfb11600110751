//! Notes the runs of nodes in the build log, for a builder that ninja started.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use build_graph::NodeKey;
use build_graph::node::Node;
use build_graph::untrusted::printable;

use super::BuildError;
use super::builder::Obtained;
use super::log::{BuildLog, Outcome, Record, Run, Started, now};
use crate::report::Reporter;
use crate::store::{Origin, Store};

/// Warnings are counted in so many bytes of a log.
const MAX_COUNTED: u64 = 8 << 20;

/// Writes what a builder does into the build log.
pub struct Journal {
    log: BuildLog,
    /// Who is told that the log can't be written.
    reporter: Box<dyn Reporter>,
    /// The exit status of an error.
    status: fn(&BuildError) -> u8,
    /// How many runs have ended.
    ended: AtomicU64,
    failed: AtomicBool,
}

impl Journal {
    /// Makes a journal that writes to this log.
    pub fn new(log: BuildLog, reporter: Box<dyn Reporter>, status: fn(&BuildError) -> u8) -> Self {
        Self { log, reporter, status, ended: AtomicU64::new(0), failed: AtomicBool::new(false) }
    }

    /// Appends a record. A build does not fail for want of its log: the first failure is said.
    fn append(&self, record: Record) {
        if let Err(error) = self.log.append(&[record])
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            self.reporter.warn(&format!("the build log lacks what happens now: {error}"));
        }
    }
}

/// One run of a node that is being noted.
pub struct Noted<'a> {
    journal: Option<&'a Journal>,
    ended_before: u64,
    run: Run,
}

impl<'a> Noted<'a> {
    /// Notes that a run begins, if there is a journal.
    pub fn begin(journal: Option<&'a Journal>, node: &Node) -> Self {
        let (node, verb, pid, start) = (node.name.clone(), node.op.verb().to_owned(), std::process::id(), now());
        let ended_before = journal.map_or(0, |journal| journal.ended.load(Ordering::Relaxed));
        if let Some(journal) = journal {
            journal.append(Record::Start(Started { node: node.clone(), pid, at: start }));
        }
        let (key, tree, outcome) = (None, None, Outcome::Local);
        let run = Run { node, verb, start, end: start, pid, key, tree, outcome, same: false, log: 0, warnings: 0 };
        Self { journal, ended_before, run }
    }

    /// Notes the node's key.
    pub fn key(&mut self, key: NodeKey) {
        self.run.key = Some(key);
    }

    /// Notes that a remote had the result.
    pub fn remote(&mut self, origin: &Origin) {
        self.run.outcome = match origin {
            Origin::Cache { remote, .. } => Outcome::Remote(remote.clone()),
            _ => Outcome::Local,
        };
    }

    /// Notes that all inputs are there. If some of them had to be built, the run begins now.
    pub fn has_inputs(&mut self) {
        if let Some(journal) = self.journal
            && journal.ended.load(Ordering::Relaxed) != self.ended_before
        {
            self.run.start = now();
        }
    }

    /// Notes where it was built.
    pub fn built(&mut self, origin: &Origin) {
        self.run.outcome = match origin {
            Origin::Engine(name) => Outcome::BuiltOn(name.clone()),
            _ => Outcome::Built,
        };
    }

    /// Keeps what the command printed under the node's key.
    ///
    /// # Errors
    /// [`BuildError::Store`] if the store can't take it.
    pub fn keep_log(&mut self, store: &Store, key: NodeKey, log: &Path) -> Result<(), BuildError> {
        if self.journal.is_some() {
            self.run.warnings = count_warnings(log);
        }
        self.run.log = store.keep_log(key, log)?;
        Ok(())
    }

    /// Notes the end.
    pub fn end(mut self, result: &Result<Obtained, BuildError>, before: Option<build_graph::TreeDigest>) {
        let Some(journal) = self.journal else { return };
        match result {
            Ok(obtained) => {
                self.run.tree = Some(obtained.tree);
                self.run.same = before == Some(obtained.tree);
            }
            Err(error) => {
                let why = error.to_string();
                let why = printable(why.lines().next().unwrap_or_default()).to_string();
                self.run.outcome = Outcome::Failed { status: (journal.status)(error), why };
            }
        }
        self.run.end = now();
        journal.ended.fetch_add(1, Ordering::Relaxed);
        journal.append(Record::Run(self.run));
    }
}

/// Counts the lines of a log that are warnings of compilers, linkers and scripts.
fn count_warnings(log: &Path) -> u64 {
    let Ok(file) = crate::regular::open(log) else { return 0 };
    let lines = BufReader::new(file.take(MAX_COUNTED)).split(b'\n').map_while(Result::ok);
    lines.filter(|line| is_warning(&String::from_utf8_lossy(line))).count() as u64
}

/// Whether a line of a log is a warning: `a.c:1:2: warning: …`, `warning: …`, `WARNING: …`.
pub fn is_warning(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.match_indices("warning:").any(|(at, _)| {
        let before = lower[..at].chars().next_back();
        before.is_none_or(|before| !before.is_ascii_alphanumeric() && !matches!(before, '_' | '-' | '/' | '.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_of_compilers_are_counted_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(
            &log,
            "a.c:1:2: warning: unused\nWARNING: old\nwarning: x\n  no_warning: y\nerror: -Wwarning\nz: Warning: z",
        )
        .unwrap();
        assert_eq!(count_warnings(&log), 4);
        assert_eq!(count_warnings(&folder.path().join("none")), 0);
    }
}
