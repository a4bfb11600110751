//! Binding a library's own functions to it.
//!
//! `wasm-ld -Bsymbolic` binds all functions of a library but those that C++ may define in several
//! (inline functions, templates, `operator new`): these the library exports, and imports them as
//! well. The loader would have to give a library functions of its own before it exists; and some
//! from the program, if that has them, beside data and other functions of the library's. So calls
//! of such an import, and table entries for it, become those of the function that is exported under
//! its name. The import stays, unused.

use std::collections::HashMap;
use std::ops::Range;

use wasmparser::{ElementItems, ExternalKind, FunctionBody, KnownCustom, Operator, Parser, Payload, TypeRef};

use super::write::{Bytes, operator};
use super::{TranslateError, section};

/// For imported functions those that take their places, by number.
#[derive(Debug, Default)]
pub(crate) struct OwnFunctions {
    imported: HashMap<String, u32>,
    count: u32,
    own: HashMap<u32, u32>,
}

impl OwnFunctions {
    /// Notes an import, in their order.
    pub(crate) fn import(&mut self, module: &str, name: &str, ty: TypeRef) {
        if let TypeRef::Func(_) | TypeRef::FuncExact(_) = ty {
            if module == "env" {
                self.imported.insert(name.to_owned(), self.count);
            }
            self.count = self.count.saturating_add(1);
        }
    }

    /// Notes a function that is exported.
    pub(crate) fn export(&mut self, name: &str, function: u32) {
        if let Some(&imported) = self.imported.get(name)
            && function >= self.count
        {
            self.own.insert(imported, function);
        }
    }

    /// The function that this number stands for.
    pub(crate) fn resolve(&self, function: u32) -> u32 {
        self.own.get(&function).copied().unwrap_or(function)
    }
}

/// A number of the module that is another one, and where it stands.
type Edit = (Range<usize>, u32);

/// Gives a library whose own functions are bound to it; `None` if they are, or it is no library.
pub(super) fn bound(wasm: &[u8]) -> Result<Option<Vec<u8>>, TranslateError> {
    let mut functions = OwnFunctions::default();
    let mut sections = Vec::new();
    let (mut code, mut elements) = (Bytes::default(), Vec::new());
    let mut first = true;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if let Some((id, range)) = payload.as_section() {
            let is_library = matches!(&payload, Payload::CustomSection(custom) if matches!(custom.as_known(), KnownCustom::Dylink0(_)));
            if std::mem::take(&mut first) && !is_library {
                return Ok(None);
            }
            super::once(&sections, id)?;
            sections.push((id, range));
        }
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    functions.import(import.module, import.name, import.ty);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        functions.export(export.name, export.index);
                    }
                }
                if functions.own.is_empty() {
                    return Ok(None);
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    if let ElementItems::Functions(items) = element?.items {
                        let mut items = items.into_iter();
                        let mut end = items.original_position();
                        while let Some(function) = items.next() {
                            let start = std::mem::replace(&mut end, items.original_position());
                            note(&mut elements, &functions, start..end, function?);
                        }
                    }
                }
            }
            Payload::CodeSectionStart { count, .. } => code.number(count),
            Payload::CodeSectionEntry(body) => code.sized(&edited(wasm, body.range(), &edits(&functions, &body)?)),
            _ => {}
        }
    }
    let mut out = Bytes::from(wasm.get(..8).unwrap_or_default());
    for (id, range) in sections {
        out.byte(id);
        match id {
            section::ELEMENTS => out.sized(&edited(wasm, range, &elements)),
            section::CODE => out.sized(code.as_slice()),
            _ => out.sized(wasm.get(range).unwrap_or_default()),
        }
    }
    Ok(Some(out.into()))
}

fn note(edits: &mut Vec<Edit>, functions: &OwnFunctions, at: Range<usize>, function: u32) {
    let own = functions.resolve(function);
    if own != function {
        edits.push((at, own));
    }
}

/// The numbers in a function's body that are to be changed.
fn edits(functions: &OwnFunctions, body: &FunctionBody<'_>) -> Result<Vec<Edit>, TranslateError> {
    let mut edits = Vec::new();
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        // An operator of one byte, and its number.
        let start = operators.original_position() + operator::LENGTH;
        match operators.read()? {
            Operator::Call { function_index }
            | Operator::ReturnCall { function_index }
            | Operator::RefFunc { function_index } => {
                note(&mut edits, functions, start..operators.original_position(), function_index);
            }
            _ => {}
        }
    }
    Ok(edits)
}

/// A range of the module with its numbers changed.
fn edited(wasm: &[u8], range: Range<usize>, edits: &[Edit]) -> Vec<u8> {
    let mut out = Bytes::default();
    let mut from = range.start;
    for (at, number) in edits {
        out.raw(wasm.get(from..at.start).unwrap_or_default());
        out.number(*number);
        from = at.end;
    }
    out.raw(wasm.get(from..range.end).unwrap_or_default());
    out.into()
}
