//! One transfer: from one place into a partial file, until it is verified or fails.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use build_graph::untrusted::printable_path;
use thiserror::Error;

use super::http::{Client, Location};
use super::partial::{LocalError, Partial};
use crate::regular;

/// A transfer that is slower than this over a whole stall timeout counts as stalled. Bytes a second.
const CRAWL: u64 = 256;

/// Why a transfer failed.
#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Transport(String),
    #[error("no answer in time")]
    Timeout,
    #[error("more redirects than are followed")]
    Redirects,
    #[error("status {0}")]
    Status(u16),
    #[error("a web page came instead of the file (a login or error page?)")]
    Html,
    #[error("its size is {found} bytes, expected {expected}")]
    Size { expected: u64, found: u64 },
    #[error("its checksum is wrong: sha256 {found}")]
    Checksum { found: build_graph::Sha256 },
    #[error("it does not end within {limit} bytes")]
    TooLong { limit: u64 },
    #[error("the transfer ended after {got} bytes: {why}")]
    Cut { got: u64, why: String },
    #[error("the transfer stalled")]
    Stalled,
    /// The settings of apt or pip don't lead anywhere, or the index does not have the file.
    #[error("{0}")]
    NoPlace(String),
    #[error("`{}`: {}", printable_path(&.0.path), .0.error)]
    Local(LocalError),
    #[error("`{0}` can't be fetched: only `https`, `http` and `file` are known")]
    Scheme(String),
}

impl Failure {
    /// Returns whether the same transfer may succeed a moment later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Transport(_) | Self::Timeout | Self::Cut { .. } | Self::Stalled => true,
            Self::Status(status) => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        Self::Local(error)
    }
}

/// The bounds of a transfer.
pub(super) struct TransferLimits {
    /// The size that is pinned.
    pub(super) size: Option<u64>,
    /// The most, where none is pinned.
    pub(super) max_size: u64,
    /// How long it may bring no bytes.
    pub(super) stall: Duration,
}

impl TransferLimits {
    fn most(&self) -> u64 {
        self.size.unwrap_or(self.max_size)
    }
}

/// Completes the partial file from a place. If the bytes of an earlier transfer are wrong, drops them
/// and fetches all of it again, once. Whatever is left in the file can be resumed.
pub(super) fn transfer(
    client: &Client,
    place: &Location,
    partial: &mut Partial,
    limits: &TransferLimits,
    on_bytes: &dyn Fn(u64, Option<u64>),
) -> Result<(), Failure> {
    if partial.length() >= limits.most() {
        partial.clear()?;
    }
    let resumed = partial.length() > 0;
    match once(client, place, partial, limits, on_bytes) {
        Err(Failure::Checksum { .. } | Failure::TooLong { .. } | Failure::Size { .. }) if resumed => {
            partial.clear()?;
            once(client, place, partial, limits, on_bytes)
        }
        result => result,
    }
}

fn once(
    client: &Client,
    place: &Location,
    partial: &mut Partial,
    limits: &TransferLimits,
    on_bytes: &dyn Fn(u64, Option<u64>),
) -> Result<(), Failure> {
    let (mut body, end) = open(client, place, partial, limits)?;
    on_bytes(partial.length(), end.or(limits.size));
    let mut buffer = vec![0; 1 << 16];
    let mut since = (Instant::now(), partial.length());
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Failure::Stalled),
            Err(error) => return Err(Failure::Cut { got: partial.length(), why: error.to_string() }),
        };
        if partial.length() + count as u64 > limits.most() {
            partial.clear()?;
            return Err(Failure::TooLong { limit: limits.most() });
        }
        partial.push(&buffer[..count])?;
        on_bytes(partial.length(), end.or(limits.size));
        let elapsed = since.0.elapsed();
        if elapsed >= limits.stall {
            let enough = limits.stall.as_millis().saturating_mul(u128::from(CRAWL)) / 1000;
            if u128::from(partial.length() - since.1) < enough {
                return Err(Failure::Stalled);
            }
            since = (Instant::now(), partial.length());
        }
    }
    if let Some(end) = end.or(limits.size)
        && partial.length() < end
    {
        return Err(Failure::Cut { got: partial.length(), why: format!("expected {end}") });
    }
    if partial.is_verified() {
        return Ok(());
    }
    let found = partial.digest();
    let html = looks_like_html(&partial.head());
    partial.clear()?;
    Err(if html { Failure::Html } else { Failure::Checksum { found } })
}

/// Opens the bytes after those that are there. Also returns the length of the whole file, if it is
/// known.
fn open(
    client: &Client,
    place: &Location,
    partial: &mut Partial,
    limits: &TransferLimits,
) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
    let size_is_wrong = |found: u64| match limits.size {
        Some(expected) if expected != found => Err(Failure::Size { expected, found }),
        None if found > limits.max_size => Err(Failure::TooLong { limit: limits.max_size }),
        _ => Ok(()),
    };
    if let Some(path) = place.file_path()? {
        let failed = |error: io::Error| Failure::NoPlace(error.to_string());
        let mut file = regular::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        size_is_wrong(length)?;
        file.seek(SeekFrom::Start(partial.length())).map_err(failed)?;
        return Ok((Box::new(file), Some(length)));
    }
    let mut answer = client.get(place, partial.length())?;
    if answer.status == 416 || (answer.status == 206 && answer.range_start != Some(partial.length())) {
        partial.clear()?;
        answer = client.get(place, 0)?;
    }
    match answer.status {
        200 => partial.clear()?,
        206 if partial.length() > 0 && answer.range_start == Some(partial.length()) => {}
        status => return Err(Failure::Status(status)),
    }
    if answer.is_html {
        return Err(Failure::Html);
    }
    let end = answer.length.map(|length| partial.length() + length);
    if let Some(found) = end {
        size_is_wrong(found)?;
    }
    Ok((answer.body, end))
}

/// Fetches a small file that nothing pins.
pub(super) fn small(client: &Client, place: &Location, max_size: u64) -> Result<Vec<u8>, Failure> {
    let body: Box<dyn Read> = match place.file_path()? {
        Some(path) => Box::new(regular::open(&path).map_err(|error| Failure::NoPlace(error.to_string()))?),
        None => {
            let answer = client.get(place, 0)?;
            match answer.status {
                200 => answer.body,
                status => return Err(Failure::Status(status)),
            }
        }
    };
    read_bounded(body, max_size)
}

/// Reads all of a body that is no longer than `max_size`.
pub(super) fn read_bounded(body: impl Read, max_size: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let result = body.take(max_size + 1).read_to_end(&mut bytes);
    match result {
        Err(error) => Err(Failure::Cut { got: bytes.len() as u64, why: error.to_string() }),
        Ok(_) if bytes.len() as u64 > max_size => Err(Failure::TooLong { limit: max_size }),
        Ok(_) => Ok(bytes),
    }
}

fn looks_like_html(head: &[u8]) -> bool {
    let head = head.trim_ascii_start().to_ascii_lowercase();
    head.starts_with(b"<!doctype html") || head.starts_with(b"<html")
}
