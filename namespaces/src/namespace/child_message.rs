//! What the child tells the parent through a pipe: how the action ended, or which step failed and
//! why.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::ActionLimit;

/// A step of making a container. Those marked with an index speak of one of several things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    Watch,
    Session,
    Descriptors,
    Caller,
    UserMap,
    Root,
    Devices,
    /// Index into the devices.
    Device,
    /// Index into the names at the top of the image.
    Image,
    Temporary,
    Proc,
    /// Index into the masked files.
    MaskedFile,
    /// Index into the masked directories.
    MaskedDirectory,
    Build,
    /// Index into the inputs.
    Input,
    /// Index into the inputs.
    MountPoint,
    Times,
    ChangeRoot,
    HostName,
    Loopback,
    /// Index into the limits.
    Limit,
    Limits,
    Capabilities,
    Filter,
    WorkingDirectory,
    /// Index into the directories of outputs.
    OutputFolder,
    Look,
    Start,
    Wait,
    Program,
}

const STEPS: [Step; 30] = [
    Step::Watch,
    Step::Session,
    Step::Descriptors,
    Step::Caller,
    Step::UserMap,
    Step::Root,
    Step::Devices,
    Step::Device,
    Step::Image,
    Step::Temporary,
    Step::Proc,
    Step::MaskedFile,
    Step::MaskedDirectory,
    Step::Build,
    Step::Input,
    Step::MountPoint,
    Step::Times,
    Step::ChangeRoot,
    Step::HostName,
    Step::Loopback,
    Step::Limit,
    Step::Limits,
    Step::Capabilities,
    Step::Filter,
    Step::WorkingDirectory,
    Step::OutputFolder,
    Step::Look,
    Step::Start,
    Step::Wait,
    Step::Program,
];

/// A step, and which of its things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StepIndex {
    pub(super) step: Step,
    pub(super) index: usize,
}

impl Step {
    pub(super) fn of(self, index: usize) -> StepIndex {
        StepIndex { step: self, index }
    }
}

impl From<Step> for StepIndex {
    fn from(step: Step) -> Self {
        step.of(0)
    }
}

/// A step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StepFailure {
    pub(super) place: StepIndex,
    pub(super) errno: Errno,
}

/// Says which step an error belongs to.
pub(super) trait WithStep<T> {
    fn at(self, place: impl Into<StepIndex>) -> Result<T, StepFailure>;
}

impl<T> WithStep<T> for Result<T, Errno> {
    fn at(self, place: impl Into<StepIndex>) -> Result<T, StepFailure> {
        self.map_err(|errno| StepFailure { place: place.into(), errno })
    }
}

/// One message of the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChildMessage {
    Failed(StepFailure),
    Exited(i32),
    Signalled(i32),
    Reached(ActionLimit),
}

/// The length of a message: a letter, the step, the index, the number.
const LENGTH: usize = 10;

impl ChildMessage {
    fn encode(self) -> [u8; LENGTH] {
        let (letter, place, number) = match self {
            Self::Failed(StepFailure { place, errno }) => (b'f', place, errno.raw_os_error()),
            Self::Exited(status) => (b'e', Step::Wait.into(), status),
            Self::Signalled(signal) => (b's', Step::Wait.into(), signal),
            Self::Reached(limit) => (b'l', Step::Look.into(), limit as i32),
        };
        let mut bytes = [0; LENGTH];
        bytes[0] = letter;
        bytes[1] = place.step as u8;
        bytes[2..6].copy_from_slice(&(place.index as u32).to_le_bytes());
        bytes[6..].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; LENGTH]) -> Option<Self> {
        let [letter, step, index @ .., a, b, c, d] = *bytes;
        let number = i32::from_le_bytes([a, b, c, d]);
        let place = StepIndex { step: *STEPS.get(usize::from(step))?, index: u32::from_le_bytes(index) as usize };
        match letter {
            b'f' => Some(Self::Failed(StepFailure { place, errno: Errno::from_raw_os_error(number) })),
            b'e' => Some(Self::Exited(number)),
            b's' => Some(Self::Signalled(number)),
            b'l' => ActionLimit::ALL.get(usize::try_from(number).ok()?).copied().map(Self::Reached),
            _ => None,
        }
    }

    /// Sends the message. If the parent is gone there is nobody to tell.
    pub(super) fn send(self, to: BorrowedFd<'_>) {
        let _ = rustix::io::write(to, &self.encode());
    }

    /// The first message of all that came: a process that could not become the action says why
    /// before process 1 says how it ended.
    pub(super) fn first(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes.first_chunk()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives() {
        for (number, step) in STEPS.into_iter().enumerate() {
            assert_eq!(step as usize, number);
            let failure = ChildMessage::Failed(StepFailure { place: step.of(70_000), errno: Errno::PERM });
            assert_eq!(ChildMessage::first(&failure.encode()), Some(failure));
        }
        let reached = ActionLimit::ALL.map(ChildMessage::Reached);
        for report in [ChildMessage::Exited(255), ChildMessage::Signalled(9)].into_iter().chain(reached) {
            assert_eq!(ChildMessage::first(&report.encode()), Some(report));
        }
        assert_eq!(ChildMessage::first(b"e"), None);
    }
}
