//! The guest's files: what Linux would say, and that nothing leads out of a mount.

#![cfg(feature = "wasm")]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pynbox_run::vfs::{
    Access, Crossing, DESCRIPTORS_MAX, Errno, GuestPath, HandIn, Last, Mount, Mounts, Offset, OpenHow, ROOT_BASE,
    ROOT_FD, S_IFCHR, S_IFDIR, Vfs, Whence,
};
use rustix::fs::OFlags;
use std::io::{IoSlice, IoSliceMut};

const READ: OpenHow = OpenHow::READ;
const WRITE: OpenHow = OpenHow { read: false, write: true, ..READ };
const CREATE: OpenHow = OpenHow { create: true, ..WRITE };

fn vfs(mounts: &[(&Path, &str, Access)]) -> Vfs {
    let mount = |(host, at, access): &(&Path, &str, Access)| {
        Mount::open(host, GuestPath::parse_absolute(at.as_bytes()).unwrap(), *access, Crossing::Refused).unwrap()
    };
    Vfs::new(Mounts::new(mounts.iter().map(mount).collect()))
}

fn open(vfs: &mut Vfs, path: &str, how: OpenHow) -> Result<u32, Errno> {
    vfs.open(ROOT_FD, path.as_bytes(), how)
}

fn content(vfs: &mut Vfs, path: &str) -> Result<String, Errno> {
    let fd = open(vfs, path, READ)?;
    let mut buffer = [0; 100];
    let count = vfs.read(fd, &mut [IoSliceMut::new(&mut buffer)], Offset::Current)?;
    vfs.close(fd)?;
    Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

fn put(vfs: &mut Vfs, fd: u32, text: &str) -> Result<usize, Errno> {
    vfs.write(fd, &[IoSlice::new(text.as_bytes())], Offset::Current)
}

fn names(vfs: &mut Vfs, path: &str) -> Vec<String> {
    let fd = open(vfs, path, OpenHow { directory: true, ..READ }).unwrap();
    let entries = vfs.entries(fd, true).unwrap();
    vfs.close(fd).unwrap();
    let mut names: Vec<String> = entries.iter().map(|e| String::from_utf8_lossy(&e.name).into_owned()).collect();
    names.sort();
    names
}

/// A directory `inside` to mount, and a secret beside it.
fn prison() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("inside");
    fs::create_dir_all(inside.join("sub/deep")).unwrap();
    fs::write(directory.path().join("secret"), "secret").unwrap();
    fs::write(inside.join("file"), "file").unwrap();
    fs::write(inside.join("sub/file"), "sub").unwrap();
    (directory, inside)
}

#[test]
fn dot_dot_stops_at_the_root() {
    let (_keep, inside) = prison();
    let mut vfs = vfs(&[(&inside, "/", Access::ReadWrite)]);
    for path in [
        "../secret",
        "../../../../secret",
        "sub/../../secret",
        "/../secret",
        "sub/../../../etc/passwd",
        "sub/deep/../../../secret",
    ] {
        assert_eq!(content(&mut vfs, path), Err(Errno::NOENT), "{path}");
        assert_eq!(vfs.stat_at(ROOT_FD, path.as_bytes(), Last::Follow).map(drop), Err(Errno::NOENT), "{path}");
    }
    assert_eq!(content(&mut vfs, "../file").as_deref(), Ok("file"));
    assert_eq!(content(&mut vfs, "sub/deep/../../file").as_deref(), Ok("file"));
    assert_eq!(content(&mut vfs, "file/../file"), Err(Errno::NOTDIR));
    assert_eq!(content(&mut vfs, "none/../file"), Err(Errno::NOENT));
    assert_eq!(open(&mut vfs, "../new", CREATE).map(drop), Ok(()));
    assert!(inside.join("new").exists());
    // A directory's own descriptor is no way out either.
    let sub = open(&mut vfs, "sub/deep", READ).unwrap();
    assert_eq!(vfs.open(sub, b"../../../secret", READ), Err(Errno::NOENT));
    assert!(vfs.open(sub, b"../../file", READ).is_ok());
}

#[test]
fn links_stay_in_the_guests_tree() {
    let (keep, inside) = prison();
    let host = keep.path().to_str().unwrap();
    for (target, name) in [
        ("../secret", "relative"),
        (&format!("{host}/secret") as &str, "absolute"),
        ("../../../../../../../../etc/passwd", "far"),
        ("relative", "chain"),
        ("chain", "longer"),
        ("/file", "to_file"),
        ("sub/../file", "dotted"),
        ("sub", "to_sub"),
        ("/sub/deep", "to_deep"),
        ("..", "up"),
        ("loop_b", "loop_a"),
        ("loop_a", "loop_b"),
        ("/proc/self/root/etc/passwd", "magic"),
    ] {
        symlink(target, inside.join(name)).unwrap();
    }
    symlink("../../secret", inside.join("sub/out")).unwrap();
    let mut vfs = vfs(&[(&inside, "/", Access::ReadWrite)]);
    for path in [
        "relative",
        "absolute",
        "far",
        "chain",
        "longer",
        "magic",
        "sub/out",
        "up/secret",
        "to_sub/out",
        "to_deep/../../../secret",
    ] {
        assert_eq!(content(&mut vfs, path), Err(Errno::NOENT), "{path}");
    }
    for path in ["to_file", "dotted", "up/file", "to_deep/../../file", "up/up/up/file"] {
        assert_eq!(content(&mut vfs, path).as_deref(), Ok("file"), "{path}");
    }
    assert_eq!(content(&mut vfs, "to_sub/file").as_deref(), Ok("sub"));
    assert_eq!(content(&mut vfs, "loop_a"), Err(Errno::LOOP));
    assert_eq!(open(&mut vfs, "to_file", OpenHow { no_follow: true, ..READ }), Err(Errno::LOOP));
    assert_eq!(vfs.read_link(ROOT_FD, b"relative").unwrap(), b"../secret");
    // Writing through a link that leads out makes a file inside, if anything.
    assert!(open(&mut vfs, "relative", CREATE).is_ok());
    assert_eq!(fs::read_to_string(keep.path().join("secret")).unwrap(), "secret");
    assert!(inside.join("secret").exists());
    assert_eq!(vfs.chmod_at(ROOT_FD, b"absolute", Last::Follow, 0o777), Err(Errno::NOENT));
}

#[test]
fn a_guest_can_make_links_but_not_leave_by_them() {
    let (_keep, inside) = prison();
    let mut vfs = vfs(&[(&inside, "/", Access::ReadWrite)]);
    for target in ["/etc/passwd", "../secret", "/proc/self/fd/0", "../../../../proc/1/root"] {
        vfs.make_symlink(target.as_bytes(), ROOT_FD, b"link").unwrap();
        assert_eq!(content(&mut vfs, "link"), Err(Errno::NOENT));
        assert_eq!(open(&mut vfs, "link/x", CREATE), Err(Errno::NOENT));
        vfs.remove_file(ROOT_FD, b"link").unwrap();
    }
    assert_eq!(vfs.make_symlink(b"", ROOT_FD, b"link"), Err(Errno::NOENT));
    assert_eq!(vfs.make_symlink(b"x", ROOT_FD, b"file"), Err(Errno::EXIST));
}

#[test]
fn links_lead_from_mount_to_mount_in_the_guests_tree() {
    let (_keep, inside) = prison();
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("there"), "there").unwrap();
    fs::create_dir(inside.join("data")).unwrap();
    fs::write(inside.join("data/there"), "hidden by the mount").unwrap();
    symlink("data/there", inside.join("relative")).unwrap();
    symlink("/data/there", inside.join("absolute")).unwrap();
    symlink("../file", other.path().join("back")).unwrap();
    let mut vfs = vfs(&[(&inside, "/", Access::ReadOnly), (other.path(), "/data", Access::ReadWrite)]);
    for path in ["relative", "absolute", "data/there", "data/../data/there"] {
        assert_eq!(content(&mut vfs, path).as_deref(), Ok("there"), "{path}");
    }
    assert_eq!(content(&mut vfs, "data/back").as_deref(), Ok("file"));
    // Both mounts could be the same file system: the guest sees two.
    assert_eq!(vfs.rename(ROOT_FD, b"data/there", ROOT_FD, b"x"), Err(Errno::XDEV));
    assert_eq!(vfs.link(ROOT_FD, b"file", Last::Keep, ROOT_FD, b"data/x"), Err(Errno::XDEV));
    assert_eq!(vfs.link(ROOT_FD, b"data/there", Last::Keep, ROOT_FD, b"x"), Err(Errno::XDEV));
    for gone in [
        vfs.remove_dir(ROOT_FD, b"data"),
        vfs.rename(ROOT_FD, b"data", ROOT_FD, b"d"),
        vfs.remove_dir(ROOT_FD, b"data/"),
    ] {
        assert_eq!(gone, Err(Errno::BUSY));
    }
}

#[test]
fn mount_points_are_directories_whatever_lies_there() {
    let (_keep, inside) = prison();
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("there"), "there").unwrap();
    symlink("/etc", inside.join("via_link")).unwrap();
    let mut vfs = vfs(&[
        (&inside, "/", Access::ReadWrite),
        (other.path(), "/none/such/place", Access::ReadOnly),
        (other.path(), "/file/m", Access::ReadOnly),
        (other.path(), "/via_link/m", Access::ReadOnly),
    ]);
    assert_eq!(names(&mut vfs, "/"), [".", "..", "file", "none", "sub", "via_link"]);
    assert_eq!(names(&mut vfs, "none"), [".", "..", "such"]);
    assert_eq!(names(&mut vfs, "none/such/place"), [".", "..", "there"]);
    for path in ["none/such/place/there", "file/m/there", "via_link/m/there", "none/../file/m/../m/there"] {
        assert_eq!(content(&mut vfs, path).as_deref(), Ok("there"), "{path}");
    }
    assert_eq!(vfs.stat_at(ROOT_FD, b"none", Last::Keep).unwrap().kind(), S_IFDIR);
    assert_eq!(content(&mut vfs, "via_link/passwd"), Err(Errno::NOENT));
    assert_eq!(open(&mut vfs, "none/x", CREATE), Err(Errno::ROFS));
    assert_eq!(vfs.make_dir(ROOT_FD, b"none/x"), Err(Errno::ROFS));
    assert_eq!(vfs.make_dir(ROOT_FD, b"none"), Err(Errno::EXIST));
    assert_eq!(vfs.remove_dir(ROOT_FD, b"none"), Err(Errno::BUSY));
    assert_eq!(vfs.remove_file(ROOT_FD, b"file"), Err(Errno::ISDIR));
}

#[test]
fn without_a_root_mount_the_root_is_virtual() {
    let other = tempfile::tempdir().unwrap();
    let mut vfs = vfs(&[(other.path(), "/a/b", Access::ReadWrite)]);
    assert_eq!(names(&mut vfs, "/"), [".", "..", "a"]);
    assert_eq!(content(&mut vfs, "etc/passwd"), Err(Errno::NOENT));
    assert_eq!(open(&mut vfs, "x", CREATE), Err(Errno::ROFS));
    assert!(open(&mut vfs, "a/b/x", CREATE).is_ok());
}

#[test]
fn a_read_only_mount_is_read_only() {
    let (_keep, inside) = prison();
    let mut vfs = vfs(&[(&inside, "/", Access::ReadOnly)]);
    let now = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: 0 },
        last_modification: rustix::fs::Timespec { tv_sec: 0, tv_nsec: 0 },
    };
    let before = fs::metadata(inside.join("file")).unwrap();
    let attempts = [
        open(&mut vfs, "file", WRITE).map(drop),
        open(&mut vfs, "file", OpenHow { truncate: true, ..READ }).map(drop),
        open(&mut vfs, "new", CREATE).map(drop),
        open(&mut vfs, "new", OpenHow { create: true, ..READ }).map(drop),
        vfs.make_dir(ROOT_FD, b"new"),
        vfs.make_symlink(b"x", ROOT_FD, b"new"),
        vfs.remove_file(ROOT_FD, b"file"),
        vfs.remove_dir(ROOT_FD, b"sub/deep"),
        vfs.rename(ROOT_FD, b"file", ROOT_FD, b"new"),
        vfs.link(ROOT_FD, b"file", Last::Keep, ROOT_FD, b"new"),
        vfs.chmod_at(ROOT_FD, b"file", Last::Follow, 0o777),
        vfs.set_times_at(ROOT_FD, b"file", Last::Follow, &now),
    ];
    assert_eq!(attempts, [Err(Errno::ROFS); 12]);
    let fd = open(&mut vfs, "file", READ).unwrap();
    assert_eq!(put(&mut vfs, fd, "x"), Err(Errno::BADF));
    assert_eq!(vfs.truncate(fd, 0), Err(Errno::INVAL));
    assert_eq!(vfs.chmod(fd, 0o777), Err(Errno::ROFS));
    assert_eq!(vfs.set_times(fd, &now), Err(Errno::ROFS));
    assert_eq!(vfs.allocate(fd, 0, 100), Err(Errno::BADF));
    assert_eq!(open(&mut vfs, "file", OpenHow { create: true, exclusive: true, ..WRITE }), Err(Errno::EXIST));
    assert_eq!(vfs.make_dir(ROOT_FD, b"sub"), Err(Errno::EXIST));
    assert!(open(&mut vfs, "file", OpenHow { create: true, ..READ }).is_ok());
    let after = fs::metadata(inside.join("file")).unwrap();
    assert_eq!((before.mtime(), before.mode(), before.len()), (after.mtime(), after.mode(), after.len()));
}

#[test]
fn writing_means_what_linux_means() {
    let (_keep, inside) = prison();
    let mut vfs = vfs(&[(&inside, "/", Access::ReadWrite)]);
    let fd = open(&mut vfs, "new", OpenHow { read: true, exclusive: true, ..CREATE }).unwrap();
    assert_eq!(open(&mut vfs, "new", OpenHow { exclusive: true, ..CREATE }), Err(Errno::EXIST));
    put(&mut vfs, fd, "hello").unwrap();
    assert_eq!(vfs.write(fd, &[IoSlice::new(b"J")], Offset::At(0)), Ok(1));
    assert_eq!(vfs.seek(fd, Whence::Current, 0), Ok(5));
    assert_eq!(vfs.seek(fd, Whence::Start, -1), Err(Errno::INVAL));
    assert_eq!(content(&mut vfs, "new").as_deref(), Ok("Jello"));
    let append = open(&mut vfs, "new", OpenHow { flags: OFlags::APPEND, ..WRITE }).unwrap();
    put(&mut vfs, append, "!").unwrap();
    assert_eq!(content(&mut vfs, "new").as_deref(), Ok("Jello!"));
    vfs.set_flags(append, OFlags::empty()).unwrap();
    put(&mut vfs, append, "?").unwrap();
    vfs.seek(append, Whence::Start, 0).unwrap();
    put(&mut vfs, append, "C").unwrap();
    assert_eq!(content(&mut vfs, "new").as_deref(), Ok("Cello!?"));
    let shared = vfs.duplicate(fd, 100).unwrap();
    assert_eq!(shared, 100);
    vfs.seek(shared, Whence::Start, 2).unwrap();
    assert_eq!(vfs.seek(fd, Whence::Current, 0), Ok(2));
    vfs.truncate(fd, 2).unwrap();
    assert_eq!(content(&mut vfs, "new").as_deref(), Ok("Ce"));
    open(&mut vfs, "new", OpenHow { truncate: true, ..WRITE }).unwrap();
    assert_eq!(content(&mut vfs, "new").as_deref(), Ok(""));
    vfs.chmod_at(ROOT_FD, b"new", Last::Follow, 0o640).unwrap();
    assert_eq!(fs::metadata(inside.join("new")).unwrap().mode() & 0o7777, 0o640);
    for mode in [0o4755, 0o2755, 0o6000] {
        assert_eq!(vfs.chmod_at(ROOT_FD, b"new", Last::Follow, mode), Err(Errno::PERM));
        assert_eq!(vfs.chmod(fd, mode), Err(Errno::PERM));
    }
    vfs.chmod(fd, 0o600).unwrap();
    vfs.make_dir(ROOT_FD, b"dir/").unwrap();
    vfs.rename(ROOT_FD, b"new", ROOT_FD, b"dir/new").unwrap();
    vfs.link(ROOT_FD, b"dir/new", Last::Keep, ROOT_FD, b"dir/twin").unwrap();
    assert_eq!(vfs.stat_at(ROOT_FD, b"dir/twin", Last::Keep).unwrap().nlink, 2);
    assert_eq!(vfs.remove_dir(ROOT_FD, b"dir"), Err(Errno::NOTEMPTY));
    assert_eq!(vfs.remove_file(ROOT_FD, b"dir"), Err(Errno::ISDIR));
    assert_eq!(vfs.remove_file(ROOT_FD, b"dir/new/"), Err(Errno::NOTDIR));
    assert_eq!(vfs.rename(ROOT_FD, b"dir", ROOT_FD, b"dir/inner"), Err(Errno::INVAL));
    assert_eq!(vfs.remove_dir(ROOT_FD, b"dir/."), Err(Errno::INVAL));
    assert_eq!(vfs.remove_dir(ROOT_FD, b"/"), Err(Errno::BUSY));
    vfs.remove_file(ROOT_FD, b"dir/new").unwrap();
    vfs.remove_file(ROOT_FD, b"dir/twin").unwrap();
    vfs.remove_dir(ROOT_FD, b"dir").unwrap();
    assert_eq!(open(&mut vfs, "file/", READ), Err(Errno::NOTDIR));
    assert_eq!(open(&mut vfs, "none/", CREATE), Err(Errno::ISDIR));
    assert_eq!(open(&mut vfs, "sub", WRITE), Err(Errno::ISDIR));
    assert_eq!(open(&mut vfs, "", READ), Err(Errno::NOENT));
    assert_eq!(open(&mut vfs, &"x".repeat(300), CREATE), Err(Errno::NAMETOOLONG));
    assert_eq!(open(&mut vfs, &"x/".repeat(3000), READ), Err(Errno::NAMETOOLONG));
    assert_eq!(vfs.open(ROOT_FD, b"a\0b", READ), Err(Errno::INVAL));
}

#[test]
fn pipes_and_device_nodes_in_a_mount_are_not_opened() {
    let (_keep, inside) = prison();
    let pipe = inside.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o666.into(), 0).unwrap();
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let mut vfs = vfs(&[(&inside, "/", Access::ReadWrite), (Path::new("/dev"), "/host", Access::ReadWrite)]);
    for how in [READ, WRITE, OpenHow { read: true, ..WRITE }, CREATE] {
        assert_eq!(open(&mut vfs, "pipe", how), Err(Errno::ACCESS));
        assert_eq!(open(&mut vfs, "host/null", how), Err(Errno::ACCESS));
        assert_eq!(open(&mut vfs, "host/tty", how), Err(Errno::ACCESS));
    }
}

#[test]
fn devices_are_built_in() {
    let (_keep, inside) = prison();
    let mut vfs = vfs(&[(&inside, "/", Access::ReadOnly)]);
    assert_eq!(names(&mut vfs, "/"), [".", "..", "file", "sub"]);
    assert_eq!(names(&mut vfs, "/dev"), [".", "..", "full", "null", "random", "urandom", "zero"]);
    let null = open(&mut vfs, "/dev/null", OpenHow { read: true, truncate: true, ..CREATE }).unwrap();
    assert_eq!(put(&mut vfs, null, "gone"), Ok(4));
    assert_eq!(content(&mut vfs, "/dev/null").as_deref(), Ok(""));
    assert_eq!(vfs.stat(null).unwrap().kind(), S_IFCHR);
    assert_eq!(content(&mut vfs, "dev/zero").unwrap(), "\0".repeat(100));
    assert_ne!(content(&mut vfs, "dev/urandom").unwrap(), content(&mut vfs, "dev/urandom").unwrap());
    assert_eq!(open(&mut vfs, "dev/mem", READ), Err(Errno::NOENT));
    let full = open(&mut vfs, "/dev/full", OpenHow { read: true, ..CREATE }).unwrap();
    assert_eq!(put(&mut vfs, full, "no room"), Err(Errno::NOSPC));
    assert_eq!(vfs.remove_file(ROOT_FD, b"dev/null"), Err(Errno::ROFS));
}

#[test]
fn descriptors_end() {
    let (_keep, inside) = prison();
    let mut vfs = vfs(&[(&inside, "/", Access::ReadOnly)]);
    let mut count = vfs.table().open_numbers().count();
    loop {
        match open(&mut vfs, "dev/null", READ) {
            Ok(_) => count += 1,
            Err(error) => {
                assert_eq!(error, Errno::MFILE);
                break;
            }
        }
    }
    assert_eq!(count, DESCRIPTORS_MAX);
    assert_eq!(vfs.duplicate(0, 0), Err(Errno::MFILE));
    assert_eq!(vfs.duplicate(0, u32::MAX), Err(Errno::INVAL));
    assert_eq!(vfs.duplicate_onto(0, u32::MAX), Err(Errno::BADF));
    vfs.close(7).unwrap();
    assert_eq!(open(&mut vfs, "file", READ), Ok(7));
    assert_eq!(vfs.close(u32::MAX), Err(Errno::BADF));
}

/// A directory of the path is swapped for a link that leads out, again and again, while the guest
/// opens what lies below.
#[test]
fn a_link_swapped_in_during_an_open_leads_nowhere() {
    let (keep, inside) = prison();
    let outside = keep.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "secret").unwrap();
    let (good, bad, target) = (inside.join("good"), inside.join("bad"), inside.join("target"));
    fs::create_dir(&good).unwrap();
    fs::write(good.join("file"), "fine").unwrap();
    symlink(&outside, &bad).unwrap();
    fs::create_dir(&target).unwrap();
    fs::write(target.join("file"), "fine").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let exchange = |a: &Path, b: &Path| {
                rustix::fs::renameat_with(rustix::fs::CWD, a, rustix::fs::CWD, b, rustix::fs::RenameFlags::EXCHANGE)
                    .unwrap();
            };
            while !stop.load(Ordering::Relaxed) {
                exchange(&bad, &target);
            }
        }
    });
    let mut vfs = vfs(&[(&inside, "/", Access::ReadWrite)]);
    let mut fine = 0;
    for round in 0..20_000 {
        match content(&mut vfs, if round % 2 == 0 { "target/file" } else { "sub/../target/file" }) {
            Ok(text) => {
                assert_eq!(text, "fine");
                fine += 1;
            }
            Err(error) => assert!(matches!(error, Errno::NOENT | Errno::LOOP | Errno::NOTDIR), "{error}"),
        }
        match open(&mut vfs, "target/written", CREATE) {
            Ok(fd) => vfs.close(fd).unwrap(),
            Err(error) => assert!(matches!(error, Errno::NOENT | Errno::LOOP | Errno::NOTDIR), "{error}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert!(fine > 0, "the race was never won");
    assert!(!outside.join("written").exists());
}

#[test]
fn handed_in_descriptors_keep_to_what_was_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    fs::write(&path, "text").unwrap();
    let file = || fs::File::options().read(true).write(true).open(&path).unwrap().into();
    let mut vfs = vfs(&[]);
    vfs.hand_in(0, file(), HandIn::READ).unwrap();
    vfs.hand_in(1, file(), HandIn::WRITE).unwrap();
    let mut buffer = [0; 4];
    assert_eq!(vfs.read(0, &mut [IoSliceMut::new(&mut buffer)], Offset::Current), Ok(4));
    assert_eq!(vfs.write(0, &[IoSlice::new(b"x")], Offset::Current), Err(Errno::BADF));
    assert_eq!(vfs.read(1, &mut [IoSliceMut::new(&mut buffer)], Offset::Current), Err(Errno::BADF));
    assert_eq!(vfs.write(1, &[IoSlice::new(b"x")], Offset::Current), Ok(1));
    assert_eq!(vfs.chmod(0, 0o777), Err(Errno::PERM));
    // Where the descriptor of "/" is otherwise: paths begin at "/" all the same.
    vfs.hand_in(ROOT_FD, file(), HandIn::READ).unwrap();
    assert_eq!(vfs.read(ROOT_FD, &mut [IoSliceMut::new(&mut buffer)], Offset::Current), Ok(4));
    for base in [ROOT_FD, ROOT_BASE] {
        assert_eq!(vfs.stat_at(base, b"dev", Last::Follow).unwrap().kind(), S_IFDIR);
    }
    vfs.close(ROOT_FD).unwrap();
    assert_eq!(vfs.stat_at(ROOT_FD, b"dev", Last::Follow).unwrap().kind(), S_IFDIR);
    assert_eq!(vfs.stat_at(ROOT_FD + 1, b"dev", Last::Follow).map(drop), Err(Errno::BADF));
    assert_eq!(vfs.close(ROOT_BASE), Err(Errno::BADF));
    assert_eq!(vfs.hand_in(5, fs::File::open("/").unwrap().into(), HandIn::BOTH), Err(Errno::ISDIR));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0);
}
