//! Bounded parallel maps: over threads, for work that blocks, and over requests, which wait for one
//! another in one thread.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

/// Calls a function with each item, on at most `width` threads. The results are in the order of the
/// items.
///
/// # Errors
/// The first error; no call begins after it.
pub fn map<T: Sync, R: Send, E: Send>(
    width: usize,
    items: &[T],
    call: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    if let [item] = items {
        return Ok(vec![call(item)?]);
    }
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    let failed = Mutex::new(None);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            match call(item) {
                Ok(result) => results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result)),
                Err(error) => {
                    next.store(items.len(), Ordering::Relaxed);
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..width.max(1).min(items.len()) {
            scope.spawn(work);
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// As [`map`], for requests: at most `width` of them are under way at once, all in this thread.
///
/// # Errors
/// The first error; the requests that are under way are dropped.
pub async fn map_requests<T, R, E, F: Future<Output = Result<R, E>>>(
    width: usize,
    items: impl IntoIterator<Item = T>,
    call: impl FnMut(T) -> F,
) -> Result<Vec<R>, E> {
    let mut call = call;
    let numbered = stream::iter(items.into_iter().enumerate());
    let calls = numbered.map(|(at, item)| {
        let call = call(item);
        async move { Ok((at, call.await?)) }
    });
    let mut results: Vec<_> = calls.buffer_unordered(width).try_collect().await?;
    results.sort_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how many calls are under way at most.
    #[derive(Default)]
    struct Peak {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Peak {
        fn begin(&self) {
            self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        }

        fn end(&self) {
            self.now.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn results_keep_their_order_and_calls_their_bound() {
        let items: Vec<_> = (0..100).collect();
        let peak = Peak::default();
        let call = |item: &usize| {
            peak.begin();
            std::thread::sleep(std::time::Duration::from_micros(100));
            peak.end();
            Ok::<_, ()>(item * 2)
        };
        let doubled: Vec<_> = (0..100).map(|item| item * 2).collect();
        assert_eq!(map(3, &items, call).unwrap(), doubled);
        assert!(peak.most.into_inner() <= 3);

        let peak = Peak::default();
        let request = |item: usize| {
            let peak = &peak;
            async move {
                peak.begin();
                tokio::task::yield_now().await;
                peak.end();
                Ok::<_, ()>(item * 2)
            }
        };
        let runtime = crate::runtime::handle().unwrap();
        assert_eq!(runtime.block_on(map_requests(3, items, request)).unwrap(), doubled);
        assert_eq!(peak.most.into_inner(), 3);
    }

    #[test]
    fn the_first_error_ends_it() {
        let items: Vec<_> = (0..10_000).collect();
        let calls = AtomicUsize::new(0);
        let failed = map(2, &items, |item| {
            calls.fetch_add(1, Ordering::SeqCst);
            if *item >= 10 { Err(*item) } else { Ok(()) }
        });
        assert!(failed.unwrap_err() >= 10);
        assert!(calls.into_inner() < items.len());
    }
}
