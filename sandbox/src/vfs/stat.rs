//! What stat(2) tells, in Linux's terms.

use rustix::fs::Stat;

/// File type mask of `st_mode`.
pub const S_IFMT: u32 = 0o170_000;
/// Socket.
pub const S_IFSOCK: u32 = 0o140_000;
/// Symbolic link.
pub const S_IFLNK: u32 = 0o120_000;
/// Regular file.
pub const S_IFREG: u32 = 0o100_000;
/// Block device.
pub const S_IFBLK: u32 = 0o060_000;
/// Directory.
pub const S_IFDIR: u32 = 0o040_000;
/// Character device.
pub const S_IFCHR: u32 = 0o020_000;
/// Pipe.
pub const S_IFIFO: u32 = 0o010_000;

/// The fields of Linux's `struct stat`; times are nanoseconds since 1970.
///
/// Owner and group are left out: a guest is nobody in particular.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are stat(2)'s")]
pub struct FileStat {
    pub dev: u64,
    pub ino: u64,
    pub nlink: u64,
    pub mode: u32,
    pub rdev: u64,
    pub size: u64,
    pub blksize: u64,
    pub blocks: u64,
    pub atime: i64,
    pub mtime: i64,
    pub ctime: i64,
}

impl FileStat {
    /// The type bits of the mode.
    pub fn kind(&self) -> u32 {
        self.mode & S_IFMT
    }

    /// A directory that exists only because something is mounted below it.
    pub(crate) fn virtual_directory(ino: u64) -> Self {
        Self { ino, nlink: 2, mode: S_IFDIR | 0o555, blksize: 4096, ..Self::default() }
    }
}

impl From<Stat> for FileStat {
    #[expect(clippy::cast_sign_loss, reason = "the kernel's fields are not negative")]
    fn from(s: Stat) -> Self {
        let nanos = |seconds: i64, nanoseconds: u64| {
            seconds.saturating_mul(1_000_000_000).saturating_add(i64::try_from(nanoseconds).unwrap_or(0))
        };
        Self {
            dev: s.st_dev,
            ino: s.st_ino,
            nlink: s.st_nlink,
            mode: s.st_mode,
            rdev: s.st_rdev,
            size: s.st_size as u64,
            blksize: s.st_blksize as u64,
            blocks: s.st_blocks as u64,
            atime: nanos(s.st_atime, s.st_atime_nsec),
            mtime: nanos(s.st_mtime, s.st_mtime_nsec),
            ctime: nanos(s.st_ctime, s.st_ctime_nsec),
        }
    }
}
