//! Which repositories there are: the sections `[[repository]]` of `pynbox.toml`, and options.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::remote::access::TlsSettings;
use crate::remote::settings::{RemoteSettings, Role};

/// A section `[[repository]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RepositorySettings {
    /// The name for `publish` and `--repo`.
    pub name: String,
    /// A folder, or a URL: `file`, `http`, `https`, `s3`.
    pub url: String,
    /// Keys whose signatures count for this repository, as `cache keygen` prints them. Without any,
    /// those of `[[trust.key]]` count.
    #[serde(default)]
    pub trust: Vec<String>,
    /// Take packages that nobody signed from this repository.
    #[serde(default)]
    pub unsigned: bool,
    /// The address that readers have, where it is not `url`: for `install.sh`.
    #[serde(default)]
    pub public_url: Option<String>,
    /// The S3 endpoint, if it is not Amazon's.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The environment variable with a token, which is sent as `Authorization: Bearer`.
    #[serde(default)]
    pub token_variable: Option<String>,
    /// More headers of every request: for each name the environment variable with the value.
    #[serde(default)]
    pub header_variables: BTreeMap<String, String>,
    /// Certificates, each in PEM.
    #[serde(default)]
    pub tls: TlsSettings,
    /// How many seconds an answer may take. The bytes of packages get more time by their length.
    #[serde(default = "ten")]
    pub timeout: u64,
}

fn ten() -> u64 {
    10
}

impl RepositorySettings {
    /// A repository that no settings name: a folder or a URL.
    pub fn at(place: &str) -> Self {
        Self {
            name: place.to_owned(),
            url: place.to_owned(),
            trust: Vec::new(),
            unsigned: false,
            public_url: None,
            endpoint: None,
            token_variable: None,
            header_variables: BTreeMap::new(),
            tls: TlsSettings::default(),
            timeout: ten(),
        }
    }

    /// The settings of its transport.
    pub fn transport(&self) -> RemoteSettings {
        RemoteSettings {
            name: self.name.clone(),
            url: self.url.clone(),
            role: Role::ReadWrite,
            unsigned: self.unsigned,
            endpoint: self.endpoint.clone(),
            token_variable: self.token_variable.clone(),
            header_variables: self.header_variables.clone(),
            tls: self.tls.clone(),
            timeout: self.timeout,
        }
    }
}
