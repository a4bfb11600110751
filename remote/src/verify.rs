//! Verifies that what a remote sends is what it was asked for.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use build_graph::NodeKey;

use super::digest::Hasher;
use super::envelope::SignedEnvelope;
use super::object_layout::is_on_the_way;
use super::{Damage, DamagedBlob, DigestFunction, Open, Receive, RemoteError, Transport, WireDigest};

/// A transport whose answers are checked: each key has one answer, each blob was asked for and
/// comes once, and its bytes have its digest and length.
///
/// A receiver gets an error in place of the end of bytes that are wrong. Damaged blobs don't end
/// the transfer of the others; [`RemoteError::Damaged`] lists them.
pub(super) struct VerifyTransport<T> {
    inner: T,
}

impl<T: Transport> VerifyTransport<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner }
    }

    fn unasked(&self, what: impl std::fmt::Display) -> RemoteError {
        RemoteError::Wrong(format!("`{}` {what}, which nobody asked for", self.place()))
    }
}

impl<T: Transport> Transport for VerifyTransport<T> {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn digest_function(&self) -> Result<DigestFunction, RemoteError> {
        self.inner.digest_function()
    }

    fn look_up(&self, keys: &[NodeKey]) -> Result<Vec<Option<Vec<u8>>>, RemoteError> {
        let answers = self.inner.look_up(keys)?;
        if answers.len() != keys.len() {
            let place = self.place();
            let (asked, came) = (keys.len(), answers.len());
            return Err(RemoteError::Wrong(format!("`{place}` gives {came} answers to {asked} questions")));
        }
        Ok(answers)
    }

    fn missing(&self, blobs: &[WireDigest]) -> Result<HashSet<WireDigest>, RemoteError> {
        let missing = self.inner.missing(blobs)?;
        let asked: HashSet<_> = blobs.iter().collect();
        match missing.iter().find(|blob| !asked.contains(blob)) {
            Some(blob) => Err(self.unasked(format_args!("lacks the file {blob}"))),
            None => Ok(missing),
        }
    }

    fn fetch(&self, blobs: &[WireDigest], receive: &Receive<'_>) -> Result<(), RemoteError> {
        let function = self.digest_function()?;
        let expected: Mutex<HashSet<_>> = Mutex::new(blobs.iter().copied().collect());
        let damaged = Mutex::new(Vec::new());
        self.inner.fetch(blobs, &|blob, bytes| {
            if !expected.lock().unwrap_or_else(PoisonError::into_inner).remove(blob) {
                return Err(self.unasked(format_args!("sends the file {blob}")));
            }
            let mut reader = VerifyingReader::new(function, *blob, bytes);
            let received = receive(blob, &mut reader);
            let damage = match reader.problem {
                None => return received,
                Some(Problem::OnTheWay(error)) => return Err(RemoteError::Unavailable(error.to_string())),
                Some(Problem::Incomplete(error)) => Damage::Incomplete(error.to_string()),
                Some(Problem::OtherBytes) => Damage::OtherBytes,
            };
            damaged.lock().unwrap_or_else(PoisonError::into_inner).push(DamagedBlob { blob: *blob, damage });
            Ok(())
        })?;
        let damaged = damaged.into_inner().unwrap_or_else(PoisonError::into_inner);
        if damaged.is_empty() { Ok(()) } else { Err(RemoteError::Damaged(damaged)) }
    }

    fn put(&self, blobs: &[WireDigest], open: &Open<'_>) -> Result<(), RemoteError> {
        self.inner.put(blobs, open)
    }

    fn put_result(&self, result: &SignedEnvelope) -> Result<(), RemoteError> {
        self.inner.put_result(result)
    }
}

/// What was wrong with bytes.
#[derive(Debug)]
pub(super) enum Problem {
    /// The connection failed.
    OnTheWay(io::Error),
    /// The transfer broke off, or they can't be decompressed.
    Incomplete(io::Error),
    /// They have another digest or length.
    OtherBytes,
}

/// Reads the bytes of a blob, and fails in place of their end if they are not its bytes. Reads at
/// most one byte more than the blob has.
pub(super) struct VerifyingReader<'a> {
    bytes: &'a mut dyn Read,
    blob: WireDigest,
    hasher: Option<Hasher>,
    /// Why the last call failed.
    pub(super) problem: Option<Problem>,
}

impl<'a> VerifyingReader<'a> {
    pub(super) fn new(function: DigestFunction, blob: WireDigest, bytes: &'a mut dyn Read) -> Self {
        Self { bytes, blob, hasher: Some(Hasher::new(function)), problem: None }
    }

    /// Reads at most `buffer` and what is left of the blob.
    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, Problem> {
        let Some(hasher) = &mut self.hasher else { return Ok(0) };
        let left = self.blob.size - hasher.size();
        let mut one_more = [0];
        let room = if left == 0 {
            &mut one_more[..]
        } else {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            &mut buffer[..most]
        };
        let count = loop {
            match self.bytes.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_on_the_way(&error) => return Err(Problem::OnTheWay(error)),
                Err(error) => return Err(Problem::Incomplete(error)),
                Ok(count) => break count,
            }
        };
        match count {
            0 if left > 0 => Err(Problem::OtherBytes),
            0 => match self.hasher.take().map(Hasher::finish) {
                Some(digest) if digest != self.blob => Err(Problem::OtherBytes),
                _ => Ok(0),
            },
            _ if left == 0 => Err(Problem::OtherBytes),
            _ => {
                hasher.update(&room[..count]);
                Ok(count)
            }
        }
    }
}

impl Read for VerifyingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.read_some(buffer).map_err(|problem| {
            let text = match &problem {
                Problem::OnTheWay(error) | Problem::Incomplete(error) => error.to_string(),
                Problem::OtherBytes => "these are other bytes".to_owned(),
            };
            self.problem = Some(problem);
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest;
    use super::super::test_transport::TestTransport;
    use super::*;

    fn read(blob: &[u8], mut sent: &[u8]) -> Result<Vec<u8>, Problem> {
        let digest = digest::of(DigestFunction::Blake3, blob);
        let mut reader = VerifyingReader::new(DigestFunction::Blake3, digest, &mut sent);
        let mut bytes = Vec::new();
        match reader.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(_) => Err(reader.problem.unwrap()),
        }
    }

    #[test]
    fn right_bytes_end_and_others_do_not() {
        for blob in [&b""[..], b"x", &[7; 100_000]] {
            assert_eq!(read(blob, blob).unwrap(), blob);
            assert!(matches!(read(blob, &[blob, b"y"].concat()), Err(Problem::OtherBytes)));
        }
        assert!(matches!(read(b"alpha", b"alphb"), Err(Problem::OtherBytes)));
        assert!(matches!(read(b"alpha", b"alph"), Err(Problem::OtherBytes)));
    }

    #[test]
    fn a_wrong_blob_is_named_and_the_others_are_received() {
        let (folder, transport) = TestTransport::new();
        let blobs = transport.fill(4);
        let damage = |blob: &WireDigest, bytes: &[u8]| {
            let name = build_graph::BlobDigest::from_bytes(blob.hash).to_string();
            std::fs::write(folder.path().join("cas").join(&name[..2]).join(&name), bytes).unwrap();
        };
        damage(&blobs[0], &zstd::encode_all(&b"other bytes"[..], 1).unwrap());
        damage(&blobs[1], b"no frame");
        damage(&blobs[2], &zstd::encode_all(io::repeat(0).take(64 << 20), 1).unwrap());
        let received = Mutex::new(Vec::new());
        let failed = VerifyTransport::new(&transport).fetch(&blobs, &|blob, bytes| {
            let count = io::copy(bytes, &mut io::sink())?;
            received.lock().unwrap().push((*blob, count));
            Ok(())
        });
        assert_eq!(received.into_inner().unwrap(), [(blobs[3], blobs[3].size)]);
        let Err(RemoteError::Damaged(mut damaged)) = failed else { panic!("{failed:?}") };
        damaged.sort_by_key(|damaged| damaged.blob);
        assert_eq!(damaged.iter().map(|damaged| damaged.blob).collect::<Vec<_>>(), blobs[..3]);
        assert_eq!([&damaged[0].damage, &damaged[2].damage], [&Damage::OtherBytes; 2]);
        assert!(matches!(damaged[1].damage, Damage::Incomplete(_)));
    }
}
