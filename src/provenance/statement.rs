//! Provenance as an in-toto Statement v1 with the predicate SLSA Provenance v1.
//!
//! Sources: in-toto Attestation Framework, `spec/v1/statement.md`; slsa.dev/spec/v1.0/provenance.
//! The same build gives the same bytes: what differs from run to run is in it only if it is given.

use std::collections::BTreeMap;

use build_graph::node::Op;
use serde_json::{Map, Value, json};

use super::ingredients::{Ingredient, What};
use super::{TOOL, VERSION};

/// What the parameters of a build of this program mean. `docs/guide/provenance.md` has them.
const BUILD_TYPE: &str = "urn:pynbox-build:build-type:1";
/// Who builds, unless somebody says.
pub const BUILDER: &str = "urn:pynbox-build:builder:local";

/// What a statement is about: a file, or what a package installs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Its path, or the package.
    pub name: String,
    /// Its digests, by the names of their algorithms.
    pub digests: BTreeMap<&'static str, String>,
}

/// How the subjects were built.
#[derive(Debug, Default)]
pub struct Build {
    /// What the caller chose: the node or the packages, the target, overrides.
    pub external: Map<String, Value>,
    /// What follows from that: keys, commands.
    pub internal: Map<String, Value>,
    /// Who built: a URI.
    pub builder: Option<String>,
    /// What says which run it was, if somebody asks for that.
    pub invocation: Option<String>,
    /// When it ended, as RFC 3339, if somebody asks for that.
    pub finished: Option<String>,
}

/// The parameters of one node that `Build::internal` has.
pub fn parameters(op: &Op, key: Option<String>) -> Map<String, Value> {
    let mut parameters = Map::new();
    parameters.insert("operation".to_owned(), op.verb().into());
    if let Some(key) = key {
        parameters.insert("key".to_owned(), key.into());
    }
    match op {
        Op::Action(action) => {
            parameters.insert("command".to_owned(), json!(action.command));
            parameters.insert("environment".to_owned(), json!(action.environment));
            parameters.insert("image".to_owned(), action.image.node.as_str().into());
        }
        Op::Wheel(wheel) => {
            parameters.insert("project".to_owned(), wheel.project.clone().into());
            parameters.insert("extras".to_owned(), json!(wheel.extras));
            parameters.insert("python".to_owned(), wheel.python.clone().into());
        }
        Op::HostProgram(program) => {
            parameters.insert("binary".to_owned(), program.binary.clone().into());
            parameters.insert("features".to_owned(), json!(program.features));
            parameters.insert("toolchain".to_owned(), program.toolchain.clone().into());
        }
        _ => {}
    }
    parameters
}

/// The statement.
pub fn statement(subjects: &[Subject], ingredients: &[Ingredient], build: Build) -> Value {
    let subject = |subject: &Subject| json!({"name": subject.name, "digest": subject.digests});
    let mut metadata = Map::new();
    if let Some(invocation) = build.invocation {
        metadata.insert("invocationId".to_owned(), invocation.into());
    }
    if let Some(finished) = build.finished {
        metadata.insert("finishedOn".to_owned(), finished.into());
    }
    let builder = build.builder.unwrap_or_else(|| BUILDER.to_owned());
    let mut run = json!({"builder": {"id": builder, "version": {TOOL: VERSION}}});
    if !metadata.is_empty() {
        run["metadata"] = metadata.into();
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.iter().map(subject).collect::<Vec<_>>(),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": build.external,
                "internalParameters": build.internal,
                "resolvedDependencies": ingredients.iter().map(dependency).collect::<Vec<_>>(),
            },
            "runDetails": run,
        },
    })
}

fn dependency(ingredient: &Ingredient) -> Value {
    let kind = match (&ingredient.what, ingredient.is_tool) {
        (_, true) => "tool",
        (What::Source(_), false) => "source",
        (What::Patch { .. }, false) => "patch",
        (What::Files(_), false) => "files",
        (What::Crate(_), false) => "crate",
    };
    let mut dependency = json!({
        "name": ingredient.name,
        "digest": ingredient.what.digests(),
        "annotations": {"kind": kind, "node": ingredient.node},
    });
    if let Some(uri) = ingredient.what.uri() {
        dependency["uri"] = uri.into();
    }
    dependency
}
