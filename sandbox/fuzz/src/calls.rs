//! A guest that makes any calls in any order.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use memchr::memmem;
use pynbox_run::abi::{GuestEnd, Host, HostFunction, IMPORTS};
use pynbox_run::account::ACCOUNT;
use pynbox_run::limits::{Limit, Limits};
use pynbox_run::linking::ValueType;
use pynbox_run::report::Usage;
use pynbox_run::vfs::{Crossing, HandIn, Vfs};
use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::arguments::{Input, MEMORY, PARAMETERS, arguments};
use crate::world::{SECRET, View, World, open_descriptors};

/// Most calls of one guest.
const CALLS_MAX: usize = 64;
/// What a file may hold where that is limited.
const FILE_MAX: u64 = 16 << 10;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

pub(crate) fn prepare() {
    for call in calls() {
        let letters = letters(call);
        assert_eq!(letters.len(), call.parameters.len(), "`PARAMETERS` does not fit `{}`", call.name);
        for (letter, parameter) in letters.chars().zip(call.parameters) {
            assert_eq!(letter == 'X', parameter.ty == ValueType::I64, "`PARAMETERS` does not fit `{}`", call.name);
        }
    }
    // As the loader does: a full disk is an error, and no end.
    // SAFETY: no handler is set.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
    WORLD.set(Some(World::new()));
}

/// The functions of the import table that need no engine, and come back.
fn calls() -> Vec<&'static HostFunction> {
    IMPORTS.iter().filter(|function| function.is_of_host() && function.name != "proc_exit").collect()
}

fn letters(call: &HostFunction) -> &'static str {
    let known = PARAMETERS.iter().find(|(name, _)| *name == call.name);
    known.unwrap_or_else(|| panic!("`PARAMETERS` lacks `{}`", call.name)).1
}

pub(crate) fn run(data: &[u8]) {
    WORLD.with_borrow(|world| play(world.as_ref().expect("it was prepared"), &mut Input(data)));
}

/// A limit of the guest, by one of the settings.
const OUTPUT: u64 = 64;
const FILE: u64 = 1000;
const WRITE: u64 = 3000;
const FILES: u64 = 6;
const OPEN: u32 = 12;
/// Less than a listing may have, and than a pipe may hold.
const MEMORY_MAX: usize = 8 << 10;

fn play(world: &World, input: &mut Input<'_>) {
    world.reset();
    let own = world.own();
    let before = open_descriptors();
    let settings = u32::from_le_bytes([input.byte(), input.byte(), input.byte(), 0]);
    let is = |bit: u8| settings & 1 << bit != 0;
    let crossing = if is(0) { Crossing::Allowed } else { Crossing::Refused };
    let view = View { root: is(1), nested: is(2), scratch: is(6), crossing };
    let limits = Limits {
        output: is(8).then_some(OUTPUT),
        file: is(9).then_some(FILE),
        write: is(10).then_some(WRITE),
        files: is(11).then_some(FILES),
        open: is(12).then_some(OPEN),
        ..Limits::default()
    };
    ACCOUNT.limit(if is(15) { MEMORY_MAX } else { usize::MAX });
    let mut vfs = Vfs::new(world.mounts(view));
    let usage = Arc::new(Usage::default());
    vfs.limit(&limits, usage.clone(), is(7));
    vfs.disguise(is(13).then_some(5), is(14));
    vfs.keep_from_guest(&own).unwrap();
    hand_in(world, &mut vfs);
    if is(3) {
        vfs.start_trace();
    }
    let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let mut host = Host { vfs, args: words(&["program", "argument"]), env: words(&["A=1"]), still: is(4).then_some(1) };
    let mut memory = vec![0; MEMORY];
    let usual = getrlimit(Resource::Fsize);
    if is(5) {
        setrlimit(Resource::Fsize, Rlimit { current: Some(FILE_MAX), ..usual }).unwrap();
    }
    let mut disturbed = false;
    let calls = calls();
    let opening = calls.iter().position(|call| call.name == "path_open").unwrap();
    for _ in 0..CALLS_MAX {
        if input.is_empty() {
            break;
        }
        let number = match input.byte() {
            byte @ 248..=255 if is(16) => {
                disturbed = true;
                world.disturb(byte);
                continue;
            }
            // What nearly all others need.
            200..=255 => opening,
            byte => usize::from(byte) % calls.len(),
        };
        let told: Vec<Limit> = usage.told().collect();
        let goes_on = call(calls[number], input, &mut host, &mut memory, &limits);
        for limit in usage.told().filter(|limit| !told.contains(limit)) {
            let HostFunction { name, charges, .. } = calls[number];
            assert!(charges.contains(&limit), "`{name}` tells of {limit:?}, and the import table does not say so");
        }
        if !goes_on {
            break;
        }
    }
    setrlimit(Resource::Fsize, usual).unwrap();
    assert!(memmem::find(&memory, SECRET).is_none(), "a guest has read what lies outside");
    world.check_descriptors(&before, crossing);
    drop(host);
    let left: HashSet<_> = &open_descriptors() - &before;
    assert!(left.is_empty(), "descriptors stay open: {left:?}");
    world.check();
    world.check_own(&own);
    let held = world.held();
    assert!(held.streams <= limits.output.unwrap_or(u64::MAX), "{held:?} leave, and {limits:?}");
    if !disturbed {
        assert!(held.longest <= limits.file.unwrap_or(u64::MAX), "{held:?} are written, and {limits:?}");
        assert!(held.bytes <= limits.write.unwrap_or(u64::MAX), "{held:?} are written, and {limits:?}");
        assert!(held.files <= limits.files.unwrap_or(u64::MAX), "{held:?} are made, and {limits:?}");
    }
}

/// Makes a call. Gives whether the guest goes on.
fn call(call: &HostFunction, input: &mut Input<'_>, host: &mut Host, memory: &mut Vec<u8>, limits: &Limits) -> bool {
    let arguments = arguments(input, letters(call), &host.vfs, memory);
    match call.invoke(host, memory, &arguments) {
        Ok(errno) => {
            assert!(errno <= 76, "`{}` gives {errno}, which is no error of WASI", call.name);
            assert_eq!(memory.len(), MEMORY);
            let highest = host.vfs.table().open_numbers().max().unwrap_or(0);
            assert!((highest as usize) < limits.open(), "`{}` gives the descriptor {highest}", call.name);
            true
        }
        Err(GuestEnd::Limit(limit)) => {
            assert_eq!((limit, limits.output.is_some()), (Limit::Output, true));
            assert_eq!(host.vfs.over(), Some(limit));
            false
        }
        Err(GuestEnd::Exit(status)) => panic!("`{}` ends the guest with {status}", call.name),
    }
}

/// Nothing that a guest could wait for: where it waits, it waits for ever.
fn hand_in(world: &World, vfs: &mut Vfs) {
    let stream = |how| HandIn { stream: true, ..how };
    vfs.give_null(0).unwrap();
    vfs.hand_in(1, world.stream(OFlags::WRONLY | OFlags::APPEND, "out"), stream(HandIn::WRITE)).unwrap();
    let (_, closed) = rustix::pipe::pipe().unwrap();
    vfs.hand_in(2, closed, stream(HandIn::WRITE)).unwrap();
    let (ended, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&writer, b"what was sent").unwrap();
    vfs.hand_in(5, ended, HandIn::READ).unwrap();
    vfs.hand_in(6, world.stream(OFlags::RDWR, "in"), HandIn::READ).unwrap();
    let _ = vfs.give_sink(7).unwrap();
    vfs.hand_in(8, world.stream(OFlags::RDWR, "both"), HandIn::BOTH).unwrap();
    vfs.hand_in(9, world.stream(OFlags::WRONLY, "here"), stream(HandIn::WRITE)).unwrap();
}
