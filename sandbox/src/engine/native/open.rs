//! The functions `dl_*` and `fn_*` of the import table where a guest is native code: arguments,
//! handles and results. They do what those of the other engine do ([`crate::engine::dl`]).

use super::call;
use super::guest::{Ended, Guest};
use super::libraries::Defined;
use super::link;
use crate::abi::{LinkerFunction, types};
use crate::account::{ACCOUNT, Full};
use crate::engine::dl::state::{Handle, Slot};
use crate::engine::dl::{LinkError, OPEN_COST, OPEN_FLAGS, OPEN_NESTING_MAX, TEXT_MAX, words};
use crate::engine::dl::{RTLD_GLOBAL, RTLD_LAZY_OR_NOW, RTLD_NOLOAD};
use crate::engine::tell;
use crate::vfs::Errno;

/// A call's failure, or the guest's end.
pub(super) enum Stop {
    Failed(LinkError),
    Ends,
}

impl From<LinkError> for Stop {
    fn from(error: LinkError) -> Self {
        Self::Failed(error)
    }
}

impl From<Ended> for Stop {
    fn from(_: Ended) -> Self {
        Self::Ends
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Failed(LinkError::new(errno, words(errno)))
    }
}

impl From<Full> for Stop {
    fn from(full: Full) -> Self {
        Self::Failed(full.into())
    }
}

pub(super) type Result<T = ()> = std::result::Result<T, Stop>;

/// Answers a call; gives WASI's errno.
///
/// # Errors
///
/// [`Ended`] if the guest ended in it.
pub(super) fn call(guest: &mut Guest<'_>, which: LinkerFunction, raw: &[u64]) -> std::result::Result<u32, Ended> {
    #[expect(clippy::cast_possible_truncation, reason = "an i32 lies in the low half")]
    let raw: Vec<u32> = raw.iter().map(|&slot| slot as u32).collect();
    let result = match which {
        LinkerFunction::Open => open(guest, &raw),
        LinkerFunction::Symbol => symbol(guest, &raw),
        LinkerFunction::Close => close(guest, &raw),
        LinkerFunction::Error => error(guest, &raw),
        LinkerFunction::Call => call::call(guest, &raw),
        LinkerFunction::Closure => call::closure(guest, &raw),
        LinkerFunction::Release => call::release(guest, &raw),
    };
    match result {
        Ok(()) => Ok(0),
        Err(Stop::Ends) => Err(Ended),
        Err(Stop::Failed(LinkError { errno, mut text })) => {
            // `dl_error` tells of another function's failure, not of its own.
            if which != LinkerFunction::Error {
                let end = (0..=TEXT_MAX.min(text.len())).rev().find(|&i| text.is_char_boundary(i));
                text.truncate(end.unwrap_or(0));
                guest.libraries().error = text;
            }
            Ok(types::errno(errno))
        }
    }
}

fn open(guest: &mut Guest<'_>, raw: &[u32]) -> Result {
    let &[path, length, flags, out] = raw else { return Err(Errno::INVAL.into()) };
    let path = guest.with_memory(|m| m.check(out, 4).and_then(|()| m.text(path, length)))?;
    let name = String::from_utf8_lossy(&path).into_owned();
    if flags & !OPEN_FLAGS != 0 || flags & RTLD_LAZY_OR_NOW == 0 {
        return Err(LinkError::new(Errno::INVAL, format!("`{name}`: {flags:#x} are no flags of dlopen")).into());
    }
    if path.is_empty() {
        return Ok(guest.with_memory(|m| m.write_u32(out, Handle::Program.number()))?);
    }
    if path[0] != b'/' {
        return Err(LinkError::new(Errno::INVAL, format!("`{name}` is no absolute path")).into());
    }
    ACCOUNT.room_for(OPEN_COST)?;
    let libraries = guest.libraries();
    if libraries.busy {
        return Err(LinkError::new(Errno::BUSY, format!("`{name}`: another library is being loaded")).into());
    }
    if libraries.nesting >= OPEN_NESTING_MAX {
        let text = format!("`{name}`: {OPEN_NESTING_MAX} libraries are being initialised, each by the one before");
        return Err(LinkError::new(Errno::LOOP, text).into());
    }
    let handle = link::load(guest, &path, flags & RTLD_GLOBAL != 0, flags & RTLD_NOLOAD != 0)?;
    Ok(guest.with_memory(|m| m.write_u32(out, handle.number()))?)
}

fn symbol(guest: &mut Guest<'_>, raw: &[u32]) -> Result {
    let &[handle, name, length, out] = raw else { return Err(Errno::INVAL.into()) };
    let name = guest.with_memory(|m| m.check(out, 4).and_then(|()| m.text(name, length)))?;
    let handle = Handle::from_number(handle).unwrap_or(Handle::Program);
    let program = guest.program();
    let libraries = guest.libraries();
    let place = match handle {
        Handle::Program => "the program",
        Handle::Library(id) => match libraries.get(id).filter(|library| library.opened > 0) {
            Some(library) => &library.name,
            None => return Err(not_open(handle.number()).into()),
        },
    };
    let text = format!("`{place}`: undefined symbol `{}`", String::from_utf8_lossy(&name));
    let own = (handle == Handle::Program).then(|| Defined::of_program(program, &name)).flatten();
    let order = libraries.search_order(handle);
    let defined = own.or_else(|| order.into_iter().find_map(|id| link::defined_by(libraries, id, &name)));
    let defined = defined.ok_or_else(|| LinkError::new(Errno::NOENT, text))?;
    let address = link::address(guest, &defined)?;
    Ok(guest.with_memory(|m| m.write_u32(out, address))?)
}

fn close(guest: &mut Guest<'_>, raw: &[u32]) -> Result {
    let &[number] = raw else { return Err(Errno::INVAL.into()) };
    let library = match Handle::from_number(number) {
        Some(Handle::Program) => return Ok(()),
        Some(Handle::Library(id)) => guest.libraries().get_mut(id),
        None => None,
    };
    let library = library.filter(|library| library.opened > 0).ok_or_else(|| not_open(number))?;
    library.opened -= 1;
    Ok(())
}

fn not_open(number: u32) -> LinkError {
    LinkError::new(Errno::INVAL, format!("{number} is no handle of an open library"))
}

fn error(guest: &mut Guest<'_>, raw: &[u32]) -> Result {
    let &[buffer, length, out] = raw else { return Err(Errno::INVAL.into()) };
    let text = guest.libraries().error.clone();
    Ok(guest.with_memory(|m| tell(m, &text, buffer, length, out))?)
}

/// There is no such entry, or it is empty.
pub(super) fn no_function(slot: Slot) -> LinkError {
    LinkError::new(Errno::INVAL, format!("there is no function at {:#x}", slot.0))
}
