//! Shared objects, and what a module says of itself (`recipes/files/native/module.h`).

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::slice;

use crate::account::{ACCOUNT, Full};
use crate::engine::EngineError;
use crate::engine::linker::scope::is_reserved;

/// `struct native_module`.
#[repr(C)]
pub(super) struct Module {
    pub(super) version: u32,
    pub(super) variant: u32,
    /// Bytes of an instance.
    pub(super) size: u64,
    instantiate: unsafe extern "C" fn(*mut c_void, *mut c_void),
    ty: unsafe extern "C" fn(u32, u32, ...) -> *const c_char,
    pub(super) memory: Option<unsafe extern "C" fn(*mut c_void) -> *const LinearMemory>,
    pub(super) table: Option<unsafe extern "C" fn(*mut c_void) -> *mut Table>,
    pub(super) stack_pointer: Option<unsafe extern "C" fn(*mut c_void) -> *mut u32>,
    pub(super) start: Option<unsafe extern "C" fn(*mut c_void)>,
    prepare: unsafe extern "C" fn(*mut c_void, *mut c_void),
    /// `None` where there is no snapshot.
    pub(super) resume: Option<unsafe extern "C" fn(*mut c_void)>,
    globals: *const Variable,
    global_count: u32,
    exports: *const Export,
    imports: *const Import,
    export_count: u32,
    import_count: u32,
}

/// `struct native_global`.
#[repr(C)]
struct Variable {
    offset: u32,
    size: u32,
}

/// `struct native_image`.
#[repr(C)]
pub(super) struct MappedImage {
    pub(super) file: c_int,
    pub(super) offset: u64,
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) pages: u64,
    pub(super) most: u64,
    pub(super) globals: *const u64,
}

/// `struct native_export`. Numbers lead from their own places to what they name.
#[repr(C)]
pub(super) struct Export {
    name: i32,
    code: i32,
    ty: i32,
    entry: i32,
}

/// `struct native_import`.
#[repr(C)]
pub(super) struct Import {
    name: i32,
    ty: i32,
    kind: c_uint,
}

/// `enum native_import_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImportKind {
    Function,
    Entry,
    Datum,
    Tag,
}

/// What a module exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExportKind {
    Function,
    Datum,
    Tag,
}

/// `wasm_rt_memory_t`, of wasm2c's header.
#[repr(C)]
pub(super) struct LinearMemory {
    pub(super) data: *mut u8,
    data_end: *mut u8,
    page_size: u32,
    pages: u64,
    max_pages: u64,
    /// Bytes.
    pub(super) size: u64,
    is_64: bool,
}

/// `wasm_rt_funcref_table_t`. Its entries never move.
#[repr(C)]
pub(super) struct Table {
    data: *mut Entry,
    max_size: u32,
    pub(super) size: u32,
}

/// `wasm_rt_funcref_t`: a function in a table, or nothing.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// The digest of its type.
    pub(super) ty: *const c_char,
    pub(super) code: *mut c_void,
    tail_call: *mut c_void,
    pub(super) instance: *mut c_void,
}

/// `struct native_link`: a function, and the instance that it works on.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Link {
    pub(super) code: *mut c_void,
    pub(super) instance: *mut c_void,
}

/// What a type is identified by.
pub(super) type Digest = [u8; 32];

impl Entry {
    pub(super) const NONE: Self = Self {
        ty: std::ptr::null(),
        code: std::ptr::null_mut(),
        tail_call: std::ptr::null_mut(),
        instance: std::ptr::null_mut(),
    };

    pub(super) fn new(ty: *const c_char, link: Link) -> Self {
        Self { ty, code: link.code, tail_call: std::ptr::null_mut(), instance: link.instance }
    }

    /// The function, if it has the type with this digest.
    pub(super) fn of_type(&self, ty: &Digest) -> Option<Link> {
        // SAFETY: the type of an entry is null, or a digest that stays.
        let own = unsafe { self.ty.cast::<Digest>().as_ref() }?;
        (!self.code.is_null() && own == ty).then_some(Link { code: self.code, instance: self.instance })
    }
}

impl Table {
    /// The entry at this place.
    pub(super) fn get(&self, index: u32) -> Option<Entry> {
        // SAFETY: so many entries are there.
        (index < self.size).then(|| unsafe { *self.data.add(index as usize) })
    }

    /// Changes the entry at this place; false: there is none.
    pub(super) fn set(&mut self, index: u32, entry: Entry) -> bool {
        if index >= self.size {
            return false;
        }
        // SAFETY: so many entries are there.
        unsafe { *self.data.add(index as usize) = entry };
        true
    }
}

/// The text that a field leads to.
///
/// # Safety
///
/// The field is part of a module's description.
unsafe fn text(field: &i32) -> &CStr {
    // SAFETY: that is this function's own contract.
    unsafe { CStr::from_ptr(std::ptr::from_ref(field).cast::<c_char>().wrapping_offset(*field as isize)) }
}

impl Export {
    pub(super) fn name(&self) -> &CStr {
        // SAFETY: exports are parts of descriptions.
        unsafe { text(&self.name) }
    }

    /// The function's type, as text; of a variable, empty; of a tag, `!`.
    pub(super) fn ty(&self) -> &CStr {
        // SAFETY: as above.
        unsafe { text(&self.ty) }
    }

    pub(super) fn kind(&self) -> ExportKind {
        match self.ty().to_bytes() {
            b"" => ExportKind::Datum,
            b"!" => ExportKind::Tag,
            _ => ExportKind::Function,
        }
    }

    /// The tag, if it is one.
    pub(super) fn tag(&self) -> Option<*const c_void> {
        // SAFETY: the code of a tag is a pointer that holds it, and is constant (`module.h`).
        (self.kind() == ExportKind::Tag).then(|| unsafe { *self.code().cast::<*const c_void>() })
    }

    pub(super) fn code(&self) -> *mut c_void {
        std::ptr::from_ref(&self.code).cast::<c_void>().wrapping_byte_offset(self.code as isize).cast_mut()
    }

    /// Where the module itself puts the function into the table, from the beginning of its part.
    pub(super) fn entry(&self) -> Option<u32> {
        u32::try_from(self.entry).ok()
    }
}

impl Import {
    pub(super) fn name(&self) -> &CStr {
        // SAFETY: imports are parts of descriptions.
        unsafe { text(&self.name) }
    }

    pub(super) fn ty(&self) -> &CStr {
        // SAFETY: as above.
        unsafe { text(&self.ty) }
    }

    pub(super) fn kind(&self) -> ImportKind {
        match self.kind {
            0 => ImportKind::Function,
            1 => ImportKind::Entry,
            2 => ImportKind::Datum,
            _ => ImportKind::Tag,
        }
    }
}

impl Module {
    /// The bytes of each of its globals.
    pub(super) fn global_sizes(&self) -> impl Iterator<Item = u32> {
        // SAFETY: the description is constant, and has so many.
        let globals = unsafe { slice::from_raw_parts(self.globals, self.global_count as usize) };
        globals.iter().map(|global| global.size)
    }

    fn exports(&self) -> &[Export] {
        // SAFETY: a description says how many there are, and stays.
        unsafe { slice::from_raw_parts(self.exports, self.export_count as usize) }
    }

    pub(super) fn imports(&self) -> &[Import] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts(self.imports, self.import_count as usize) }
    }

    /// What it exports under this name.
    pub(super) fn find(&self, name: &[u8]) -> Option<&Export> {
        let exports = self.exports();
        let found = exports.binary_search_by(|export| export.name().to_bytes().cmp(name));
        found.ok().map(|index| &exports[index])
    }

    /// The same, but for what is of the convention between modules and loader, and no symbol.
    pub(super) fn symbol(&self, name: &[u8]) -> Option<&Export> {
        self.find(name).filter(|_| !std::str::from_utf8(name).is_ok_and(is_reserved))
    }
}

/// A part of an instance's room, aligned as no type of C asks for more.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([u64; 8]);

/// Room for an instance of so many bytes, all zero, of the heap.
///
/// # Errors
///
/// [`Full`].
pub(super) fn room(bytes: u64) -> Result<Vec<Line>, Full> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    ACCOUNT.room_for(bytes)?;
    Ok(vec![Line([0; 8]); bytes.div_ceil(size_of::<Line>())])
}

/// A shared object, which stays for the life of this process.
pub(super) struct Object(*mut c_void);

/// The symbols of a shared object, and of those that it was linked with.
#[derive(Clone, Copy, Debug)]
pub struct Symbols(usize);

impl Symbols {
    /// The address of a symbol, in this thread if each has its own.
    pub(super) fn find(self, name: &CStr) -> Option<usize> {
        // SAFETY: the object is loaded, the name is a C string.
        let address = unsafe { libc::dlsym(std::ptr::with_exposed_provenance_mut(self.0), name.as_ptr()) };
        (!address.is_null()).then(|| address.expose_provenance())
    }
}

impl Object {
    /// Loads an open file: the dynamic linker gets it by its descriptor, so that no other file can
    /// take its place.
    ///
    /// # Safety
    ///
    /// The file is native code, and its constructors run.
    pub(super) unsafe fn open(file: &File) -> Result<Self, EngineError> {
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
        // SAFETY: the path is a C string; the rest is this function's own contract.
        let object = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if object.is_null() { Err(said()) } else { Ok(Self(object)) }
    }

    pub(super) fn symbols(&self) -> Symbols {
        Symbols(self.0.expose_provenance())
    }

    /// The address of a symbol, as a pointer or reference `T`.
    ///
    /// # Safety
    ///
    /// What the symbol names has to be what `T` points to, for the life of this process.
    pub(super) unsafe fn symbol<T>(&self, name: &CStr) -> Result<T, EngineError> {
        const { assert!(size_of::<T>() == size_of::<*mut c_void>()) };
        // SAFETY: the object is loaded, the name is a C string.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if address.is_null() {
            return Err(said());
        }
        // SAFETY: `T` has the size of an address, which is not null; the rest is this function's
        // own contract.
        Ok(unsafe { std::mem::transmute_copy(&address) })
    }
}

/// The dynamic linker's last error.
fn said() -> EngineError {
    // SAFETY: gives this thread's text, or null; it is copied before the next call.
    let text = unsafe {
        let text = libc::dlerror();
        if text.is_null() { c"it says nothing".to_owned() } else { CStr::from_ptr(text).to_owned() }
    };
    EngineError::Compiled(format!("the dynamic linker: {}", text.to_string_lossy()))
}
