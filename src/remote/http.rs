//! A web server that takes GET, HEAD and PUT, laid out as Bazel's HTTP cache is: `/ac/` and `/cas/`.

use std::io::{self, Read};
use std::time::Duration;

use base64::Engine as _;
use ureq::http::{StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, SendBody};
use url::Url;

use super::layout::Objects;
use super::{RemoteError, settings};
use crate::source::{Netrc, take_login, without_password};

/// A transfer that is slower than this is broken off, after the time that every answer has.
const SLOWEST: u64 = 128 << 10;

/// A web server.
#[derive(Debug)]
pub(super) struct Http {
    agent: Agent,
    base: Url,
    authorization: Option<String>,
    deadline: Duration,
}

impl Http {
    pub(super) fn new(mut base: Url, settings: &settings::RemoteSettings) -> Self {
        let deadline = settings.deadline();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(deadline.min(Duration::from_secs(3))))
            .max_idle_connections(32)
            .max_idle_connections_per_host(32)
            .user_agent(concat!("pynbox-build/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .build();
        let login = take_login(&mut base).or_else(|| Netrc::of_user().find(&base));
        let basic = login.map(|login| {
            let pair = format!("{}:{}", login.user, login.password);
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        });
        let token = settings.token_variable.as_ref().and_then(|name| std::env::var(name).ok());
        let authorization = token.map(|token| format!("Bearer {token}")).or(basic);
        Self { agent: Agent::new_with_config(config), base, authorization, deadline }
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
            408 | 425 | 429 | 500..=506 | 508.. => Err(RemoteError::Unavailable(text)),
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
        let mut request = self.agent.get(self.url(name));
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.config().timeout_global(self.time_for(size)).build();
        let response = request.call().map_err(|error| self.failed(&error))?;
        if response.status() != StatusCode::OK {
            return self.absent(response.status()).map(|()| None);
        }
        Ok(Some(Box::new(response.into_body().into_reader())))
    }

    fn has(&self, name: &str) -> Result<bool, RemoteError> {
        let mut request = self.agent.head(self.url(name));
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.config().timeout_global(self.time_for(0)).build();
        let response = request.call().map_err(|error| self.failed(&error))?;
        match response.status() {
            StatusCode::OK => Ok(true),
            status => self.absent(status).map(|()| false),
        }
    }

    fn put(&self, name: &str, length: u64, bytes: &mut (dyn Read + Send)) -> Result<(), RemoteError> {
        let mut request = self.agent.put(self.url(name)).header(header::CONTENT_TYPE, "application/zstd");
        request = request.header(header::CONTENT_LENGTH, length);
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.config().timeout_global(self.time_for(length)).build();
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
