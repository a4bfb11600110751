//! The `dl_*` functions: arguments, handles and results.

use super::scope::symbol_of;
use super::{
    Context, Failure, NESTING_MAX, Outcome, PROGRAM, RTLD_GLOBAL, RTLD_NOLOAD, Symbol, dl, load, memory, slots,
};
use crate::account::ACCOUNT;
use crate::vfs::Errno;

/// The flags that Linux has: LAZY, NOW, NOLOAD, DEEPBIND, GLOBAL, NODELETE. Binding is always at
/// once, and no module is ever removed.
const FLAGS: u32 = 0x110f;
const RTLD_LAZY_OR_NOW: u32 = 3;
/// Bytes of heap that opening a library takes before it is looked at: paths, above all.
const COST: usize = 256 << 10;

pub(super) fn open(store: &mut Context<'_>, raw: &[u32]) -> Outcome {
    let &[path, length, flags, out] = raw else { return Err(Errno::INVAL.into()) };
    let path = memory(store, |m| m.check(out, 4).and_then(|()| m.text(path, length)))?;
    let name = String::from_utf8_lossy(&path).into_owned();
    if flags & !FLAGS != 0 || flags & RTLD_LAZY_OR_NOW == 0 {
        return Err(Failure::new(Errno::INVAL, format!("`{name}`: {flags:#x} are no flags of dlopen")).into());
    }
    if path.is_empty() {
        return Ok(memory(store, |m| m.write_u32(out, PROGRAM))?);
    }
    if path[0] != b'/' {
        return Err(Failure::new(Errno::INVAL, format!("`{name}` is no absolute path")).into());
    }
    ACCOUNT.room_for(COST)?;
    let dl = dl(store);
    if dl.busy {
        return Err(Failure::new(Errno::BUSY, format!("`{name}`: another library is being loaded")).into());
    }
    if dl.nesting >= NESTING_MAX {
        let text = format!("`{name}`: {NESTING_MAX} libraries are being initialised, each by the one before");
        return Err(Failure::new(Errno::LOOP, text).into());
    }
    let handle = load::load(store, &path, flags & RTLD_GLOBAL != 0, flags & RTLD_NOLOAD != 0)?;
    Ok(memory(store, |m| m.write_u32(out, handle))?)
}

pub(super) fn symbol(store: &mut Context<'_>, raw: &[u32]) -> Outcome {
    let &[handle, name, length, out] = raw else { return Err(Errno::INVAL.into()) };
    let name = memory(store, |m| m.check(out, 4).and_then(|()| m.text(name, length)))?;
    let name = String::from_utf8_lossy(&name).into_owned();
    let handle = if handle == 0 { PROGRAM } else { handle };
    if handle != PROGRAM && dl(store).module(handle).is_none_or(|m| m.opened == 0) {
        return Err(Failure::new(Errno::INVAL, format!("{handle} is no handle of an open library")).into());
    }
    for other in dl(store).closure(handle) {
        let address = match symbol_of(store, other, &name) {
            Some(Symbol::Data(address)) => address,
            Some(Symbol::Function(function)) => slots::of(store, other, &name, function)?,
            None => continue,
        };
        return Ok(memory(store, |m| m.write_u32(out, address))?);
    }
    let place = dl(store).module(handle).map_or("the program", |m| &m.name);
    Err(Failure::new(Errno::NOENT, format!("`{place}`: undefined symbol `{name}`")).into())
}

pub(super) fn close(store: &mut Context<'_>, raw: &[u32]) -> Outcome {
    let handle = raw[0];
    if handle == PROGRAM {
        return Ok(());
    }
    match dl(store).module_mut(handle) {
        Some(module) if module.opened > 0 => {
            module.opened -= 1;
            Ok(())
        }
        _ => Err(Failure::new(Errno::INVAL, format!("{handle} is no handle of an open library")).into()),
    }
}

pub(super) fn error(store: &mut Context<'_>, raw: &[u32]) -> Outcome {
    let &[buffer, length, out] = raw else { return Err(Errno::INVAL.into()) };
    let text = dl(store).error.clone();
    let text = &text.as_bytes()[..text.len().min(length as usize)];
    let written = u32::try_from(text.len()).map_err(|_| Errno::OVERFLOW)?;
    Ok(memory(store, |m| {
        m.check(out, 4)?;
        m.write(buffer, text)?;
        m.write_u32(out, written)
    })?)
}
