//! The walls of the front of `sel_ldr`, for `run --check`.

use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketType};

use super::bounds::Bounds;
use super::root::{self, Parts};
use super::{engine_files, enter_namespaces, processes, wall};
use crate::check::{NO_FILTER, Wall, WallState, apart, refused};
use crate::filter::nacl::Filters;
use crate::front::FrontError;
use crate::install::Installation;
use crate::options::Options;
use crate::report::Report;
use crate::vfs::Crossing;

/// Bytes of shared memory in the view that is probed.
const MEMORY: u64 = 64 << 20;

/// What is said of a program that can't find itself.
pub(super) fn unknown(error: FrontError) -> Vec<Wall> {
    vec![Wall { name: "engine", stops: "", state: WallState::Missing(error.to_string()) }]
}

/// Probes all walls. To be called while this process has one thread.
pub(super) fn walls(options: &Options, report: &Report, installation: &Installation) -> Vec<Wall> {
    let state = |result: Result<(), String>, advice: &str| match result {
        Ok(()) => WallState::Stands,
        Err(why) if advice.is_empty() => WallState::Missing(why),
        Err(why) => WallState::Missing(format!("{why}; {advice}")),
    };
    let files = engine_files(installation);
    let number = wall::program_number();
    let bounds = Bounds::of(options, report, number);
    let namespaces = || enter_namespaces().map_err(|error| super::NaclError::Namespaces(error).to_string());
    let view = || {
        namespaces()?;
        let engine = files.as_ref().map_err(ToString::to_string)?;
        let parts = Parts { mounts: Vec::new(), folders: &[], engine, shared: MEMORY, crossing: Crossing::Refused };
        root::enter(parts).map_err(|error| error.to_string())
    };
    let filtered = || {
        let _guest = view()?;
        let bounds = bounds.as_ref().map_err(|_| "`ulimit -v` leaves too few addresses".to_owned())?;
        let filters = Filters::new(processes::ENGINE_PID, number, false, bounds).map_err(|error| error.to_string())?;
        wall::raise(&filters, bounds, |_| Ok(())).map_err(|(what, why)| format!("{what}: {why}"))?;
        refused("a socket", rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).map(drop))
    };
    vec![
        Wall {
            name: "engine",
            stops: "what runs programs of Native Client is installed, with the host's libraries that it needs",
            state: state(files.as_ref().map(drop).map_err(ToString::to_string), ""),
        },
        Wall {
            name: "namespaces",
            stops: "the engine has users, processes, mounts and a network of its own, and none of the machine's",
            state: state(apart(namespaces), ""),
        },
        Wall {
            name: "view",
            stops: "the engine's file system holds the mounts, its own files and two devices",
            state: state(
                apart(|| {
                    let _guest = view()?;
                    refused("`/etc`", rustix::fs::openat(CWD, "/etc", OFlags::PATH, Mode::empty()).map(drop))
                }),
                "Linux 5.12 or newer is needed, and in a container a filter that lets its mount calls pass",
            ),
        },
        Wall {
            name: "filter",
            stops: "the engine has no capabilities, and the kernel refuses all calls but those that a guest needs",
            state: state(apart(filtered), NO_FILTER),
        },
    ]
}
