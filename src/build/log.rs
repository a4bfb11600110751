//! The build log, `out/builds`: what each build did, a line of JSON a record.
//!
//! Every process of a build appends to it: `gen` says what it found, `run-action` when it begins
//! with a node and when it has ended. A record is one write to a file that is open for appending,
//! so records of several processes don't mix, and one that a crash cut short is a line of its own
//! that readers pass over. Nothing is built differently because of what the log says.
//!
//! A *build* begins with the record of a `gen` and has the runs that follow. ninja starts `gen`
//! first, so `gen && ninja` has two such records in a row, which belong to one build.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use build_graph::node::NodeName;
use build_graph::{NodeKey, TreeDigest};
use serde::{Deserialize, Serialize};

use super::BuildError;
use super::plan::{OutDir, denied};

/// A log of more bytes becomes the earlier one when the next `gen` begins.
const MAX_BYTES: u64 = 32 << 20;

/// Microseconds since 1970.
pub type Moment = u64;

/// Returns the moment that it is.
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(Moment::MAX)
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// `gen` has looked at all nodes.
    Gen(Generated),
    /// A process begins with a node.
    Start(Started),
    /// A process waits for another one.
    Wait(Waited),
    /// A process has ended with a node.
    Run(Run),
}

/// What `gen` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// When it began.
    pub start: Moment,
    /// When it ended.
    pub end: Moment,
    /// The plan that stands now.
    pub plan: String,
    /// Whether ninja had started it.
    pub by_ninja: bool,
    /// Whether it made the plan; else it found that nothing has changed.
    pub made: bool,
    /// How many nodes there are.
    pub nodes: u64,
    /// How many are left to run.
    pub left: u64,
    /// What it did itself, and what remotes had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// The keys that nodes which are left had when they were known last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last: BTreeMap<NodeName, NodeKey>,
}

/// The beginning of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The node.
    pub node: NodeName,
    /// The process.
    pub pid: u32,
    /// When.
    pub at: Moment,
}

/// A wait for another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waited {
    /// The process that waits.
    pub pid: u32,
    /// For which one it waits, in words.
    pub whom: String,
    /// When that began.
    pub at: Moment,
}

/// One run of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The node.
    pub node: NodeName,
    /// What kind of node it is, as ninja's lines name it.
    pub verb: String,
    /// When it began, without what was built for it first.
    pub start: Moment,
    /// When it ended.
    pub end: Moment,
    /// The process.
    pub pid: u32,
    /// The node's key, once its inputs were known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<NodeKey>,
    /// The tree that came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeDigest>,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the tree is the one that it had before, so that what needs it does not run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub same: bool,
    /// How many bytes its command printed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub log: u64,
    /// How many lines of that are warnings.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub warnings: u64,
}

/// How the run of a node ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Built on this machine.
    Built,
    /// Built on the remote engine of this name.
    BuiltOn(String),
    /// Evaluated by `gen`, in process.
    Evaluated,
    /// Another build had made it meanwhile.
    Local,
    /// The remote cache of this name had it.
    Remote(String),
    /// Not built.
    Failed {
        /// The exit status, as README lists them.
        status: u8,
        /// What happened, in one line.
        why: String,
    },
}

impl Outcome {
    /// Whether nothing had to be computed.
    pub fn is_hit(&self) -> bool {
        matches!(self, Self::Local | Self::Remote(_))
    }
}

impl Run {
    /// How long it took, in microseconds.
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// One build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// What `gen` found, in the order of its runs.
    pub generated: Vec<Generated>,
    /// The runs of nodes, in the order in which they ended.
    pub runs: Vec<Run>,
    /// Runs without an end: they are under way, or were killed.
    pub unfinished: Vec<Started>,
}

impl Build {
    /// All runs of nodes: those within `gen`, and those that ninja started.
    pub fn all_runs(&self) -> impl Iterator<Item = &Run> {
        self.generated.iter().flat_map(|generated| &generated.runs).chain(&self.runs)
    }

    /// The key that a node had when it was known before this build.
    pub fn last_key(&self, node: &NodeName) -> Option<NodeKey> {
        self.generated.iter().rev().find_map(|generated| generated.last.get(node)).copied()
    }

    /// When it began and when its last record was written; `None` if it has none.
    pub fn span(&self) -> Option<(Moment, Moment)> {
        let starts = self.generated.iter().map(|generated| generated.start);
        let ends = self.generated.iter().map(|generated| generated.end);
        let start = starts.chain(self.runs.iter().map(|run| run.start)).min()?;
        Some((start, ends.chain(self.runs.iter().map(|run| run.end)).max()?))
    }

    fn is_joined_by(&self, next: &Generated) -> bool {
        self.runs.is_empty() && self.unfinished.is_empty() && !next.made
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::Gen(generated) => self.generated.push(generated),
            Record::Start(started) => self.unfinished.push(started),
            Record::Run(run) => {
                self.unfinished.retain(|started| (started.pid, &started.node) != (run.pid, &run.node));
                self.runs.push(run);
            }
            Record::Wait(_) => {}
        }
    }
}

/// The log of a project.
#[derive(Debug, Clone)]
pub struct BuildLog {
    path: PathBuf,
}

impl BuildLog {
    /// The log in a folder `out/`; it need not be there yet.
    pub fn of(out: &OutDir) -> Self {
        Self { path: out.path().join("builds") }
    }

    /// Where it is.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Where the earlier one is.
    fn earlier(&self) -> PathBuf {
        self.path.with_extension("earlier")
    }

    /// Appends records.
    ///
    /// # Errors
    /// [`BuildError::Io`] if the file can't be written.
    pub fn append(&self, records: &[Record]) -> Result<(), BuildError> {
        self.write(records).map_err(denied("write", &self.path))
    }

    fn write(&self, records: &[Record]) -> io::Result<()> {
        let mut file = File::options().read(true).append(true).create(true).open(&self.path)?;
        let length = file.metadata()?.len();
        let mut text = Vec::new();
        let mut last = [b'\n'];
        if length > 0 && file.read_at(&mut last, length - 1)? == 1 && last != [b'\n'] {
            // A full disk cut the last record short.
            text.push(b'\n');
        }
        for record in records {
            serde_json::to_writer(&mut text, record)?;
            text.push(b'\n');
        }
        file.write_all(&text)
    }

    /// Begins a new file if this one has grown long; the caller has the lock on `out/`.
    ///
    /// # Errors
    /// [`BuildError::Io`] if it can't be renamed.
    pub fn rotate(&self) -> Result<(), BuildError> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() > MAX_BYTES => {
                fs::rename(&self.path, self.earlier()).map_err(denied("rename", &self.path))
            }
            _ => Ok(()),
        }
    }

    /// Reads all builds, the oldest first. What is no record is passed over.
    ///
    /// # Errors
    /// [`BuildError::Io`] if the file is there and can't be read.
    pub fn builds(&self) -> Result<Vec<Build>, BuildError> {
        let mut builds: Vec<Build> = Vec::new();
        for path in [self.earlier(), self.path.clone()] {
            let text = match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text.map_err(BuildError::io("read", path))?,
            };
            for record in records(&text) {
                let joined = match (&record, builds.last()) {
                    (_, None) => false,
                    (Record::Gen(generated), Some(build)) => build.is_joined_by(generated),
                    _ => true,
                };
                if !joined {
                    builds.push(Build::default());
                }
                if let Some(build) = builds.last_mut() {
                    build.take(record);
                }
            }
        }
        Ok(builds)
    }

    /// Reads the last build that ran something, or else the last one; `None` if there is none.
    ///
    /// # Errors
    /// As [`BuildLog::builds`].
    pub fn last(&self) -> Result<Option<Build>, BuildError> {
        let mut builds = self.builds()?;
        let ran = |build: &Build| build.all_runs().next().is_some() || !build.unfinished.is_empty();
        let at = builds.iter().rposition(ran).or(builds.len().checked_sub(1));
        Ok(at.map(|at| builds.swap_remove(at)))
    }

    /// Reads how long each node took when it was built last, in microseconds.
    ///
    /// # Errors
    /// As [`BuildLog::builds`].
    pub fn durations(&self) -> Result<HashMap<NodeName, u64>, BuildError> {
        let builds = self.builds()?;
        let runs = builds.iter().flat_map(Build::all_runs);
        let built = runs.filter(|run| matches!(run.outcome, Outcome::Built | Outcome::BuiltOn(_)));
        Ok(built.map(|run| (run.node.clone(), run.duration())).collect())
    }

    /// Follows what is appended from now on.
    pub fn follow(&self) -> Follower {
        let position = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        Follower { path: self.path.clone(), position }
    }
}

/// Reads records as they are appended.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    position: u64,
}

impl Follower {
    /// Returns the whole records that have come since the last call.
    pub fn new_records(&mut self) -> Vec<Record> {
        let Ok(file) = File::open(&self.path) else { return Vec::new() };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if length < self.position {
            // Another file.
            self.position = 0;
        }
        let mut text = vec![0; usize::try_from(length - self.position).unwrap_or(0)];
        if file.read_exact_at(&mut text, self.position).is_err() {
            return Vec::new();
        }
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.position += whole as u64;
        records(&text[..whole]).collect()
    }
}

fn records(text: &[u8]) -> impl Iterator<Item = Record> {
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (tempfile::TempDir, BuildLog) {
        let folder = tempfile::tempdir().unwrap();
        let log = BuildLog::of(&OutDir::new(folder.path()));
        (folder, log)
    }

    fn generated(made: bool, by_ninja: bool) -> Record {
        let plan = "plan".to_owned();
        let (runs, last) = (Vec::new(), BTreeMap::new());
        Record::Gen(Generated { start: 1, end: 2, plan, by_ninja, made, nodes: 3, left: 2, runs, last })
    }

    fn run(node: &str, start: Moment, end: Moment) -> Run {
        Run {
            node: node.parse().unwrap(),
            verb: "run".to_owned(),
            start,
            end,
            pid: 7,
            key: Some(NodeKey::from_bytes([1; 32])),
            tree: Some(TreeDigest::from_bytes([2; 32])),
            outcome: Outcome::Built,
            same: true,
            log: 5,
            warnings: 1,
        }
    }

    #[test]
    fn builds_are_told_apart_by_what_gen_found() {
        let (_folder, log) = log();
        assert_eq!((log.builds().unwrap(), log.last().unwrap()), (vec![], None));
        let started = Started { node: "b".parse().unwrap(), pid: 8, at: 4 };
        // `gen && ninja`, an edit and ninja alone, and a ninja that has nothing to do.
        log.append(&[generated(true, false), generated(false, true), Record::Run(run("a", 3, 5))]).unwrap();
        log.append(&[generated(true, true), generated(false, true), Record::Start(started.clone())]).unwrap();
        log.append(&[Record::Run(run("a", 3, 9))]).unwrap();
        log.append(&[generated(false, true)]).unwrap();
        let builds = log.builds().unwrap();
        assert_eq!(builds.iter().map(|build| build.generated.len()).collect::<Vec<_>>(), [2, 2, 1]);
        let last = log.last().unwrap().unwrap();
        assert_eq!(last, builds[1]);
        assert_eq!((&last.runs[..], &last.unfinished[..]), (&[run("a", 3, 9)][..], &[started][..]));
        assert_eq!(last.span(), Some((1, 9)));
        assert_eq!(log.durations().unwrap(), HashMap::from([("a".parse().unwrap(), 6)]));
    }

    /// A crash or a full disk may cut a record short at any byte.
    #[test]
    fn a_record_that_was_cut_short_costs_no_other() {
        let (_folder, log) = log();
        let first = Record::Run(run("a", 1, 2));
        log.append(&[first, Record::Run(run("b", 2, 3))]).unwrap();
        let whole = fs::read(log.path()).unwrap();
        let begin = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for end in begin..=whole.len() {
            fs::write(log.path(), &whole[..end]).unwrap();
            let cut = usize::from(end < whole.len() - 1);
            log.append(&[Record::Run(run("c", 3, 4))]).unwrap();
            let runs = log.builds().unwrap().remove(0).runs;
            assert_eq!(runs.len(), 3 - cut, "at {end}");
            assert_eq!(runs.last().unwrap().node.as_str(), "c");
        }
    }

    #[test]
    fn a_follower_sees_each_record_once_and_no_halves() {
        let (_folder, log) = log();
        log.append(&[Record::Run(run("a", 1, 2))]).unwrap();
        let mut follower = log.follow();
        assert_eq!(follower.new_records(), []);
        log.append(&[Record::Run(run("b", 1, 2))]).unwrap();
        assert_eq!(follower.new_records(), [Record::Run(run("b", 1, 2))]);
        let mut file = File::options().append(true).open(log.path()).unwrap();
        let line = serde_json::to_vec(&Record::Run(run("c", 1, 2))).unwrap();
        file.write_all(&line[..10]).unwrap();
        assert_eq!(follower.new_records(), []);
        file.write_all(&[&line[10..], b"\n"].concat()).unwrap();
        assert_eq!(follower.new_records(), [Record::Run(run("c", 1, 2))]);
    }

    #[test]
    fn a_long_log_becomes_the_earlier_one_and_is_still_read() {
        let (_folder, log) = log();
        log.append(&[Record::Run(run("a", 1, 2))]).unwrap();
        log.rotate().unwrap();
        assert!(log.path().exists());
        let file = File::options().append(true).open(log.path()).unwrap();
        file.set_len(MAX_BYTES + 1).unwrap();
        log.rotate().unwrap();
        assert!(!log.path().exists());
        log.append(&[generated(true, false)]).unwrap();
        assert_eq!(log.builds().unwrap().len(), 2);
    }
}
