//! What POSIX says of names, access, locks, pipes and times, where the loader says it by itself.

use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use pynbox_run::vfs::{
    Access, Crossing, Errno, GuestPath, HandIn, Last, Lock, Mount, Mounts, Offset, OpenHow, ROOT_FD, Readiness,
    S_IFIFO, S_IFSOCK, Vfs, Whence,
};
use rustix::fs::{Timespec, Timestamps};

const READ: OpenHow = OpenHow::READ;
const CREATE: OpenHow = OpenHow { write: true, create: true, ..READ };

/// A guest with `directory` at "/rw" to write, and at "/ro" to read.
fn guest(directory: &Path) -> Vfs {
    fs::create_dir_all(directory.join("folder/inner")).unwrap();
    fs::write(directory.join("file"), "text").unwrap();
    symlink("file", directory.join("link")).unwrap();
    let mount = |at: &str, access| {
        Mount::open(directory, GuestPath::parse_absolute(at.as_bytes()).unwrap(), access, Crossing::Refused).unwrap()
    };
    Vfs::new(Mounts::new(vec![mount("/rw", Access::ReadWrite), mount("/ro", Access::ReadOnly)]))
}

fn open(vfs: &mut Vfs, path: &str, how: OpenHow) -> Result<u32, Errno> {
    vfs.open(ROOT_FD, path.as_bytes(), how)
}

fn get(vfs: &mut Vfs, fd: u32) -> Result<Vec<u8>, Errno> {
    let mut buffer = [0; 100];
    let count = vfs.read(fd, &mut [IoSliceMut::new(&mut buffer)], Offset::Current)?;
    Ok(buffer[..count].to_vec())
}

fn put(vfs: &mut Vfs, fd: u32, text: &str) -> Result<usize, Errno> {
    vfs.write(fd, &[IoSlice::new(text.as_bytes())], Offset::Current)
}

#[test]
fn access_says_what_open_would_say() {
    let directory = tempfile::tempdir().unwrap();
    let mut vfs = guest(directory.path());
    let mut may = |path: &str, mode| vfs.access_at(ROOT_FD, path.as_bytes(), mode);
    assert_eq!((may("rw/file", 6), may("rw/link", 6), may("rw/folder", 7)), (Ok(()), Ok(()), Ok(())));
    assert_eq!(
        (may("ro/file", 4), may("ro/file", 2), may("ro/folder", 6)),
        (Ok(()), Err(Errno::ROFS), Err(Errno::ROFS))
    );
    assert_eq!(
        (may("", 0), may("rw/no", 0), may("rw/file/", 0)),
        (Err(Errno::NOENT), Err(Errno::NOENT), Err(Errno::NOTDIR))
    );
    // "/" is there because something is mounted below it.
    assert_eq!((may("/", 5), may("/", 2), may("rw/file", 8)), (Ok(()), Err(Errno::ROFS), Err(Errno::INVAL)));
    assert_eq!(
        (may("rw/file", 1), may("/dev/null", 6), may("/dev/null", 1)),
        (Err(Errno::ACCESS), Ok(()), Err(Errno::ACCESS))
    );
    fs::set_permissions(directory.path().join("file"), fs::Permissions::from_mode(0o500)).unwrap();
    assert_eq!(may("rw/file", 1), Ok(()));
    let may_write = may("rw/file", 2);
    let opened = open(&mut vfs, "rw/file", OpenHow { write: true, ..READ });
    assert_eq!(may_write, opened.map(drop), "root may, others may not");
}

#[test]
fn what_ends_in_dots_is_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut vfs = guest(directory.path());
    let mut remove = |path: &str| vfs.remove_dir(ROOT_FD, path.as_bytes());
    assert_eq!((remove("rw/folder/."), remove("rw/folder/inner/..")), (Err(Errno::INVAL), Err(Errno::NOTEMPTY)));
    assert_eq!(
        (remove("rw/file/."), remove("rw/no/.."), remove("")),
        (Err(Errno::NOTDIR), Err(Errno::NOENT), Err(Errno::NOENT))
    );
    let mut unlink = |path: &str| vfs.remove_file(ROOT_FD, path.as_bytes());
    assert_eq!(
        (unlink("rw/folder/."), unlink("rw/folder/.."), unlink("rw/file/.")),
        (Err(Errno::ISDIR), Err(Errno::ISDIR), Err(Errno::NOTDIR))
    );
    let mut rename = |from: &str, to: &str| vfs.rename(ROOT_FD, from.as_bytes(), ROOT_FD, to.as_bytes());
    assert_eq!(rename("rw/folder/.", "rw/other"), Err(Errno::BUSY));
    assert_eq!(rename("rw/folder", "rw/file/."), Err(Errno::NOTDIR));
    assert_eq!(rename("rw/no", &format!("rw/{}", "n".repeat(256))), Err(Errno::NOENT));
    assert_eq!(rename("rw/file", &format!("rw/{}", "n".repeat(256))), Err(Errno::NAMETOOLONG));
    for (path, error) in [
        ("rw/file/", Errno::ISDIR),
        ("rw/new/", Errno::ISDIR),
        ("rw/folder/.", Errno::ISDIR),
        ("rw/file/.", Errno::NOTDIR),
        ("rw/new/.", Errno::NOENT),
    ] {
        assert_eq!(open(&mut vfs, path, CREATE), Err(error), "{path}");
    }
    assert_eq!(open(&mut vfs, "rw/folder/.", OpenHow { exclusive: true, ..CREATE }), Err(Errno::EXIST));
    assert_eq!(vfs.read_link(ROOT_FD, b"rw/file/."), Err(Errno::NOTDIR));
    assert_eq!(vfs.link(ROOT_FD, b"rw/file/", Last::Keep, ROOT_FD, b"rw/folder"), Err(Errno::NOTDIR));
    assert!(directory.path().join("folder/inner").exists() && !directory.path().join("new").exists());
}

#[test]
fn a_lock_belongs_to_an_open_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut vfs = guest(directory.path());
    let one = open(&mut vfs, "rw/file", CREATE).unwrap();
    // The same file by another mount.
    let two = open(&mut vfs, "ro/file", READ).unwrap();
    let other = open(&mut vfs, "rw/other", CREATE).unwrap();
    assert_eq!(vfs.lock(one, Some(Lock::Exclusive), false), Ok(()));
    assert_eq!(vfs.lock(two, Some(Lock::Shared), false), Err(Errno::WOULDBLOCK));
    assert_eq!(vfs.lock(two, Some(Lock::Exclusive), true), Err(Errno::DEADLK));
    assert_eq!(vfs.lock(other, Some(Lock::Exclusive), false), Ok(()));
    // A duplicate holds the same lock, and may change it.
    let copy = vfs.duplicate(one, 0).unwrap();
    assert_eq!(vfs.lock(copy, Some(Lock::Shared), false), Ok(()));
    assert_eq!(vfs.lock(two, Some(Lock::Shared), false), Ok(()));
    assert_eq!(vfs.lock(one, Some(Lock::Exclusive), false), Err(Errno::WOULDBLOCK));
    assert_eq!((vfs.lock(two, None, false), vfs.lock(one, Some(Lock::Exclusive), false)), (Ok(()), Ok(())));
    vfs.close(one).unwrap();
    assert_eq!(vfs.lock(two, Some(Lock::Shared), false), Err(Errno::WOULDBLOCK));
    vfs.close(copy).unwrap();
    assert_eq!(vfs.lock(two, Some(Lock::Exclusive), false), Ok(()));
    assert_eq!(vfs.lock(99, None, false), Err(Errno::BADF));
}

#[test]
fn the_last_duplicate_closes_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut vfs = guest(directory.path());
    let (reading, writing) = vfs.make_pipe().unwrap();
    assert_eq!(vfs.stat(reading).map(|stat| stat.kind()), Ok(S_IFIFO));
    let copy = vfs.duplicate(writing, 0).unwrap();
    vfs.close(writing).unwrap();
    assert_eq!((put(&mut vfs, copy, "abc"), vfs.readable_bytes(reading)), (Ok(3), 3));
    let both = [
        (reading, Readiness { read: true, ..Readiness::default() }),
        (copy, Readiness { write: true, ..Readiness::default() }),
    ];
    assert_eq!(vfs.poll(&both, None), Ok(vec![Ok(both[0].1), Ok(both[1].1)]));
    assert_eq!((get(&mut vfs, reading), get(&mut vfs, reading)), (Ok(b"abc".to_vec()), Err(Errno::AGAIN)));
    assert_eq!(vfs.seek(reading, Whence::Start, 0), Err(Errno::SPIPE));
    assert_eq!(vfs.write(reading, &[IoSlice::new(b"x")], Offset::At(0)), Err(Errno::SPIPE));
    vfs.close(copy).unwrap();
    assert_eq!(get(&mut vfs, reading), Ok(vec![]));
}

#[test]
fn sockets_are_those_of_a_pair() {
    let directory = tempfile::tempdir().unwrap();
    let mut vfs = guest(directory.path());
    let (one, two) = vfs.make_socket_pair().unwrap();
    let file = open(&mut vfs, "rw/file", READ).unwrap();
    assert_eq!(vfs.stat(two).map(|stat| stat.kind()), Ok(S_IFSOCK));
    assert_eq!((vfs.send(one, &[IoSlice::new(b"ping")]), get(&mut vfs, two)), (Ok(4), Ok(b"ping".to_vec())));
    assert_eq!(vfs.receive(one, &mut [IoSliceMut::new(&mut [])], false), Err(Errno::AGAIN));
    assert_eq!((vfs.send(file, &[]), vfs.shut_down(file, true, true)), (Err(Errno::NOTSOCK), Err(Errno::NOTSOCK)));
    let (host, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    vfs.hand_in(50, host.into(), HandIn::BOTH).unwrap();
    assert_eq!(vfs.send(50, &[]), Err(Errno::NOSYS));
}

#[test]
fn there_is_no_half_of_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let mut vfs = guest(directory.path());
    let mut last = 0;
    while let Ok(fd) = vfs.duplicate(ROOT_FD, 0) {
        last = fd;
    }
    vfs.close(last).unwrap();
    assert_eq!((vfs.make_pipe(), vfs.make_socket_pair()), (Err(Errno::MFILE), Err(Errno::MFILE)));
    assert_eq!(vfs.duplicate(ROOT_FD, 0), Ok(last));
}

#[test]
fn times_before_1970_stay_what_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let mut vfs = guest(directory.path());
    let before = Timespec { tv_sec: -2, tv_nsec: 5 };
    let times = Timestamps { last_access: before, last_modification: before };
    vfs.set_times_at(ROOT_FD, b"rw/file", Last::Follow, &times).unwrap();
    assert_eq!(vfs.stat_at(ROOT_FD, b"rw/file", Last::Follow).map(|stat| stat.mtime), Ok(-1_999_999_995));
}

#[test]
fn a_descriptor_knows_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let mut vfs = guest(directory.path());
    let folder = open(&mut vfs, "rw/folder/../folder/inner/", READ).unwrap();
    let file = open(&mut vfs, "rw/file", READ).unwrap();
    assert_eq!(vfs.directory_path(folder).map(ToString::to_string), Ok("/rw/folder/inner".to_owned()));
    assert_eq!(
        (vfs.directory_path(file).err(), vfs.directory_path(99).err()),
        (Some(Errno::NOTDIR), Some(Errno::BADF))
    );
}
