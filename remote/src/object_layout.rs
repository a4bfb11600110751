//! Remotes that keep objects under names: folders, web servers, buckets.
//!
//! # Layout
//!
//! | name | what it is |
//! |---|---|
//! | `ac/KEY` | the signed envelope of a result |
//! | `cas/DIGEST` | a blob's bytes, under their BLAKE3 |
//!
//! Every object is one zstd frame. Digests are of the bytes in the frame.

use std::collections::HashSet;
use std::io::{self, Read, Seek as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use build_graph::{BlobDigest, NodeKey};
use network::parallel;
use support::retry::RetryPolicy;

use super::budget::{Budget, MAX_ENVELOPE, MAX_ENVELOPES, Unread, check_length, read_within, unpacked};
use super::envelope::SignedEnvelope;
use super::{DigestFunction, Open, Receive, RemoteError, Transport, WireDigest};

/// The level of compression: fast, and a compiled file shrinks to a third.
const LEVEL: i32 = 1;
/// How often an object is asked for while the server answers for others.
const SINGLE: RetryPolicy = RetryPolicy::of(6);
/// So many objects may fail before the others are given up.
const SKIPPED: usize = 8;
/// Compressed bytes beyond this length wait in a file, not in memory.
const IN_MEMORY: usize = 8 << 20;
/// A place that keeps objects under names.
pub(super) trait Objects: Send + Sync {
    /// Where it is, for messages.
    fn place(&self) -> String;

    /// How many requests may be under way at once.
    fn width(&self) -> usize;

    /// Opens an object. `size` is how many bytes it should hold, and decides how long that may take.
    fn get(&self, name: &str, size: u64) -> Result<Option<Box<dyn Read + '_>>, RemoteError>;

    /// Opens many objects, several at once: calls `take` with the place of each in the list, from
    /// any thread.
    fn get_each(&self, wanted: &[(String, u64)], take: &Take<'_>) -> Result<(), RemoteError> {
        let places: Vec<_> = (0..wanted.len()).collect();
        let answers = AtomicBool::new(false);
        let skipped = Mutex::new(Vec::new());
        parallel::map(self.width(), &places, |place| {
            let (name, size) = &wanted[*place];
            let mut retries = SINGLE.begin();
            let object = loop {
                match self.get(name, *size) {
                    // A server that answers other requests turns single ones away under load.
                    Err(error @ RemoteError::Busy(_)) if let Some(pause) = retries.pause() => {
                        std::thread::sleep(pause);
                        if !answers.load(Ordering::Relaxed) {
                            return Err(error);
                        }
                    }
                    Err(error @ RemoteError::Busy(_)) => {
                        let mut skipped = skipped.lock().unwrap_or_else(PoisonError::into_inner);
                        if skipped.len() == SKIPPED {
                            return Err(error);
                        }
                        skipped.push(error);
                        return Ok(());
                    }
                    got => break got?,
                }
            };
            answers.store(true, Ordering::Relaxed);
            take(*place, object)
        })?;
        skipped.into_inner().unwrap_or_else(PoisonError::into_inner).pop().map_or(Ok(()), Err)
    }

    /// Whether there is such an object.
    fn has(&self, name: &str) -> Result<bool, RemoteError>;

    /// Puts an object, at once as a whole.
    fn put(&self, name: &str, length: u64, bytes: Box<dyn Read + Send>) -> Result<(), RemoteError>;
}

/// Takes an object, or that there is none.
pub(super) type Take<'a> = dyn Fn(usize, Option<Box<dyn Read + '_>>) -> Result<(), RemoteError> + Sync + 'a;

/// A transport to such a place.
pub(super) struct ObjectLayout<O>(pub(super) O);

impl<O: Objects> Transport for ObjectLayout<O> {
    fn place(&self) -> String {
        self.0.place()
    }

    fn digest_function(&self) -> Result<DigestFunction, RemoteError> {
        Ok(DigestFunction::Blake3)
    }

    fn look_up(&self, keys: &[NodeKey]) -> Result<Vec<Option<Vec<u8>>>, RemoteError> {
        let (head, budget) = (SignedEnvelope::head(), Budget::new(MAX_ENVELOPES));
        parallel::map(self.0.width(), keys, |key| {
            let Some(object) = self.0.get(&format!("ac/{key}"), 0)? else { return Ok(None) };
            match read_within(unpacked(object)?, &head, MAX_ENVELOPE, &budget) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(Unread::OverBudget) => {
                    Err(RemoteError::Wrong(format!("its answers have more than {MAX_ENVELOPES} bytes")))
                }
                Err(Unread::Io(error)) if is_on_the_way(&error) => Err(RemoteError::Unavailable(error.to_string())),
                // No frame, a part of one, or too much: no envelope.
                Err(Unread::Io(_)) => Ok(Some(Vec::new())),
            }
        })
    }

    fn missing(&self, blobs: &[WireDigest]) -> Result<HashSet<WireDigest>, RemoteError> {
        let there = parallel::map(self.0.width(), blobs, |blob| self.0.has(&blob_name(blob)))?;
        Ok(blobs.iter().zip(there).filter(|(_, there)| !there).map(|(blob, _)| *blob).collect())
    }

    fn fetch(&self, blobs: &[WireDigest], receive: &Receive<'_>) -> Result<(), RemoteError> {
        let wanted: Vec<_> = blobs.iter().map(|blob| (blob_name(blob), blob.size)).collect();
        self.0.get_each(&wanted, &|place, object| match object {
            Some(object) => receive(&blobs[place], &mut unpacked(object)?),
            None => Ok(()),
        })
    }

    fn put(&self, blobs: &[WireDigest], open: &Open<'_>) -> Result<(), RemoteError> {
        parallel::map(self.0.width(), blobs, |blob| self.put_packed(&blob_name(blob), open(blob)?))?;
        Ok(())
    }

    fn put_result(&self, result: &SignedEnvelope) -> Result<(), RemoteError> {
        check_length(result)?;
        self.put_packed(&format!("ac/{}", result.envelope.key), result.to_bytes())
    }
}

impl<O: Objects> ObjectLayout<O> {
    fn put_packed(&self, name: &str, bytes: impl Read) -> Result<(), RemoteError> {
        let mut packed = tempfile::spooled_tempfile(IN_MEMORY);
        zstd::stream::copy_encode(bytes, &mut packed, LEVEL)?;
        let length = packed.stream_position()?;
        packed.rewind()?;
        self.0.put(name, length, Box::new(packed))
    }
}

fn blob_name(blob: &WireDigest) -> String {
    format!("cas/{}", BlobDigest::from_bytes(blob.hash))
}

/// Returns whether the connection failed, not what is kept at its end.
pub(super) fn is_on_the_way(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, WouldBlock};
    let kinds = [TimedOut, WouldBlock, ConnectionReset, ConnectionAborted, BrokenPipe];
    kinds.contains(&error.kind())
}
