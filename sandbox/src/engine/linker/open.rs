//! The `dl_*` functions: arguments, handles and results.

use super::state::Handle;
use super::{LinkError, Linker, Stopped, Symbol, load};
use crate::account::ACCOUNT;
use crate::vfs::Errno;

/// Loads within constructors of loads.
const OPEN_NESTING_MAX: u32 = 16;
/// The flags that Linux has: LAZY, NOW, NOLOAD, DEEPBIND, GLOBAL, NODELETE. Binding is always at
/// once, and no module is ever removed.
const OPEN_FLAGS: u32 = 0x110f;
const RTLD_LAZY_OR_NOW: u32 = 3;
const RTLD_NOLOAD: u32 = 4;
const RTLD_GLOBAL: u32 = 0x100;
/// Bytes of heap that opening a library takes before it is looked at: paths, above all.
const OPEN_COST: usize = 256 << 10;

pub(super) fn open<L: Linker>(linker: &mut L, raw: &[u32]) -> Stopped<L> {
    let &[path, length, flags, out] = raw else { return Err(Errno::INVAL.into()) };
    let path = linker.with_memory(|m| m.check(out, 4).and_then(|()| m.text(path, length)))?;
    let name = String::from_utf8_lossy(&path).into_owned();
    if flags & !OPEN_FLAGS != 0 || flags & RTLD_LAZY_OR_NOW == 0 {
        return Err(LinkError::new(Errno::INVAL, format!("`{name}`: {flags:#x} are no flags of dlopen")).into());
    }
    if path.is_empty() {
        return Ok(linker.with_memory(|m| m.write_u32(out, Handle::Program.number()))?);
    }
    if path[0] != b'/' {
        return Err(LinkError::new(Errno::INVAL, format!("`{name}` is no absolute path")).into());
    }
    ACCOUNT.room_for(OPEN_COST)?;
    let libraries = linker.libraries();
    if libraries.busy {
        return Err(LinkError::new(Errno::BUSY, format!("`{name}`: another library is being loaded")).into());
    }
    if libraries.nesting >= OPEN_NESTING_MAX {
        let text = format!("`{name}`: {OPEN_NESTING_MAX} libraries are being initialised, each by the one before");
        return Err(LinkError::new(Errno::LOOP, text).into());
    }
    let handle = load::load(linker, &path, flags & RTLD_GLOBAL != 0, flags & RTLD_NOLOAD != 0)?;
    Ok(linker.with_memory(|m| m.write_u32(out, handle.number()))?)
}

pub(super) fn symbol<L: Linker>(linker: &mut L, raw: &[u32]) -> Stopped<L> {
    let &[handle, name, length, out] = raw else { return Err(Errno::INVAL.into()) };
    let name = linker.with_memory(|m| m.check(out, 4).and_then(|()| m.text(name, length)))?;
    let handle = Handle::from_number(handle).unwrap_or(Handle::Program);
    let libraries = linker.libraries();
    let place = match handle {
        Handle::Program => "the program",
        Handle::Library(id) => match libraries.get(id).filter(|library| library.opened > 0) {
            Some(library) => &library.name,
            None => return Err(not_open(handle.number()).into()),
        },
    };
    let undefined = format!("`{place}`: undefined symbol `{}`", String::from_utf8_lossy(&name));
    for module in libraries.search_order(handle) {
        let address = match linker.symbol(module, &name) {
            Some(Symbol::Data(address)) => address,
            Some(Symbol::Function(function)) => linker.slot_of(module, &name, function)?.0,
            None => continue,
        };
        return Ok(linker.with_memory(|m| m.write_u32(out, address))?);
    }
    Err(LinkError::new(Errno::NOENT, undefined).into())
}

pub(super) fn close<L: Linker>(linker: &mut L, raw: &[u32]) -> Stopped<L> {
    let &[number] = raw else { return Err(Errno::INVAL.into()) };
    let library = match Handle::from_number(number) {
        Some(Handle::Program) => return Ok(()),
        Some(Handle::Library(id)) => linker.libraries().get_mut(id),
        None => None,
    };
    let library = library.filter(|library| library.opened > 0).ok_or_else(|| not_open(number))?;
    library.opened -= 1;
    Ok(())
}

fn not_open(number: u32) -> LinkError {
    LinkError::new(Errno::INVAL, format!("{number} is no handle of an open library"))
}

/// Writes the text, cut to `length` bytes, and how many these are.
pub(super) fn error<L: Linker>(linker: &mut L, raw: &[u32]) -> Stopped<L> {
    let &[buffer, length, out] = raw else { return Err(Errno::INVAL.into()) };
    let text = linker.libraries().error.clone();
    let text = &text.as_bytes()[..text.len().min(length as usize)];
    let written = u32::try_from(text.len()).map_err(|_| Errno::OVERFLOW)?;
    Ok(linker.with_memory(|m| {
        m.check(out, 4)?;
        m.write(buffer, text)?;
        m.write_u32(out, written)
    })?)
}
