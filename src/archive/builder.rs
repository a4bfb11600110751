//! From members to a tree: the rules that hold for every format.

use std::collections::HashMap;
use std::io::{self, Read};

use build_graph::{Entry, RelPath, Tree, TreeError};

use super::{ArchiveError, BlobSink, Options};

/// The tree that an archive's members make.
pub(super) struct Builder<'a> {
    options: &'a Options<'a>,
    sink: &'a dyn BlobSink,
    tree: Tree,
    /// What was there before paths were stripped and placed: hard links name it so. `None`: left out.
    seen: HashMap<String, Option<Entry>>,
    members: u64,
    /// The member at hand, for messages.
    pub(super) member: String,
}

impl<'a> Builder<'a> {
    pub(super) fn new(options: &'a Options<'a>, sink: &'a dyn BlobSink) -> Self {
        Self { options, sink, tree: Tree::new(), seen: HashMap::new(), members: 0, member: "(none)".into() }
    }

    pub(super) fn limits(&self) -> &super::Limits {
        &self.options.limits
    }

    /// Takes up the next member and counts it.
    pub(super) fn begin(&mut self, name: &[u8]) -> Result<(), ArchiveError> {
        self.member = escape(name);
        self.members += 1;
        if self.members > self.options.limits.members {
            return Err(self.too_large(self.options.limits.members, "members"));
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

    /// A regular file. Errors of the reader come back as they are, for the format to tell apart from the sink's.
    pub(super) fn file(&mut self, name: &[u8], executable: bool, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let full = self.path(name)?.ok_or_else(|| self.refuse("it is a file without a name"))?;
        let Some(place) = self.place(&full) else {
            self.seen.insert(full, None);
            return Ok(());
        };
        let mut watched = Watched { inner: content, failed: false };
        let entry = match self.sink.put_reader(&mut watched, executable) {
            Ok(entry) => entry,
            Err(error) if watched.failed => return Err(ArchiveError::Damaged { after: self.member.clone(), error }),
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
        let Ok(target) = std::str::from_utf8(target) else {
            return Err(self.refuse(format!("the target of the link, `{}`, is not UTF-8", target.escape_ascii())));
        };
        match self.place(&full) {
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
        let Some(place) = self.place(&full) else {
            self.seen.insert(full, entry.flatten());
            return Ok(());
        };
        match entry {
            Some(Some(entry)) => self.insert(full, place, entry),
            Some(None) => Err(self.refuse(format!("it is a hard link to `{target}`, which was left out"))),
            None => Err(self.refuse(format!("it is a hard link to `{target}`, which is no earlier member"))),
        }
    }

    /// A directory; it counts only if nothing stands in it.
    pub(super) fn directory(&mut self, name: &[u8]) -> Result<(), ArchiveError> {
        let Some(full) = self.path(name)? else { return Ok(()) };
        match self.place(&full) {
            Some(place) => self.insert_entry(place, Entry::EmptyDirectory),
            None => Ok(()),
        }
    }

    pub(super) fn finish(self) -> Tree {
        self.tree
    }

    /// The member's path, without `.` components; `None` for the top itself.
    fn path(&self, name: &[u8]) -> Result<Option<String>, ArchiveError> {
        if name.len() > self.options.limits.path {
            return Err(self.refuse(format!("its path is longer than {} bytes", self.options.limits.path)));
        }
        let Ok(name) = std::str::from_utf8(name) else {
            return Err(self.refuse(format!("the path `{}` is not UTF-8", name.escape_ascii())));
        };
        if name.starts_with('/') {
            return Err(self.refuse(format!("the path `{name}` is absolute")));
        }
        let components: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if components.contains(&"..") {
            return Err(self.refuse(format!("the path `{name}` has a `..` component")));
        }
        if components.is_empty() {
            return Ok(None);
        }
        let full = components.join("/");
        RelPath::new(full.as_str()).map_err(|error| self.refuse(error.to_string()))?;
        Ok(Some(full))
    }

    fn place(&self, full: &str) -> Option<RelPath> {
        let mut rest = full;
        for _ in 0..self.options.strip {
            rest = rest.split_once('/')?.1;
        }
        // The end of a valid path is a valid path.
        let path = RelPath::new(rest).ok()?;
        match self.options.place {
            None => Some(path),
            Some(place) => place(path),
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
                    format!("an earlier member has the path `{path}` with another content")
                }
                other => other.to_string(),
            })
        })
    }
}

/// A member's name for a message.
pub(super) fn escape(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if !text.chars().any(char::is_control) => text.chars().take(300).collect(),
        _ => name[..name.len().min(300)].escape_ascii().to_string(),
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
