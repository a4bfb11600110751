//! The content-addressed storage: small blobs in batches, large ones in streams of their own,
//! compressed where the server takes that.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::Sender;
use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::bytestream::ReadRequest;
use bazel_remote_apis::google::bytestream::byte_stream_client::ByteStreamClient;
use network::parallel::map_requests;
use network::worker_pool::take_all;
use proto::batch_update_blobs_request::Request as BatchItem;
use proto::content_addressable_storage_client::ContentAddressableStorageClient;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Code, Status};
use uuid::Uuid;

use super::stream::{Blob, Incoming, messages};
use super::{Channel, ReapiError, digest};
use crate::WireDigest;
use crate::verify::{Problem, VerifyingReader};

/// Messages of servers that are longer than this are refused: batches have less, and nobody sends
/// larger pieces.
pub(super) const MAX_ANSWER: usize = 16 << 20;
/// So many digests are asked for at once.
const ASKED: usize = 8192;
/// So many calls are under way at once.
const PARALLEL: usize = 8;
/// So many blobs may wait to be received, each no longer than a batch.
const WAITING: usize = 32;
/// A stream is compressed from this size on.
const COMPRESSED_FROM: u64 = 4096;
/// What a blob takes in a batch beside its bytes.
const ITEM: u64 = 160;
/// A stream that is slower than so many bytes a second is broken off, after the time that every
/// answer has.
const SLOWEST: u64 = 128 << 10;
/// The longest blob that is held in memory: a log, the directories of an output.
const LONGEST: u64 = 256 << 20;

/// A client of a server's content-addressed storage.
#[derive(Debug, Clone)]
pub struct Cas {
    channel: Channel,
}

impl Cas {
    /// The storage of the server that a channel leads to.
    pub fn new(channel: &Channel) -> Self {
        Self { channel: channel.clone() }
    }

    /// Returns which of these blobs the server has not got.
    ///
    /// # Errors
    /// [`ReapiError`].
    pub fn missing(&self, blobs: &[WireDigest]) -> Result<HashSet<WireDigest>, ReapiError> {
        let channel = &self.channel;
        let digest_function = channel.capabilities()?.function_number();
        let asked: HashSet<_> = blobs.iter().copied().collect();
        let all: Vec<_> = asked.iter().collect();
        let ask = |chunk: &[&WireDigest]| {
            let blob_digests: Vec<_> = chunk.iter().map(|blob| digest::to_proto(blob)).collect();
            async move {
                channel
                    .call("asking for missing blobs", || {
                        let request = channel.request(proto::FindMissingBlobsRequest {
                            instance_name: channel.instance(),
                            blob_digests: blob_digests.clone(),
                            digest_function,
                        });
                        let mut client = self.storage();
                        async move { client.find_missing_blobs(request).await }
                    })
                    .await
            }
        };
        let answers = channel.wait(map_requests(PARALLEL, all.chunks(ASKED), ask))?;
        let mut missing = HashSet::new();
        for answer in answers.iter().flat_map(|answer| &answer.get_ref().missing_blob_digests) {
            let blob = digest::from_proto(answer).filter(|blob| asked.contains(blob));
            missing.insert(blob.ok_or_else(|| channel.wrong("it misses a blob that nobody asked for"))?);
        }
        Ok(missing)
    }

    /// Sends blobs, whether or not the server has them.
    ///
    /// # Errors
    /// [`ReapiError`]; some of them may be there.
    pub fn upload(&self, blobs: Vec<Blob>) -> Result<(), ReapiError> {
        let capabilities = self.channel.capabilities()?;
        if let Some(bound) = capabilities.max_blob
            && let Some(blob) = blobs.iter().find(|blob| blob.digest.size > bound)
        {
            let problem = format!("it takes blobs of up to {bound} bytes, and {} is larger", blob.digest);
            return Err(self.channel.wrong(problem));
        }
        let (small, large): (Vec<_>, Vec<_>) =
            blobs.into_iter().partition(|blob| blob.digest.size + ITEM <= capabilities.batch);
        let batches = batches(small, capabilities.batch, |blob| blob.digest.size);
        self.channel.wait(async {
            map_requests(PARALLEL, batches, |batch| self.upload_batch(batch)).await?;
            map_requests(PARALLEL, large, |blob| self.upload_stream(blob)).await
        })?;
        Ok(())
    }

    async fn upload_batch(&self, mut batch: Vec<Blob>) -> Result<(), ReapiError> {
        let channel = &self.channel;
        let digest_function = channel.capabilities()?.function_number();
        let mut retries = channel.retries();
        loop {
            let mut items = Vec::with_capacity(batch.len());
            for blob in &batch {
                let data = blob.read().map_err(|error| own_file(&blob.digest, error))?;
                items.push(BatchItem { digest: Some(digest::to_proto(&blob.digest)), data, compressor: 0 });
            }
            let answer = channel
                .call("sending blobs", || {
                    let request = channel.request(proto::BatchUpdateBlobsRequest {
                        instance_name: channel.instance(),
                        requests: items.clone(),
                        digest_function,
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
            let status = failed.unwrap_or_else(unsaid);
            channel.wait_to_retry("sending blobs", &status, &mut retries).await?;
        }
    }

    async fn upload_stream(&self, blob: Blob) -> Result<(), ReapiError> {
        let channel = &self.channel;
        let compressed = self.is_compressed(&blob.digest)?;
        let size = blob.digest.size;
        let path = self.resource(&blob.digest, compressed)?;
        let blob = Arc::new(blob);
        let mut retries = channel.retries();
        loop {
            let name = format!("{}uploads/{}/{path}", self.instance_prefix(), Uuid::new_v4());
            let (messages, read_error) = messages(Arc::clone(&blob), name, compressed);
            let mut client = self.streams();
            let sent = match timeout_at(self.until(size), client.write(channel.long_request(messages))).await {
                Ok(sent) => sent,
                Err(_) => Err(silent()),
            };
            if let Some(error) = read_error.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(own_file(&blob.digest, error));
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
            channel.wait_to_retry("sending a blob", &status, &mut retries).await?;
        }
    }

    /// Fetches blobs: calls `receive` once with each that the server has, not at all with what it
    /// does not have. Blobs come from several threads, one at a time from each. What is sent as a
    /// blob is no longer than it, but is not verified.
    ///
    /// # Errors
    /// [`ReapiError`], that of `receive` first of all.
    pub fn fetch<E: From<ReapiError> + Send>(
        &self,
        blobs: &[WireDigest],
        receive: impl Fn(&WireDigest, &mut dyn Read) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let capabilities = self.channel.capabilities()?;
        let wanted: HashSet<_> = blobs.iter().copied().collect();
        let (small, large): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|blob| blob.size + ITEM <= capabilities.batch);
        let batches = batches(small, capabilities.batch, |blob| blob.size);
        let get_batches = |came: Sender<(WireDigest, Vec<u8>)>, stopped: &Notify| {
            let got = map_requests(PARALLEL, batches, |batch| self.fetch_batch(batch, &came));
            self.unless_stopped(got, stopped).map_err(E::from)
        };
        take_all(WAITING, get_batches, |(blob, bytes): (WireDigest, Vec<u8>)| receive(&blob, &mut &*bytes))?;
        let get_streams = |came: Sender<(WireDigest, File)>, stopped: &Notify| {
            let got = map_requests(PARALLEL, large, |blob| self.fetch_stream(blob, &came));
            self.unless_stopped(got, stopped).map_err(E::from)
        };
        // These lie on the disk, and may be large.
        take_all(1, get_streams, |(blob, mut file): (WireDigest, File)| receive(&blob, &mut file))
    }

    /// As [`Cas::fetch`], but `receive` gets an error in place of the end of wrong bytes.
    ///
    /// # Errors
    /// [`ReapiError::Wrong`] if the server sends other bytes; otherwise as [`Cas::fetch`].
    pub fn fetch_verified(
        &self,
        blobs: &[WireDigest],
        receive: impl Fn(&WireDigest, &mut dyn Read) -> Result<(), ReapiError> + Sync,
    ) -> Result<(), ReapiError> {
        let function = self.channel.capabilities()?.function;
        self.fetch(blobs, |blob, bytes| {
            let mut reader = VerifyingReader::new(function, *blob, bytes);
            let received = receive(blob, &mut reader);
            match reader.problem {
                None => received,
                Some(Problem::OtherBytes) => Err(self.channel.wrong(format!("it sent other bytes as {blob}"))),
                Some(Problem::OnTheWay(error) | Problem::Incomplete(error)) => {
                    Err(self.channel.wrong(format!("it sent other bytes as {blob}: {error}")))
                }
            }
        })
    }

    /// Returns the bytes of one blob, verified, which are held in memory.
    ///
    /// # Errors
    /// [`ReapiError::Absent`] if the server has not got it, [`ReapiError::Wrong`] if it is too long
    /// to be held.
    pub fn fetch_one(&self, blob: &WireDigest) -> Result<Vec<u8>, ReapiError> {
        if blob.size > LONGEST {
            let problem = format!("it names {} bytes where there are at most {LONGEST}", blob.size);
            return Err(self.channel.wrong(problem));
        }
        let got = Mutex::new(None);
        self.fetch_verified(&[*blob], |_, reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map_err(|error| own_file(blob, error))?;
            *got.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
            Ok(())
        })?;
        got.into_inner().unwrap_or_else(PoisonError::into_inner).ok_or_else(|| self.channel.absent(blob))
    }

    /// Waits for requests, or until nobody takes what they bring.
    fn unless_stopped(
        &self,
        got: impl Future<Output = Result<Vec<()>, ReapiError>>,
        stopped: &Notify,
    ) -> Result<(), ReapiError> {
        self.channel.wait(async {
            tokio::select! {
                got = got => got.map(drop),
                () = stopped.notified() => Err(self.untaken()),
            }
        })
    }

    async fn hand_on<T>(&self, came: &Sender<T>, blob: T) -> Result<(), ReapiError> {
        came.send(blob).await.map_err(|_| self.untaken())
    }

    /// What is told where the reason is another error.
    fn untaken(&self) -> ReapiError {
        self.channel.wrong("what it sent was not taken")
    }

    async fn fetch_batch(
        &self,
        batch: Vec<WireDigest>,
        came: &Sender<(WireDigest, Vec<u8>)>,
    ) -> Result<(), ReapiError> {
        let channel = &self.channel;
        let capabilities = channel.capabilities()?;
        // No server has to send the empty blob.
        let (empty, mut left): (Vec<_>, Vec<_>) = batch.into_iter().partition(|blob| blob.size == 0);
        for blob in empty {
            if digest::of(capabilities.function, b"") == blob {
                self.hand_on(came, (blob, Vec::new())).await?;
            }
        }
        let mut retries = channel.retries();
        while !left.is_empty() {
            let digests: Vec<_> = left.iter().map(digest::to_proto).collect();
            let answer = channel
                .call("fetching blobs", || {
                    let request = channel.request(proto::BatchReadBlobsRequest {
                        instance_name: channel.instance(),
                        digests: digests.clone(),
                        acceptable_compressors: Vec::new(),
                        digest_function: capabilities.function_number(),
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
                    return Err(channel.wrong("it sent a blob that nobody asked for"));
                };
                let status = one.status.unwrap_or_default();
                match Code::from_i32(status.code) {
                    Code::Ok => {
                        if one.compressor != 0 {
                            return Err(channel.wrong("it sent a compressed blob that should not be"));
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
                let status = failed.unwrap_or_else(unsaid);
                channel.wait_to_retry("fetching blobs", &status, &mut retries).await?;
            }
        }
        Ok(())
    }

    async fn fetch_stream(&self, blob: WireDigest, came: &Sender<(WireDigest, File)>) -> Result<(), ReapiError> {
        let mut retries = self.channel.retries();
        loop {
            let status = match self.try_fetch_stream(&blob).await? {
                Ok(file) => return self.hand_on(came, (blob, file)).await,
                Err(status) if status.code() == Code::NotFound => return Ok(()),
                Err(status) => status,
            };
            self.channel.wait_to_retry("fetching a blob", &status, &mut retries).await?;
        }
    }

    /// What came of a blob, in a file of its length.
    async fn try_fetch_stream(&self, blob: &WireDigest) -> Result<Result<File, Status>, ReapiError> {
        let channel = &self.channel;
        let own = |error| own_file(blob, error);
        let compressed = self.is_compressed(blob)?;
        let path = self.resource(blob, compressed)?;
        let request =
            ReadRequest { resource_name: format!("{}{path}", self.instance_prefix()), read_offset: 0, read_limit: 0 };
        let mut client = self.streams();
        let deadline = channel.endpoint().deadline;
        let until = self.until(blob.size);
        let mut messages = match timeout(deadline, client.read(channel.long_request(request))).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Ok(Err(status)),
            Err(_) => return Ok(Err(silent())),
        };
        let mut incoming = Incoming::new(blob.size, compressed).map_err(own)?;
        loop {
            let message = match timeout_at(until.min(Instant::now() + deadline), messages.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => break,
                Ok(Err(status)) => return Ok(Err(status)),
                Err(_) => return Ok(Err(silent())),
            };
            match incoming.write(&message.data) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::Other) => {
                    return Err(channel.wrong(format!("it sent other bytes as {blob}: {error}")));
                }
                Err(error) => return Err(own(error)),
            }
        }
        let (file, came) = incoming.finish().map_err(own)?;
        if came < blob.size {
            return Ok(Err(Status::unavailable(format!("it sent {came} of {} bytes", blob.size))));
        }
        Ok(Ok(file))
    }

    /// Until when a stream of so many bytes may take, from now on.
    fn until(&self, bytes: u64) -> Instant {
        Instant::now() + self.channel.endpoint().deadline + Duration::from_secs(bytes / SLOWEST)
    }

    fn is_compressed(&self, blob: &WireDigest) -> Result<bool, ReapiError> {
        Ok(self.channel.capabilities()?.zstd && blob.size >= COMPRESSED_FROM)
    }

    fn instance_prefix(&self) -> String {
        let instance = self.channel.instance();
        if instance.is_empty() { instance } else { instance + "/" }
    }

    fn resource(&self, blob: &WireDigest, compressed: bool) -> Result<String, ReapiError> {
        let function = self.channel.capabilities()?.function;
        let kind = if compressed { "compressed-blobs/zstd" } else { "blobs" };
        Ok(format!("{kind}/{}{}/{}", digest::resource_part(function), digest::hex(blob), blob.size))
    }

    fn storage(&self) -> ContentAddressableStorageClient<tonic::transport::Channel> {
        ContentAddressableStorageClient::new(self.channel.grpc()).max_decoding_message_size(MAX_ANSWER)
    }

    fn streams(&self) -> ByteStreamClient<tonic::transport::Channel> {
        ByteStreamClient::new(self.channel.grpc()).max_decoding_message_size(MAX_ANSWER)
    }
}

fn silent() -> Status {
    Status::deadline_exceeded("no answer in time")
}

fn unsaid() -> Status {
    Status::internal("it does not say what became of a blob")
}

fn own_file(blob: &WireDigest, source: io::Error) -> ReapiError {
    ReapiError::Io { doing: "use the file of", path: blob.to_string().into(), source }
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
