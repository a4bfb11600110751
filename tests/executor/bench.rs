//! A place to run actions in: an image made of the host's shell and this program.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use build_graph::{RelPath, SandboxPath, contract};
use pynbox_build::executor::{
    ActionLimits, Ahead, DockerExecutor, Executor, ExecutorError, InputMount, NamespaceExecutor, Run, Status,
    runner_program,
};
use tempfile::TempDir;
use testing::helper;

/// Set to `docker` where [`crate::docker`] runs the same tests on that executor.
pub(crate) const EXECUTOR: &str = "EXECUTOR_UNDER_TEST";

/// Whether these tests are about the Docker executor.
pub(crate) fn on_docker() -> bool {
    std::env::var_os(EXECUTOR).is_some_and(|name| name == "docker")
}

pub(crate) struct Bench {
    // Dropped before the folder of its notes.
    pub(crate) executor: Box<dyn Executor>,
    _state: TempDir,
    pub(crate) folder: TempDir,
    pub(crate) root: PathBuf,
    pub(crate) inputs: Vec<(SandboxPath, PathBuf)>,
    pub(crate) outputs: Vec<RelPath>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) limits: ActionLimits,
    runs: AtomicUsize,
}

/// What came of one action.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    pub(crate) log: Vec<u8>,
    pub(crate) build: PathBuf,
}

impl Outcome {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.log).into_owned()
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::on(on_docker())
    }

    /// One for the Docker executor, or for that of namespaces.
    pub(crate) fn on(docker: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("image");
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
        for name in ["sh", "sleep", "cat", "mkdir", "ls"] {
            let program = fs::canonicalize(find(name)).unwrap();
            install(&root, &program, &format!("usr/bin/{name}"));
        }
        install(&root, &std::env::current_exe().unwrap(), "usr/bin/probe");
        let environment = contract::environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let state = tempfile::tempdir().unwrap();
        let executor: Box<dyn Executor> = if docker {
            Box::new(DockerExecutor::connect(state.path(), runner_program().unwrap(), Ahead::Never).unwrap())
        } else {
            Box::new(NamespaceExecutor::new())
        };
        Self {
            executor,
            _state: state,
            folder,
            root,
            inputs: Vec::new(),
            outputs: Vec::new(),
            environment,
            limits: ActionLimits { time: Some(Duration::from_secs(60)), ..ActionLimits::DEFAULT },
            runs: AtomicUsize::new(0),
        }
    }

    /// A new directory of the host with files in it.
    pub(crate) fn directory(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let directory = self.folder.path().join(name);
        fs::create_dir_all(&directory).unwrap();
        for (path, content) in files {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        directory
    }

    pub(crate) fn input(&mut self, at: &str, directory: PathBuf) {
        self.inputs.push((SandboxPath::new(at).unwrap(), directory));
    }

    pub(crate) fn try_run(&self, command: &[&str]) -> Result<Outcome, ExecutorError> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let build = self.folder.path().join(format!("build-{number}"));
        fs::create_dir(&build).unwrap();
        let log = self.folder.path().join(format!("log-{number}"));
        let status = self.with_run(command, &build, &log, |run| self.executor.run(run))?;
        Ok(Outcome { status, log: fs::read(&log).unwrap(), build })
    }

    /// Makes the description of a run and hands it on.
    pub(crate) fn with_run<T>(
        &self,
        command: &[&str],
        build: &Path,
        log: &Path,
        then: impl FnOnce(&Run<'_>) -> T,
    ) -> T {
        let command: Vec<String> = command.iter().map(|&argument| argument.to_owned()).collect();
        let inputs: Vec<InputMount<'_>> = self.inputs.iter().map(|(at, host)| InputMount { at, host }).collect();
        then(&Run {
            root: &self.root,
            image: None,
            inputs: &inputs,
            command: &command,
            environment: &self.environment,
            build_dir: build,
            outputs: &self.outputs,
            log,
            limits: self.limits,
        })
    }

    pub(crate) fn run(&self, command: &[&str]) -> Outcome {
        self.try_run(command).unwrap()
    }

    /// Runs a script and gives what it printed; it must succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        let outcome = self.run(&["sh", "-c", script]);
        assert_eq!(outcome.status, Status::Exited(0), "{script}\n{}", outcome.text());
        outcome.text()
    }

    /// Runs a probe with an argument.
    pub(crate) fn run_probe(&mut self, name: &str, argument: &str) -> Outcome {
        let before = self.environment.len();
        let variables = helper::environment("probe", format!("{name} {argument}"));
        self.environment.extend(variables.map(|(name, value)| (name.to_owned(), value.into_string().unwrap())));
        let outcome = self.run(&["probe"]);
        self.environment.truncate(before);
        outcome
    }

    /// Runs a probe with an argument, which must end well, and gives what it found.
    pub(crate) fn probe(&mut self, name: &str, argument: &str) -> String {
        let outcome = self.run_probe(name, argument);
        assert_eq!(outcome.status, Status::Exited(0), "{}", outcome.text());
        let text = outcome.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix("probe: "));
        lines.map(|line| format!("{line}\n")).collect()
    }
}

fn find(name: &str) -> PathBuf {
    ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists()).expect(name)
}

/// Copies a program of the host into an image, with its libraries.
fn install(root: &Path, program: &Path, at: &str) {
    copy(program, &root.join(at));
    let output = Command::new("ldd").arg(program).output().unwrap();
    for word in String::from_utf8(output.stdout).unwrap().split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(word.trim_start_matches('/').trim_end_matches(':'));
        if !to.exists() {
            copy(Path::new(word), &to);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}
