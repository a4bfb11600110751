//! From members to a tree: the rules that hold for every format.

use std::collections::HashMap;
use std::io::{self, Read};

use build_graph::untrusted::printable;
use build_graph::{Entry, RelPath, Tree, TreeError};

use super::{ArchiveError, BlobSink, Options, damage};

/// What to do about an archive with more than one thing at its top.
const PACK_AGAIN: &str = "pack it again with one folder at its top, or take the recipe's source with `strip` 0";

/// The tree that an archive's members make.
pub(super) struct Builder<'a> {
    options: &'a Options<'a>,
    sink: &'a dyn BlobSink,
    tree: Tree,
    /// What was there before paths were stripped and placed: hard links name it so. `None`: left
    /// out.
    seen: HashMap<String, Option<Entry>>,
    members: u64,
    /// Bytes of all their paths.
    names: u64,
    /// The components that are stripped of all paths.
    top: Option<String>,
    /// A file of which stripping would leave nothing.
    stripped: Option<String>,
    /// The member at hand, for messages.
    pub(super) member: String,
}

impl<'a> Builder<'a> {
    pub(super) fn new(options: &'a Options<'a>, sink: &'a dyn BlobSink) -> Self {
        Self {
            options,
            sink,
            tree: Tree::new(),
            seen: HashMap::new(),
            members: 0,
            names: 0,
            top: None,
            stripped: None,
            member: "(none)".into(),
        }
    }

    pub(super) fn limits(&self) -> &super::ArchiveLimits {
        &self.options.limits
    }

    /// Takes up the next member and counts it.
    pub(super) fn begin(&mut self, name: &[u8]) -> Result<(), ArchiveError> {
        self.member = printable(name).to_string();
        self.members += 1;
        self.count_name(name)?;
        if self.members > self.options.limits.members {
            return Err(self.too_large(self.options.limits.members, "members"));
        }
        Ok(())
    }

    fn count_name(&mut self, name: &[u8]) -> Result<(), ArchiveError> {
        self.names += name.len() as u64;
        if self.names > self.options.limits.names {
            return Err(self.too_large(self.options.limits.names, "bytes of paths"));
        }
        Ok(())
    }

    /// A refusal of the member at hand.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::Refused { member: self.member.clone(), reason: reason.into() }
    }

    pub(super) fn too_large(&self, limit: u64, of: &'static str) -> ArchiveError {
        ArchiveError::TooLarge { limit, of, member: self.member.clone() }
    }

    /// A regular file. Errors of the reader come back as they are, for the format to tell apart
    /// from the sink's.
    pub(super) fn file(&mut self, name: &[u8], executable: bool, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let full = self.path(name)?.ok_or_else(|| self.refuse("it is a file without a name"))?;
        let Some(place) = self.place(&full, false)? else {
            self.seen.insert(full, None);
            return Ok(());
        };
        let mut watched = Watched { inner: content, failed: false };
        let entry = match self.sink.put_reader(&mut watched, executable) {
            Ok(entry) => entry,
            Err(error) if watched.failed => return Err(damage(&self.member, error)),
            Err(error) => return Err(ArchiveError::Store { member: self.member.clone(), error }),
        };
        self.insert(full, place, entry)
    }

    /// A symbolic link.
    pub(super) fn symlink(&mut self, name: &[u8], target: &[u8]) -> Result<(), ArchiveError> {
        let full = self.path(name)?.ok_or_else(|| self.refuse("it is a link without a name"))?;
        if target.is_empty() || target.len() > self.options.limits.path || target.contains(&0) {
            return Err(self.refuse("the target of the link is empty, too long, or holds a NUL"));
        }
        self.count_name(target)?;
        let Ok(target) = std::str::from_utf8(target) else {
            return Err(self.refuse(format!("the target of the link, `{}`, is not UTF-8", printable(target))));
        };
        match self.place(&full, false)? {
            Some(place) => self.insert(full, place, Entry::Symlink { target: target.to_owned() }),
            None => {
                self.seen.insert(full, None);
                Ok(())
            }
        }
    }

    /// A further name for an earlier member.
    pub(super) fn hard_link(&mut self, name: &[u8], target: &[u8]) -> Result<(), ArchiveError> {
        let full = self.path(name)?.ok_or_else(|| self.refuse("it is a link without a name"))?;
        let target = self.path(target)?.unwrap_or_default();
        let entry = self.seen.get(&target).cloned();
        let Some(place) = self.place(&full, false)? else {
            self.seen.insert(full, entry.flatten());
            return Ok(());
        };
        match entry {
            Some(Some(entry)) => self.insert(full, place, entry),
            Some(None) => {
                Err(self.refuse(format!("it is a hard link to `{}`, which was left out", printable(&target))))
            }
            None => {
                Err(self.refuse(format!("it is a hard link to `{}`, which is no earlier member", printable(&target))))
            }
        }
    }

    /// A directory; it counts only if nothing stands in it.
    pub(super) fn directory(&mut self, name: &[u8]) -> Result<(), ArchiveError> {
        let Some(full) = self.path(name)? else { return Ok(()) };
        match self.place(&full, true)? {
            Some(place) => self.insert_entry(place, Entry::EmptyDirectory),
            None => Ok(()),
        }
    }

    /// The tree of all members.
    pub(super) fn finish(mut self) -> Result<Tree, ArchiveError> {
        match self.stripped.take() {
            Some(file) => {
                self.member = printable(&file).to_string();
                Err(self.refuse(format!(
                    "it is not in a folder, and the recipe strips {} of every path; {PACK_AGAIN}",
                    self.components()
                )))
            }
            None => Ok(self.tree),
        }
    }

    /// The member's path, without `.` components; `None` for the top itself.
    fn path(&self, name: &[u8]) -> Result<Option<String>, ArchiveError> {
        if name.len() > self.options.limits.path {
            return Err(self.refuse(format!("its path is longer than {} bytes", self.options.limits.path)));
        }
        let Ok(name) = std::str::from_utf8(name) else {
            return Err(self.refuse(format!("the path `{}` is not UTF-8", printable(name))));
        };
        if name.starts_with('/') {
            return Err(self.refuse(format!("the path `{}` is absolute", printable(name))));
        }
        let components: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if components.contains(&"..") {
            return Err(self.refuse(format!("the path `{}` has a `..` component", printable(name))));
        }
        if components.is_empty() {
            return Ok(None);
        }
        let full = components.join("/");
        RelPath::new(full.as_str()).map_err(|error| self.refuse(error.to_string()))?;
        Ok(Some(full))
    }

    /// Where a member goes; `None` if it is left out.
    fn place(&mut self, full: &str, directory: bool) -> Result<Option<RelPath>, ArchiveError> {
        // The end of a valid path is a valid path.
        let Some(path) = self.stripped(full, directory)?.and_then(|rest| RelPath::new(rest).ok()) else {
            return Ok(None);
        };
        Ok(match self.options.place {
            None => Some(path),
            Some(place) => place(path),
        })
    }

    /// The path without its leading components, which all members must share: otherwise what comes
    /// from two folders would stand in one. A file of which nothing would be left is no less of an
    /// error than two folders.
    fn stripped<'p>(&mut self, full: &'p str, directory: bool) -> Result<Option<&'p str>, ArchiveError> {
        let Some(last) = (self.options.strip as usize).checked_sub(1) else { return Ok(Some(full)) };
        let (top, rest) = match full.match_indices('/').nth(last) {
            Some((end, _)) => (&full[..end], Some(&full[end + 1..])),
            None => (full, None),
        };
        if rest.is_none() && !directory {
            self.stripped.get_or_insert_with(|| full.to_owned());
        }
        let is_below =
            |low: &str, high: &str| low.strip_prefix(high).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match &self.top {
            _ if rest.is_none() && !directory => {}
            Some(there) if is_below(there, top) => {}
            Some(there) if !is_below(top, there) => {
                return Err(self.refuse(format!(
                    "`{}` and `{}` are both at the top, and the recipe strips {} of every path; {PACK_AGAIN}",
                    printable(there),
                    printable(top),
                    self.components()
                )));
            }
            _ => self.top = Some(top.to_owned()),
        }
        match (&self.top, &self.stripped) {
            (Some(top), Some(file)) => Err(self.refuse(format!(
                "`{}` stands beside the folder `{}`, and the recipe strips {} of every path, which leaves nothing of it; \
                 {PACK_AGAIN}",
                printable(file),
                printable(top),
                self.components()
            ))),
            _ => Ok(rest),
        }
    }

    fn components(&self) -> String {
        match self.options.strip {
            1 => "the first component".to_owned(),
            strip => format!("the first {strip} components"),
        }
    }

    fn insert(&mut self, full: String, place: RelPath, entry: Entry) -> Result<(), ArchiveError> {
        self.insert_entry(place, entry.clone())?;
        self.seen.insert(full, Some(entry));
        Ok(())
    }

    fn insert_entry(&mut self, place: RelPath, entry: Entry) -> Result<(), ArchiveError> {
        self.tree.insert(place, entry).map_err(|error| {
            self.refuse(match error {
                TreeError::Conflict { path } => {
                    format!("an earlier member has the path `{}` with another content", printable(&path))
                }
                other => other.to_string(),
            })
        })
    }
}

/// Remembers whether an error came from reading.
struct Watched<'a> {
    inner: &'a mut dyn Read,
    failed: bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buffer);
        self.failed |= matches!(&result, Err(error) if error.kind() != io::ErrorKind::Interrupted);
        result
    }
}
