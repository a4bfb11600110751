//! Debian mirrors, as apt on this machine reaches them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use build_graph::RelPath;
use network::http::Proxy;
use network::login::Netrc;
use url::Url;

use super::http::Location;
use super::transfer::Failure;

/// What apt's settings say, asked once.
pub(super) struct Apt {
    given: Option<Vec<String>>,
    answer: OnceLock<Settings>,
}

/// Mirrors and how to reach them.
#[derive(Debug, Default)]
struct Settings {
    /// Roots, each ending with `/`.
    mirrors: Vec<String>,
    /// Lower-case setting (`acquire::http::proxy`) → value.
    proxies: HashMap<String, String>,
    netrc: Netrc,
}

impl Apt {
    pub(super) fn new(given: Option<Vec<String>>) -> Self {
        Self { given, answer: OnceLock::new() }
    }

    /// Where a path below a mirror's root can be had.
    pub(super) fn places(&self, path: &RelPath) -> Result<Vec<Location>, Failure> {
        let settings = self.answer.get_or_init(|| {
            let mut settings = Settings::of_apt();
            if let Some(given) = &self.given {
                settings.mirrors = given.iter().map(|root| with_slash(root)).collect();
            }
            settings
        });
        if settings.mirrors.is_empty() {
            return Err(Failure::NoPlace(
                "apt names no Debian mirror; set `debian-mirror` in pynbox.toml to the root of one".into(),
            ));
        }
        Ok(settings.mirrors.iter().map(|root| settings.place(&format!("{root}{}", encoded(path)))).collect())
    }
}

impl Settings {
    fn of_apt() -> Self {
        let targets =
            output("apt-get", &["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]).unwrap_or_default();
        let dump = output("apt-config", &["dump", "--format", "%f=%v%n"]).unwrap_or_default();
        let settings: HashMap<String, String> = dump
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let get = |name: &str, default: &str| settings.get(name).cloned().unwrap_or_else(|| default.to_owned());
        let directory = Path::new("/").join(get("dir", "/")).join(get("dir::etc", "etc/apt"));
        let mut files = vec![directory.join(get("dir::etc::netrc", "auth.conf"))];
        files.extend(conf_files(&directory.join(get("dir::etc::netrcparts", "auth.conf.d"))));
        Self { mirrors: mirrors(&targets), netrc: Netrc::of_files(&files), proxies: settings }
    }

    fn place(&self, url: &str) -> Location {
        let mut place = Location::plain(url);
        let Ok(parsed) = Url::parse(url) else { return place };
        let scheme = parsed.scheme();
        let host = parsed.host_str().unwrap_or_default();
        let setting = [format!("acquire::{scheme}::proxy::{host}"), format!("acquire::{scheme}::proxy")];
        let proxy = setting.iter().filter_map(|name| self.proxies.get(name)).find(|value| !value.is_empty());
        place.proxy = match proxy {
            None => Proxy::Environment,
            Some(value) if value.eq_ignore_ascii_case("DIRECT") => Proxy::Direct,
            Some(value) => Proxy::Url(value.clone()),
        };
        place.login = self.netrc.find(&parsed);
        place
    }
}

/// The roots that can hold Debian's main archive, each once, in apt's order.
fn mirrors(targets: &str) -> Vec<String> {
    let mut roots: Vec<String> = Vec::new();
    for root in targets.lines().map(str::trim).filter(|line| !line.is_empty()).map(with_slash) {
        // Other methods of apt (cdrom, mirror lists, tor) are not for us, and security updates are
        // in no lock file.
        let scheme = root.split(':').next().unwrap_or_default();
        let fine = matches!(scheme, "http" | "https" | "file" | "copy");
        let root = if scheme == "copy" { root.replacen("copy", "file", 1) } else { root };
        let root = if root.starts_with("file:/") && !root.starts_with("file://") {
            root.replacen("file:", "file://", 1)
        } else {
            root
        };
        if fine && !root.ends_with("-security/") && !roots.contains(&root) {
            roots.push(root);
        }
    }
    roots
}

fn with_slash(root: &str) -> String {
    format!("{}/", root.trim_end_matches('/'))
}

/// A path as it stands in a URL: `+` and `~` are legal there, blanks and `%` are not.
fn encoded(path: &RelPath) -> String {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~+:=@,".contains(&byte);
    path.as_str()
        .bytes()
        .map(|byte| if fine(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn conf_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    files.sort();
    files
}

/// What a program prints, if it is there and succeeds.
pub(super) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_of_the_main_archive_each_once() {
        let targets = "http://a.test/debian/\nhttp://a.test/debian/\nhttp://a.test/debian-security/\ncdrom:[x]/\n\
                       https://b.test/d\nfile:/srv/debian/\n";
        assert_eq!(mirrors(targets), ["http://a.test/debian/", "https://b.test/d/", "file:///srv/debian/"]);
    }

    #[test]
    fn the_most_special_proxy_counts() {
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let settings = Settings {
            proxies: HashMap::from([
                setting("acquire::http::proxy", "http://p.test:3128"),
                setting("acquire::http::proxy::b.test", "DIRECT"),
            ]),
            ..Settings::default()
        };
        assert_eq!(settings.place("http://a.test/x").proxy, Proxy::Url("http://p.test:3128".into()));
        assert_eq!(settings.place("http://b.test/x").proxy, Proxy::Direct);
        assert_eq!(settings.place("https://a.test/x").proxy, Proxy::Environment);
    }

    #[test]
    fn paths_are_encoded() {
        let path = RelPath::new("pool/g++ 1%_1~a.deb").unwrap();
        assert_eq!(encoded(&path), "pool/g++%201%25_1~a.deb");
    }
}
