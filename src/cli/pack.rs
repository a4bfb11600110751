//! `pynbox-build cache export|import FILE`: what the current graph needs of the store, as one file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use build_graph::NodeKey;
use build_graph::untrusted::printable_path;
use clap::Args;
use indicatif::HumanBytes;

use super::cache_answers::{Exported, Imported};
use super::cache_remote::demand_known;
use super::json::JsonOption;
use super::{CommandError, Session};
use crate::build::BuildError;
use crate::build::builder::Stamps;
use crate::build::reachable::Reachable;
use crate::called::called;
use crate::regular;
use crate::remote::envelope::SignedEnvelope;
use crate::remote::pack::{self, PackError};
use crate::remote::trust::Trust;
use crate::store::Origin;

/// Options of `cache export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file; an older one is replaced
    file: PathBuf,
    /// What this target needs, instead of the default one
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Only what nodes need whose names begin so
    #[arg(value_name = "NODE", conflicts_with = "target")]
    nodes: Vec<String>,
    #[command(flatten)]
    json: JsonOption,
}

/// Options of `cache import`.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file
    file: PathBuf,
    /// Believe results that nobody signed: only for a file that nobody else could have written
    #[arg(long)]
    unsigned: bool,
    #[command(flatten)]
    json: JsonOption,
}

pub(super) fn export(session: &Session, options: &Export) -> Result<(), CommandError> {
    let workplace = session.workplace()?;
    let (project, store, plan) = (&workplace.project, &workplace.store, &workplace.plan);
    let target = session.target(project, options.target.as_deref())?;
    let begins = if options.nodes.is_empty() { vec![format!("{target}/")] } else { options.nodes.clone() };
    demand_known(plan, &begins)?;
    let reachable = Reachable::of(plan, store, |name| begins.iter().any(|begin| name.starts_with(begin.as_str())))?;
    if let [first, ..] = &reachable.unknown[..] {
        let count = reachable.unknown.len();
        return Err(CommandError::input(format!("`{first}` and what needs it are not built yet ({count} nodes)"))
            .hint(format!("build first: `{} gen && ninja`", called())));
    }
    // Of what a remote had when `gen` asked, the store has the trees alone; of what was lost, not
    // even all of these.
    let builder = workplace.builder(Stamps::Old);
    for (name, key) in &reachable.nodes {
        if store.whole_result(*key)?.is_none() {
            builder.obtain(name)?;
        }
    }
    let keys: BTreeSet<NodeKey> = reachable.keys.into_iter().collect();
    let file = std::path::absolute(&options.file).map_err(BuildError::io("find", &options.file))?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let io = |doing| CommandError::named(doing, &options.file);
    let temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(folder).map_err(io("write"))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let whole = temporary.as_file().try_clone().map_err(io("write"))?;
    let trust = session.trust(project)?;
    let amount =
        pack::write(store, &keys, &trust, now, whole).map_err(|error| failed("write", &options.file, error))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    temporary.as_file().set_permissions(mode).map_err(io("write"))?;
    let length = temporary.as_file().metadata().map_err(io("look at"))?.len();
    temporary.persist(&file).map_err(|error| io("write")(error.error))?;
    outln!(
        "{} results with {} files ({}) are in `{}` ({})",
        amount.results,
        amount.blobs,
        HumanBytes(amount.bytes),
        printable_path(&options.file),
        HumanBytes(length)
    );
    if amount.unsigned > 0 {
        outln!("{} of them are not signed: who imports them has to say `--unsigned`", amount.unsigned);
    }
    options.json.answer(|| Exported::of(options.file.to_string_lossy().into_owned(), length, amount))
}

pub(super) fn import(session: &Session, options: &Import) -> Result<(), CommandError> {
    let project = session.project()?;
    let store = session.store_of(&project)?;
    let file = regular::open(&options.file).map_err(CommandError::named("open", &options.file))?;
    let trust = Trust::new(&project.settings.trust, None)?;
    let root = project.root.to_string_lossy().into_owned();
    let mut accept = |signed: &SignedEnvelope| {
        let judged =
            trust.judge(signed.envelope.key, signed, options.unsigned).map_err(|distrust| distrust.to_string());
        // What nobody vouches for is not signed on by this machine either.
        judged.map(|vouched| {
            let signer = signed.signer().map(|id| id.as_str().to_owned());
            Origin::Pack {
                signed: vouched,
                engine: signed.envelope.engine.clone(),
                signed_at: signer.as_ref().map(|_| signed.envelope.signed_at),
                signer,
                project: (!vouched).then(|| root.clone()),
            }
        })
    };
    let (taken, problem) =
        pack::read(&store, file, &mut accept).map_err(|error| failed("read", &options.file, error))?;
    outln!(
        "{} results with {} files ({}) are in the store",
        taken.amount.results,
        taken.amount.blobs,
        HumanBytes(taken.amount.bytes)
    );
    for (key, here, there) in &taken.contradicted {
        outln!("the result {key} is {here} here and {there} in the pack; the one here stays");
    }
    options.json.answer(|| Imported::of(&taken))?;
    if let Some(problem) = problem {
        return Err(failed("read", &options.file, problem).hint("get it anew; what arrived whole is in the store"));
    }
    if let [key, ..] = &taken.incomplete[..] {
        return Err(CommandError::input(format!(
            "{} results of `{}` are not whole, such as {key}: files of them are not in it",
            taken.incomplete.len(),
            printable_path(&options.file)
        ))
        .hint("get it anew; what is whole is in the store"));
    }
    if let [(key, why), ..] = &taken.refused[..] {
        return Err(CommandError::input(format!(
            "{} results of `{}` are not believed; the first is {key}: {why}",
            taken.refused.len(),
            printable_path(&options.file)
        ))
        .hint("say `--unsigned` if nobody else could have written this file"));
    }
    Ok(())
}

fn failed(doing: &'static str, file: &Path, error: PackError) -> CommandError {
    match error {
        PackError::Store(error) => error.into(),
        PackError::Io(error) => CommandError::named(doing, file)(error),
        error => CommandError::input(format!("`{}`: {error}", printable_path(&file))),
    }
}
