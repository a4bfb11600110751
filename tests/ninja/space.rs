//! A project of its own in a folder of its own, and what one does in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

/// The target that is built: natively, so that its program can be run.
const TARGET: &str = "x86_64-linux";
pub(crate) const EXECUTABLE: &str = env!("CARGO_BIN_EXE_fixture");

/// The ninjas to test with.
pub(crate) fn ninjas() -> Vec<String> {
    let named = std::env::var("PYNBOX_TEST_NINJAS").unwrap_or_else(|_| "ninja".to_owned());
    named.split(':').filter(|ninja| !ninja.is_empty()).map(ToOwned::to_owned).collect()
}

/// A project in a folder.
pub(crate) struct Space {
    folder: TempDir,
    store: Option<TempDir>,
    ninja: String,
    program: PathBuf,
    /// Runs everything as this user, who owns it all then.
    pub(crate) user: Option<u32>,
    /// Variables of all that it runs.
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

impl Space {
    /// A fresh copy of the fixture with sources that nobody has built before.
    pub(crate) fn new(ninja: &str) -> Self {
        let space = Self::empty(ninja);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixture");
        fs::copy(from.join("pynbox.toml"), space.path("pynbox.toml")).unwrap();
        fs::create_dir_all(space.sources()).unwrap();
        for file in fs::read_dir(from.join("recipes/files/greeting")).unwrap() {
            let file = file.unwrap();
            let mut text = fs::read_to_string(file.path()).unwrap();
            let name = file.file_name().into_string().unwrap();
            text.push_str(&match name.strip_suffix(".c") {
                // In the object too: the link is to be new as well.
                Some(stem) => format!("__attribute__((used)) static const char {stem}_number[] = \"{}\";\n", unique()),
                None => format!("/* {} */\n", unique()),
            });
            fs::write(space.sources().join(name), text).unwrap();
        }
        space
    }

    fn empty(ninja: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            store: None,
            ninja: ninja.to_owned(),
            program: EXECUTABLE.into(),
            user: None,
            environment: Vec::new(),
        }
    }

    /// The same project elsewhere, without what was built.
    pub(crate) fn clone_to_another_folder(&self) -> Self {
        let other = Self::empty(&self.ninja);
        fs::copy(self.path("pynbox.toml"), other.path("pynbox.toml")).unwrap();
        fs::create_dir_all(other.sources()).unwrap();
        for file in fs::read_dir(self.sources()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), other.sources().join(file.file_name())).unwrap();
        }
        other
    }

    /// The whole folder as `cp -a` copies it, with what was built.
    pub(crate) fn copy_by_cp(&self) -> Self {
        let mut other = Self::empty(&self.ninja);
        let done = Command::new("cp").arg("-a").arg(self.path(".")).arg(other.path("")).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        other.environment.clone_from(&self.environment);
        other
    }

    /// A clean clone by git of the project, which is a repository.
    pub(crate) fn git_clone(&self) -> Self {
        let other = Self::empty(&self.ninja);
        let done =
            Command::new("git").args(["clone", "--quiet"]).arg(self.path("")).arg(other.path("")).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        other
    }

    /// From now on uses a store that nobody else uses, with what the common one holds. Only bytes
    /// are shared: marks and counters of the common one are not to change.
    pub(crate) fn use_own_store(&mut self) {
        // The common store is its owner's alone.
        let user = self.user.take();
        let common = PathBuf::from(self.run(&["cache", "root"]).trim());
        self.user = user;
        // Beside the common one bytes can be shared; another user may not get there.
        let own = match self.user {
            Some(_) => tempfile::tempdir().unwrap(),
            None => tempfile::tempdir_in(common.parent().unwrap()).unwrap(),
        };
        let copy = |name: &str, how: &str| {
            let done = Command::new("cp").arg(how).arg(common.join(name)).arg(own.path()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        copy("format", "-a");
        copy("trees", "-a");
        copy("results", "-a");
        // Another user has to own what is in the store.
        copy("blobs", if self.user.is_some() { "-a" } else { "-al" });
        self.store = Some(own);
    }

    /// From now on uses a store that holds nothing.
    pub(crate) fn use_empty_store(&mut self) {
        self.store = Some(tempfile::tempdir().unwrap());
    }

    /// Gives the folder, the store and a copy of the program to the user that the space is for.
    pub(crate) fn hand_over(&mut self) {
        self.use_own_program();
        let user = self.user.unwrap().to_string();
        for path in [self.folder.path(), self.store().as_path()] {
            let done = Command::new("chown").args(["-R", &format!("{user}:{user}")]).arg(path).status().unwrap();
            assert!(done.success());
        }
    }

    /// The folder of the own store.
    pub(crate) fn store(&self) -> PathBuf {
        self.store.as_ref().expect("only with a store of one's own").path().to_owned()
    }

    /// From now on uses a copy of the program.
    pub(crate) fn use_own_program(&mut self) -> PathBuf {
        self.program = self.path("program");
        fs::copy(EXECUTABLE, &self.program).unwrap();
        self.program.clone()
    }

    /// Runs gen; gives the number of nodes of the fixture that are left.
    pub(crate) fn generate(&self) -> usize {
        self.run(&["gen", "--offline", "--target", TARGET]);
        self.left()
    }

    /// The number of nodes of the fixture that have an edge.
    fn left(&self) -> usize {
        let text = fs::read_to_string(self.path("build.ninja")).unwrap();
        text.lines().filter(|line| line.starts_with("build out/stamps/x86_64-linux/greeting/")).count()
    }

    /// Runs ninja; gives the names of the actions that were run, sorted.
    pub(crate) fn build(&self) -> Vec<String> {
        actions(&self.ninja("greeting"))
    }

    /// Runs ninja for some target; gives what it printed.
    pub(crate) fn ninja(&self, target: &str) -> String {
        let output = self.ninja_command(&[target]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Runs a shell's script in a mount namespace of its own, in which `$NINJA` is ninja and
    /// `$STORE` the own store; gives what it printed.
    pub(crate) fn in_namespace(&self, script: &str) -> String {
        let root = rustix::process::geteuid().is_root();
        let mut command = self.command(Path::new("unshare"));
        command.args([if root { "-m" } else { "-rm" }, "sh", "-ec", script]);
        let output = command.env("NINJA", &self.ninja).env("STORE", self.store()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Runs ninja, which must fail; gives what it printed.
    pub(crate) fn failing_build(&self) -> String {
        let output = self.ninja_command(&["greeting"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts ninja; its output is piped.
    pub(crate) fn start_build(&self) -> Child {
        self.ninja_command(&["greeting"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What the built program prints.
    pub(crate) fn output(&self) -> String {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("greeting");
        self.run(&["checkout", "x86_64-linux/greeting/greeting", program.to_str().unwrap()]);
        let output = Command::new(program.join("greeting")).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    /// The digest of a node's tree.
    pub(crate) fn digest(&self, node: &str) -> String {
        self.run(&["checkout", &format!("x86_64-linux/greeting/{node}"), "--digest"])
    }

    /// The trees of all nodes that the plan knows, by name.
    pub(crate) fn known(&self) -> BTreeMap<String, String> {
        let plan = fs::read(self.path("out/plan")).unwrap();
        let text = String::from_utf8_lossy(&plan);
        let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let nodes = words.filter(|words| words.len() >= 11 && words[0] == "node" && words[5] != "-");
        nodes.map(|words| (words[8].to_owned(), words[5].to_owned())).collect()
    }

    /// Replaces a text in a source; it must be there.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.source(file);
        assert!(text.contains(from), "{text}");
        self.write_file(file, &text.replacen(from, to, 1));
    }

    /// The text of a source.
    pub(crate) fn source(&self, file: &str) -> String {
        fs::read_to_string(self.sources().join(file)).unwrap()
    }

    /// Writes a source file.
    pub(crate) fn write_file(&self, file: &str, text: &str) {
        fs::write(self.sources().join(file), text).unwrap();
    }

    /// Removes a source file.
    pub(crate) fn remove_file(&self, file: &str) {
        fs::remove_file(self.sources().join(file)).unwrap();
    }

    /// Removes the bytes of a node's tree from the store, behind everybody's back.
    pub(crate) fn lose_blobs_of(&self, node: &str) {
        let listing = self.run(&["checkout", &format!("x86_64-linux/greeting/{node}"), "--list"]);
        let blobs = self.store().join("blobs");
        let mut lost = 0;
        for line in listing.lines() {
            for digest in line.split('"').filter(|word| word.len() == 64) {
                for name in [digest.to_owned(), format!("{digest}x")] {
                    lost += usize::from(fs::remove_file(blobs.join(&digest[..2]).join(name)).is_ok());
                }
            }
        }
        assert!(lost > 0, "{listing}");
    }

    /// Removes the results of the own store whose record (a text) is one of these; gives how many
    /// these were.
    pub(crate) fn remove_results(&self, is_one: impl Fn(&str) -> bool) -> usize {
        let mut removed = 0;
        for shard in fs::read_dir(self.store().join("results")).unwrap() {
            for file in fs::read_dir(shard.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                if is_one(&fs::read_to_string(&path).unwrap()) {
                    fs::remove_file(path).unwrap();
                    removed += 1;
                }
            }
        }
        removed
    }

    /// How many results the own store has.
    pub(crate) fn results(&self) -> usize {
        let shards = fs::read_dir(self.store().join("results")).unwrap();
        shards.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
    }

    /// Makes every result and tree of the own store one that was used three days ago. Gives how
    /// many results these are.
    pub(crate) fn age_results(&self) -> usize {
        let then = SystemTime::now() - std::time::Duration::from_secs(3 * 24 * 60 * 60);
        for folder in ["results", "trees"] {
            for shard in fs::read_dir(self.store().join(folder)).unwrap() {
                for file in fs::read_dir(shard.unwrap().path()).unwrap() {
                    fs::File::open(file.unwrap().path()).unwrap().set_modified(then).unwrap();
                }
            }
        }
        self.results()
    }

    /// What scratch folders of actions there are in the own store.
    pub(crate) fn scratch(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.store().join("tmp")).unwrap();
        folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
    }

    fn ninja_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(Path::new(&self.ninja));
        command.args(arguments);
        command
    }

    /// The program with these arguments, in the project's folder.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.program);
        command.args(arguments);
        command
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = match self.user {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={user}"))
                    .arg(format!("--regid={user}"))
                    .arg("--clear-groups")
                    .arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(store) = &self.store {
            command.env("PYNBOX_CACHE", store.path());
        }
        command
    }

    /// Runs the program, which must succeed; gives what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output: Output = self.tool(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program, which must fail; gives its exit code and what it wrote to its standard
    /// error.
    pub(crate) fn fail(&self, arguments: &[&str]) -> String {
        let output: Output = self.tool(arguments).output().unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        let folder = self.folder.path().canonicalize().unwrap();
        let text = text.replace(EXECUTABLE, "fixture").replace(folder.to_str().unwrap(), "PROJECT");
        format!("exit code {}\n{text}", output.status.code().unwrap())
    }

    /// Runs ninja's own tool.
    pub(crate) fn ninja_tool(&self, tool: &str) {
        assert!(self.ninja_command(&["-t", tool]).output().unwrap().status.success());
    }

    /// A path in the project.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The ninja that it uses.
    pub(crate) fn ninja_program(&self) -> &str {
        &self.ninja
    }

    /// The folder of the sources.
    pub(crate) fn sources(&self) -> PathBuf {
        self.path("recipes/files/greeting")
    }
}

/// The actions for the fixture that ninja's output speaks of, without those whose result another
/// build had made.
pub(crate) fn actions(text: &str) -> Vec<String> {
    let prefix = format!("{TARGET}/greeting/");
    let mut ran: Vec<String> = Vec::new();
    for line in text.lines() {
        if let Some((_, name)) = line.split_once(&format!("run {prefix}")) {
            ran.push(name.to_owned());
        } else if let Some((name, _)) = line.strip_prefix(&prefix).and_then(|rest| rest.split_once(": another build")) {
            ran.retain(|other| other != name);
        }
    }
    ran.sort();
    ran
}

/// A number that no other space has.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{now}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
