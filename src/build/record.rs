//! What a `gen` saw and what it left, in `out/record`: by this the next one tells that nothing has
//! changed, and whoever reads the plan that it is current.
//!
//! The file is a line of JSON, and behind it what was looked at ([`Seen::write_all`]).
//!
//! The record is removed before anything of a plan is written, and written last. So there is none
//! while a `gen` runs, nor after one that failed or was interrupted.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use build_graph::untrusted::printable_path;
use serde::{Deserialize, Serialize};

use super::BuildError;
use super::plan::{OutDir, Plan, PlanId, write_atomically};
use super::seen::{EarlierFolders, Seen};
use crate::store::Store;

/// How many files that have changed are named.
const MAX_NAMED: usize = 5;

/// What was asked of `gen`: another question may have another answer, whatever files say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The root of the project. A copy of a project brings the record of the original along.
    pub root: PathBuf,
    /// The program, which the build file names, and which build of it.
    pub program: (PathBuf, String),
    /// Where PATH has the compilers that build programs for the host.
    pub compilers: Vec<String>,
    /// The options that decide the graph.
    pub options: Vec<String>,
    /// The root of the store.
    pub store: PathBuf,
    /// The BLAKE3 of what says which remotes to ask: there may be a password in it.
    pub remotes: String,
}

/// What a `gen` found, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How many nodes there are.
    pub nodes: usize,
    /// How many were left to run for the target that it was for.
    pub left: usize,
    /// How many were left for other targets.
    pub elsewhere: usize,
    /// How many results were known because a remote had them.
    pub remote: usize,
}

/// What a `gen` saw and what it left.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// What it was asked.
    pub question: Question,
    /// The store's counter, which grows whenever the store loses something.
    pub generation: u64,
    /// The store's mark of results that come to it, if they are all that could be known beside;
    /// `None`: others may have some.
    pub results: Option<String>,
    /// Every file and folder that it looked at.
    #[serde(skip)]
    pub seen: Vec<Seen>,
    /// The folders in place of sources, by the sources' names.
    pub folders: BTreeMap<String, PathBuf>,
    /// The plan that it left.
    pub plan: PlanId,
    /// The file of the plan as it was left.
    pub plan_file: Seen,
    /// The BLAKE3 of the build file.
    pub build_file: String,
    /// When it ended.
    pub ended: SystemTime,
    /// What it found.
    pub summary: Summary,
    /// What of `seen` is not as it was, by its place there, once somebody has looked.
    #[serde(skip)]
    pub changed: OnceLock<Vec<usize>>,
}

/// Why a plan is not the one that `gen` would make now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stale {
    /// There is no record, or one of another plan.
    Unfinished,
    /// The plan was made elsewhere, and copied.
    Copied(PathBuf),
    /// Another build of the program made it.
    Program,
    /// These have changed since.
    Changed(Vec<PathBuf>),
}

impl Record {
    /// Reads the record; `None` if there is none, or none that this program wrote.
    pub fn read(out: &OutDir) -> Option<Self> {
        let bytes = fs::read(file(out)).ok()?;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let record = serde_json::from_slice::<Self>(&bytes[..end]).ok()?;
        Some(Self { seen: Seen::read_all(&bytes[end + 1..])?, ..record })
    }

    /// Reads the record, and looks at all that it lists.
    pub fn read_and_look(out: &OutDir) -> Option<Self> {
        let record = Self::read(out)?;
        record.changed.get_or_init(|| Seen::changed(&record.seen));
        Some(record)
    }

    /// The file of the record as it is now: whoever writes another one changes it.
    pub fn file_now(out: &OutDir) -> Seen {
        Seen::now(file(out))
    }

    /// What it found in folders in place of sources; nothing, if this plan is not the one that it
    /// left. Of use only for the same store, if that has lost nothing since.
    pub fn folders(self, plan: &Plan, store: &Store) -> EarlierFolders {
        let mut earlier = EarlierFolders::default();
        if self.folders.is_empty() || *plan.id() != self.plan {
            return earlier;
        }
        for (source, folder) in self.folders {
            let Some(at) = plan.table().find(&format!("source/{source}/tree")) else { continue };
            if plan.table().verb(at) == "local"
                && let Some(known) = plan.table().known(at)
                && let Ok(Some(tree)) = store.tree(known.tree)
            {
                earlier.trees.insert(source, (folder, tree));
            }
        }
        earlier.seen = self.seen.into_iter().map(|seen| (seen.path().to_path_buf(), seen)).collect();
        earlier
    }

    /// Removes the record, before anything that it speaks of is changed.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn remove(out: &OutDir) -> Result<(), BuildError> {
        match fs::remove_file(file(out)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(BuildError::io("remove", file(out))(error))
            }
            _ => Ok(()),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn write(&self, out: &OutDir) -> Result<(), BuildError> {
        let mut bytes = serde_json::to_vec(self).map_err(|error| BuildError::io("write", file(out))(error.into()))?;
        bytes.push(b'\n');
        Seen::write_all(&self.seen, &mut bytes);
        write_atomically(&file(out), &bytes)
    }

    /// What was looked at and is not the same any more, in the order in which it was looked at.
    pub fn changed(&self) -> impl ExactSizeIterator<Item = &Seen> {
        self.changed.get_or_init(|| Seen::changed(&self.seen)).iter().map(|at| &self.seen[*at])
    }

    /// Whether a `gen` that is asked this now would see and leave the same.
    pub fn answers(&self, question: &Question, generation: u64, out: &OutDir, build_file: &Path) -> bool {
        self.question == *question
            && self.generation == generation
            // A clock that was set back: the times of the stamps would be in the future.
            && self.ended <= SystemTime::now()
            && self.changed().len() == 0
            && self.left_plan(out)
            && fs::read(build_file).is_ok_and(|text| blake3::hash(&text).to_string() == self.build_file)
    }

    /// Whether the plan that is there is the one that was left.
    pub fn left_plan(&self, out: &OutDir) -> bool {
        PlanId::read(out).as_ref() == Some(&self.plan)
            && (self.plan_file.is_current() || Plan::open(out).is_ok_and(|plan| plan.is_whole()))
    }

    /// Looks whether a plan, beside which there was this record, is the one that `gen` would make
    /// now of the project at `root`, by the program of that build; says what is not.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(record: Option<Self>, plan: &Plan, root: &Path, program: &str) -> Result<Self, Stale> {
        let Some(record) = record.filter(|record| record.plan == *plan.id()) else {
            return Err(Stale::Unfinished);
        };
        if record.question.root != root {
            return Err(Stale::Copied(record.question.root));
        }
        if record.question.program.1 != program {
            return Err(Stale::Program);
        }
        if record.changed().len() == 0 {
            return Ok(record);
        }
        let path = |seen: &Seen| seen.path().strip_prefix(root).unwrap_or(seen.path()).to_path_buf();
        // A folder changes with each file that comes or goes. It is named if no file in it is.
        let mut files: Vec<_> = record.changed().map(path).collect();
        files.sort();
        let names_a_file = |folder: &Path| files.iter().any(|file| file.parent() == Some(folder));
        Err(Stale::Changed(files.iter().filter(|path| !names_a_file(path)).cloned().collect()))
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => {
                f.write_str("the last `gen` failed or was interrupted, so the plan in `out/` may be of an earlier time")
            }
            Self::Copied(from) => write!(
                f,
                "the plan in `out/` is the one of `{}`, from which this project was copied",
                printable_path(from)
            ),
            Self::Program => f.write_str("the plan in `out/` was made by another build of this program"),
            Self::Changed(paths) => {
                let named: Vec<_> =
                    paths.iter().take(MAX_NAMED).map(|path| format!("`{}`", printable_path(path))).collect();
                let more = match paths.len().saturating_sub(MAX_NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                write!(f, "the plan in `out/` is not current: since `gen` made it, {}{more} changed", named.join(", "))
            }
        }
    }
}

fn file(out: &OutDir) -> PathBuf {
    out.path().join("record")
}
