//! The loader's log: a few lines about what it does, for the person who asks with `-v`.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// Where the log goes and how much of it.
#[derive(Debug)]
pub struct Log {
    file: Option<File>,
    verbosity: u32,
    begun: Instant,
}

impl Log {
    /// A log to `file`, which is appended to, or to standard error.
    ///
    /// # Errors
    ///
    /// Those of opening the file.
    pub fn open(file: Option<&Path>, verbosity: u32) -> std::io::Result<Self> {
        let file = match file {
            Some(path) => Some(File::options().append(true).create(true).open(path)?),
            None => None,
        };
        Ok(Self { file, verbosity, begun: Instant::now() })
    }

    /// Whether messages of this level are logged.
    pub fn says(&self, level: u32) -> bool {
        level <= self.verbosity
    }

    /// Logs what matters at this verbosity.
    pub fn say(&self, level: u32, message: fmt::Arguments<'_>) {
        if self.says(level) {
            self.put(format_args!("run: {:7.3} ms: {message}", self.begun.elapsed().as_secs_f64() * 1e3));
        }
    }

    /// Logs an error, to standard error in any case.
    pub fn error(&self, message: fmt::Arguments<'_>) {
        eprintln!("run: {message}");
        if self.file.is_some() {
            self.put(format_args!("run: {message}"));
        }
    }

    fn put(&self, line: fmt::Arguments<'_>) {
        // One write a line: others may append to the same file. Nobody can be told that the log itself fails.
        let line = format!("{line}\n");
        let _ = match &self.file {
            Some(file) => Write::write_all(&mut &*file, line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}
