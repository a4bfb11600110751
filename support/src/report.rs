//! What rooms tell a user while they work. No room prints: each is given a [`Reporter`], and the
//! command line decides what becomes of it.

/// Takes what is worth telling. Calls come from several threads.
pub trait Reporter: Send + Sync {
    /// Something is not as it should be, and the work goes on without it. The message is one line
    /// in lower case, without a dot at its end.
    fn warn(&self, message: &str);

    /// Something that changes no result is done otherwise than asked for. One line, as for
    /// [`warn`](Self::warn).
    fn note(&self, message: &str);

    /// The download of the file `name` went on, ended, or is tried elsewhere.
    fn transfer(&self, name: &str, transfer: Transfer<'_>);
}

/// How a download stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer<'a> {
    /// A part of the file is there.
    At {
        /// How many bytes are there.
        bytes: u64,
        /// How many bytes the file has, if that is known.
        total: Option<u64>,
    },
    /// The file is there.
    Finished {
        /// How many bytes it has.
        bytes: u64,
        /// Where it came from.
        origin: &'a str,
    },
    /// An origin failed; the next one is tried.
    Failed {
        /// Which one.
        origin: &'a str,
        /// Why.
        reason: &'a str,
    },
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn warn(&self, _message: &str) {}
    fn note(&self, _message: &str) {}
    fn transfer(&self, _name: &str, _transfer: Transfer<'_>) {}
}
