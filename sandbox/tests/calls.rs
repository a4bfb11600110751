//! Every call with arguments that a hostile guest might give: the host answers with an errno, and
//! never panics, hangs or writes elsewhere.

#![cfg(feature = "wasm")]

use proptest::prelude::*;
use pynbox_run::abi::{Host, HostFunction, IMPORTS, find};
use pynbox_run::vfs::{Access, Crossing, GuestPath, Mount, Mounts, Vfs};

const MEMORY: usize = 65536;

/// The functions that need no engine, and come back.
fn calls() -> Vec<&'static HostFunction> {
    IMPORTS.iter().filter(|function| function.is_of_host() && function.name != "proc_exit").collect()
}

/// The highest errno of WASI.
const ERRNO_MAX: u32 = 76;

fn host(directory: &std::path::Path) -> Host {
    let mount = |at: &str, access| {
        Mount::open(directory, GuestPath::parse_absolute(at.as_bytes()).unwrap(), access, Crossing::Refused).unwrap()
    };
    let mut vfs = Vfs::new(Mounts::new(vec![mount("/", Access::ReadWrite), mount("/ro", Access::ReadOnly)]));
    let devices: [u32; 3] = [0, 1, 2];
    for number in devices {
        vfs.give_null(number).unwrap();
    }
    Host { vfs, args: vec![b"x".to_vec(); 3], env: vec![b"A=1".to_vec()], still: None }
}

/// Numbers near the borders that matter, and any other.
fn argument() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0u64..8,
        4 => 0u64..1024,
        2 => (MEMORY as u64 - 64)..(MEMORY as u64 + 64),
        2 => (u64::from(u32::MAX) - 64)..=u64::from(u32::MAX),
        1 => any::<u64>(),
        1 => Just(u64::MAX),
        1 => Just(i64::MAX as u64),
    ]
}

/// Memory whose words are as likely to be lengths and addresses as anything, with paths among them.
fn memory() -> impl Strategy<Value = Vec<u8>> {
    let word =
        prop_oneof![argument().prop_map(|v| (v as u32).to_le_bytes()), Just(*b"../a"), Just(*b"/b/."), Just(*b"ro/c")];
    prop::collection::vec(word, 64).prop_map(|words| {
        let mut memory = words.concat();
        memory.resize(MEMORY, 0);
        memory
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_call_panics(
        first in 0..calls().len(),
        sequence in prop::collection::vec((0..calls().len(), prop::collection::vec(argument(), 9)), 1..12),
        memory in memory(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("ro")).unwrap();
        let mut host = host(directory.path());
        let mut memory = memory;
        let known = calls();
        for (index, raw) in sequence.into_iter().chain([(first, vec![0; 9])]) {
            let call = known[index];
            // Waiting is what it is for, and a file as large as the disk is what was asked for.
            if ["poll_oneoff", "fd_allocate"].contains(&call.name) {
                continue;
            }
            let errno = call.invoke(&mut host, &mut memory, &raw[..call.parameters.len()]).unwrap();
            prop_assert!(errno <= ERRNO_MAX, "{} gave {errno}", call.name);
            prop_assert_eq!(memory.len(), MEMORY);
        }
    }

    #[test]
    fn poll_never_panics(raw in prop::collection::vec(argument(), 4), memory in memory()) {
        let directory = tempfile::tempdir().unwrap();
        let mut host = host(directory.path());
        let mut memory = memory;
        let call = find("wasi_snapshot_preview1", "poll_oneoff").unwrap();
        // One ready subscription, so that nobody waits: a write to /dev/null.
        let from = raw[0] as u32 as usize;
        let count = raw[2] as u32;
        if count > 0 && from + 48 <= MEMORY {
            memory[from..from + 48].fill(0);
            memory[from + 8] = 2;
            memory[from + 16] = 1;
        }
        let errno = call.invoke(&mut host, &mut memory, &raw).unwrap();
        prop_assert!(errno <= ERRNO_MAX);
    }
}

#[test]
fn huge_vectors_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut host = host(directory.path());
    let mut memory = vec![0; MEMORY];
    for name in ["fd_read", "fd_write"] {
        let call = find("wasi_snapshot_preview1", name).unwrap();
        for (count, errno) in [(1024, 0), (1025, 28), (u64::from(u32::MAX), 28), (1 << 29, 28)] {
            assert_eq!(call.invoke(&mut host, &mut memory, &[1, 0, count, 60000]), Ok(errno), "{name} {count}");
        }
    }
}
