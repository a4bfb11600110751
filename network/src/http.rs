//! HTTP for threads that wait: requests, redirects, proxies and TLS are reqwest's.
//!
//! Proxies and exceptions from them come from the environment (`https_proxy`, `no_proxy`, …), and
//! certificates of authorities from the system or from `SSL_CERT_FILE` and `SSL_CERT_DIR`, unless
//! the settings say otherwise.

use std::error::Error as _;
use std::io::{self, Read};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Body, Certificate, Identity};
pub use reqwest::{Method, StatusCode};
use support::environment;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::stream::StreamReader;
use crate::{proxy, runtime};

/// What is no longer than this is sent from memory, so that a request that found a closed
/// connection can be made again.
const SENT_WHOLE: u64 = 1 << 20;
/// What a longer body is read by.
const PIECE: usize = 256 << 10;
/// A connection that was not used for so long is closed. Servers close theirs after a minute or
/// more.
const IDLE: Duration = Duration::from_secs(30);

/// How to reach servers.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// How long a connection may take to come about, TLS included.
    pub connect_timeout: Duration,
    /// How many redirects are followed.
    pub redirects: usize,
    /// Who vouches for servers.
    pub roots: Roots,
    /// The client's certificate and key, each in PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Through which proxy requests go.
    pub proxy: Proxy,
}

/// The certificates of authorities that may vouch for a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Roots {
    /// The system's.
    #[default]
    System,
    /// Only these, in PEM.
    Only(Vec<u8>),
    /// None: for servers without TLS. Spares reading the system's.
    None,
}

/// A proxy for all requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Proxy {
    /// What the environment says of each URL.
    #[default]
    Environment,
    /// None.
    Direct,
    /// The one at this URL.
    Url(String),
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// No connection, or no answer, in time.
    #[error("no answer in time")]
    Timeout,
    /// More redirects than are followed.
    #[error("more redirects than are followed")]
    Redirects,
    /// The URL, or one that a redirect leads to, is not `http` or `https`.
    #[error("it leads to `{0}`, which is no URL of a server")]
    BadUrl(String),
    /// The settings can't be used: a certificate, a proxy.
    #[error("{0}")]
    Settings(String),
    /// The connection failed.
    #[error("{0}")]
    Transport(String),
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Until the answer begins, and between pieces of its body.
    pub silence: Option<Duration>,
    /// In all, the body included.
    pub total: Option<Duration>,
}

/// A request without its body.
#[derive(Debug)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// With what. A login in it is not sent.
    pub url: Url,
    /// Headers, beside those that every request has.
    pub headers: HeaderMap,
    /// How long it may take.
    pub limits: Limits,
}

/// The bytes that a request sends.
pub struct Upload {
    /// How many bytes these are.
    pub length: u64,
    /// Gives them.
    pub bytes: Box<dyn Read + Send>,
}

/// The beginning of an answer, whatever its status.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// Where redirects led.
    pub url: Url,
    /// The body, of the length that the header says, if it says one.
    pub body: StreamReader,
}

/// Connections to servers, kept open between requests. Nothing is opened before the first request.
#[derive(Debug)]
pub struct Client {
    settings: ClientSettings,
    client: OnceLock<reqwest::Client>,
    /// Why the system's certificates can't be read.
    rootless: OnceLock<String>,
}

impl Client {
    /// A client with these settings, which the first request reads.
    pub fn new(settings: ClientSettings) -> Self {
        Self { settings, client: OnceLock::new(), rootless: OnceLock::new() }
    }

    /// Sends a request, and waits for the answer to begin. Any status is an answer.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn send(&self, request: Request, upload: Option<Upload>) -> Result<Response, HttpError> {
        let Request { method, mut url, headers, limits } = request;
        // A login belongs to a header; in an error it would be seen.
        crate::login::take_login(&mut url);
        let runtime = runtime::handle().map_err(|error| HttpError::Transport(error.to_string()))?;
        let mut sent = self.client()?.request(method, url.clone()).headers(headers);
        if let Some(upload) = upload {
            sent = sent.header(header::CONTENT_LENGTH, upload.length).body(body(upload)?);
        }
        let until = limits.total.map(|total| Instant::now() + total);
        let answer = async {
            let silent = limits.silence.map(|silence| Instant::now() + silence);
            match silent.into_iter().chain(until).min() {
                Some(until) => timeout_at(until, sent.send()).await.map_err(|_| HttpError::Timeout),
                None => Ok(sent.send().await),
            }
        };
        let answer = runtime.block_on(answer)?.map_err(|error| self.failed(error, &url))?;
        Ok(Response {
            status: answer.status(),
            headers: answer.headers().clone(),
            url: answer.url().clone(),
            body: StreamReader::new(
                runtime,
                answer.bytes_stream().map_err(|error| broken(&error)).boxed(),
                limits.silence,
                until,
            ),
        })
    }

    fn client(&self) -> Result<&reqwest::Client, HttpError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = match self.build(&self.settings.roots) {
            // `http` needs none: `https` will say what is missing.
            Err(HttpError::Settings(problem)) if self.settings.roots == Roots::System => {
                let client = self.build(&Roots::None)?;
                let _ = self.rootless.set(problem);
                client
            }
            client => client?,
        };
        Ok(self.client.get_or_init(|| client))
    }

    fn build(&self, roots: &Roots) -> Result<reqwest::Client, HttpError> {
        environment::check_proxies().map_err(|error| HttpError::Settings(error.to_string()))?;
        // The first of the process installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = &self.settings;
        let unusable = |error: reqwest::Error| HttpError::Settings(innermost(&error));
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
        let mut client = reqwest::Client::builder()
            .http1_only()
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(IDLE)
            .redirect(if settings.redirects == 0 { Policy::none() } else { Policy::limited(settings.redirects) })
            .user_agent(concat!("pynbox-build/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers);
        client = match roots {
            Roots::System => client,
            Roots::Only(pem) => client.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(unusable)?),
            Roots::None => client.tls_certs_only([]),
        };
        if let Some((certificate, key)) = &settings.identity {
            client = client.identity(Identity::from_pem(&[&**key, b"\n", certificate].concat()).map_err(unusable)?);
        }
        client = match &settings.proxy {
            Proxy::Environment => client,
            Proxy::Direct => client.no_proxy(),
            Proxy::Url(url) => client.proxy(reqwest::Proxy::all(url).map_err(unusable)?),
        };
        client.build().map_err(unusable)
    }

    fn failed(&self, error: reqwest::Error, url: &Url) -> HttpError {
        if error.is_timeout() {
            return HttpError::Timeout;
        }
        if error.is_redirect() && innermost(&error).contains("too many redirects") {
            return HttpError::Redirects;
        }
        if error.is_builder() || error.is_redirect() {
            let url = error.url().map_or_else(|| url.to_string(), ToString::to_string);
            return HttpError::BadUrl(crate::login::without_password(&url));
        }
        let proxy = match &self.settings.proxy {
            Proxy::Environment if error.is_connect() => proxy::of(url),
            _ => None,
        };
        let mut text = innermost(&error.without_url());
        if let Some(proxy) = proxy {
            text = format!("{text} (through the proxy `{proxy}`, which the environment names)");
        }
        if let Some(problem) = self.rootless.get().filter(|_| url.scheme() == "https") {
            text = format!("{text} (no certificates of authorities: {problem}; install `ca-certificates`)");
        }
        HttpError::Transport(text)
    }
}

fn body(upload: Upload) -> Result<Body, HttpError> {
    let Upload { length, mut bytes } = upload;
    if length <= SENT_WHOLE {
        let mut whole = Vec::new();
        bytes.read_to_end(&mut whole).map_err(|error| HttpError::Transport(error.to_string()))?;
        return Ok(whole.into());
    }
    let pieces = stream::try_unfold(bytes, async |mut bytes| {
        let mut piece = vec![0; PIECE];
        let count = bytes.read(&mut piece)?;
        piece.truncate(count);
        Ok::<_, io::Error>((count > 0).then(|| (Bytes::from(piece), bytes)))
    });
    Ok(Body::wrap_stream(pieces))
}

/// The cause of an error: what stands above it says only what was being done.
fn innermost(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    text
}

/// An error of a body, of the kind of the system's error that is its cause.
fn broken(error: &reqwest::Error) -> io::Error {
    let mut kind = if error.is_timeout() { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            kind = error.kind();
        }
        source = error.source();
    }
    io::Error::new(kind, innermost(error))
}
