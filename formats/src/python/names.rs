//! Names of projects and of wheels.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use build_graph::untrusted::printable;
use pep440_rs::Version;

use super::Unreadable;

/// The longest name that is read.
const MAX_NAME: usize = 256;
/// The most tags that the name of one wheel may stand for.
const MAX_TAGS: usize = 256;

/// A project's name in its normal form: lower case, and one `-` for each run of `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectName(String);

impl ProjectName {
    /// Checks and normalizes a name.
    ///
    /// # Errors
    /// [`Unreadable`] if it has other characters than ASCII letters, digits, `-`, `_` and `.`, or
    /// does not begin and end with a letter or a digit.
    pub fn new(name: &str) -> Result<Self, Unreadable> {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        if bytes.len() > MAX_NAME || !bytes.iter().all(|byte| is_inner(*byte)) {
            return Err(Unreadable::new(format!("`{}` is no name of a project", printable(name))));
        }
        if !is_edge(bytes.first()) || !is_edge(bytes.last()) {
            return Err(Unreadable::new(format!("`{name}` is no name of a project")));
        }
        let mut normal = String::with_capacity(name.len());
        for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
            if !normal.is_empty() {
                normal.push('-');
            }
            normal.push_str(&part.to_ascii_lowercase());
        }
        Ok(Self(normal))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a wheel fits: an interpreter, its binary interface and a system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// Such as `py3` or `cp313`.
    pub python: String,
    /// Such as `none` or `abi3`.
    pub abi: String,
    /// Such as `any`.
    pub platform: String,
}

impl Tag {
    /// Reads all tags of a compressed set, such as `py2.py3-none-any`.
    ///
    /// # Errors
    /// [`Unreadable`] if it does not have three parts, or stands for too many tags.
    pub fn set(text: &str) -> Result<BTreeSet<Self>, Unreadable> {
        let malformed = || Unreadable::new(format!("`{}` is no tag of a wheel", printable(text)));
        let parts: Vec<Vec<&str>> = text.split('-').map(|part| part.split('.').collect()).collect();
        let [pythons, abis, platforms] = &parts[..] else { return Err(malformed()) };
        let is_word =
            |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !parts.iter().flatten().all(is_word) {
            return Err(malformed());
        }
        if pythons.len().saturating_mul(abis.len()).saturating_mul(platforms.len()) > MAX_TAGS {
            return Err(malformed());
        }
        let mut tags = BTreeSet::new();
        for python in pythons {
            for abi in abis {
                for platform in platforms {
                    let [python, abi, platform] = [python, abi, platform].map(|word| word.to_ascii_lowercase());
                    tags.insert(Self { python, abi, platform });
                }
            }
        }
        Ok(tags)
    }

    /// Whether it stands for code that is not bound to a system or to a binary interface.
    pub fn is_pure(&self) -> bool {
        self.abi == "none" && self.platform == "any"
    }

    /// Whether it fits CPython 3 of this minor version, on any system.
    pub fn fits(&self, minor: u64) -> bool {
        let python = match self.python.strip_prefix("py3") {
            Some("") => true,
            Some(rest) => rest.parse::<u64>().is_ok_and(|tagged| tagged <= minor),
            None => self.python == format!("cp3{minor}"),
        };
        self.is_pure() && python
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.python, self.abi, self.platform)
    }
}

/// What the name of a wheel's file says: `NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelName {
    /// The project.
    pub project: ProjectName,
    /// Its version.
    pub version: Version,
    /// The number that tells builds of one version apart, with the letters that follow it.
    pub build: Option<(u64, String)>,
    /// What it fits.
    pub tags: BTreeSet<Tag>,
}

impl WheelName {
    /// Whether it holds no code of a machine, and fits CPython 3 of this minor version.
    pub fn fits(&self, minor: u64) -> bool {
        self.tags.iter().any(|tag| tag.fits(minor))
    }
}

impl FromStr for WheelName {
    type Err = Unreadable;

    fn from_str(file: &str) -> Result<Self, Unreadable> {
        let malformed = |why: &str| Unreadable::new(format!("`{}` is no name of a wheel: {why}", printable(file)));
        let stem = file.strip_suffix(".whl").ok_or_else(|| malformed("it does not end in `.whl`"))?;
        if stem.len() > 4 * MAX_NAME {
            return Err(malformed("it is too long"));
        }
        if !stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+!".contains(&byte)) {
            return Err(malformed("it has characters that no such name has"));
        }
        let parts: Vec<&str> = stem.split('-').collect();
        let (project, version, build) = match parts[..] {
            [project, version, _, _, _] => (project, version, None),
            [project, version, build, _, _, _] => (project, version, Some(build)),
            _ => return Err(malformed("it does not have five or six parts")),
        };
        let build = match build {
            None => None,
            Some(build) => {
                let digits = build.find(|char: char| !char.is_ascii_digit()).unwrap_or(build.len());
                let number = build[..digits].parse().map_err(|_| malformed("its build tag begins with no number"))?;
                Some((number, build[digits..].to_owned()))
            }
        };
        Ok(Self {
            project: ProjectName::new(project)?,
            version: version_of(version)?,
            build,
            tags: Tag::set(&parts[parts.len() - 3..].join("-"))?,
        })
    }
}

/// The files that an index has of one version of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Wheels without native code that fit, the best first.
    pub pure: Vec<String>,
    /// Wheels without native code that fit no such Python.
    pub other_pure: Vec<String>,
    /// Wheels with native code.
    pub native: Vec<String>,
    /// Whether there is a source distribution.
    pub source: bool,
}

impl Offer {
    /// Sorts the files of a project, of which other versions are left out. `minor` is that of the
    /// Python that a wheel is to fit; without one, the wheel is the best that fits the most
    /// Pythons.
    pub fn of<'a>(
        files: impl IntoIterator<Item = &'a str>,
        project: &ProjectName,
        version: &Version,
        minor: Option<u64>,
    ) -> Self {
        let mut offer = Self::default();
        let mut pure: Vec<(WheelName, &str)> = Vec::new();
        for file in files {
            if let Some((name, of)) = source_distribution(file) {
                offer.source |= (&name, &of) == (project, version);
                continue;
            }
            let Ok(name) = file.parse::<WheelName>() else { continue };
            if (&name.project, &name.version) != (project, version) {
                continue;
            }
            match name.tags.iter().any(Tag::is_pure) {
                true => pure.push((name, file)),
                false => offer.native.push(file.to_owned()),
            }
        }
        // The latest build, then whatever order is always the same.
        pure.sort_by(|(one, file), (other, other_file)| other.build.cmp(&one.build).then(file.cmp(other_file)));
        let minor = minor.or_else(|| (0..100).find(|minor| pure.iter().any(|(name, _)| name.fits(*minor))));
        let (fitting, others): (Vec<_>, Vec<_>) =
            pure.into_iter().partition(|(name, _)| minor.is_some_and(|minor| name.fits(minor)));
        offer.pure = fitting.into_iter().map(|(_, file)| file.to_owned()).collect();
        offer.other_pure = others.into_iter().map(|(_, file)| file.to_owned()).collect();
        offer
    }
}

/// Returns the project and the version that the name of a source distribution says; `None` for
/// the name of something else. Indexes have names of projects as they are written and in normal
/// form: `charset_normalizer-3.5.3.tar.gz` is of `charset-normalizer`.
pub fn source_distribution(file: &str) -> Option<(ProjectName, Version)> {
    let stem = file.strip_suffix(".tar.gz").or_else(|| file.strip_suffix(".zip"))?;
    let (name, version) = stem.rsplit_once('-')?;
    Some((ProjectName::new(name).ok()?, version_of(version).ok()?))
}

/// Reads a version of a project.
///
/// # Errors
/// [`Unreadable`] if it is none.
pub fn version_of(text: &str) -> Result<Version, Unreadable> {
    let malformed = || Unreadable::new(format!("`{}` is no version", printable(text)));
    if text.len() > MAX_NAME { Err(malformed()) } else { text.parse().map_err(|_| malformed()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized() {
        for (name, normal) in [("Friendly-._.Bard", "friendly-bard"), ("a", "a"), ("zope.interface", "zope-interface")]
        {
            assert_eq!(ProjectName::new(name).unwrap().as_str(), normal);
        }
        for name in ["", "-a", "a-", "a b", "a/b", "..", "ä", "a\n", &"a".repeat(300)] {
            assert!(ProjectName::new(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn names_of_wheels() {
        let name: WheelName = "ruamel.yaml_clib-0.2.8-2b-py2.py3-none-any.whl".parse().unwrap();
        assert_eq!(name.project.as_str(), "ruamel-yaml-clib");
        assert_eq!(name.version.to_string(), "0.2.8");
        assert_eq!(name.build, Some((2, "b".to_owned())));
        assert_eq!(name.tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["py2-none-any", "py3-none-any"]);
        for file in [
            "a-1-py3-none-any",
            "a-1-none-any.whl",
            "a-1-b-py3-none-any.whl",
            "a-x-py3-none-any.whl",
            "../a-1-py3-none-any.whl",
            "a-1-py3--any.whl",
            "a-1-1/../../x-py3-none-any.whl",
            "a-1-1\u{1b}-py3-none-any.whl",
            "a-1-2-3-py3-none-any.whl",
        ] {
            assert!(file.parse::<WheelName>().is_err(), "{file}");
        }
        let many = format!("a-1-{0}-{0}-{0}.whl", vec!["x"; 40].join("."));
        assert!(many.parse::<WheelName>().is_err());
    }

    #[test]
    fn what_an_index_offers() {
        let files = [
            "a-1.0.tar.gz",
            "a-1.0-py2-none-any.whl",
            "a-1.0-py3-none-any.whl",
            "a-1.0-1-py3-none-any.whl",
            "a-1.0-py312-none-any.whl",
            "a-1.0-cp313-cp313-linux_x86_64.whl",
            "a-2.0-py3-none-any.whl",
            "b-1.0-py3-none-any.whl",
            "a-1.0.exe",
            "a-1.0rc1.tar.gz",
        ];
        let (project, version) = (ProjectName::new("A").unwrap(), version_of("1").unwrap());
        let offer = Offer::of(files, &project, &version, Some(13));
        assert_eq!(offer.pure, ["a-1.0-1-py3-none-any.whl", "a-1.0-py3-none-any.whl", "a-1.0-py312-none-any.whl"]);
        assert_eq!(offer.other_pure, ["a-1.0-py2-none-any.whl"]);
        assert_eq!((offer.native.len(), offer.source), (1, true));
        assert_eq!(Offer::of(files, &project, &version, None).pure.len(), 2);
        assert_eq!(Offer::of(["a-1.0-py312-none-any.whl"], &project, &version, None).pure.len(), 1);
        assert!(!Offer::of(["a-1.0rc1.tar.gz", "b-1.0.tar.gz"], &project, &version, None).source);
    }

    #[test]
    fn which_wheels_fit() {
        let fits = |tags: &str| format!("a-1-{tags}.whl").parse::<WheelName>().unwrap().fits(13);
        for tags in ["py3-none-any", "py2.py3-none-any", "py313-none-any", "py38-none-any", "cp313-none-any"] {
            assert!(fits(tags), "{tags}");
        }
        for tags in [
            "py2-none-any",
            "py314-none-any",
            "cp312-none-any",
            "cp313-cp313-any",
            "py3-abi3-any",
            "py3-none-linux_x86_64",
            "cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64",
        ] {
            assert!(!fits(tags), "{tags}");
        }
    }
}
