//! Keys: a node's key is the digest of everything that can change its tree, and of nothing else.
//!
//! A key is made of an operation and the digests of the selections that it takes, in the order of
//! [`Op::selections`]. Names of nodes and recipes, origins, pools, paths of the host, users and
//! times are not in it. Because inputs go in by *content*, an input that was built anew and came
//! out the same leaves the key as it was (early cutoff).
//!
//! # Encoding (see [`crate::encode`] for the bytes)
//!
//! | operation | domain | parts, in order |
//! |---|---|---|
//! | source | `pynbox-source-v1` | text file name; digest SHA-256 |
//! | local | `pynbox-local-v1` | digest of the tree |
//! | unpack | `pynbox-unpack-v1` | digest of the archive's tree; number strip; projection, unless it takes everything |
//! | wheel | `pynbox-wheel-v1` | digest of the archive's tree; text project; text version; list of the extras' texts; list of the other projects: text project, text version; text version of Python; text site; text headers; text interpreter |
//! | patch | `pynbox-patch-v1` | digest of the base; digest of the patches |
//! | merge | `pynbox-merge-v1` | list of parts, sorted: text directory (empty: top), digest |
//! | image | `pynbox-image-v1` | list of packages' digests, sorted; list of links: text path, text target; projection |
//! | action | `pynbox-action-v1` | number contract; text target; digest of the image; list of the command's texts; list of the whole environment, sorted: text name, text value; list of inputs, sorted: text path, digest; list of outputs, sorted: text |
//! | package | `pynbox-package-v1` | text compressor; number its level; text name; text version; text target; list of texts required; parts as in merge |
//! | host program | `pynbox-host-program-v3` | text binary; list of the features' texts; text toolchain; list of the flags' texts; digest of the sources |
//!
//! The number in a domain is the version of what the operation does with the same parts: a change
//! in how this program unpacks, patches or puts together an image is a new number here.
//!
//! A projection is: list of included patterns' texts; list of excluded ones'; text of the stripped
//! prefix (empty: none).

mod identity;

use std::collections::BTreeMap;

pub use identity::{identities, listing};

use crate::encode::{Encode, Encoder, explain, hash};
use crate::node::{Op, Part};
use crate::{NodeKey, Projection, TreeDigest, contract};

/// The compressor of packages with its version: another one could write other bytes. A test of the
/// tool holds it against the library that is linked in.
pub const PACKAGE_COMPRESSOR: &str = "zstd 1.5.7";

/// The level at which it compresses.
pub const PACKAGE_COMPRESSION_LEVEL: i32 = 12;

/// What cargo is told for every host program, beside the remapping of paths.
pub const HOST_PROGRAM_FLAGS: [&str; 4] = ["build", "--release", "--locked", "--no-default-features"];

/// An operation together with the digests of its selections: all that its key is made of.
#[derive(Debug, Clone)]
pub struct KeyInputs<'a> {
    op: &'a Op,
    digests: &'a [TreeDigest],
}

impl<'a> KeyInputs<'a> {
    /// Puts them together; `digests` are those of [`Op::selections`], in that order.
    ///
    /// # Panics
    /// If their numbers differ: that is a bug of the caller.
    pub fn new(op: &'a Op, digests: &'a [TreeDigest]) -> Self {
        assert_eq!(op.selections().len(), digests.len(), "one digest a selection");
        Self { op, digests }
    }

    /// The key.
    pub fn key(&self) -> NodeKey {
        NodeKey::from_bytes(hash(self))
    }

    /// The key's parts as lines, in the order in which they are hashed; made by the code that makes
    /// the key.
    pub fn explain(&self) -> Vec<String> {
        explain(self)
    }
}

/// The whole environment of an action: the contract's fixed values and its own, which win.
pub fn environment(own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all: BTreeMap<_, _> =
        contract::environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    all.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    all
}

impl Encode for KeyInputs<'_> {
    fn domain(&self) -> &'static str {
        match self.op {
            Op::Source(_) => "pynbox-source-v1",
            Op::Local { .. } => "pynbox-local-v1",
            Op::Unpack { .. } => "pynbox-unpack-v1",
            Op::Wheel(_) => "pynbox-wheel-v1",
            Op::Patch { .. } => "pynbox-patch-v1",
            Op::Merge { .. } => "pynbox-merge-v1",
            Op::Image(_) => "pynbox-image-v1",
            Op::Action(_) => "pynbox-action-v1",
            Op::Package(_) => "pynbox-package-v1",
            Op::HostProgram(_) => "pynbox-host-program-v3",
        }
    }

    fn encode(&self, encoder: &mut dyn Encoder) {
        match self.op {
            Op::Source(source) => {
                encoder.text("file", source.file.as_str());
                encoder.digest("sha256", source.sha256.as_bytes());
            }
            Op::Local { tree } => encoder.digest("tree", tree.digest().as_bytes()),
            Op::Unpack { strip, part, .. } => {
                encoder.digest("archive", self.digests[0].as_bytes());
                encoder.number("strip", u64::from(*strip));
                if !part.is_all() {
                    encode_projection(part, encoder);
                }
            }
            Op::Wheel(wheel) => {
                encoder.digest("archive", self.digests[0].as_bytes());
                encoder.text("project", &wheel.project);
                encoder.text("version", &wheel.version);
                encode_texts("extras", "extra", &wheel.extras, encoder);
                encoder.list("beside", wheel.beside.len());
                for (project, version) in &wheel.beside {
                    encoder.text("project", project);
                    encoder.text("version", version);
                }
                encoder.text("python", &wheel.python);
                encoder.text("site", wheel.site.as_str());
                encoder.text("headers", wheel.headers.as_str());
                encoder.text("interpreter", &wheel.interpreter);
            }
            Op::Patch { .. } => {
                encoder.digest("base", self.digests[0].as_bytes());
                encoder.digest("patches", self.digests[1].as_bytes());
            }
            Op::Merge { parts } => encode_parts(parts, self.digests, encoder),
            Op::Image(image) => {
                let mut packages = self.digests.to_vec();
                packages.sort_unstable();
                encoder.list("packages", packages.len());
                for package in packages {
                    encoder.digest("package", package.as_bytes());
                }
                encoder.list("links", image.links.len());
                for (path, target) in &image.links {
                    encoder.text("link", path.as_str());
                    encoder.text("target", target);
                }
                encode_projection(&image.part, encoder);
            }
            Op::Action(action) => {
                encoder.number("executor contract", contract::VERSION);
                encoder.text("target", action.target.as_str());
                encoder.digest("image", self.digests[0].as_bytes());
                encoder.list("command", action.command.len());
                action.command.words().for_each(|word| encoder.text("argument", word));
                let fixed = contract::environment();
                let mut environment: BTreeMap<_, _> =
                    fixed.iter().map(|(name, value)| (*name, value.as_str())).collect();
                environment.extend(action.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                encoder.list("environment", environment.len());
                for (name, value) in environment {
                    encoder.text("variable", name);
                    encoder.text(name, value);
                }
                let mut inputs: Vec<_> = action
                    .inputs
                    .iter()
                    .zip(&self.digests[1..])
                    .map(|(input, digest)| (input.at.as_str(), digest))
                    .collect();
                inputs.sort_unstable();
                inputs.dedup();
                encoder.list("inputs", inputs.len());
                for (at, digest) in inputs {
                    encoder.text("input", at);
                    encoder.digest(at, digest.as_bytes());
                }
                let mut outputs: Vec<_> = action.outputs.iter().collect();
                outputs.sort_unstable();
                encode_texts("outputs", "output", outputs, encoder);
            }
            Op::Package(package) => {
                encoder.text("compressor", PACKAGE_COMPRESSOR);
                encoder.number("compression level", PACKAGE_COMPRESSION_LEVEL as u64);
                encoder.text("name", &package.name);
                encoder.text("version", &package.version);
                encoder.text("target", package.target.as_str());
                encode_texts("requires", "package", &package.requires, encoder);
                encode_parts(&package.content, self.digests, encoder);
            }
            Op::HostProgram(program) => {
                encoder.text("binary", &program.binary);
                encode_texts("features", "feature", &program.features, encoder);
                encoder.text("toolchain", &program.toolchain);
                encode_texts("flags", "flag", HOST_PROGRAM_FLAGS, encoder);
                encoder.digest("sources", self.digests[0].as_bytes());
            }
        }
    }
}

fn encode_texts<T: AsRef<str>>(
    label: &str,
    item: &str,
    texts: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    encoder: &mut dyn Encoder,
) {
    let texts = texts.into_iter();
    encoder.list(label, texts.len());
    for text in texts {
        encoder.text(item, text.as_ref());
    }
}

fn encode_parts(parts: &[Part], digests: &[TreeDigest], encoder: &mut dyn Encoder) {
    let directory = |part: &Part| part.at.as_ref().map_or(String::new(), ToString::to_string);
    let mut parts: Vec<_> = parts.iter().map(directory).zip(digests).collect();
    parts.sort_unstable();
    parts.dedup();
    encoder.list("parts", parts.len());
    for (at, digest) in parts {
        encoder.text("part", &at);
        encoder.digest(&at, digest.as_bytes());
    }
}

fn encode_projection(projection: &Projection, encoder: &mut dyn Encoder) {
    encode_texts("included", "pattern", projection.include().iter().map(crate::Glob::as_str), encoder);
    encode_texts("excluded", "pattern", projection.exclude().iter().map(crate::Glob::as_str), encoder);
    encoder.text("stripped", projection.strip().map_or("", |prefix| prefix.as_str()));
}

#[cfg(test)]
mod tests;
