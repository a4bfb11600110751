//! The index of a repository: everything that it has, in one signed document.
//!
//! One document instead of The Update Framework's snapshot, targets and timestamp: a repository of
//! ours has tens of packages, and whoever can sign one of these may sign all of them.

use build_graph::node::Target;
use build_graph::untrusted::{is_printable, printable};
use build_graph::{BlobDigest, NodeKey, Sha256, TreeDigest};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::install::package::is_package_name;
use crate::install::version::compare;
use crate::repository::statement::MAX_STATEMENT;

/// The type of the signed document.
pub const KIND: &str = "application/vnd.pynbox.index+json";
/// The version of the format.
pub const FORMAT: u32 = 1;
/// The longest index that is read, signatures and encoding included.
pub const MAX_INDEX: u64 = 16 << 20;
/// No index is of use for longer, in days.
pub const MAX_DAYS: u64 = 3650;
/// The largest object of a repository.
const MAX_OBJECT: u64 = 16 << 30;

/// Everything that a repository has. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Index {
    /// The version of the format: 1.
    pub format: u32,
    /// Rises by one with each index that is published. It is no greater than the time of the
    /// signature: whoever has stolen a key can't use up the numbers of those who come after.
    pub number: u64,
    /// The number of the list of keys at that time.
    pub keys: u64,
    /// When it was signed.
    pub signed_at: u64,
    /// When it stops being of use, unless another one has taken its place.
    pub expires: u64,
    /// The packages, sorted by target, name and version; no two of them have all three in common.
    pub packages: Vec<PackageEntry>,
    /// Compiled code of the packages.
    pub code: Vec<CodeEntry>,
    /// Programs that `install.sh` fetches.
    pub tools: Vec<ToolEntry>,
}

/// A package in one version for one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PackageEntry {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub target: Target,
    /// The packages that it needs.
    pub requires: Vec<String>,
    /// The archive.
    pub object: Object,
    /// What it installs.
    pub content: TreeDigest,
    /// Bytes of all files that it installs.
    pub installed_size: u64,
    /// Where it came from.
    pub provenance: Provenance,
    /// When it was published first.
    pub published: u64,
    /// Why it is withdrawn, if it is: then it is only chosen where it is asked for in this version,
    /// or installed already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
}

/// Where a package came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Provenance {
    /// The node of the build graph.
    pub node: String,
    /// Its key: whoever has the same recipes and pins gets the same key, and should get the same
    /// bytes.
    pub key: NodeKey,
    /// A statement about the build: an in-toto statement in a DSSE envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Object>,
}

/// An object of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// The BLAKE3 of its bytes.
    pub digest: BlobDigest,
    /// How many bytes these are.
    pub size: u64,
}

/// Compiled code of a package: native code, for one loader on one kind of processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CodeEntry {
    /// The archive of the package whose programs and libraries were compiled.
    pub package: BlobDigest,
    /// The archive of the package with the loader that compiled them.
    pub loader: BlobDigest,
    /// The processor: its architecture, then the features that code may depend on.
    pub processor: String,
    /// The archive.
    pub object: Object,
    /// Bytes of the files in it.
    pub unpacked: u64,
}

/// A program, as an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ToolEntry {
    /// Its name: `pynbox-build` or `loader`.
    pub name: String,
    /// What it runs on, such as `x86_64-linux`.
    pub platform: String,
    /// The archive.
    pub object: Object,
    /// The SHA-256 of the archive, for `sha256sum`.
    pub sha256: Sha256,
}

/// A document is no index.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("it is no index of packages: {}", printable(.0))]
pub struct IndexError(pub String);

impl Index {
    /// An empty index, which is valid for no time.
    pub fn empty() -> Self {
        let (packages, code, tools) = (Vec::new(), Vec::new(), Vec::new());
        Self { format: FORMAT, number: 0, keys: 0, signed_at: 0, expires: 0, packages, code, tools }
    }

    /// Reads the document of a verified envelope.
    ///
    /// # Errors
    /// [`IndexError`] if it is no index, one of a newer format, or one that contradicts itself.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IndexError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let wrong = |problem: String| IndexError(problem);
        let head: Head = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if head.format != FORMAT {
            return Err(wrong(format!("its format is {}, this program reads {FORMAT}", head.format)));
        }
        let index: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        index.check().map_err(wrong)?;
        Ok(index)
    }

    /// The document: the same bytes for the same index.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts and numbers alone: nothing of it can fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn check(&self) -> Result<(), String> {
        if self.number > self.signed_at {
            return Err(format!("its number is {}, and nobody can have published so often", self.number));
        }
        if self.expires.saturating_sub(self.signed_at) > MAX_DAYS * 24 * 60 * 60 {
            return Err(format!("it would be of use for more than {MAX_DAYS} days"));
        }
        for package in &self.packages {
            if !is_package_name(&package.name) {
                return Err(format!("`{}` can't name a package", package.name));
            }
            let texts = [&package.version, &package.provenance.node];
            let texts = texts.into_iter().chain(&package.requires).chain(&package.withdrawn).map(String::as_str);
            if let Some(text) = texts.chain([package.target.as_str()]).find(|text| !is_printable(text)) {
                return Err(format!("`{text}` holds characters that can't be printed"));
            }
        }
        if let Some(pair) = self.packages.windows(2).find(|pair| !pair[0].is_before(&pair[1])) {
            return Err(format!("`{}={}` is not in its place", pair[1].name, pair[1].version));
        }
        let statements = self.packages.iter().filter_map(|package| package.provenance.statement);
        if let Some(long) = statements.clone().find(|one| one.size > MAX_STATEMENT) {
            return Err(format!("the statement `{}` has more than {MAX_STATEMENT} bytes", long.digest));
        }
        let packages = self.packages.iter().map(|package| package.object);
        let objects = packages.chain(self.code.iter().map(|code| code.object));
        if let Some(large) = objects.chain(self.tools.iter().map(|tool| tool.object)).find(|one| one.size > MAX_OBJECT)
        {
            return Err(format!("`{}` has more than {MAX_OBJECT} bytes", large.digest));
        }
        if let Some(large) = self.code.iter().find(|code| code.unpacked > MAX_OBJECT) {
            return Err(format!("`{}` unpacks to more than {MAX_OBJECT} bytes", large.object.digest));
        }
        let words = self.code.iter().map(|code| &code.processor);
        match words.chain(self.tools.iter().flat_map(|tool| [&tool.name, &tool.platform])).find(|w| !is_printable(w)) {
            Some(text) => Err(format!("`{text}` holds characters that can't be printed")),
            None => Ok(()),
        }
    }

    /// Brings the entries into their order.
    pub fn sort(&mut self) {
        self.packages.sort_by(|a, b| a.identity().cmp(&b.identity()));
        self.code.sort_by(|a, b| a.identity().cmp(&b.identity()));
        self.tools.sort_by(|a, b| (&a.name, &a.platform).cmp(&(&b.name, &b.platform)));
    }

    /// The packages for a target, sorted by name and, as text, by version.
    pub fn packages_for(&self, target: &Target) -> impl Iterator<Item = &PackageEntry> {
        self.packages.iter().filter(move |package| package.target == *target)
    }

    /// The targets that there are packages for.
    pub fn targets(&self) -> Vec<&Target> {
        let mut targets: Vec<_> = self.packages.iter().map(|package| &package.target).collect();
        targets.dedup();
        targets
    }

    /// A package for a target: in this version, or in the latest one that is not withdrawn.
    pub fn find(&self, target: &Target, name: &str, version: Option<&str>) -> Option<&PackageEntry> {
        self.packages_for(target)
            .filter(|package| package.name == name)
            .filter(|package| match version {
                Some(version) => package.version == version,
                None => package.withdrawn.is_none(),
            })
            .max_by(|a, b| compare(&a.version, &b.version))
    }

    /// The compiled code of a package, by this loader for this processor.
    pub fn code(&self, package: BlobDigest, loader: BlobDigest, processor: &str) -> Option<&CodeEntry> {
        let is_wanted =
            |code: &&CodeEntry| code.package == package && code.loader == loader && code.processor == processor;
        self.code.iter().find(is_wanted)
    }
}

impl PackageEntry {
    fn identity(&self) -> (&Target, &str, &str) {
        (&self.target, &self.name, &self.version)
    }

    fn is_before(&self, other: &Self) -> bool {
        self.identity() < other.identity()
    }

    /// Whether two entries are one version of one package.
    pub fn is_same_version(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }

    /// The name of the archive in the repository.
    pub fn object_name(&self) -> String {
        format!("packages/{}.tar.zst", self.object.digest)
    }
}

impl Provenance {
    /// The name of a statement in the repository.
    pub fn object_name(statement: Object) -> String {
        format!("provenance/{}.json", statement.digest)
    }
}

impl CodeEntry {
    fn identity(&self) -> (BlobDigest, BlobDigest, &str) {
        (self.package, self.loader, &self.processor)
    }

    /// Whether two entries are code of one package for one loader and processor.
    pub fn is_same(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }

    /// The name of the archive in the repository.
    pub fn object_name(&self) -> String {
        format!("code/{}.tar.zst", self.object.digest)
    }
}

impl ToolEntry {
    /// The name of the archive in the repository.
    pub fn object_name(&self) -> String {
        format!("tools/{}.tar.gz", self.object.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> PackageEntry {
        PackageEntry {
            name: name.to_owned(),
            version: version.to_owned(),
            target: Target("wasm32-wasi".into()),
            requires: vec!["sandbox_inner".to_owned()],
            object: Object { digest: BlobDigest::from_bytes([1; 32]), size: 1234 },
            content: TreeDigest::from_bytes([2; 32]),
            installed_size: 5678,
            provenance: Provenance {
                node: format!("wasm32-wasi/{name}/package"),
                key: NodeKey::from_bytes([3; 32]),
                statement: None,
            },
            published: 1_000_000_000,
            withdrawn: None,
        }
    }

    fn index() -> Index {
        let mut index = Index {
            number: 7,
            keys: 2,
            signed_at: 1_000_000_000,
            expires: 1_007_776_000,
            packages: vec![package("zlib", "1.2.13"), package("zlib", "1.10"), package("lxml", "4.9.4")],
            code: vec![CodeEntry {
                package: BlobDigest::from_bytes([1; 32]),
                loader: BlobDigest::from_bytes([4; 32]),
                processor: "x86_64 avx avx2".to_owned(),
                object: Object { digest: BlobDigest::from_bytes([5; 32]), size: 10 },
                unpacked: 20,
            }],
            tools: vec![ToolEntry {
                name: "loader".to_owned(),
                platform: "x86_64-linux".to_owned(),
                object: Object { digest: BlobDigest::from_bytes([6; 32]), size: 30 },
                sha256: Sha256::from_bytes([7; 32]),
            }],
            ..Index::empty()
        };
        index.sort();
        index
    }

    /// A change of these bytes needs a new [`FORMAT`].
    #[test]
    fn the_bytes_are_golden() {
        let bytes = index().to_bytes();
        insta::assert_snapshot!(String::from_utf8_lossy(&bytes));
        assert_eq!(Index::from_bytes(&bytes).unwrap(), index());
    }

    #[test]
    fn the_latest_version_is_found() {
        let (index, target) = (index(), Target("wasm32-wasi".into()));
        assert_eq!(index.find(&target, "zlib", None).unwrap().version, "1.10");
        assert_eq!(index.find(&target, "zlib", Some("1.2.13")).unwrap().version, "1.2.13");
        assert!(index.find(&target, "zlib", Some("1.3")).is_none());
        assert!(index.find(&Target("x86_64-nacl".into()), "zlib", None).is_none());
    }

    #[test]
    fn what_is_withdrawn_is_found_by_its_version_alone() {
        let (mut index, target) = (index(), Target("wasm32-wasi".into()));
        index.packages[1].withdrawn = Some("it loses data".to_owned());
        let index = Index::from_bytes(&index.to_bytes()).unwrap();
        assert_eq!(index.find(&target, "zlib", None).unwrap().version, "1.2.13");
        assert!(index.find(&target, "zlib", Some("1.10")).unwrap().withdrawn.is_some());
    }

    #[test]
    fn an_index_that_contradicts_itself_is_refused() {
        let refused = |change: &dyn Fn(&mut Index)| {
            let mut index = index();
            change(&mut index);
            Index::from_bytes(&index.to_bytes()).unwrap_err().0
        };
        assert!(refused(&|index| index.format = 2).contains("its format is 2"));
        assert!(refused(&|index| index.packages.push(package("zlib", "1.2.13"))).contains("`zlib=1.2.13`"));
        assert!(refused(&|index| index.packages.reverse()).contains("not in its place"));
        assert!(refused(&|index| index.packages[0].name = "../../x".to_owned()).contains("can't name a package"));
        assert!(refused(&|index| index.packages[0].version = "1\u{1b}[2J".to_owned()).contains("can't be printed"));
        assert!(refused(&|index| index.packages[0].object.size = u64::MAX).contains("more than"));
        assert!(refused(&|index| index.code[0].unpacked = u64::MAX).contains("unpacks to more than"));
        let statement = Object { digest: BlobDigest::from_bytes([1; 32]), size: MAX_STATEMENT + 1 };
        assert!(refused(&|index| index.packages[0].provenance.statement = Some(statement)).contains("the statement"));
        assert!(refused(&|index| index.packages[0].withdrawn = Some("\u{1b}".to_owned())).contains("can't be printed"));
        assert!(refused(&|index| index.number = index.signed_at + 1).contains("so often"));
        assert!(refused(&|index| index.expires = u64::MAX).contains("3650 days"));
        assert!(refused(&|index| index.code[0].processor = "\u{202e}".to_owned()).contains("can't be printed"));
        assert!(Index::from_bytes(b"{\"format\":1}").is_err() && Index::from_bytes(b"<html>").is_err());
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let text = String::from_utf8(index().to_bytes()).unwrap();
        let more = text.replacen("\"number\":7", "\"number\":7,\"yanked\":[]", 1);
        assert!(Index::from_bytes(more.as_bytes()).unwrap_err().0.contains("yanked"));
    }
}
