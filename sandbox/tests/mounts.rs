//! What the host has mounted below a guest's mount: nothing of it is reached unless that was asked
//! for, and an interface of the kernel never is.
//!
//! Through a procfs, `/proc/PID/mem` of any process of the same user is a regular file: a guest
//! that may write it runs code on the host.

#![cfg(feature = "wasm")]

mod common;

use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::path::{Path, PathBuf};
use std::process::Command;

use pynbox_run::vfs::{
    Access, Crossing, Errno, GuestPath, Last, Mount, MountError, Mounts, Offset, OpenHow, ROOT_FD, Vfs,
};

/// Set for the process inside the namespaces: the directory that is mounted for the guest.
const JOB: &str = "PYNBOX_MOUNTS_JOB";

/// Mounts onto `$PYNBOX_MOUNTS_JOB`, as somebody's system may have it.
const LAYOUT: &str = r#"
    set -e; cd "$PYNBOX_MOUNTS_JOB"; mkdir proc disk disk-of-proc; touch status file note
    mount --rbind /proc proc; mount --bind /proc/version status; mount --rbind /proc disk-of-proc
    mount -t tmpfs none disk; echo disk >disk/file; mkdir disk/proc; mount --rbind /proc disk/proc
    echo bound >disk/note; mount --bind disk/note note; ln -s proc/self self; ln -s disk/file to_disk
"#;

/// Runs a test of this program again, as root of namespaces of its own in which `LAYOUT` is
/// mounted; the caller is that test.
fn in_namespaces(test: &str, inside: impl FnOnce(&Path)) {
    if let Some(job) = std::env::var_os(JOB) {
        return inside(Path::new(&job));
    }
    let job = tempfile::tempdir().unwrap();
    let script = format!(r#"{LAYOUT} exec "$0" --exact {test} --nocapture --test-threads=1"#);
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--propagation", "private", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(JOB, job.path())
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

const READ: OpenHow = OpenHow::READ;
const WRITE: OpenHow = OpenHow { read: false, write: true, ..READ };
const CREATE: OpenHow = OpenHow { create: true, ..WRITE };
const TRUNCATE: OpenHow = OpenHow { truncate: true, ..WRITE };

fn vfs(job: &Path, access: Access, crossing: Crossing) -> Vfs {
    Vfs::new(Mounts::new(vec![Mount::open(job, GuestPath::root(), access, crossing).unwrap()]))
}

/// The ways by which a path can be reached; none if it is out of reach.
fn ways(vfs: &mut Vfs, path: &str) -> Vec<(&'static str, Option<Errno>)> {
    let text = path.as_bytes();
    let below = format!("{path}/new");
    let below = below.as_bytes();
    let mut ways = vec![
        ("stat", vfs.stat_at(ROOT_FD, text, Last::Follow).err()),
        ("lstat", vfs.stat_at(ROOT_FD, text, Last::Keep).err()),
        ("list", vfs.open(ROOT_FD, text, OpenHow { directory: true, ..READ }).err()),
        ("read", vfs.open(ROOT_FD, text, READ).err()),
        ("write", vfs.open(ROOT_FD, text, WRITE).err()),
        ("truncate", vfs.open(ROOT_FD, text, TRUNCATE).err()),
        ("create", vfs.open(ROOT_FD, below, CREATE).err()),
        ("mkdir", vfs.make_dir(ROOT_FD, below).err()),
        ("symlink", vfs.make_symlink(b"file", ROOT_FD, below).err()),
        ("link", vfs.link(ROOT_FD, b"file", Last::Keep, ROOT_FD, below).err()),
        ("rename to", vfs.rename(ROOT_FD, b"file", ROOT_FD, below).err()),
        ("unlink", vfs.remove_file(ROOT_FD, below).err()),
        ("chmod", vfs.chmod_at(ROOT_FD, text, Last::Follow, 0o755).err()),
    ];
    // A link can be looked at wherever it leads.
    ways.retain(|(way, error)| error.is_none() && !(*way == "lstat" && ["self", "to_disk"].contains(&path)));
    ways
}

#[test]
fn a_guest_does_not_get_to_what_the_host_mounted_below() {
    in_namespaces("a_guest_does_not_get_to_what_the_host_mounted_below", |job| {
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let mut vfs = vfs(job, access, Crossing::Refused);
            let memory = format!("proc/{}/mem", std::process::id());
            let thread = format!("self/task/{}/mem", std::process::id());
            let paths =
                ["proc", "proc/self", &memory, &thread, "self", "status", "disk", "disk/proc", "to_disk", "note"];
            for path in paths {
                assert_eq!(ways(&mut vfs, path), [], "{path}, {access:?}");
                assert_eq!(vfs.open(ROOT_FD, path.as_bytes(), READ).unwrap_err(), Errno::ACCESS, "{path}");
            }
            // What lies beside is as it was.
            assert!(vfs.open(ROOT_FD, b"file", READ).is_ok());
        }
        assert_eq!(fs::read(job.join("disk/file")).unwrap(), b"disk\n");
        assert_eq!(fs::read(job.join("note")).unwrap(), b"bound\n");
    });
}

#[test]
fn where_mounts_may_be_crossed_the_kernels_are_not() {
    in_namespaces("where_mounts_may_be_crossed_the_kernels_are_not", |job| {
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let mut vfs = vfs(job, access, Crossing::Allowed);
            let memory = format!("proc/{}/mem", std::process::id());
            let again = format!("disk/proc/{}/mem", std::process::id());
            for path in ["proc", "proc/self", &memory, &again, "self", "status", "disk/proc", "disk-of-proc/self/fd"] {
                assert_eq!(ways(&mut vfs, path), [], "{path}, {access:?}");
                assert_eq!(vfs.open(ROOT_FD, path.as_bytes(), READ).unwrap_err(), Errno::ACCESS, "{path}");
            }
            let mut buffer = [0; 9];
            for (path, content) in [("disk/file", "disk\n"), ("to_disk", "disk\n"), ("note", "bound\n")] {
                let fd = vfs.open(ROOT_FD, path.as_bytes(), READ).unwrap();
                let count = vfs.read(fd, &mut [IoSliceMut::new(&mut buffer)], Offset::Current).unwrap();
                assert_eq!(&buffer[..count], content.as_bytes(), "{path}");
            }
        }
        let mut vfs = vfs(job, Access::ReadWrite, Crossing::Allowed);
        let fd = vfs.open(ROOT_FD, b"disk/new", CREATE).unwrap();
        assert_eq!(vfs.write(fd, &[IoSlice::new(b"guest")], Offset::Current), Ok(5));
        assert_eq!(fs::read(job.join("disk/new")).unwrap(), b"guest");
    });
}

#[test]
fn an_interface_of_the_kernel_can_not_be_mounted() {
    for source in ["/proc", "/proc/self", "/proc/self/task"] {
        for (access, crossing) in [
            (Access::ReadOnly, Crossing::Refused),
            (Access::ReadWrite, Crossing::Refused),
            (Access::ReadOnly, Crossing::Allowed),
        ] {
            let refused = Mount::open(Path::new(source), GuestPath::root(), access, crossing);
            assert_eq!(refused.unwrap_err(), MountError::KernelFileSystem("proc"), "{source}");
        }
    }
    // What a link leads to counts, as the kernel sees it.
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/proc/self", &link).unwrap();
    let dest = common::Dest::new();
    let program = dest.guest("nothing", &common::module("", "(func (export \"_start\"))"));
    let root = format!("{}:/:ro", dest.root().display());
    for source in [PathBuf::from("/proc"), link] {
        for rest in ["ro", "rw"] {
            let mount = format!("{}:/p:{rest}", source.display());
            let ended = dest.run(["--follow-links", "-m", &root, "-m", &mount, &program]);
            ended.assert_error(2, "the kernel's `proc`");
            dest.run(["--follow-links", "--cross-mounts", "-m", &root, "-m", &mount, &program])
                .assert_error(2, "the kernel's `proc`");
        }
    }
}

#[test]
fn who_asks_is_told_what_is_out_of_reach() {
    in_namespaces("who_asks_is_told_what_is_out_of_reach", |job| {
        let dest = common::Dest::new();
        let program = dest.guest("nothing", &common::module("", "(func (export \"_start\"))"));
        let (root, mount) = (format!("{}:/:ro", dest.root().display()), format!("{}:/job:ro", job.display()));
        let ended = dest.run(["-v", "-m", &root, "-m", &mount, &program]);
        assert_eq!(ended.status, 0, "{ended:?}");
        let told = format!("no access to `{}`", job.join("disk").display());
        assert!(ended.err.contains(&told) && ended.err.contains("--cross-mounts"), "{ended:?}");
        let silent = dest.run(["-m", &root, "-m", &mount, &program]);
        assert_eq!((silent.status, silent.err.as_str()), (0, ""));
    });
}
