//! What `sel_ldr` itself says. It says so on descriptor 2, which is a pipe to here: the guest's
//! standard error is another descriptor, so no guest can have said it. It is the one place where a
//! crash shows, and that a program was refused: `sel_ldr` ends with 256 minus the signal or with 1
//! then, which a guest may mean as its own status.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::log::Log;

/// More than any of its lines has; of a longer one the rest is another line.
const MAX_LINE: usize = 4096;

/// The engine's messages, which the log's readers get line by line.
pub(super) struct Messages<'a> {
    said: File,
    log: &'a Log,
    line: Vec<u8>,
    told: Told,
}

/// What the messages tell of the guest's end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The signal of the last crash.
    pub(super) crash: Option<i32>,
    /// Whether the engine gave up because the kernel had no memory for it.
    pub(super) lacks_memory: bool,
    /// Why a program was not begun.
    pub(super) refused: Option<String>,
}

impl<'a> Messages<'a> {
    pub(super) fn new(said: OwnedFd, log: &'a Log) -> Self {
        Self { said: said.into(), log, line: Vec::new(), told: Told::default() }
    }

    /// Waits until something is said and takes it; `false` if nobody can say anything more.
    pub(super) fn take(&mut self) -> bool {
        let mut bytes = [0; MAX_LINE];
        let length = self.said.read(&mut bytes).unwrap_or(0);
        for &byte in &bytes[..length] {
            if byte == b'\n' || self.line.len() == MAX_LINE {
                self.end_line();
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
        length > 0
    }

    /// Takes what is left, until nobody can say anything more.
    pub(super) fn end(mut self) -> Told {
        while self.take() {}
        self.end_line();
        self.told
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        self.told.crash = crash_signal(&text).or(self.told.crash);
        self.told.lacks_memory |= lacks_memory(&text);
        if let Some(why) = refusal(&text) {
            self.told.refused = Some(why.to_owned());
        }
        if !text.is_empty() {
            self.log.say(1, format_args!("sel_ldr: {text}"));
        }
    }
}

impl AsFd for Messages<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.said.as_fd()
    }
}

/// The signal of a line such as `** Signal 11 from untrusted code: pc=…`.
fn crash_signal(line: &str) -> Option<i32> {
    let (signal, code) = line.strip_prefix("** Signal ")?.split_once(" from ")?;
    let known = ["untrusted code", "trusted code"].iter().any(|kind| code.starts_with(kind));
    signal.parse().ok().filter(|_| known)
}

/// Whether this is what the engine says when it can't protect memory otherwise: for a `brk` of the
/// guest's, or in `mprotect`. It aborts then.
fn lacks_memory(line: &str) -> bool {
    line.contains("Could not mprotect(") || line.contains("mprotect on anonymous memory failed, errno = 12")
}

/// The reason in a line such as `[2,…] Error while loading "/guest/x": Validation failure. …`.
fn refusal(line: &str) -> Option<&str> {
    let (_, error) = line.strip_prefix('[')?.split_once("] Error while loading \"")?;
    error.split_once("\": ").map(|(_, why)| why)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn told(said: &[u8]) -> Told {
        let (read, write) = rustix::pipe::pipe().unwrap();
        File::from(write).write_all(said).unwrap();
        Messages::new(read, &Log::new(None, 0)).end()
    }

    fn crash_of(said: &[u8]) -> Option<i32> {
        told(said).crash
    }

    #[test]
    fn a_crash_is_told_from_other_messages() {
        assert_eq!(crash_of(b"\n** Signal 11 from untrusted code: pc=4d7e0100210b\n"), Some(11));
        assert_eq!(
            crash_of(b"POST-ABORT: LOG_FATAL abort exit\n\n** Signal 6 from trusted code: pc=7f\nmore"),
            Some(6)
        );
        assert_eq!(crash_of(b"[2,1:08:00:00.1] ** Signal 11 from untrusted code\n"), None);
        assert_eq!(
            crash_of(b"** Signal x from untrusted code\n** Signal 11\n** Signal 11 from a guest\n\xff\xfe"),
            None
        );
        assert_eq!(crash_of(&[b'x'; 60000]), None);
    }

    #[test]
    fn a_refusal_has_its_reason() {
        let said = b"[2,8:08:06:03.1] VALIDATION FAILED.\n[2,8:08:06:03.2] Error while loading \"/guest/a\": Validation failure. No.\n";
        assert_eq!(told(said), Told { refused: Some("Validation failure. No.".to_owned()), ..Told::default() });
        assert_eq!(told(b"Error while loading \"/guest/a\": no\n[2] Error while loading x"), Told::default());
    }
}
