//! Where a module has its functions in the table.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use wasmparser::{BinaryReaderError, ConstExpr, ElementItems, ElementKind, ExternalKind, Operator, Parser, Payload};

use crate::translate::own::OwnFunctions;

/// Says how the bytes are laid out: a number for each change.
const FORM: u8 = 1;
/// Bytes before the entries (form, count), and of an entry (end of its name, table entry).
const HEAD: usize = 5;
const ENTRY: usize = 8;

/// The table entries of a module's exported functions, by their names; a library's are counted from
/// the beginning of its own part. Who takes the address of one must get that entry, and looking for
/// it in the interpreter's table took a third of the loading of lxml.
///
/// It says what the module's bytes say: code that changes the table makes it wrong, so each answer
/// has to be compared with the table.
///
/// As bytes: a number for the form, the count, for each name where it ends and the function's
/// entry, in the order of the names, then the names; all numbers but the first are little-endian,
/// of four bytes. It is searched as it is: a load asks for few of the names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct TableIndex {
    bytes: Vec<u8>,
    count: usize,
}

impl Default for TableIndex {
    fn default() -> Self {
        Self::write(&[])
    }
}

impl From<TableIndex> for Vec<u8> {
    fn from(index: TableIndex) -> Self {
        index.bytes
    }
}

/// The bytes are no index, or one of another form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no index of a table")]
pub struct NoIndex;

impl TryFrom<Vec<u8>> for TableIndex {
    type Error = NoIndex;

    fn try_from(bytes: Vec<u8>) -> Result<Self, NoIndex> {
        let (&[form, count @ ..], _) = bytes.split_first_chunk::<HEAD>().ok_or(NoIndex)?;
        let count = usize::try_from(u32::from_le_bytes(count)).map_err(|_| NoIndex)?;
        let needed = count.checked_mul(ENTRY).and_then(|entries| entries.checked_add(HEAD));
        let whole = form == FORM && needed.is_some_and(|needed| needed <= bytes.len());
        if whole { Ok(Self { bytes, count }) } else { Err(NoIndex) }
    }
}

impl TableIndex {
    /// Reads a program that exports its table under this name; `None` if it does not.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes, if they are no module.
    pub fn of(wasm: &[u8], table: &str) -> Result<Option<Self>, BinaryReaderError> {
        let (mut exported, mut functions, mut segments) = (None, Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        match export.kind {
                            ExternalKind::Func => functions.push((export.name, export.index)),
                            ExternalKind::Table if export.name == table => exported = Some(export.index),
                            _ => {}
                        }
                    }
                }
                Payload::ElementSection(elements) => {
                    for element in elements {
                        let element = element?;
                        let ElementKind::Active { table_index, offset_expr } = element.kind else { continue };
                        let Some(start) = constant(&offset_expr) else { continue };
                        segments.push((table_index.unwrap_or(0), start, element.items));
                    }
                }
                _ => {}
            }
        }
        let Some(exported) = exported else { return Ok(None) };
        let mut placed = Placed::of(functions.iter().map(|(_, function)| *function));
        for (_, start, items) in segments.into_iter().filter(|s| s.0 == exported) {
            placed.add(start, items)?;
        }
        Ok(Some(placed.index(functions)))
    }

    fn write(entries: &[(&str, u32)]) -> Self {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let mut bytes = vec![FORM];
        bytes.extend(number(entries.len()));
        let mut end = 0;
        for (name, entry) in entries {
            end += name.len();
            bytes.extend(number(end));
            bytes.extend(entry.to_le_bytes());
        }
        bytes.extend(entries.iter().flat_map(|(name, _)| name.bytes()));
        Self { bytes, count: entries.len() }
    }

    /// The index as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The entry of the function of this name; `None` if it has none.
    pub fn entry(&self, name: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            match self.name(middle)?.cmp(name.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.number(HEAD + middle * ENTRY + 4),
            }
        }
        None
    }

    fn name(&self, at: usize) -> Option<&[u8]> {
        let end = |at: usize| usize::try_from(self.number(HEAD + at * ENTRY)?).ok();
        let start = if at == 0 { 0 } else { end(at - 1)? };
        self.bytes.get(HEAD + self.count * ENTRY..)?.get(start..end(at)?)
    }

    fn number(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }
}

/// The function that an expression is a reference to.
fn reference(expression: &ConstExpr<'_>) -> Option<u32> {
    match expression.get_operators_reader().read().ok()? {
        Operator::RefFunc { function_index } => Some(function_index),
        _ => None,
    }
}

fn constant(expression: &ConstExpr<'_>) -> Option<u32> {
    let mut operators = expression.get_operators_reader();
    match (operators.read().ok()?, operators.read().ok()?) {
        (Operator::I32Const { value }, Operator::End) => Some(value.cast_unsigned()),
        _ => None,
    }
}

/// Where segments put some functions, the first place of each.
#[derive(Default)]
pub(super) struct Placed {
    entries: HashMap<u32, Option<u32>>,
    own: OwnFunctions,
}

impl Placed {
    /// For these functions, which have no place yet. All others are passed over: a hostile segment
    /// may name any number of them.
    pub(super) fn of(functions: impl IntoIterator<Item = u32>) -> Self {
        Self { entries: functions.into_iter().map(|function| (function, None)).collect(), own: OwnFunctions::default() }
    }

    /// Of a library, whose segments may have imports in the places of its own functions.
    #[must_use]
    pub(super) fn with_own(self, own: OwnFunctions) -> Self {
        Self { own, ..self }
    }

    /// Looks through a segment, whose first function has the entry `start`.
    pub(super) fn add(&mut self, start: u32, items: ElementItems<'_>) -> Result<(), BinaryReaderError> {
        let mut note = |function: u32, entry: u32| {
            if let Some(place @ None) = self.entries.get_mut(&self.own.resolve(function)) {
                *place = Some(entry);
            }
        };
        let entries = start..=u32::MAX;
        match items {
            ElementItems::Functions(items) => {
                for (function, entry) in items.into_iter().zip(entries) {
                    note(function?, entry);
                }
            }
            ElementItems::Expressions(_, items) => {
                for (expression, entry) in items.into_iter().zip(entries) {
                    if let Some(function) = reference(&expression?) {
                        note(function, entry);
                    }
                }
            }
        }
        Ok(())
    }

    /// The index of these exported functions: names and numbers.
    pub(super) fn index<'a>(&self, exports: impl IntoIterator<Item = (&'a str, u32)>) -> TableIndex {
        let found = exports.into_iter().filter_map(|(name, function)| Some((name, (*self.entries.get(&function)?)?)));
        let mut found: Vec<(&str, u32)> = found.collect();
        found.sort_unstable();
        TableIndex::write(&found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = r#"(module
        (import "a" "b" (func $imported))
        (table (export "other") 8 funcref)
        (table $table (export "table") 8 funcref)
        (func $one) (func $two) (func $three)
        (export "one" (func $one)) (export "alias" (func $one)) (export "two" (func $two)) (export "three" (func $three))
        (export "imported" (func $imported)) (export "" (func $two))
        (elem (table 0) (i32.const 0) func $three)
        (elem (table $table) (i32.const 2) func $two $imported)
        (elem (table $table) (i32.const 5) funcref (ref.null func) (ref.func $one))
        (elem (table $table) (i32.const 7) func $two)
        (elem declare func $three))"#;

    #[test]
    fn exported_functions_are_found_where_segments_put_them() {
        let index = TableIndex::of(&wat::parse_str(PROGRAM).unwrap(), "table").unwrap().unwrap();
        let index = TableIndex::try_from(index.as_bytes().to_vec()).unwrap();
        let all = ["two", "imported", "one", "alias", "", "three", "tw", "twoo", "zero"].map(|name| index.entry(name));
        assert_eq!(all, [Some(2), Some(3), Some(6), Some(6), Some(2), None, None, None, None]);
        assert_eq!(TableIndex::of(&wat::parse_str(PROGRAM).unwrap(), "nothing").unwrap(), None);
    }

    #[test]
    fn damaged_bytes_have_no_answers_that_are_not_there() {
        let bytes = TableIndex::of(&wat::parse_str(PROGRAM).unwrap(), "table").unwrap().unwrap().as_bytes().to_vec();
        for length in 0..bytes.len() {
            let Ok(index) = TableIndex::try_from(bytes[..length].to_vec()) else { continue };
            let _ = ["two", "alias", ""].map(|name| index.entry(name));
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x81;
            let Ok(index) = TableIndex::try_from(changed) else { continue };
            let _ = ["two", "alias", ""].map(|name| index.entry(name));
        }
        assert_eq!(TableIndex::try_from(vec![FORM, 255, 255, 255, 255]), Err(NoIndex));
        assert_eq!(TableIndex::try_from(vec![FORM + 1, 0, 0, 0, 0]), Err(NoIndex));
    }
}
