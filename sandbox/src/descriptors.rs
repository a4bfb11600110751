//! Descriptors handed to the guest, and those that nobody is to have.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::options::HandOption;
use crate::sys;
use crate::vfs::{HandIn, Vfs};

/// Why a descriptor can't be handed in.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// It is not open here.
    #[error("descriptor {0} can't be handed in: {1}; open it in the shell, such as `{0}<FILE`")]
    Closed(i32, Errno),
    /// It is a directory.
    #[error("descriptor {0} is a directory; mount it with `-m` instead")]
    Directory(i32),
    /// It can't take the status.
    #[error("descriptor {0} can't take the status: {1}; open it for writing in the shell, such as `{0}>FILE`")]
    Status(i32, Errno),
    /// The guest could write what only the loader may.
    #[error(
        "descriptor {0} is the guest's, and is the file that `--status-fd` writes to; give the status one of its own"
    )]
    Shared(i32),
}

/// Descriptors that are to be the guest's.
#[derive(Debug)]
pub struct Handed {
    all: Vec<(HandOption, OwnedFd)>,
    /// How many of them are standard streams that nobody asked for: the first ones.
    streams: usize,
}

/// What was taken of the descriptors that this process was started with.
pub(crate) struct TakenDescriptors {
    /// Those that are to be the guest's.
    pub(crate) handed: Result<Handed, DescriptorError>,
    /// The one that takes the status.
    pub(crate) status: Result<Option<OwnedFd>, DescriptorError>,
}

/// Takes the standard streams, the descriptors in `hands`, and the one that takes the status, which
/// is nobody else's then. Closes every other one that this process was started with. To be called
/// before it opens anything that it needs.
pub(crate) fn take(hands: &[HandOption], status: Option<i32>) -> TakenDescriptors {
    // Before anything gets a number that one of them names.
    let open = hands.iter().try_for_each(|hand| is_open(hand.host));
    let taken = status.map(take_status).transpose();
    let handed = open.and_then(|()| take_handed(hands, status));
    let files = handed.iter().flat_map(|handed| handed.all.iter().map(|(_, fd)| fd));
    let kept: Vec<_> = files.chain(taken.iter().flatten()).map(OwnedFd::as_fd).collect();
    // What the parent process left open by mistake is not there for a guest that breaks out.
    // SAFETY: nothing in this process owns a descriptor yet but the streams (0 to 2) and those that
    // are kept.
    unsafe { sys::close_all_but(&kept) };
    let handed = handed.and_then(|handed| match &taken {
        Ok(Some(status)) => match handed.all.iter().find(|(_, fd)| is_same_file(fd, status)) {
            Some((hand, _)) => Err(DescriptorError::Shared(hand.host)),
            None => Ok(handed),
        },
        _ => Ok(handed),
    });
    TakenDescriptors { handed, status: taken }
}

fn is_open(number: i32) -> Result<(), DescriptorError> {
    // SAFETY: the descriptor is borrowed for this question alone, whose answer says so if it is not
    // open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_getfd(borrowed).map(drop).map_err(|error| DescriptorError::Closed(number, error))
}

/// Takes the descriptor for the status; its number leads nowhere then.
fn take_status(number: i32) -> Result<OwnedFd, DescriptorError> {
    let failed = |error| DescriptorError::Status(number, error);
    // SAFETY: the descriptor is borrowed for these calls alone, which say so if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = rustix::fs::fcntl_getfl(borrowed).map_err(failed)?;
    if flags.contains(OFlags::PATH) || flags & OFlags::ACCMODE == OFlags::RDONLY {
        return Err(failed(Errno::BADF));
    }
    let status = rustix::io::fcntl_dupfd_cloexec(borrowed, 3).map_err(failed)?;
    if number <= 2 {
        // A standard stream stays open, so that nothing else gets its number.
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        sys::redirect_stream(number, null.as_fd()).map_err(failed)?;
    }
    Ok(status)
}

fn take_handed(hands: &[HandOption], status: Option<i32>) -> Result<Handed, DescriptorError> {
    let standard =
        |number: i32| HandOption { host: number, guest: number.cast_unsigned(), read: number == 0, write: number != 0 };
    let mut all = Vec::new();
    for number in (0..3).filter(|number| status != Some(*number)) {
        // SAFETY: the descriptor is borrowed for the duplication alone, which says so if it is not
        // open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        if let Ok(fd) = rustix::io::fcntl_dupfd_cloexec(borrowed, 3) {
            all.push((standard(number), fd));
        }
    }
    let streams = all.len();
    for hand in hands {
        if status == Some(hand.host) {
            return Err(DescriptorError::Shared(hand.host));
        }
        // SAFETY: the same.
        let borrowed = unsafe { BorrowedFd::borrow_raw(hand.host) };
        match rustix::io::fcntl_dupfd_cloexec(borrowed, 3) {
            Ok(fd) => all.push((*hand, fd)),
            Err(error) => return Err(DescriptorError::Closed(hand.host, error)),
        }
    }
    Ok(Handed { all, streams })
}

/// Whether what is written to one can be found in the other. Terminals and other devices keep
/// nothing.
pub(crate) fn is_same_file(one: &OwnedFd, other: &OwnedFd) -> bool {
    let (Ok(one), Ok(other)) = (rustix::fs::fstat(one), rustix::fs::fstat(other)) else { return false };
    let keeps = !matches!(FileType::from_raw_mode(one.st_mode), FileType::CharacterDevice | FileType::BlockDevice);
    keeps && (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

impl Handed {
    /// Gives them to the guest. Of several for one number, the last counts.
    ///
    /// # Errors
    ///
    /// [`DescriptorError::Directory`].
    pub fn give(self, vfs: &mut Vfs) -> Result<(), DescriptorError> {
        for (index, (hand, fd)) in self.all.into_iter().enumerate() {
            // Where bytes go that nobody chose a file for, they go one after the other.
            let how = HandIn { readable: hand.read, writable: hand.write, stream: index < self.streams };
            vfs.hand_in(hand.guest, fd, how).map_err(|e| match e {
                Errno::ISDIR => DescriptorError::Directory(hand.host),
                e => DescriptorError::Closed(hand.host, e),
            })?;
        }
        Ok(())
    }

    /// Standard error and those that were asked for, in that order, with what they are to be. (The
    /// other standard streams an engine that is a program of its own has anyway; its standard error
    /// is not the guest's.)
    ///
    /// # Errors
    ///
    /// [`DescriptorError::Directory`].
    pub fn for_engine(self) -> Result<Vec<(HandOption, OwnedFd)>, DescriptorError> {
        let wanted = |&(at, (hand, _)): &(usize, (HandOption, OwnedFd))| at >= self.streams || hand.guest == 2;
        let asked: Vec<_> = self.all.into_iter().enumerate().filter(wanted).map(|(_, handed)| handed).collect();
        for (hand, fd) in &asked {
            let stat = rustix::fs::fstat(fd).map_err(|e| DescriptorError::Closed(hand.host, e))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                return Err(DescriptorError::Directory(hand.host));
            }
        }
        Ok(asked)
    }
}
