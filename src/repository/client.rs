//! Opening a repository, and fetching from it.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use build_graph::Entry;
use build_graph::untrusted::printable;
use network::parallel;
use support::report::{Reporter, Silent, Transfer};

use super::RepositoryError;
use super::index::{self, CodeEntry, Index, Object, PackageEntry, Provenance};
use super::statement::{MAX_STATEMENT, Statement};
use super::trust::{self, Anchors, KeyList, Keyring, Seen};
use crate::install::package::{self, PackageError};
use crate::remote::RemoteError;
use crate::remote::dsse::Signed;
use crate::remote::envelope::KeyId;
use crate::remote::place::Place;
use crate::retry::RetryPolicy;
use crate::store::{Area, Store};

/// So many objects come at once.
const WIDTH: usize = 4;
/// The attempts at one object, as long as little of it arrives.
const ATTEMPTS: RetryPolicy = RetryPolicy::of(4);
/// An attempt that brought this share of an object was a good one: attempts are counted anew. So
/// their number is bounded however slowly a server serves.
const GOOD_SHARE: u64 = 16;
/// A document that may be longer than this gets the time for so many bytes, others only that which
/// every answer has.
const LONG_DOCUMENT: u64 = 1 << 20;

/// A repository whose index is believed.
pub struct Repository {
    place: Box<dyn Place>,
    index: Index,
    signer: Option<KeyId>,
}

/// A package that came.
pub struct Fetched {
    /// The archive.
    pub archive: File,
    /// The statement about how it was built, if the repository has one.
    pub statement: Option<Statement>,
}

/// A document that came.
pub(super) struct Document {
    pub(super) bytes: Vec<u8>,
    pub(super) version: Option<String>,
}

/// What a repository says now.
pub(super) struct State {
    pub(super) keyring: Keyring,
    /// The number of the last list of keys.
    pub(super) lists: u64,
    pub(super) signed: Signed,
    pub(super) document: Document,
}

impl Repository {
    /// Reads the index of a repository, and believes it if a key of the anchors or of its lists of
    /// keys vouches for it, and if it is neither expired nor older than what `memory` remembers.
    ///
    /// With `unsigned`, an index that nobody signs who is known is taken, too, and not remembered.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub fn open(
        place: Box<dyn Place>,
        anchors: Anchors,
        unsigned: bool,
        memory: &Path,
        now: u64,
    ) -> Result<Self, RepositoryError> {
        if anchors.is_empty() && !unsigned {
            return Err(RepositoryError::NoAnchors);
        }
        let seen = Seen::read(memory)?;
        let state = read_state(&*place, anchors, &seen)?.ok_or(RepositoryError::NoIndex)?;
        let voucher = match state.keyring.vouch(&state.signed) {
            Ok(voucher) => voucher,
            Err(RepositoryError::Unsigned | RepositoryError::Unknown { .. }) if unsigned => {
                let index = Index::from_bytes(state.signed.payload())?;
                return Ok(Self { place, index, signer: None });
            }
            Err(error) => return Err(error),
        };
        let index = Index::from_bytes(state.signed.payload())?;
        voucher.check(index.signed_at)?;
        seen.check(&index, state.signed.payload(), state.lists, now)?;
        Seen::remember(memory, &state.keyring, &index, state.signed.payload())?;
        Ok(Self { place, index, signer: Some(voucher.id()) })
    }

    /// What there is.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The key that vouches for it; `None` if nobody does, and that was allowed.
    pub fn signer(&self) -> Option<&KeyId> {
        self.signer.as_ref()
    }

    /// Where it is, for messages.
    pub fn place(&self) -> String {
        self.place.shown()
    }

    /// Fetches archives of packages with their statements, several at once, and opens them in the
    /// order of the list. They have the bytes that the index lists, the archives say of themselves
    /// what it says, and each statement is about its package.
    ///
    /// # Errors
    /// [`RepositoryError`]; what has arrived is kept in the store, or beside it to be resumed.
    pub fn fetch(
        &self,
        store: &Store,
        packages: &[&PackageEntry],
        reporter: &dyn Reporter,
    ) -> Result<Vec<Fetched>, RepositoryError> {
        parallel::map(WIDTH, packages, |package| {
            let label = format!("{} {}", package.name, package.version);
            let archive = self.object(store, &package.object_name(), package.object, &label, reporter)?;
            agree(package, &archive)?;
            Ok(Fetched { archive, statement: self.statement(store, package)? })
        })
    }

    /// The statement about a package, if the index lists one.
    fn statement(&self, store: &Store, package: &PackageEntry) -> Result<Option<Statement>, RepositoryError> {
        let Some(object) = package.provenance.statement else { return Ok(None) };
        let (name, label) = (Provenance::object_name(object), format!("the statement of {}", package.name));
        let file = self.object(store, &name, object, &label, &Silent)?;
        let mut bytes = Vec::new();
        file.take(MAX_STATEMENT).read_to_end(&mut bytes).map_err(RepositoryError::io("read", &name))?;
        let about = |statement: &Statement| {
            statement.is_about_archive(package.object.digest) && statement.is_about_content(package.content)
        };
        match Statement::from_bytes(&bytes).filter(about) {
            Some(statement) => Ok(Some(statement)),
            None => Err(RepositoryError::Statement { name: package.name.clone() }),
        }
    }

    /// Fetches compiled code and unpacks it into a folder, several archives at once. Only code of a
    /// signed index is.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub fn fetch_code(
        &self,
        store: &Store,
        code: &[&CodeEntry],
        into: &Path,
        reporter: &dyn Reporter,
    ) -> Result<(), RepositoryError> {
        if self.signer.is_none() {
            return Err(RepositoryError::Unsigned);
        }
        parallel::map(WIDTH, code, |code| {
            let label = format!("compiled code {}", &code.object.digest.to_string()[..8]);
            let file = self.object(store, &code.object_name(), code.object, &label, reporter)?;
            super::code::unpack(file, into, code.unpacked)
        })?;
        Ok(())
    }

    /// An object with the bytes that the index lists.
    fn object(
        &self,
        store: &Store,
        name: &str,
        object: Object,
        label: &str,
        reporter: &dyn Reporter,
    ) -> Result<File, RepositoryError> {
        let entry = Entry::File { digest: object.digest, size: object.size, executable: false };
        if !store.has_blob(&entry)? {
            Download { place: &*self.place, name, object, label, reporter }.store_verified(store)?;
        }
        Ok(store.open_blob(&entry)?)
    }
}

/// Whether a package says of itself what the index says of it.
fn agree(entry: &PackageEntry, archive: &File) -> Result<(), RepositoryError> {
    let mut archive = archive.try_clone().map_err(RepositoryError::io("read", entry.object_name()))?;
    let manifest = package::describe(&archive);
    archive.rewind().map_err(RepositoryError::io("read", entry.object_name()))?;
    let contradiction = |what| RepositoryError::Contradiction { name: entry.name.clone(), what };
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(PackageError::Io(source)) => return Err(RepositoryError::io("read", entry.object_name())(source)),
        Err(_) => return Err(contradiction("format")),
    };
    let pairs = [
        ("name", manifest.name == entry.name),
        ("version", manifest.version == entry.version),
        ("target", manifest.target == entry.target),
        ("list of requirements", manifest.requires == entry.requires),
        ("content", manifest.content.digest() == entry.content),
    ];
    match pairs.iter().find(|(_, agrees)| !agrees) {
        Some((what, _)) => Err(contradiction(what)),
        None => Ok(()),
    }
}

/// Reads the index, then follows the lists of keys: a list that is published meanwhile is later
/// than the index, never missing. `None` if there is no index.
pub(super) fn read_state(place: &dyn Place, anchors: Anchors, seen: &Seen) -> Result<Option<State>, RepositoryError> {
    let Some(document) = read_document(place, "index.json", index::MAX_INDEX)? else { return Ok(None) };
    let signed = parse("index.json", &document.bytes, index::KIND)?;
    let mut keyring = Keyring::new(anchors, seen);
    let mut lists = keyring.number();
    while lists < trust::MAX_LISTS {
        let Some(list) = read_document(place, &KeyList::object_name(lists + 1), trust::MAX_LIST)? else { break };
        lists += 1;
        keyring.follow(lists, &list.bytes)?;
    }
    Ok(Some(State { keyring, lists, signed, document }))
}

/// The envelope in a document.
fn parse(name: &str, bytes: &[u8], kind: &str) -> Result<Signed, RepositoryError> {
    Signed::from_bytes(bytes, kind).ok_or_else(|| {
        let head = bytes.trim_ascii_start().get(..14).unwrap_or_default().to_ascii_lowercase();
        let name = name.to_owned();
        if head.starts_with(b"<!doctype html") || head.starts_with(b"<html") {
            RepositoryError::WebPage { name }
        } else {
            RepositoryError::NoDocument { name }
        }
    })
}

/// Reads a document of no more than so many bytes. `None` if there is none.
pub(super) fn read_document(place: &dyn Place, name: &str, most: u64) -> Result<Option<Document>, RepositoryError> {
    let mut retries = ATTEMPTS.begin();
    loop {
        let read = || -> Result<Option<Document>, RepositoryError> {
            let time_for = if most > LONG_DOCUMENT { LONG_DOCUMENT } else { 0 };
            let Some(part) = place.get(name, 0, time_for)? else { return Ok(None) };
            let mut bytes = Vec::new();
            part.bytes.take(most + 1).read_to_end(&mut bytes).map_err(broken_off)?;
            if bytes.len() as u64 > most {
                return Err(RepositoryError::TooLong { name: name.to_owned(), most });
            }
            Ok(Some(Document { version: part.version, bytes }))
        };
        match read() {
            Err(error) if error.may_pass() => match retries.pause() {
                Some(pause) => std::thread::sleep(pause),
                None => return Err(error),
            },
            read => return read,
        }
    }
}

/// Bytes that broke off on their way.
fn broken_off(error: io::Error) -> RepositoryError {
    RemoteError::Unavailable(format!("an answer broke off: {error}")).into()
}

/// An object on its way into the store.
struct Download<'a> {
    place: &'a dyn Place,
    name: &'a str,
    object: Object,
    label: &'a str,
    reporter: &'a dyn Reporter,
}

impl Download<'_> {
    /// Completes what an earlier download left, or begins; the store compares the digest.
    fn store_verified(&self, store: &Store) -> Result<(), RepositoryError> {
        let folder = store.area(Area::Partial);
        let path = folder.join(format!("{}.part", self.object.digest));
        let local = |doing| RepositoryError::io(doing, &path);
        let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = fs::create_dir_all(&folder).and_then(|()| open()).map_err(local("write"))?;
        // Another process may be fetching the same.
        file.lock().map_err(local("lock"))?;
        let mut resumed = file.metadata().map_err(local("read"))?.len() > 0;
        loop {
            self.complete(&mut file, &path)?;
            file.rewind().map_err(local("read"))?;
            let entry = store.put_reader(&mut BufReader::with_capacity(1 << 17, &file), false)?;
            if matches!(entry, Entry::File { digest, .. } if digest == self.object.digest) {
                // The name goes while the lock is held: whoever waits for it works on a file that
                // nobody sees, and then finds the object in the store.
                let _ = fs::remove_file(&path);
                let origin = &self.place.shown();
                self.reporter.transfer(self.label, Transfer::Finished { bytes: self.object.size, origin });
                return Ok(());
            }
            file.set_len(0).map_err(local("write"))?;
            if !resumed {
                let _ = fs::remove_file(&path);
                return Err(RepositoryError::WrongBytes { name: self.name.to_owned() });
            }
            // What was there already may have been wrong.
            resumed = false;
        }
    }

    fn complete(&self, file: &mut File, path: &Path) -> Result<(), RepositoryError> {
        let length = |file: &File| file.metadata().map(|file| file.len()).map_err(RepositoryError::io("read", path));
        let mut retries = ATTEMPTS.begin();
        loop {
            let before = length(file)?;
            match self.attempt(file, path, before) {
                Err(error) if error.may_pass() => {
                    if length(file)?.saturating_sub(before) > self.object.size / GOOD_SHARE {
                        retries.begin_anew();
                    }
                    let Some(pause) = retries.pause() else { return Err(error) };
                    let (origin, reason) = (&self.place.shown(), &printable(&error.to_string()).to_string());
                    self.reporter.transfer(self.label, Transfer::Failed { origin, reason });
                    std::thread::sleep(pause);
                }
                done => return done,
            }
        }
    }

    /// One attempt, from the end of what is there.
    fn attempt(&self, file: &mut File, path: &Path, there: u64) -> Result<(), RepositoryError> {
        let local = |doing| RepositoryError::io(doing, path);
        let size = self.object.size;
        let there = if there > size { 0 } else { there };
        if there == size {
            return Ok(());
        }
        let part = match self.place.get(self.name, there, size - there)? {
            // It may end before that byte.
            None if there > 0 => self.place.get(self.name, 0, size)?,
            part => part,
        };
        let part = part.ok_or_else(|| RepositoryError::Missing { name: self.name.to_owned() })?;
        file.set_len(part.from).and_then(|()| file.seek(SeekFrom::Start(part.from))).map_err(local("write"))?;
        let mut at = part.from;
        // One byte more shows whether it ends.
        let mut bytes = part.bytes.take(size - at + 1);
        let mut buffer = vec![0; 1 << 17];
        loop {
            let count = match bytes.read(&mut buffer) {
                Ok(0) if at == size => return Ok(()),
                Ok(0) => return Err(broken_off(io::Error::other(format!("{at} of {size} bytes came")))),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken_off(error)),
            };
            at += count as u64;
            if at > size {
                file.set_len(0).map_err(local("write"))?;
                return Err(RepositoryError::TooLong { name: self.name.to_owned(), most: size });
            }
            file.write_all(&buffer[..count]).map_err(local("write"))?;
            self.reporter.transfer(self.label, Transfer::At { bytes: at, total: Some(size) });
        }
    }
}
