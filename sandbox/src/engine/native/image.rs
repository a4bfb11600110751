//! Native code of libraries in memory.
//!
//! The dynamic linker opens files by their paths, which the wall does not let anyone do. A library
//! of ours is a simple shared object: it is bound to the runtime and to the C library alone, and
//! has nothing to be run at its beginning (`-nostartfiles`). So it is mapped here, by the thread
//! that may make memory executable.

use std::ffi::{CStr, CString, c_void};
use std::fs::File;
use std::mem;
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::ptr;
use std::slice;

use elf::ElfBytes;
use elf::abi::{
    PF_X, PT_GNU_RELRO, PT_LOAD, PT_TLS, R_X86_64_64, R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT, R_X86_64_RELATIVE,
    R_X86_64_TPOFF64, SHT_INIT_ARRAY, SHT_RELA, STB_WEAK,
};
use elf::endian::LittleEndian;
use elf::relocation::Rela;
use elf::segment::ProgramHeader;
use elf::symbol::Symbol;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};

use super::object::{Module, Symbols};
use crate::account::{ACCOUNT, Charge};
use crate::engine::EngineError;

/// Bytes of a page.
const PAGE: usize = 4096;

/// Code of a library, which is unmapped when this is dropped.
pub struct LibraryCode {
    pages: Pages,
    /// The address of its description.
    module: usize,
}

impl LibraryCode {
    /// Maps the code of a library, at the guest's expense, and binds it to the runtime.
    ///
    /// # Safety
    ///
    /// The file is native code, and is run: it must be what the build graph made, for the way to
    /// reach memory that the runtime has, and must not change while this process lives.
    ///
    /// # Errors
    ///
    /// [`EngineError::Compiled`], [`EngineError::Full`].
    pub unsafe fn map(file: &File, symbols: Symbols) -> Result<Self, EngineError> {
        let stat = rustix::fs::fstat(file).map_err(refused)?;
        let size = usize::try_from(stat.st_size).ok().and_then(NonZeroUsize::new);
        let size = size.ok_or_else(|| refused("it is empty"))?.get();
        let view = View::of(file, size)?;
        Self::laid_out(file, view.bytes(), symbols)
    }

    /// What the library says of itself.
    pub(super) fn module(&self) -> &Module {
        // SAFETY: the symbol is that of the description, whose references have been relocated. It
        // is mapped for as long as this value lives.
        unsafe { &*ptr::with_exposed_provenance::<Module>(self.module) }
    }

    /// Leaves the code where it is, at the guest's expense, until this process ends. To be called
    /// before any of it runs.
    pub(super) fn keep(self) -> &'static Module {
        mem::forget(self.pages);
        // SAFETY: as above; nobody unmaps it any more.
        unsafe { &*ptr::with_exposed_provenance::<Module>(self.module) }
    }

    fn laid_out(file: &File, bytes: &[u8], symbols: Symbols) -> Result<Self, EngineError> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(bytes).map_err(refused)?;
        let segments: Vec<_> = elf.segments().ok_or_else(|| refused("it has no segments"))?.iter().collect();
        let headers = || elf.section_headers().into_iter().flatten();
        if segments.iter().any(|segment| segment.p_type == PT_TLS) || headers().any(|h| h.sh_type == SHT_INIT_ARRAY) {
            return Err(refused("it has something to be run at its beginning, or for each thread"));
        }
        let loaded = || segments.iter().filter(|segment| segment.p_type == PT_LOAD);
        let end = loaded().map(|segment| segment.p_vaddr.saturating_add(segment.p_memsz)).max();
        let (_, size) = page_range(0, end.ok_or_else(|| refused("it has no code"))?)?;
        let pages = Pages::new(size)?;
        let base = pages.base();
        for segment in loaded() {
            lay(file, base, segment, size)?;
        }
        // SAFETY: so many bytes are mapped here, can be written, and are nobody else's.
        let image = unsafe { slice::from_raw_parts_mut(base.cast::<u8>(), size) };
        let table = elf.dynamic_symbol_table().map_err(refused)?.ok_or_else(|| refused("it has no symbols"))?;
        let address = pages.base;
        let place = |symbol: &Symbol| usize::try_from(symbol.st_value).map(|value| address.wrapping_add(value));
        for header in headers().filter(|header| header.sh_type == SHT_RELA) {
            for relocation in elf.section_data_as_relas(&header).map_err(refused)? {
                let value = match relocation.r_type {
                    R_X86_64_RELATIVE => (address as u64).wrapping_add_signed(relocation.r_addend),
                    _ => {
                        let symbol = table.0.get(relocation.r_sym as usize).map_err(refused)?;
                        let name = table.1.get_raw(symbol.st_name as usize).map_err(refused)?;
                        let found = if symbol.is_undefined() {
                            bound(symbols, name, &symbol, &relocation)?
                        } else {
                            place(&symbol).map_err(refused)? as u64
                        };
                        found.wrapping_add_signed(relocation.r_addend)
                    }
                };
                let at = usize::try_from(relocation.r_offset).map_err(refused)?;
                let at = image.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
                *at.ok_or_else(|| refused("a relocation lies outside of it"))? = value.to_le_bytes();
            }
        }
        let mut described = table.0.iter().filter(|symbol| !symbol.is_undefined());
        let module = described.find(|s| table.1.get_raw(s.st_name as usize).is_ok_and(|name| name == b"native_module"));
        let module = module.ok_or_else(|| refused("it does not say what it is"))?;
        let module = place(&module).map_err(refused)?;
        for segment in &segments {
            let protection = match segment.p_type {
                PT_LOAD if segment.p_flags & PF_X != 0 => MprotectFlags::READ | MprotectFlags::EXEC,
                PT_LOAD if segment.p_flags & elf::abi::PF_W == 0 => MprotectFlags::READ,
                PT_GNU_RELRO => MprotectFlags::READ,
                _ => continue,
            };
            let (first, length) = page_range(segment.p_vaddr, segment.p_memsz)?;
            if first.checked_add(length).is_none_or(|end| end > size) {
                return Err(refused("a segment lies outside of it"));
            }
            // SAFETY: these pages are those of the mapping above.
            unsafe { mprotect(base.byte_add(first), length, protection) }.map_err(refused)?;
        }
        Ok(Self { pages, module })
    }
}

fn refused(why: impl ToString) -> EngineError {
    EngineError::Compiled(why.to_string())
}

/// The bytes of a file, while they are looked at.
struct View(*mut c_void, usize);

impl View {
    fn of(file: &File, size: usize) -> Result<Self, EngineError> {
        // SAFETY: a new mapping, which nobody else has.
        let at = unsafe { mmap(ptr::null_mut(), size, ProtFlags::READ, MapFlags::PRIVATE, file.as_fd(), 0) };
        Ok(Self(at.map_err(refused)?, size))
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped, and the file does not change.
        unsafe { slice::from_raw_parts(self.0.cast(), self.1) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        let _ = unsafe { munmap(self.0, self.1) };
    }
}

/// Memory for a shared object, which is given back when this is dropped.
struct Pages {
    base: usize,
    size: usize,
    _charge: Charge<'static>,
}

impl Pages {
    /// So many bytes of zeros that can be written, of whole pages.
    fn new(size: usize) -> Result<Self, EngineError> {
        let charge = ACCOUNT.charge(size)?;
        // SAFETY: a new mapping, which nobody else has.
        let base =
            unsafe { mmap_anonymous(ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
        Ok(Self { base: base.map_err(refused)?.expose_provenance(), size, _charge: charge })
    }

    fn base(&self) -> *mut c_void {
        ptr::with_exposed_provenance_mut(self.base)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing leads into it: who runs its code
        // keeps it before.
        let _ = unsafe { munmap(self.base(), self.size) };
    }
}

/// The pages that hold these bytes.
fn page_range(from: u64, length: u64) -> Result<(usize, usize), EngineError> {
    let from = usize::try_from(from).map_err(refused)?;
    let end = usize::try_from(length).ok().and_then(|length| from.checked_add(length));
    let end = end.and_then(|end| end.checked_next_multiple_of(PAGE)).ok_or_else(|| refused("it has no end"))?;
    let first = from / PAGE * PAGE;
    Ok((first, end - first))
}

/// Maps a segment at its place in the mapping that begins at `base`.
fn lay(file: &File, base: *mut c_void, segment: &ProgramHeader, size: usize) -> Result<(), EngineError> {
    let (first, length) = page_range(segment.p_vaddr, segment.p_filesz)?;
    let offset = segment.p_offset / PAGE as u64 * PAGE as u64;
    let fits = first.checked_add(length).is_some_and(|end| end <= size);
    if !fits || segment.p_offset % PAGE as u64 != segment.p_vaddr % PAGE as u64 {
        return Err(refused("a segment does not lie on its pages"));
    }
    if segment.p_filesz == 0 {
        return Ok(());
    }
    let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    // SAFETY: these pages are part of the mapping, which nobody looks at yet.
    unsafe { mmap(base.byte_add(first), length, ProtFlags::READ | ProtFlags::WRITE, flags, file.as_fd(), offset) }
        .map_err(refused)?;
    if segment.p_memsz > segment.p_filesz {
        // What follows in the last page is zero, and not the file's.
        let from = usize::try_from(segment.p_vaddr + segment.p_filesz).map_err(refused)?;
        // SAFETY: the rest of that page is part of the mapping.
        unsafe { ptr::write_bytes(base.cast::<u8>().add(from), 0, first + length - from) };
    }
    Ok(())
}

/// What a symbol of the runtime or the C library stands for.
fn bound(symbols: Symbols, name: &[u8], symbol: &Symbol, relocation: &Rela) -> Result<u64, EngineError> {
    let name = CString::new(name).map_err(refused)?;
    let Some(address) = symbols.find(&name) else {
        return if symbol.st_bind() == STB_WEAK { Ok(0) } else { Err(missing(&name)) };
    };
    match relocation.r_type {
        R_X86_64_64 | R_X86_64_GLOB_DAT | R_X86_64_JUMP_SLOT => Ok(address as u64),
        // As far from a thread's own pointer as in this thread: the runtime was loaded with an
        // offset that all threads have (`-ftls-model=initial-exec`).
        R_X86_64_TPOFF64 => Ok((address as u64).wrapping_sub(thread_pointer())),
        other => Err(refused(format!("it has a relocation of kind {other}"))),
    }
}

fn missing(name: &CStr) -> EngineError {
    refused(format!("it needs `{}`, which the runtime does not have", name.to_string_lossy()))
}

/// Where this thread's own variables end.
fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: reads where the thread's descriptor says that it lies, by the ABI of x86-64.
    unsafe { std::arch::asm!("mov {}, qword ptr fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly)) };
    pointer
}
