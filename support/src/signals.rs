//! Clean-up before the process ends by a signal, or because the reader of its standard output has
//! gone: containers are removed, remote operations are cancelled.

use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

type CleanUp = Box<dyn FnOnce() + Send>;

/// What is to be done; `None` until the first is registered.
static CLEAN_UPS: Mutex<Option<Vec<CleanUp>>> = Mutex::new(None);

/// Registers a clean-up for SIGINT and SIGTERM. After all that are registered, the process ends
/// with status 128 and the signal's number. A clean-up must end by itself, soon. If the signals
/// can't be handled, nothing is registered, and they end the process as usual.
pub fn before_end(clean_up: impl FnOnce() + Send + 'static) {
    let mut clean_ups = CLEAN_UPS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(others) = clean_ups.as_mut() {
        others.push(Box::new(clean_up));
        return;
    }
    // The signals are this program's from now on, not from when the thread gets its turn.
    let Ok((runtime, interrupt, terminate)) = listen() else { return };
    let wait = move || end(&runtime, interrupt, terminate);
    if thread::Builder::new().name("signals".to_owned()).spawn(wait).is_ok() {
        *clean_ups = Some(vec![Box::new(clean_up)]);
    }
}

fn listen() -> std::io::Result<(Runtime, Signal, Signal)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(guard);
    Ok((runtime, interrupt, terminate))
}

fn end(runtime: &Runtime, mut interrupt: Signal, mut terminate: Signal) {
    let number: u8 = runtime.block_on(async {
        tokio::select! {
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
        }
    });
    end_with(128 + number)
}

/// Does what is registered, and ends the process with this status.
pub fn end_with(status: u8) -> ! {
    let all = CLEAN_UPS.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    let all: Vec<_> = all.into_iter().map(thread::spawn).collect();
    for clean_up in all {
        // One that panics, as its runtime has gone, keeps neither the others nor the end.
        let _ = clean_up.join();
    }
    std::process::exit(status.into());
}
