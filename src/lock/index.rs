//! A Debian release's indices, from its signed release file down.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use build_graph::node::{Origin, Source};
use build_graph::untrusted::printable;
use build_graph::{RelPath, Sha256};
use deb822_fast::{Deb822, Paragraph};

use super::relation::relations;
use super::resolve::{Package, Packages};
use super::version;
use super::{DebianRelease, LockError};
use crate::archive::{Compression, Metered};
use crate::report::Reporter;
use crate::source::{Fetcher, Job, sha256_of};

/// Where Debian's packages of keys put them.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// A release file is 150 KB long.
const RELEASE_SIZE: u64 = 4 << 20;

/// The longest index that is read: the largest of Debian's has 60 MB.
const MAX_INDEX: u64 = 512 << 20;

/// Whether the release file is known to be Debian's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// Signed by a key of Debian's keyring on this machine.
    Good,
    /// Not looked at, for this reason: the indices are then as trustworthy as the mirror and the
    /// way to it.
    NotChecked(String),
}

/// A release: what was looked up once.
pub(super) struct Release {
    pub(super) suite: String,
    pub(super) version: String,
    /// The point releases of the other suites that packages were taken from.
    pub(super) other_versions: BTreeMap<String, String>,
    pub(super) signature: Signature,
    pub(super) packages: Packages,
    sources: Vec<Paragraph>,
}

/// The source archive that upstream made (or Debian repacked).
pub(super) struct Original {
    pub(super) file: String,
    pub(super) path: String,
    pub(super) sha256: Sha256,
    pub(super) size: u64,
}

impl Release {
    /// Fetches the indices of a release, and of those that it takes single packages from.
    pub(super) fn fetch(
        wanted: &DebianRelease,
        scratch: &Path,
        fetcher: &Fetcher,
        reporter: &dyn Reporter,
    ) -> Result<Self, LockError> {
        let DebianRelease { suite, component, architecture, foreign, packages_from } = wanted;
        let packages_index = |architecture: &String| format!("{component}/binary-{architecture}/Packages.xz");
        let fetch = |suite: &str, files: &[String]| Indices::fetch(suite, files, scratch, fetcher, reporter);

        let mut files = vec![format!("{component}/source/Sources.xz"), packages_index(architecture)];
        files.extend(foreign.iter().map(packages_index));
        let Indices { version, signature, texts } = fetch(suite, &files)?;
        let (own, further) = texts.split_at(2);
        let further: Vec<_> = foreign.iter().map(String::as_str).zip(further.iter().map(String::as_str)).collect();
        let mut release = Self::parse(suite, &version, signature, &own[1], &further, &own[0])?;

        for (suite, names) in packages_from {
            let Indices { version, signature, texts } = fetch(suite, &[packages_index(architecture)])?;
            let other = Self::parse(suite, &version, signature, &texts.concat(), &[], "")?;
            release.take_packages(other, names)?;
        }
        Ok(release)
    }

    /// Takes packages of another release in place of those of the same names.
    fn take_packages(&mut self, other: Self, names: &[String]) -> Result<(), LockError> {
        for name in names {
            let package = other.packages.get(name).ok_or_else(|| LockError::Index {
                file: format!("dists/{}: Packages", other.suite),
                reason: format!("it has no package `{name}`, which `packages-from` of wanted.toml names"),
            })?;
            self.packages.replace(name.clone(), package.clone());
        }
        if self.signature == Signature::Good {
            self.signature = other.signature;
        }
        self.other_versions.insert(other.suite, other.version);
        Ok(())
    }

    /// What the indices say: of packages, of packages of each further architecture, and of sources.
    pub(super) fn parse(
        suite: &str,
        version: &str,
        signature: Signature,
        packages: &str,
        foreign: &[(&str, &str)],
        sources: &str,
    ) -> Result<Self, LockError> {
        let mut index = Packages::default();
        // Packages that serve programs of every architecture (Debian's `Multi-Arch: foreign`).
        let mut serving = HashSet::new();
        let own = [(None, packages)].into_iter().chain(foreign.iter().map(|(name, text)| (Some(*name), *text)));
        for (architecture, text) in own {
            let file = format!("dists/{suite}: Packages");
            for paragraph in paragraphs(text, &file)? {
                let name = paragraph.get("package").unwrap_or_default().to_owned();
                let mut package = package(&paragraph).map_err(|reason| LockError::Index {
                    file: file.clone(),
                    reason: format!("package `{name}`: {reason}"),
                })?;
                match architecture {
                    None => {
                        if paragraph.get("multi-arch").is_some_and(|value| value == "foreign") {
                            serving.insert(name.clone());
                        }
                        index.insert(name, package);
                    }
                    // Packages for all architectures are in every index, and were taken from the
                    // first.
                    Some(_) if paragraph.get("architecture").is_some_and(|value| value == "all") => {}
                    Some(architecture) => {
                        for relation in package.needs.iter_mut().flatten() {
                            if !serving.contains(&relation.name) {
                                relation.name = format!("{}:{architecture}", relation.name);
                            }
                        }
                        for relation in &mut package.provides {
                            relation.name = format!("{}:{architecture}", relation.name);
                        }
                        index.insert(format!("{name}:{architecture}"), package);
                    }
                }
            }
        }
        let sources = paragraphs(sources, &format!("dists/{suite}: Sources"))?;
        let (suite, version) = (suite.to_owned(), version.to_owned());
        Ok(Self { suite, version, other_versions: BTreeMap::new(), signature, packages: index, sources })
    }

    /// The source archive of a source package, whose upstream version must be this one (Debian may
    /// have added `+dfsg` or the like).
    pub(super) fn original(&self, package: &str, wanted: &str) -> Result<Original, String> {
        let of_package = |paragraph: &&Paragraph| paragraph.get("package").is_some_and(|name| name == package);
        let mut versions = Vec::new();
        for paragraph in self.sources.iter().filter(of_package) {
            let version = paragraph.get("version").unwrap_or_default();
            let upstream = version::upstream(version);
            let addition = upstream.strip_prefix(wanted);
            if !addition
                .is_some_and(|rest| rest.is_empty() || rest.trim_start_matches(['+', '.', '~']).starts_with("dfsg"))
            {
                versions.push(version.to_owned());
                continue;
            }
            let directory = paragraph.get("directory").unwrap_or_default();
            let sums = paragraph.get("checksums-sha256").unwrap_or_default();
            // `NAME_VERSION.orig.tar.xz`; not `.orig-COMPONENT.tar.xz`, and not its signature.
            let (sha256, size, file) = checksums(sums)
                .find(|(_, _, file)| file.contains(".orig.tar.") && !file.ends_with(".asc"))
                .ok_or("its source package has no original archive")?;
            let sha256 = sha256.parse().map_err(|_| format!("the sha256 of `{file}` is none"))?;
            return Ok(Original { file: file.to_owned(), path: format!("{directory}/{file}"), sha256, size });
        }
        Err(match versions.as_slice() {
            [] => format!("`{}` has no source package `{package}`", self.suite),
            versions => format!("`{}` has `{package}` in version {}, not {wanted}", self.suite, versions.join(", ")),
        })
    }
}

/// Indices of one suite, from its signed release file down.
struct Indices {
    /// The number of the point release.
    version: String,
    signature: Signature,
    /// The text of each index, in the order in which they were asked for.
    texts: Vec<String>,
}

impl Indices {
    /// Fetches the files of a suite, each named below the suite's directory.
    fn fetch(
        suite: &str,
        files: &[String],
        scratch: &Path,
        fetcher: &Fetcher,
        reporter: &dyn Reporter,
    ) -> Result<Self, LockError> {
        let path = RelPath::new(format!("dists/{suite}/InRelease"))?;
        let (signed, _) = fetcher
            .debian_file(&path, RELEASE_SIZE)
            .map_err(|tried| LockError::Unavailable { what: path.to_string(), tried })?;
        let (release, signature) = verified(&signed, suite, scratch)?;
        let malformed = |reason: String| LockError::Index { file: path.to_string(), reason };
        let release = paragraphs(&release, path.as_str())?.into_iter().next();
        let release = release.ok_or_else(|| malformed("it is empty".to_owned()))?;
        if release.get("codename") != Some(suite) {
            return Err(malformed(format!("it is not of `{suite}`")));
        }
        let sums = release.get("sha256").unwrap_or_default();

        let mut texts = Vec::new();
        for file in files {
            let (sha256, size, _) = checksums(sums)
                .find(|(_, _, name)| name == file)
                .ok_or_else(|| malformed(format!("it does not name `{file}`")))?;
            let sha256: Sha256 = sha256.parse().map_err(|_| malformed(format!("its sha256 of `{file}` is none")))?;
            let origins = vec![Origin::Debian { path: RelPath::new(format!("dists/{suite}/{file}"))? }];
            let source = Source { file: RelPath::new("index.xz")?, sha256, size: Some(size), origins };
            let dest = scratch.join(format!("{sha256}.xz"));
            if !sha256_of(&dest).is_ok_and(|(there, _)| there == sha256) {
                fetcher.fetch(&Job { name: file.clone(), source: &source, dest: dest.clone() }, reporter)?;
            }
            let text = fs::File::open(&dest).and_then(unpacked).map_err(|error| LockError::Index {
                file: file.clone(),
                reason: printable(&error.to_string()).to_string(),
            })?;
            texts.push(text);
        }
        Ok(Self { version: release.get("version").unwrap_or_default().to_owned(), signature, texts })
    }
}

/// The paragraphs of an index (deb822(5)).
fn paragraphs(text: &str, file: &str) -> Result<Vec<Paragraph>, LockError> {
    let parsed: Result<Deb822, _> = text.parse();
    parsed.map(Into::into).map_err(|error| LockError::Index { file: file.to_owned(), reason: error.to_string() })
}

/// The lines `HASH SIZE NAME` of a field of checksums.
fn checksums(value: &str) -> impl Iterator<Item = (&str, u64, &str)> {
    value.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?.parse().ok()?, words.next()?))
    })
}

fn package(paragraph: &Paragraph) -> Result<Package, String> {
    let get = |name: &str| paragraph.get(name).unwrap_or_default();
    let mut needs = relations(get("pre-depends"));
    needs.extend(relations(get("depends")));
    Ok(Package {
        version: get("version").to_owned(),
        path: get("filename").to_owned(),
        sha256: get("sha256").parse().map_err(|_| "it has no sha256")?,
        size: get("size").parse().map_err(|_| "it has no size")?,
        needs,
        provides: relations(get("provides")).into_iter().flatten().collect(),
    })
}

/// An index, which has to be held in memory whole.
fn unpacked(packed: fs::File) -> io::Result<String> {
    let mut text = String::new();
    let mut index = Metered::new(Compression::Xz.decode(packed)?, MAX_INDEX);
    match index.read_to_string(&mut text) {
        Err(_) if index.is_exceeded() => Err(io::Error::other(format!("it has more than {MAX_INDEX} bytes"))),
        read => read.map(|_| text),
    }
}

/// What was signed, and whether the signature could be checked. Only the signed part counts, not
/// what stands around it.
fn verified(signed: &[u8], suite: &str, scratch: &Path) -> Result<(String, Signature), LockError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let keyring = KEYRINGS.iter().map(PathBuf::from).find(|keyring| keyring.exists());
    let Some(keyring) = keyring else {
        let reason = "this machine has no debian-archive-keyring".to_owned();
        return Ok((unarmoured(&text(signed)), Signature::NotChecked(reason)));
    };
    let file = |error| LockError::File { path: scratch.to_owned(), error };
    let directory = tempfile::tempdir_in(scratch).map_err(file)?;
    let path = directory.path().join("InRelease");
    fs::write(&path, signed).map_err(file)?;
    let result = Command::new("gpgv")
        .arg("--keyring")
        .arg(keyring)
        .args(["--output", "-"])
        .arg(&path)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output();
    match result {
        Err(error) => {
            let reason = format!("gpgv can't be run ({error})");
            Ok((unarmoured(&text(signed)), Signature::NotChecked(reason)))
        }
        Ok(output) if output.status.success() => Ok((text(&output.stdout), Signature::Good)),
        Ok(output) => {
            let reason = printable(&text(&output.stderr).lines().collect::<Vec<_>>().join("; ")).to_string();
            Err(LockError::Signature { suite: suite.to_owned(), reason })
        }
    }
}

/// The text of a message with a clear signature (RFC 9580, 7).
pub(super) fn unarmoured(signed: &str) -> String {
    let Some((_, rest)) = signed.split_once("-----BEGIN PGP SIGNED MESSAGE-----") else { return signed.to_owned() };
    let body = rest.split_once("\n\n").map_or(rest, |(_, body)| body);
    let body = body.split("\n-----BEGIN PGP SIGNATURE-----").next().unwrap_or_default();
    body.lines().map(|line| line.strip_prefix("- ").unwrap_or(line)).flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_part_alone_counts() {
        let signed = "Codename: evil\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nCodename: good\n- - x\n\
                      -----BEGIN PGP SIGNATURE-----\nabc\n";
        assert_eq!(unarmoured(signed), "Codename: good\n- x\n");
    }

    #[test]
    fn indices() {
        let hash = "ab".repeat(32);
        let packages = format!(
            "Package: a\nVersion: 1-1\nPre-Depends: b\nDepends: c | d\nFilename: pool/a.deb\nSize: 5\nSHA256: {hash}\n\n"
        );
        let sources = format!(
            "Package: z\nVersion: 1:1.2.13.dfsg-1\nDirectory: pool/main/z/z\nChecksums-Sha256:\n {hash} 3 z_1.dsc\n \
             {hash} 2 z_1.orig.tar.gz.asc\n {hash} 4 z_1.orig-extra.tar.gz\n {hash} 7 z_1.orig.tar.gz\n"
        );
        let parse = |packages: &str| Release::parse("s", "12.1", Signature::Good, packages, &[], &sources);
        let release = parse(&packages).unwrap();
        let a = release.packages.get("a").unwrap();
        assert_eq!((a.needs.len(), a.size, a.path.as_str()), (2, 5, "pool/a.deb"));
        let original = release.original("z", "1.2.13").unwrap();
        assert_eq!((original.path.as_str(), original.size), ("pool/main/z/z/z_1.orig.tar.gz", 7));
        for wanted in ["1.2.1", "1.2", "1.3"] {
            let error = release.original("z", wanted).err().unwrap();
            assert!(error.contains("in version 1:1.2.13.dfsg-1, not"), "{error}");
        }
        assert!(release.original("y", "1").err().unwrap().contains("no source package `y`"));
        let error = parse(&packages.replace(&hash, "x")).err().unwrap().to_string();
        assert!(error.contains("package `a`: it has no sha256"), "{error}");
        for malformed in [" Package: a\n", "Package: a\nno field\n"] {
            let error = parse(malformed).err().unwrap().to_string();
            assert!(error.starts_with("`dists/s: Packages` of the Debian mirror: "), "{error}");
        }
    }

    #[test]
    fn packages_of_another_architecture_need_their_own_kind() {
        let hash = "ab".repeat(32);
        let of = |name: &str, architecture: &str, more: &str| {
            format!(
                "Package: {name}\nVersion: 1\nArchitecture: {architecture}\nFilename: pool/{name}_{architecture}.deb\n\
                 Size: 5\nSHA256: {hash}\n{more}\n"
            )
        };
        let amd64 = of("tool", "amd64", "Multi-Arch: foreign\n") + &of("data", "all", "") + &of("lib", "amd64", "");
        let i386 = of("app", "i386", "Depends: tool, lib, virtual\n")
            + &of("lib", "i386", "")
            + &of("data", "all", "")
            + &of("real", "i386", "Provides: virtual\n");
        let release = Release::parse("s", "12.1", Signature::Good, &amd64, &[("i386", &i386)], "").unwrap();
        let closure = |seed: &str| {
            super::super::resolve::closure(&release.packages, &[seed.to_owned()], &Default::default())
                .map(|names| names.into_iter().collect::<Vec<_>>())
                .map_err(|missing| missing.relation)
        };
        assert_eq!(closure("app:i386").unwrap(), ["app:i386", "lib:i386", "real:i386", "tool"]);
        assert_eq!(closure("lib").unwrap(), ["lib"]);
        assert_eq!(closure("app").unwrap_err(), "app");
        assert_eq!(closure("data:i386").unwrap_err(), "data:i386");
        assert_eq!(release.packages.get("lib:i386").unwrap().path, "pool/lib_i386.deb");
    }

    #[test]
    fn single_packages_of_another_release() {
        let release = |suite: &str, version: &str, packages: &[&str]| {
            let rest = format!("Filename: pool/{suite}.deb\nSize: 5\nSHA256: {}\n\n", "ab".repeat(32));
            let text: String = packages.iter().flat_map(|package| [package, rest.as_str()]).collect();
            Release::parse(suite, version, Signature::Good, &text, &[], "").unwrap()
        };
        let old = &["Package: a\nVersion: 3\n", "Package: b\nVersion: 3\n", "Package: c\nVersion: 3\nDepends: b\n"];
        let mut bookworm = release("bookworm", "12.1", old);
        let trixie =
            || release("trixie", "13.1", &["Package: a\nVersion: 4\n", "Package: b\nVersion: 2\nDepends: a\n"]);
        bookworm.take_packages(trixie(), &["b".to_owned()]).unwrap();
        let of = |name: &str| bookworm.packages.get(name).unwrap().path.clone();
        assert_eq!(["a", "b", "c"].map(of), ["pool/bookworm.deb", "pool/trixie.deb", "pool/bookworm.deb"]);
        let needed = super::super::resolve::closure(&bookworm.packages, &["c".to_owned()], &Default::default());
        assert_eq!(needed.unwrap().into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(bookworm.other_versions["trixie"], "13.1");

        let mut unchecked = trixie();
        unchecked.signature = Signature::NotChecked("why".to_owned());
        bookworm.take_packages(unchecked, &["a".to_owned()]).unwrap();
        assert_eq!(bookworm.signature, Signature::NotChecked("why".to_owned()));
        let error = bookworm.take_packages(trixie(), &["z".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`dists/trixie: Packages`") && error.contains("no package `z`"), "{error}");
    }

    #[test]
    fn a_forged_release_file_is_refused_where_it_can_be_checked() {
        let dir = tempfile::tempdir().unwrap();
        let forged =
            b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nCodename: x\n-----BEGIN PGP SIGNATURE-----\n\n";
        match verified(forged, "x", dir.path()) {
            Err(LockError::Signature { .. }) | Ok((_, Signature::NotChecked(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}
