//! S3 and what speaks its protocol. Credentials and region are what Amazon's own tools take from the environment; a key and its secret
//! may also stand in the URL (`s3://KEY:SECRET@BUCKET/PREFIX`).

use std::io::{self, Read};
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, Error, ObjectStoreExt as _, RetryConfig, WriteMultipart};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use url::Url;

use super::RemoteError;
use super::layout::Objects;
use super::settings::RemoteSettings;
use crate::source::take_login;

/// What is longer is put in several parts.
const PART: usize = 16 << 20;
/// A transfer that is slower than this is broken off, after the time that every answer has.
const SLOWEST: u64 = 128 << 10;

/// A bucket, with a prefix before the names.
pub(super) struct S3 {
    bucket: AmazonS3,
    prefix: String,
    place: String,
    deadline: Duration,
    runtime: Runtime,
}

impl S3 {
    pub(super) fn new(url: &Url, settings: &RemoteSettings) -> Result<Self, String> {
        // Whoever was first has done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut url = url.clone();
        let login = take_login(&mut url);
        let bucket = url.host_str().ok_or("the URL names no bucket: expected `s3://BUCKET/PREFIX`")?;
        let deadline = settings.deadline();
        let client = ClientOptions::new().with_connect_timeout(deadline.min(Duration::from_secs(3)));
        // We try again ourselves.
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(once);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
        }
        if let Some(login) = login {
            builder = builder.with_access_key_id(login.user).with_secret_access_key(login.password);
        }
        let plain = settings.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let builder = builder.with_client_options(client.with_timeout_disabled().with_allow_http(plain));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Ok(Self {
            bucket: builder.build().map_err(|error| error.to_string())?,
            prefix: url.path().trim_matches('/').to_owned(),
            place: url.to_string(),
            deadline,
            runtime: runtime.map_err(|error| error.to_string())?,
        })
    }

    fn path(&self, name: &str) -> Path {
        if self.prefix.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.prefix)) }
    }

    fn wait<T>(&self, bytes: u64, work: impl Future<Output = Result<T, Error>>) -> Result<Option<T>, RemoteError> {
        let time = self.deadline + Duration::from_secs(bytes / SLOWEST);
        match self.runtime.block_on(async { tokio::time::timeout(time, work).await }) {
            Ok(Ok(done)) => Ok(Some(done)),
            Ok(Err(Error::NotFound { .. })) => Ok(None),
            Ok(Err(error @ (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }))) => {
                Err(RemoteError::Refused(format!("`{}`: {error}", self.place)))
            }
            Ok(Err(error)) => Err(RemoteError::Unavailable(format!("`{}`: {error}", self.place))),
            Err(_) => Err(RemoteError::Unavailable(format!("`{}` took longer than {time:?}", self.place))),
        }
    }
}

impl Objects for S3 {
    fn place(&self) -> String {
        self.place.clone()
    }

    /// Every answer takes its time, here and more so far away: a bucket is no file system, but it serves many at once.
    fn width(&self) -> usize {
        64
    }

    fn get(&self, name: &str, size: u64) -> Result<Option<Box<dyn Read + '_>>, RemoteError> {
        let path = self.path(name);
        let Some(found) = self.wait(0, self.bucket.get(&path))? else { return Ok(None) };
        let broken = |error| io::Error::new(io::ErrorKind::ConnectionAborted, error);
        let stream = found.into_stream().map_ok(|piece| piece.to_vec()).map_err(broken).boxed();
        let until = Instant::now() + self.deadline + Duration::from_secs(size / SLOWEST);
        Ok(Some(Box::new(Body { s3: self, stream, until, piece: io::Cursor::default() })))
    }

    fn has(&self, name: &str) -> Result<bool, RemoteError> {
        let path = self.path(name);
        Ok(self.wait(0, self.bucket.head(&path))?.is_some())
    }

    fn put(&self, name: &str, length: u64, bytes: &mut (dyn Read + Send)) -> Result<(), RemoteError> {
        let path = self.path(name);
        let done = if length <= PART as u64 {
            let mut payload = Vec::with_capacity(length as usize);
            bytes.read_to_end(&mut payload)?;
            self.wait(length, async { self.bucket.put(&path, payload.into()).await.map(drop) })?
        } else {
            self.wait(length, async {
                let mut writer = WriteMultipart::new_with_chunk_size(self.bucket.put_multipart(&path).await?, PART);
                let mut part = vec![0; PART];
                loop {
                    let count = bytes
                        .read(&mut part)
                        .map_err(|source| Error::Generic { store: "S3", source: Box::new(source) })?;
                    if count == 0 {
                        return writer.finish().await.map(drop);
                    }
                    writer.wait_for_capacity(2).await?;
                    writer.write(&part[..count]);
                }
            })?
        };
        done.ok_or_else(|| RemoteError::Refused(format!("`{}`: there is no such bucket", self.place)))
    }
}

/// A body that arrives in pieces.
struct Body<'a> {
    s3: &'a S3,
    stream: BoxStream<'static, io::Result<Vec<u8>>>,
    until: Instant,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let next = async { tokio::time::timeout_at(self.until, self.stream.next()).await };
            match self.s3.runtime.block_on(next) {
                Ok(Some(piece)) => self.piece = io::Cursor::new(piece?),
                Ok(None) => return Ok(0),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
}
