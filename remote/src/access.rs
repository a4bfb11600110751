//! How a server proves who it is, and what it is shown: certificates, tokens and headers, the same
//! for every protocol.

use std::collections::BTreeMap;
use std::env::VarError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use build_graph::untrusted::printable_path;
use network::http::{HeaderName, HeaderValue};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The table `tls` of a remote or an engine. Paths are relative to the project; all files are PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsSettings {
    /// The file of the authorities that may vouch for the server, in place of the system's.
    pub ca: Option<PathBuf>,
    /// The file of the client's certificate, with those that vouch for it.
    pub certificate: Option<PathBuf>,
    /// The file of the key of the client's certificate. A certificate needs one.
    pub key: Option<PathBuf>,
}

/// A setting can't be used.
#[derive(Debug, Error)]
pub enum AccessError {
    /// A file can't be read.
    #[error("can't read `{}`: {source}", printable_path(.path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold a certificate or a key.
    #[error("`{}` holds no {what} in PEM", printable_path(.path))]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error("`certificate` and `key` of `tls` count only together; set both")]
    Unpaired,
    /// A variable that holds what the server is to be shown is not set.
    #[error("the variable `{0}`, which the settings name, is not set")]
    Unset(String),
    /// A header's name or value is malformed.
    #[error("the header `{0}` can't be sent: its name or value has a character that headers can't have")]
    Header(String),
}

/// What a connection needs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Certificates that may vouch for the server, in PEM; `None`: the system's.
    pub ca: Option<Vec<u8>>,
    /// The certificate to be shown and its key, in PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Headers of every request, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// Variables that the settings name and that are not set.
    pub unset: Vec<String>,
}

impl Access {
    /// Reads files and variables. `token_variable` holds a bearer token, `header_variables` the
    /// values of headers by their names.
    ///
    /// # Errors
    /// [`AccessError`]. A variable that is not set, or empty, is no error: jobs that may not know a
    /// secret read what is public.
    pub fn read(
        tls: &TlsSettings,
        token_variable: Option<&str>,
        header_variables: &BTreeMap<String, String>,
        root: &Path,
    ) -> Result<Self, AccessError> {
        let mut access =
            Self { ca: tls.ca.as_ref().map(|path| certificates(&root.join(path))).transpose()?, ..Self::default() };
        access.identity = match (&tls.certificate, &tls.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificates(&root.join(certificate))?, key_of(&root.join(key))?)),
            _ => return Err(AccessError::Unpaired),
        };
        let token = token_variable.map(|variable| ("authorization", variable, "Bearer "));
        let headers = header_variables.iter().map(|(name, variable)| (name.as_str(), variable.as_str(), ""));
        for (name, variable, scheme) in token.into_iter().chain(headers) {
            match std::env::var(variable) {
                Ok(value) if !value.is_empty() => {
                    let (name, value) = (name.to_ascii_lowercase(), format!("{scheme}{value}"));
                    if !is_header(&name, &value) {
                        return Err(AccessError::Header(name));
                    }
                    access.headers.push((name, value));
                }
                Err(VarError::NotUnicode(_)) => return Err(AccessError::Header(name.to_owned())),
                _ => access.unset.push(variable.to_owned()),
            }
        }
        Ok(access)
    }

    /// Returns what to add to a server's refusal.
    pub(super) fn hint(&self) -> String {
        match self.unset.first() {
            Some(variable) => format!("; the variable `{variable}`, which the settings name, is not set"),
            None => String::new(),
        }
    }
}

/// Secrets are not shown.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Access")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .field("headers", &headers)
            .field("unset", &self.unset)
            .finish()
    }
}

fn is_header(name: &str, value: &str) -> bool {
    name.parse::<HeaderName>().is_ok() && HeaderValue::from_str(value).is_ok() && value.is_ascii()
}

fn read(path: &Path) -> Result<Vec<u8>, AccessError> {
    std::fs::read(path).map_err(|source| AccessError::Read { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<u8>, AccessError> {
    let pem = read(path)?;
    let found = CertificateDer::pem_slice_iter(&pem).any(|item| item.is_ok());
    if found { Ok(pem) } else { Err(AccessError::Pem { path: path.to_owned(), what: "certificate" }) }
}

fn key_of(path: &Path) -> Result<Vec<u8>, AccessError> {
    let pem = read(path)?;
    if PrivateKeyDer::from_pem_slice(&pem).is_ok() {
        Ok(pem)
    } else {
        Err(AccessError::Pem { path: path.to_owned(), what: "private key" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("words"), "words").unwrap();
        let read =
            |tls: TlsSettings| Access::read(&tls, None, &BTreeMap::new(), folder.path()).unwrap_err().to_string();
        let missing = read(TlsSettings { ca: Some("missing".into()), ..TlsSettings::default() });
        assert!(missing.contains("missing`: No such file"), "{missing}");
        let words = read(TlsSettings { ca: Some("words".into()), ..TlsSettings::default() });
        assert!(words.contains("words` holds no certificate"), "{words}");
        let alone = read(TlsSettings { key: Some("words".into()), ..TlsSettings::default() });
        assert!(alone.contains("together"), "{alone}");
    }

    #[test]
    fn a_variable_that_is_not_set_is_no_header_and_is_remembered() {
        let headers = BTreeMap::from([
            ("X-Key".to_owned(), "PYNBOX_TEST_NO_SUCH".to_owned()),
            ("X-Path".to_owned(), "PATH".to_owned()),
        ]);
        let access = Access::read(&TlsSettings::default(), Some("PYNBOX_TEST_NONE"), &headers, Path::new("/")).unwrap();
        assert_eq!(access.unset, ["PYNBOX_TEST_NONE", "PYNBOX_TEST_NO_SUCH"]);
        assert_eq!(access.headers, [("x-path".to_owned(), std::env::var("PATH").unwrap())]);
        assert!(access.hint().contains("PYNBOX_TEST_NONE"));
        assert!(!format!("{access:?}").contains(&std::env::var("PATH").unwrap()), "secrets are not shown");
        assert!(!is_header("x key", "y") && !is_header("x", "a\nb"));
    }
}
