//! The `dl_*` functions: arguments, handles and results.

use super::scope::symbol_of;
use super::state::Handle;
use super::{LinkError, LinkResult, Symbol, link, slots};
use super::{OPEN_COST, OPEN_FLAGS, OPEN_NESTING_MAX, RTLD_GLOBAL, RTLD_LAZY_OR_NOW, RTLD_NOLOAD};
use crate::account::ACCOUNT;
use crate::engine::guest::{Context, with_memory};
use crate::engine::tell;
use crate::vfs::Errno;

pub(super) fn open(store: &mut Context<'_>, raw: &[u32]) -> LinkResult {
    let &[path, length, flags, out] = raw else { return Err(Errno::INVAL.into()) };
    let path = with_memory(store, |m| m.check(out, 4).and_then(|()| m.text(path, length)))?;
    let name = String::from_utf8_lossy(&path).into_owned();
    if flags & !OPEN_FLAGS != 0 || flags & RTLD_LAZY_OR_NOW == 0 {
        return Err(LinkError::new(Errno::INVAL, format!("`{name}`: {flags:#x} are no flags of dlopen")).into());
    }
    if path.is_empty() {
        return Ok(with_memory(store, |m| m.write_u32(out, Handle::Program.number()))?);
    }
    if path[0] != b'/' {
        return Err(LinkError::new(Errno::INVAL, format!("`{name}` is no absolute path")).into());
    }
    ACCOUNT.room_for(OPEN_COST)?;
    let libraries = store.data_mut().libraries();
    if libraries.busy {
        return Err(LinkError::new(Errno::BUSY, format!("`{name}`: another library is being loaded")).into());
    }
    if libraries.nesting >= OPEN_NESTING_MAX {
        let text = format!("`{name}`: {OPEN_NESTING_MAX} libraries are being initialised, each by the one before");
        return Err(LinkError::new(Errno::LOOP, text).into());
    }
    let handle = link::load(store, &path, flags & RTLD_GLOBAL != 0, flags & RTLD_NOLOAD != 0)?;
    Ok(with_memory(store, |m| m.write_u32(out, handle.number()))?)
}

pub(super) fn symbol(store: &mut Context<'_>, raw: &[u32]) -> LinkResult {
    let &[handle, name, length, out] = raw else { return Err(Errno::INVAL.into()) };
    let name = with_memory(store, |m| m.check(out, 4).and_then(|()| m.text(name, length)))?;
    let name = String::from_utf8_lossy(&name).into_owned();
    let handle = Handle::from_number(handle).unwrap_or(Handle::Program);
    let libraries = store.data_mut().libraries();
    let place = match handle {
        Handle::Program => "the program",
        Handle::Library(id) => match libraries.get(id).filter(|library| library.opened > 0) {
            Some(library) => &library.name,
            None => return Err(not_open(handle.number()).into()),
        },
    };
    let undefined = LinkError::new(Errno::NOENT, format!("`{place}`: undefined symbol `{name}`"));
    for module in libraries.search_order(handle) {
        let address = match symbol_of(store, module, &name) {
            Some(Symbol::Data(address)) => address,
            Some(Symbol::Function(function)) => slots::of(store, module, &name, function)?.0,
            None => continue,
        };
        return Ok(with_memory(store, |m| m.write_u32(out, address))?);
    }
    Err(undefined.into())
}

pub(super) fn close(store: &mut Context<'_>, raw: &[u32]) -> LinkResult {
    let &[number] = raw else { return Err(Errno::INVAL.into()) };
    let library = match Handle::from_number(number) {
        Some(Handle::Program) => return Ok(()),
        Some(Handle::Library(id)) => store.data_mut().libraries().get_mut(id),
        None => None,
    };
    let library = library.filter(|library| library.opened > 0).ok_or_else(|| not_open(number))?;
    library.opened -= 1;
    Ok(())
}

fn not_open(number: u32) -> LinkError {
    LinkError::new(Errno::INVAL, format!("{number} is no handle of an open library"))
}

pub(super) fn error(store: &mut Context<'_>, raw: &[u32]) -> LinkResult {
    let &[buffer, length, out] = raw else { return Err(Errno::INVAL.into()) };
    let text = store.data_mut().libraries().error.clone();
    Ok(with_memory(store, |m| tell(m, &text, buffer, length, out))?)
}
