//! Which remotes there are, and whom to trust: the sections `[[remote]]` and `[trust]` of
//! `pynbox.toml`, options and the environment.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use build_graph::untrusted::printable_path;
use network::login::without_password;
use serde::{Deserialize, Serialize};
use support::called::called;
use thiserror::Error;
use url::Url;

use super::access::{Access, AccessError, TlsSettings};

/// The longest time that a setting can ask for, in seconds: a year, which a clock can always be
/// asked to wait.
pub(crate) const LONGEST_TIMEOUT: u64 = 366 * 24 * 60 * 60;

/// The variable with more remotes, separated by spaces, each as in `--remote`.
pub const REMOTES_VARIABLE: &str = "PYNBOX_REMOTES";
/// The variable with the path of the key to sign with.
pub const KEY_VARIABLE: &str = "PYNBOX_SIGNING_KEY";

/// A setting of a remote or of trust is wrong.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A remote in an option or in the environment is not written as it has to be.
    #[error("`{0}` names no remote: expected `NAME=URL`, `NAME:rw=URL` or `NAME:unsigned=URL`")]
    Remote(String),
    /// Two remotes have one name.
    #[error("two remotes are named `{0}`; give each a name of its own")]
    Twice(String),
    /// A place that nothing here can reach.
    #[error("remote `{name}`: `{url}` {problem}")]
    Url {
        /// The remote.
        name: String,
        /// What stands there, without credentials.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Its transport can't be set up.
    #[error("remote `{name}`: {problem}")]
    Transport {
        /// The remote.
        name: String,
        /// Why not.
        problem: String,
    },
    /// A trusted key is malformed.
    #[error("trusted key `{0}`: expected the line that `{program} cache keygen` printed (the base64 of 32 bytes)", program = called())]
    Key(String),
    /// What is revoked is named wrongly.
    #[error(
        "revoked key `{0}`: expected its id (16 hexadecimal digits in lower case, as messages name it) or the key itself"
    )]
    Revoked(String),
    /// The file of a signing key can't be read or written.
    #[error("can't {doing} the signing key `{}`: {source}", printable_path(.path))]
    KeyFile {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The signing key can't be used.
    #[error("signing key `{}`: {problem}", printable_path(.path))]
    SigningKey {
        /// Its file.
        path: PathBuf,
        /// Why not, and what to do.
        problem: String,
    },
}

/// What a remote is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Take results from it.
    #[default]
    Read,
    /// Also put there what is built here; needs a signing key.
    ReadWrite,
}

/// A section `[[remote]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RemoteSettings {
    /// The name in messages and options.
    pub name: String,
    /// A folder, or a URL whose scheme says the protocol: `file`, `http`, `https`, `s3`, `grpc`,
    /// `grpcs`.
    pub url: String,
    /// What the remote is for.
    #[serde(default)]
    pub role: Role,
    /// Take results that nobody signed from this remote.
    #[serde(default)]
    pub unsigned: bool,
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
    /// How many seconds an answer may take. The bytes of files get more time by their length.
    #[serde(default = "ten")]
    pub timeout: u64,
}

fn ten() -> u64 {
    10
}

impl RemoteSettings {
    /// A remote as an option names it: `NAME=URL`, with `:rw` or `:unsigned` after the name.
    ///
    /// # Errors
    /// [`SettingsError::Remote`].
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let error = || SettingsError::Remote(without_login(text));
        let (head, url) = text.split_once('=').ok_or_else(error)?;
        let mut words = head.split(':');
        let name = words.next().filter(|name| !name.is_empty()).ok_or_else(error)?;
        let mut remote = Self {
            name: name.to_owned(),
            url: url.to_owned(),
            role: Role::Read,
            unsigned: false,
            endpoint: None,
            token_variable: None,
            header_variables: BTreeMap::new(),
            tls: TlsSettings::default(),
            timeout: ten(),
        };
        for word in words {
            match word {
                "rw" => remote.role = Role::ReadWrite,
                "unsigned" => remote.unsigned = true,
                _ => return Err(error()),
            }
        }
        if remote.url.is_empty() { Err(error()) } else { Ok(remote) }
    }

    /// How long an answer may take; more than a year is a year.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.timeout.clamp(1, LONGEST_TIMEOUT))
    }

    /// Certificates, tokens and headers; `root` is the project's folder.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn access(&self, root: &Path) -> Result<Access, AccessError> {
        Access::read(&self.tls, self.token_variable.as_deref(), &self.header_variables, root)
    }

    /// Where it is, as text that tells it from all others and holds no credentials.
    ///
    /// # Errors
    /// As [`place`](Self::place).
    pub fn identity(&self, root: &Path) -> Result<String, SettingsError> {
        Ok(match self.place(root)? {
            RemotePlace::Folder(path) => without_links(&path).to_string_lossy().into_owned(),
            RemotePlace::Http(url) | RemotePlace::Grpc(url) => {
                without_password(url.as_str()).trim_end_matches('/').to_owned()
            }
            RemotePlace::S3 { bucket, endpoint } => {
                let bucket = without_password(bucket.as_str());
                endpoint.map_or(bucket.clone(), |endpoint| format!("{bucket}?endpoint={}", without_password(&endpoint)))
            }
        })
    }

    /// Where it is: a folder (relative to `root`), or a URL.
    ///
    /// # Errors
    /// [`SettingsError::Url`] if it is neither.
    pub fn place(&self, root: &Path) -> Result<RemotePlace, SettingsError> {
        let error = |problem: &str| SettingsError::Url {
            name: self.name.clone(),
            url: without_password(&self.url),
            problem: problem.to_owned(),
        };
        if !self.url.contains("://") {
            return Ok(RemotePlace::Folder(root.join(&self.url)));
        }
        let url = Url::parse(&self.url).map_err(|cause| error(&format!("is no URL ({cause})")))?;
        match url.scheme() {
            "file" => url.to_file_path().map(RemotePlace::Folder).map_err(|()| error("has no local path")),
            "http" | "https" => Ok(RemotePlace::Http(url)),
            "s3" => {
                let mut bucket = url.clone();
                bucket.set_query(None);
                let mut endpoint = self.endpoint.clone();
                for (name, value) in url.query_pairs() {
                    match &*name {
                        "endpoint" if endpoint.is_none() => endpoint = Some(value.into_owned()),
                        "endpoint" => return Err(error("has an `endpoint`, and the settings have one too")),
                        _ => return Err(error(&format!("has a parameter `{name}`: there is only `endpoint`"))),
                    }
                }
                Ok(RemotePlace::S3 { bucket, endpoint })
            }
            "grpc" | "grpcs" => Ok(RemotePlace::Grpc(url)),
            _ => Err(error("has no scheme of a remote: there are file, http, https, s3, grpc, grpcs")),
        }
    }
}

/// The text of an option that may be no URL, without a name and a password that stand before a host
/// in it.
fn without_login(text: &str) -> String {
    let Some((head, rest)) = text.split_once("://") else { return text.to_owned() };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match host.rfind('@') {
        Some(at) => format!("{head}://{}", &rest[at + 1..]),
        None => text.to_owned(),
    }
}

/// Where a remote is, by protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemotePlace {
    /// A folder, perhaps on a network file system.
    Folder(PathBuf),
    /// A web server that takes PUT.
    Http(Url),
    /// A bucket, with a prefix as path.
    S3 {
        /// The bucket and the prefix.
        bucket: Url,
        /// The server, where it is not Amazon's.
        endpoint: Option<String>,
    },
    /// A server of the Remote Execution API.
    Grpc(Url),
}

/// The section `[trust]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrustSettings {
    /// A key whose signatures count. There may be several.
    pub key: Vec<TrustedKey>,
    /// Keys, or their ids (16 hexadecimal digits), whose signatures don't count, whoever lists
    /// them.
    pub revoked: Vec<String>,
    /// Names of engines whose results may be signed, and are taken if a trusted key signed them.
    pub engines: Vec<String>,
    /// The file of the key that signs what is put on remotes. Only writers need one.
    pub signing_key: Option<PathBuf>,
}

/// A section `[[trust.key]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrustedKey {
    /// The public key, as `cache keygen` prints it.
    pub key: String,
    /// The first day on which its signatures count.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Day>"))]
    pub from: Option<toml::value::Datetime>,
    /// The last day on which its signatures count.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Day>"))]
    pub until: Option<toml::value::Datetime>,
}

/// What the reference says of a date.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(inline, extend("format" = "date"))]
#[allow(dead_code)]
struct Day(String);

/// All remotes, in the order in which they are asked: those of options, of the environment, of the
/// settings file.
///
/// # Errors
/// [`SettingsError`] if one is malformed, or two have one name.
pub fn all(
    options: &[String],
    variable: Option<&str>,
    settings: &[RemoteSettings],
) -> Result<Vec<RemoteSettings>, SettingsError> {
    let words = variable.unwrap_or_default().split_whitespace();
    let mut all = options
        .iter()
        .map(String::as_str)
        .chain(words)
        .map(RemoteSettings::parse)
        .collect::<Result<Vec<_>, SettingsError>>()?;
    all.extend_from_slice(settings);
    for (at, remote) in all.iter().enumerate() {
        if all[..at].iter().any(|other| other.name == remote.name) {
            return Err(SettingsError::Twice(remote.name.clone()));
        }
    }
    Ok(all)
}

/// The absolute path without links, also of a folder that is yet to be made: so its identity stays
/// when it is made, and no two folders share one.
fn without_links(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let made = path.ancestors().find_map(|folder| Some((folder.canonicalize().ok()?, path.strip_prefix(folder).ok()?)));
    made.map_or_else(|| path.clone(), |(folder, rest)| folder.iter().chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_come_in_the_order_of_their_places() {
        let file: RemoteSettings = toml::from_str("name = \"c\"\nurl = \"/c\"\nrole = \"read-write\"").unwrap();
        let remotes = all(&["a:rw=http://x/y=z".to_owned()], Some(" b:unsigned=/b "), &[file]).unwrap();
        let names: Vec<_> = remotes.iter().map(|remote| (&*remote.name, remote.role, remote.unsigned)).collect();
        assert_eq!(names, [("a", Role::ReadWrite, false), ("b", Role::Read, true), ("c", Role::ReadWrite, false)]);
        assert_eq!(remotes[0].url, "http://x/y=z");
        let twice = all(&["a=x".into(), "a=y".into()], None, &[]);
        assert!(matches!(twice, Err(SettingsError::Twice(name)) if name == "a"));
        for bad in ["", "a", "=x", "a=", "a:ro=x"] {
            assert!(matches!(RemoteSettings::parse(bad), Err(SettingsError::Remote(text)) if text == bad));
        }
    }

    #[test]
    fn a_folder_is_the_same_before_and_after_it_is_made() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(root.path(), &link).unwrap();
        let identity =
            |url: &str, root: &Path| RemoteSettings::parse(&format!("a={url}")).unwrap().identity(root).unwrap();
        let before = ["new", "new/er"].map(|url| identity(url, &link));
        std::fs::create_dir_all(root.path().join("new/er")).unwrap();
        assert_eq!(before, ["new", "new/er"].map(|url| identity(url, root.path())));
        assert!(Path::new(&identity("relative", Path::new(""))).is_absolute());
    }

    #[test]
    fn the_scheme_says_the_protocol() {
        let place = |url: &str| RemoteSettings::parse(&format!("a={url}")).unwrap().place(Path::new("/root"));
        assert_eq!(place("x").unwrap(), RemotePlace::Folder("/root/x".into()));
        assert_eq!(place("file:///x").unwrap(), RemotePlace::Folder("/x".into()));
        assert!(matches!(place("https://host/x").unwrap(), RemotePlace::Http(_)));
        let RemotePlace::S3 { bucket, endpoint } = place("s3://bucket/x?endpoint=http://host:9000").unwrap() else {
            panic!()
        };
        assert_eq!((bucket.as_str(), endpoint.as_deref()), ("s3://bucket/x", Some("http://host:9000")));
        assert!(place("s3://bucket/x?region=y").unwrap_err().to_string().contains("`region`"));
        assert!(matches!(place("grpc://host:1").unwrap(), RemotePlace::Grpc(_)));
        for text in ["s3://KEY:SECRET@bucket/p?endpoint=https://host", "team:wr=s3://KEY:SECRET@bucket"] {
            let error = RemoteSettings::parse(text).map_or_else(|error| error.to_string(), |_| String::new());
            assert!(!error.contains("SECRET"), "{error}");
        }
        let error = place("ftp://me:secret@host/").unwrap_err().to_string();
        assert!(error.contains("ftp://host/") && !error.contains("secret"), "{error}");
    }
}
