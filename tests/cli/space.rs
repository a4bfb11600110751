//! A project and a store of a test's own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A project without anything built, and an empty store.
pub(crate) struct Space(TempDir);

impl Space {
    pub(crate) fn new() -> Self {
        let space = Self(tempfile::tempdir().unwrap());
        fs::create_dir(space.path("project")).unwrap();
        fs::write(space.path("project/pynbox.toml"), "").unwrap();
        space
    }

    /// The name of a node whose tree the project's plan knows.
    pub(crate) fn known_node(&self) -> String {
        let plan = fs::read(self.path("project/out/plan")).unwrap();
        let text = String::from_utf8_lossy(&plan);
        let mut words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let node = words.find(|words| words.len() >= 11 && words[0] == "node" && words[5] != "-");
        node.unwrap()[8].to_owned()
    }

    /// A path beside the project.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// All verbs, those of `cache` and `source` with both words, as the tool itself lists them.
    pub(crate) fn verbs(&self) -> Vec<String> {
        let listed = |group: &[&str]| -> Vec<String> {
            let (_, help, _) = ended(&self.tool(group.iter().chain(&["--help"])).output().unwrap());
            // The verbs of the tool itself stand in groups, before the options.
            let after = |line: &&str| *line != "Commands:" && !(group.is_empty() && *line == "Build:");
            let commands = help.lines().skip_while(after).take_while(|line| !line.ends_with("ptions:"));
            let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
            names.filter_map(|line| line.split_whitespace().next()).map(ToOwned::to_owned).collect()
        };
        let mut all = Vec::new();
        for verb in listed(&[]) {
            match listed(&[&verb]) {
                _ if verb == "help" => {}
                below if below.is_empty() => all.push(verb),
                below => all.extend(below.iter().filter(|name| *name != "help").map(|name| format!("{verb} {name}"))),
            }
        }
        assert!(all.len() > 20, "{all:?}");
        all
    }

    /// The tool in the project, with no settings but the store's place, and without the network.
    pub(crate) fn tool<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pynbox-build"));
        command.args(arguments).current_dir(self.path("project")).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("PYNBOX_CACHE", self.path("store")).env("HOME", self.path("home"));
        // rustup has the compilers below the caller's home, unless that is said.
        let rustup = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
        let rustup = rustup.or_else(|| Some(std::env::home_dir()?.join(".rustup")));
        command.envs(rustup.map(|rustup| ("RUSTUP_HOME", rustup)));
        command.stdin(std::process::Stdio::null());
        command
    }
}

/// The status, and both streams as text.
pub(crate) fn ended(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
