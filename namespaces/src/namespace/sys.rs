//! The system calls that no crate offers in a safe form. The only module of the tool with unsafe
//! code.
//!
//! What is called after [`clone_process`] in the child allocates nothing and takes no lock: another
//! thread of the parent may have held one at the moment of copying. So does what is called after
//! [`start_program`].

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the embedded executor knows the system calls of Linux on x86-64 alone");

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;

type Result<T> = std::result::Result<T, Errno>;

/// The error of a call that has just returned -1.
fn last_error() -> Errno {
    // SAFETY: `__errno_location` gives this thread's own variable, which is always there.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

fn check(result: c_long) -> Result<c_long> {
    if result == -1 { Err(last_error()) } else { Ok(result) }
}

/// Copies this process, as `fork` does, and calls `child` in the copy, which ends if that returns.
/// Gives the copy's process descriptor.
///
/// With all signals blocked in the copy, until it unblocks them; handlers are those of the parent.
/// `child` must allocate nothing, take no lock and start no thread.
pub(super) fn clone_process(flags: c_int, child: impl FnOnce()) -> Result<OwnedFd> {
    let blocked = SignalsBlocked::new();
    let mut pidfd: c_int = -1;
    let flags = (flags | libc::CLONE_PIDFD | libc::SIGCHLD) as c_ulong;
    // SAFETY: without CLONE_VM the copy has memory and stack of its own, so that both may return
    // here; with CLONE_PIDFD the third argument is where the kernel writes a descriptor, and it
    // lives until then. The order of arguments is that of x86-64.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, &raw mut pidfd, 0_usize, 0_usize) };
    if result == 0 {
        let _end = EndOfProcess;
        child();
    }
    drop(blocked);
    check(result)?;
    // SAFETY: the call succeeded, so the kernel has stored a new descriptor, which nothing else
    // owns.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

/// Starts a process that is about to become another program, as `vfork` does: `child` runs on a
/// stack of its own in the memory of this process, which waits until it has become the program or
/// has ended; it ends if `child` returns. No memory is copied.
///
/// With all signals blocked in the child, until it unblocks them. `child` must allocate nothing,
/// take no lock and start no thread.
pub(super) fn start_program(child: impl FnOnce()) -> Result<()> {
    const STACK: usize = 64 << 10;
    extern "C" fn begin<F: FnOnce()>(child: *mut c_void) -> c_int {
        let _end = EndOfProcess;
        // SAFETY: it is the pointer below, whose closure nobody else takes.
        let child = unsafe { (*child.cast::<Option<F>>()).take() };
        child.into_iter().for_each(|child| child());
        101
    }
    fn started<F: FnOnce()>(child: &mut Option<F>) -> c_int {
        let mut stack = MaybeUninit::<[u128; STACK / 16]>::uninit();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the stack grows downwards from the end of an aligned array. That, and the
        // closure, live until this returns, which CLONE_VFORK delays until the child uses neither.
        unsafe { libc::clone(begin::<F>, stack.as_mut_ptr().add(1).cast(), flags, ptr::from_mut(child).cast()) }
    }
    let blocked = SignalsBlocked::new();
    let result = started(&mut Some(child));
    drop(blocked);
    check(result.into()).map(drop)
}

/// Ends the process when it is dropped, so that not even a panic leads a copy of the process back
/// into its parent's code.
struct EndOfProcess;

impl Drop for EndOfProcess {
    fn drop(&mut self) {
        exit(101);
    }
}

/// Blocks all signals of this thread until it is dropped.
struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    fn new() -> Self {
        // SAFETY: `sigset_t` is plain data, for which zeros are a value; all three calls get
        // pointers to live variables.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            Self(before)
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set was filled by `new`; a null pointer says that the old mask is not wanted.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// Gives every signal its default disposition, then lets all of them in.
pub(super) fn default_signals() {
    /// The kernel's `sigaction`: handler, flags, restorer, mask. Zeros are SIG_DFL with no flags
    /// and an empty mask.
    const DEFAULT: [u64; 4] = [0; 4];
    const MASK_SIZE: usize = size_of::<u64>();
    // SAFETY: the kernel reads `DEFAULT`, which has its layout, and an empty `sigset_t`, and writes
    // nothing. Numbers that may not be changed are refused, which does no harm. (The C library's
    // function refuses two that a caller may have ignored, too.)
    unsafe {
        for signal in 1..=64_usize {
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), 0_usize, MASK_SIZE);
        }
        let none: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Has the ends of children waited for: who ignores the signal that tells them never learns how
/// they ended, and a caller may have it ignored.
pub(super) fn wait_for_children() {
    // SAFETY: a disposition of the kernel's own needs no function.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Ignores a signal until it is dropped.
pub(super) struct SignalIgnored {
    signal: c_int,
    before: libc::sigaction,
}

impl SignalIgnored {
    pub(super) fn new(signal: c_int) -> Self {
        // SAFETY: zeros are a `sigaction`, and SIG_IGN needs no handler function; the pointers are
        // to live variables.
        unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            let mut ignore: libc::sigaction = std::mem::zeroed();
            ignore.sa_sigaction = libc::SIG_IGN;
            libc::sigaction(signal, &raw const ignore, &raw mut before);
            Self { signal, before }
        }
    }
}

impl Drop for SignalIgnored {
    fn drop(&mut self) {
        // SAFETY: what is set is what was set before.
        unsafe { libc::sigaction(self.signal, &raw const self.before, ptr::null_mut()) };
    }
}

/// Ends the process at once: no destructor, no handler.
pub(super) fn exit(status: c_int) -> ! {
    // SAFETY: it takes no pointer, and what it leaves undone is the caller's wish.
    unsafe { libc::_exit(status) }
}

/// Attributes of a mount, as `mount_setattr(2)` has them.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct MountAttributes {
    pub(super) set: u64,
    pub(super) clear: u64,
    pub(super) propagation: u64,
    pub(super) userns_fd: u64,
}

/// Changes the attributes of a mount, and if `recursive` of all mounts below it.
pub(super) fn set_mount_attributes(mount: BorrowedFd<'_>, attributes: &MountAttributes, recursive: bool) -> Result<()> {
    let flags = (libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 }) as c_uint;
    // SAFETY: the path is a C string; the structure has the kernel's layout, and its size goes with
    // it.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(attributes),
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

/// Closes all descriptors from `first` to `last`, both included.
///
/// For a fresh copy of a process, in which nothing that owns one of them will run again.
pub(super) fn close_range(first: c_uint, last: c_uint) -> Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: no memory is involved; that owners of the descriptors are gone is the caller's
    // promise.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Joins a new session key ring, so that the caller's is out of reach.
pub(super) fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: a null name asks for an anonymous key ring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<c_char>()) }).map(drop)
}

/// Brings the loopback interface of this network namespace up.
pub(super) fn loopback_up(socket: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: zeros are a value of `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as c_char, b'o' as c_char]);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, and the one given lives until the call is over.
    check(c_long::from(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })).map(drop)
}

/// Puts this process, and all that it starts, under a filter. Needs no-new-privileges. With
/// `listen`, gives the descriptor that the calls come to for which the filter says so.
pub(super) fn set_filter(program: &[libc::sock_filter], listen: bool) -> Result<Option<OwnedFd>> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr().cast_mut(),
    };
    // A filter must not switch the processor's speculation off: before Linux 5.16 that is its
    // default, and makes programs slower.
    let listener = if listen { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW | listener;
    // SAFETY: the structure and the instructions that it points to live until the call is over, and
    // the kernel only reads them.
    let result =
        check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) })?;
    // SAFETY: with that flag the call gives a new descriptor, which nothing else owns.
    Ok(listen.then(|| unsafe { OwnedFd::from_raw_fd(result as c_int) }))
}

/// The next call that a filter hands over.
pub(super) fn receive_call(listener: BorrowedFd<'_>) -> Result<libc::seccomp_notif> {
    // SAFETY: zeros are a value of the structure, and the kernel wants them; it writes no more than
    // the structure.
    unsafe {
        let mut call: libc::seccomp_notif = std::mem::zeroed();
        check(c_long::from(libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call)))?;
        Ok(call)
    }
}

/// What a call that was handed over returns.
pub(super) fn answer_call(listener: BorrowedFd<'_>, id: u64, answer: Result<i64>) -> Result<()> {
    let (val, error) = match answer {
        Ok(value) => (value, 0),
        Err(errno) => (0, -errno.raw_os_error()),
    };
    let response = libc::seccomp_notif_resp { id, val, error, flags: 0 };
    // SAFETY: the structure lives until the call is over, and the kernel only reads it.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response) };
    check(c_long::from(result)).map(drop)
}

/// Blocks the signal that tells the end of a child, and gives a descriptor that can be read when
/// there is one.
pub(super) fn ends_of_children() -> Result<OwnedFd> {
    // SAFETY: `sigset_t` is plain data, for which zeros are a value; the pointers are to a live
    // variable, and the descriptor is new.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(c_long::from(fd))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Takes the signals that such a descriptor has, all that are alike at once.
pub(super) fn take_signal(signals: BorrowedFd<'_>) -> Result<()> {
    let mut buffer = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(signals, &mut buffer) {
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// How the calling thread is scheduled: `SCHED_OTHER`, ….
pub(super) fn scheduling_policy() -> c_int {
    // SAFETY: no memory is involved.
    let policy = unsafe { libc::sched_getscheduler(0) };
    policy & !libc::SCHED_RESET_ON_FORK
}

/// Has the calling thread scheduled as `SCHED_OTHER`.
pub(super) fn schedule_normally() -> Result<()> {
    let normal = libc::sched_param { sched_priority: 0 };
    // SAFETY: the structure lives until the call is over, and the kernel only reads it.
    check(c_long::from(unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const normal) })).map(drop)
}

/// The I/O priority of the calling thread; 0 is none of its own.
pub(super) fn io_priority() -> Result<c_long> {
    const IOPRIO_WHO_PROCESS: c_int = 1;
    // SAFETY: no memory is involved.
    check(unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) })
}

/// Sets the execution domain, in which `setarch` hides the randomising of addresses.
pub(super) fn set_personality(personality: c_ulong) -> Result<()> {
    // SAFETY: no memory is involved; what it changes counts from the next program on.
    check(c_long::from(unsafe { libc::personality(personality) })).map(drop)
}

/// `prctl(2)` for an option with one number.
pub(super) fn prctl(option: c_int, value: usize) -> Result<()> {
    // SAFETY: the callers' options take numbers and no pointers.
    check(c_long::from(unsafe { libc::prctl(option, value, 0_usize, 0_usize, 0_usize) })).map(drop)
}

/// A list of C strings in the form that `execve` takes.
pub(super) struct StringList {
    pointers: Vec<*const c_char>,
    _strings: Vec<std::ffi::CString>,
}

impl StringList {
    pub(super) fn new(strings: Vec<std::ffi::CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _strings: strings }
    }
}

/// Becomes another program; comes back only with an error.
pub(super) fn exec(program: &CStr, arguments: &StringList, environment: &StringList) -> Errno {
    // SAFETY: both lists end with a null pointer, and the strings that they point to live as long
    // as the lists.
    unsafe { libc::execve(program.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr()) };
    last_error()
}
