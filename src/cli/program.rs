//! Which program this is: a plan is good for the program that made it, and for no other build of
//! it.

use std::fs::File;
use std::io;
use std::path::Path;

use object::elf::{ELF_NOTE_GNU, FileHeader64, NT_GNU_BUILD_ID};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadCache};

/// Names the build of a program: what its linker wrote, or else the digest of its bytes.
///
/// # Errors
/// If the file can't be read.
pub(super) fn build_id(program: &Path) -> io::Result<String> {
    match note(&File::open(program)?) {
        Some(id) => Ok(format!("build id {id}")),
        // Linkers may be told to write none.
        None => {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(File::open(program)?)?;
            Ok(format!("blake3 {}", hasher.finalize()))
        }
    }
}

/// What the linker wrote. Reads the notes alone: each ninja asks for it.
fn note(program: &File) -> Option<String> {
    let data = ReadCache::new(program);
    let header = FileHeader64::<Endianness>::parse(&data).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, &data).ok()? {
        let Some(mut notes) = segment.notes(endian, &data).ok()? else { continue };
        while let Some(note) = notes.next().ok()? {
            if note.name() == ELF_NOTE_GNU && note.n_type(endian) == NT_GNU_BUILD_ID {
                return Some(note.desc().iter().map(|byte| format!("{byte:02x}")).collect());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_keeps_its_name_wherever_it_lies_and_another_file_has_another() {
        let folder = tempfile::tempdir().unwrap();
        let own = std::env::current_exe().unwrap();
        let copy = folder.path().join("copy");
        std::fs::copy(&own, &copy).unwrap();
        assert_eq!(build_id(&own).unwrap(), build_id(&copy).unwrap());
        let script = folder.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        assert!(build_id(&script).unwrap().starts_with("blake3 "));
        assert_ne!(build_id(&script).unwrap(), build_id(&own).unwrap());
    }
}
