//! Whether the lock files are those of what is wanted: a build with pins of yesterday's
//! `wanted.toml` or recipes would be another than the one that is asked for.

use std::collections::{BTreeMap, BTreeSet};

use build_graph::dsl::{ImagesLock, LockedImage, PinFrom, SourcesLock, WantedSource};
use build_graph::node::{Origin, Source};

use crate::python::names::{ProjectName, Tag, WheelName, version_of};

use super::{DebianRelease, Wanted, WantedImage, is_source_of, sorted};

/// Returns in what the lock files differ from what is wanted, a sentence for each thing; nothing if
/// [`lock`](super::lock) would find the same again. What is locked beside is for others to judge.
pub fn outdated(
    wanted: Option<&Wanted>,
    wanted_sources: &BTreeMap<&str, WantedSource>,
    sources: &SourcesLock,
    images: Option<&ImagesLock>,
) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, wanted) in wanted_sources {
        let what = match sources.sources.get(*name) {
            Some(locked) => differs(wanted, &locked.version, &locked.source),
            None => Some("it is not locked".to_owned()),
        };
        differences.extend(what.map(|what| format!("source `{name}`: {what}")));
    }
    let Some(wanted) = wanted else { return differences };
    if let Some(images) = images {
        differences.extend(release(&wanted.debian, images).map(|what| format!("[debian]: {what}")));
    }
    let none = BTreeMap::new();
    let locked = images.map_or(&none, |lock| &lock.images);
    for name in wanted.images.keys().chain(locked.keys()).collect::<BTreeSet<_>>() {
        let what = match (wanted.images.get(name), locked.get(name)) {
            (Some(_), None) => Some("it is not locked".to_owned()),
            (None, Some(_)) => Some("it is locked, and not wanted any more".to_owned()),
            (Some(wanted), Some(locked)) => image(wanted, locked),
            (None, None) => None,
        };
        differences.extend(what.map(|what| format!("image `{name}`: {what}")));
    }
    differences
}

/// Returns in what a source is locked otherwise than it is wanted.
pub fn differs(wanted: &WantedSource, locked_version: &str, locked: &Source) -> Option<String> {
    let WantedSource { version, pin } = wanted;
    if *version != locked_version {
        return Some(format!("version `{version}` is wanted, and `{locked_version}` is locked"));
    }
    let version = pin.package_version.unwrap_or(version);
    let (file, origins) = (locked.file.as_str(), &locked.origins[..]);
    let (same, rest) = match (pin.from, origins) {
        (PinFrom::Fixed { file: wanted, sha256, debian, .. }, origins) => {
            let in_pool = match (debian, origins) {
                (Some(wanted), [Origin::Debian { path }, ..]) => wanted == path.as_str(),
                (wanted, _) => wanted.is_none(),
            };
            let same = wanted == file && sha256 == locked.sha256.to_string();
            (same && in_pool, origins.get(usize::from(debian.is_some())..))
        }
        // Upstream's part of the file's name is followed by what Debian says of it, such as
        // `+dfsg`.
        (PinFrom::Debian(package), [Origin::Debian { path }, rest @ ..]) => {
            (path.file_name() == file && file.starts_with(&format!("{package}_{version}")), Some(rest))
        }
        (PinFrom::Pypi(project), [Origin::Pypi { project: locked, file }, rest @ ..]) => {
            (project == locked && is_source_of(file, project, version), Some(rest))
        }
        (PinFrom::Wheel(project), [Origin::Pypi { project: locked, file }, rest @ ..]) => {
            let name = file.parse::<WheelName>().ok().filter(|name| name.tags.iter().any(Tag::is_pure));
            let is_own = name.is_some_and(|name| {
                ProjectName::new(project).is_ok_and(|project| project == name.project)
                    && version_of(version).is_ok_and(|version| version == name.version)
            });
            (project == locked && is_own, Some(rest))
        }
        (PinFrom::Debian(_) | PinFrom::Pypi(_) | PinFrom::Wheel(_), _) => (false, None),
    };
    if !same {
        return Some(format!("it is locked as `{file}`, by another pin than the one that is wanted"));
    }
    let urls: Vec<_> = pin.urls.iter().map(|url| Origin::Url { url: (*url).to_owned() }).collect();
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
    if !same {
        return Some("another release, component or architecture is wanted than is locked".to_owned());
    }
    let wanted = wanted.packages_from.iter().map(|(suite, packages)| (suite, sorted(packages)));
    let locked = release.packages_from.iter().map(|(suite, locked)| (suite, locked.packages.clone()));
    (!wanted.eq(locked)).then(|| "other `packages-from` are wanted than are locked".to_owned())
}

#[cfg(test)]
mod tests {
    use build_graph::dsl::{debian, fixed, pypi, wheel};

    use super::*;

    const WANTED: &str = r#"
        [debian]
        suite = "bookworm"
        component = "main"
        architecture = "amd64"
        [images.tools]
        seeds = ["make", "bash"]
        without = ["dpkg"]
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
        [sources.python3-jinja2]
        version = "3.1.6"
        file = "jinja2-3.1.6-py3-none-any.whl"
        sha256 = "0000000000000000000000000000000000000000000000000000000000000004"
        origins = [{ from = "pypi", project = "Jinja2", file = "jinja2-3.1.6-py3-none-any.whl" }]
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

    fn wanted_sources() -> BTreeMap<&'static str, WantedSource> {
        let bc = fixed("bc.tar.gz", "0000000000000000000000000000000000000000000000000000000000000000");
        let pyyaml = pypi("PyYAML").urls(&["https://example.org/PyYAML-5.4.1.tar.gz"]);
        BTreeMap::from([
            ("libyaml", WantedSource { version: "0.2.5", pin: debian("libyaml") }),
            ("pyyaml", WantedSource { version: "5.4.1", pin: pyyaml }),
            ("python3-jinja2", WantedSource { version: "3.1.6", pin: wheel("Jinja2") }),
            ("sqlite", WantedSource { version: "3.39.4", pin: debian("libdbd-sqlite3-perl").package_version("1.72") }),
            ("bc", WantedSource { version: "1.07.1", pin: bc }),
        ])
    }

    fn said(from: &str, to: &str, sources: &BTreeMap<&str, WantedSource>) -> Vec<String> {
        assert!(from.is_empty() || WANTED.contains(from), "{from}");
        let wanted = toml::from_str(&WANTED.replacen(from, to, 1)).unwrap();
        outdated(Some(&wanted), sources, &toml::from_str(SOURCES).unwrap(), Some(&toml::from_str(IMAGES).unwrap()))
    }

    #[test]
    fn lock_files_of_what_is_wanted() {
        assert_eq!(said("", "", &wanted_sources()), [""; 0]);
        assert_eq!(said("", "# a comment\n", &wanted_sources()), [""; 0]);
    }

    #[test]
    fn every_change_of_what_is_wanted_is_told() {
        let other_url = pypi("PyYAML").urls(&["https://example.com/PyYAML-5.4.1.tar.gz"]);
        let other_sum = fixed("bc.tar.gz", "0100000000000000000000000000000000000000000000000000000000000000");
        let in_pool =
            fixed("bc.tar.gz", "0000000000000000000000000000000000000000000000000000000000000000").in_pool("bc");
        let sources = [
            ("libyaml", "0.2.4", debian("libyaml"), "version `0.2.4` is wanted, and `0.2.5` is locked"),
            ("libyaml", "0.2.5", debian("yaml"), "it is locked as `libyaml_0.2.5.orig.tar.gz`"),
            ("libyaml", "0.2.5", pypi("libyaml"), "it is locked as"),
            ("pyyaml", "5.4.1", pypi("ruamel"), "it is locked as `PyYAML-5.4.1.tar.gz`"),
            ("pyyaml", "5.4.1", other_url, "other `urls` are"),
            ("sqlite", "3.39.4", debian("libdbd-sqlite3-perl").package_version("1.73"), "it is locked as"),
            ("python3-jinja2", "3.1.5", wheel("Jinja2"), "version `3.1.5` is wanted"),
            ("python3-jinja2", "3.1.6", wheel("jinja"), "it is locked as"),
            ("python3-jinja2", "3.1.6", pypi("Jinja2"), "it is locked as"),
            ("pyyaml", "5.4.1", wheel("PyYAML"), "it is locked as"),
            ("bc", "1.07.1", other_sum, "it is locked as `bc.tar.gz`"),
            ("bc", "1.07.1", in_pool, "it is locked as `bc.tar.gz`"),
            ("dc", "1.07.1", debian("dc"), "it is not locked"),
        ];
        for (name, version, pin, expected) in sources {
            let mut sources = wanted_sources();
            sources.insert(name, WantedSource { version, pin });
            let said = said("", "", &sources);
            let expected = format!("source `{name}`: {expected}");
            assert!(said.len() == 1 && said[0].starts_with(&expected), "{pin:?}: {said:?}");
        }
        let changes = [
            ("[images.tools]", "[images.tool]", "image `tool`: it is not locked"),
            (r#""make", "#, "", "image `tools`: other `seeds` are wanted"),
            ("dpkg", "debianutils", "image `tools`: another `without` is wanted"),
            ("bookworm", "trixie", "[debian]: another release"),
            ("amd64\"", "amd64\"\nforeign = [\"i386\"]", "[debian]: another release"),
            ("amd64\"", "amd64\"\npackages-from = { trixie = [\"bash\"] }", "[debian]: other `packages-from`"),
        ];
        for (from, to, expected) in changes {
            let said = said(from, to, &wanted_sources());
            assert!(said.first().is_some_and(|first| first.starts_with(expected)), "{from} {to}: {said:?}");
        }
    }

    #[test]
    fn what_was_never_locked_is_told() {
        let wanted = toml::from_str(WANTED).unwrap();
        let said = outdated(Some(&wanted), &wanted_sources(), &SourcesLock::default(), None);
        assert_eq!(said.len(), 6, "{said:?}");
        assert_eq!(said[0], "source `bc`: it is not locked");
    }

    #[test]
    fn indexes_write_the_names_of_projects_as_they_like() {
        let is_own = |file: &str| is_source_of(file, "charset-normalizer", "3.5.3");
        assert!(is_own("charset_normalizer-3.5.3.tar.gz") && is_own("Charset.Normalizer-3.5.3.tar.gz"));
        for other in ["charset_normalizer-3.5.2.tar.gz", "charset-3.5.3.tar.gz", "charset_normalizer-3.5.3.zip"] {
            assert!(!is_own(other), "{other}");
        }
        assert!(!is_source_of("-.tar.gz", "", ""), "what has no name is no project's");
    }
}
