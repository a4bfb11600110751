//! One operation on trees that are there.

use std::fs::File;
use std::sync::Arc;

use build_graph::node::{Action, Node, NodeName, Op, Part};
use build_graph::{Entry, RelPath, Tree};

use super::action::ActionRun;
use super::action_runner::ActionRunner;
use super::blobs::StoreBlobs;
use super::plan::OutDir;
use super::selections::Selected;
use super::{BuildError, action, host_program};
use crate::archive::Options;
use crate::executor::ActionLimits;
use crate::install::package;
use crate::remote::caches::Caches;
use crate::report::Reporter;
use crate::source::{Fetcher, Job};
use crate::store::{Origin, Scratch, Store};
use crate::{image, patch};

/// What the evaluation of a node needs from outside of the graph.
pub struct BuildContext<'a> {
    /// Where trees are.
    pub store: &'a Store,
    /// How sources are had.
    pub fetch: &'a Fetcher,
    /// Where actions run.
    pub runner: &'a dyn ActionRunner,
    /// The name of the engine where actions are to run, if one is wanted.
    pub engine: Option<&'a str>,
    /// What one action may take.
    pub limits: ActionLimits,
    /// Where failed actions are kept.
    pub out: Option<&'a OutDir>,
    /// Who else may have results.
    pub caches: &'a Caches,
    /// Who is told what the user should know.
    pub reporter: &'a dyn Reporter,
}

/// What came of an operation.
#[derive(Debug)]
pub struct Evaluated {
    /// The tree. Its bytes are in the store; nothing is recorded.
    pub tree: Tree,
    /// Where it was computed.
    pub origin: Origin,
    /// What the action left, its log among it; `None` for operations in process.
    pub left: Option<Scratch>,
}

/// Makes a node's tree of its selected inputs, which are in the order of [`Op::selections`] and
/// whose bytes are all in the store; those of an action's may be in checkouts alone.
///
/// # Errors
/// [`BuildError`], whatever the operation is.
pub fn evaluate(context: &BuildContext<'_>, node: &Node, inputs: &[Selected]) -> Result<Evaluated, BuildError> {
    let store = context.store;
    let input = |at: usize| inputs[at].present(store);
    let all = || inputs.iter().map(|input| input.present(store)).collect::<Result<Vec<_>, _>>();
    let tree = match &node.op {
        Op::Action(description) => return act(context, node, description, inputs),
        Op::Source(pin) => {
            let scratch = store.scratch()?;
            let path = scratch.path().join("file");
            let job = Job { name: source_name(&node.name).to_owned(), source: pin, dest: path.clone() };
            context.fetch.fetch(&job, context.reporter)?;
            let entry = store.put_file(&path, false)?;
            single(pin.file.clone(), entry)
        }
        Op::Local { tree } => tree.clone(),
        Op::Unpack { archive, strip, part } => {
            let stored = |path: RelPath| part.may_take(path.as_str()).then_some(path);
            let options = Options { strip: *strip, place: Some(&stored), ..Options::default() };
            let tree = crate::archive::unpack(open_single(store, &*input(0)?)?, &options, &StoreBlobs(store))?;
            part.apply(&tree).map_err(|nothing| BuildError::Selection {
                tree: archive.clone(),
                declared_at: node.declared_at.as_ref().map(ToString::to_string),
                nothing,
            })?
        }
        Op::Wheel(wheel) => super::wheel::unpack(store, wheel, &*input(0)?)?,
        Op::Patch { .. } => {
            let mut patches = Vec::new();
            for (path, entry) in input(1)?.iter() {
                patches.push((path.clone(), store.read_blob(entry)?));
            }
            patch::apply(&*input(0)?, &patches, &StoreBlobs(store))?
        }
        Op::Merge { parts } => merge(parts, &all()?)?,
        Op::Image(image) => {
            let package = |(tree, name): (&Arc<Tree>, &NodeName)| {
                Ok::<_, BuildError>(image::PackageFile { name: name.to_string(), file: open_single(store, tree)? })
            };
            let packages = all()?.iter().zip(&image.packages).map(package).collect::<Result<Vec<_>, _>>()?;
            image::build_image(&packages, &image.links, &image.part, &StoreBlobs(store))?
        }
        Op::Package(description) => {
            let content = merge(&description.content, &all()?)?;
            if content.is_empty() {
                return Err(BuildError::Input(
                    "the package would install nothing: its parts are empty; mend what the recipe selects".to_owned(),
                ));
            }
            let scratch = store.scratch()?;
            let path = scratch.path().join("package");
            let file = File::create(&path).map_err(BuildError::io("create", &path))?;
            package::write(description, &content, store, file)?;
            let entry = store.put_file(&path, false)?;
            let name =
                RelPath::new(package::file_name(description)).map_err(|error| BuildError::Input(error.to_string()))?;
            single(name, entry)
        }
        Op::HostProgram(program) => {
            if let Some(engine) = context.engine {
                context.reporter.note(&format!(
                    "`{}` is built here, not on the engine `{engine}`: it needs this machine's compilers",
                    node.name
                ));
            }
            host_program::build(store, &node.name, program, &*input(0)?, context.fetch.is_offline())?
        }
    };
    Ok(Evaluated { tree, origin: Origin::Here, left: None })
}

/// One action, where actions run.
fn act(
    context: &BuildContext<'_>,
    node: &Node,
    description: &Action,
    inputs: &[Selected],
) -> Result<Evaluated, BuildError> {
    let (image, inputs) =
        inputs.split_first().ok_or_else(|| BuildError::Input("the action has no image".to_owned()))?;
    let (inputs, limits) = (inputs.to_vec(), context.limits);
    let run = ActionRun { name: &node.name, action: description, image: image.digest, inputs, limits };
    action::run(context.store, context.runner, context.out, &run)
}

/// The tree of one file.
fn single(path: RelPath, entry: Entry) -> Tree {
    let mut tree = Tree::new();
    // The first entry of a tree can't conflict.
    let _ = tree.insert(path, entry);
    tree
}

/// The one file of a tree, opened.
///
/// # Errors
/// [`BuildError::Input`] if the tree is not one file.
pub fn open_single(store: &Store, tree: &Tree) -> Result<File, BuildError> {
    let mut entries = tree.iter();
    let (Some((_, entry @ Entry::File { .. })), None) = (entries.next(), entries.next()) else {
        return Err(BuildError::Input(format!("expected a tree of one file, got {} entries", tree.len())));
    };
    Ok(store.open_blob(entry)?)
}

fn merge(parts: &[Part], inputs: &[Arc<Tree>]) -> Result<Tree, BuildError> {
    let mut merged = Tree::new();
    for (part, tree) in parts.iter().zip(inputs) {
        match &part.at {
            Some(directory) => merged.merge(&tree.below(directory))?,
            None => merged.merge(tree)?,
        }
    }
    Ok(merged)
}

/// The name by which options and messages call the source of a node.
pub fn source_name(node: &NodeName) -> &str {
    let name = node.as_str();
    name.strip_prefix("source/").and_then(|name| name.strip_suffix("/archive")).unwrap_or(name)
}

/// Whether a node's bytes are worth a place on a remote. What is made in process of the bytes of
/// other nodes is not: there, only the tree is kept, from which keys follow.
pub fn is_carried(op: &Op) -> bool {
    matches!(op, Op::Source(_) | Op::Action(_) | Op::Package(_) | Op::HostProgram(_))
}
