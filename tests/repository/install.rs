//! `install --repo` and `install.sh`: whatever a repository does, DEST changes as a whole or not at
//! all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use pynbox_build::repository::bootstrap;
use pynbox_build::repository::publish::KeyChange;
use testing::web;

use crate::room::{Built, Room, TARGET, at, key_text};

/// A loader that writes down with what it was called, and which code it was given.
const LOADER: &[u8] = b"#!/bin/sh
here=$(dirname \"$0\")
echo \"$@\" >>\"$here/../called\"
";

pub(crate) struct Site {
    pub(crate) room: Room,
    packages: Vec<Built>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let room = Room::new();
        let packages = vec![
            room.package("sandbox_outer", "1", &[("bin/run", LOADER)]).stated(1),
            room.package("sandbox_inner", "1", &[("root/slib/x.so", b"\0asm")]).stated(1),
            room.large("python", "1", 100_000).stated(1),
        ];
        let site = Self { room, packages };
        site.publish(&site.packages);
        site
    }

    pub(crate) fn publish(&self, packages: &[Built]) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        self.room.publish(&at(&self.room.folder()), 1, packages, &KeyChange::default(), now).unwrap();
    }

    pub(crate) fn tool(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        fs::create_dir_all(self.room.path("here")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pynbox-build"));
        command.args(arguments).current_dir(self.room.path("here")).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("PYNBOX_CACHE", self.room.path("cache"));
        command
    }

    /// Installs python from a repository; gives the status and what was said.
    pub(crate) fn install(&self, repo: &str, more: &[&str]) -> (Option<i32>, String) {
        let arguments = [&["install", "../dest", "python", "--target", TARGET, "--repo", repo], more].concat();
        let output = self.tool(&arguments);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// Every file of DEST with its bytes.
    pub(crate) fn dest(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for entry in walkdir::WalkDir::new(self.room.path("dest")).sort_by_file_name().into_iter().flatten() {
            let path = entry.path().display().to_string();
            if entry.file_type().is_file() && !path.ends_with(".lock") {
                files.push((path, fs::read(entry.path()).unwrap()));
            }
        }
        files
    }
}

#[test]
fn packages_are_installed_and_upgraded() {
    let site = Site::new();
    let key = key_text(1);
    let (status, said) = site.install(&site.room.folder(), &["--trust", &key]);
    assert_eq!((status, sorted(&said)), (Some(0), site.said()));
    let called = fs::read_to_string(walk(&site.room.path("dest"), "called")).unwrap();
    assert!(called.contains("--precompile") && called.contains("/slib/x.so"), "{called}");
    site.publish(&[site.room.large("python", "2", 200_000)]);
    assert_eq!(site.install(&site.room.folder(), &["--trust", &key]).0, Some(0));
    let data = fs::read(walk(&site.room.path("dest"), "data")).unwrap();
    assert_eq!(data.len(), 200_000);
}

impl Site {
    /// What an install from a folder says on standard error, in the order of the alphabet.
    fn said(&self) -> Vec<String> {
        let lines = self.packages.iter().map(|package| {
            let (name, version, size) = (&package.entry.name, &package.entry.version, package.entry.object.size);
            format!("fetched `{name} {version}` ({size} bytes) from {}", self.room.folder())
        });
        sorted(&lines.collect::<Vec<_>>().join("\n"))
    }
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A file of this name, wherever it lies below a folder.
fn walk(folder: &Path, name: &str) -> std::path::PathBuf {
    let mut files = walkdir::WalkDir::new(folder).follow_links(true).into_iter().flatten();
    files.find(|entry| entry.file_name() == name).unwrap().into_path()
}

#[test]
fn a_name_in_the_settings_brings_its_keys() {
    let site = Site::new();
    fs::create_dir_all(site.room.path("here")).unwrap();
    let settings = format!(
        "[[repository]]\nname = \"team\"\nurl = \"../repository\"\ntrust = [\"{}\"]\n\n[[repository]]\nname = \"other\"\nurl = \"../repository\"\n",
        key_text(1)
    );
    fs::write(site.room.path("here/pynbox.toml"), settings).unwrap();
    assert_eq!(site.install("team", &[]).0, Some(0));
    let (status, said) = site.install("other", &[]);
    assert!(status == Some(2) && said.contains("--trust KEY"), "{said}");
}

#[test]
fn lies_and_outages_change_nothing() {
    let site = Site::new();
    let (own, folder) = (key_text(1), site.room.folder());
    assert_eq!(site.install(&folder, &["--trust", &own]).0, Some(0));
    let before = site.dest();
    let refused = |arguments: &[&str], status, part: &str| {
        let (code, said) = site.install(&folder, arguments);
        assert!(code == Some(status) && said.contains(part), "{part}: {code:?} {said}");
        assert_eq!(site.dest(), before, "{part}");
    };
    refused(&["--trust", &key_text(2)], 2, "no trusted key");
    refused(&["--trust", "vax"], 2, "`vax`");
    refused(&[], 2, "--trust KEY");
    let two = site.room.large("python", "2", 300_000);
    site.publish(std::slice::from_ref(&two));
    let archive = site.room.path("repository").join(two.entry.object_name());
    fs::write(&archive, [7; 1000]).unwrap();
    refused(&["--trust", &own], 3, "bytes came");
    fs::write(&archive, vec![7; two.bytes.len()]).unwrap();
    refused(&["--trust", &own], 2, "does not have the bytes");
    fs::remove_file(&archive).unwrap();
    refused(&["--trust", &own], 2, "is not there");
    fs::remove_file(site.room.path("repository/index.json")).unwrap();
    refused(&["--trust", &own], 2, "no signed index");
    fs::write(site.room.path("repository/index.json"), "{").unwrap();
    refused(&["--trust", &own], 2, "no signed document");
}

/// The tool that the script fetches here says with what it was called.
#[test]
#[ignore = "needs nginx and curl or wget"]
fn the_script_installs_by_the_tool() {
    let site = Site::new();
    let tool = site.room.path("tool");
    fs::write(&tool, "#!/bin/sh\necho \"$@\"\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let outer = site.room.path("outer");
    fs::write(&outer, &site.packages[0].bytes).unwrap();
    let tools = [bootstrap::tool(&tool).unwrap(), bootstrap::loader(fs::File::open(outer).unwrap()).unwrap()];
    let server = web::nginx(&site.room.path("nginx"));
    let files = site.room.path("nginx/files");
    fs::create_dir_all(files.join("tools")).unwrap();
    for tool in &tools {
        fs::write(files.join(tool.entry.object_name()), &tool.bytes).unwrap();
    }
    let address = format!("http://127.0.0.1:{}", server.port);
    let entries: Vec<_> = tools.iter().map(|tool| tool.entry.clone()).collect();
    let script = site.room.path("install.sh");
    fs::write(&script, bootstrap::script(&address, "KEY", &entries).unwrap()).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new("sh").arg(&script).args(arguments).current_dir(site.room.path("")).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (status, out, err) = run(&["a dest", "python=1"]);
    assert_eq!((status, out), (Some(0), format!("install --repo {address} --trust KEY a dest python=1\n")), "{err}");
    assert_eq!(run(&["--loader", "only"]).0, Some(0));
    assert_eq!(fs::read(site.room.path("only/bin/run")).unwrap(), LOADER);
    assert_eq!(run(&[]).0, Some(2));
    // Other bytes are not run.
    let mut other = tools[0].bytes.clone();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    fs::write(files.join(entries[0].object_name()), other).unwrap();
    let (status, out, err) = run(&["dest"]);
    assert!(status == Some(2) && out.is_empty() && err.contains("SHA-256"), "{status:?} {out} {err}");
    fs::remove_file(files.join(entries[0].object_name())).unwrap();
    assert_eq!(run(&["dest"]).0, Some(3));
}
