//! Cargo's home for a host program: the caller's registry and credentials, but none of the settings that could change what is built.
//!
//! A setting such as `[profile.release]`, `[target.…] linker` or `[build] rustc-wrapper` in the caller's `config.toml` would be part
//! of the output and of no key. What says where registries are is no such setting: the lock file pins every crate by its checksum.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::BuildError;
use build_graph::untrusted::printable_path;

/// Tables of cargo's settings that say how crates are had, and nothing of how they are compiled.
const KEPT_TABLES: [&str; 6] = ["source", "registries", "registry", "net", "http", "credential-alias"];
/// What the homes share: downloaded crates, the locks on them, credentials.
const SHARED: [&str; 5] = ["registry", ".package-cache", ".package-cache-mutate", "credentials.toml", "credentials"];

/// Makes the folder `home` in a place, or makes it anew, and gives its path.
///
/// # Errors
/// [`BuildError::HostProgram`] if the caller's settings are malformed or no home is known, [`BuildError::Io`].
pub(super) fn prepare(place: &Path) -> Result<PathBuf, BuildError> {
    let theirs = std::env::var_os("CARGO_HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")))
        .ok_or_else(|| BuildError::HostProgram("no home for cargo: set `CARGO_HOME` or `HOME`".to_owned()))?;
    let theirs = std::path::absolute(&theirs).map_err(BuildError::io("find", &theirs))?;
    let ours = place.join("home");
    match fs::remove_dir_all(&ours) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(BuildError::io("remove", &ours)(error)),
        _ => {}
    }
    fs::create_dir_all(&ours).map_err(BuildError::io("create", &ours))?;
    fs::create_dir_all(theirs.join("registry")).map_err(BuildError::io("create", theirs.join("registry")))?;
    for name in SHARED {
        // A link to nothing is right for the locks, which cargo makes; credentials that are not there have to look so.
        if name.starts_with("credentials") && !theirs.join(name).exists() {
            continue;
        }
        symlink(theirs.join(name), ours.join(name)).map_err(BuildError::io("link", ours.join(name)))?;
    }
    for name in ["config.toml", "config"] {
        let path = theirs.join(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(BuildError::io("read", path)(error)),
        };
        let settings = filtered(&text).map_err(|problem| {
            BuildError::HostProgram(format!("cargo's settings in `{}` are malformed: {problem}", printable_path(&path)))
        })?;
        fs::write(ours.join("config.toml"), settings).map_err(BuildError::io("write", ours.join("config.toml")))?;
        break;
    }
    Ok(ours)
}

fn filtered(text: &str) -> Result<String, toml::de::Error> {
    let mut settings: toml::Table = text.parse()?;
    settings.retain(|name, _| KEPT_TABLES.contains(&name));
    Ok(settings.to_string())
}

#[cfg(test)]
mod tests {
    use super::filtered;

    #[test]
    fn only_what_says_where_crates_are_is_kept() {
        let text = "[build]\nrustc-wrapper = \"evil\"\n[profile.release]\nopt-level = 0\n[env]\nX = \"1\"\n\
                    [net]\nretry = 7\n[source.crates]\nreplace-with = \"mirror\"\n[target.x86_64-unknown-linux-gnu]\nlinker = \"ld\"\n";
        let kept = filtered(text).unwrap();
        assert!(kept.contains("retry = 7") && kept.contains("replace-with"), "{kept}");
        for gone in ["rustc-wrapper", "opt-level", "env", "linker"] {
            assert!(!kept.contains(gone), "{gone} in {kept}");
        }
        assert!(filtered("[net").is_err());
    }
}
