//! Descriptors handed to the guest, and those that nobody is to have.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::options::HandOption;
use crate::vfs::Vfs;

/// Why a descriptor can't be handed in.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// It is not open here.
    #[error("descriptor {0} can't be handed in: {1}; open it in the shell, such as `{0}<FILE`")]
    Closed(i32, Errno),
    /// It is a directory.
    #[error("descriptor {0} is a directory; mount it with `-m` instead")]
    Directory(i32),
}

/// Descriptors that are to be the guest's.
#[derive(Debug)]
pub struct Handed(Vec<(HandOption, OwnedFd)>);

/// Takes the standard streams and the descriptors in `hands`, and closes every other one that this process was started with. To be called before it
/// opens anything that it needs.
///
/// # Errors
///
/// [`DescriptorError::Closed`].
pub fn take(hands: &[HandOption]) -> Result<Handed, DescriptorError> {
    let standard =
        |number: i32| HandOption { host: number, guest: number.cast_unsigned(), read: number == 0, write: number != 0 };
    let mut all = Vec::new();
    for hand in [0, 1, 2].map(standard).iter().chain(hands) {
        // SAFETY: the descriptor is borrowed for the duplication alone, which says so if it is not open.
        let number = unsafe { BorrowedFd::borrow_raw(hand.host) };
        match rustix::io::fcntl_dupfd_cloexec(number, 3) {
            Ok(fd) => all.push((*hand, fd)),
            Err(_) if hand.host <= 2 => {}
            Err(error) => return Err(DescriptorError::Closed(hand.host, error)),
        }
    }
    let handed = Handed(all);
    close_all_but(&handed);
    Ok(handed)
}

/// Closes everything from 3 on that is not in `kept`: what the parent process left open by mistake is not there for a guest that breaks out.
fn close_all_but(kept: &Handed) {
    let mut keep: Vec<u32> = kept.numbers().filter_map(|n| u32::try_from(n).ok()).collect();
    keep.sort_unstable();
    keep.push(u32::MAX);
    let mut first = 3u32;
    for number in keep {
        if first < number {
            // SAFETY: nothing in this process owns a descriptor yet but the streams (0 to 2) and those in `kept`. A kernel without the call
            // (before 5.9) leaves them open, where no call of a guest reaches them either.
            unsafe { libc::syscall(libc::SYS_close_range, first, number - 1, 0) };
        }
        first = number.saturating_add(1);
    }
}

impl Handed {
    /// Gives them to the guest. Of several for one number, the last counts.
    ///
    /// # Errors
    ///
    /// [`DescriptorError::Directory`].
    pub fn give(self, vfs: &mut Vfs) -> Result<(), DescriptorError> {
        for (hand, fd) in self.0 {
            vfs.hand_in(hand.guest, fd, hand.read, hand.write).map_err(|e| match e {
                Errno::ISDIR => DescriptorError::Directory(hand.host),
                e => DescriptorError::Closed(hand.host, e),
            })?;
        }
        Ok(())
    }

    /// Standard error and those that were asked for, in that order, with what they are to be. (The other standard streams an engine that is a
    /// program of its own has anyway; its standard error is not the guest's.)
    ///
    /// # Errors
    ///
    /// [`DescriptorError::Directory`].
    pub fn for_engine(self, hands: &[HandOption]) -> Result<Vec<(HandOption, OwnedFd)>, DescriptorError> {
        let skip = self.0.len() - hands.len();
        let wanted = |&(at, (hand, _)): &(usize, (HandOption, OwnedFd))| at >= skip || hand.guest == 2;
        let asked: Vec<_> = self.0.into_iter().enumerate().filter(wanted).map(|(_, handed)| handed).collect();
        for (hand, fd) in &asked {
            let stat = rustix::fs::fstat(fd).map_err(|e| DescriptorError::Closed(hand.host, e))?;
            if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory {
                return Err(DescriptorError::Directory(hand.host));
            }
        }
        Ok(asked)
    }

    /// The descriptors' numbers in this process.
    fn numbers(&self) -> impl Iterator<Item = i32> {
        self.0.iter().map(|(_, fd)| fd.as_raw_fd())
    }
}
