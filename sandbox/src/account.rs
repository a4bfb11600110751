//! The account of a guest's memory: every byte of this machine that the guest costs, against
//! `--max-memory`.
//!
//! - the heap of this process (tables and instances of the engine, symbols, records, listings,
//!   pipes): [`CountingAllocator`] counts each allocation;
//! - linear memory (all that the guest has grown it to, touched or not) and native code: a
//!   [`Charge`] while they are mapped;
//! - a compilation, in processes of its own: a [`Charge`] while it runs; the kernel limits those
//!   processes to it.
//!
//! Code that is about to take much asks first ([`Account::room_for`]), and the guest gets an error
//! that it can handle. The allocator finds what nobody asked for: 16 MiB beyond the total it ends
//! the process ([`Account::when_exhausted`]).
//!
//! The loader's own code, its stacks, and what the kernel keeps of the descriptors are not counted.
//! No guest can make them larger.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};

use rustix::io::Errno;

/// The account of the guest that this process runs.
pub static ACCOUNT: Account = Account::new();

/// Bytes of heap beyond the total that end the process. Between two questions for room, the loader
/// allocates less.
const MARGIN: usize = 16 << 20;
/// By so many bytes a thread changes the heap before it tells the account.
const BATCH: isize = 64 << 10;
/// The fewest freed bytes that the C library is asked to give back to the kernel.
const WORTH_TRIMMING: isize = 1 << 20;

/// There is no room in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it takes more than the {} KiB of memory that are left; `--max-memory` gives more", .left >> 10)]
pub struct Full {
    /// Bytes that are left.
    pub left: usize,
}

impl From<Full> for Errno {
    fn from(_: Full) -> Self {
        Self::NOMEM
    }
}

/// How the process ends.
struct ExhaustedHook(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for ExhaustedHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExhaustedHook")
    }
}

/// A total, and what is used of it.
#[derive(Debug)]
pub struct Account {
    total: AtomicUsize,
    charged: AtomicUsize,
    /// Bytes that a compilation may take. How many it takes is known at its end.
    reserved: AtomicUsize,
    /// Bytes of the heap in use.
    heap: AtomicIsize,
    /// The most that `heap` was since the C library gave back what is free. Until then this process
    /// holds freed bytes.
    heap_held: AtomicIsize,
    peak: AtomicUsize,
    was_full: AtomicBool,
    exhausted: OnceLock<ExhaustedHook>,
    ends_if_refused: AtomicBool,
}

impl Account {
    /// An account without a limit, of which nothing is used.
    pub const fn new() -> Self {
        Self {
            total: AtomicUsize::new(usize::MAX),
            charged: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            heap: AtomicIsize::new(0),
            heap_held: AtomicIsize::new(0),
            peak: AtomicUsize::new(0),
            was_full: AtomicBool::new(false),
            exhausted: OnceLock::new(),
            ends_if_refused: AtomicBool::new(false),
        }
    }

    /// Sets the most bytes that may be used.
    pub fn limit(&self, total: usize) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// Sets how this process ends when its heap outgrows the account and nobody asked for room.
    pub fn when_exhausted(&self, end: impl Fn() + Send + Sync + 'static) {
        let _ = self.exhausted.set(ExhaustedHook(Box::new(end)));
    }

    /// Ends this process in the same way when the system refuses an allocation.
    pub fn end_if_refused(&self) {
        self.ends_if_refused.store(true, Ordering::Relaxed);
    }

    /// The most bytes that were used at once.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Whether there was no room for something.
    pub fn was_full(&self) -> bool {
        self.was_full.load(Ordering::Relaxed)
    }

    /// Notes that there was no room for something.
    pub fn note_full(&self) {
        self.was_full.store(true, Ordering::Relaxed);
    }

    fn full(&self) -> Full {
        self.note_full();
        Full { left: self.left() }
    }

    /// Bytes that can still be used.
    pub fn left(&self) -> usize {
        let total = self.total.load(Ordering::Relaxed);
        if self.heap_held.load(Ordering::Relaxed) - self.heap.load(Ordering::Relaxed) > WORTH_TRIMMING {
            self.trim();
        }
        total.saturating_sub(self.used())
    }

    /// Whether there is room for so many bytes. The caller allocates them next, or something like
    /// it.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn room_for(&self, bytes: usize) -> Result<(), Full> {
        let fits = || self.used().saturating_add(bytes) <= self.total.load(Ordering::Relaxed);
        if fits() || bytes <= self.left() { Ok(()) } else { Err(self.full()) }
    }

    /// Uses so many bytes that are not of the heap, until the charge is dropped.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn charge(&self, bytes: usize) -> Result<Charge<'_>, Full> {
        let mut charge = self.none();
        charge.resize(bytes)?;
        Ok(charge)
    }

    /// A charge of nothing, to be resized.
    pub const fn none(&self) -> Charge<'_> {
        Charge { account: self, counter: &self.charged, bytes: 0 }
    }

    /// As [`Account::charge`], but the bytes are no part of the peak.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn reserve(&self, bytes: usize) -> Result<Charge<'_>, Full> {
        let mut charge = Charge { account: self, counter: &self.reserved, bytes: 0 };
        charge.resize(bytes)?;
        Ok(charge)
    }

    /// Notes that so many bytes were used beside those that are charged and the heap.
    pub fn note_peak(&self, besides: usize) {
        self.peak.fetch_max(self.known().saturating_add(besides), Ordering::Relaxed);
    }

    /// Bytes that are used or reserved.
    pub fn used(&self) -> usize {
        self.known().saturating_add(self.reserved.load(Ordering::Relaxed))
    }

    /// Bytes that are used.
    fn known(&self) -> usize {
        let heap = usize::try_from(self.heap_held.load(Ordering::Relaxed)).unwrap_or(0);
        self.charged.load(Ordering::Relaxed).saturating_add(heap)
    }

    /// Makes the C library give freed bytes back to the kernel.
    fn trim(&self) {
        #[cfg(target_env = "gnu")]
        // SAFETY: the call takes no address; it locks what it changes.
        unsafe {
            libc::malloc_trim(0);
        }
        self.heap_held.store(self.heap.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The heap has changed by so many bytes.
    fn heap_changed(&self, by: isize) {
        let heap = self.heap.fetch_add(by, Ordering::Relaxed) + by;
        if by <= 0 {
            return;
        }
        self.heap_held.fetch_max(heap, Ordering::Relaxed);
        self.note_peak(0);
        if self.used() > self.total.load(Ordering::Relaxed).saturating_add(MARGIN) {
            self.trim();
            if self.used() > self.total.load(Ordering::Relaxed).saturating_add(MARGIN) {
                self.end();
            }
        }
    }

    #[cold]
    fn end(&self) {
        // The end may allocate.
        self.limit(usize::MAX);
        if let Some(ExhaustedHook(end)) = self.exhausted.get() {
            end();
        }
    }
}

impl Default for Account {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes of an account. Dropping it gives them back.
#[derive(Debug)]
pub struct Charge<'a> {
    account: &'a Account,
    counter: &'a AtomicUsize,
    bytes: usize,
}

impl Charge<'_> {
    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes the number of bytes.
    ///
    /// # Errors
    ///
    /// [`Full`]; the charge stays what it was.
    pub fn resize(&mut self, bytes: usize) -> Result<(), Full> {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            self.account.room_for(more)?;
            // Another thread may have asked at the same time.
            self.counter.fetch_add(more, Ordering::Relaxed);
            if self.account.used() > self.account.total.load(Ordering::Relaxed) {
                self.counter.fetch_sub(more, Ordering::Relaxed);
                return Err(self.account.full());
            }
            self.account.note_peak(0);
        } else {
            self.counter.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The system's allocator, whose allocations [`ACCOUNT`] counts. The program `run` uses it.
#[derive(Debug)]
pub struct CountingAllocator;

thread_local! {
    /// By how much this thread has changed the heap since it told the account.
    static UNTOLD: Cell<isize> = const { Cell::new(0) };
}

/// Bytes that the C library takes for an allocation of `size` bytes.
fn chunk(size: usize) -> isize {
    (size.saturating_add(8 + 15) & !15).max(32).cast_signed()
}

#[inline]
fn count(bytes: isize) {
    UNTOLD.with(|untold| {
        let changed = untold.get() + bytes;
        if changed.unsigned_abs() < BATCH.unsigned_abs() {
            untold.set(changed);
        } else {
            untold.set(0);
            ACCOUNT.heap_changed(changed);
        }
    });
}

// SAFETY: all work is the system's allocator's; what is counted beside it allocates nothing.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        counted(unsafe { System.alloc(layout) }, chunk(layout.size()))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        counted(unsafe { System.alloc_zeroed(layout) }, chunk(layout.size()))
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        counted(unsafe { System.realloc(old, layout, size) }, chunk(size) - chunk(layout.size()))
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) };
        count(-chunk(layout.size()));
    }
}

#[inline]
fn counted(new: *mut u8, bytes: isize) -> *mut u8 {
    if !new.is_null() {
        count(bytes);
    } else if ACCOUNT.ends_if_refused.load(Ordering::Relaxed) {
        ACCOUNT.end();
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_fill_an_account_and_are_given_back() {
        let account = Account::new();
        account.limit(100);
        let mut first = account.charge(60).unwrap();
        assert_eq!(account.charge(50).map(drop), Err(Full { left: 40 }));
        assert_eq!((first.resize(101), first.resize(90)), (Err(Full { left: 40 }), Ok(())));
        assert_eq!((account.left(), account.room_for(10), account.room_for(11)), (10, Ok(()), Err(Full { left: 10 })));
        assert_eq!(first.resize(10), Ok(()));
        assert!(account.charge(50).is_ok());
        drop(first);
        assert_eq!((account.left(), account.peak()), (100, 90));
        let reserved = account.reserve(95).unwrap();
        assert_eq!((account.left(), account.peak()), (5, 90));
        drop(reserved);
        account.note_peak(93);
        assert_eq!((account.left(), account.peak()), (100, 93));
    }

    #[test]
    fn freed_bytes_count_until_they_are_given_back() {
        let account = Account::new();
        account.limit(10 << 20);
        account.heap_changed(8 << 20);
        account.heap_changed(-(7 << 20));
        assert_eq!(account.used(), 8 << 20);
        assert_eq!(account.room_for(2 << 20), Ok(()));
        assert_eq!(account.used(), 8 << 20, "nothing is given back without need");
        assert_eq!(account.room_for(9 << 20), Ok(()));
        assert_eq!((account.used(), account.peak()), (1 << 20, 8 << 20));
    }

    #[test]
    fn what_nobody_asked_for_ends_the_process() {
        static ENDS: AtomicUsize = AtomicUsize::new(0);
        let account = Account::new();
        account.when_exhausted(|| {
            ENDS.fetch_add(1, Ordering::Relaxed);
        });
        account.limit(1 << 20);
        account.heap_changed((1 << 20) + MARGIN.cast_signed());
        assert_eq!(ENDS.load(Ordering::Relaxed), 0);
        account.heap_changed(1);
        account.heap_changed(1 << 30);
        assert_eq!(ENDS.load(Ordering::Relaxed), 1, "the end may allocate");
    }

    #[test]
    fn an_allocation_is_counted_with_what_the_c_library_adds() {
        for size in [0, 1, 24, 25, 100, 4000, 100_000] {
            let vec: Vec<u8> = Vec::with_capacity(size.max(1));
            // SAFETY: the block is alive.
            let usable = unsafe { libc::malloc_usable_size(vec.as_ptr().cast_mut().cast()) } + 8;
            assert!(chunk(size.max(1)).unsigned_abs().abs_diff(usable) <= 16, "{size}: {usable}");
        }
    }
}
