//! Reading a side module: its needs, imports and limits.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use wasmparser::{
    BinaryReaderError, ConstExpr, DataKind, Dylink0Subsection, ElementKind, ExternalKind, Imports, KnownCustom,
    Operator, Parser, Payload, RefType, SymbolFlags, TypeRef, ValType,
};

use super::table_index::{Placed, TableIndex};
use crate::account::{ACCOUNT, Full};
use crate::translate::own::OwnFunctions;

/// Bytes of the largest function body that is compiled at run time: the compiler's time grows
/// faster than a function.
pub const FUNCTION_BYTES_MAX: usize = 1 << 19;
/// Most local variables of one function, and most of them times its bytes, for the same reason:
/// where paths meet, each may need a value.
const LOCALS_MAX: u32 = 5_000;
const LOCALS_TIMES_BYTES_MAX: u64 = 1 << 28;
/// Most functions, imports, exports, globals and segments of one module: each costs the host memory
/// before the guest's limits apply.
const FUNCTIONS_MAX: u32 = 200_000;
const IMPORTS_MAX: u32 = 50_000;
const EXPORTS_MAX: u32 = 200_000;
const GLOBALS_MAX: u32 = 100_000;
const SEGMENTS_MAX: u32 = 10_000;
const NEEDED_MAX: usize = 256;
const TAGS_MAX: u32 = 1000;
const DYLINK_MAX: u32 = 1 << 20;
/// Bytes of memory that a byte of the section `dylink.0` may take: the shortest name has one.
const DYLINK_COST: usize = 32;
/// How often a name is held at once.
const NAME_COPIES: usize = 3;
/// Bytes of memory that a function, global, type or export takes while it is read, its name aside.
const ITEM_COST: usize = 128;
const NAME_MAX: u32 = 4096;
const RUNTIME_PATHS_MAX: u32 = 64;
const TYPES_MAX: u32 = 50_000;
/// Largest alignment, as a power of two: a page of memory.
const ALIGNMENT_MAX: u32 = 16;
/// Says how [`SideModule::to_bytes`] writes: a number for each change of the types.
const FORM: u8 = 3;
/// Most entries of the table that one module may ask for.
const TABLE_MAX: u32 = 1 << 20;

/// Room that a module asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// Bytes, or entries of the table.
    pub size: u32,
    /// A power of two, in the same unit.
    pub alignment: u32,
}

/// What a module imports, in its own order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Import {
    /// The program's memory.
    Memory,
    /// The program's table.
    Table,
    /// The stack pointer.
    StackPointer,
    /// The address of the module's memory area.
    MemoryBase,
    /// The index of the module's table area.
    TableBase,
    /// A cell that is to hold the address of a datum.
    GotMemory(String),
    /// A cell that is to hold the table index of a function.
    GotFunction(String),
    /// A function of the program or of another module.
    Function(String),
    /// A function of the host: import module and name.
    Host(String, String),
    /// A tag of exceptions.
    Tag(String),
}

impl Import {
    /// The name that it is imported by, for those that have one of their own; else nothing.
    pub fn name(&self) -> &str {
        match self {
            Self::GotMemory(name)
            | Self::GotFunction(name)
            | Self::Function(name)
            | Self::Host(_, name)
            | Self::Tag(name) => name,
            _ => "",
        }
    }
}

/// What the bytes of a side module say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideModule {
    /// Memory to be put at `__memory_base`.
    pub memory: Area,
    /// Table entries to be put at `__table_base`.
    pub table: Area,
    /// Names of modules that have to be loaded with it.
    pub needed: Vec<String>,
    /// Directories to look for them.
    pub runtime_paths: Vec<String>,
    /// All imports.
    pub imports: Vec<Import>,
    /// Functions, globals and exports.
    items: u64,
    /// Symbols that may be missing.
    weak: HashSet<String>,
    /// Whether data has to be relocated, by `__wasm_apply_data_relocs`.
    pub relocates: bool,
    /// Whether there are constructors, called by `__wasm_call_ctors`.
    pub constructs: bool,
    /// Where the module's part of the table has its exported functions.
    pub entries: TableIndex,
}

/// Why bytes are no side module that is loaded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SideError {
    /// They are no module, or a damaged one.
    #[error("it is no valid WebAssembly module: {0}")]
    Invalid(#[from] BinaryReaderError),
    /// A module, but not one to be loaded into another.
    #[error("it is no shared library (it has no section `dylink.0` at its beginning); link it with `-shared`")]
    NotShared,
    /// It asks for more than is given.
    #[error("it is too large: more than {1} {0}")]
    Limit(&'static str, u64),
    /// It has a part that a side module must not have.
    #[error("it {0}, which no shared library does")]
    Forbidden(&'static str),
    /// What it says takes more memory than the guest has left.
    #[error(transparent)]
    Full(#[from] Full),
    /// An import of a kind or place that is not known.
    #[error("it imports `{0}.{1}` as {2}, which nothing provides")]
    Import(String, String, &'static str),
}

impl SideModule {
    /// Reads a module. It need not be valid; a compiler finds what is wrong with its functions.
    ///
    /// # Errors
    ///
    /// [`SideError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SideError> {
        let mut reader = Reader::default();
        let mut payloads = Parser::new(0).parse_all(bytes);
        match payloads.next().transpose()? {
            Some(Payload::Version { encoding: wasmparser::Encoding::Module, .. }) => {}
            _ => return Err(SideError::NotShared),
        }
        match payloads.next().transpose()? {
            Some(Payload::CustomSection(section)) => match section.as_known() {
                KnownCustom::Dylink0(parts) => {
                    // Its lists are read whole before they can be counted.
                    limit("bytes of the section `dylink.0`", section.data().len() as u64, DYLINK_MAX)?;
                    ACCOUNT.room_for(section.data().len() * DYLINK_COST)?;
                    reader.dylink(parts)?;
                }
                _ => return Err(SideError::NotShared),
            },
            _ => return Err(SideError::NotShared),
        }
        for payload in payloads {
            reader.payload(payload?)?;
        }
        Ok(reader.finish())
    }

    /// What was read, as bytes for [`SideModule::from_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        // Names and numbers can always be written; no bytes would be read as nothing.
        postcard::to_extend(self, vec![FORM]).unwrap_or_default()
    }

    /// What [`SideModule::to_bytes`] gave; `None` for anything else, such as what another version
    /// of the loader wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&form, rest) = bytes.split_first()?;
        let (module, rest) = postcard::take_from_bytes(rest).ok().filter(|_| form == FORM)?;
        rest.is_empty().then_some(module)
    }

    /// What the module costs the host besides its bytes, in units of a function: an import may need
    /// a cell or a function of its own.
    pub fn weight(&self) -> usize {
        usize::try_from(self.items).unwrap_or(usize::MAX).saturating_add(8 * self.imports.len())
    }

    /// Whether the module does without this symbol.
    pub fn is_weak(&self, name: &str) -> bool {
        self.weak.contains(name)
    }
}

#[derive(Default)]
struct Reader {
    module: SideModule,
    globals: u32,
    memory_base: Option<u32>,
    table_base: Option<u32>,
    /// Functions that are exported, by name and number, and where the module's part of the table
    /// has them.
    exported: Vec<(String, u32)>,
    own: OwnFunctions,
    placed: Placed,
}

fn limit(what: &'static str, count: impl Into<u64>, most: impl Into<u64>) -> Result<(), SideError> {
    let most = most.into();
    if count.into() <= most { Ok(()) } else { Err(SideError::Limit(what, most)) }
}

impl Reader {
    fn finish(mut self) -> SideModule {
        self.module.entries =
            self.placed.index(self.exported.iter().map(|(name, function)| (name.as_str(), *function)));
        self.module
    }

    fn dylink(&mut self, section: wasmparser::Dylink0SectionReader<'_>) -> Result<(), SideError> {
        for part in section {
            match part? {
                Dylink0Subsection::MemInfo(info) => {
                    limit("bits of alignment", info.memory_alignment.max(info.table_alignment), ALIGNMENT_MAX)?;
                    limit("entries of the table", info.table_size, TABLE_MAX)?;
                    self.module.memory = Area { size: info.memory_size, alignment: 1 << info.memory_alignment };
                    self.module.table = Area { size: info.table_size, alignment: 1 << info.table_alignment };
                }
                Dylink0Subsection::Needed(names) => {
                    self.module.needed.extend(names.into_iter().map(str::to_owned));
                    limit("needed libraries", self.module.needed.len() as u64, NEEDED_MAX as u64)?;
                    for name in &self.module.needed {
                        limit("bytes of a needed library's name", name.len() as u64, NAME_MAX)?;
                    }
                }
                Dylink0Subsection::RuntimePath(paths) => {
                    self.module.runtime_paths.extend(paths.into_iter().map(str::to_owned));
                    limit("runtime paths", self.module.runtime_paths.len() as u64, RUNTIME_PATHS_MAX)?;
                    let paths = &self.module.runtime_paths;
                    for paths in paths {
                        limit("bytes of a runtime path", paths.len() as u64, NAME_MAX)?;
                    }
                    let parts: usize = paths.iter().map(|paths| paths.split(':').count()).sum();
                    limit("runtime paths", parts as u64, RUNTIME_PATHS_MAX)?;
                }
                Dylink0Subsection::ImportInfo(infos) => {
                    let weak = infos.into_iter().filter(|i| i.flags.contains(SymbolFlags::BINDING_WEAK));
                    self.module.weak.extend(weak.map(|i| i.field.to_owned()));
                }
                Dylink0Subsection::ExportInfo(infos) => {
                    if infos.iter().any(|i| i.flags.contains(SymbolFlags::TLS)) {
                        return Err(SideError::Forbidden("exports a thread-local variable"));
                    }
                }
                Dylink0Subsection::Unknown { .. } => {}
            }
        }
        Ok(())
    }

    fn items(&mut self, what: &'static str, count: u32, most: u32) -> Result<(), SideError> {
        self.module.items += u64::from(count);
        limit(what, count, most)?;
        Ok(ACCOUNT.room_for(count as usize * ITEM_COST)?)
    }

    fn payload(&mut self, payload: Payload<'_>) -> Result<(), SideError> {
        match payload {
            Payload::ImportSection(section) => {
                limit("imports", section.count(), IMPORTS_MAX)?;
                ACCOUNT.room_for(section.count() as usize * ITEM_COST + section.range().len() * NAME_COPIES)?;
                for import in section {
                    // What is written in one entry for many would be many times as long when it is
                    // read.
                    let Imports::Single(_, import) = import? else {
                        return Err(SideError::Forbidden("has imports in a compact form"));
                    };
                    self.own.import(import.module, import.name, import.ty);
                    let known = self.import(import.module, import.name, import.ty)?;
                    self.module.imports.push(known);
                    limit("imports", self.module.imports.len() as u64, IMPORTS_MAX)?;
                }
            }
            Payload::MemorySection(section) if section.count() > 0 => {
                return Err(SideError::Forbidden("has a memory of its own"));
            }
            Payload::TableSection(section) if section.count() > 0 => {
                return Err(SideError::Forbidden("has a table of its own"));
            }
            Payload::TagSection(section) => self.items("tags of exceptions", section.count(), TAGS_MAX)?,
            Payload::StartSection { .. } => return Err(SideError::Forbidden("has a start function")),
            Payload::TypeSection(section) => {
                // The engine keeps a type by its parameters, of which each is a byte here.
                self.module.items += 3 * u64::from(section.count()) + section.range().len() as u64 / 2;
                self.items("types", section.count(), TYPES_MAX)?;
            }
            Payload::FunctionSection(section) => self.items("functions", section.count(), FUNCTIONS_MAX)?,
            Payload::GlobalSection(section) => self.items("globals", section.count(), GLOBALS_MAX)?,
            Payload::ExportSection(section) => {
                self.items("exports", section.count(), EXPORTS_MAX)?;
                ACCOUNT.room_for(section.range().len() * NAME_COPIES)?;
                for export in section {
                    let export = export?;
                    let function = export.kind == ExternalKind::Func;
                    if function {
                        self.own.export(export.name, export.index);
                        self.exported.push((export.name.to_owned(), export.index));
                    }
                    self.module.relocates |= function && export.name == "__wasm_apply_data_relocs";
                    self.module.constructs |= function && export.name == "__wasm_call_ctors";
                }
                // They come before the table's segments.
                let placed = Placed::of(self.exported.iter().map(|(_, function)| *function));
                self.placed = placed.with_own(std::mem::take(&mut self.own));
            }
            Payload::ElementSection(section) => {
                limit("element segments", section.count(), SEGMENTS_MAX)?;
                for element in section {
                    let element = element?;
                    let count = match &element.items {
                        wasmparser::ElementItems::Functions(items) => items.count(),
                        wasmparser::ElementItems::Expressions(_, items) => items.count(),
                    };
                    // Those that are not active are kept for as long as the module is.
                    self.items("entries of an element segment", count, TABLE_MAX)?;
                    if let ElementKind::Active { offset_expr, .. } = element.kind {
                        let start = within(&offset_expr, self.table_base, count.into(), self.module.table.size)
                            .ok_or(SideError::Forbidden("fills table entries outside its own"))?;
                        self.placed.add(start, element.items)?;
                    }
                }
            }
            Payload::DataSection(section) => {
                limit("data segments", section.count(), SEGMENTS_MAX)?;
                for data in section {
                    let data = data?;
                    if let DataKind::Active { offset_expr, .. } = data.kind {
                        within(&offset_expr, self.memory_base, data.data.len() as u64, self.module.memory.size)
                            .ok_or(SideError::Forbidden("has data outside its own memory"))?;
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                let mut locals = 0u32;
                limit("bytes in one function", body.range().len() as u64, FUNCTION_BYTES_MAX as u64)?;
                for local in body.get_locals_reader()? {
                    locals = locals.saturating_add(local?.0);
                }
                limit("local variables in one function", locals, LOCALS_MAX)?;
                let product = u64::from(locals) * body.range().len() as u64;
                limit("local variables times bytes in one function", product, LOCALS_TIMES_BYTES_MAX)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, module: &str, name: &str, ty: TypeRef) -> Result<Import, SideError> {
        let unknown = |kind| SideError::Import(module.to_owned(), name.to_owned(), kind);
        match ty {
            TypeRef::Func(_) | TypeRef::FuncExact(_) => Ok(match module {
                "env" => Import::Function(name.to_owned()),
                _ => Import::Host(module.to_owned(), name.to_owned()),
            }),
            TypeRef::Memory(m) if (module, name) == ("env", "memory") => match (m.memory64, m.shared) {
                (true, _) => Err(SideError::Forbidden("needs a 64-bit memory")),
                (_, true) => Err(SideError::Forbidden("needs a shared memory")),
                _ => Ok(Import::Memory),
            },
            TypeRef::Table(t) if (module, name) == ("env", "__indirect_function_table") => {
                if t.table64 || t.shared || t.element_type != RefType::FUNCREF {
                    return Err(SideError::Forbidden("needs a table of another kind"));
                }
                Ok(Import::Table)
            }
            TypeRef::Global(g) => {
                let index = self.globals;
                self.globals += 1;
                let fits = g.content_type == ValType::I32 && !g.shared;
                match (module, name, g.mutable) {
                    ("env", "__stack_pointer", true) if fits => Ok(Import::StackPointer),
                    ("env", "__memory_base", false) if fits => {
                        self.memory_base = Some(index);
                        Ok(Import::MemoryBase)
                    }
                    ("env", "__table_base", false) if fits => {
                        self.table_base = Some(index);
                        Ok(Import::TableBase)
                    }
                    ("GOT.mem", _, true) if fits => Ok(Import::GotMemory(name.to_owned())),
                    ("GOT.func", _, true) if fits => Ok(Import::GotFunction(name.to_owned())),
                    _ => Err(unknown("a global of this type")),
                }
            }
            TypeRef::Memory(_) => Err(unknown("a memory")),
            TypeRef::Table(_) => Err(unknown("a table")),
            TypeRef::Tag(_) if module == "env" => Ok(Import::Tag(name.to_owned())),
            TypeRef::Tag(_) => Err(unknown("a tag")),
        }
    }
}

/// Where in the module's area the offset lies, if `length` from there does too: the offset is the
/// base, or the base and a constant.
fn within(offset: &ConstExpr<'_>, base: Option<u32>, length: u64, size: u32) -> Option<u32> {
    let mut operators = offset.get_operators_reader();
    let (mut saw_base, mut constant) = (false, 0);
    loop {
        match operators.read().ok()? {
            Operator::GlobalGet { global_index } if Some(global_index) == base && !saw_base => saw_base = true,
            Operator::I32Const { value } if constant == 0 => constant = u64::try_from(value).ok()?,
            Operator::I32Add => {}
            Operator::End => break,
            _ => return None,
        }
    }
    let fits = length == 0 || (saw_base && constant + length <= u64::from(size));
    u32::try_from(constant).ok().filter(|_| fits)
}
