//! A project of its own in a folder of its own, and what one does in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

/// The recipe that is built: natively, so that its program can be run.
const TARGET: &str = "x86_64-linux";

/// The ninjas to test with.
pub fn ninjas() -> Vec<String> {
    let named = std::env::var("PYNBOX_TEST_NINJAS").unwrap_or_else(|_| "ninja".to_owned());
    named.split(':').filter(|ninja| !ninja.is_empty()).map(ToOwned::to_owned).collect()
}

/// A project in a folder.
pub struct Space {
    folder: TempDir,
    store: Option<TempDir>,
    ninja: String,
}

impl Space {
    /// A fresh copy of the example with sources that nobody has built before.
    pub fn new(ninja: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR"));
        let space = Self { folder, store: None, ninja: ninja.to_owned() };
        fs::copy(from.join("pynbox.toml"), space.path("pynbox.toml")).unwrap();
        fs::create_dir_all(space.sources()).unwrap();
        for file in fs::read_dir(from.join("recipes/files/greeting")).unwrap() {
            let file = file.unwrap();
            let mut text = fs::read_to_string(file.path()).unwrap();
            text.push_str(
                &format!("static const char *number = \"{}\";\n", unique())
                    .replace("static", "__attribute__((used)) static"),
            );
            fs::write(space.sources().join(file.file_name()), text).unwrap();
        }
        space
    }

    /// The same project elsewhere, without what was built.
    pub fn clone_to_another_folder(&self) -> Self {
        let other = Self { folder: tempfile::tempdir().unwrap(), store: None, ninja: self.ninja.clone() };
        fs::copy(self.path("pynbox.toml"), other.path("pynbox.toml")).unwrap();
        fs::create_dir_all(other.sources()).unwrap();
        for file in fs::read_dir(self.sources()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), other.sources().join(file.file_name())).unwrap();
        }
        other
    }

    /// From now on uses a store that nobody else uses, with what the common one holds.
    pub fn use_own_store(&mut self) {
        let common = self.run("cache", &["root"]);
        let common = PathBuf::from(String::from_utf8_lossy(&common.stdout).trim());
        let own = tempfile::tempdir_in(common.parent().unwrap()).unwrap();
        let status =
            Command::new("cp").arg("-al").arg(format!("{}/.", common.display())).arg(own.path()).status().unwrap();
        assert!(status.success());
        self.store = Some(own);
    }

    /// Runs gen; gives the number of nodes of the example that are left.
    pub fn generate(&self) -> usize {
        self.run("gen", &["--target", TARGET]);
        fs::read_to_string(self.path("build.ninja"))
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("build out/stamps/x86_64-linux/greeting/"))
            .count()
    }

    /// Runs ninja; gives the names of what it ran, sorted, without patches and packages.
    pub fn build(&self) -> Vec<String> {
        let output = self.ninja();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let prefix = format!("run {TARGET}/greeting/");
        let mut ran: Vec<_> =
            text.lines().filter_map(|line| line.split_once(&prefix)).map(|(_, name)| name.to_owned()).collect();
        ran.sort();
        ran
    }

    /// Runs ninja, which must fail; gives what it printed.
    pub fn failing_build(&self) -> String {
        let output = self.ninja();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts ninja and interrupts it, as a terminal does, while it works.
    pub fn interrupt_build(&self) {
        let mut child = self.ninja_command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(60));
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        child.wait().unwrap();
    }

    /// What the program prints that the stamp stands for.
    pub fn output(&self) -> String {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("greeting");
        self.run("checkout", &["x86_64-linux/greeting/greeting", program.to_str().unwrap()]);
        let output = Command::new(program.join("greeting")).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the program prints that is installed from the package.
    pub fn installed_output(&self) -> String {
        self.output()
    }

    /// The digest of a node's tree.
    pub fn stamp(&self, node: &str) -> String {
        let text = self.run("checkout", &[&format!("x86_64-linux/greeting/{node}"), "--digest"]);
        String::from_utf8(text.stdout).unwrap()
    }

    /// Replaces a text in a source; it must be there.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.sources().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
    }

    /// Adds a source file.
    pub fn write_file(&self, file: &str, text: &str) {
        fs::write(self.sources().join(file), text).unwrap();
    }

    /// Removes a source file.
    pub fn remove_file(&self, file: &str) {
        fs::remove_file(self.sources().join(file)).unwrap();
    }

    /// What a clean checkout lacks.
    pub fn remove_outputs(&self) {
        self.run("clean", &[]);
        assert!(!self.path("build.ninja").exists() && !self.path("out").exists());
    }

    /// Takes all results away, with the trees and the bytes, but not the pinned sources' and images'.
    pub fn empty_results_of_store(&self) {
        for node in ["main.o", "words.o", "greeting"] {
            self.lose_blobs_of(node);
        }
    }

    /// Removes the bytes of a node's tree from the store, behind everybody's back.
    pub fn lose_blobs_of(&self, node: &str) {
        assert!(self.store.is_some(), "only in a store of one's own");
        let listing = self.run("checkout", &[&format!("x86_64-linux/greeting/{node}"), "--list"]);
        for path in String::from_utf8(listing.stdout).unwrap().lines() {
            fs::remove_file(path).unwrap();
        }
    }

    fn ninja(&self) -> Output {
        self.ninja_command().output().unwrap()
    }

    fn ninja_command(&self) -> Command {
        let mut command = Command::new(&self.ninja);
        command.current_dir(self.folder.path()).arg("greeting").stdin(Stdio::null());
        self.set_store(&mut command);
        command
    }

    fn set_store(&self, command: &mut Command) {
        if let Some(store) = &self.store {
            command.env("PYNBOX_CACHE", store.path());
        }
    }

    fn run(&self, verb: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_own-recipes"));
        command.current_dir(self.folder.path()).arg(verb).args(arguments).stdin(Stdio::null());
        self.set_store(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{verb} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sources(&self) -> PathBuf {
        self.path("recipes/files/greeting")
    }
}

/// A number that no other space has.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{now}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
