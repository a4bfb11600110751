//! A web server that takes GET, HEAD and PUT, laid out as Bazel's HTTP cache is: `/ac/` and
//! `/cas/`.

use std::io::{self, Read};
use std::time::Duration;

use base64::Engine as _;
use ureq::http::{StatusCode, header};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, RequestBuilder, SendBody};
use url::Url;

use super::access::Access;
use super::object_layout::Objects;
use super::{RemoteError, settings};
use crate::environment;
use crate::source::{Netrc, take_login, without_password};

/// A transfer that is slower than this is broken off, after the time that every answer has.
const SLOWEST: u64 = 128 << 10;

/// A web server.
#[derive(Debug)]
pub(super) struct Http {
    agent: Agent,
    base: Url,
    access: Access,
    deadline: Duration,
}

impl Http {
    pub(super) fn new(mut base: Url, settings: &settings::RemoteSettings, access: Access) -> Result<Self, String> {
        environment::check_proxies().map_err(|error| error.to_string())?;
        let deadline = settings.deadline();
        let roots = match &access.ca {
            Some(pem) => RootCerts::new_with_certs(&certificates(pem)),
            None => RootCerts::PlatformVerifier,
        };
        let shown = access.identity.as_ref().map(|(certificate, key)| {
            let key = PrivateKey::from_pem(key).map_err(|error| error.to_string())?;
            Ok::<_, String>(ClientCert::new_with_certs(&certificates(certificate), key))
        });
        let tls = TlsConfig::builder().root_certs(roots).client_cert(shown.transpose()?).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(deadline.min(Duration::from_secs(3))))
            .max_idle_connections(32)
            .max_idle_connections_per_host(32)
            .user_agent(concat!("pynbox-build/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .tls_config(tls)
            .build();
        let login = take_login(&mut base).or_else(|| Netrc::of_user().find(&base));
        let basic = login.map(|login| {
            let pair = format!("{}:{}", login.user, login.password);
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        });
        let mut access = access;
        let name = header::AUTHORIZATION.as_str();
        if let Some(basic) = basic.filter(|_| access.headers.iter().all(|(header, _)| header != name)) {
            access.headers.push((name.to_owned(), basic));
        }
        Ok(Self { agent: Agent::new_with_config(config), base, access, deadline })
    }

    /// A request with what this server is to be shown, and with so much time.
    fn with_access<B>(&self, mut request: RequestBuilder<B>, bytes: u64) -> RequestBuilder<B> {
        for (name, value) in &self.access.headers {
            request = request.header(name, value);
        }
        request.config().timeout_global(self.time_for(bytes)).build()
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.base.as_str().trim_end_matches('/'))
    }

    fn time_for(&self, bytes: u64) -> Option<Duration> {
        Some(self.deadline + Duration::from_secs(bytes / SLOWEST))
    }

    fn failed(&self, error: &ureq::Error) -> RemoteError {
        RemoteError::Unavailable(format!("`{}`: {error}", self.place()))
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

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    parse_pem(pem).filter_map(certificate).collect()
}

impl Objects for Http {
    fn place(&self) -> String {
        without_password(self.base.as_str())
    }

    fn width(&self) -> usize {
        16
    }

    fn get(&self, name: &str, size: u64) -> Result<Option<Box<dyn Read + '_>>, RemoteError> {
        let request = self.with_access(self.agent.get(self.url(name)), size);
        let response = request.call().map_err(|error| self.failed(&error))?;
        if response.status() != StatusCode::OK {
            return self.absent(response.status()).map(|()| None);
        }
        Ok(Some(Box::new(response.into_body().into_reader())))
    }

    fn has(&self, name: &str) -> Result<bool, RemoteError> {
        let request = self.with_access(self.agent.head(self.url(name)), 0);
        let response = request.call().map_err(|error| self.failed(&error))?;
        match response.status() {
            StatusCode::OK => Ok(true),
            status => self.absent(status).map(|()| false),
        }
    }

    fn put(&self, name: &str, length: u64, bytes: &mut (dyn Read + Send)) -> Result<(), RemoteError> {
        let request = self.agent.put(self.url(name)).header(header::CONTENT_TYPE, "application/zstd");
        let request = self.with_access(request.header(header::CONTENT_LENGTH, length), length);
        let mut bytes: &mut dyn Read = bytes;
        let response = request.send(SendBody::from_reader(&mut bytes)).map_err(|error| self.failed(&error))?;
        if response.status().is_success() {
            // Read to its end, so that the connection can be used again.
            let _ = io::copy(&mut response.into_body().into_reader().take(64 << 10), &mut io::sink());
            return Ok(());
        }
        let status = response.status();
        self.absent(status).and_then(|()| Err(RemoteError::Refused(format!("`{}` answers {status}", self.place()))))
    }
}
