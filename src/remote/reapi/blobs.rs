//! Bytes to and from the server: small ones in batches, large ones in streams of their own,
//! compressed where the server takes that.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::Sender;
use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::bytestream::{ReadRequest, WriteRequest};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use network::worker_pool::take_all;
use proto::batch_update_blobs_request::Request as BatchItem;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};
use uuid::Uuid;
use zstd::stream::write::{Decoder, Encoder};

use super::client::Client;
use super::{ReapiError, digest};
use crate::remote::budget::MAX_WINDOW_LOG;
use crate::remote::{DigestFunction, WireDigest};

/// What one message of a stream carries.
const PIECE: usize = 1 << 20;
/// So many digests are asked for at once.
const ASKED: usize = 8192;
/// So many calls are under way at once.
const PARALLEL: usize = 8;
/// So many blobs may wait to be taken, each no longer than a batch.
const WAITING: usize = 32;
/// A stream is compressed from this size on.
const COMPRESSED_FROM: u64 = 4096;
/// What a blob takes in a batch beside its bytes.
const ITEM: u64 = 160;
const LEVEL: i32 = 3;
/// A stream that is slower than so many bytes a second is broken off, after the time that every
/// answer has.
const SLOWEST: u64 = 128 << 10;
/// The longest blob that is held in memory: a log, the directories of an output.
const LONGEST: u64 = 256 << 20;

/// Where bytes to be sent are.
#[derive(Debug)]
pub enum Source {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file, from its beginning.
    File(File),
}

/// Bytes to be sent.
#[derive(Debug)]
pub struct Blob {
    /// Their digest.
    pub digest: WireDigest,
    /// Where they are.
    pub source: Source,
}

impl Blob {
    fn read(&self) -> io::Result<Vec<u8>> {
        match &self.source {
            Source::Bytes(bytes) => Ok(bytes.clone()),
            Source::File(file) => {
                let mut bytes = vec![0; usize::try_from(self.digest.size).map_err(io::Error::other)?];
                std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, 0)?;
                Ok(bytes)
            }
        }
    }

    /// The bytes from `at` on, as many as a piece holds.
    fn piece(&self, at: u64) -> io::Result<Vec<u8>> {
        match &self.source {
            Source::Bytes(bytes) => {
                let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes[from..].iter().take(PIECE).copied().collect())
            }
            Source::File(file) => {
                let mut piece = vec![0; PIECE];
                let count = std::os::unix::fs::FileExt::read_at(file, &mut piece, at)?;
                piece.truncate(count);
                Ok(piece)
            }
        }
    }
}

/// Takes bytes that came and have the digest that they should.
pub type Receive<'a> = dyn Fn(&WireDigest, &mut dyn Read) -> Result<(), ReapiError> + Sync + 'a;

impl Client {
    /// Which of these the server has not got.
    ///
    /// # Errors
    /// [`ReapiError`].
    pub fn missing(&self, blobs: &[WireDigest]) -> Result<HashSet<WireDigest>, ReapiError> {
        let function = self.function()?;
        let asked: HashSet<_> = blobs.iter().copied().collect();
        let all: Vec<_> = asked.iter().collect();
        let ask = |chunk: &[&WireDigest]| {
            let blob_digests: Vec<_> = chunk.iter().map(|blob| digest::to_proto(blob)).collect();
            async move {
                self.call("asking for missing blobs", || {
                    let request = self.request(proto::FindMissingBlobsRequest {
                        instance_name: self.endpoint().instance.clone(),
                        blob_digests: blob_digests.clone(),
                        digest_function: function,
                    });
                    let mut client = self.storage();
                    async move { client.find_missing_blobs(request).await }
                })
                .await
            }
        };
        let answers: Vec<_> =
            self.wait(stream::iter(all.chunks(ASKED)).map(ask).buffer_unordered(PARALLEL).try_collect())?;
        let mut missing = HashSet::new();
        for answer in answers.iter().flat_map(|answer| &answer.get_ref().missing_blob_digests) {
            let blob = digest::from_proto(answer).filter(|blob| asked.contains(blob));
            missing.insert(blob.ok_or_else(|| self.wrong("it misses a blob that nobody asked for"))?);
        }
        Ok(missing)
    }

    /// Sends blobs, whether or not the server has them.
    ///
    /// # Errors
    /// [`ReapiError`]; some of them may be there.
    pub fn upload(&self, blobs: Vec<Blob>) -> Result<(), ReapiError> {
        let capabilities = self.capabilities()?;
        if let Some(bound) = capabilities.max_blob
            && let Some(blob) = blobs.iter().find(|blob| blob.digest.size > bound)
        {
            let problem = format!("it takes blobs of up to {bound} bytes, and {} is larger", blob.digest);
            return Err(self.wrong(problem));
        }
        let (small, large): (Vec<_>, Vec<_>) =
            blobs.into_iter().partition(|blob| blob.digest.size + ITEM <= capabilities.batch);
        let batches = batches(small, capabilities.batch, |blob| blob.digest.size);
        self.wait(async {
            let batches = stream::iter(batches).map(|batch| self.upload_batch(batch)).buffer_unordered(PARALLEL);
            batches.try_collect::<()>().await?;
            let streams = stream::iter(large).map(|blob| self.upload_stream(blob)).buffer_unordered(PARALLEL);
            streams.try_collect::<()>().await
        })
    }

    async fn upload_batch(&self, mut batch: Vec<Blob>) -> Result<(), ReapiError> {
        let function = digest::number(self.capabilities_known()?.function) as i32;
        let mut retries = self.retries();
        loop {
            let mut items = Vec::with_capacity(batch.len());
            for blob in &batch {
                let data = blob.read().map_err(|error| self.own_file(&blob.digest, error))?;
                items.push(BatchItem { digest: Some(digest::to_proto(&blob.digest)), data, compressor: 0 });
            }
            let answer = self
                .call("sending blobs", || {
                    let request = self.request(proto::BatchUpdateBlobsRequest {
                        instance_name: self.endpoint().instance.clone(),
                        requests: items.clone(),
                        digest_function: function,
                    });
                    let mut client = self.storage();
                    async move { client.batch_update_blobs(request).await }
                })
                .await?
                .into_inner();
            let mut there = HashSet::new();
            let mut failed = None;
            for one in answer.responses {
                let status = one.status.unwrap_or_default();
                match (status.code, one.digest.as_ref().and_then(digest::from_proto)) {
                    (0, Some(digest)) => {
                        there.insert(digest);
                    }
                    (code, _) => failed = Some(Status::new(Code::from_i32(code), status.message)),
                }
            }
            batch.retain(|blob| !there.contains(&blob.digest));
            if batch.is_empty() {
                return Ok(());
            }
            let status = failed.unwrap_or_else(|| Status::internal("it does not say what became of a blob"));
            self.wait_to_retry("sending blobs", &status, &mut retries).await?;
        }
    }

    async fn upload_stream(&self, blob: Blob) -> Result<(), ReapiError> {
        let capabilities = self.capabilities_known()?;
        let compressed = capabilities.zstd && blob.digest.size >= COMPRESSED_FROM;
        let size = blob.digest.size;
        let path = self.resource(capabilities.function, &blob.digest, compressed);
        let blob = Arc::new(blob);
        let mut retries = self.retries();
        loop {
            let name = format!("{}uploads/{}/{path}", self.instance_prefix(), Uuid::new_v4());
            let (pieces, trouble) = pieces(Arc::clone(&blob), name, compressed);
            let mut client = self.streams();
            let sent = match timeout_at(self.until(size), client.write(self.long_request(pieces))).await {
                Ok(sent) => sent,
                Err(_) => Err(Status::deadline_exceeded("no answer in time")),
            };
            if let Some(error) = trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(self.own_file(&blob.digest, error));
            }
            let status = match sent {
                Ok(answer) => {
                    let committed = answer.get_ref().committed_size;
                    // A server that has the blob already may say -1 for a compressed stream, or the
                    // size of the blob.
                    if compressed || committed == size.cast_signed() {
                        return Ok(());
                    }
                    Status::data_loss(format!("it took {committed} of {size} bytes"))
                }
                Err(status) if status.code() == Code::AlreadyExists => return Ok(()),
                Err(status) => status,
            };
            self.wait_to_retry("sending a blob", &status, &mut retries).await?;
        }
    }

    /// Fetches blobs: calls `receive` once with each that the server has, its bytes checked; not at
    /// all with what it does not have. Blobs come from several threads, one at a time from each.
    ///
    /// # Errors
    /// [`ReapiError`], that of `receive` first of all.
    pub fn fetch(&self, blobs: &[WireDigest], receive: &Receive<'_>) -> Result<(), ReapiError> {
        let capabilities = self.capabilities()?;
        let wanted: HashSet<_> = blobs.iter().copied().collect();
        let (small, large): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|blob| blob.size + ITEM <= capabilities.batch);
        let batches = batches(small, capabilities.batch, |blob| blob.size);
        let not_taken = || self.wrong("what it sent was not taken");
        let get_batches = |came: Sender<(WireDigest, Vec<u8>)>, stopped: &Notify| {
            self.wait(async {
                let batches = stream::iter(batches).map(|batch| self.fetch_batch(batch, &came));
                tokio::select! {
                    got = batches.buffer_unordered(PARALLEL).try_collect::<()>() => got,
                    () = stopped.notified() => Err(not_taken()),
                }
            })
        };
        take_all(WAITING, get_batches, |(blob, bytes): (WireDigest, Vec<u8>)| {
            if digest::of(capabilities.function, &bytes) != blob {
                return Err(self.wrong(format!("it sent other bytes as {blob}")));
            }
            receive(&blob, &mut &*bytes)
        })?;
        let get_streams = |came: Sender<(WireDigest, File)>, stopped: &Notify| {
            self.wait(async {
                let streams = stream::iter(large).map(|blob| self.fetch_stream(blob, &came));
                tokio::select! {
                    got = streams.buffer_unordered(PARALLEL).try_collect::<()>() => got,
                    () = stopped.notified() => Err(not_taken()),
                }
            })
        };
        // These lie on the disk, and may be large.
        take_all(1, get_streams, |(blob, mut file): (WireDigest, File)| receive(&blob, &mut file))
    }

    async fn hand_on<T>(&self, came: &Sender<T>, blob: T) -> Result<(), ReapiError> {
        came.send(blob).await.map_err(|_| self.wrong("what it sent was not taken"))
    }

    async fn fetch_batch(
        &self,
        batch: Vec<WireDigest>,
        came: &Sender<(WireDigest, Vec<u8>)>,
    ) -> Result<(), ReapiError> {
        let capabilities = self.capabilities_known()?;
        let function = capabilities.function;
        // Nobody has to send that.
        let (empty, mut left): (Vec<_>, Vec<_>) = batch.into_iter().partition(|blob| blob.size == 0);
        for blob in empty {
            if digest::of(function, b"") == blob {
                self.hand_on(came, (blob, Vec::new())).await?;
            }
        }
        let mut retries = self.retries();
        while !left.is_empty() {
            let digests: Vec<_> = left.iter().map(digest::to_proto).collect();
            let answer = self
                .call("fetching blobs", || {
                    let request = self.request(proto::BatchReadBlobsRequest {
                        instance_name: self.endpoint().instance.clone(),
                        digests: digests.clone(),
                        acceptable_compressors: Vec::new(),
                        digest_function: digest::number(function) as i32,
                    });
                    let mut client = self.storage();
                    async move { client.batch_read_blobs(request).await }
                })
                .await?
                .into_inner();
            let mut waiting: HashSet<_> = left.drain(..).collect();
            let mut failed = None;
            for one in answer.responses {
                let Some(blob) = one.digest.as_ref().and_then(digest::from_proto).filter(|blob| waiting.contains(blob))
                else {
                    return Err(self.wrong("it sent a blob that nobody asked for"));
                };
                let status = one.status.unwrap_or_default();
                match Code::from_i32(status.code) {
                    Code::Ok => {
                        if one.compressor != 0 {
                            return Err(self.wrong("it sent a compressed blob that should not be"));
                        }
                        waiting.remove(&blob);
                        self.hand_on(came, (blob, one.data)).await?;
                    }
                    Code::NotFound => {
                        waiting.remove(&blob);
                    }
                    code => failed = Some(Status::new(code, status.message)),
                }
            }
            left.extend(waiting);
            if !left.is_empty() {
                let status = failed.unwrap_or_else(|| Status::internal("it does not say what became of a blob"));
                self.wait_to_retry("fetching blobs", &status, &mut retries).await?;
            }
        }
        Ok(())
    }

    async fn fetch_stream(&self, blob: WireDigest, came: &Sender<(WireDigest, File)>) -> Result<(), ReapiError> {
        let mut retries = self.retries();
        loop {
            let status = match self.try_fetch_stream(&blob).await? {
                Ok(mut file) => {
                    io::Seek::rewind(&mut file).map_err(|error| self.own_file(&blob, error))?;
                    return self.hand_on(came, (blob, file)).await;
                }
                Err(status) if status.code() == Code::NotFound => return Ok(()),
                Err(status) => status,
            };
            self.wait_to_retry("fetching a blob", &status, &mut retries).await?;
        }
    }

    /// The blob in a file without a name, checked.
    async fn try_fetch_stream(&self, blob: &WireDigest) -> Result<Result<File, Status>, ReapiError> {
        let capabilities = self.capabilities_known()?;
        let compressed = capabilities.zstd && blob.size >= COMPRESSED_FROM;
        let own = |error| self.own_file(blob, error);
        let path = self.resource(capabilities.function, blob, compressed);
        let request =
            ReadRequest { resource_name: format!("{}{path}", self.instance_prefix()), read_offset: 0, read_limit: 0 };
        let mut client = self.streams();
        let silent = || Status::deadline_exceeded("no answer in time");
        let deadline = self.endpoint().deadline;
        let until = self.until(blob.size);
        let mut messages = match tokio::time::timeout(deadline, client.read(self.long_request(request))).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Ok(Err(status)),
            Err(_) => return Ok(Err(silent())),
        };
        let checked = Checked {
            file: tempfile::tempfile().map_err(own)?,
            hasher: digest::Hasher::new(capabilities.function),
            bound: blob.size,
        };
        let mut sink = if compressed {
            let mut decoder = Decoder::new(checked).map_err(own)?;
            decoder.window_log_max(MAX_WINDOW_LOG).map_err(own)?;
            Sink::Compressed(Box::new(decoder))
        } else {
            Sink::Plain(checked)
        };
        loop {
            let message = match timeout_at(until.min(Instant::now() + deadline), messages.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => break,
                Ok(Err(status)) => return Ok(Err(status)),
                Err(_) => return Ok(Err(silent())),
            };
            match sink.write(&message.data) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData || error.kind() == io::ErrorKind::Other => {
                    return Err(self.wrong(format!("it sent other bytes as {blob}: {error}")));
                }
                Err(error) => return Err(own(error)),
            }
        }
        let checked = match sink {
            Sink::Plain(checked) => checked,
            Sink::Compressed(decoder) => decoder.into_inner(),
        };
        if checked.hasher.size() < blob.size {
            return Ok(Err(Status::unavailable(format!("it sent {} of {} bytes", checked.hasher.size(), blob.size))));
        }
        if checked.hasher.finish() != *blob {
            return Err(self.wrong(format!("it sent other bytes as {blob}")));
        }
        Ok(Ok(checked.file))
    }

    /// Until when a stream of so many bytes may take, from now on.
    fn until(&self, bytes: u64) -> Instant {
        Instant::now() + self.endpoint().deadline + Duration::from_secs(bytes / SLOWEST)
    }

    /// The bytes of one blob, which are held in memory.
    ///
    /// # Errors
    /// [`ReapiError::Absent`] if the server has not got it, [`ReapiError::Wrong`] if it is longer
    /// than what is asked for so ever is.
    pub fn fetch_one(&self, blob: &WireDigest) -> Result<Vec<u8>, ReapiError> {
        if blob.size > LONGEST {
            return Err(self.wrong(format!("it names {} bytes where there are at most {LONGEST}", blob.size)));
        }
        let got = Mutex::new(None);
        self.fetch(&[*blob], &|_, reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map_err(|error| self.own_file(blob, error))?;
            *got.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
            Ok(())
        })?;
        got.into_inner().unwrap_or_else(PoisonError::into_inner).ok_or_else(|| self.absent(blob))
    }

    fn instance_prefix(&self) -> String {
        let instance = &self.endpoint().instance;
        if instance.is_empty() { String::new() } else { format!("{instance}/") }
    }

    fn resource(&self, function: DigestFunction, blob: &WireDigest, compressed: bool) -> String {
        let kind = if compressed { "compressed-blobs/zstd" } else { "blobs" };
        format!("{kind}/{}{}/{}", digest::resource_part(function), digest::hex(blob), blob.size)
    }

    fn own_file(&self, blob: &WireDigest, source: io::Error) -> ReapiError {
        ReapiError::Io { doing: "use the file of", path: blob.to_string().into(), source }
    }
}

/// A file that is hashed as it is written, and takes no more than it should.
struct Checked {
    file: File,
    hasher: digest::Hasher,
    bound: u64,
}

impl Write for Checked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.hasher.size() + bytes.len() as u64 > self.bound {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there are more of them"));
        }
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Sink {
    Plain(Checked),
    Compressed(Box<Decoder<'static, Checked>>),
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(checked) => checked.write_all(bytes),
            Self::Compressed(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
        }
    }
}

type Trouble = Arc<Mutex<Option<io::Error>>>;

/// The messages that carry a blob. If the file can't be read, they end, and the error is in the
/// second part.
fn pieces(
    blob: Arc<Blob>,
    name: String,
    compressed: bool,
) -> (impl stream::Stream<Item = WriteRequest> + Send + 'static, Trouble) {
    struct State {
        blob: Arc<Blob>,
        encoder: Option<Encoder<'static, Vec<u8>>>,
        name: String,
        read: u64,
        written: u64,
        done: bool,
    }
    impl State {
        fn next(&mut self, compressed: bool) -> io::Result<WriteRequest> {
            let mut data = Vec::new();
            while data.is_empty() && !self.done {
                let piece = self.blob.piece(self.read)?;
                self.read += piece.len() as u64;
                self.done = self.read >= self.blob.digest.size || piece.is_empty();
                data = match self.encoder.take() {
                    _ if !compressed => piece,
                    encoder => {
                        let mut encoder = match encoder {
                            Some(encoder) => encoder,
                            None => Encoder::new(Vec::new(), LEVEL)?,
                        };
                        encoder.write_all(&piece)?;
                        if self.done {
                            encoder.finish()?
                        } else {
                            encoder.flush()?;
                            let data = std::mem::take(encoder.get_mut());
                            self.encoder = Some(encoder);
                            data
                        }
                    }
                };
            }
            let write_offset = self.written.cast_signed();
            self.written += data.len() as u64;
            Ok(WriteRequest {
                resource_name: std::mem::take(&mut self.name),
                write_offset,
                finish_write: self.done,
                data,
            })
        }
    }
    let trouble = Trouble::default();
    let told = Arc::clone(&trouble);
    let state = State { blob, encoder: None, name, read: 0, written: 0, done: false };
    let messages = stream::unfold(state, move |mut state| {
        let next = if state.done {
            None
        } else {
            match state.next(compressed) {
                Ok(message) => Some((message, state)),
                Err(error) => {
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    None
                }
            }
        };
        std::future::ready(next)
    });
    (messages, trouble)
}

/// Puts things together up to a bound.
fn batches<T>(items: Vec<T>, bound: u64, size: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut taken = bound;
    for item in items {
        let size = size(&item) + ITEM;
        if taken + size > bound || batches.last().is_none_or(|batch| batch.len() >= ASKED) {
            batches.push(Vec::new());
            taken = 0;
        }
        taken += size;
        if let Some(batch) = batches.last_mut() {
            batch.push(item);
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_their_bound() {
        let made = batches(vec![100, 300, 700, 50, 1000], 1000 + ITEM, |size| *size);
        assert_eq!(made, [vec![100, 300], vec![700, 50], vec![1000]]);
        assert_eq!(made.iter().map(Vec::len).sum::<usize>(), 5);
    }
}
