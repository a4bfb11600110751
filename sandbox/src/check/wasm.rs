//! The walls of a loader for WebAssembly.

use std::fs::File;
use std::os::fd::AsFd as _;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

use super::{NO_FILTER, Wall, WallState, apart, has_no_privileges, refused};
use crate::compiler::Compiler;
use crate::engine::Layout;
use crate::reach::{self, Reach};
use crate::vfs::Crossing;
use crate::{open_how, wall};

/// The shortest module.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// What of Landlock came with which version, from the second on, and with which Linux.
const LANDLOCK: [(&str, &str); 4] = [
    ("files may be cut short by native code in the loader", "6.2"),
    ("TCP is left to the filter", "6.7"),
    ("ioctls of devices are left to the filter", "6.10"),
    ("signals and abstract sockets are left to the filter", "6.12"),
];

/// Probes all walls. To be called while this process has one thread.
pub(crate) fn walls() -> Vec<Wall> {
    let needed = |result: Result<(), String>, advice: &str| match result {
        Ok(()) => WallState::Stands,
        Err(why) => WallState::Missing(format!("{why}; {advice}")),
    };
    vec![
        Wall {
            name: "paths",
            stops: "the kernel resolves every path of a guest below its mount (openat2)",
            state: needed(
                paths().map_err(|error| format!("openat2 fails: {error}")),
                "Linux 5.6 or newer is needed, and in a container a filter that lets openat2(2) pass",
            ),
        },
        Wall {
            name: "privileges",
            stops: "the loader gives up all capabilities, and no program gives it others",
            state: needed(apart(privileges), "a container's filter may forbid capset(2) or prctl(2)"),
        },
        Wall {
            name: "landlock",
            stops: "the kernel keeps each thread to the files of the mounts, and from TCP, signals and abstract sockets",
            state: landlock(),
        },
        Wall {
            name: "filter",
            stops: "the kernel refuses all calls but those that a guest's files, memory and clocks need",
            state: needed(apart(filter), NO_FILTER),
        },
        Wall {
            name: "open table",
            stops: "nothing can be mapped over the table of the ways in which files are opened",
            state: match apart(sealed) {
                Ok(()) => WallState::Stands,
                Err(why) => WallState::Weaker(format!(
                    "{why}: native code in the loader could open handles of files outside the mounts (not read or write \
                     them, where Landlock stands); Linux 6.10 or newer has mseal(2)"
                )),
            },
        },
        Wall {
            name: "compiler",
            stops: "modules that were not compiled ahead are compiled by a process without files, with limits",
            state: match apart(compiler) {
                Ok(()) => WallState::Stands,
                Err(why) => WallState::Weaker(format!(
                    "{why}; only what was compiled ahead can be run: let this user start more processes (`ulimit -u`)"
                )),
            },
        },
    ]
}

fn paths() -> Result<(), Errno> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    open_how::open(root.as_fd(), c".", OFlags::PATH | OFlags::DIRECTORY, Crossing::Refused).map(drop)
}

fn privileges() -> Result<(), String> {
    wall::give_up_privileges().map_err(|error| error.to_string())?;
    has_no_privileges()
}

fn landlock() -> WallState {
    if !reach::is_enforced() {
        let why = match reach::version() {
            0 => "this kernel has none, or does not use it",
            _ => "this kernel's first version can't let files be moved between directories",
        };
        return WallState::Weaker(format!(
            "{why}: native code in the loader could open all files of its user; use Linux 5.19 or newer with `landlock` in \
             its list of security modules (`lsm=`), and in a container a filter that lets landlock_create_ruleset(2) pass"
        ));
    }
    let stops = apart(|| {
        wall::confine_thread(Reach::of([])).map_err(|error| error.to_string())?;
        refused("listing `/`", File::open("/").map(drop).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)))
    });
    if let Err(why) = stops {
        return WallState::Missing(format!(
            "{why}; the loader trusts what the kernel says of Landlock: look into its log"
        ));
    }
    let version = usize::try_from(reach::version()).unwrap_or(0);
    match LANDLOCK.get(version.saturating_sub(2)..).unwrap_or_default() {
        [] => WallState::Stands,
        lacking @ [.., (_, newest)] => {
            let lacking: Vec<_> = lacking.iter().map(|(what, _)| *what).collect();
            WallState::Weaker(format!("version {version}: {}; Linux {newest} has all of it", lacking.join(", ")))
        }
    }
}

fn filter() -> Result<(), String> {
    wall::raise(false, Crossing::Refused, Reach::of([])).map_err(|error| error.to_string())?;
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).map(drop);
    refused("a socket", socket)?;
    refused("openat", rustix::fs::openat(CWD, "/", OFlags::RDONLY, Mode::empty()).map(drop))
}

fn sealed() -> Result<(), String> {
    if open_how::seal() { Ok(()) } else { Err("this kernel can't seal memory".to_owned()) }
}

fn compiler() -> Result<(), String> {
    Compiler::start(crate::compiler::CompilerLimits::default())
        .compile(EMPTY_MODULE.to_vec(), Layout::USUAL)
        .map(drop)
        .map_err(|error| error.to_string())
}
