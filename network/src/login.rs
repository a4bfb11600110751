//! Names and passwords: in URLs, and in the user's own files in the format of netrc
//! (`machine HOST login NAME password WORD`).

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use url::Url;

use crate::http::HeaderValue;

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Login {
    /// Returns the value of the header `Authorization`, in the scheme `Basic`.
    pub fn basic(&self) -> HeaderValue {
        let pair = format!("{}:{}", self.user, self.password);
        let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        // Base64 has only what a header may have.
        let mut value = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("Basic"));
        value.set_sensitive(true);
        value
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// Logins that files name.
#[derive(Debug, Default)]
pub struct Netrc {
    machines: Vec<(String, Login)>,
}

impl Netrc {
    /// Reads the user's file: `$NETRC`, else `~/.netrc`. A missing file has no logins.
    pub fn of_user() -> Self {
        let file = std::env::var_os("NETRC")
            .map(PathBuf::from)
            .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".netrc")));
        Self::of_files(file.as_slice())
    }

    /// Reads several files, in order. A file that can't be read has no logins.
    pub fn of_files(files: &[PathBuf]) -> Self {
        let mut netrc = Self::default();
        for file in files {
            // A login that is not UTF-8 does not hide the others.
            netrc.add(&String::from_utf8_lossy(&fs::read(file).unwrap_or_default()));
        }
        netrc
    }

    fn add(&mut self, text: &str) {
        let text: String =
            text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|l| [l, "\n"]).collect();
        let mut words = text.split_whitespace();
        let mut machine = None;
        let (mut user, mut password) = (String::new(), String::new());
        loop {
            let word = words.next();
            if matches!(word, None | Some("machine" | "default"))
                && let Some(machine) = machine.take()
            {
                let login = Login { user: std::mem::take(&mut user), password: std::mem::take(&mut password) };
                self.machines.push((machine, login));
            }
            match word {
                None => break,
                Some("machine") => machine = words.next().map(str::to_owned),
                Some("login") => user = words.next().unwrap_or_default().to_owned(),
                Some("password") => password = words.next().unwrap_or_default().to_owned(),
                _ => {}
            }
        }
    }

    /// Returns the login for a URL, as apt_auth.conf(5) matches: host, port if named, a path's beginning;
    /// over plain `http` only if the entry says so. (Plain netrc has hosts only.)
    pub fn find(&self, url: &Url) -> Option<Login> {
        let matches = |machine: &str| {
            let (scheme, rest) = machine.split_once("://").unwrap_or(("https", machine));
            let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let (host, port) = host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)));
            scheme == url.scheme()
                && url.host_str() == Some(host)
                && port.is_none_or(|port| url.port_or_known_default().is_some_and(|there| there.to_string() == port))
                && url.path().starts_with(path)
        };
        self.machines.iter().find(|(machine, _)| matches(machine)).map(|(_, login)| login.clone())
    }
}

/// Returns a URL without a login, to be shown.
pub fn without_password(url: &str) -> String {
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

/// Takes the login out of a URL.
pub fn take_login(url: &mut Url) -> Option<Login> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| {
        url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let login = Login { user: decode(url.username()), password: decode(url.password().unwrap_or_default()) };
    // Both can fail only for URLs that can't have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(login)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(text: &str, url: &str) -> Option<String> {
        let mut netrc = Netrc::default();
        netrc.add(text);
        netrc.find(&Url::parse(url).unwrap()).map(|login| format!("{}:{}", login.user, login.password))
    }

    #[test]
    fn entries_match_host_port_path_and_scheme() {
        let text = "# a comment\nmachine a.test login u password p\nmachine http://b.test:81/debian\n  login v\n  password q\n";
        assert_eq!(login(text, "https://a.test/x").as_deref(), Some("u:p"));
        assert_eq!(login(text, "http://a.test/x"), None);
        assert_eq!(login(text, "http://b.test:81/debian/pool").as_deref(), Some("v:q"));
        assert_eq!(login(text, "http://b.test/debian/pool"), None);
        assert_eq!(login(text, "http://b.test:81/other"), None);
        assert_eq!(login(text, "https://evil.test/a.test"), None);
    }

    #[test]
    fn logins_leave_urls() {
        let mut url = Url::parse("https://us%40er:p+w@a.test/x").unwrap();
        let login = take_login(&mut url).unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("us@er", "p+w"));
        assert_eq!(url.as_str(), "https://a.test/x");
        assert!(take_login(&mut url).is_none());
    }
}
