//! What has to be known of ELF files before they are started: which libraries the engine needs, and
//! how a guest's program is loaded.
//!
//! Only headers are read, in bounded pieces: a guest's file is anybody's.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use elf::abi;
use elf::dynamic::DynamicTable;
use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::segment::{ProgramHeader, SegmentTable};

use super::root::EngineFile;

/// Where a dynamic linker that has no cache looks, in this order.
const LIBRARY_FOLDERS: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
/// More than any program has.
const MAX_SEGMENTS: u16 = 256;
const MAX_DYNAMIC: u64 = 1 << 20;
const MAX_NAME: usize = 4096;

/// Why a file is no program.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum ProgramError {
    #[error("it can't be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("it is no program for x86-64")]
    Foreign,
    #[error("its library `{0}` is in none of the system's library folders")]
    NoLibrary(String),
}

impl From<elf::ParseError> for ProgramError {
    fn from(_: elf::ParseError) -> Self {
        Self::Foreign
    }
}

/// Whether a program is linked dynamically, so that a loader has to load it.
///
/// # Errors
///
/// [`ProgramError`].
pub(super) fn is_dynamic(file: &File) -> Result<bool, ProgramError> {
    Ok(segments(file)?.iter().any(|segment| segment.p_type == abi::PT_INTERP))
}

/// How many bytes of memory a program takes when it is loaded.
///
/// # Errors
///
/// [`ProgramError`].
pub(super) fn size_in_memory(file: &File) -> Result<u64, ProgramError> {
    let loaded = segments(file)?.into_iter().filter(|segment| segment.p_type == abi::PT_LOAD);
    Ok(loaded.fold(0, |sum: u64, segment| sum.saturating_add(segment.p_memsz.max(segment.p_filesz))))
}

/// Whether the stacks of a program of the host are memory to run, too: it says so, or does not say.
///
/// # Errors
///
/// [`ProgramError`].
pub(super) fn runs_on_stack(program: &Path) -> Result<bool, ProgramError> {
    let segments = segments(&File::open(program)?)?;
    let stack = segments.iter().find(|segment| segment.p_type == abi::PT_GNU_STACK);
    Ok(stack.is_none_or(|stack| stack.p_flags & abi::PF_X != 0))
}

/// The dynamic linker and the libraries that a program of the host needs, each at its own path.
///
/// # Errors
///
/// [`ProgramError`].
pub(super) fn libraries(program: &Path) -> Result<Vec<EngineFile>, ProgramError> {
    let mut found = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut left = vec![program.to_owned()];
    while let Some(path) = left.pop() {
        let file = File::open(&path)?;
        let segments = segments(&file)?;
        if let Some(interpreter) = segments.iter().find(|segment| segment.p_type == abi::PT_INTERP) {
            let path = PathBuf::from(std::ffi::OsString::from_vec(text(&file, interpreter.p_offset)?));
            found.insert(path);
        }
        for name in needed(&file, &segments)? {
            if !names.insert(name.clone()) {
                continue;
            }
            let path = LIBRARY_FOLDERS
                .iter()
                .map(|folder| Path::new(folder).join(std::ffi::OsString::from_vec(name.clone())))
                .find(|path| path.is_file())
                .ok_or_else(|| ProgramError::NoLibrary(String::from_utf8_lossy(&name).into_owned()))?;
            left.push(path.clone());
            found.insert(path);
        }
    }
    // The linker is a library of others too, and then in two places.
    Ok(found.into_iter().map(|path| EngineFile { host: path.clone(), at: path }).collect())
}

fn segments(file: &File) -> Result<Vec<ProgramHeader>, ProgramError> {
    let mut start = [0; 64];
    file.read_exact_at(&mut start, 0).map_err(short)?;
    let ident = parse_ident::<LittleEndian>(&start[..abi::EI_NIDENT])?;
    let header = FileHeader::parse_tail(ident, &start[abi::EI_NIDENT..])?;
    let fits = header.class == Class::ELF64
        && header.e_machine == abi::EM_X86_64
        && [abi::ET_EXEC, abi::ET_DYN].contains(&header.e_type)
        && header.e_phentsize == 56
        && header.e_phnum <= MAX_SEGMENTS;
    if !fits {
        return Err(ProgramError::Foreign);
    }
    let mut table = vec![0; usize::from(header.e_phnum) * usize::from(header.e_phentsize)];
    file.read_exact_at(&mut table, header.e_phoff).map_err(short)?;
    Ok(SegmentTable::new(LittleEndian, Class::ELF64, &table).iter().collect())
}

/// The names of the libraries that a file needs itself.
fn needed(file: &File, segments: &[ProgramHeader]) -> Result<Vec<Vec<u8>>, ProgramError> {
    let Some(dynamic) = segments.iter().find(|segment| segment.p_type == abi::PT_DYNAMIC) else {
        return Ok(Vec::new());
    };
    if dynamic.p_filesz > MAX_DYNAMIC {
        return Err(ProgramError::Foreign);
    }
    let mut table = vec![0; usize::try_from(dynamic.p_filesz).unwrap_or(0)];
    file.read_exact_at(&mut table, dynamic.p_offset).map_err(short)?;
    let entries: Vec<_> = DynamicTable::new(LittleEndian, Class::ELF64, &table)
        .iter()
        .take_while(|entry| entry.d_tag != abi::DT_NULL)
        .collect();
    let Some(strings) = entries.iter().find(|entry| entry.d_tag == abi::DT_STRTAB) else {
        return Ok(Vec::new());
    };
    let strings = segments
        .iter()
        .filter(|segment| segment.p_type == abi::PT_LOAD)
        .find_map(|segment| {
            let within = strings.d_ptr().checked_sub(segment.p_vaddr).filter(|&within| within < segment.p_filesz)?;
            segment.p_offset.checked_add(within)
        })
        .ok_or(ProgramError::Foreign)?;
    let names = entries.iter().filter(|entry| entry.d_tag == abi::DT_NEEDED);
    names.map(|entry| text(file, strings.checked_add(entry.d_val()).ok_or(ProgramError::Foreign)?)).collect()
}

/// The string that ends with a zero and begins here.
fn text(file: &File, at: u64) -> Result<Vec<u8>, ProgramError> {
    let mut bytes = vec![0; MAX_NAME];
    let length = file.read_at(&mut bytes, at)?;
    let end = bytes[..length].iter().position(|&b| b == 0).ok_or(ProgramError::Foreign)?;
    bytes.truncate(end);
    Ok(bytes)
}

fn short(error: std::io::Error) -> ProgramError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof { ProgramError::Foreign } else { error.into() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_program_of_this_machine_names_its_libraries() {
        let found = libraries(&std::env::current_exe().unwrap()).unwrap();
        let has = |part: &str| found.iter().any(|file| file.at.to_string_lossy().contains(part));
        assert!(has("ld-linux") && has("libc.so"), "{found:?}");
        assert!(found.iter().all(|file| file.host.is_file()), "{found:?}");
    }

    #[test]
    fn what_is_no_program_is_said_to_be_none() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(matches!(is_dynamic(&file), Err(ProgramError::Foreign)));
        file.write_all(b"\x7fELF\x02\x01\x01").unwrap();
        assert!(matches!(is_dynamic(&file), Err(ProgramError::Foreign)));
        // A header that promises more than there is.
        let mut header = [0u8; 64];
        header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        header[16] = 2;
        header[18] = 62;
        header[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        header[54] = 56;
        header[56..58].copy_from_slice(&200u16.to_le_bytes());
        file.write_all_at(&header, 0).unwrap();
        assert!(is_dynamic(&file).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"\x7fELF\x02\x01\x01").unwrap();
            file.write_all(&bytes).unwrap();
            let _ = is_dynamic(&file);
            if let Ok(segments) = segments(&file) {
                let _ = needed(&file, &segments);
            }
        }
    }
}
