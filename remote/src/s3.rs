//! S3 and what speaks its protocol. Credentials and region are what Amazon's own tools take from
//! the environment; a key and its secret may also stand in the URL
//! (`s3://KEY:SECRET@BUCKET/PREFIX`).

use std::io::{self, Read};
use std::sync::OnceLock;
use std::time::Duration;

use async_channel::Sender;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use network::login::take_login;
use network::parallel;
use network::stream::StreamReader;
use network::worker_pool::take_all;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, Error, GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _,
    PutMode, PutOptions, RetryConfig, UpdateVersion, WriteMultipart,
};
use support::environment;
use support::retry::RetryPolicy;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use url::Url;

use super::RemoteError;
use super::access::Access;
use super::object_layout::{Objects, Take};
use super::place::{Over, Part};
use super::settings::RemoteSettings;

/// Longer objects are put in several parts.
const PART: usize = 16 << 20;
/// A transfer that is slower than this is broken off, after the time that every answer has.
const SLOWEST: u64 = 128 << 10;

/// Objects up to this length are held in memory.
const WHOLE: u64 = 1 << 20;
/// So many of these are asked for at once: a request costs little but latency.
const REQUESTS: usize = 128;
/// So many of them may wait to be received.
const WAITING: usize = 32;
/// So many longer objects are fetched at once.
const STREAMS: usize = 8;

/// How often a request is made: servers of buckets turn single requests away when there are many.
/// Whole calls are repeated by a decorator.
const REQUEST: RetryPolicy = RetryPolicy::of(3);

/// A bucket, with a prefix before the names.
pub(super) struct S3 {
    bucket: AmazonS3,
    prefix: String,
    place: String,
    deadline: Duration,
    runtime: Handle,
}

impl S3 {
    pub(super) fn new(
        url: &Url,
        endpoint: Option<&str>,
        settings: &RemoteSettings,
        access: Access,
    ) -> Result<Self, String> {
        if !access.headers.is_empty() || !access.unset.is_empty() || access.identity.is_some() {
            return Err(
                "a bucket is opened by the credentials of Amazon's tools, not by tokens, headers or certificates"
                    .to_owned(),
            );
        }
        environment::check_all("AWS_").map_err(|error| error.to_string())?;
        environment::check_proxies().map_err(|error| error.to_string())?;
        // The first of the process installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut url = url.clone();
        let login = take_login(&mut url);
        let bucket = url.host_str().ok_or("the URL names no bucket: expected `s3://BUCKET/PREFIX`")?;
        let deadline = settings.deadline();
        let mut client = ClientOptions::new().with_connect_timeout(deadline.min(Duration::from_secs(3)));
        for certificate in
            Certificate::from_pem_bundle(access.ca.as_deref().unwrap_or_default()).map_err(|error| error.to_string())?
        {
            client = client.with_root_certificate(certificate);
        }
        let backoff = BackoffConfig {
            init_backoff: REQUEST.first_pause,
            max_backoff: REQUEST.longest_pause,
            ..BackoffConfig::default()
        };
        let retry = RetryConfig { max_retries: REQUEST.attempts as usize - 1, backoff, retry_timeout: deadline };
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
        }
        if let Some(login) = login {
            builder = builder.with_access_key_id(login.user).with_secret_access_key(login.password);
        }
        let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let builder = builder.with_client_options(client.with_timeout_disabled().with_allow_http(plain));
        Ok(Self {
            bucket: builder.build().map_err(|error| error.to_string())?,
            prefix: url.path().trim_matches('/').to_owned(),
            place: url.to_string(),
            deadline,
            runtime: network::runtime::handle().map_err(|error| error.to_string())?,
        })
    }

    fn path(&self, name: &str) -> Path {
        if self.prefix.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.prefix)) }
    }

    fn wait<T>(&self, bytes: u64, work: impl Future<Output = Result<T, Error>>) -> Result<Option<T>, RemoteError> {
        self.runtime.block_on(self.in_time(bytes, work))
    }

    fn time_for(&self, bytes: u64) -> Duration {
        self.deadline + Duration::from_secs(bytes / SLOWEST)
    }

    async fn in_time<T>(
        &self,
        bytes: u64,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, RemoteError> {
        let time = self.time_for(bytes);
        match timeout(time, work).await {
            Ok(Ok(done)) => Ok(Some(done)),
            Ok(Err(Error::NotFound { .. })) => Ok(None),
            Ok(Err(error @ (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }))) => {
                Err(RemoteError::Refused(format!("`{}`: {error}", self.place)))
            }
            Ok(Err(error)) => Err(RemoteError::Unavailable(format!("`{}`: {error}", self.place))),
            Err(_) => Err(RemoteError::Unavailable(format!("`{}` took longer than {} s", self.place, time.as_secs()))),
        }
    }
}

impl S3 {
    /// Opens an object from a byte on.
    pub(super) fn get_from(&self, name: &str, from: u64, size: u64) -> Result<Option<Part<'_>>, RemoteError> {
        let range = (from > 0).then_some(GetRange::Offset(from));
        let (path, options) = (self.path(name), GetOptions { range, ..GetOptions::default() });
        let Some(found) = self.wait(0, self.bucket.get_opts(&path, options))? else { return Ok(None) };
        let (from, version) = (found.range.start, found.meta.e_tag.clone());
        let broken = |error| io::Error::new(io::ErrorKind::ConnectionAborted, error);
        let stream = found.into_stream().map_err(broken).boxed();
        let until = Instant::now() + self.time_for(size);
        let bytes = Box::new(StreamReader::new(self.runtime.clone(), stream, None, Some(until)));
        Ok(Some(Part { from, bytes, version }))
    }

    /// Puts an object if the bucket finds what has to be in its place, or ignores that.
    pub(super) fn put_over(&self, name: &str, bytes: &[u8], over: &Over) -> Result<bool, RemoteError> {
        let mode = match over {
            Over::Nothing => PutMode::Create,
            Over::Version(tag) => PutMode::Update(UpdateVersion { e_tag: Some(tag.clone()), version: None }),
        };
        let (path, options) = (self.path(name), PutOptions::from(mode));
        let put = async {
            match self.bucket.put_opts(&path, bytes.to_vec().into(), options).await {
                Ok(_) => Ok(true),
                Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        let done = self.wait(bytes.len() as u64, put)?;
        done.ok_or_else(|| RemoteError::Refused(format!("`{}`: there is no such bucket", self.place)))
    }

    fn get_small(&self, wanted: &[(String, u64)], places: Vec<usize>, take: &Take<'_>) -> Result<(), RemoteError> {
        let failed = OnceLock::new();
        // One request may wait for the bytes of all others.
        let bytes = places.iter().map(|place| wanted[*place].1).sum();
        let receive = |sender: Sender<(usize, Option<Bytes>)>, stopped: &Notify| {
            let got = stream::iter(places).map(|place| {
                let (sender, failed, (name, size)) = (sender.clone(), &failed, &wanted[place]);
                async move {
                    // Requests that are under way when the first one fails still bring their objects.
                    if failed.get().is_some() {
                        return;
                    }
                    match self.in_time(bytes, self.whole(name, *size)).await {
                        // If the receivers have ended, their error is reported.
                        Ok(object) => drop(sender.send((place, object)).await),
                        Err(error) => drop(failed.set(error)),
                    }
                }
            });
            let got = got.buffer_unordered(REQUESTS).collect::<()>();
            // If the receivers stopped it, their error is reported.
            self.runtime.block_on(async {
                tokio::select! { () = got => {}, () = stopped.notified() => {} }
            });
            Ok(())
        };
        take_all(WAITING, receive, |(place, object)| {
            take(place, object.map(|object| Box::new(io::Cursor::new(object)) as Box<dyn Read>))
        })?;
        failed.into_inner().map_or(Ok(()), Err)
    }

    /// Fetches an object of `size` bytes before compression; of a longer one, the beginning.
    async fn whole(&self, name: &str, size: u64) -> Result<Bytes, Error> {
        let most = zstd::zstd_safe::compress_bound(size as usize) + 4096;
        let silent = |_| Error::Generic { store: "S3", source: "nothing came in time".into() };
        let path = self.path(name);
        let mut pieces = timeout(self.deadline, self.bucket.get(&path)).await.map_err(silent)??.into_stream();
        let mut bytes = BytesMut::new();
        while bytes.len() <= most
            && let Some(piece) = timeout(self.deadline, pieces.try_next()).await.map_err(silent)??
        {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }
}

impl Objects for S3 {
    fn place(&self) -> String {
        self.place.clone()
    }

    /// Buckets have a high latency and serve many requests at once.
    fn width(&self) -> usize {
        64
    }

    fn get(&self, name: &str, size: u64) -> Result<Option<Box<dyn Read + '_>>, RemoteError> {
        let path = self.path(name);
        let Some(found) = self.wait(0, self.bucket.get(&path))? else { return Ok(None) };
        let broken = |error| io::Error::new(io::ErrorKind::ConnectionAborted, error);
        let stream = found.into_stream().map_err(broken).boxed();
        let until = Instant::now() + self.time_for(size);
        Ok(Some(Box::new(StreamReader::new(self.runtime.clone(), stream, None, Some(until)))))
    }

    /// Small objects are fetched whole, many at once, and received by one thread for each processor:
    /// with a thread for each request, changing between threads cost more than the bytes did.
    fn get_each(&self, wanted: &[(String, u64)], take: &Take<'_>) -> Result<(), RemoteError> {
        let (small, large): (Vec<_>, Vec<_>) = (0..wanted.len()).partition(|place| wanted[*place].1 <= WHOLE);
        self.get_small(wanted, small, take)?;
        parallel::map(STREAMS, &large, |place| {
            let (name, size) = &wanted[*place];
            take(*place, self.get(name, *size)?)
        })?;
        Ok(())
    }

    fn has(&self, name: &str) -> Result<bool, RemoteError> {
        let path = self.path(name);
        Ok(self.wait(0, self.bucket.head(&path))?.is_some())
    }

    fn put(&self, name: &str, length: u64, mut bytes: Box<dyn Read + Send>) -> Result<(), RemoteError> {
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
