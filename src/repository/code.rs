//! Compiled code beside packages: native code that a publisher's loader made of a package's
//! programs and libraries, so that an install need not compile them.
//!
//! An archive is a tar file, compressed with zstd, of files as the loader keeps them in its shared
//! cache (`--code-cache`). An install unpacks them into a folder of its own and names it to the
//! loader, which takes a file by the digest of the module, its own engine and this processor's
//! features, compares the digest in it, and writes `DEST/compiled` itself: all checks there hold as
//! for code that it compiled.
//!
//! The code is as trusted as the loader of the same repository. It is taken by a signed index
//! alone.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use build_graph::{BlobDigest, SOURCE_DATE_EPOCH};
use tar::{EntryType, Header};

use super::RepositoryError;
use crate::archive::{ArchiveError, Bounds, Compression, each_member};
use crate::install::package::Manifest;
use crate::install::prepare;

/// Compiled code shrinks to a quarter even so.
const LEVEL: i32 = 9;
/// No kernel's clock for files has longer steps.
const CLOCK_STEP: Duration = Duration::from_millis(20);
/// What headers and padding may add to the files of an archive.
const MAX_FRAMING: u64 = 16 << 20;
/// The features of processors that compiled code may depend on: those that the loader's compiler
/// looks for. The loader compares them itself; here they only choose what to fetch.
macro_rules! features {
    ($($name:tt)*) => {
        [$(($name, std::arch::is_x86_feature_detected!($name))),*]
    };
}

/// This machine's processor, as the index names it: the architecture, then the features that
/// compiled code may depend on.
pub fn processor() -> String {
    let mut words = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    words.extend(
        features!(
            "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt" "cmpxchg16b"
            "avx512f" "avx512vl" "avx512dq" "avx512bitalg" "avx512vbmi"
        )
        .into_iter()
        .filter_map(|(name, there)| there.then_some(name)),
    );
    words.join(" ")
}

/// Unpacks the files of an archive into a folder that nobody else writes to.
///
/// # Errors
/// [`RepositoryError::Code`] if there is anything else in it, or more than it should be.
pub fn unpack(archive: File, into: &Path, unpacked: u64) -> Result<(), RepositoryError> {
    struct Stop(RepositoryError);
    impl From<ArchiveError> for Stop {
        fn from(error: ArchiveError) -> Self {
            Self(RepositoryError::Code(error.to_string()))
        }
    }
    let bounds = Bounds { bytes: unpacked.saturating_add(MAX_FRAMING), header: 64 << 10, padding: 1 << 20 };
    let stream = Compression::Zstd.decode(archive).map_err(|error| RepositoryError::Code(error.to_string()))?;
    each_member(stream, bounds, |member| {
        let name = std::str::from_utf8(member.name()).ok().filter(|name| is_code_name(name));
        let Some(path) = name.map(|name| into.join(name)).filter(|_| member.kind().is_file()) else {
            let name = String::from_utf8_lossy(member.name()).into_owned();
            return Err(Stop(RepositoryError::Code(format!("`{name}` is no file of code"))));
        };
        let failed = |error| Stop(RepositoryError::io("write", &path)(error));
        let mut file = match File::create_new(&path) {
            // Two packages may have the same library.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            file => file.map_err(failed)?,
        };
        io::copy(member, &mut file).map_err(failed)?;
        file.set_permissions(Permissions::from_mode(0o644)).map_err(failed)
    })
    .map_err(|Stop(error)| error)
}

/// Whether a file is named as the loader names code: the digest of a module, and the loader's name
/// for its engine on this processor.
fn is_code_name(name: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    name.split_once('-')
        .is_some_and(|(module, engine)| module.len() == 64 && engine.len() == 16 && is_hex(module) && is_hex(engine))
}

/// An archive of code, in memory: some megabytes.
pub struct Packed {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Bytes of the files in it.
    pub unpacked: u64,
}

/// Compiles the programs and libraries of an installed package, or takes what `cache` has of them,
/// and packs the code. `None` if there is nothing to compile.
///
/// # Errors
/// [`RepositoryError::Io`]; [`RepositoryError::Code`] if the loader fails.
pub fn compile(installation: &Path, package: &Manifest, cache: &Path) -> Result<Option<Packed>, RepositoryError> {
    // The loader notes in a file's time that it used it. The clock of files has coarse steps.
    sleep(CLOCK_STEP * 2);
    let before = SystemTime::now() - CLOCK_STEP;
    prepare::precompile(installation, std::slice::from_ref(package), Some(cache), prepare::DEADLINE)
        .map_err(|error| RepositoryError::Code(error.to_string()))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(cache).map_err(RepositoryError::io("read", cache))? {
        let entry = entry.map_err(RepositoryError::io("read", cache))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let used = entry.metadata().and_then(|file| file.modified()).is_ok_and(|used| used >= before);
        if used && is_code_name(&name) {
            names.push(name);
        }
    }
    names.sort();
    if names.is_empty() { Ok(None) } else { pack(cache, &names).map(Some) }
}

fn pack(folder: &Path, names: &[String]) -> Result<Packed, RepositoryError> {
    let mut unpacked = 0;
    let mut write = || -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), LEVEL)?);
        for name in names {
            let bytes = fs::read(folder.join(name))?;
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            header.set_mtime(SOURCE_DATE_EPOCH);
            archive.append_data(&mut header, name, &*bytes)?;
            unpacked += bytes.len() as u64;
        }
        archive.into_inner()?.finish()
    };
    let bytes = write().map_err(RepositoryError::io("read", folder))?;
    Ok(Packed { bytes, unpacked })
}

impl Packed {
    /// The digest of the archive.
    pub fn digest(&self) -> BlobDigest {
        BlobDigest::of(&self.bytes)
    }
}
