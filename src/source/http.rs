//! HTTP as fetching needs it: ranges, proxies, credentials, the system's certificates.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use ureq::http::{Response, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};
use url::Url;

use super::netrc::{self, Login};
use super::transfer::Failure;
use super::{FetchSettings, netrc::Netrc};
use crate::environment;

/// How many redirects are followed.
const REDIRECTS: u32 = 8;

/// A place to get a file from, and how to go there.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub(super) url: String,
    /// `None`: as the environment says (`https_proxy` and so on). `Some(None)`: none.
    pub(super) proxy: Option<Option<String>>,
    pub(super) login: Option<Login>,
}

impl Location {
    /// A place that is reached as the environment says.
    pub(super) fn plain(url: &str) -> Self {
        Self { url: url.to_owned(), proxy: None, login: None }
    }

    /// The path of a `file` URL.
    pub(super) fn file_path(&self) -> Result<Option<PathBuf>, Failure> {
        let url = Url::parse(&self.url).map_err(|error| Failure::NoPlace(format!("this is no URL: {error}")))?;
        match url.scheme() {
            "file" => url.to_file_path().map(Some).map_err(|()| Failure::NoPlace("this URL has no local path".into())),
            "http" | "https" => Ok(None),
            scheme => Err(Failure::Scheme(scheme.to_owned())),
        }
    }
}

/// What a server said.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The first byte of the range that it sends.
    pub(super) range_start: Option<u64>,
    /// How many bytes it says it sends.
    pub(super) length: Option<u64>,
    pub(super) is_html: bool,
    pub(super) content_type: String,
    /// Where redirects led.
    pub(super) url: String,
    pub(super) body: Box<dyn Read>,
}

/// Connections, kept open between requests.
pub(super) struct Client {
    agent: Agent,
    netrc: Netrc,
}

impl Client {
    pub(super) fn new(settings: &FetchSettings) -> Self {
        // Reading a body in pieces, each within the time; the whole may take as long as it goes on.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(REDIRECTS)
            .timeout_resolve(Some(settings.connect_timeout))
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_recv_response(Some(settings.stall_timeout))
            .timeout_per_read(Some(settings.stall_timeout))
            .timeout_send_request(Some(settings.stall_timeout.min(Duration::from_secs(60))))
            .user_agent(concat!("pynbox-build/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .build();
        Self { agent: Agent::new_with_config(config), netrc: Netrc::of_user() }
    }

    /// Asks for a file from byte `start` on.
    pub(super) fn get(&self, place: &Location, start: u64) -> Result<Answer, Failure> {
        self.request(place, start, "*/*")
    }

    /// Asks for a document of one of these types.
    pub(super) fn get_document(&self, place: &Location, accept: &str) -> Result<Answer, Failure> {
        self.request(place, 0, accept)
    }

    fn request(&self, place: &Location, start: u64, accept: &str) -> Result<Answer, Failure> {
        environment::check_proxies().map_err(|error| Failure::NoPlace(error.to_string()))?;
        let mut url = Url::parse(&place.url).map_err(|error| Failure::NoPlace(format!("this is no URL: {error}")))?;
        let login = netrc::take_login(&mut url).or_else(|| place.login.clone()).or_else(|| self.netrc.find(&url));
        let mut request = self.agent.get(url.as_str()).header(header::ACCEPT, accept);
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        if let Some(login) = login {
            let pair = format!("{}:{}", login.user, login.password);
            let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
            request = request.header(header::AUTHORIZATION, value);
        }
        let result = match &place.proxy {
            None => request.call(),
            Some(proxy) => {
                let proxy = proxy.as_deref().map(Proxy::new).transpose();
                let proxy = proxy.map_err(|_| Failure::NoPlace("apt's proxy setting is no URL of a proxy".into()))?;
                request.config().proxy(proxy).build().call()
            }
        };
        result.map(answer).map_err(failure)
    }
}

fn answer(response: Response<Body>) -> Answer {
    use ureq::ResponseExt;
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let content_type = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let range = text(header::CONTENT_RANGE);
    Answer {
        status: response.status().as_u16(),
        range_start: range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.trim().parse().ok()),
        length: text(header::CONTENT_LENGTH).parse().ok(),
        is_html: content_type == "text/html" || content_type == "application/xhtml+xml",
        content_type,
        url: response.get_uri().to_string(),
        body: Box::new(response.into_body().into_reader()),
    }
}

fn failure(error: ureq::Error) -> Failure {
    match error {
        ureq::Error::Timeout(_) => Failure::Timeout,
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => Failure::Redirects,
        ureq::Error::BadUri(why) => Failure::NoPlace(format!("it leads to `{why}`, which is no URL of a server")),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Failure::Timeout,
        other => Failure::Transport(other.to_string()),
    }
}

/// Whether a body's read failed because nothing came in time.
pub(super) fn is_timeout(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    error.kind() == std::io::ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)))
}

/// A URL that can be shown.
pub(crate) fn without_password(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            // Both can fail only for URLs that can't have credentials.
            let _ = parsed.set_username("");
            let _ = parsed.set_password(None);
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}
