//! How a recipe describes one action.

use std::collections::BTreeMap;
use std::panic::Location;

use super::{Context, Handle, Take, Words};
use crate::node::{Action, ActionInput, Op, Selection};
use crate::{Command, Projection, RelPath, SandboxPath, Text, contract};

/// Has bash run the script that follows: `/bin/sh` is dash, which knows no `pipefail`. Images have
/// no locale but C, and bash says so whenever it starts under another; its standard error begins
/// after that.
const START_BASH: &str = "command -v bash >/dev/null || { \
     echo 'the image has no bash, which runs scripts: add it to the seeds of the image in wanted.toml'; exit 127; }; \
     exec bash -euo pipefail -c 'exec 2>&3 3>&-; eval \"$1\"' bash \"$0\" 3>&2 2>/dev/null";

/// Where an action sees the tree of the toolchain's sysroot.
pub(super) const SYSROOT: &str = "/sysroot";

/// An action under description. Every method adds to it; [`finish`](Self::finish) makes the node.
#[must_use = "an action that is not finished is not in the graph"]
pub struct ActionBuilder<'c, 'a> {
    context: &'c mut Context<'a>,
    at: &'static Location<'static>,
    step: String,
    command: Command,
    environment: BTreeMap<String, String>,
    inputs: Vec<(Take, Text)>,
    outputs: Vec<Text>,
    pool: Option<Text>,
    image: Option<String>,
}

impl<'c, 'a> ActionBuilder<'c, 'a> {
    pub(super) fn new(context: &'c mut Context<'a>, step: &str, at: &'static Location<'static>) -> Self {
        Self {
            context,
            at,
            step: step.to_owned(),
            command: Command::default(),
            environment: BTreeMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            pool: None,
            image: None,
        }
    }

    /// Runs in the toolchain's image for packages that are built by makefiles of their own: it has
    /// Perl and a compiler for the machine that builds.
    pub fn with_makefile_tools(mut self) -> Self {
        match &self.context.toolchain.makefiles_image {
            Some(image) => self.image = Some(image.clone()),
            None => self.context.mistake_at(
                self.at,
                format!("the toolchain of {} has no image for makefiles: leave this out", self.context.target()),
            ),
        }
        self
    }

    /// Runs in this image of the lock file, in place of the toolchain's.
    pub fn in_image(mut self, name: &str) -> Self {
        self.image = Some(name.to_owned());
        self
    }

    /// The program and its arguments.
    pub fn command<T: Into<Text>>(self, command: impl IntoIterator<Item = T>) -> Self {
        self.runs(Command::new(command))
    }

    /// As [`command`](Self::command), one that may share words with others.
    pub(super) fn runs(mut self, command: Command) -> Self {
        self.command = command;
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

    /// Takes a variable out of what [`for_target`](Self::for_target) sets.
    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Builds for the target: it sees the tree of the sysroot, and its environment says what
    /// configure scripts and makefiles are told (see
    /// [`makefile_environment`](super::Toolchain::makefile_environment)).
    pub fn for_target(mut self) -> Self {
        if let Some(sysroot) = self.context.sysroot() {
            self.inputs.push((sysroot.all(), SYSROOT.into()));
        }
        self.environment_of_target()
    }

    /// As [`for_target`](Self::for_target), where nothing is linked: of the sysroot it sees the
    /// headers alone.
    pub fn for_target_without_links(mut self) -> Self {
        if let Some(sysroot) = self.context.sysroot() {
            self.inputs.push((sysroot.select("include"), SYSROOT.into()));
        }
        self.environment_of_target().without_env("LIBS")
    }

    fn environment_of_target(mut self) -> Self {
        let variables = self.context.toolchain.makefile_environment();
        self.environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// Something that it sees, read-only, at an absolute directory. Several may be seen at one
    /// directory, or one below another.
    pub fn input(mut self, take: impl Into<Take>, at: impl Into<Text>) -> Self {
        self.inputs.push((take.into(), at.into()));
        self
    }

    /// Files or directories below `/build` that are part of its result. The directories above them
    /// are there when it starts.
    pub fn output(mut self, paths: impl Words) -> Self {
        self.outputs.extend(paths.words().into_iter().map(Text::from));
        self
    }

    /// As [`output`](Self::output), a path that others share.
    pub(super) fn shared_output(mut self, path: Text) -> Self {
        self.outputs.push(path);
        self
    }

    /// Runs alone among the actions that use all cores for a while.
    pub fn heavy(mut self) -> Self {
        self.pool = Some("heavy".into());
        self
    }

    /// Makes the node; its tree holds the outputs at their paths below `/build`.
    pub fn finish(self) -> Handle {
        let Self { context, at: place, step, command, environment, inputs, outputs, pool, image } = self;
        let mut wrong = Vec::new();
        if command.is_empty() {
            wrong.push("has no command".to_owned());
        }
        if outputs.is_empty() {
            wrong.push("has no output, so nothing could come of it: name one with `output`".to_owned());
        }
        let mut checked_inputs = Vec::with_capacity(inputs.len());
        for (take, at) in inputs {
            match (take.check(), SandboxPath::new(at)) {
                (Ok(_), Ok(at)) if at.as_str() == contract::BUILD_DIR => {
                    wrong.push(format!("sees an input at `{at}`, where it writes: put it into a directory below"));
                }
                (Ok(selection), Ok(at)) => checked_inputs.push(ActionInput { selection, at }),
                (Err(message), _) => wrong.push(format!("takes what it can't: {message}")),
                (_, Err(error)) => wrong.push(format!("sees an input where it can't: {error}")),
            }
        }
        let mut checked_outputs = Vec::with_capacity(outputs.len());
        for output in outputs {
            match RelPath::new(output) {
                Ok(output) => checked_outputs.push(output),
                Err(error) => wrong.push(format!("has an output that is no path: {error}")),
            }
        }
        for message in wrong {
            context.mistake_at(place, format!("action `{step}` {message}"));
        }
        let image = match image {
            Some(name) => context.image_named(&name, place),
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
        context.node_at(place, &step, Op::Action(action))
    }
}
