//! The loader's log: a few lines about what it does, for the person who asks with `-v`.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use crate::print;

/// How long the last words of a process may take that nobody reads.
const PATIENCE: Duration = Duration::from_millis(200);

/// Where the log goes and how much of it.
#[derive(Debug)]
pub struct Log {
    file: Option<OwnedFd>,
    verbosity: u32,
    begun: Instant,
}

impl Log {
    /// A log to `file`, which is open to be appended to, or to standard error.
    pub fn new(file: Option<File>, verbosity: u32) -> Self {
        Self { file: file.map(OwnedFd::from), verbosity, begun: Instant::now() }
    }

    /// The file, if it is none of the streams.
    pub fn file(&self) -> Option<&OwnedFd> {
        self.file.as_ref()
    }

    /// Whether messages of this level are logged.
    pub fn says(&self, level: u32) -> bool {
        level <= self.verbosity
    }

    /// Logs what matters at this verbosity.
    pub fn say(&self, level: u32, message: fmt::Arguments<'_>) {
        if self.says(level) {
            let line = print::line(format_args!("{:7.3} ms: {message}", self.begun.elapsed().as_secs_f64() * 1e3));
            match &self.file {
                Some(file) => append(file, &line),
                None => print::err(&line),
            }
        }
    }

    /// As [`Log::error`], for the last words of a process: where nobody reads them, it ends without.
    pub fn last(&self, message: fmt::Arguments<'_>) {
        let line = print::line(message);
        for to in [Some(rustix::stdio::stderr()), self.file.as_ref().map(|file| file.as_fd())].into_iter().flatten() {
            let _ = print::write_within(to, line.as_bytes(), PATIENCE);
        }
    }

    /// Logs an error, to standard error in any case.
    pub fn error(&self, message: fmt::Arguments<'_>) {
        let line = print::line(message);
        print::err(&line);
        if let Some(file) = &self.file {
            append(file, &line);
        }
    }
}

fn append(file: &OwnedFd, line: &str) {
    // One write a line: others may append to the same file. Nobody can be told that the log itself
    // fails.
    let _ = print::write_all(file.as_fd(), line.as_bytes());
}
