//! Requests for sources: ranges, proxies, logins.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use network::http::{self, ClientSettings, HeaderMap, HeaderValue, HttpError, Limits, Method, Proxy, header};
use network::login::{Login, Netrc, take_login};
use url::Url;

use super::FetchSettings;
use super::transfer::Failure;

/// How many redirects are followed.
const REDIRECTS: usize = 8;

/// A place to fetch a file from, and how to reach it.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub(super) url: String,
    pub(super) proxy: Proxy,
    pub(super) login: Option<Login>,
}

impl Location {
    /// A place that is reached through the proxies of the environment.
    pub(super) fn plain(url: &str) -> Self {
        Self { url: url.to_owned(), proxy: Proxy::Environment, login: None }
    }

    /// Returns the path of a `file` URL.
    pub(super) fn file_path(&self) -> Result<Option<PathBuf>, Failure> {
        let url = Url::parse(&self.url).map_err(|error| Failure::NoPlace(format!("this is no URL: {error}")))?;
        match url.scheme() {
            "file" => url.to_file_path().map(Some).map_err(|()| Failure::NoPlace("this URL has no local path".into())),
            "http" | "https" => Ok(None),
            scheme => Err(Failure::Scheme(scheme.to_owned())),
        }
    }
}

/// The beginning of a server's answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The first byte of the range that follows.
    pub(super) range_start: Option<u64>,
    /// How many bytes follow, if it says so.
    pub(super) length: Option<u64>,
    pub(super) is_html: bool,
    pub(super) content_type: String,
    /// Where redirects led.
    pub(super) url: String,
    pub(super) body: Box<dyn Read>,
}

/// Connections, kept open between requests.
pub(super) struct Client {
    settings: ClientSettings,
    limits: Limits,
    /// One client a proxy.
    clients: Mutex<HashMap<Proxy, Arc<http::Client>>>,
    netrc: Netrc,
}

impl Client {
    pub(super) fn new(settings: &FetchSettings) -> Self {
        Self {
            settings: ClientSettings {
                connect_timeout: settings.connect_timeout,
                redirects: REDIRECTS,
                roots: http::Roots::System,
                identity: None,
                proxy: Proxy::Environment,
            },
            // A transfer may take as long as it brings bytes.
            limits: Limits { silence: Some(settings.stall_timeout), total: None },
            clients: Mutex::default(),
            netrc: Netrc::of_user(),
        }
    }

    /// Asks for a file from byte `start` on.
    pub(super) fn get(&self, place: &Location, start: u64) -> Result<Answer, Failure> {
        self.request(place, start, "*/*")
    }

    /// Asks for a document of one of these types.
    pub(super) fn get_document(&self, place: &Location, accept: &'static str) -> Result<Answer, Failure> {
        self.request(place, 0, accept)
    }

    fn request(&self, place: &Location, start: u64, accept: &'static str) -> Result<Answer, Failure> {
        let mut url = Url::parse(&place.url).map_err(|error| Failure::NoPlace(format!("this is no URL: {error}")))?;
        let login = take_login(&mut url).or_else(|| place.login.clone()).or_else(|| self.netrc.find(&url));
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        if start > 0 {
            let range = HeaderValue::try_from(format!("bytes={start}-"));
            headers.extend(range.ok().map(|range| (header::RANGE, range)));
        }
        headers.extend(login.map(|login| (header::AUTHORIZATION, login.basic())));
        let request = http::Request { method: Method::GET, url, headers, limits: self.limits };
        Ok(answer(self.through(&place.proxy).send(request, None)?))
    }

    fn through(&self, proxy: &Proxy) -> Arc<http::Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(proxy.clone()).or_insert_with(|| {
            Arc::new(http::Client::new(ClientSettings { proxy: proxy.clone(), ..self.settings.clone() }))
        });
        Arc::clone(client)
    }
}

fn answer(response: http::Response) -> Answer {
    let text = |name| response.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let content_type = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let range = text(header::CONTENT_RANGE);
    Answer {
        status: response.status.as_u16(),
        range_start: range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.trim().parse().ok()),
        length: text(header::CONTENT_LENGTH).parse().ok(),
        is_html: content_type == "text/html" || content_type == "application/xhtml+xml",
        content_type,
        url: response.url.to_string(),
        body: Box::new(response.body),
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Timeout => Self::Timeout,
            HttpError::Redirects => Self::Redirects,
            HttpError::BadUrl(_) | HttpError::Settings(_) => Self::NoPlace(error.to_string()),
            HttpError::Transport(text) => Self::Transport(text),
        }
    }
}
