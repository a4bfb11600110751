//! Exceptions as compilers of C++ still write them, made into those of the standard.
//!
//! WebAssembly had exceptions before its standard did: `try … catch … end`, `delegate` and
//! `rethrow` ([legacy]). clang 19 emits nothing else, and the engine compiles only what the
//! standard has in their place: `try_table`, and references to exceptions that `throw_ref` throws
//! again ([standard]). [`to_standard`] writes a module anew.
//!
//! Only function bodies change, and the section of types, which gets those of some blocks. What the
//! text says of `try` is true of the blocks that it becomes:
//!
//! ```text
//! try T                       block $done T
//!                               block $handler (parameters of $tag)
//!                                 try_table T (catch $tag $handler)
//!   body                            body
//!                                 end
//!                                 br $done
//! catch $tag                    end
//!   handler                     handler
//! end                         end
//! ```
//!
//! With several clauses there are as many handler blocks, the first clause's innermost. A clause
//! that `rethrow` names takes the reference as well, and keeps it in a new local variable.
//! `delegate` throws an exception on as if it had been thrown in an outer `try`: this one gets a
//! block around its body that takes the reference and throws it, and the inner one's `try_table`
//! leads there.
//!
//! [legacy]:
//! <https://github.com/WebAssembly/exception-handling/blob/main/proposals/exception-handling/legacy/Exceptions.md>
//! [standard]:
//! <https://webassembly.github.io/spec/core/syntax/instructions.html#control-instructions>

mod body;
mod survey;

use std::collections::HashMap;

use wasmparser::{CompositeInnerType, FunctionBody, Parser, Payload, TypeRef, ValType};

use super::write::{self, Bytes};
use super::{TranslateError, section};

/// Gives the module with exceptions of the standard in place of older ones; `None` if it has none
/// of these.
///
/// # Errors
///
/// [`TranslateError`].
pub(super) fn to_standard(wasm: &[u8]) -> Result<Option<Vec<u8>>, TranslateError> {
    let mut module = Module::default();
    let mut sections = Vec::new();
    let mut code = Bytes::default();
    let mut changed = false;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if let Some((id, range)) = payload.as_section() {
            super::once(&sections, id)?;
            sections.push((id, range));
        }
        match &payload {
            Payload::CodeSectionStart { count, .. } => code.number(*count),
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                let translated = module.body(wasm, body)?;
                changed |= translated.is_some();
                match translated {
                    Some(bytes) => code.sized(&bytes),
                    None => code.sized(wasm.get(range).unwrap_or_default()),
                }
            }
            _ => module.note(payload)?,
        }
    }
    if !changed {
        return Ok(None);
    }
    let mut out = Bytes::from(wasm.get(..8).unwrap_or_default());
    for (id, range) in sections {
        out.byte(id);
        match id {
            section::TYPES => out.sized(&module.types_section(wasm.get(range).unwrap_or_default())?),
            section::CODE => out.sized(code.as_slice()),
            _ => out.sized(wasm.get(range).unwrap_or_default()),
        }
    }
    Ok(Some(out.into()))
}

/// What no compiler writes.
fn unusual(what: &'static str) -> TranslateError {
    TranslateError::Exceptions(what)
}

/// What a module says before its code.
#[derive(Default)]
struct Module {
    /// For each type its parameters, if it is a function's.
    types: Vec<Option<Vec<ValType>>>,
    /// The types of the functions that have a body, in order, and how many have been met.
    functions: Vec<u32>,
    met: usize,
    /// The types of the tags.
    tags: Vec<u32>,
    /// Types that are added: the results of blocks without parameters, encoded; and their numbers
    /// among the added ones.
    added: Vec<Vec<u8>>,
    known: HashMap<Vec<u8>, u32>,
}

impl Module {
    fn note(&mut self, payload: Payload<'_>) -> Result<(), TranslateError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    self.types.extend(group?.types().map(|ty| match &ty.composite_type.inner {
                        CompositeInnerType::Func(function) => Some(function.params().to_vec()),
                        _ => None,
                    }));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Tag(tag) = import?.ty {
                        self.tags.push(tag.func_type_idx);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for function in section {
                    self.functions.push(function?);
                }
            }
            Payload::TagSection(section) => {
                for tag in section {
                    self.tags.push(tag?.func_type_idx);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The next function's body anew; `None` if it has no exceptions of the older kind.
    fn body(&mut self, wasm: &[u8], body: &FunctionBody<'_>) -> Result<Option<Vec<u8>>, TranslateError> {
        let ty = self.functions.get(self.met).copied();
        self.met += 1;
        let Some(survey) = survey::Survey::of(body)? else { return Ok(None) };
        let parameters = ty.and_then(|ty| self.parameters(ty)).ok_or(unusual("has no types"))?;
        let parameters = u32::try_from(parameters.len()).unwrap_or(u32::MAX);
        body::translate(self, wasm, body, &survey, parameters).map(Some)
    }

    fn parameters(&self, ty: u32) -> Option<&[ValType]> {
        self.types.get(ty as usize)?.as_deref()
    }

    /// The type of the block that a clause leads to, encoded: what its tag has, and the reference
    /// if the clause takes it.
    fn handler_type(&mut self, tag: Option<u32>, reference: bool) -> Result<Vec<u8>, TranslateError> {
        let mut results = Vec::new();
        if let Some(tag) = tag {
            let parameters = self.tags.get(tag as usize).and_then(|&ty| self.parameters(ty));
            for parameter in parameters.ok_or(unusual("has tags without a type"))? {
                results.push(value_type(*parameter)?);
            }
        }
        if reference {
            results.push(write::EXNREF);
        }
        match results.as_slice() {
            [] => Ok(vec![write::NO_RESULT]),
            [_] => Ok(results),
            _ => {
                let number = match self.known.get(&results) {
                    Some(&number) => number,
                    None => {
                        let number = u32::try_from(self.added.len()).unwrap_or(u32::MAX);
                        self.added.push(results.clone());
                        self.known.insert(results, number);
                        number
                    }
                };
                let index = i64::try_from(self.types.len()).unwrap_or(i64::MAX).saturating_add(number.into());
                let mut encoded = Bytes::default();
                encoded.signed(index);
                Ok(encoded.into())
            }
        }
    }

    /// The section of types with those that were added.
    fn types_section(&self, section: &[u8]) -> Result<Vec<u8>, TranslateError> {
        let mut reader = wasmparser::BinaryReader::new(section, 0);
        let groups = reader.read_var_u32()?;
        let added = u32::try_from(self.added.len()).unwrap_or(u32::MAX);
        let mut out = Bytes::default();
        out.number(groups.saturating_add(added));
        out.raw(section.get(reader.current_position()..).unwrap_or_default());
        for results in &self.added {
            // A function without parameters.
            out.raw(&[0x60, 0]);
            out.sized(results);
        }
        Ok(out.into())
    }
}

/// A type of values, encoded.
fn value_type(ty: ValType) -> Result<u8, TranslateError> {
    match ty {
        ValType::I32 => Ok(0x7f),
        ValType::I64 => Ok(0x7e),
        ValType::F32 => Ok(0x7d),
        ValType::F64 => Ok(0x7c),
        ValType::V128 => Ok(0x7b),
        ValType::Ref(_) => Err(unusual("has references in a `try`")),
    }
}
