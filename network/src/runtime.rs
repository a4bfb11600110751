//! The one asynchronous runtime of the process.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that drive all connections. Threads that wait drive their own requests.
const WORKERS: usize = 2;

/// Never dropped: dropping it would wait for streams that a server keeps open.
static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// Returns the runtime, which the first call starts.
///
/// `Handle::block_on` waits for a future; it must not be called by a task of the runtime.
///
/// # Errors
/// [`io::Error`] if no thread can be started.
pub fn handle() -> io::Result<Handle> {
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*runtime {
        return Ok(runtime.handle().clone());
    }
    let new = Builder::new_multi_thread().worker_threads(WORKERS).thread_name("network").enable_all().build()?;
    Ok(runtime.insert(new).handle().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_share_one() {
        let ids = [(); 4].map(|()| std::thread::spawn(|| handle().unwrap().id()).join().unwrap());
        assert!(ids.iter().all(|id| *id == ids[0]));
    }
}
