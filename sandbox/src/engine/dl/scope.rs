//! Which module's symbol a name means.

use wasmtime::{Extern, Instance, Mutability, Val};

use super::Symbol;
use super::state::Handle;
use crate::engine::guest::Context;

/// `start` and everything reachable from it, nearest first, each once.
pub(super) fn breadth_first<'a, T: Copy + PartialEq + 'a>(start: T, needed: impl Fn(T) -> &'a [T]) -> Vec<T> {
    let mut all = vec![start];
    let mut next = 0;
    while let Some(&here) = all.get(next) {
        next += 1;
        for &other in needed(here) {
            if !all.contains(&other) {
                all.push(other);
            }
        }
    }
    all
}

/// Whether a name is one of the convention between modules and loader, and no symbol.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with("__wasm_")
}

/// What the module with this handle exports under this name.
pub(super) fn symbol_of(store: &mut Context<'_>, handle: Handle, name: &str) -> Option<Symbol> {
    let libraries = store.data_mut().libraries();
    // Addresses of the program are no offsets.
    let (instance, base) = match handle {
        Handle::Program => (libraries.program, 0),
        Handle::Library(id) => libraries.get(id).map(|library| (library.instance, library.memory_base))?,
    };
    exported(store, instance, base, name)
}

/// Looks `name` up in an instance whose data lie at `base`.
fn exported(store: &mut Context<'_>, instance: Instance, base: u32, name: &str) -> Option<Symbol> {
    if is_reserved(name) {
        return None;
    }
    match instance.get_export(&mut *store, name)? {
        Extern::Func(function) => Some(Symbol::Function(function)),
        Extern::Global(global) if global.ty(&*store).mutability() == Mutability::Const => {
            match global.get(&mut *store) {
                Val::I32(offset) => Some(Symbol::Data(base.wrapping_add(offset.cast_unsigned()))),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::breadth_first;

    #[test]
    fn circles_end_and_the_nearest_comes_first() {
        let needed = |n: i32| -> &'static [i32] {
            match n {
                2 => &[3, 4],
                3 => &[5],
                4 => &[2],
                _ => &[4, 5],
            }
        };
        assert_eq!(breadth_first(2, needed), [2, 3, 4, 5]);
    }
}
