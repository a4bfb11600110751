//! What ninja is told, and what it can be told: the build file, the commands in it, and the options
//! that they repeat.

use std::fs;
use std::io::{self, BufWriter};
use std::path::Path;
use std::time::Duration;

use build_graph::ninja::{NinjaSettings, Pool};
use build_graph::node::Target;
use build_graph::untrusted::{printable, printable_path};

use super::left::touch;
use super::{BUILD_FILE, Generation, IF_CHANGED};
use crate::build::BuildError;
use crate::build::plan::{self, PlanId};
use crate::called::quoted;
use crate::cli::{CommandError, Session};
use crate::project::Project;
use crate::store::Store;

impl Generation<'_> {
    pub(super) fn ninja_settings(&self, plan: &PlanId, target: &Target) -> NinjaSettings {
        let relative =
            |path: &Path| path.strip_prefix(&self.project.root).unwrap_or(path).to_string_lossy().into_owned();
        let common = &self.session.common;
        let program = quoted(&self.question.program.0.to_string_lossy());
        let mut global = if common.offline { " --offline" } else { "" }.to_owned();
        if common.no_remote {
            global.push_str(" --no-remote");
        }
        for remote in &common.remote {
            global.push_str(&format!(" --remote {}", quoted(remote)));
        }
        // Without the option, the settings count as they are when an action runs.
        if let Some(choice) = common.executor {
            global.push_str(&format!(" --executor {}", choice.name()));
        }
        let generate = std::iter::once(program.clone())
            .chain(self.question.options.iter().map(|option| quoted(option)))
            .chain([IF_CHANGED.to_owned()]);
        NinjaSettings {
            run: format!("{program}{global} run-action"),
            run_options: format!(" --plan {plan}"),
            generate: generate.collect::<Vec<_>>().join(" "),
            build_file: BUILD_FILE.to_owned(),
            never_made: relative(&self.out.path().join("never-made")),
            stamps: relative(&self.out.stamps()),
            plan: relative(&self.out.plan()),
            default: Some(target.to_string()),
        }
    }

    /// Writes the build file, so that its time is another one afterwards: by that ninja tells that
    /// it has to read it again. Gives the BLAKE3 of the file, which is never in memory as a whole.
    pub(super) fn write_build_file(
        &self,
        content: impl FnOnce(&mut BufWriter<Hashing<'_>>) -> io::Result<()>,
    ) -> Result<String, BuildError> {
        let time = || fs::metadata(&self.build_file).and_then(|metadata| metadata.modified()).ok();
        let before = time();
        let hash = plan::write_atomically_by(&self.build_file, |file| {
            let mut to = BufWriter::new(Hashing { file, hasher: blake3::Hasher::new() });
            content(&mut to)?;
            let to = to.into_inner().map_err(io::IntoInnerError::into_error)?;
            Ok(to.hasher.finalize().to_string())
        })?;
        if let Some(before) = before
            && time() == Some(before)
        {
            touch(&self.build_file, before + Duration::from_millis(1))?;
        }
        Ok(hash)
    }
}

/// Hashes what is written to a file.
pub(super) struct Hashing<'a> {
    file: &'a mut fs::File,
    hasher: blake3::Hasher,
}

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

pub(super) fn pools() -> [Pool; 2] {
    [Pool { name: "fetch".to_owned(), depth: 8 }, Pool { name: "heavy".to_owned(), depth: 1 }]
}

/// Names that some part of a build can't take are refused before anything is built.
pub(super) fn refuse_names(
    project: &Project,
    store: &Store,
    program: &Path,
    options: &[String],
) -> Result<(), CommandError> {
    let paths = [("the project's folder", &*project.root), ("the store", store.root()), ("this program", program)];
    for (what, path) in paths {
        let shown = printable_path(path);
        let text = path.to_str().ok_or_else(|| no_text(what, path))?;
        if text.chars().any(char::is_control) {
            return Err(CommandError::input(format!(
                "{what} lies at `{shown}`, and ninja can't take a control character in a path"
            ))
            .hint("move it to a path without one"));
        }
    }
    if store.root().to_string_lossy().contains(':') {
        let shown = printable_path(store.root());
        return Err(CommandError::input(format!(
            "the store lies at `{shown}`, and cargo can't build below a path with `:`, which separates paths"
        ))
        .hint("set `PYNBOX_CACHE` to a path without `:`"));
    }
    if let Some(option) = options.iter().find(|option| option.chars().any(char::is_control)) {
        return Err(CommandError::input(format!("the option `{}` has a control character", printable(option)))
            .hint("ninja can't pass it on; name the file otherwise"));
    }
    Ok(())
}

/// A path that ninja is to be told, whose file is text.
fn no_text(what: &str, path: &Path) -> CommandError {
    CommandError::input(format!(
        "the path of {what}, `{}`, is no UTF-8, and ninja can't be told it",
        printable_path(path)
    ))
    .hint("move it to a path that is")
}

/// An override with its path made absolute. What is no override is left for who reads it to
/// complain of.
pub(super) fn absolute(option: &str) -> Result<String, CommandError> {
    let Some((name, path)) = option.split_once('=').filter(|(_, path)| !path.is_empty()) else {
        return Ok(option.to_owned());
    };
    let absolute = std::path::absolute(path).map_err(BuildError::io("find", path))?;
    let text = absolute.to_str().ok_or_else(|| no_text("the override", &absolute))?;
    Ok(format!("{name}={text}"))
}

pub(super) fn option_list(session: &Session, target: Option<&str>, overrides: &[String]) -> Vec<String> {
    let mut list = vec!["gen".to_owned()];
    if session.common.offline {
        list.push("--offline".to_owned());
    }
    if let Some(executor) = session.common.executor {
        list.extend(["--executor".to_owned(), executor.name().to_owned()]);
    }
    if session.common.no_remote {
        list.push("--no-remote".to_owned());
    }
    for remote in &session.common.remote {
        list.extend(["--remote".to_owned(), remote.clone()]);
    }
    if let Some(target) = target {
        list.extend(["--target".to_owned(), target.to_owned()]);
    }
    for value in overrides {
        list.extend(["--override-source".to_owned(), value.clone()]);
    }
    list
}
