//! How a recipe describes one action.

use std::collections::BTreeMap;

use super::{Context, Handle, Take};
use crate::node::{Action, ActionInput, Op, Selection};
use crate::{Projection, RelPath, SandboxPath, contract};

/// Has bash run the script that follows: `/bin/sh` is dash, which knows no `pipefail`. Images have
/// no locale but C, and bash says so whenever it starts under another; its standard error begins
/// after that.
const START_BASH: &str = "command -v bash >/dev/null || { \
     echo 'the image has no bash, which runs scripts: add it to the seeds of the image in wanted.toml'; exit 127; }; \
     exec bash -euo pipefail -c 'exec 2>&3 3>&-; eval \"$1\"' bash \"$0\" 3>&2 2>/dev/null";

/// An action under description. Every method adds to it; [`finish`](Self::finish) makes the node.
#[must_use = "an action that is not finished is not in the graph"]
pub struct ActionBuilder<'c, 'a> {
    context: &'c mut Context<'a>,
    step: String,
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    inputs: Vec<(Take, String)>,
    outputs: Vec<String>,
    pool: Option<String>,
    image: Option<String>,
}

impl<'c, 'a> ActionBuilder<'c, 'a> {
    pub(super) fn new(context: &'c mut Context<'a>, step: &str) -> Self {
        Self {
            context,
            step: step.to_owned(),
            command: Vec::new(),
            environment: BTreeMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            pool: None,
            image: None,
        }
    }

    /// Runs in this image of the lock file instead of the toolchain's, of which it is to hold the tools.
    pub fn image(mut self, name: &str) -> Self {
        self.image = Some(name.to_owned());
        self
    }

    /// The program and its arguments.
    pub fn command<T: Into<String>>(mut self, command: impl IntoIterator<Item = T>) -> Self {
        self.command = command.into_iter().map(Into::into).collect();
        self
    }

    /// A script for the image's bash, which stops at the first command that fails, in a pipeline
    /// too.
    ///
    /// A command whose failure is none says so: `grep -c word file || true`. `head` and others that
    /// end before they have read all make what writes to them fail.
    pub fn shell(self, script: &str) -> Self {
        self.command(["/bin/sh", "-euc", START_BASH, script])
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Something that it sees, read-only, at an absolute directory. Several may be seen at one directory, or one below another.
    pub fn input(mut self, take: impl Into<Take>, at: &str) -> Self {
        self.inputs.push((take.into(), at.to_owned()));
        self
    }

    /// A file or directory below `/build` that is part of its result.
    pub fn output(mut self, path: &str) -> Self {
        self.outputs.push(path.to_owned());
        self
    }

    /// Runs alone among the actions that use all cores for a while.
    pub fn heavy(mut self) -> Self {
        self.pool = Some("heavy".to_owned());
        self
    }

    /// Makes the node; its tree holds the outputs at their paths below `/build`.
    pub fn finish(self) -> Handle {
        let Self { context, step, command, environment, inputs, outputs, pool, image } = self;
        if command.is_empty() {
            context.mistake(format!("action `{step}` has no command"));
        }
        if outputs.is_empty() {
            context
                .mistake(format!("action `{step}` has no output, so nothing could come of it: name one with `output`"));
        }
        let mut checked_inputs = Vec::with_capacity(inputs.len());
        for (take, at) in inputs {
            match (take.check(), SandboxPath::new(at)) {
                (Ok(_), Ok(at)) if at.as_str() == contract::BUILD_DIR => context.mistake(format!(
                    "action `{step}` sees an input at `{at}`, where it writes: put it into a directory below"
                )),
                (Ok(selection), Ok(at)) => checked_inputs.push(ActionInput { selection, at }),
                (Err(message), _) => context.mistake(format!("action `{step}`: {message}")),
                (_, Err(error)) => context.mistake(format!("action `{step}`: {error}")),
            }
        }
        let mut checked_outputs = Vec::with_capacity(outputs.len());
        for output in outputs {
            match RelPath::new(output) {
                Ok(output) => checked_outputs.push(output),
                Err(error) => context.mistake(format!("action `{step}`: {error}")),
            }
        }
        let image = match image {
            Some(name) => context.image_named(&name),
            None => context.image(),
        };
        let image = Selection { node: image.name().clone(), part: Projection::all() };
        let action = Action {
            image,
            command,
            environment,
            inputs: checked_inputs,
            outputs: checked_outputs,
            target: context.target().clone(),
            pool,
        };
        context.node(&step, Op::Action(action))
    }
}
