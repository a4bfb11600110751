//! The native stack below the host's functions.
//!
//! The engine checks the stack where compiled code of a guest is entered, and nowhere else. A guest
//! can make functions of the host call each other without any code of its own between them: a table
//! entry that is `fn_call` itself, a closure that is its own dispatcher, a function of a circle of
//! libraries that stands for itself. So each function of the host that calls another asks here
//! first.

use wasmtime::Trap;

/// Bytes that a function of the host may need for itself.
const RESERVE: usize = 1 << 20;

/// The stack of the thread that runs a guest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack {
    /// The lowest address that a function of the host may be called at.
    floor: usize,
}

impl Stack {
    /// The stack of the calling thread, which has `size` bytes and of which little is used.
    pub(super) fn of_this_thread(size: usize) -> Self {
        Self { floor: here().saturating_sub(size).saturating_add(RESERVE) }
    }

    /// Whether there is room for one more call.
    ///
    /// # Errors
    ///
    /// The trap of an exhausted stack, which ends the guest.
    pub(super) fn check(self) -> wasmtime::Result<()> {
        if here() < self.floor { Err(Trap::StackOverflow.into()) } else { Ok(()) }
    }
}

/// An address in the frame of a function that is called from here.
#[inline(never)]
fn here() -> usize {
    let local = 0u8;
    std::hint::black_box(&raw const local).addr()
}
