//! Files of requirements, with those that they include.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use build_graph::untrusted::{printable, printable_path};

use super::WheelsError;
use crate::python::requirements::{Item, MAX_FILE, Pinned, parse};
use crate::regular;
use crate::report::Reporter;

/// The most files that are read for one install.
const MAX_FILES: usize = 64;

/// A requirement and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `FILE:LINE`, for messages.
    pub place: String,
    /// The requirement.
    pub pinned: Pinned,
}

/// Reads files, and what they include, in the order of their lines.
///
/// # Errors
/// [`WheelsError::File`] if one can't be read, [`WheelsError::Unmet`] with what is wrong in the
/// first file that is not as it should be.
pub fn read(files: &[PathBuf], reporter: &dyn Reporter) -> Result<Vec<Asked>, WheelsError> {
    let mut reading = Reading { reporter, seen: BTreeSet::new(), asked: Vec::new() };
    for file in files {
        reading.file(file)?;
    }
    Ok(reading.asked)
}

struct Reading<'a> {
    reporter: &'a dyn Reporter,
    /// Files that were read, so that none is read twice.
    seen: BTreeSet<PathBuf>,
    asked: Vec<Asked>,
}

impl Reading<'_> {
    fn file(&mut self, path: &Path) -> Result<(), WheelsError> {
        let failed = |error| WheelsError::File { path: path.to_owned(), error };
        if !self.seen.insert(path.canonicalize().map_err(failed)?) {
            return Ok(());
        }
        if self.seen.len() > MAX_FILES {
            return Err(failed(io::Error::other(format!("more than {MAX_FILES} files are included"))));
        }
        let mut text = String::new();
        regular::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text)).map_err(failed)?;
        if text.len() as u64 > MAX_FILE {
            return Err(failed(io::Error::other(format!("it has more than {MAX_FILE} bytes"))));
        }
        let shown = printable_path(path).to_string();
        let lines = parse(&text).map_err(|problems| {
            let said = problems.iter().map(|problem| format!("`{shown}`, {problem}"));
            WheelsError::Unmet(said.collect())
        })?;
        for line in lines {
            match line.item {
                Item::Pinned(pinned) => self.asked.push(Asked { place: format!("{shown}:{}", line.number), pinned }),
                Item::Include(file) => self.file(&path.parent().unwrap_or(Path::new("")).join(file))?,
                Item::Index(name) => self.reporter.warn(&format!(
                    "`{shown}:{}`: `{}` is not followed: wheels come from the index of pip's settings, or of \
                     `pypi-index` in pynbox.toml",
                    line.number,
                    printable(&name)
                )),
            }
        }
        Ok(())
    }
}
