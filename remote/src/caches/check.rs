//! Reads all that a remote has, and says what is wrong with it.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use build_graph::{BlobDigest, NodeKey};

use super::remote::Fetched;
use super::{Caches, WireDigest};

/// What a check of a remote found.
#[derive(Debug, Default)]
pub struct Checked {
    /// How many results it has that are believed.
    pub results: usize,
    /// How many files of these have the right bytes.
    pub files: usize,
    /// What is wrong, in words.
    pub wrong: Vec<String>,
    /// How many of the keys it has nothing for.
    pub absent: usize,
}

impl Caches {
    /// Reads what the remote of this name has under these keys, all bytes of it.
    ///
    /// # Errors
    /// A text if there is no such remote (see [`Caches::names`]), or it can't be read.
    pub fn check(&self, name: &str, keys: &[NodeKey]) -> Result<Checked, String> {
        let at = self.remotes.iter().position(|remote| remote.settings.name == name);
        let at = at.ok_or_else(|| format!("there is no remote `{name}`"))?;
        let unread = || format!("remote `{name}` can't be read");
        let refused_before = self.refused();
        if !self.ask(at, keys) {
            return Err(unread());
        }
        let mut checked = Checked::default();
        let mut wanted: HashMap<WireDigest, (BlobDigest, NodeKey)> = HashMap::new();
        for key in keys {
            match self.hit(at, *key) {
                Some(hit) => {
                    checked.results += 1;
                    wanted.extend(hit.blobs.iter().map(|(digest, wire)| (*wire, (*digest, *key))));
                }
                None => checked.absent += 1,
            }
        }
        let refused = self.refused() - refused_before;
        checked.absent -= refused.min(checked.absent);
        if refused > 0 {
            checked.wrong.push(format!("{refused} results are not believed"));
        }
        let names: Vec<_> = wanted.keys().copied().collect();
        // Whether each file that the remote has is the one that the result names.
        let is_right: Mutex<HashMap<WireDigest, bool>> = Mutex::default();
        let fetched = self.remotes[at].fetch(&names, &|wire, reader| {
            let mut hasher = blake3::Hasher::new();
            io::copy(reader, &mut hasher)?;
            let right = wanted.get(wire).is_some_and(|(digest, _)| hasher.finalize().as_bytes() == digest.as_bytes());
            is_right.lock().unwrap_or_else(PoisonError::into_inner).insert(*wire, right);
            Ok(())
        });
        let Fetched::AllBut(damaged) = fetched else { return Err(unread()) };
        let mut is_right = is_right.into_inner().unwrap_or_else(PoisonError::into_inner);
        is_right.extend(damaged.into_iter().map(|damaged| (damaged.blob, false)));
        for (wire, (digest, key)) in &wanted {
            match is_right.get(wire) {
                Some(true) => checked.files += 1,
                Some(false) => checked.wrong.push(format!("file {digest} of the result {key} has other bytes")),
                None => checked.wrong.push(format!("file {digest} of the result {key} is not there")),
            }
        }
        checked.wrong.sort();
        Ok(checked)
    }
}
