//! The members of a wheel's zip archive.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Seek, SeekFrom};

use build_graph::RelPath;
use build_graph::untrusted::printable;
use zip::ZipArchive;
use zip::result::ZipError;

use super::{WheelError, WheelLimits, damaged};

/// The file type bits of a Unix mode, and one of their values.
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
/// Those by which somebody may execute a file.
const EXECUTABLE: u32 = 0o111;
/// The beginning of a member (APPNOTE 4.3.7): its length without names, and its mark.
const HEADER: usize = 30;
const MARK: &[u8] = b"PK\x03\x04";
/// The longest path of a member.
const MAX_PATH: usize = 1024;

/// A file of a wheel.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) path: RelPath,
    /// Its length by the archive's directory.
    pub(super) size: u64,
    pub(super) executable: bool,
    index: usize,
    header: u64,
}

/// The files of a wheel, all of which have been looked at.
pub(super) struct Members<R> {
    zip: ZipArchive<R>,
    files: BTreeMap<RelPath, Member>,
    limits: WheelLimits,
}

impl<R: Read + Seek> Members<R> {
    /// Opens the archive. Of nothing in it are the bytes read yet.
    pub(super) fn open(mut archive: R, limits: &WheelLimits) -> Result<Self, WheelError> {
        let length = archive.seek(SeekFrom::End(0)).map_err(damaged)?;
        let files = {
            let mut zip = ZipArchive::new(&mut archive).map_err(zip_error)?;
            check_whole(&mut zip, limits)?;
            let mut files = BTreeMap::new();
            for index in 0..zip.len() {
                if let Some(member) = member(&mut zip, index)? {
                    files.insert(member.path.clone(), member);
                }
            }
            files
        };
        let most = limits.bytes.min(length.saturating_mul(limits.ratio).max(limits.small));
        if files.values().try_fold(0u64, |sum, member| sum.checked_add(member.size)).is_none_or(|sum| sum > most) {
            return Err(WheelError::TooLarge { limit: most, of: "bytes" });
        }
        check_spelling(files.keys())?;
        for member in files.values() {
            check_name(&mut archive, member)?;
        }
        let zip = ZipArchive::new(archive).map_err(zip_error)?;
        Ok(Self { zip, files, limits: *limits })
    }

    pub(super) fn limits(&self) -> &WheelLimits {
        &self.limits
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.files.values()
    }

    /// All files, in the order of their paths.
    pub(super) fn all(&self) -> Vec<Member> {
        self.files.values().cloned().collect()
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// The bytes of a file, no more than the archive's directory says.
    pub(super) fn reader(&mut self, member: &Member) -> Result<impl Read + '_, WheelError> {
        let reader = self.zip.by_index(member.index).map_err(zip_error)?;
        Ok(reader.take(member.size.saturating_add(1)))
    }

    /// All bytes of a file that has to be there, and to be short.
    pub(super) fn text(&mut self, path: &str) -> Result<Vec<u8>, WheelError> {
        let Some(member) = self.files.get(path).cloned() else {
            return Err(WheelError::Archive(format!("it has no file `{}`", printable(path))));
        };
        if member.size > self.limits.text {
            return Err(WheelError::TooLarge { limit: self.limits.text, of: "bytes in a file of its description" });
        }
        let mut bytes = Vec::new();
        self.reader(&member)?.read_to_end(&mut bytes).map_err(damaged)?;
        Ok(bytes)
    }
}

/// What holds for an archive as a whole.
fn check_whole<R: Read + Seek>(zip: &mut ZipArchive<R>, limits: &WheelLimits) -> Result<(), WheelError> {
    let refused = |why: &str| Err(WheelError::Archive(why.to_owned()));
    if zip.offset() != 0 {
        return refused("something stands before the archive");
    }
    if zip.len() > limits.members {
        return Err(WheelError::TooLarge { limit: limits.members as u64, of: "files" });
    }
    if zip.has_duplicate_names() {
        return refused("two of its members have one name");
    }
    match zip.has_overlapping_entries().map_err(zip_error)? {
        true => refused("some of its members share bytes"),
        false => Ok(()),
    }
}

/// A member of the archive; `None` for a folder.
fn member<R: Read + Seek>(zip: &mut ZipArchive<R>, index: usize) -> Result<Option<Member>, WheelError> {
    let file = zip.by_index_raw(index).map_err(zip_error)?;
    let shown = printable(file.name_raw()).to_string();
    let refused = |why: &str| Err(WheelError::refused(&shown, why));
    let Ok(name) = std::str::from_utf8(file.name_raw()) else { return refused("its path is not UTF-8") };
    if name.len() > MAX_PATH || name.contains('\\') || name.chars().any(char::is_control) {
        return refused("its path is too long, or holds a backslash or a control character");
    }
    let (name, is_folder) = match name.strip_suffix('/') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let path = match RelPath::new(name) {
        Ok(path) => path,
        Err(error) => return refused(&error.to_string()),
    };
    if file.encrypted() {
        return refused("it is encrypted");
    }
    if !matches!(file.compression(), zip::CompressionMethod::Stored | zip::CompressionMethod::Deflated) {
        return refused("it is neither stored nor deflated");
    }
    if is_folder {
        return if file.size() == 0 { Ok(None) } else { refused("it is a folder by its name, and has content") };
    }
    let mode = file.unix_mode().unwrap_or(0);
    if !matches!(mode & TYPE, 0 | REGULAR) {
        return refused("it is no regular file: a link or another special file");
    }
    let executable = mode & EXECUTABLE != 0;
    Ok(Some(Member { path, size: file.size(), executable, index, header: file.header_start() }))
}

/// No two paths, and no two folders, differ in nothing but upper and lower case: on some systems
/// they would be one.
fn check_spelling<'a>(paths: impl Iterator<Item = &'a RelPath>) -> Result<(), WheelError> {
    let mut spellings: HashMap<String, String> = HashMap::new();
    for path in paths {
        let mut above = Some(path.clone());
        while let Some(here) = above {
            let other = spellings.entry(here.as_str().to_lowercase()).or_insert_with(|| here.to_string());
            if other != here.as_str() {
                return Err(WheelError::refused(path.as_str(), format!("it is there as `{}`, too", printable(other))));
            }
            above = here.parent();
        }
    }
    Ok(())
}

/// A member begins with a name of its own, by which other programs would unpack it.
fn check_name<R: Read + Seek>(archive: &mut R, member: &Member) -> Result<(), WheelError> {
    let other = || WheelError::refused(member.path.as_str(), "it begins with another name than the directory gives it");
    let mut header = [0; HEADER];
    archive.seek(SeekFrom::Start(member.header)).map_err(damaged)?;
    archive.read_exact(&mut header).map_err(damaged)?;
    let length = usize::from(u16::from_le_bytes([header[26], header[27]]));
    if !header.starts_with(MARK) || length != member.path.as_str().len() {
        return Err(other());
    }
    let mut name = vec![0; length];
    archive.read_exact(&mut name).map_err(damaged)?;
    if name == member.path.as_str().as_bytes() { Ok(()) } else { Err(other()) }
}

fn zip_error(error: ZipError) -> WheelError {
    damaged(io::Error::from(error))
}
