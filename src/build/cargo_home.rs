//! Cargo's home for a host program: the caller's downloads and credentials, but none of the
//! settings that could change what is built.
//!
//! A setting such as `[profile.release]`, `[target.…] linker` or `[build] rustc-wrapper` in the
//! caller's settings would be part of the output and of no key. What says where registries are is
//! no such setting: the lock file pins every crate by its checksum. It is taken from all files that
//! cargo would read for the caller: those of its folder, of the folders above, and of its home.
//!
//! The crates that were unpacked (`registry/src`) are the place's own. cargo compiles what lies
//! there without a look at checksums, and the caller's are edited now and then.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::BuildError;
use build_graph::untrusted::printable_path;

/// Tables of cargo's settings that say how crates are had, and nothing of how they are compiled.
const KEPT_TABLES: [&str; 6] = ["source", "registries", "registry", "net", "http", "credential-alias"];
/// Settings in them that are paths, seen from the folder that holds the folder of the settings; `*`
/// is any name.
const PATHS: [[&str; 3]; 4] = [
    ["source", "*", "directory"],
    ["source", "*", "local-registry"],
    ["http", "cainfo", ""],
    ["http", "proxy-cainfo", ""],
];
/// What the homes share: downloaded crates, the locks on them, credentials.
const SHARED: [&str; 7] = [
    "registry/index",
    "registry/cache",
    "git/db",
    ".package-cache",
    ".package-cache-mutate",
    "credentials.toml",
    "credentials",
];
/// The crates that were unpacked, below a place. They stay for the next build.
pub(super) const CRATES: &str = "crates";

/// Makes the folder `home` in a place, or makes it anew, and gives its path.
///
/// # Errors
/// [`BuildError::HostProgram`] if the caller's settings are malformed or no home is known,
/// [`BuildError::Io`].
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
    let crates = place.join(CRATES);
    for folder in [&ours.join("registry"), &ours.join("git"), &crates] {
        fs::create_dir_all(folder).map_err(BuildError::io("create", folder))?;
    }
    let link = |to: PathBuf, name: &str| symlink(to, ours.join(name)).map_err(BuildError::io("link", ours.join(name)));
    link(crates, "registry/src")?;
    for name in SHARED {
        if name.starts_with("registry/") {
            fs::create_dir_all(theirs.join(name)).map_err(BuildError::io("create", theirs.join(name)))?;
        } else if !name.starts_with(".package-cache") && !theirs.join(name).exists() {
            // A link to nothing is right for the locks, which cargo makes; credentials that are not
            // there have to look so.
            continue;
        }
        link(theirs.join(name), name)?;
    }
    let settings = settings(&theirs)?;
    fs::write(ours.join("config.toml"), settings.to_string())
        .map_err(BuildError::io("write", ours.join("config.toml")))?;
    Ok(ours)
}

/// What is kept of the settings that cargo would read for the caller: the nearer file counts more,
/// the home's least.
fn settings(home: &Path) -> Result<Table, BuildError> {
    let here = std::env::current_dir().map_err(BuildError::io("find", "."))?;
    let mut folders: Vec<_> = here.ancestors().map(|folder| folder.join(".cargo")).collect();
    folders.retain(|folder| folder != home);
    folders.push(home.to_owned());
    let mut all = Table::new();
    for path in folders.iter().filter_map(|folder| first_there([folder.join("config"), folder.join("config.toml")])) {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // A part of the way may be closed to this user, and to its cargo.
            Err(error) if path.parent() != Some(home) && error.kind() == ErrorKind::PermissionDenied => continue,
            Err(error) => return Err(BuildError::io("read", path)(error)),
        };
        let kept =
            filtered(&text, path.parent().and_then(Path::parent).unwrap_or(Path::new("/"))).map_err(|problem| {
                BuildError::HostProgram(format!(
                    "cargo's settings in `{}` are malformed: {problem}",
                    printable_path(&path)
                ))
            })?;
        merge(&mut all, kept);
    }
    Ok(all)
}

/// Of two files of one folder, cargo takes the one without an ending.
fn first_there(paths: [PathBuf; 2]) -> Option<PathBuf> {
    paths.into_iter().find(|path| path.is_file())
}

/// The kept tables of a settings file, with paths as they are seen from `base`.
fn filtered(text: &str, base: &Path) -> Result<Table, toml::de::Error> {
    let mut settings: Table = text.parse()?;
    settings.retain(|name, _| KEPT_TABLES.contains(&name));
    for path in PATHS {
        make_absolute(&mut settings, &path, base);
    }
    Ok(settings)
}

fn make_absolute(table: &mut Table, path: &[&str], base: &Path) {
    let [name, below @ ..] = path else { return };
    for (key, value) in table.iter_mut() {
        if *name != "*" && key != name {
            continue;
        }
        match value {
            Value::Table(inner) => make_absolute(inner, below, base),
            Value::String(text) if below.iter().all(|rest| rest.is_empty()) => {
                *text = base.join(&*text).to_string_lossy().into_owned();
            }
            _ => {}
        }
    }
}

/// Adds what the nearer settings do not say.
fn merge(nearer: &mut Table, farther: Table) {
    for (name, value) in farther {
        match (nearer.get_mut(&name), value) {
            (None, value) => {
                nearer.insert(name, value);
            }
            (Some(Value::Table(nearer)), Value::Table(farther)) => merge(nearer, farther),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> String {
        filtered(text, Path::new("/home/a")).unwrap().to_string()
    }

    #[test]
    fn only_what_says_where_crates_are_is_kept() {
        let text = "[build]\nrustc-wrapper = \"evil\"\n[profile.release]\nopt-level = 0\n[env]\nX = \"1\"\n\
                    [net]\nretry = 7\n[source.crates]\nreplace-with = \"mirror\"\n[target.x86_64-unknown-linux-gnu]\nlinker = \"ld\"\n";
        let kept = kept(text);
        assert!(kept.contains("retry = 7") && kept.contains("replace-with"), "{kept}");
        for gone in ["rustc-wrapper", "opt-level", "env", "linker"] {
            assert!(!kept.contains(gone), "{gone} in {kept}");
        }
        assert!(filtered("[net", Path::new("/")).is_err());
    }

    #[test]
    fn paths_are_seen_from_where_they_were_written() {
        let kept = kept(
            "[source.a]\ndirectory = \"vendor\"\n[source.b]\nlocal-registry = \"/abs\"\nregistry = \"sparse+x\"\n\
             [http]\ncainfo = \"ca.pem\"\nproxy = \"p:1\"\n",
        );
        for line in ["\"/home/a/vendor\"", "\"/abs\"", "\"sparse+x\"", "\"/home/a/ca.pem\"", "\"p:1\""] {
            assert!(kept.contains(line), "{line} in {kept}");
        }
    }

    #[test]
    fn the_nearer_settings_count_more() {
        let mut all = filtered("[net]\nretry = 1\n[source.a]\nreplace-with = \"near\"\n", Path::new("/")).unwrap();
        merge(
            &mut all,
            filtered("[net]\nretry = 2\noffline = true\n[source.b]\nregistry = \"r\"\n", Path::new("/")).unwrap(),
        );
        let text = all.to_string();
        for line in ["retry = 1", "offline = true", "\"near\"", "\"r\""] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
