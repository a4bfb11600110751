//! A bill of materials, before it is written in one of the two formats.

use std::collections::BTreeSet;

use build_graph::node::Origin;

use super::ingredients::{Ingredient, What};

/// A part of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Unique in its bill: letters, digits, `.` and `-`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version, if it has one.
    pub version: Option<String>,
    /// Its license, an SPDX expression.
    pub license: Option<String>,
    /// Its package URL (github.com/package-url/purl-spec).
    pub purl: Option<String>,
    /// A URL that it can be downloaded from.
    pub url: Option<String>,
    /// Its SHA-256.
    pub sha256: Option<String>,
    /// The digest of its tree, if it is no single file.
    pub tree: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// What a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What is described: an installation.
    Installation,
    /// A package of ours, or another result of the build.
    Package,
    /// A pinned file that packages are made of.
    Source,
    /// A patch, or other files of the project.
    File,
    /// What only helped to build.
    Tool,
}

/// How two components hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// The first needs the second to run.
    Needs,
    /// The first holds the second.
    Contains,
    /// The first was made of the second.
    MadeOf,
    /// The second helped to build the first.
    BuiltWith,
}

/// A bill of materials.
#[derive(Debug)]
pub struct Bill {
    /// What it is of.
    pub root: Component,
    /// What it consists of and was made with.
    pub components: Vec<Component>,
    /// Which component hangs together with which, by their ids.
    pub relations: BTreeSet<(String, Relation, String)>,
}

impl Bill {
    /// Begins a bill.
    pub fn of(root: Component) -> Self {
        Self { root, components: Vec::new(), relations: BTreeSet::new() }
    }

    /// Adds a component, unless it is there.
    pub fn add(&mut self, component: Component) {
        if self.root.id != component.id && !self.components.iter().any(|other| other.id == component.id) {
            self.components.push(component);
        }
    }

    /// Adds what went into a component.
    pub fn add_ingredients(&mut self, of: &str, ingredients: &[Ingredient]) {
        for ingredient in ingredients {
            let component = component(ingredient);
            let relation = if ingredient.is_tool { Relation::BuiltWith } else { Relation::MadeOf };
            self.relations.insert((of.to_owned(), relation, component.id.clone()));
            match self.components.iter_mut().find(|other| other.id == component.id) {
                // A tool of one may be a part of another.
                Some(other) if other.kind == Kind::Tool => *other = component,
                Some(_) => {}
                None => self.components.push(component),
            }
        }
    }

    /// The digest of all that it says, for ids of the document.
    pub fn digest(&self) -> blake3::Hash {
        blake3::hash(format!("{self:?}").as_bytes())
    }
}

fn component(ingredient: &Ingredient) -> Component {
    let own = match &ingredient.what {
        What::Source(source) => match source.origins.first() {
            Some(Origin::Debian { path }) => debian(path.file_name()),
            Some(Origin::Pypi { project, file }) => pypi(project, file),
            Some(Origin::Url { .. }) | None => None,
        },
        What::Crate(one) => Some((one.name.clone(), one.version.clone(), one.purl())),
        _ => None,
    };
    let (name, version, purl) = match own {
        Some((name, version, purl)) => (name, Some(version), Some(purl)),
        None => (ingredient.name.clone(), ingredient.version.clone(), None),
    };
    let kind = match (&ingredient.what, ingredient.is_tool) {
        (_, true) => Kind::Tool,
        (What::Source(_) | What::Crate(_), false) => Kind::Source,
        _ => Kind::File,
    };
    let id = match &ingredient.what {
        What::Patch { .. } => format!("{}-{}", ingredient.node, ingredient.name),
        // One crate of several programs is one component.
        What::Crate(one) => one.purl(),
        What::Source(_) | What::Files(_) => ingredient.node.clone(),
    };
    Component {
        id: id_of(&id),
        name,
        // A patch and a file of the project have no version of their own.
        version: version.filter(|_| matches!(ingredient.what, What::Source(_) | What::Crate(_))),
        license: ingredient.license.clone(),
        purl,
        url: ingredient.what.uri().filter(|uri| uri.starts_with("http")),
        sha256: ingredient.what.sha256(),
        tree: match &ingredient.what {
            What::Files(tree) => Some(tree.to_string()),
            _ => None,
        },
        kind,
    }
}

/// An id of a text: what can't stand in one is replaced, and told apart by a digest.
pub fn id_of(text: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '.' || char == '-';
    if text.chars().all(plain) {
        return text.to_owned();
    }
    let replaced: String = text.chars().map(|char| if plain(char) { char } else { '-' }).collect();
    format!("{replaced}-{}", &blake3::hash(text.as_bytes()).to_hex()[..8])
}

/// The name, version and package URL that the name of a file in Debian's pool tells:
/// `NAME_VERSION_ARCHITECTURE.deb`, `NAME_VERSION.orig.tar.xz`.
fn debian(file: &str) -> Option<(String, String, String)> {
    if let Some(file) = file.strip_suffix(".deb") {
        let mut parts = file.splitn(3, '_');
        let (name, version, architecture) = (parts.next()?, parts.next()?, parts.next()?);
        let version = version.replace("%3a", ":");
        let purl = format!("pkg:deb/debian/{}@{}?arch={architecture}", encoded(name), encoded(&version));
        return Some((name.to_owned(), version, purl));
    }
    let (name, rest) = file.split_once('_')?;
    let (version, _) = rest.split_once(".orig").or_else(|| rest.split_once(".tar"))?;
    let purl = format!("pkg:deb/debian/{}@{}?arch=source", encoded(name), encoded(version));
    Some((name.to_owned(), version.to_owned(), purl))
}

fn pypi(project: &str, file: &str) -> Option<(String, String, String)> {
    let rest = file.get(project.len()..)?.strip_prefix('-')?;
    let version = [".tar.gz", ".zip", ".tar.bz2"].iter().find_map(|suffix| rest.strip_suffix(suffix));
    let version = version.or_else(|| rest.split('-').next())?;
    let normal = project.to_lowercase().replace(['_', '.'], "-");
    Some((project.to_owned(), version.to_owned(), format!("pkg:pypi/{}@{}", encoded(&normal), encoded(version))))
}

/// Percent-encodes a part of a package URL.
pub fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_tell_packages() {
        let purl = |found: Option<(String, String, String)>| found.map(|(.., purl)| purl);
        for (file, expected) in [
            ("clang-19_19.1.7-3~deb12u1_amd64.deb", "pkg:deb/debian/clang-19@19.1.7-3~deb12u1?arch=amd64"),
            ("libstdc++6_12.2.0-14+deb12u1_amd64.deb", "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64"),
            ("make_1%3a4.3-4_amd64.deb", "pkg:deb/debian/make@1%3A4.3-4?arch=amd64"),
            ("zlib_1.2.13.dfsg.orig.tar.bz2", "pkg:deb/debian/zlib@1.2.13.dfsg?arch=source"),
        ] {
            assert_eq!(purl(debian(file)).as_deref(), Some(expected));
        }
        assert_eq!(purl(pypi("lxml", "lxml-4.9.4.tar.gz")).as_deref(), Some("pkg:pypi/lxml@4.9.4"));
        assert_eq!(purl(pypi("a_b", "a_b-1.0-py3-none-any.whl")).as_deref(), Some("pkg:pypi/a-b@1.0"));
        assert_eq!(debian("plain"), None);
        assert_eq!(pypi("lxml", "x"), None);
    }

    #[test]
    fn ids_are_told_apart() {
        assert_eq!(id_of("a.b-c"), "a.b-c");
        assert_ne!(id_of("a/b"), id_of("a_b"));
        assert!(id_of("a/b+c").chars().all(|char| char.is_ascii_alphanumeric() || "-.".contains(char)));
    }
}
