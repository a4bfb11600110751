//! The directories that a guest sees, what lies beside them, and whether any of that has changed.
//!
//! Everything lies in a memory file system of this process's own mount namespace. `root` and
//! `nested` are mounted read-only, `rw` is mounted for writing and soon full; within it lie a
//! procfs and another file system, as a careless host has them. `outside` is no guest's business.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use memchr::memmem;
use pynbox_run::scratch;
use pynbox_run::vfs::{Access, Crossing, GuestPath, Mount, Mounts};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
use rustix::thread::UnshareFlags;
use tempfile::TempDir;

/// What the files outside hold: no guest may ever get these bytes.
pub(crate) const SECRET: &[u8] = b"what lies outside is no guest's business";
/// Mount points of the host within `rw`.
const PROC: &str = "proc";
const OTHER: &str = "sub";

/// One file as it must stay.
#[derive(Debug, PartialEq, Eq)]
struct Sight {
    path: PathBuf,
    mode: u32,
    inode: u64,
    links: u64,
    owner: (u32, u32),
    /// Of the content, of the status, and of the last reading; reading a link is nothing that can
    /// be left out.
    times: [i64; 6],
    content: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct World {
    base: TempDir,
    /// A folder in memory, as `--tmpfs` makes one.
    scratch: OwnedFd,
    canaries: Vec<Sight>,
}

/// What a guest has left, beside what was there before.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Bytes of the longest one that the guest may have written.
    pub(crate) longest: u64,
    /// Names.
    pub(crate) files: u64,
    /// Bytes of what was handed in.
    pub(crate) streams: u64,
}

/// What is handed in, and what it holds at the beginning.
const STREAMS: &[(&str, &str)] = &[("in", "to be read"), ("out", ""), ("both", "to be changed"), ("here", "")];
/// The bytes and the names that lie where a guest may write, at the beginning.
const BYTES: u64 = 5 + 4 + 19 + 10;
const FILES: u64 = 12;
/// Bytes of a file that are looked at.
const READ_MAX: u64 = 64 << 10;
/// The file that the loader itself writes, which lies where a guest may write, too.
const OWN: &str = "log";
const OWN_TEXT: &str = "of the log";

/// What of the world a guest is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Whether `root` is mounted at "/".
    pub(crate) root: bool,
    /// Whether `nested` is mounted within `rw`.
    pub(crate) nested: bool,
    /// Whether the folder in memory is mounted at "/tmp".
    pub(crate) scratch: bool,
    pub(crate) crossing: Crossing,
}

impl World {
    /// Enters namespaces of its own and makes everything there.
    pub(crate) fn new() -> Self {
        enter_namespaces();
        let base = tempfile::Builder::new().prefix("loader-fuzz-").tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        mount("tmpfs", base.path(), "tmpfs", MountFlags::STRICTATIME, c"size=4m").unwrap();
        for folder in ["outside/folder", "root/sub", "root/rw", "nested", "rw", "streams"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("outside/secret"), SECRET).unwrap();
        fs::write(at("outside/folder/secret"), SECRET).unwrap();
        rustix::fs::mknodat(CWD, at("outside/fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::write(at("root/a"), "of the root").unwrap();
        fs::write(at("root/sub/b"), "below the root").unwrap();
        fs::set_permissions(at("root/sub/b"), fs::Permissions::from_mode(0o400)).unwrap();
        fs::write(at("nested/a"), "nested").unwrap();
        for (name, target) in [("out", "../outside/secret"), ("abs", "/rw/a"), ("up", "../../..")] {
            symlink(target, at("root").join(name)).unwrap();
        }
        mount("tmpfs", at("rw"), "tmpfs", MountFlags::empty(), c"size=256k,nr_inodes=64").unwrap();
        for folder in [PROC, OTHER] {
            fs::create_dir(at("rw").join(folder)).unwrap();
        }
        mount_bind_recursive("/proc", at("rw").join(PROC)).unwrap();
        mount("tmpfs", at("rw").join(OTHER), "tmpfs", MountFlags::empty(), c"size=64k,nr_inodes=16").unwrap();
        let scratch = scratch::make(64 << 10).unwrap();
        let mut world = Self { base, scratch, canaries: Vec::new() };
        for folder in ["outside", "root", "nested"] {
            look(&world.at(folder), &mut world.canaries);
        }
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// Makes `rw` as it is at the beginning of every input.
    pub(crate) fn reset(&self) {
        let rw = self.at("rw");
        let other = rw.join(OTHER);
        clear(&rw, &[PROC, OTHER]);
        clear(&other, &[]);
        fs::write(rw.join("a"), "hello").unwrap();
        fs::create_dir(rw.join("d")).unwrap();
        fs::write(rw.join("d/b"), "deep").unwrap();
        fs::write(other.join("a"), "another file system").unwrap();
        for (name, target) in [("up", "../outside"), ("abs", "/rw/d"), ("loop", "loop"), ("in", "d/b"), ("far", "/a")] {
            symlink(target, rw.join(name)).unwrap();
        }
        symlink(self.at("outside/secret"), rw.join("out")).unwrap();
        rustix::fs::mknodat(CWD, rw.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::write(rw.join(OWN), OWN_TEXT).unwrap();
        clear(&self.scratch(), &[]);
        for (name, text) in STREAMS {
            fs::write(self.at("streams").join(name), text).unwrap();
        }
    }

    fn scratch(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/.", self.scratch.as_raw_fd()))
    }

    /// The mounts of a guest.
    pub(crate) fn mounts(&self, view: View) -> Mounts {
        let at = |text: &str| GuestPath::parse_absolute(text.as_bytes()).unwrap();
        let open = |name: &str, guest: &str, access| {
            let (source, flags) = (self.at(name), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC);
            // As the command line opens it.
            let root = rustix::fs::open(&source, flags | OFlags::NOATIME, Mode::empty()).unwrap();
            Mount::of(root, &source, at(guest), access, view.crossing).unwrap()
        };
        let mut mounts = vec![open("rw", "/rw", Access::ReadWrite)];
        if view.root {
            mounts.push(open("root", "/", Access::ReadOnly));
        }
        if view.nested {
            mounts.push(open("nested", "/rw/d", Access::ReadOnly));
        }
        if view.scratch {
            mounts.push(Mount::in_memory(self.scratch.try_clone().unwrap(), at("/tmp")));
        }
        Mounts::new(mounts)
    }

    /// A file that may be handed in.
    pub(crate) fn stream(&self, flags: OFlags, name: &str) -> OwnedFd {
        rustix::fs::open(self.at("streams").join(name), flags | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    /// The file that the loader itself writes.
    pub(crate) fn own(&self) -> OwnedFd {
        rustix::fs::open(self.at("rw").join(OWN), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    /// Whether the file that the loader writes is as it was, and where it was.
    pub(crate) fn check_own(&self, own: &OwnedFd) {
        let mut text = [0; 64];
        let count = rustix::io::pread(own, &mut text, 0).unwrap();
        assert_eq!(&text[..count], OWN_TEXT.as_bytes(), "a guest has written to the log");
        let there = fs::symlink_metadata(self.at("rw").join(OWN)).map(|stat| stat.ino()).ok();
        assert_eq!(there, Some(rustix::fs::fstat(own).unwrap().st_ino), "a guest has taken the log's place");
    }

    /// What a guest has left where it may write, beside what it found there.
    pub(crate) fn held(&self) -> Held {
        let mut held = Held::default();
        let mut seen = HashSet::new();
        for folder in [self.at("rw"), self.at("rw").join(OTHER), self.scratch()] {
            count(&folder, &[PROC, OTHER], &mut held, &mut seen);
        }
        held.bytes = held.bytes.saturating_sub(BYTES);
        held.files = held.files.saturating_sub(FILES);
        for (name, text) in STREAMS {
            let stat = fs::metadata(self.at("streams").join(name)).unwrap();
            assert_eq!(stat.mode() & 0o7777, 0o644 & stat.mode(), "a guest has changed the mode of `{name}`");
            assert!(stat.len() >= text.len() as u64, "a guest has cut `{name}`");
            held.streams += stat.len() - text.len() as u64;
        }
        assert_eq!(fs::read(self.at("streams/in")).unwrap(), b"to be read", "a guest has written to what it may read");
        held
    }

    /// What somebody else of the host does in `rw` while the guest runs.
    pub(crate) fn disturb(&self, what: u8) {
        let rw = self.at("rw");
        // What is in the way stays as it is.
        let _ = match what % 6 {
            0 => fs::rename(rw.join("d"), rw.join("moved")).and_then(|()| symlink("../outside", rw.join("d"))),
            1 => fs::remove_file(rw.join("a")).and_then(|()| symlink("../outside/secret", rw.join("a"))),
            2 => fs::rename(rw.join("d"), self.at("outside/taken"))
                .and_then(|()| fs::rename(self.at("outside/taken"), rw.join("d"))),
            3 => fs::remove_file(rw.join("in")).and_then(|()| fs::create_dir(rw.join("in"))),
            4 => symlink("/proc/self/fd/0", rw.join("fd")),
            _ => symlink("proc/self/root", rw.join("host")),
        };
    }

    /// Whether everything that a guest must not change is as it was.
    pub(crate) fn check(&self) {
        // A name that comes or goes changes its directory.
        for then in &self.canaries {
            let now = Sight::of(&then.path);
            assert_eq!(now, *then, "a guest has changed what lies outside, or what is mounted read-only");
        }
    }

    /// Whether the files that are open beside `before` are those that a guest may have.
    pub(crate) fn check_descriptors(&self, before: &HashSet<OsString>, crossing: Crossing) {
        for number in open_descriptors().difference(before) {
            let Ok(target) = fs::read_link(Path::new("/proc/self/fd").join(number)) else { continue };
            let within = |name: &str| target.starts_with(self.at(name));
            let device = |path: &Path| fs::metadata(path).map(|stat| stat.dev()).ok();
            if device(&Path::new("/proc/self/fd").join(number)) == device(&self.scratch()) {
                continue;
            }
            let crossed = within("rw/proc") || (within("rw/sub") && crossing == Crossing::Refused);
            let allowed = ["rw", "root", "nested", "streams"].into_iter().any(within) && !crossed;
            let pipe = target.to_str().is_some_and(|text| text.starts_with("pipe:"));
            assert!(allowed || pipe, "a guest has `{}` open", target.display());
        }
    }
}

impl Sight {
    fn of(path: &Path) -> Self {
        let stat = fs::symlink_metadata(path).unwrap();
        let kind = stat.file_type();
        let content = if kind.is_symlink() {
            fs::read_link(path).unwrap().into_os_string().into_encoded_bytes()
        } else if kind.is_file() {
            let mut content = Vec::new();
            let unseen = fs::File::options().read(true).custom_flags(libc::O_NOATIME).open(path);
            unseen.unwrap().read_to_end(&mut content).unwrap();
            content
        } else {
            Vec::new()
        };
        let read = if kind.is_symlink() { (0, 0) } else { (stat.atime(), stat.atime_nsec()) };
        Self {
            path: path.to_owned(),
            mode: stat.mode(),
            inode: stat.ino(),
            links: stat.nlink(),
            owner: (stat.uid(), stat.gid()),
            times: [stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec(), read.0, read.1],
            content,
        }
    }
}

fn look(path: &Path, all: &mut Vec<Sight>) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            look(&entry.unwrap().path(), all);
        }
    }
    all.push(Sight::of(path));
}

/// Counts what lies in a folder but these names, and each file once.
fn count(folder: &Path, but: &[&str], held: &mut Held, seen: &mut HashSet<(u64, u64)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if but.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        held.files += 1;
        let stat = entry.metadata().unwrap();
        if stat.is_dir() {
            count(&entry.path(), &[], held, seen);
        } else if stat.is_file() && seen.insert((stat.dev(), stat.ino())) {
            held.bytes += stat.len();
            held.longest = held.longest.max(stat.len());
            // A file with holes may have any length, and no more content than its file system
            // holds.
            let mut text = Vec::new();
            fs::File::open(entry.path()).unwrap().take(READ_MAX).read_to_end(&mut text).unwrap();
            assert!(memmem::find(&text, SECRET).is_none(), "a guest has copied what lies outside");
        }
    }
}

/// Removes what lies in a folder but these names.
fn clear(folder: &Path, but: &[&str]) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if but.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let removed = if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        removed.unwrap();
    }
}

/// The numbers of all open descriptors.
pub(crate) fn open_descriptors() -> HashSet<OsString> {
    fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// A mount namespace of its own, and a user namespace where that takes one.
fn enter_namespaces() {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    let mut flags = UnshareFlags::NEWNS;
    if !user.is_root() {
        flags |= UnshareFlags::NEWUSER;
    }
    // SAFETY: there is one thread, and nothing depends on the namespaces yet.
    unsafe { rustix::thread::unshare_unsafe(flags) }.expect("fuzzing the loader's calls needs user namespaces");
    if !user.is_root() {
        fs::write("/proc/self/setgroups", "deny").unwrap();
        fs::write("/proc/self/uid_map", format!("0 {} 1", user.as_raw())).unwrap();
        fs::write("/proc/self/gid_map", format!("0 {} 1", group.as_raw())).unwrap();
    }
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
}
