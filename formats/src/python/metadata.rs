//! What a wheel says of its project (`METADATA`, `core metadata specifications`) and of itself
//! (`WHEEL`).

use std::collections::BTreeSet;

use build_graph::untrusted::printable;
use pep440_rs::{Version, VersionSpecifiers};

use super::Unreadable;
use super::marker::Environment;
use super::names::{ProjectName, Tag, version_of};
use super::requirement::Requirement;

/// The most requirements that are read of one project.
const MAX_REQUIREMENTS: usize = 4096;

/// What a wheel says of its project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The project.
    pub project: ProjectName,
    /// Its version.
    pub version: Version,
    /// What it needs.
    pub requires: Vec<Requirement>,
    /// Which Pythons it is for.
    pub requires_python: Option<VersionSpecifiers>,
    /// What may say its license, the best first: `License-Expression`, `License`, and the licenses
    /// of its classifiers.
    pub licenses: Vec<String>,
}

impl Metadata {
    /// Reads `METADATA`.
    ///
    /// # Errors
    /// [`Unreadable`] if it is no text, of another major version, or a field does not read.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let fields = Fields::parse(bytes)?;
        let version = fields.only("Metadata-Version")?;
        if !matches!(version.split('.').next(), Some("1" | "2")) {
            return Err(Unreadable::new(format!("its version, `{}`, is not known", printable(version))));
        }
        let requires: Vec<_> = fields.all("Requires-Dist").map(str::parse).collect::<Result<_, _>>()?;
        if requires.len() > MAX_REQUIREMENTS {
            return Err(Unreadable::new(format!("it requires more than {MAX_REQUIREMENTS} projects")));
        }
        let requires_python = fields.all("Requires-Python").next().map(specifiers).transpose()?;
        let expression = fields.all("License-Expression").chain(fields.all("License")).map(str::to_owned);
        let of_classifier = |line: &str| {
            let license = line.strip_prefix("License :: ")?;
            Some(license.strip_prefix("OSI Approved :: ").unwrap_or(license).to_owned())
        };
        let licenses = expression.chain(fields.all("Classifier").filter_map(of_classifier));
        Ok(Self {
            project: ProjectName::new(fields.only("Name")?)?,
            version: version_of(fields.only("Version")?)?,
            licenses: licenses.filter(|license| !license.is_empty()).collect(),
            requires,
            requires_python,
        })
    }
}

impl Metadata {
    /// What it needs in an environment, with these of its extras.
    pub fn needs<'s>(
        &'s self,
        environment: &'s Environment,
        extras: &'s [ProjectName],
    ) -> impl Iterator<Item = &'s Requirement> {
        let holds = |requirement: &&Requirement| {
            requirement.marker.as_ref().is_none_or(|marker| {
                // Also what it needs in any case, which no extra has to be named for.
                marker.holds(environment, &[]) || marker.holds(environment, extras)
            })
        };
        self.requires.iter().filter(holds)
    }

    /// Whether it is for the Python of an environment.
    pub fn is_for(&self, environment: &Environment) -> bool {
        self.requires_python.as_ref().is_none_or(|versions| versions.contains(&environment.version))
    }
}

fn specifiers(text: &str) -> Result<VersionSpecifiers, Unreadable> {
    let malformed = || Unreadable::new(format!("`{}` says no versions of Python", printable(text)));
    let text = text.trim().trim_end_matches(',');
    if text.len() > 4096 { Err(malformed()) } else { text.parse().map_err(|_| malformed()) }
}

/// What a wheel says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Whether it has no code of a machine.
    pub is_pure: bool,
    /// What it fits.
    pub tags: BTreeSet<Tag>,
}

impl About {
    /// Reads `WHEEL`.
    ///
    /// # Errors
    /// [`Unreadable`] if it is no text, of another major version, or a field does not read.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let fields = Fields::parse(bytes)?;
        let version = fields.only("Wheel-Version")?;
        if version.split('.').next() != Some("1") {
            return Err(Unreadable::new(format!("its version, `{}`, is not known", printable(version))));
        }
        let is_pure = match fields.only("Root-Is-Purelib")?.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            other => return Err(Unreadable::new(format!("`Root-Is-Purelib` is `{}`", printable(other)))),
        };
        let mut tags = BTreeSet::new();
        for tag in fields.all("Tag").take(256) {
            tags.extend(Tag::set(tag)?);
        }
        Ok(Self { is_pure, tags })
    }
}

/// The fields of a message's head: `NAME: VALUE`, where further lines of a value begin with a
/// blank.
struct Fields<'a>(Vec<(&'a str, String)>);

impl<'a> Fields<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::new("it is not UTF-8"))?;
        let mut fields: Vec<(&str, String)> = Vec::new();
        // The rest, after an empty line, is a description.
        for line in text.lines().take_while(|line| !line.is_empty()) {
            if line.starts_with([' ', '\t']) {
                let Some((_, value)) = fields.last_mut() else { return Err(Unreadable::new("it begins with a blank")) };
                value.push('\n');
                value.push_str(line.trim());
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                let line: String = line.chars().take(60).collect();
                return Err(Unreadable::new(format!("its line `{}` is no field", printable(&line))));
            };
            fields.push((name, value.trim().to_owned()));
        }
        Ok(Self(fields))
    }

    fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let named = move |(field, _): &&(&str, String)| field.eq_ignore_ascii_case(name);
        self.0.iter().filter(named).map(|(_, value)| value.as_str())
    }

    /// The value of a field that has to be there once.
    fn only<'s>(&'s self, name: &'s str) -> Result<&'s str, Unreadable> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err(Unreadable::new(format!("it has no field `{name}`"))),
            _ => Err(Unreadable::new(format!("it has the field `{name}` twice"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = "Metadata-Version: 2.4\nName: Jinja2\nVersion: 3.1.6\nLicense-Expression: BSD-3-Clause\n\
        License: one line\n        and another\nClassifier: License :: OSI Approved :: BSD License\n\
        Classifier: Programming Language :: Python\nRequires-Python: >=3.7\nRequires-Dist: MarkupSafe>=2.0\n\
        Requires-Dist: Babel>=2.7 ; extra == 'i18n'\nProvides-Extra: i18n\n\nName: evil\nRequires-Dist: evil\n";

    #[test]
    fn metadata() {
        let metadata = Metadata::parse(METADATA.as_bytes()).unwrap();
        assert_eq!(metadata.project.as_str(), "jinja2");
        assert_eq!(metadata.version.to_string(), "3.1.6");
        assert_eq!(metadata.licenses, ["BSD-3-Clause", "one line\nand another", "BSD License"]);
        assert_eq!(
            metadata.requires.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["markupsafe>=2.0", "babel>=2.7"]
        );
        assert!(metadata.requires_python.unwrap().contains(&"3.13.5".parse().unwrap()));
    }

    #[test]
    fn what_it_needs() {
        let metadata = Metadata::parse(METADATA.as_bytes()).unwrap();
        let needs = |python: &str, extras: &[&str]| {
            let environment = Environment::new(python.parse().unwrap());
            let extras: Vec<_> = extras.iter().map(|extra| ProjectName::new(extra).unwrap()).collect();
            assert_eq!(metadata.is_for(&environment), python != "3.6");
            metadata.needs(&environment, &extras).map(|need| need.project.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(needs("3.13.5", &[]), ["markupsafe"]);
        assert_eq!(needs("3.13.5", &["other"]), ["markupsafe"]);
        assert_eq!(needs("3.6", &["I18N", "other"]), ["markupsafe", "babel"]);
    }

    #[test]
    fn metadata_that_is_none() {
        let with = |from: &str, to: &str| {
            assert!(METADATA.contains(from));
            Metadata::parse(METADATA.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
        };
        assert!(with("Metadata-Version: 2.4", "Metadata-Version: 3.0").contains("not known"));
        assert!(with("Name: Jinja2\n", "").contains("no field `Name`"));
        assert!(with("Name: Jinja2\n", "Name: a\nname: b\n").contains("twice"));
        assert!(with("Version: 3.1.6", "Version: new").contains("no version"));
        assert!(with("MarkupSafe>=2.0", "MarkupSafe>>2.0").contains("says no versions"));
        assert!(with("Name: Jinja2", " Name: Jinja2\nx").contains("no field"));
        assert!(Metadata::parse(b"\xff").is_err());
        assert!(Metadata::parse(b" x").is_err());
    }

    #[test]
    fn about_a_wheel() {
        let text = "Wheel-Version: 1.9\nGenerator: x\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n";
        let about = About::parse(text.as_bytes()).unwrap();
        assert!(about.is_pure && about.tags == Tag::set("py2.py3-none-any").unwrap());
        assert!(About::parse(text.replace("1.9", "2.0").as_bytes()).is_err());
        assert!(About::parse(text.replace("true", "maybe").as_bytes()).is_err());
        assert!(!About::parse(text.replace("true", "False").as_bytes()).unwrap().is_pure);
    }
}
