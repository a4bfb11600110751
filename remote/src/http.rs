//! A web server that takes GET, HEAD and PUT, laid out as Bazel's HTTP cache is: `/ac/` and
//! `/cas/`.

use std::io::{self, Read};
use std::time::Duration;

use network::http::{
    Client, ClientSettings, HeaderMap, HeaderName, HeaderValue, HttpError, Limits, Method, Proxy, Request, Response,
    Roots, StatusCode, Upload, header,
};
use network::login::{Netrc, take_login, without_password};
use support::environment;
use url::Url;

use super::access::Access;
use super::object_layout::Objects;
use super::place::{Over, Part};
use super::{RemoteError, settings};

/// A transfer that is slower than this is broken off, after the time that every answer has.
const SLOWEST: u64 = 128 << 10;
/// So much of the answer to a PUT is read, so that its connection can be used again.
const PUT_ANSWER: u64 = 64 << 10;

/// A web server.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    base: Url,
    access: Access,
    headers: HeaderMap,
    deadline: Duration,
}

impl Http {
    pub(super) fn new(mut base: Url, settings: &settings::RemoteSettings, access: Access) -> Result<Self, String> {
        environment::check_proxies().map_err(|error| error.to_string())?;
        let deadline = settings.deadline();
        let roots = match &access.ca {
            Some(pem) => Roots::Only(pem.clone()),
            None if base.scheme() == "http" => Roots::None,
            None => Roots::System,
        };
        let client = Client::new(ClientSettings {
            connect_timeout: deadline.min(Duration::from_secs(3)),
            redirects: 0,
            roots,
            identity: access.identity.clone(),
            proxy: Proxy::Environment,
        });
        let login = take_login(&mut base).or_else(|| Netrc::of_user().find(&base));
        let mut headers = HeaderMap::new();
        headers.extend(login.map(|login| (header::AUTHORIZATION, login.basic())));
        for (name, value) in &access.headers {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            let mut value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self { client, base, access, headers, deadline })
    }

    /// Makes a request for an object of so many bytes, with what this server is to be shown.
    fn send(&self, method: Method, name: &str, bytes: u64, upload: Option<Upload>) -> Result<Response, RemoteError> {
        self.send_with(method, name, bytes, upload, None)
    }

    /// As [`send`](Self::send), with a header more.
    fn send_with(
        &self,
        method: Method,
        name: &str,
        bytes: u64,
        upload: Option<Upload>,
        more: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Response, RemoteError> {
        let failed = |error: &dyn std::fmt::Display| RemoteError::Unavailable(format!("`{}`: {error}", self.place()));
        let url = format!("{}/{name}", self.base.as_str().trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|error| failed(&error))?;
        let mut headers = self.headers.clone();
        headers.extend(more);
        if upload.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zstd"));
        }
        let total = Some(self.deadline + Duration::from_secs(bytes / SLOWEST));
        let limits = Limits { silence: None, total };
        self.client.send(Request { method, url, headers, limits }, upload).map_err(|error| match error {
            HttpError::Settings(problem) => RemoteError::Refused(format!("`{}`: {problem}", self.place())),
            error => failed(&error),
        })
    }

    /// Opens an object from a byte on, or from its beginning if the server gives no parts.
    pub(super) fn get_from(&self, name: &str, from: u64, size: u64) -> Result<Option<Part<'_>>, RemoteError> {
        let range = HeaderValue::try_from(format!("bytes={from}-")).ok().filter(|_| from > 0);
        let range = range.map(|range| (header::RANGE, range));
        let response = self.send_with(Method::GET, name, size, None, range)?;
        let text = |name: HeaderName| response.headers.get(name).and_then(|value| value.to_str().ok());
        let begins: Option<u64> = text(header::CONTENT_RANGE)
            .and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok());
        let from = match (response.status.as_u16(), begins) {
            (200, _) => 0,
            (206, Some(begins)) if begins == from => from,
            (206, _) => {
                return Err(RemoteError::Wrong(format!("`{}` gives another part of `{name}`", self.place())));
            }
            // It ends before that byte.
            (416, _) => return Ok(None),
            _ => return self.absent(response.status).map(|()| None),
        };
        let version = text(header::ETAG).map(str::to_owned);
        Ok(Some(Part { from, bytes: Box::new(response.body), version }))
    }

    /// Puts an object if the server finds what has to be in its place, or ignores that.
    pub(super) fn put_over(&self, name: &str, bytes: &[u8], over: &Over) -> Result<bool, RemoteError> {
        let condition = match over {
            Over::Nothing => (header::IF_NONE_MATCH, HeaderValue::from_static("*")),
            Over::Version(version) => {
                let value = HeaderValue::try_from(version).map_err(|error| RemoteError::Wrong(error.to_string()))?;
                (header::IF_MATCH, value)
            }
        };
        let length = bytes.len() as u64;
        let upload = Upload { length, bytes: Box::new(io::Cursor::new(bytes.to_vec())) };
        let response = self.send_with(Method::PUT, name, length, Some(upload), Some(condition))?;
        match response.status {
            // Another request for the same object was under way.
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => Ok(false),
            _ => self.was_put(response).map(|()| true),
        }
    }

    fn was_put(&self, response: Response) -> Result<(), RemoteError> {
        let status = response.status;
        if status.is_success() {
            let _ = io::copy(&mut response.body.take(PUT_ANSWER), &mut io::sink());
            return Ok(());
        }
        self.absent(status).and_then(|()| Err(RemoteError::Refused(format!("`{}` answers {status}", self.place()))))
    }

    /// What a status other than success means; `Ok` if it is that there is nothing.
    fn absent(&self, status: StatusCode) -> Result<(), RemoteError> {
        let text = format!("`{}` answers {status}", self.place());
        match status.as_u16() {
            404 | 410 => Ok(()),
            401 | 403 | 407 => Err(RemoteError::Refused(text + &self.access.hint())),
            408 | 425 | 429 | 500..=506 | 508.. => Err(RemoteError::Busy(text)),
            _ => Err(RemoteError::Refused(text)),
        }
    }
}

impl Objects for Http {
    fn place(&self) -> String {
        without_password(self.base.as_str())
    }

    fn width(&self) -> usize {
        16
    }

    fn get(&self, name: &str, size: u64) -> Result<Option<Box<dyn Read + '_>>, RemoteError> {
        let response = self.send(Method::GET, name, size, None)?;
        if response.status != StatusCode::OK {
            return self.absent(response.status).map(|()| None);
        }
        Ok(Some(Box::new(response.body)))
    }

    fn has(&self, name: &str) -> Result<bool, RemoteError> {
        match self.send(Method::HEAD, name, 0, None)?.status {
            StatusCode::OK => Ok(true),
            status => self.absent(status).map(|()| false),
        }
    }

    fn put(&self, name: &str, length: u64, bytes: Box<dyn Read + Send>) -> Result<(), RemoteError> {
        self.was_put(self.send(Method::PUT, name, length, Some(Upload { length, bytes }))?)
    }
}
