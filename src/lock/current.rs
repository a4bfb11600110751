//! Whether the lock files are those of what is wanted: a build with pins of yesterday's
//! `wanted.toml` would be another than the one that is asked for.

use std::collections::{BTreeMap, BTreeSet};

use build_graph::dsl::{ImagesLock, LockedImage, LockedSource, SourcesLock};
use build_graph::node::Origin;

use super::{DebianRelease, Pin, Wanted, WantedImage, WantedSource, sorted};

/// Returns in what the lock files differ from what is wanted, a sentence for each thing; nothing if
/// [`lock`](super::lock) would find the same again.
pub fn outdated(wanted: &Wanted, sources: &SourcesLock, images: Option<&ImagesLock>) -> Vec<String> {
    let mut differences = Vec::new();
    if let Some(images) = images {
        differences.extend(release(&wanted.debian, images).map(|what| format!("[debian]: {what}")));
    }
    compare("source", &wanted.sources, &sources.sources, source, &mut differences);
    let locked = images.map(|lock| &lock.images);
    compare("image", &wanted.images, locked.unwrap_or(&BTreeMap::new()), image, &mut differences);
    differences
}

fn compare<W, L>(
    kind: &str,
    wanted: &BTreeMap<String, W>,
    locked: &BTreeMap<String, L>,
    difference: impl Fn(&W, &L) -> Option<String>,
    differences: &mut Vec<String>,
) {
    let names: BTreeSet<_> = wanted.keys().chain(locked.keys()).collect();
    for name in names {
        let what = match (wanted.get(name), locked.get(name)) {
            (Some(_), None) => Some("it is not locked".to_owned()),
            (None, Some(_)) => Some("it is locked, and not wanted any more".to_owned()),
            (Some(wanted), Some(locked)) => difference(wanted, locked),
            (None, None) => None,
        };
        differences.extend(what.map(|what| format!("{kind} `{name}`: {what}")));
    }
}

fn source(wanted: &WantedSource, locked: &LockedSource) -> Option<String> {
    if wanted.version != locked.version {
        return Some(format!("version `{}` is wanted, and `{}` is locked", wanted.version, locked.version));
    }
    let version = wanted.package_version.as_ref().unwrap_or(&wanted.version);
    let (file, origins) = (locked.source.file.as_str(), &locked.source.origins[..]);
    let (same, rest) = match (&wanted.pin, origins) {
        (Pin::Fixed(fixed), origins) => {
            let own: Vec<_> = fixed.debian.iter().map(|path| Origin::Debian { path: path.clone() }).collect();
            let same = fixed.file.as_str() == file && fixed.sha256 == locked.source.sha256;
            (same && origins.starts_with(&own), origins.get(own.len()..))
        }
        // Upstream's part of the file's name is followed by what Debian says of it, such as
        // `+dfsg`.
        (Pin::Debian(package), [Origin::Debian { path }, rest @ ..]) => {
            (path.file_name() == file && file.starts_with(&format!("{package}_{version}")), Some(rest))
        }
        (Pin::Pypi(project), [Origin::Pypi { project: locked, file }, rest @ ..]) => {
            (project == locked && *file == format!("{project}-{version}.tar.gz"), Some(rest))
        }
        (Pin::Debian(_) | Pin::Pypi(_), _) => (false, None),
    };
    if !same {
        return Some(format!("it is locked as `{file}`, by another pin than the one that is wanted"));
    }
    let urls: Vec<_> = wanted.urls.iter().map(|url| Origin::Url { url: url.clone() }).collect();
    (rest != Some(&urls)).then(|| "other `urls` are wanted than are locked".to_owned())
}

fn image(wanted: &WantedImage, locked: &LockedImage) -> Option<String> {
    if sorted(&wanted.seeds) != locked.seeds {
        return Some("other `seeds` are wanted than are locked".to_owned());
    }
    (sorted(&wanted.without) != locked.without).then(|| "another `without` is wanted than is locked".to_owned())
}

fn release(wanted: &DebianRelease, locked: &ImagesLock) -> Option<String> {
    let release = &locked.release;
    let same = wanted.suite == release.suite
        && wanted.component == release.component
        && wanted.architecture == release.architecture
        && sorted(&wanted.foreign) == release.foreign;
    (!same).then(|| "another release, component or architecture is wanted than is locked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &str = r#"
        [debian]
        suite = "bookworm"
        component = "main"
        architecture = "amd64"
        [images.tools]
        seeds = ["make", "bash"]
        without = ["dpkg"]
        [sources.libyaml]
        version = "0.2.5"
        debian = "libyaml"
        [sources.pyyaml]
        version = "5.4.1"
        pypi = "PyYAML"
        urls = ["https://example.org/PyYAML-5.4.1.tar.gz"]
        [sources.sqlite]
        version = "3.39.4"
        package-version = "1.72"
        debian = "libdbd-sqlite3-perl"
        [sources.bc]
        version = "1.07.1"
        fixed = { file = "bc.tar.gz", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
    "#;
    const SOURCES: &str = r#"
        [sources.libyaml]
        version = "0.2.5"
        file = "libyaml_0.2.5.orig.tar.gz"
        sha256 = "0000000000000000000000000000000000000000000000000000000000000001"
        origins = [{ from = "debian", path = "pool/main/liby/libyaml/libyaml_0.2.5.orig.tar.gz" }]
        [sources.pyyaml]
        version = "5.4.1"
        file = "PyYAML-5.4.1.tar.gz"
        sha256 = "0000000000000000000000000000000000000000000000000000000000000002"
        origins = [{ from = "pypi", project = "PyYAML", file = "PyYAML-5.4.1.tar.gz" },
                   { from = "url", url = "https://example.org/PyYAML-5.4.1.tar.gz" }]
        [sources.sqlite]
        version = "3.39.4"
        file = "libdbd-sqlite3-perl_1.72.orig.tar.gz"
        sha256 = "0000000000000000000000000000000000000000000000000000000000000003"
        origins = [{ from = "debian", path = "pool/main/libd/libdbd-sqlite3-perl/libdbd-sqlite3-perl_1.72.orig.tar.gz" }]
        [sources.bc]
        version = "1.07.1"
        file = "bc.tar.gz"
        sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
        origins = []
    "#;
    const IMAGES: &str = r#"
        package = []
        [release]
        suite = "bookworm"
        version = "12.12"
        component = "main"
        architecture = "amd64"
        [images.tools]
        seeds = ["bash", "make"]
        without = ["dpkg"]
        packages = []
    "#;

    fn said(from: &str, to: &str) -> Vec<String> {
        assert!(from.is_empty() || WANTED.contains(from), "{from}");
        let wanted = toml::from_str(&WANTED.replacen(from, to, 1)).unwrap();
        outdated(&wanted, &toml::from_str(SOURCES).unwrap(), Some(&toml::from_str(IMAGES).unwrap()))
    }

    #[test]
    fn lock_files_of_what_is_wanted() {
        assert_eq!(said("", ""), [""; 0]);
        assert_eq!(said("", "# a comment\n"), [""; 0]);
    }

    #[test]
    fn every_change_of_what_is_wanted_is_told() {
        let changes = [
            ("0.2.5", "0.2.4", "source `libyaml`: version `0.2.4` is wanted, and `0.2.5` is locked"),
            (
                r#"debian = "libyaml""#,
                r#"debian = "yaml""#,
                "source `libyaml`: it is locked as `libyaml_0.2.5.orig.tar.gz`",
            ),
            (r#"debian = "libyaml""#, r#"pypi = "libyaml""#, "source `libyaml`: it is locked as"),
            (r#"pypi = "PyYAML""#, r#"pypi = "ruamel""#, "source `pyyaml`: it is locked as `PyYAML-5.4.1.tar.gz`"),
            (r#"urls = ["https://example.org"#, r#"urls = ["https://example.com"#, "source `pyyaml`: other `urls` are"),
            ("1.72", "1.73", "source `sqlite`: it is locked as"),
            ("\"00", "\"01", "source `bc`: it is locked as `bc.tar.gz`"),
            ("[sources.bc]", "[sources.dc]", "source `bc`: it is locked, and not wanted any more"),
            ("[images.tools]", "[images.tool]", "image `tool`: it is not locked"),
            (r#""make", "#, "", "image `tools`: other `seeds` are wanted"),
            ("dpkg", "debianutils", "image `tools`: another `without` is wanted"),
            ("bookworm", "trixie", "[debian]: another release"),
            ("amd64\"", "amd64\"\nforeign = [\"i386\"]", "[debian]: another release"),
        ];
        for (from, to, expected) in changes {
            let said = said(from, to);
            assert!(said.first().is_some_and(|first| first.starts_with(expected)), "{from} {to}: {said:?}");
        }
    }

    #[test]
    fn what_was_never_locked_is_told() {
        let said = outdated(&toml::from_str(WANTED).unwrap(), &SourcesLock::default(), None);
        assert_eq!(said.len(), 5, "{said:?}");
        assert_eq!(said[0], "source `bc`: it is not locked");
    }
}
