//! Fetches pinned inputs: one checksum, several origins, tried in order.
//!
//! The SHA-256 identifies a source, so an origin is only a hint. One that is down, sends a web page
//! in place of the file, other bytes or not all of them, costs time and never changes a result. Only
//! this module fetches sources from the network.

mod debian;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod http;
mod partial;
mod pypi;
mod transfer;

use crate::called::called;
use crate::report::{Reporter, Transfer};
use crate::retry::RetryPolicy;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use build_graph::node::{Origin, Source};
use build_graph::untrusted::printable_path;
use build_graph::{RelPath, Sha256};
use network::login::without_password;
use network::parallel;
use thiserror::Error;

pub use partial::sha256_of;

/// How to fetch.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    /// Where files that are not complete yet are kept, named by their SHA-256, so that a later run
    /// resumes them. Made if missing.
    pub partials: PathBuf,
    /// Use nothing but `file` URLs.
    pub offline: bool,
    /// Debian mirrors' roots, tried in order; `None`: those of apt's own settings.
    pub debian_mirrors: Option<Vec<String>>,
    /// The "simple" Python package index; `None`: that of pip's own settings.
    pub pypi_index: Option<String>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a transfer may bring no bytes, or very few, before it counts as failed.
    pub stall_timeout: Duration,
    /// How often all origins are tried, if one failed in a way that may pass.
    pub rounds: u32,
    /// The pause after the first round; it doubles with each.
    pub pause: Duration,
    /// The longest file whose size is not pinned, in bytes.
    pub max_size: u64,
    /// How many files are fetched at the same time.
    pub parallel: usize,
}

impl FetchSettings {
    /// The usual settings: 15 s to connect, 60 s without bytes, three rounds, 4 GiB, six files at the
    /// same time.
    pub fn new(partials: impl Into<PathBuf>) -> Self {
        Self {
            partials: partials.into(),
            offline: false,
            debian_mirrors: None,
            pypi_index: None,
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
            rounds: 3,
            pause: Duration::from_millis(500),
            max_size: 4 << 30,
            parallel: 6,
        }
    }
}

/// A source that was fetched and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is now.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// Where it came from, for people; a password in it is left out.
    pub origin: String,
}

/// An origin that was tried, and why it did not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The origin, for people.
    pub origin: String,
    /// Why it failed.
    pub reason: String,
}

/// What was tried, one origin a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts(pub Vec<Tried>);

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tried in &self.0 {
            write!(f, "\n  {}: {}", tried.origin, tried.reason)?;
        }
        if self.0.is_empty() {
            f.write_str("\n  (it has no origin)")?;
        }
        Ok(())
    }
}

/// Why a source was not fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No origin gave it.
    #[error("source `{name}` can't be fetched:{tried}")]
    Unavailable {
        /// The source's name.
        name: String,
        /// What its bytes must be.
        sha256: Sha256,
        /// Each origin, and why it failed.
        tried: Attempts,
    },
    /// It is not here, and may not be fetched.
    #[error("source `{name}` is not here, and `--offline` forbids fetching it from:{tried}")]
    Offline {
        /// The source's name.
        name: String,
        /// What its bytes must be.
        sha256: Sha256,
        /// Its origins.
        tried: Attempts,
    },
    /// This machine failed: a full disk, or a directory that can't be written.
    #[error("source `{name}`: `{}`: {error}", printable_path(&path))]
    Local {
        /// The source's name.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl FetchError {
    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unavailable { name, sha256, .. } | Self::Offline { name, sha256, .. } => format!(
                "if you have the file (sha256 {sha256}), run `{} source add FILE`; to build from something else, use \
                 `--override-source {name}=PATH`",
                called()
            ),
            Self::Local { .. } => "make room or correct the permissions, then run the command again".to_owned(),
        }
    }
}

/// A file that the Python package index has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// Its name.
    pub file: String,
    /// Where it is.
    pub origin: Origin,
    /// Its SHA-256, if the index has it.
    pub sha256: Option<Sha256>,
}

/// A file to fetch.
#[derive(Debug, Clone)]
pub struct Job<'a> {
    /// The source's name, for messages and options.
    pub name: String,
    /// What it is and where it can be had.
    pub source: &'a Source,
    /// Where it shall be put; replaced if it is there.
    pub dest: PathBuf,
}

/// Fetches sources. Keeps connections, and the settings of apt and pip.
pub struct Fetcher {
    settings: FetchSettings,
    client: http::Client,
    apt: debian::Apt,
    pip: pypi::Pip,
}

impl Fetcher {
    /// Returns whether it may not use the network.
    pub fn is_offline(&self) -> bool {
        self.settings.offline
    }

    /// Asks and opens nothing before the first fetch.
    pub fn new(settings: FetchSettings) -> Self {
        let client = http::Client::new(&settings);
        let apt = debian::Apt::new(settings.debian_mirrors.clone());
        let pip = pypi::Pip::new(settings.pypi_index.clone());
        Self { settings, client, apt, pip }
    }

    /// Fetches one source to `job.dest`, and verifies it.
    ///
    /// Its origins are tried in order, and again after a pause if one failed in a way that may pass
    /// (no connection, a timeout, a transfer cut short, status 408, 429 or 5xx). A part of the source
    /// is kept, and a later transfer resumes it, also from another origin or in another run. Two
    /// processes that want the same source take turns.
    ///
    /// # Errors
    /// [`FetchError`]; see its variants.
    pub fn fetch(&self, job: &Job<'_>, reporter: &dyn Reporter) -> Result<Fetched, FetchError> {
        let source = job.source;
        let local = |error: partial::LocalError| FetchError::Local {
            name: job.name.clone(),
            path: error.path,
            error: error.error,
        };
        let mut partial = partial::Partial::open(&self.settings.partials, &source.sha256).map_err(local)?;
        if partial.is_verified() {
            let size = partial.finish(&job.dest).map_err(local)?;
            reporter.transfer(&job.name, Transfer::Finished { bytes: size, origin: "an earlier run" });
            return Ok(Fetched { path: job.dest.clone(), size, origin: "an earlier run".into() });
        }
        if self.settings.offline && source.origins.iter().all(|origin| !is_file_url(origin)) {
            let origins = source.origins.iter().map(|origin| (describe(origin), "not tried".to_owned()));
            let tried = Attempts(origins.map(|(origin, reason)| Tried { origin, reason }).collect());
            return Err(FetchError::Offline { name: job.name.clone(), sha256: source.sha256, tried });
        }
        let pause = self.settings.pause;
        let policy = RetryPolicy { attempts: self.settings.rounds, first_pause: pause, longest_pause: pause * 64 };
        let mut retries = policy.begin();
        loop {
            let round = self.try_origins(job, &mut partial, reporter).map_err(local)?;
            match round {
                Round::Fetched(origin) => {
                    let size = partial.finish(&job.dest).map_err(local)?;
                    reporter.transfer(&job.name, Transfer::Finished { bytes: size, origin: &origin });
                    return Ok(Fetched { path: job.dest.clone(), size, origin });
                }
                Round::Failed { may_pass: true, .. } if let Some(pause) = retries.pause() => std::thread::sleep(pause),
                Round::Failed { tried, .. } => {
                    partial.close();
                    return Err(FetchError::Unavailable { name: job.name.clone(), sha256: source.sha256, tried });
                }
            }
        }
    }

    /// Tries all origins of a source in order, once.
    fn try_origins(
        &self,
        job: &Job<'_>,
        partial: &mut partial::Partial,
        reporter: &dyn Reporter,
    ) -> Result<Round, partial::LocalError> {
        let limits = transfer::TransferLimits {
            size: job.source.size,
            max_size: self.settings.max_size,
            stall: self.settings.stall_timeout,
        };
        let on_bytes = |bytes, total| reporter.transfer(&job.name, Transfer::At { bytes, total });
        let mut may_pass = false;
        let mut tried = Vec::new();
        for origin in &job.source.origins {
            if self.settings.offline && !is_file_url(origin) {
                tried.push(Tried { origin: describe(origin), reason: "not tried, because of `--offline`".into() });
                continue;
            }
            let places = match self.places(origin) {
                Ok(places) => places,
                Err(failure) => {
                    may_pass |= failure.may_pass();
                    tried.push(Tried { origin: describe(origin), reason: failure.to_string() });
                    continue;
                }
            };
            for place in places {
                let origin = without_password(&place.url);
                match transfer::transfer(&self.client, &place, partial, &limits, &on_bytes) {
                    Ok(()) => return Ok(Round::Fetched(origin)),
                    Err(transfer::Failure::Local(error)) => return Err(error),
                    Err(failure) => {
                        may_pass |= failure.may_pass();
                        let reason = failure.to_string();
                        reporter.transfer(&job.name, Transfer::Failed { origin: &origin, reason: &reason });
                        tried.push(Tried { origin, reason });
                    }
                }
            }
        }
        Ok(Round::Failed { tried: Attempts(tried), may_pass })
    }

    /// Fetches several sources at the same time. Calls `then` as each one arrives or fails, so that
    /// it is kept even if this process ends before the others arrive. Returns what `then` returned, in
    /// the order of the jobs; a source that fails does not stop the others.
    pub fn fetch_all<T: Send>(
        &self,
        jobs: &[Job<'_>],
        reporter: &dyn Reporter,
        then: impl Fn(usize, Result<Fetched, FetchError>) -> T + Sync,
    ) -> Vec<T> {
        let numbered: Vec<_> = jobs.iter().enumerate().collect();
        let fetch = |(index, job): &(usize, &Job<'_>)| Ok::<_, Infallible>(then(*index, self.fetch(job, reporter)));
        let Ok(results) = parallel::map(self.settings.parallel, &numbered, fetch);
        results
    }

    /// Fetches a small file of a Debian mirror that nothing pins, such as a release's `InRelease`.
    /// Returns its bytes, and where they came from.
    ///
    /// # Errors
    /// [`Attempts`]: each mirror, and why it failed.
    pub fn debian_file(&self, path: &RelPath, max_size: u64) -> Result<(Vec<u8>, String), Attempts> {
        self.small(&Origin::Debian { path: path.clone() }, max_size)
    }

    /// Asks the Python package index for all files of a project: the name of each, where it is, and
    /// its SHA-256 if the index has it. Files that can't be fetched are left out.
    ///
    /// # Errors
    /// [`Attempts`]: the index, and why it failed.
    pub fn pypi_files(&self, project: &str) -> Result<Vec<IndexFile>, Attempts> {
        let failed = |failure: transfer::Failure| {
            let origin = format!("pip's package index, project `{project}`");
            Attempts(vec![Tried { origin, reason: failure.to_string() }])
        };
        let found = self.pip.files(&self.client, project).map_err(failed)?;
        let usable = found.into_iter().filter_map(|found| {
            Some(IndexFile { file: found.file, origin: Origin::Url { url: found.url.ok()? }, sha256: found.sha256 })
        });
        Ok(usable.collect())
    }

    fn small(&self, origin: &Origin, max_size: u64) -> Result<(Vec<u8>, String), Attempts> {
        let mut tried = Vec::new();
        match self.places(origin) {
            Err(failure) => tried.push(Tried { origin: describe(origin), reason: failure.to_string() }),
            Ok(places) => {
                for place in places {
                    let origin = without_password(&place.url);
                    match transfer::small(&self.client, &place, max_size) {
                        Ok(bytes) => return Ok((bytes, origin)),
                        Err(failure) => tried.push(Tried { origin, reason: failure.to_string() }),
                    }
                }
            }
        }
        Err(Attempts(tried))
    }

    fn places(&self, origin: &Origin) -> Result<Vec<http::Location>, transfer::Failure> {
        match origin {
            Origin::Url { url } => Ok(vec![http::Location::plain(url)]),
            Origin::Debian { path } => self.apt.places(path),
            Origin::Pypi { project, file } => {
                let (url, _) = self.pip.find(&self.client, project, file)?;
                Ok(vec![http::Location::plain(&url)])
            }
        }
    }
}

/// What came of trying all origins once.
enum Round {
    /// The source is whole; where it came from.
    Fetched(String),
    /// No origin gave it.
    Failed {
        /// Each origin, and why it failed.
        tried: Attempts,
        /// Whether one of them may give it a moment later.
        may_pass: bool,
    },
}

fn is_file_url(origin: &Origin) -> bool {
    matches!(origin, Origin::Url { url } if url.starts_with("file:"))
}

/// Describes an origin in a message, before its server is known.
fn describe(origin: &Origin) -> String {
    match origin {
        Origin::Url { url } => without_password(url),
        Origin::Debian { path } => format!("apt's Debian mirror, `{path}`"),
        Origin::Pypi { project, file } => format!("pip's package index, `{file}` of project `{project}`"),
    }
}

/// Moves a file, also to another file system. The new place never holds a part of it.
fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let beside = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut copy = tempfile::NamedTempFile::new_in(beside)?;
            io::copy(&mut std::fs::File::open(from)?, &mut copy)?;
            copy.persist(to).map_err(|error| error.error)?;
            std::fs::remove_file(from)
        }
        result => result,
    }
}
