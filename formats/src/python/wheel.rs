//! A wheel: a zip archive with the files of a project and a description of them.
//!
//! Nothing of it is used before its list of files, `RECORD`, was compared with what it holds: every
//! file is listed with a strong hash and has it, and every one that is listed is there. What the
//! specification leaves to the reader of a zip archive (two members of one name, members that share
//! bytes, names that differ between an archive's two directories) is refused.

mod members;

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};

use build_graph::untrusted::printable;
use build_graph::{Entry, RelPath, Tree};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::metadata::{About, Metadata};
use super::names::{ProjectName, WheelName, version_of};
use super::record::{self, Hasher, Row};
use super::{Unreadable, scripts};
use crate::archive::BlobSink;
use members::{Member, Members};

/// How much a wheel may hold before it counts as an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WheelLimits {
    /// Bytes, uncompressed, of all files, however large the archive is.
    pub bytes: u64,
    /// How many times larger than the archive its files may be, where they have more than
    /// [`WheelLimits::small`] bytes.
    pub ratio: u64,
    /// See [`WheelLimits::ratio`].
    pub small: u64,
    /// Files.
    pub members: usize,
    /// Bytes of a file that is read whole: metadata, lists, scripts.
    pub text: u64,
}

impl Default for WheelLimits {
    /// 4 GiB, 50 times the archive above 64 MiB (as the public index has it), 100,000 files and
    /// 16 MiB.
    fn default() -> Self {
        Self { bytes: 4 << 30, ratio: 50, small: 64 << 20, members: 100_000, text: 16 << 20 }
    }
}

/// Where the parts of a wheel go, from the prefix that Python is installed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Where modules lie: `lib/python3.13/site-packages`.
    pub site: RelPath,
    /// Below which headers lie: `include/python3.13`.
    pub headers: RelPath,
    /// The path of the interpreter, for the first lines of scripts.
    pub interpreter: String,
}

/// Where scripts go.
const SCRIPTS: &str = "bin";

/// A wheel as it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wheel {
    /// What its file's name says.
    pub name: WheelName,
    /// What it says of its project.
    pub metadata: Metadata,
    /// Its files where the layout puts them.
    pub tree: Tree,
}

/// A wheel can't be installed.
#[derive(Debug, Error)]
pub enum WheelError {
    /// Its file's name is none of a wheel.
    #[error(transparent)]
    Name(Unreadable),
    /// It holds code of a machine.
    #[error("`{}` has native code, and only pure wheels are installed", printable(.0))]
    Native(String),
    /// The archive is damaged.
    #[error("the wheel is damaged: {}; fetch it again", printable(.0))]
    Damaged(String),
    /// The archive as a whole is refused.
    #[error("the wheel is refused: {}", printable(.0))]
    Archive(String),
    /// A member is refused.
    #[error("`{}` in the wheel is refused: {}", printable(member), printable(reason))]
    Refused {
        /// Its path.
        member: String,
        /// Why.
        reason: String,
    },
    /// It is larger than the limits allow.
    #[error("the wheel holds more than {limit} {of}, which no wheel does that is meant well")]
    TooLarge {
        /// The limit.
        limit: u64,
        /// Of what.
        of: &'static str,
    },
    /// A file can't be stored.
    #[error("storing a file of the wheel failed: {0}")]
    Store(io::Error),
}

impl WheelError {
    fn refused(member: &str, reason: impl Into<String>) -> Self {
        Self::Refused { member: member.to_owned(), reason: reason.into() }
    }
}

/// Unpacks the wheel whose file has this name. The bytes of its files go to the sink.
///
/// # Errors
/// [`WheelError`]; bytes that were stored stay in the sink.
pub fn unpack(
    file: &str,
    archive: impl Read + Seek,
    layout: &Layout,
    limits: &WheelLimits,
    sink: &dyn BlobSink,
) -> Result<Wheel, WheelError> {
    let name: WheelName = file.parse().map_err(WheelError::Name)?;
    if !name.tags.iter().any(super::names::Tag::is_pure) {
        return Err(WheelError::Native(file.to_owned()));
    }
    let mut members = Members::open(archive, limits)?;
    let folders = Folders::find(&name, &members)?;
    let info = |file: &str| format!("{}/{file}", folders.info);
    let unreadable = |file: &str, error: Unreadable| WheelError::refused(&info(file), error.to_string());

    let metadata = Metadata::parse(&members.text(&info("METADATA"))?).map_err(|error| unreadable("METADATA", error))?;
    let agrees = (&metadata.project, &metadata.version) == (&name.project, &name.version);
    if !agrees {
        let other = format!("it is of `{} {}`, and the file is called `{file}`", metadata.project, metadata.version);
        return Err(WheelError::refused(&info("METADATA"), other));
    }
    let about = About::parse(&members.text(&info("WHEEL"))?).map_err(|error| unreadable("WHEEL", error))?;
    if !about.is_pure {
        return Err(WheelError::Native(file.to_owned()));
    }
    if about.tags != name.tags {
        return Err(WheelError::refused(&info("WHEEL"), format!("it has other tags than its file, `{file}`")));
    }
    let rows = record::parse(&members.text(&info("RECORD"))?).map_err(|error| unreadable("RECORD", error))?;
    let programs = match members.has(&info("entry_points.txt")) {
        true => scripts::programs(&members.text(&info("entry_points.txt"))?)
            .map_err(|error| unreadable("entry_points.txt", error))?,
        false => Vec::new(),
    };

    let mut unpacking =
        Unpacking { layout, folders: &folders, name: &name, sink, tree: Tree::new(), sums: BTreeMap::new() };
    unpacking.files(&mut members, &rows)?;
    for program in programs {
        let path = format!("{SCRIPTS}/{}", program.name);
        unpacking.put(&path, program.text(&layout.interpreter).as_bytes(), true)?;
    }
    let tree = unpacking.finish()?;
    Ok(Wheel { name, metadata, tree })
}

/// The folders at the top of a wheel that have a meaning.
struct Folders {
    /// `NAME-VERSION.dist-info`.
    info: String,
    /// `NAME-VERSION.data`, if there is one.
    data: Option<String>,
}

impl Folders {
    fn find(name: &WheelName, members: &Members<impl Read + Seek>) -> Result<Self, WheelError> {
        let (mut info, mut data) = (None, None);
        for member in members.iter() {
            let Some((top, _)) = member.path.as_str().split_once('/') else { continue };
            let (stem, place) = match top.rsplit_once('.') {
                Some((stem, "dist-info")) => (stem, &mut info),
                Some((stem, "data")) => (stem, &mut data),
                _ => continue,
            };
            if place.as_deref() == Some(top) {
                continue;
            }
            let is_own = stem.split_once('-').is_some_and(|(project, version)| {
                ProjectName::new(project).is_ok_and(|project| project == name.project)
                    && version_of(version).is_ok_and(|version| version == name.version)
            });
            if !is_own {
                return Err(WheelError::refused(top, "it belongs to another project or version than the wheel"));
            }
            if place.replace(top.to_owned()).is_some() {
                return Err(WheelError::refused(top, "it is there twice, in two spellings"));
            }
        }
        let info = info.ok_or_else(|| WheelError::Archive("it has no folder `.dist-info`".to_owned()))?;
        Ok(Self { info, data })
    }

    /// Whether a path is that of the list of files, or of a signature of it.
    fn is_record(&self, path: &RelPath) -> bool {
        let below = path.as_str().strip_prefix(self.info.as_str());
        matches!(below, Some("/RECORD" | "/RECORD.jws" | "/RECORD.p7s"))
    }
}

/// A wheel while it is unpacked.
struct Unpacking<'a> {
    layout: &'a Layout,
    folders: &'a Folders,
    name: &'a WheelName,
    sink: &'a dyn BlobSink,
    tree: Tree,
    sums: BTreeMap<RelPath, ([u8; 32], u64)>,
}

impl Unpacking<'_> {
    /// Unpacks every member, and compares it with its row.
    fn files<R: Read + Seek>(
        &mut self,
        members: &mut Members<R>,
        rows: &BTreeMap<RelPath, Row>,
    ) -> Result<(), WheelError> {
        if let Some(path) = rows.keys().find(|path| !members.has(path.as_str())) {
            return Err(WheelError::refused(path.as_str(), "`RECORD` lists it, and it is not there"));
        }
        let longest = members.limits().text;
        for member in members.all() {
            let path = member.path.as_str();
            if self.folders.is_record(&member.path) {
                continue;
            }
            let row = rows.get(&member.path).ok_or_else(|| WheelError::refused(path, "`RECORD` does not list it"))?;
            let Some(sum) = &row.sum else {
                return Err(WheelError::refused(path, "`RECORD` has no hash of it"));
            };
            if row.size.is_some_and(|size| size != member.size) {
                return Err(WheelError::refused(path, "`RECORD` lists it with another size"));
            }
            let place = self.place(&member)?;
            let inner = members.reader(&member)?;
            let mut hashed = Hashed { inner, wanted: sum.hasher(), own: Sha256::new(), count: 0 };
            match &place {
                Place::Nowhere => drop(io::copy(&mut hashed, &mut io::sink()).map_err(damaged)?),
                Place::At(path, executable) => {
                    let entry = self.stored(&mut hashed, *executable)?;
                    self.insert(path.clone(), entry, hashed.own.clone().finalize().into(), hashed.count)?;
                }
                Place::Script(_) if member.size > longest => {
                    return Err(WheelError::TooLarge { limit: longest, of: "bytes in a script" });
                }
                Place::Script(path) => {
                    let mut bytes = Vec::new();
                    hashed.read_to_end(&mut bytes).map_err(damaged)?;
                    let changed = scripts::with_interpreter(&bytes, &self.layout.interpreter);
                    self.put(path.as_str(), changed.as_deref().unwrap_or(&bytes), true)?;
                }
            }
            if hashed.count != member.size {
                return Err(WheelError::refused(path, "it has another size than the archive's directory says"));
            }
            if !sum.is(hashed.wanted) {
                return Err(WheelError::refused(path, "its bytes are not those that `RECORD` lists"));
            }
        }
        Ok(())
    }

    /// Where a member goes.
    fn place(&self, member: &Member) -> Result<Place, WheelError> {
        let path = member.path.as_str();
        let at = |folder: &str, rest: &str| fixed(&format!("{folder}/{rest}"));
        let Layout { site, headers, .. } = self.layout;
        let in_data = self.folders.data.as_deref().and_then(|data| path.strip_prefix(data)?.strip_prefix('/'));
        let Some(in_data) = in_data else {
            return match is_left_out(path) {
                true => Ok(Place::Nowhere),
                false => Ok(Place::At(at(site.as_str(), path)?, member.executable)),
            };
        };
        let Some((scheme, rest)) = in_data.split_once('/') else {
            return Err(WheelError::refused(path, "it belongs to no scheme"));
        };
        match scheme {
            "purelib" | "platlib" if is_left_out(rest) => Ok(Place::Nowhere),
            "purelib" | "platlib" => Ok(Place::At(at(site.as_str(), rest)?, member.executable)),
            "headers" => Ok(Place::At(at(&format!("{headers}/{}", self.name.project), rest)?, member.executable)),
            "scripts" if rest.contains('/') => Err(WheelError::refused(path, "a script lies in a folder")),
            "scripts" => Ok(Place::Script(at(SCRIPTS, rest)?)),
            "data" => Ok(Place::At(fixed(rest)?, member.executable)),
            other => Err(WheelError::refused(path, format!("its scheme, `{}`, is not known", printable(other)))),
        }
    }

    fn stored(&self, reader: &mut dyn Read, executable: bool) -> Result<Entry, WheelError> {
        let mut watched = Watched { inner: reader, failed: false };
        match self.sink.put_reader(&mut watched, executable) {
            Ok(entry) => Ok(entry),
            Err(error) if watched.failed => Err(damaged(error)),
            Err(error) => Err(WheelError::Store(error)),
        }
    }

    /// Adds a file whose bytes are made here.
    fn put(&mut self, path: &str, bytes: &[u8], executable: bool) -> Result<(), WheelError> {
        let entry = self.sink.put_bytes(bytes, executable).map_err(WheelError::Store)?;
        self.insert(fixed(path)?, entry, Sha256::digest(bytes).into(), bytes.len() as u64)
    }

    fn insert(&mut self, path: RelPath, entry: Entry, sum: [u8; 32], size: u64) -> Result<(), WheelError> {
        // The same file twice, by two schemes, is no less of a mistake than two files.
        if self.sums.insert(path.clone(), (sum, size)).is_some() {
            return Err(WheelError::refused(path.as_str(), "the wheel puts two files there"));
        }
        let shown = path.to_string();
        self.tree.insert(path, entry).map_err(|error| WheelError::refused(&shown, error.to_string()))
    }

    /// Adds what an installer writes.
    fn finish(mut self) -> Result<Tree, WheelError> {
        let info = format!("{}/{}", self.layout.site, self.folders.info);
        self.put(&format!("{info}/INSTALLER"), b"pynbox-build\n", false)?;
        let own = fixed(&format!("{info}/RECORD"))?;
        let text = record::write(&self.tree, &self.layout.site, &own, &self.sums);
        self.put(own.as_str(), text.as_bytes(), false)?;
        Ok(self.tree)
    }
}

enum Place {
    /// It is compared, and left out.
    Nowhere,
    /// A file, and whether it can be executed.
    At(RelPath, bool),
    /// A script.
    Script(RelPath),
}

fn fixed(path: &str) -> Result<RelPath, WheelError> {
    RelPath::new(path).map_err(|error| WheelError::refused(path, error.to_string()))
}

/// Whether an installer writes such a file itself: bytecode, and its own name.
fn is_left_out(path: &str) -> bool {
    path.split('/').rev().nth(1) == Some("__pycache__") || path.ends_with(".dist-info/INSTALLER")
}

/// A file's bytes, hashed as they are read.
struct Hashed<R> {
    inner: R,
    wanted: Hasher,
    own: Sha256,
    count: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.wanted.update(&buffer[..count]);
        self.own.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
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

fn damaged(error: io::Error) -> WheelError {
    WheelError::Damaged(error.to_string())
}
