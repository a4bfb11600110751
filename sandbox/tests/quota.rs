//! What a guest may write, make and open: each limit at its boundary and one beyond, and the ways
//! around it that were tried.

use std::cell::RefCell;
use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pynbox_run::account::ACCOUNT;
use pynbox_run::limits::{Limit, Limits};
use pynbox_run::report::Usage;
use pynbox_run::scratch;
use pynbox_run::vfs::{
    Access, Crossing, Errno, GuestPath, HandIn, Last, Lock, Mount, Mounts, Offset, OpenHow, ROOT_FD, Vfs, Whence,
};
use rustix::fs::{OFlags, Timespec, Timestamps};

const READ: OpenHow = OpenHow::READ;
const WRITE: OpenHow = OpenHow { read: false, write: true, ..READ };
const CREATE: OpenHow = OpenHow { create: true, ..WRITE };
const APPEND: OpenHow = OpenHow { flags: OFlags::APPEND, ..CREATE };

fn at(path: &str) -> GuestPath {
    GuestPath::parse_absolute(path.as_bytes()).unwrap()
}

/// The guest's files: `folder` at "/", to write, and what it uses.
fn limited(folder: &Path, limits: Limits) -> (Vfs, Arc<Usage>) {
    let mount = Mount::open(folder, at("/"), Access::ReadWrite, Crossing::Refused).unwrap();
    let mut vfs = Vfs::new(Mounts::new(vec![mount]));
    let usage = Arc::new(Usage::default());
    vfs.limit(&limits, usage.clone(), true);
    (vfs, usage)
}

fn open(vfs: &mut Vfs, path: &str, how: OpenHow) -> Result<u32, Errno> {
    vfs.open(ROOT_FD, path.as_bytes(), how)
}

fn put(vfs: &mut Vfs, fd: u32, count: usize) -> Result<usize, Errno> {
    // In two buffers, of which the limit may cut either.
    let bytes = vec![b'x'; count];
    let (one, two) = bytes.split_at(count / 3);
    vfs.write(fd, &[IoSlice::new(one), IoSlice::new(two)], Offset::Current)
}

fn put_at(vfs: &mut Vfs, fd: u32, count: usize, at: u64) -> Result<usize, Errno> {
    vfs.write(fd, &[IoSlice::new(&vec![b'x'; count])], Offset::At(at))
}

fn make_file(vfs: &mut Vfs, path: &str) -> Result<(), Errno> {
    let fd = open(vfs, path, CREATE)?;
    vfs.close(fd)
}

#[test]
fn no_file_becomes_longer_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("long"), [b'-'; 200]).unwrap();
    let (mut vfs, usage) = limited(folder.path(), Limits { file: Some(100), ..Limits::default() });
    let size = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
    let fd = open(&mut vfs, "a", CREATE).unwrap();
    assert_eq!((put(&mut vfs, fd, 99), put(&mut vfs, fd, 2), put(&mut vfs, fd, 1)), (Ok(99), Ok(1), Err(Errno::FBIG)));
    assert_eq!((put(&mut vfs, fd, 0), size("a")), (Ok(0), 100));
    assert!(!format!("{usage:?}").is_empty());
    // At other places, by other calls, by other descriptors of it.
    assert_eq!((put_at(&mut vfs, fd, 5, 98), put_at(&mut vfs, fd, 1, 100)), (Ok(2), Err(Errno::FBIG)));
    assert_eq!(put_at(&mut vfs, fd, 1, i64::MAX as u64), Err(Errno::FBIG));
    vfs.seek(fd, Whence::Start, 1 << 40).unwrap();
    assert_eq!(put(&mut vfs, fd, 1), Err(Errno::FBIG));
    assert_eq!((vfs.truncate(fd, 100), vfs.truncate(fd, 101)), (Ok(()), Err(Errno::FBIG)));
    assert_eq!((vfs.allocate(fd, 0, 100), vfs.allocate(fd, 1, 100)), (Ok(()), Err(Errno::FBIG)));
    let twin = vfs.duplicate(fd, 0).unwrap();
    let appending = open(&mut vfs, "a", APPEND).unwrap();
    vfs.seek(appending, Whence::Start, 0).unwrap();
    assert_eq!((put(&mut vfs, twin, 1), put(&mut vfs, appending, 1)), (Err(Errno::FBIG), Err(Errno::FBIG)));
    assert_eq!(put_at(&mut vfs, appending, 1, 0), Err(Errno::FBIG));
    vfs.link(ROOT_FD, b"a", Last::Keep, ROOT_FD, b"b").unwrap();
    let other = open(&mut vfs, "b", APPEND).unwrap();
    assert_eq!((put(&mut vfs, other, 1), size("a")), (Err(Errno::FBIG), 100));
    // One that is longer already may be changed, and cut, where it may be written.
    let long = open(&mut vfs, "long", WRITE).unwrap();
    assert_eq!((put_at(&mut vfs, long, 9, 95), put_at(&mut vfs, long, 1, 150)), (Ok(5), Err(Errno::FBIG)));
    assert_eq!((vfs.truncate(long, 150), vfs.truncate(long, 151)), (Ok(()), Err(Errno::FBIG)));
    assert_eq!(size("long"), 150);
}

#[test]
fn no_more_is_written_in_all_than_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let (mut vfs, usage) = limited(folder.path(), Limits { write: Some(100), ..Limits::default() });
    let written = || usage.written.load(Ordering::Relaxed);
    let a = open(&mut vfs, "a", CREATE).unwrap();
    let b = open(&mut vfs, "b", CREATE).unwrap();
    assert_eq!(
        (put(&mut vfs, a, 40), put_at(&mut vfs, b, 10, 0), put_at(&mut vfs, b, 10, 0)),
        (Ok(40), Ok(10), Ok(10))
    );
    // A hole is written as far as the limit goes, and so is a file that is made longer.
    assert_eq!((put_at(&mut vfs, b, 1, 19), written()), (Ok(1), 70));
    assert_eq!((vfs.truncate(b, 30), vfs.truncate(b, 5), written()), (Ok(()), Ok(()), 80));
    assert_eq!((vfs.truncate(b, 26), put_at(&mut vfs, b, 1, 25)), (Err(Errno::DQUOT), Err(Errno::DQUOT)));
    assert_eq!((vfs.allocate(b, 0, 5), written()), (Ok(()), 85));
    assert_eq!((vfs.allocate(b, 0, 16), vfs.allocate(a, 0, u64::MAX)), (Err(Errno::DQUOT), Err(Errno::INVAL)));
    // What is removed, cut or written over was written.
    vfs.remove_file(ROOT_FD, b"a").unwrap();
    let again = open(&mut vfs, "b", OpenHow { truncate: true, ..WRITE }).unwrap();
    assert_eq!((put(&mut vfs, again, 20), written()), (Ok(15), 100));
    assert_eq!(
        (put(&mut vfs, again, 1), put(&mut vfs, a, 1), put(&mut vfs, a, 0)),
        (Err(Errno::DQUOT), Err(Errno::DQUOT), Ok(0))
    );
    let c = open(&mut vfs, "c", CREATE).unwrap();
    assert_eq!(
        (put(&mut vfs, c, 1), vfs.truncate(c, 1), vfs.truncate(c, 0)),
        (Err(Errno::DQUOT), Err(Errno::DQUOT), Ok(()))
    );
    assert_eq!(written(), 100);
}

#[test]
fn no_more_files_are_made_than_may_be() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("there"), "").unwrap();
    let (mut vfs, usage) = limited(folder.path(), Limits { files: Some(4), ..Limits::default() });
    let made = || usage.files.load(Ordering::Relaxed);
    make_file(&mut vfs, "file").unwrap();
    vfs.make_dir(ROOT_FD, b"folder").unwrap();
    vfs.make_symlink(b"there", ROOT_FD, b"link").unwrap();
    // What fails, or makes nothing, does not count.
    make_file(&mut vfs, "there").unwrap();
    assert_eq!(vfs.make_dir(ROOT_FD, b"folder"), Err(Errno::EXIST));
    assert_eq!(make_file(&mut vfs, "none/file"), Err(Errno::NOENT));
    vfs.rename(ROOT_FD, b"file", ROOT_FD, b"folder/file").unwrap();
    assert_eq!(made(), 3);
    vfs.link(ROOT_FD, b"folder/file", Last::Keep, ROOT_FD, b"hard").unwrap();
    assert_eq!(made(), 4);
    // Removing gives nothing back: a name is one use.
    vfs.remove_file(ROOT_FD, b"hard").unwrap();
    vfs.remove_file(ROOT_FD, b"link").unwrap();
    assert_eq!(make_file(&mut vfs, "new"), Err(Errno::DQUOT));
    assert_eq!(vfs.make_dir(ROOT_FD, b"new"), Err(Errno::DQUOT));
    assert_eq!(vfs.make_symlink(b"there", ROOT_FD, b"new"), Err(Errno::DQUOT));
    assert_eq!(vfs.link(ROOT_FD, b"there", Last::Keep, ROOT_FD, b"new"), Err(Errno::DQUOT));
    assert!(!folder.path().join("new").exists());
    // What is there can be used.
    make_file(&mut vfs, "there").unwrap();
    vfs.rename(ROOT_FD, b"there", ROOT_FD, b"elsewhere").unwrap();
    assert_eq!(made(), 4);
}

#[test]
fn no_more_descriptors_are_open_than_may_be() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f"), "").unwrap();
    let (mut vfs, _) = limited(folder.path(), Limits { open: Some(6), ..Limits::default() });
    // "/" is 3; free are 0, 1, 2, 4 and 5.
    for number in [0, 1, 2, 4] {
        assert_eq!(open(&mut vfs, "f", READ), Ok(number));
    }
    assert_eq!(vfs.make_pipe(), Err(Errno::MFILE));
    assert_eq!(vfs.duplicate(0, 0), Ok(5));
    assert_eq!((open(&mut vfs, "f", READ), vfs.duplicate(0, 0)), (Err(Errno::MFILE), Err(Errno::MFILE)));
    assert_eq!((vfs.duplicate(0, 6), vfs.duplicate_onto(0, 6)), (Err(Errno::INVAL), Err(Errno::BADF)));
    assert_eq!((vfs.duplicate_onto(0, 5), vfs.renumber(0, 5)), (Ok(()), Ok(())));
    assert_eq!(vfs.make_socket_pair(), Err(Errno::MFILE));
    vfs.close(1).unwrap();
    assert_eq!(vfs.make_pipe(), Ok((0, 1)));
    // What was handed in before keeps its number.
    let mut vfs = Vfs::new(Mounts::default());
    vfs.hand_in(9, fs::File::open(folder.path().join("f")).unwrap().into(), HandIn::READ).unwrap();
    vfs.limit(&Limits { open: Some(4), ..Limits::default() }, Arc::default(), false);
    assert_eq!((vfs.stat(9).map(drop), vfs.duplicate(9, 0), vfs.duplicate(9, 3)), (Ok(()), Ok(0), Err(Errno::MFILE)));
    assert_eq!(vfs.make_pipe(), Ok((1, 2)));
    assert_eq!(vfs.duplicate(9, 0), Err(Errno::MFILE));
    vfs.limit(&Limits { open: Some(0), ..Limits::default() }, Arc::default(), false);
    vfs.close(0).unwrap();
    assert_eq!((vfs.duplicate(9, 0), vfs.close(9)), (Err(Errno::INVAL), Ok(())));
}

/// What a guest makes of descriptors that lead to files, of which it is to read or to write.
#[test]
fn a_file_that_was_handed_in_is_read_and_written_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let state = || {
        let meta = fs::metadata(&path).unwrap();
        (fs::read_to_string(&path).unwrap(), meta.permissions().mode() & 0o7777, meta.mtime())
    };
    let time = Timespec { tv_sec: 5, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    let append = |file: &mut fs::OpenOptions| file.append(true).open(&path).unwrap();
    let plain = |file: &mut fs::OpenOptions| file.read(true).write(true).open(&path).unwrap();
    let stream = HandIn { stream: true, ..HandIn::WRITE };
    let cases: [(&str, bool, HandIn); 5] = [
        ("a stream >>", true, stream),
        ("a stream >", false, stream),
        ("-w >>", true, HandIn::WRITE),
        ("-h", false, HandIn::BOTH),
        ("-r", false, HandIn::READ),
    ];
    for (name, appends, how) in cases {
        fs::write(&path, "before").unwrap();
        let mut options = fs::File::options();
        let mut file = if appends { append(&mut options) } else { plain(&mut options) };
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
        let host = file.try_clone().unwrap();
        let (mut vfs, usage) = limited(folder.path(), Limits { output: Some(1000), ..Limits::default() });
        vfs.hand_in(7, file.into(), how).unwrap();
        let now = state();
        assert_eq!(vfs.chmod(7, 0o777), Err(Errno::PERM), "{name}");
        assert_eq!(vfs.set_times(7, &times), Err(Errno::PERM), "{name}");
        let refused = if how.writable { Errno::PERM } else { Errno::INVAL };
        assert_eq!((vfs.truncate(7, 0), vfs.truncate(7, 1 << 40)), (Err(refused), Err(refused)), "{name}");
        let refused = if how.writable { Errno::PERM } else { Errno::BADF };
        assert_eq!(vfs.allocate(7, 0, 1 << 30), Err(refused), "{name}");
        // The flags are shared with others outside.
        let flags = rustix::fs::fcntl_getfl(&host).unwrap();
        let _ = vfs.set_flags(7, OFlags::NONBLOCK | (flags & OFlags::APPEND));
        assert_eq!(
            vfs.set_flags(7, OFlags::NONBLOCK | ((flags ^ OFlags::APPEND) & OFlags::APPEND)),
            Err(Errno::PERM),
            "{name}"
        );
        assert_eq!(rustix::fs::fcntl_getfl(&host).unwrap(), flags, "{name}");
        assert_eq!(state(), now, "{name}");
        // Nothing that was there before is written over, but where `-h` lets it be.
        let sought = vfs.seek(7, Whence::Start, 0);
        assert_eq!(sought, if how.stream { Err(Errno::SPIPE) } else { Ok(0) }, "{name}");
        let written = put(&mut vfs, 7, 3);
        let written_at = put_at(&mut vfs, 7, 3, 1);
        let (text, ..) = state();
        match name {
            "a stream >>" | "a stream >" => {
                assert_eq!((written, written_at, text.as_str()), (Ok(3), Err(Errno::SPIPE), "beforexxx"), "{name}");
            }
            "-w >>" => assert_eq!((written, written_at, text.as_str()), (Ok(3), Ok(3), "beforexxxxxx"), "{name}"),
            "-h" => assert_eq!((written, written_at, text.as_str()), (Ok(3), Ok(3), "xxxxre"), "{name}"),
            _ => assert_eq!(
                (written, written_at, text.as_str()),
                (Err(Errno::BADF), Err(Errno::BADF), "before"),
                "{name}"
            ),
        }
        // Beyond the end it grows by what may leave, and by no more.
        if name == "-h" {
            assert_eq!((put_at(&mut vfs, 7, 4, 500), vfs.over()), (Ok(4), None));
            assert_eq!(usage.output.load(Ordering::Relaxed), 6 + 498);
            assert_eq!((put_at(&mut vfs, 7, 1, 1 << 40), vfs.over()), (Ok(0), Some(Limit::Output)));
            assert_eq!(fs::metadata(&path).unwrap().len(), 504);
        }
    }
}

#[test]
fn a_file_of_the_loader_is_written_by_no_path_and_nothing_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("deep/er")).unwrap();
    let own = fs::File::create(folder.path().join("deep/er/own")).unwrap().into();
    fs::write(folder.path().join("other"), "").unwrap();
    let mount = |at: &str| Mount::open(folder.path(), self::at(at), Access::ReadWrite, Crossing::Refused).unwrap();
    let mut vfs = Vfs::new(Mounts::new(vec![mount("/"), mount("/again")]));
    vfs.keep_from_guest(&own).unwrap();
    vfs.link(ROOT_FD, b"deep/er/own", Last::Keep, ROOT_FD, b"twin").unwrap();
    vfs.make_symlink(b"deep/er/own", ROOT_FD, b"link").unwrap();
    for name in ["deep/er/own", "twin", "link", "again/deep/er/own"] {
        for how in [WRITE, CREATE, APPEND, OpenHow { truncate: true, ..READ }, OpenHow { write: true, ..READ }] {
            assert_eq!(open(&mut vfs, name, how), Err(Errno::ACCESS), "{name} {how:?}");
        }
        assert!(open(&mut vfs, name, READ).is_ok());
    }
    for name in
        [&b"deep/er/own"[..], b"deep/er", b"deep", b"again/deep/er/own", b"again/deep", b"deep/../deep/er/./own"]
    {
        let shown = String::from_utf8_lossy(name);
        assert_eq!(vfs.rename(ROOT_FD, name, ROOT_FD, b"moved"), Err(Errno::BUSY), "{shown}");
        assert_eq!(vfs.rename(ROOT_FD, b"other", ROOT_FD, name), Err(Errno::BUSY), "{shown}");
        let removed = [vfs.remove_file(ROOT_FD, name), vfs.remove_dir(ROOT_FD, name)];
        assert!(
            removed.iter().all(|removed| matches!(removed, Err(Errno::BUSY | Errno::ISDIR))),
            "{shown} {removed:?}"
        );
    }
    assert_eq!(vfs.rename(ROOT_FD, b"other", ROOT_FD, b"deep/er/own2"), Ok(()));
}

/// A guest with a folder in memory of 64 KiB at `/tmp`.
fn with_memory(folder: &Path) -> (Vfs, Arc<Usage>) {
    let disk = Mount::open(folder, at("/"), Access::ReadWrite, Crossing::Refused).unwrap();
    let memory = Mount::in_memory(scratch::make(64 << 10).unwrap(), at("/tmp"));
    let (mut vfs, usage) = (Vfs::new(Mounts::new(vec![disk, memory])), Arc::new(Usage::default()));
    vfs.limit(&Limits::default(), usage.clone(), false);
    (vfs, usage)
}

#[test]
fn a_folder_in_memory_is_a_file_system_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (mut vfs, _) = with_memory(folder.path());
    // Exactly so much fits, in one file or in several, and comes back when it is removed.
    let fd = open(&mut vfs, "tmp/a", OpenHow { read: true, ..CREATE }).unwrap();
    assert_eq!((put(&mut vfs, fd, 64 << 10), put(&mut vfs, fd, 1)), (Ok(64 << 10), Err(Errno::NOSPC)));
    assert_eq!((vfs.truncate(fd, 60 << 10), put_at(&mut vfs, fd, 4096, 60 << 10)), (Ok(()), Ok(4096)));
    let other = open(&mut vfs, "tmp/b", CREATE).unwrap();
    assert_eq!(put(&mut vfs, other, 1), Err(Errno::NOSPC));
    vfs.remove_file(ROOT_FD, b"tmp/a").unwrap();
    assert_eq!(put(&mut vfs, other, 1), Err(Errno::NOSPC), "it is open");
    vfs.close(fd).unwrap();
    assert_eq!(put(&mut vfs, other, 4096), Ok(4096));
    // A hole takes no room; what is written into it does.
    let sparse = open(&mut vfs, "tmp/sparse", OpenHow { read: true, ..CREATE }).unwrap();
    assert_eq!((vfs.truncate(sparse, 1 << 40), put_at(&mut vfs, sparse, 1, 1 << 39)), (Ok(()), Ok(1)));
    assert_eq!(vfs.allocate(sparse, 0, 64 << 10), Err(Errno::NOSPC));
    let mut byte = [9];
    assert_eq!(vfs.read(sparse, &mut [IoSliceMut::new(&mut byte)], Offset::At(1 << 38)), Ok(1));
    assert_eq!((byte, vfs.stat(sparse).map(|stat| stat.size)), ([0], Ok(1 << 40)));
    // Links within it, and none to elsewhere.
    vfs.link(ROOT_FD, b"tmp/b", Last::Keep, ROOT_FD, b"tmp/twin").unwrap();
    assert_eq!(vfs.stat_at(ROOT_FD, b"tmp/twin", Last::Follow).map(|stat| stat.nlink), Ok(2));
    assert_eq!(vfs.link(ROOT_FD, b"tmp/b", Last::Keep, ROOT_FD, b"out"), Err(Errno::XDEV));
    assert_eq!(vfs.rename(ROOT_FD, b"tmp/b", ROOT_FD, b"out"), Err(Errno::XDEV));
    assert_eq!(vfs.rename(ROOT_FD, b"tmp", ROOT_FD, b"out"), Err(Errno::BUSY));
    assert_eq!(vfs.remove_dir(ROOT_FD, b"tmp"), Err(Errno::BUSY));
    vfs.make_symlink(b"/tmp/b", ROOT_FD, b"to_memory").unwrap();
    vfs.make_symlink(b"/file", ROOT_FD, b"tmp/to_disk").unwrap();
    make_file(&mut vfs, "file").unwrap();
    assert_eq!(vfs.stat_at(ROOT_FD, b"to_memory", Last::Follow).map(|stat| stat.size), Ok(4096));
    assert_eq!(vfs.stat_at(ROOT_FD, b"tmp/to_disk", Last::Follow).map(|stat| stat.size), Ok(0));
    vfs.chmod_at(ROOT_FD, b"tmp/b", Last::Follow, 0o600).unwrap();
    assert_eq!(vfs.stat_at(ROOT_FD, b"tmp/b", Last::Follow).map(|stat| stat.mode & 0o7777), Ok(0o600));
    vfs.rename(ROOT_FD, b"tmp/b", ROOT_FD, b"tmp/c").unwrap();
    let listed = RefCell::new(Vec::new());
    let tmp = open(&mut vfs, "tmp", OpenHow { directory: true, ..READ }).unwrap();
    listed.borrow_mut().extend(vfs.entries(tmp, true).unwrap().iter().map(|entry| entry.name.clone()));
    assert_eq!(*listed.borrow(), [&b"."[..], b"..", b"c", b"sparse", b"to_disk", b"twin"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing lies on the disk but a link and a file");
}

#[test]
fn many_small_files_and_deep_trees_fill_a_folder_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (mut vfs, _) = with_memory(folder.path());
    let count = (0..1000).take_while(|n| make_file(&mut vfs, &format!("tmp/{n}")).is_ok()).count();
    assert!((60..64).contains(&count), "an inode a KiB: {count}");
    assert_eq!(make_file(&mut vfs, "tmp/x"), Err(Errno::NOSPC));
    vfs.remove_file(ROOT_FD, b"tmp/0").unwrap();
    make_file(&mut vfs, "tmp/x").unwrap();
    let (mut vfs, _) = with_memory(folder.path());
    let mut path = "tmp".to_owned();
    let depth = (0..1000)
        .take_while(|_| {
            path.push_str("/d");
            vfs.make_dir(ROOT_FD, path.as_bytes()).is_ok()
        })
        .count();
    assert!((60..64).contains(&depth), "{depth}");
    assert_eq!(vfs.make_dir(ROOT_FD, path.as_bytes()), Err(Errno::NOSPC));
}

#[test]
fn a_folder_in_memory_counts_for_the_other_limits_too() {
    let folder = tempfile::tempdir().unwrap();
    let (mut vfs, _) = with_memory(folder.path());
    let limits = Limits { file: Some(1000), write: Some(1500), files: Some(2), ..Limits::default() };
    vfs.limit(&limits, Arc::default(), false);
    let a = open(&mut vfs, "tmp/a", CREATE).unwrap();
    assert_eq!((put(&mut vfs, a, 1001), put(&mut vfs, a, 1)), (Ok(1000), Err(Errno::FBIG)));
    let b = open(&mut vfs, "b", CREATE).unwrap();
    assert_eq!((put(&mut vfs, b, 501), put(&mut vfs, b, 1)), (Ok(500), Err(Errno::DQUOT)));
    assert_eq!(make_file(&mut vfs, "tmp/c"), Err(Errno::DQUOT));
}

#[test]
fn hidden_numbers_are_the_same_wherever_they_are_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "12345").unwrap();
    fs::hard_link(folder.path().join("file"), folder.path().join("twin")).unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    let (mut vfs, _) = limited(folder.path(), Limits::default());
    vfs.disguise(Some(7), true);
    let root = open(&mut vfs, "/", OpenHow { directory: true, ..READ }).unwrap();
    for entry in vfs.entries(root, true).unwrap().iter().skip(2) {
        let told = vfs.stat_at(ROOT_FD, &entry.name, Last::Keep).unwrap();
        let host = fs::metadata(folder.path().join(std::str::from_utf8(&entry.name).unwrap())).unwrap();
        assert_eq!((entry.ino, told.mtime, told.atime, told.ctime), (told.ino, 7, 7, 7));
        assert!(told.ino != host.ino() && told.dev != host.dev(), "{told:?}");
        let open = vfs.open(ROOT_FD, &entry.name, READ).unwrap();
        assert_eq!(vfs.stat(open), Ok(told));
    }
    let stat = |vfs: &mut Vfs, name: &str| vfs.stat_at(ROOT_FD, name.as_bytes(), Last::Keep).unwrap();
    assert_eq!(stat(&mut vfs, "file"), stat(&mut vfs, "twin"));
    // What a guest sets is the machine's, and is not told.
    let time = Timespec { tv_sec: 5, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    vfs.set_times_at(ROOT_FD, b"file", Last::Keep, &times).unwrap();
    assert_eq!((stat(&mut vfs, "file").mtime, fs::metadata(folder.path().join("file")).unwrap().mtime()), (7, 5));
    // Locks go by the files that they are on all the same.
    let (one, two) = (open(&mut vfs, "file", READ).unwrap(), open(&mut vfs, "twin", READ).unwrap());
    assert_eq!(vfs.lock(one, Some(Lock::Exclusive), false), Ok(()));
    assert_eq!(vfs.lock(two, Some(Lock::Exclusive), false), Err(Errno::WOULDBLOCK));
}

/// The account is the process's: this test has one of its own.
#[test]
fn a_folder_in_memory_counts_as_memory() {
    const CHILD: &str = "PYNBOX_QUOTA_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let test = "a_folder_in_memory_counts_as_memory";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Mount::open(folder.path(), at("/"), Access::ReadWrite, Crossing::Refused).unwrap();
    let memory = Mount::in_memory(scratch::make(64 << 20).unwrap(), at("/tmp"));
    let mut vfs = Vfs::new(Mounts::new(vec![disk, memory]));
    let usage = Arc::new(Usage::default());
    vfs.limit(&Limits::default(), usage, false);
    ACCOUNT.limit(ACCOUNT.used() + (1 << 20));
    let before = ACCOUNT.left();
    let fd = open(&mut vfs, "tmp/a", CREATE).unwrap();
    assert_eq!(put(&mut vfs, fd, 100_000), Ok(100_000));
    let taken = before - ACCOUNT.left();
    assert!((100_000..110_000).contains(&taken), "{taken}");
    // As much as there is memory for, and no more.
    let count = (0..1000).take_while(|_| put(&mut vfs, fd, 10_000).is_ok()).count();
    assert!((80..95).contains(&count), "{count}");
    assert!(ACCOUNT.was_full() && ACCOUNT.left() < 20_000, "{}", ACCOUNT.left());
    assert_eq!(
        (vfs.allocate(fd, 2 << 20, 1 << 20), put_at(&mut vfs, fd, 1, 0)),
        (Err(Errno::NOSPC), Err(Errno::NOSPC))
    );
    assert_eq!(vfs.make_dir(ROOT_FD, b"tmp/d"), Err(Errno::NOSPC));
    // The disk is another matter.
    let other = open(&mut vfs, "on_disk", CREATE).unwrap();
    assert_eq!(put(&mut vfs, other, 100_000), Ok(100_000));
    // What is cut or removed comes back, when nobody has it open any more.
    vfs.truncate(fd, 500_000).unwrap();
    assert!(ACCOUNT.left() > 400_000, "{}", ACCOUNT.left());
    vfs.remove_file(ROOT_FD, b"tmp/a").unwrap();
    assert!(ACCOUNT.left() < 600_000, "{}", ACCOUNT.left());
    vfs.close(fd).unwrap();
    assert!(ACCOUNT.left() > 1_000_000, "{}", ACCOUNT.left());
    // Many small files count, too.
    let count = (0..5000).take_while(|n| make_file(&mut vfs, &format!("tmp/{n}")).is_ok()).count();
    assert!((900..1024).contains(&count), "{count}");
}
