//! Actions executed by an engine: the image, the inputs and our runner go there as one input root,
//! and outputs and log come back.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::protobuf;
use build_graph::{Entry, RelPath, Tree, contract};
use namespaces::job::{Job, JobEnding, JobReport};
use namespaces::runner;
use prost::Message as _;
use store::Store;
use tonic::Code;

use super::execution::{Execution, ExecutionLimits};
use super::memo::{self, WireTree};
use super::merkle::{Node, Received};
use super::stream::{Blob, Source};
use super::{Cas, Channel, ReapiError, digest};
pub use crate::engine::{EngineSection, EngineSettings, Ran, RemoteAction};
use crate::{DigestFunction, WireDigest};

/// An engine, with what every action on it needs.
#[derive(Debug)]
pub struct Engine {
    name: String,
    channel: Channel,
    cas: Cas,
    execution: Execution,
    platform: BTreeMap<String, String>,
    patience: Duration,
    runner: Vec<u8>,
}

impl Engine {
    /// Connects to an engine, and sees that it executes anything. `runner` is the static program
    /// that does an action's last steps on a worker.
    ///
    /// # Errors
    /// [`ReapiError`].
    pub fn open(settings: EngineSettings, runner: Vec<u8>) -> Result<Self, ReapiError> {
        let channel = Channel::new(settings.endpoint.clone())?;
        if !channel.capabilities()?.executes {
            return Err(channel.wrong("it is a cache alone and executes nothing"));
        }
        let (cas, execution) = (Cas::new(&channel), Execution::new(&channel));
        let EngineSettings { name, platform, patience, .. } = settings;
        Ok(Self { name, channel, cas, execution, platform, patience, runner })
    }

    /// Has what the engine runs cancelled before a signal ends this process.
    pub fn end_with_signals(&self) {
        self.execution.end_with_signals();
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs an action to its end. If the command succeeded, its outputs are in the empty directory
    /// `build` afterwards, in the places where the action made them; what it printed is in `log`.
    ///
    /// # Errors
    /// [`ReapiError`] if the action could not be given to the engine, or its answer makes no sense.
    /// A command that fails is a [`JobReport`].
    pub fn run(&self, store: &Store, action: &RemoteAction<'_>, build: &Path, log: &Path) -> Result<Ran, ReapiError> {
        let function = self.channel.capabilities()?.function;
        let prepared = self.prepare(store, function, action)?;
        self.upload(store, &prepared, false)?;
        let time = action.limits.time.unwrap_or(LONGEST);
        let limits = ExecutionLimits { queue: self.patience, all: time.saturating_add(self.patience) };
        let response = match self.execution.execute(&prepared.action, false, limits) {
            Err(ReapiError::Call { code: Code::FailedPrecondition, .. }) => {
                // It has lost what it had.
                self.upload(store, &prepared, true)?;
                self.execution.execute(&prepared.action, false, limits)?
            }
            response => response?,
        };
        for tree in &prepared.trees {
            memo::note(store, self.channel.endpoint(), tree.tree.digest(), true);
        }
        let cached = response.cached_result;
        let result = response.result.ok_or_else(|| self.channel.wrong("it executed an action and has no result"))?;
        let printed = self.stream(&result.stdout_raw, result.stdout_digest.as_ref(), action.limits.log)?;
        fs::write(log, printed).map_err(|source| own("write", log, source))?;
        let report = self.report(&result)?;
        if report.ending == JobEnding::Exited(0) {
            let received = self.outputs(function, action, &result)?;
            self.fetch_outputs(&received, build)?;
        }
        let worker = result.execution_metadata.map(|metadata| metadata.worker).unwrap_or_default();
        Ok(Ran { report, cached, worker })
    }

    fn prepare<'a>(
        &self,
        store: &Store,
        function: DigestFunction,
        action: &RemoteAction<'a>,
    ) -> Result<Prepared<'a>, ReapiError> {
        let job = Job {
            contract: contract::VERSION,
            command: action.command.to_vec(),
            environment: action.environment.to_vec(),
            inputs: action.inputs.iter().map(|(at, _)| (*at).clone()).collect(),
            outputs: action.outputs.to_vec(),
            limits: action.limits,
        };
        let job = serde_json::to_vec(&job).map_err(|error| ReapiError::Settings(error.to_string()))?;
        let mut small = BTreeMap::new();
        let mut keep = |bytes: Vec<u8>| {
            let digest = digest::of(function, &bytes);
            small.insert(digest, bytes);
            digest
        };
        let mut trees = Vec::with_capacity(action.inputs.len() + 1);
        for tree in std::iter::once(action.image).chain(action.inputs.iter().map(|(_, tree)| *tree)) {
            let wire = memo::wire_tree(store, function, tree).map_err(|error| memo::own(&error))?;
            trees.push(Sent { tree, wire });
        }
        let mut inputs = Node::new();
        for (index, sent) in trees.iter().skip(1).enumerate() {
            inputs.add_ready(&index.to_string(), sent.wire.root);
        }
        let mut root = Node::new();
        root.add_file(runner::PROGRAM, keep(self.runner.clone()), true);
        root.add_file(runner::JOB, keep(job), false);
        root.add_ready(runner::IMAGE, trees[0].wire.root);
        let mut messages = BTreeMap::new();
        root.add_ready(runner::INPUTS, inputs.messages(function, &mut messages));
        let root = root.messages(function, &mut messages);

        let mut output_paths: Vec<_> =
            action.outputs.iter().map(|output| format!("{}/{output}", runner::OUTPUTS)).collect();
        output_paths.sort_unstable();
        let platform = (!self.platform.is_empty()).then(|| proto::Platform {
            properties: self
                .platform
                .iter()
                .map(|(name, value)| proto::platform::Property { name: name.clone(), value: value.clone() })
                .collect(),
        });
        #[allow(deprecated)] // Servers of before 2.2 look there.
        let command = proto::Command {
            arguments: vec![format!("./{}", runner::PROGRAM)],
            output_paths,
            platform: platform.clone(),
            ..Default::default()
        };
        let command = keep(command.encode_to_vec());
        let message = proto::Action {
            command_digest: Some(digest::to_proto(&command)),
            input_root_digest: Some(digest::to_proto(&root)),
            timeout: None::<protobuf::Duration>,
            do_not_cache: false,
            salt: Vec::new(),
            platform,
        };
        let message = keep(message.encode_to_vec());
        small.extend(messages);
        Ok(Prepared { function, small, trees, action: message })
    }

    /// Sends what the engine lacks. Trees that it had a moment ago are not asked for unless `all`
    /// is.
    fn upload(&self, store: &Store, prepared: &Prepared<'_>, all: bool) -> Result<(), ReapiError> {
        let mut wanted: HashMap<WireDigest, Where<'_>> =
            prepared.small.iter().map(|(digest, bytes)| (*digest, Where::Memory(bytes.clone()))).collect();
        for Sent { tree, wire } in &prepared.trees {
            if !all && memo::had_lately(store, self.channel.endpoint(), tree.digest()) {
                continue;
            }
            memo::note(store, self.channel.endpoint(), tree.digest(), false);
            let messages = wire.messages(prepared.function, tree);
            wanted.extend(messages.into_iter().map(|(digest, bytes)| (digest, Where::Memory(bytes))));
            wanted.extend(wire.files(tree).into_iter().map(|(digest, entry)| (digest, Where::Store(entry))));
        }
        let digests: Vec<_> = wanted.keys().copied().collect();
        let mut blobs = Vec::new();
        for digest in self.cas.missing(&digests)? {
            let source = match wanted.remove(&digest) {
                Some(Where::Memory(bytes)) => Source::Bytes(bytes),
                Some(Where::Store(entry)) => Source::File(store.open_blob(entry).map_err(|error| memo::own(&error))?),
                None => continue,
            };
            blobs.push(Blob { digest, source });
        }
        // Files by the hundred would be open at once: they are sent in parts.
        let mut blobs = blobs.into_iter();
        loop {
            let part: Vec<_> = blobs.by_ref().take(OPEN).collect();
            if part.is_empty() {
                return Ok(());
            }
            self.cas.upload(part)?;
        }
    }

    /// What the command or the runner printed, which the runner has kept within `most` bytes.
    fn stream(&self, raw: &[u8], digest: Option<&proto::Digest>, most: u64) -> Result<Vec<u8>, ReapiError> {
        match digest {
            Some(digest) if u64::try_from(digest.size_bytes).unwrap_or(0) > most => Err(self
                .channel
                .wrong(format!("a log that it gives has {} bytes, at most {most} are allowed", digest.size_bytes))),
            Some(digest) if raw.is_empty() && digest.size_bytes != 0 => {
                let digest = digest::from_proto(digest);
                self.cas.fetch_one(&digest.ok_or_else(|| self.channel.wrong("the digest of a log is malformed"))?)
            }
            _ => Ok(raw.to_vec()),
        }
    }

    fn report(&self, result: &proto::ActionResult) -> Result<JobReport, ReapiError> {
        let printed = self.stream(&result.stderr_raw, result.stderr_digest.as_ref(), LONGEST_REPORT)?;
        let text = String::from_utf8_lossy(&printed);
        let last = text.lines().next_back().unwrap_or_default();
        let report: JobReport = serde_json::from_str(last).map_err(|_| {
            let said = text.trim().chars().take(300).collect::<String>();
            self.channel.wrong(format!(
                "the runner ended with status {} and without a report; can a worker start a static program for x86-64? It said: {said}",
                result.exit_code
            ))
        })?;
        if i32::from(report.exit_code()) != result.exit_code {
            return Err(self.channel.wrong(format!("the runner's report and its status {} differ", result.exit_code)));
        }
        Ok(report)
    }

    /// The outputs of a result, checked for shape.
    fn outputs(
        &self,
        function: DigestFunction,
        action: &RemoteAction<'_>,
        result: &proto::ActionResult,
    ) -> Result<Received, ReapiError> {
        let mut received = Received::default();
        let place = |path: &str| {
            let inside = path.strip_prefix(runner::OUTPUTS).and_then(|path| path.strip_prefix('/'));
            let inside = inside.ok_or_else(|| format!("`{path}` is no output"))?;
            let path = RelPath::new(inside).map_err(|error| format!("`{path}`: {error}"))?;
            if action.outputs.contains(&path) { Ok(path) } else { Err(format!("`{path}` is no output")) }
        };
        let mut take = || -> Result<(), String> {
            for file in &result.output_files {
                let digest = file.digest.clone().unwrap_or_default();
                received.add_file(place(&file.path)?, &digest, file.is_executable)?;
            }
            #[allow(deprecated)] // Servers of before 2.1 write there.
            let links = [&result.output_symlinks, &result.output_file_symlinks, &result.output_directory_symlinks];
            for link in links.into_iter().flatten() {
                received.add_link(place(&link.path)?, &link.target)?;
            }
            Ok(())
        };
        let wrong = |problem: String| self.channel.wrong(format!("an output that it gives: {problem}"));
        take().map_err(wrong)?;
        for directory in &result.output_directories {
            let path = place(&directory.path).map_err(wrong)?;
            let digest = directory.tree_digest.as_ref().and_then(digest::from_proto);
            let digest = digest.ok_or_else(|| wrong(format!("`{path}` has a malformed digest")))?;
            let bytes = self.cas.fetch_one(&digest)?;
            let tree = proto::Tree::decode(&*bytes).map_err(|error| wrong(format!("`{path}`: {error}")))?;
            received.add_tree(&path, function, &tree).map_err(wrong)?;
        }
        Ok(received)
    }

    /// Makes outputs in a directory. Their shape was checked: nothing lies below a link.
    fn fetch_outputs(&self, received: &Received, build: &Path) -> Result<(), ReapiError> {
        let mut places: HashMap<WireDigest, Vec<(PathBuf, bool)>> = HashMap::new();
        let above = |path: &Path| match path.parent() {
            Some(above) => fs::create_dir_all(above).map_err(|source| own("create", above, source)),
            None => Ok(()),
        };
        for (path, (digest, executable)) in received.files() {
            let path = build.join(path);
            above(&path)?;
            places.entry(*digest).or_default().push((path, *executable));
        }
        for (path, entry) in received.shape().iter() {
            let path = build.join(path);
            if let Entry::EmptyDirectory = entry {
                fs::create_dir_all(&path).map_err(|source| own("create", &path, source))?;
            }
        }
        let digests: Vec<_> = places.keys().copied().collect();
        let got = std::sync::atomic::AtomicUsize::new(0);
        self.cas.fetch_verified(&digests, |digest, bytes| {
            let mut first: Option<&Path> = None;
            for (path, executable) in places.get(digest).into_iter().flatten() {
                let mut write = || -> io::Result<()> {
                    match first {
                        None => write_whole(bytes, path)?,
                        Some(first) => drop(fs::copy(first, path)?),
                    }
                    let mode = if *executable { 0o755 } else { 0o644 };
                    fs::set_permissions(path, fs::Permissions::from_mode(mode))
                };
                write().map_err(|source| own("write", path, source))?;
                first.get_or_insert(path);
            }
            got.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        })?;
        if got.into_inner() != digests.len() {
            return Err(self.channel.wrong("it does not have an output of the action that it has just executed"));
        }
        for (path, entry) in received.shape().iter() {
            if let Entry::Symlink { target } = entry {
                let path = build.join(path);
                above(&path)?;
                symlink(target, &path).map_err(|source| own("create", &path, source))?;
            }
        }
        Ok(())
    }
}

/// How long an action without a limit may take: longer than any engine waits.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Most bytes that the runner prints on standard error, or the program that a worker started in its
/// place.
const LONGEST_REPORT: u64 = 1 << 20;
/// So many files are open at once.
const OPEN: usize = 256;

struct Sent<'a> {
    tree: &'a Tree,
    wire: WireTree,
}

struct Prepared<'a> {
    function: DigestFunction,
    /// What this program made: messages, the runner, the job.
    small: BTreeMap<WireDigest, Vec<u8>>,
    /// The image, then the inputs.
    trees: Vec<Sent<'a>>,
    action: WireDigest,
}

enum Where<'a> {
    Memory(Vec<u8>),
    Store(&'a Entry),
}

/// Writes all bytes to a new file; removes it if they end with an error, as wrong ones do.
fn write_whole(bytes: &mut dyn Read, path: &Path) -> io::Result<()> {
    let written = io::copy(bytes, &mut File::create(path)?);
    if written.is_err() {
        // The error says more than one that the file can't be removed.
        let _ = fs::remove_file(path);
    }
    written.map(drop)
}

fn own(doing: &'static str, path: &Path, source: io::Error) -> ReapiError {
    ReapiError::Io { doing, path: path.to_owned(), source }
}
