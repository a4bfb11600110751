//! Engines that execute actions on other machines: where they are, what they get, and what comes of
//! it. The feature `reapi` has the engine itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use build_graph::{RelPath, SandboxPath, Tree};
use namespaces::ActionLimits;
use namespaces::job::JobReport;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::access::{Access, AccessError, TlsSettings};
use crate::settings::{LONGEST_TIMEOUT, RemoteSettings};

/// Where a server is and how to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `grpc://HOST:PORT`, or `grpcs://HOST:PORT` for TLS.
    pub url: String,
    /// The server's instance; mostly empty.
    pub instance: String,
    /// Certificates and headers.
    pub access: Access,
    /// How long one call may take, and how long a stream may be silent.
    pub deadline: Duration,
    /// How often a call is tried.
    pub attempts: u32,
}

impl Endpoint {
    /// An endpoint without an instance's name, with the system's certificates and the usual
    /// patience.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            instance: String::new(),
            access: Access::default(),
            deadline: Duration::from_secs(30),
            attempts: 4,
        }
    }

    /// The endpoint of a remote cache: its URL's path is the instance.
    pub fn of_remote(url: &Url, settings: &RemoteSettings, access: Access) -> Self {
        let mut place = url.clone();
        place.set_path("");
        let mut endpoint = Self::new(place.as_str().trim_end_matches('/'));
        endpoint.instance = url.path().trim_matches('/').to_owned();
        endpoint.deadline = settings.deadline();
        endpoint.access = access;
        endpoint
    }
}

/// How to speak to an engine.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// What it is called in messages and envelopes, and trusted by.
    pub name: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What a worker must have, in the engine's own terms.
    pub platform: BTreeMap<String, String>,
    /// How long an action may wait for a worker.
    pub patience: Duration,
}

/// The section `[engine]` of `pynbox.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EngineSection {
    /// The name in messages and envelopes. `engines` of `[trust]` trusts the engine by it.
    pub name: String,
    /// `grpc://HOST:PORT`, or `grpcs://HOST:PORT` for TLS.
    pub url: String,
    /// The server's instance.
    #[serde(default)]
    pub instance: String,
    /// The platform properties that a worker must have, in the engine's own terms.
    #[serde(default)]
    pub platform: BTreeMap<String, String>,
    /// Certificates, each in PEM.
    #[serde(default)]
    pub tls: TlsSettings,
    /// The environment variable with a token, which is sent as `Authorization: Bearer`.
    #[serde(default)]
    pub token_variable: Option<String>,
    /// More headers of every call: for each name the environment variable with the value.
    #[serde(default)]
    pub header_variables: BTreeMap<String, String>,
    /// How many seconds an action may wait for a worker, if the engine says that it waits. Then it
    /// runs here.
    #[serde(default = "an_hour")]
    pub patience: u64,
}

fn an_hour() -> u64 {
    3600
}

impl EngineSection {
    /// Returns the settings; paths are relative to `root`.
    ///
    /// # Errors
    /// [`AccessError`] if they don't fit together, or a variable that they name is not set.
    pub fn settings(&self, root: &Path) -> Result<EngineSettings, AccessError> {
        let mut endpoint = Endpoint { instance: self.instance.clone(), ..Endpoint::new(&self.url) };
        endpoint.access = Access::read(&self.tls, self.token_variable.as_deref(), &self.header_variables, root)?;
        if let Some(variable) = endpoint.access.unset.first() {
            return Err(AccessError::Unset(variable.clone()));
        }
        let patience = Duration::from_secs(self.patience.min(LONGEST_TIMEOUT));
        Ok(EngineSettings { name: self.name.clone(), endpoint, platform: self.platform.clone(), patience })
    }
}

/// An action as an engine gets it.
#[derive(Debug, Clone, Copy)]
pub struct RemoteAction<'a> {
    /// The image.
    pub image: &'a Tree,
    /// The inputs, and where they appear.
    pub inputs: &'a [(&'a SandboxPath, &'a Tree)],
    /// Program and arguments.
    pub command: &'a [String],
    /// The whole environment.
    pub environment: &'a [(String, String)],
    /// The files and directories below `/build` that are its result.
    pub outputs: &'a [RelPath],
    /// What it may take.
    pub limits: ActionLimits,
}

/// How an action on an engine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What the runner says.
    pub report: JobReport,
    /// Whether the engine had the result already.
    pub cached: bool,
    /// The worker, as the engine names it.
    pub worker: String,
}
