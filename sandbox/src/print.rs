//! The one way to print, which can't panic, and which sends a terminal nothing that it obeys.

use std::fmt::{self, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// More characters than this are not shown of one message; an ellipsis stands for the rest.
const MAX_SHOWN: usize = 2000;

/// Writes a text of our own to standard output.
///
/// # Errors
///
/// That of writing: [`Errno::PIPE`] if the reader has closed it.
pub(crate) fn out(text: &str) -> Result<(), Errno> {
    write_all(rustix::stdio::stdout(), text.as_bytes())
}

/// Writes a text of our own to standard error, as far as it takes it: nobody is left who could be
/// told that it does not, and the exit status is about something else.
pub(crate) fn err(text: &str) {
    let _ = write_all(rustix::stdio::stderr(), text.as_bytes());
}

/// Writes a message to standard error, as one line.
pub(crate) fn error(message: fmt::Arguments<'_>) {
    err(&line(message));
}

/// The message as one line, named by who says it.
pub(crate) fn line(message: fmt::Arguments<'_>) -> String {
    format!("run: {}\n", one_line(&message.to_string()))
}

/// Text as one line of printable characters.
pub(crate) fn one_line(text: &str) -> String {
    OneLine(text).to_string()
}

/// A name for people: as text, with what is no UTF-8 in it as `\xff`, so that it is not another
/// name.
pub(crate) fn shown(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// The same of a path of the host.
pub(crate) fn shown_path(path: &Path) -> String {
    shown(path.as_os_str().as_bytes())
}

/// Text as one line of printable characters. Names come from modules, files and guests: a line feed
/// would forge a line of the log, an escape sequence would be obeyed, a bidirectional override
/// would reorder what is read.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, c) in self.0.chars().enumerate() {
            match c {
                _ if index == MAX_SHOWN => return f.write_char('…'),
                // The standard library escapes these, too, and they are no danger.
                '\'' | '"' | '\\' => f.write_char(c)?,
                c => write!(f, "{}", c.escape_debug())?,
            }
        }
        Ok(())
    }
}

/// Writes everything, with one call if the stream takes it; waits for one that somebody made
/// non-blocking.
pub(crate) fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Bytes that a pipe takes at once where it takes any: `PIPE_BUF` of pipe(7).
const PIECE: usize = 4096;

/// As [`write_all`], and gives up where nobody reads for so long. A pipe that somebody else writes
/// to as well may still make the caller wait.
///
/// # Errors
///
/// [`Errno::TIMEDOUT`] then; that of writing.
pub(crate) fn write_within(to: BorrowedFd<'_>, bytes: &[u8], patience: Duration) -> Result<(), Errno> {
    let deadline = Instant::now() + patience;
    for piece in bytes.chunks(PIECE) {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or_default();
            match poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], Some(&left)) {
                Ok(0) => return Err(Errno::TIMEDOUT),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        write_all(to, piece)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pipe_is_given_up() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let writer = std::os::fd::AsFd::as_fd(&writer);
        let moment = Duration::from_millis(20);
        let long = vec![b'x'; 3 * PIECE + 1];
        assert_eq!(write_within(writer, &long, moment), Ok(()));
        while write_within(writer, &long, moment) == Ok(()) {}
        assert_eq!(write_within(writer, b"x", moment), Err(Errno::TIMEDOUT));
        drop(reader);
        assert_eq!(write_within(writer, b"x", moment), Err(Errno::PIPE));
    }

    #[test]
    fn a_name_that_is_no_text_is_no_other_name() {
        assert_eq!(shown(b"/a\xff\xc3/\xc3\xa9"), "/a\\xff\\xc3/é");
    }

    #[test]
    fn a_name_forges_no_line_and_moves_no_cursor() {
        let name = "x`\nrun: FORGED \u{1b}[31mred\u{7}\u{202e}\\ 'é'";
        let shown = "run: `x`\\nrun: FORGED \\u{1b}[31mred\\u{7}\\u{202e}\\ 'é'` is missing\n";
        assert_eq!(line(format_args!("`{name}` is missing")), shown);
        assert!(line(format_args!("{}", "é".repeat(3000))).chars().count() < 2010);
    }
}
