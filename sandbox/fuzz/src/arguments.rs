//! From the bytes of an input to the arguments of a call: addresses in a guest's memory where
//! something sensible lies, and now and then any number.

use pynbox_run::vfs::{ROOT_BASE, Vfs};

/// Bytes of the guest's memory, and what lies where in it.
pub(crate) const MEMORY: usize = 64 << 10;
const ANSWERS: u32 = 1 << 10;
const BUFFERS: u32 = 4 << 10;
const EVENTS: u32 = 6 << 10;
const PATHS: u32 = 8 << 10;
const PATH_ROOM: u32 = 8 << 10;
const DATA: u32 = 32 << 10;

/// What the parameters of each call are, a letter each: `f` a descriptor, `d` a directory's, `P`
/// and `N` a path and its length, `b` and `c` buffers and their count, `s`, `e` and `n`
/// subscriptions, events and their count, `o` where an answer goes, `r` the room there, `l` flags
/// of a path, `m` flags of which there are few, `x` another number, `X` another one of 64 bits.
pub(crate) const PARAMETERS: &[(&str, &str)] = &[
    ("args_get", "oo"),
    ("args_sizes_get", "oo"),
    ("clock_res_get", "xo"),
    ("clock_time_get", "xXo"),
    ("environ_get", "oo"),
    ("environ_sizes_get", "oo"),
    ("fd_advise", "fXXx"),
    ("fd_allocate", "fXX"),
    ("fd_available", "fo"),
    ("fd_chmod", "fx"),
    ("fd_close", "f"),
    ("fd_datasync", "f"),
    ("fd_dup", "fxo"),
    ("fd_dup2", "ff"),
    ("fd_fdstat_get", "fo"),
    ("fd_fdstat_set_flags", "fm"),
    ("fd_fdstat_set_rights", "fXX"),
    ("fd_filestat_get", "fo"),
    ("fd_filestat_set_size", "fX"),
    ("fd_filestat_set_times", "fXXm"),
    ("fd_flock", "fm"),
    ("fd_mode", "fo"),
    ("fd_pair", "o"),
    ("fd_path", "foro"),
    ("fd_pipe", "o"),
    ("fd_pread", "fbcXo"),
    ("fd_prestat_dir_name", "for"),
    ("fd_prestat_get", "fo"),
    ("fd_pwrite", "fbcXo"),
    ("fd_read", "fbco"),
    ("fd_readdir", "forXo"),
    ("fd_renumber", "ff"),
    ("fd_seek", "fXmo"),
    ("fd_stat", "fo"),
    ("fd_sync", "f"),
    ("fd_tell", "fo"),
    ("fd_write", "fbco"),
    ("path_access", "dPNm"),
    ("path_chmod", "dlPNx"),
    ("path_create_directory", "dPN"),
    ("path_filestat_get", "dlPNo"),
    ("path_filestat_set_times", "dlPNXXm"),
    ("path_link", "dlPNdPN"),
    ("path_mode", "dlPNo"),
    ("path_open", "dlPNmXXmo"),
    ("path_readlink", "dPNoro"),
    ("path_remove_directory", "dPN"),
    ("path_rename", "dPNdPN"),
    ("path_stat", "dlPNo"),
    ("path_symlink", "PNdPN"),
    ("path_unlink_file", "dPN"),
    ("poll_oneoff", "seno"),
    ("proc_raise", "x"),
    ("random_get", "or"),
    ("sched_yield", ""),
    ("sock_accept", "fxo"),
    ("sock_recv", "fbcmoo"),
    ("sock_send", "fbcmo"),
    ("sock_shutdown", "fm"),
];

/// Paths at which something lies, or may be made.
const PLACES: &[&[u8]] = &[
    b"rw/a",
    b"rw/new",
    b"rw/d",
    b"rw/d/b",
    b"rw/d/new",
    b"rw/in",
    b"rw/up/secret",
    b"rw/out",
    b"rw/up",
    b"rw/sub/a",
    b"rw/proc/self/root",
    b"rw/log",
    b"rw/abs/b",
    b"rw/fifo",
    b"rw/other",
    b"tmp/new",
    b"tmp/other",
    b"tmp",
    b"rw",
    b"a",
    b"sub/b",
    b"out",
    b"up/outside/secret",
    b"dev/null",
    b"dev/zero",
    b"/",
    b".",
    b"rw/sub",
    b"rw/sub/new",
    b"rw/moved/secret",
];

/// The names that paths are made of.
const NAMES: &[&[u8]] = &[
    b"a", b"b", b"d", b"rw", b"sub", b"proc", b"out", b"up", b"abs", b"loop", b"in", b"far", b"fifo", b"dev", b"null",
    b"urandom", b"..", b".", b"", b"new", b"self", b"root", b"mem", b"host", b"fd", b"moved", b"other", b"\xff\n",
    b"tmp",
];

const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    3,
    4,
    8,
    64,
    66,
    255,
    512,
    1023,
    1024,
    4095,
    4096,
    65535,
    65536,
    1 << 18,
    1 << 20,
    1 << 30,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    1_000_000_000,
    1 << 62,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// The bytes of an input that are left.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl Input<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; zero at the end.
    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    fn long(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    fn number(&mut self) -> u64 {
        match self.byte() {
            255 => self.long(),
            byte if byte >= 128 => NUMBERS[usize::from(byte) % NUMBERS.len()],
            byte => byte.into(),
        }
    }
}

/// Writes what the call's parameters lead to into the guest's memory, and gives the parameters.
pub(crate) fn arguments(input: &mut Input<'_>, letters: &str, vfs: &Vfs, memory: &mut [u8]) -> Vec<u64> {
    let mut paths = 0;
    let mut counted = 0;
    let mut all = Vec::with_capacity(letters.len());
    for letter in letters.chars() {
        let argument = match letter {
            'f' | 'd' => descriptor(input, vfs, letter == 'd').into(),
            'P' => {
                let at = PATHS + paths * PATH_ROOM;
                paths += 1;
                counted = path(input, &mut memory[at as usize..(at + PATH_ROOM) as usize]);
                address(input, at)
            }
            'N' => length(input, counted),
            'b' => {
                counted = buffers(input, memory);
                address(input, BUFFERS)
            }
            'c' => length(input, counted),
            's' => {
                counted = subscriptions(input, vfs, memory);
                BUFFERS.into()
            }
            'e' => address(input, EVENTS),
            'n' => counted.into(),
            'o' => {
                let answer = ANSWERS + 256 * u32::try_from(all.len()).unwrap();
                address(input, answer)
            }
            'r' => input.number(),
            'l' => (input.byte() & 3).into(),
            'm' => match input.byte() {
                byte @ 0..=239 => (byte & 15).into(),
                _ => input.number(),
            },
            _ => input.number(),
        };
        all.push(argument);
    }
    all
}

/// Nearly always the address at which something lies.
fn address(input: &mut Input<'_>, usual: u32) -> u64 {
    match input.byte() {
        0..=239 => usual.into(),
        240..=243 => (MEMORY - 4) as u64,
        244..=247 => u64::from(BUFFERS),
        248..=251 => (MEMORY - 1) as u64,
        _ => u64::from(u32::MAX) - 2,
    }
}

fn length(input: &mut Input<'_>, usual: u32) -> u64 {
    match input.byte() {
        0..=239 => usual.into(),
        _ => input.number(),
    }
}

fn descriptor(input: &mut Input<'_>, vfs: &Vfs, base: bool) -> u32 {
    match input.byte() {
        byte @ 0..=15 => byte.into(),
        16..=199 if base => ROOT_BASE,
        250 => u32::MAX,
        251 => 1023,
        252 => ROOT_BASE,
        byte => {
            let open: Vec<u32> = vfs.table().open_numbers().collect();
            open.get(usize::from(byte) % open.len().max(1)).copied().unwrap_or(0)
        }
    }
}

fn path(input: &mut Input<'_>, room: &mut [u8]) -> u32 {
    let shape = input.byte();
    if shape < 32 {
        // One of many in a directory.
        let name = [b'r', b'w', b'/', b'A' + shape];
        room[..name.len()].copy_from_slice(&name);
        return 4;
    }
    if shape < 160 {
        let place = PLACES[usize::from(shape) % PLACES.len()];
        room[..place.len()].copy_from_slice(place);
        return u32::try_from(place.len()).unwrap();
    }
    let mut text: Vec<u8> = Vec::new();
    if shape & 1 != 0 {
        text.push(b'/');
    }
    for component in 0..(shape >> 2) % 8 {
        if component > 0 {
            text.push(b'/');
        }
        match input.byte() {
            254 => text.resize(text.len() + 255 + usize::from(input.byte() & 1), b'n'),
            255 => (0..600).for_each(|_| text.extend(b"d/../")),
            byte => text.extend(NAMES[usize::from(byte) % NAMES.len()]),
        }
    }
    if shape & 2 != 0 {
        text.push(b'/');
    }
    text.truncate(room.len());
    room[..text.len()].copy_from_slice(&text);
    u32::try_from(text.len()).unwrap()
}

fn buffers(input: &mut Input<'_>, memory: &mut [u8]) -> u32 {
    let count = u32::from(input.byte() % 5);
    for index in 0..count {
        let at = match input.byte() {
            byte @ 0..=223 => u64::from(DATA) + 128 * u64::from(byte),
            _ => input.number(),
        };
        let length = input.number();
        let entry = BUFFERS + index * 8;
        put(memory, entry, &low(at).to_le_bytes());
        put(memory, entry + 4, &low(length).to_le_bytes());
    }
    count
}

/// Subscriptions of which one is to a clock that soon has passed: nobody else ends a wait.
fn subscriptions(input: &mut Input<'_>, vfs: &Vfs, memory: &mut [u8]) -> u32 {
    let count = 1 + u32::from(input.byte() % 5);
    for index in 0..count {
        let mut subscription = [0; 48];
        subscription[0] = input.byte();
        if index > 0 {
            subscription[8] = input.byte() % 4;
        }
        if subscription[8] == 0 {
            let timeout = if index == 0 { input.byte().into() } else { input.number() };
            subscription[16] = if index == 0 { 1 } else { input.byte() };
            subscription[24..32].copy_from_slice(&timeout.to_le_bytes());
            subscription[40] = if index == 0 { 0 } else { input.byte() };
        } else {
            subscription[16..20].copy_from_slice(&descriptor(input, vfs, false).to_le_bytes());
        }
        put(memory, BUFFERS + index * 48, &subscription);
    }
    count
}

fn put(memory: &mut [u8], at: u32, bytes: &[u8]) {
    memory[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
}

/// The low half, as an engine gives a parameter of 32 bits.
fn low(number: u64) -> u32 {
    (number & u64::from(u32::MAX)) as u32
}
