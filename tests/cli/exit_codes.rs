//! With which status each verb ends: 1 a build failed, 2 wrong usage or bad input, 3 the
//! environment.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use build_graph::Tree;
use build_graph::node::{Package, Target};
use pynbox_build::install::package;
use pynbox_build::store::Store;

use crate::space::{Space, ended};

/// Each verb with what it must be given; `DEST` is an installation, `FILE` a file, `NEW` nothing
/// yet.
const MINIMAL: [(&str, &str); 49] = [
    ("gen", ""),
    ("list", "--keys"),
    ("install", "NEW"),
    ("uninstall", "DEST none"),
    ("upgrade", "DEST"),
    ("rollback", "DEST"),
    ("prune", "DEST"),
    ("search", ""),
    ("which", "DEST/bin/run"),
    ("verify", "DEST"),
    ("provenance", "source/zlib/tree"),
    ("sbom", "source/zlib/tree"),
    ("export", "NEW"),
    ("publish", "NEW"),
    ("fetch", "zlib"),
    ("source add", "FILE"),
    ("source list", ""),
    ("lock", ""),
    ("why", "source/zlib/tree"),
    ("shell", "source/zlib/tree"),
    ("checkout", "source/zlib/tree NEW"),
    ("check", "python"),
    ("cache root", ""),
    ("cache stats", ""),
    ("cache verify", ""),
    ("cache keygen", "NEW"),
    ("cache sign", ""),
    ("cache check", ""),
    ("cache gc", ""),
    ("cache drop", "--signer 0123456789abcdef"),
    ("cache export", "NEW"),
    ("cache import", "FILE"),
    ("build", ""),
    ("watch", ""),
    ("ci", ""),
    ("log", "source/zlib/tree"),
    ("report", ""),
    ("diff", "plan now"),
    ("query deps", "source/zlib/tree"),
    ("query rdeps", "source/zlib/tree"),
    ("query path", "source/zlib/tree source/zlib/tree"),
    ("query sources", "source/zlib/tree"),
    ("query patches", "source/zlib/tree"),
    ("graph", "--dot"),
    ("init", "PROJECT"),
    ("completions", "bash"),
    ("man", "PAGES"),
    ("clean", ""),
    ("run-action", "source/zlib/tree"),
];

/// Verbs that look for an installation first.
const OF_DEST: [&str; 6] = ["uninstall", "upgrade", "rollback", "prune", "which", "verify"];
/// Verbs that need no project.
const WITHOUT_PROJECT: [&str; 9] = [
    "cache root",
    "cache stats",
    "cache verify",
    "cache keygen",
    "cache gc",
    "cache drop",
    "init",
    "completions",
    "man",
];
/// Verbs that need no store.
const WITHOUT_STORE: [&str; 5] = ["cache keygen", "clean", "init", "completions", "man"];

fn space() -> Space {
    let space = Space::new();
    fs::write(space.path("project/FILE"), "no source, no pack").unwrap();
    fs::create_dir(space.path("project/FOLDER")).unwrap();
    fs::write(space.path("project/FOLDER/file"), "something").unwrap();
    space
}

/// Runs the tool offline with these words.
#[track_caller]
fn assert_status(space: &Space, command: &mut Command, status: i32, part: &str) {
    let (ended_with, out, err) = ended(&command.output().unwrap());
    let shown = err.replace(&*space.path("").to_string_lossy(), "SPACE/");
    assert!(
        ended_with == Some(status) && err.contains(part),
        "{command:?}: {ended_with:?}, not {status} with `{part}`:\n{out}{shown}"
    );
    let said = err.lines().find(|line| !line.starts_with("note: "));
    assert!(status == 0 || said.is_some_and(|line| line.starts_with("error: ")), "{command:?}: {err}");
    assert!(!err.contains('\u{fffd}') && !err.contains("Error {") && !err.contains("Os {"), "{command:?}: {err}");
}

fn offline(space: &Space, line: &str) -> Command {
    space.tool(["--offline"].into_iter().chain(line.split_whitespace()))
}

#[test]
fn every_verb_is_tried() {
    let space = space();
    let mut tried: Vec<_> = MINIMAL.iter().map(|(verb, _)| *verb).filter(|verb| *verb != "run-action").collect();
    let mut verbs = space.verbs();
    tried.sort_unstable();
    verbs.sort_unstable();
    assert_eq!(tried, verbs);
}

#[test]
fn a_folder_that_is_no_project_is_bad_input() {
    let space = space();
    fs::remove_file(space.path("project/pynbox.toml")).unwrap();
    for (verb, arguments) in MINIMAL.into_iter().filter(|(verb, _)| !OF_DEST.contains(verb)) {
        let status = if WITHOUT_PROJECT.contains(&verb) { 0 } else { 2 };
        let part = if status == 0 { "" } else { "there is no `pynbox.toml`" };
        assert_status(&space, &mut offline(&space, &format!("{verb} {arguments}")), status, part);
        if status == 2 {
            let elsewhere = format!("-C nowhere {verb} {arguments}");
            assert_status(&space, &mut offline(&space, &elsewhere), 2, "`nowhere`");
        }
    }
    fs::write(space.path("project/pynbox.toml"), "[build]\ntarget = 7\n").unwrap();
    // Who is not to be trusted may stand there.
    for line in ["install NEW --repo FOLDER --unsigned", "publish NEW --renew"] {
        assert_status(&space, &mut offline(&space, line), 2, "pynbox.toml` is malformed");
    }
    let needs_project = |verb: &str| !WITHOUT_PROJECT.contains(&verb) && !OF_DEST.contains(&verb);
    for (verb, arguments) in MINIMAL.iter().filter(|(verb, _)| needs_project(verb)) {
        assert_status(&space, &mut offline(&space, &format!("{verb} {arguments}")), 2, "pynbox.toml` is malformed");
    }
}

#[test]
fn a_store_that_cannot_be_made_is_the_environments_fault() {
    let space = space();
    for (verb, arguments) in MINIMAL {
        let (status, part) = match verb {
            _ if WITHOUT_STORE.contains(&verb) => (0, ""),
            "which" => (2, "`DEST"),
            _ if OF_DEST.contains(&verb) => (2, "nothing is installed in `DEST`"),
            // What is expected is read first, and this project has nothing.
            "check" => (2, "reasons.toml"),
            _ => (3, "`/proc/nothing/store`"),
        };
        let line = format!("{verb} {arguments}");
        assert_status(&space, offline(&space, &line).env("PYNBOX_CACHE", "/proc/nothing/store"), status, part);
    }
}

#[test]
fn wrong_usage_and_bad_input() {
    let space = space();
    for line in [
        // Before there is a plan.
        "why source/zlib/tree",
        "run-action source/zlib/tree",
        "install NEW",
    ] {
        assert_status(&space, &mut offline(&space, line), 2, "pynbox-build gen`");
    }
    assert_status(&space, &mut offline(&space, "gen"), 0, "");
    fs::create_dir_all(space.path("project/tests/expected")).unwrap();
    fs::write(space.path("project/tests/expected/reasons.toml"), "reason = []\n").unwrap();
    for (line, part) in [
        ("gen --target vax", "no target `vax`; there are"),
        ("gen --override-source zlib", "NAME=PATH"),
        ("gen --override-source vax=/", "no source `vax`"),
        ("gen --override-source zlib=nowhere", "`--override-source zlib=SPACE"),
        ("gen --override-source zlib=FILE", "`--override-source zlib="),
        ("gen --remote vax", "`vax` names no remote"),
        ("gen --remote a=vax://b", "`vax://b`"),
        ("gen --executor vax", "'vax'"),
        ("gen --executor reapi", "[engine]"),
        ("install NEW --target vax", "no target `vax`; there are"),
        ("install NEW --target vax --repo FOLDER", "no target `vax`; there are"),
        ("install NEW vax", "no package `vax`"),
        ("install NEW --repo nowhere", "`nowhere`"),
        ("install NEW --repo FILE", "`FILE`"),
        ("install NEW --repo FOLDER", "no signed index"),
        ("install NEW --repo FOLDER --unsigned", "no package"),
        ("install NEW --unsigned", "--repo"),
        ("publish FOLDER", "no key to sign"),
        ("install FILE", "`FILE"),
        ("install FILE/below", "`FILE"),
        ("install NEW --verify", "nothing is installed"),
        ("install NEW --verify --repo FOLDER", "--repo"),
        ("uninstall FOLDER python", "nothing is installed"),
        ("uninstall FOLDER", "PACKAGE"),
        ("upgrade FOLDER", "nothing is installed"),
        ("rollback FILE", "nothing is installed"),
        ("rollback FOLDER x", "'x'"),
        ("prune FOLDER --keep x", "'x'"),
        ("search vax", "no package has `vax` in its name"),
        ("which nowhere/file", "`nowhere`"),
        ("which FILE", "in no folder that packages are installed in"),
        ("verify FOLDER", "nothing is installed"),
        ("provenance vax/vax", "no node `vax/vax`"),
        ("provenance wasm32-wasi/zlib/package", "is not built"),
        ("sbom vax/vax", "no node `vax/vax`"),
        ("sbom zlib --format vax", "'vax'"),
        ("export FILE", "`FILE`"),
        ("export NEW --target vax", "no target `vax`"),
        ("fetch vax", "no source `vax`"),
        ("fetch --target vax", "no target `vax`"),
        ("source add nowhere", "`nowhere`"),
        ("source add FOLDER", "`FOLDER`"),
        ("source add FILE", "no pinned source"),
        ("lock", "wanted.toml"),
        ("why vax/vax", "no node `vax/vax`"),
        ("why /", "`/`"),
        ("shell vax/vax", "no node `vax/vax`"),
        ("shell source/zlib/tree", "no action"),
        ("checkout vax/vax NEW", "no node `vax/vax`"),
        ("checkout source/zlib/tree", "DIR"),
        ("run-action vax/vax", "no node `vax/vax`"),
        ("check vax", "no suite `vax`"),
        ("check python --target vax", "no target `vax`"),
        ("check python --dest nowhere", "nowhere"),
        ("cache verify --remote-name vax", "no remote `vax`"),
        ("cache verify vax", "--remote-name"),
        ("cache keygen FILE", "`FILE`"),
        ("cache keygen nowhere/key", "`nowhere/key`"),
        ("cache sign", "no remote"),
        ("cache sign vax --remote a:rw=FOLDER/a", "begins with `vax`"),
        ("cache check 101%", "101%"),
        ("cache check 5% vax", "begins with `vax`"),
        ("cache gc --max-age 213503982334602", "213503982334602"),
        ("cache gc --max-age x", "'x'"),
        ("cache gc --max-size 5QB", "5QB"),
        ("cache drop", "--signer"),
        ("cache drop --signer vax", "`vax` is no key"),
        ("cache drop --origin vax", "came from `vax`"),
        ("cache drop vax", "begins with `vax`"),
        ("cache export NEW vax", "begins with `vax`"),
        ("cache export NEW --target vax", "no target `vax`"),
        ("cache import nowhere", "`nowhere`"),
        ("cache import FOLDER", "`FOLDER`"),
        ("cache import FILE", "`FILE`"),
        ("clean too much", "'too'"),
        ("vax", "'vax'"),
    ] {
        let part = part.replace("SPACE", &space.path("").to_string_lossy());
        assert_status(&space, &mut offline(&space, line), 2, part.trim_end_matches('/'));
        if line.starts_with("gen") {
            // No plan is current after one that failed.
            assert_status(&space, &mut offline(&space, "gen"), 0, "");
        }
    }
    assert!(!space.path("project/NEW").exists());
}

#[test]
fn what_the_network_or_this_machine_withholds_is_the_environments_fault() {
    let space = space();
    assert_status(&space, &mut offline(&space, "gen"), 0, "");
    fs::create_dir_all(space.path("project/recipes/locks")).unwrap();
    let wanted = "[debian]\nsuite = \"x\"\ncomponent = \"main\"\narchitecture = \"amd64\"\n";
    fs::write(space.path("project/recipes/locks/wanted.toml"), wanted).unwrap();
    assert_status(&space, &mut offline(&space, "gen"), 0, "");
    for (line, part) in [
        ("fetch zlib", "source `zlib`"),
        ("run-action source/zlib/archive", "source `zlib`"),
        ("checkout source/zlib/tree NEW", "source `zlib`"),
        ("install NEW", "can't be fetched"),
        ("lock", "`dists/x/InRelease`"),
    ] {
        let part = if line == "install NEW" { "--offline" } else { part };
        assert_status(&space, &mut offline(&space, line), 3, part);
    }
    let mut homeless = offline(&space, "cache root");
    homeless.env_remove("PYNBOX_CACHE").env_remove("HOME");
    assert_status(&space, &mut homeless, 3, "set `PYNBOX_CACHE`");
}

/// The verbs that write where they are told, or into the store, on a disk that is full.
#[test]
fn a_full_disk_is_the_environments_fault() {
    let space = space();
    assert_status(&space, &mut offline(&space, "gen"), 0, "");
    for (line, store) in [
        ("cache keygen FULL/key", "store"),
        ("export FULL/packages", "store"),
        ("install FULL/dest --repo FOLDER", "store"),
        ("cache root", "project/FULL/store"),
        ("gen", "project/FULL/store"),
        ("gen --override-source zlib=FOLDER", "project/FULL/store"),
        ("fetch", "project/FULL/store"),
        ("clean", "store"),
    ] {
        let _ = fs::create_dir(space.path("project/FULL"));
        let root = rustix::process::geteuid().is_root();
        let script = "mount -t tmpfs -o size=4k,nr_inodes=2 none FULL && echo x >FULL/x; exec \"$@\"";
        let tool = offline(&space, line);
        let mut command = Command::new("unshare");
        command.args([if root { "-m" } else { "-rm" }, "sh", "-c", script, "sh"]);
        command.arg(tool.get_program()).args(tool.get_args()).current_dir(space.path("project")).env_clear();
        command.envs(tool.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PYNBOX_CACHE", space.path(store));
        let status = if line == "clean" { 0 } else { 3 };
        // A repository without packages is bad input before anything is written.
        let status = if line.contains("--repo") { 2 } else { status };
        assert_status(&space, &mut command, status, "");
    }
}

#[test]
fn a_build_that_fails() {
    let space = space();
    fs::create_dir(space.path("project/sandbox")).unwrap();
    fs::write(space.path("project/sandbox/Cargo.toml"), "no manifest").unwrap();
    assert_status(&space, &mut offline(&space, "gen"), 0, "");
    for line in ["checkout host/sandbox_outer NEW", "run-action host/sandbox_outer"] {
        assert_status(&space, &mut offline(&space, line), 1, "cargo");
    }
}

#[test]
fn damage_that_verify_finds() {
    let space = space();
    assert_status(&space, &mut offline(&space, "gen"), 0, "");
    assert_status(&space, &mut offline(&space, "cache verify"), 0, "");
    let files = walkdir::WalkDir::new(space.path("store/trees")).into_iter().map(Result::unwrap);
    let tree = files.filter(|entry| entry.file_type().is_file()).last().unwrap().into_path();
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&tree, "other bytes").unwrap();
    assert_status(&space, &mut offline(&space, "cache verify"), 1, "1 things in the store were damaged");
    assert_status(&space, &mut offline(&space, "cache verify"), 0, "");
}

#[test]
fn a_node_that_is_there_goes_to_a_new_place_only() {
    let space = space();
    assert_status(&space, &mut offline(&space, "gen"), 0, "");
    let node = space.known_node();
    assert_status(&space, &mut offline(&space, &format!("checkout {node} NEW")), 0, "");
    for taken in ["FOLDER", "FILE", "NEW", ".", "..", "/", "FOLDER/"] {
        let command = format!("checkout {node} {taken}");
        assert_status(&space, &mut offline(&space, &command), 2, "is there already");
    }
    let nowhere = &mut offline(&space, &format!("checkout {node} nowhere/NEW"));
    assert_status(&space, nowhere, 2, "making `nowhere/NEW` failed");
    assert_status(&space, nowhere, 2, "make the folder that it is to lie in first");
    assert_status(&space, &mut offline(&space, &format!("checkout {node} FILE/NEW")), 2, "`FILE/NEW`");
}

/// The loader compiles what is installed; how it ends decides.
#[test]
fn an_installation_that_cannot_be_compiled() {
    let space = Space::new();
    for (ending, status) in [("exit 0", 0), ("exit 3", 3), ("exit 2", 2), ("exit 101", 101), ("kill -9 $$", 3)] {
        let repo = space.path("repo");
        let _ = fs::remove_dir_all(&repo);
        fs::create_dir(&repo).unwrap();
        let loader = format!("#!/bin/sh\n{ending}\n");
        write_package(&space, &repo, "sandbox_outer", "1", &[], &[("bin/run", loader.as_bytes())]);
        write_package(&space, &repo, "sandbox_inner", "1", &[], &[("root/slib/x.so", b"\0asm")]);
        let dest = space.path(format!("dest-{status}-{}", ending.len()));
        let mut command = space.tool(["install", "--unsigned", "--repo"]);
        command.args([&repo, &dest]).args(["sandbox_inner", "--target", "wasm32-wasi"]);
        let part = if status == 0 { "" } else { "can't compile what is installed" };
        assert_status(&space, &mut command, status, part);
    }
}

/// Writes a package of the default target into a folder.
pub(crate) fn write_package(
    space: &Space,
    repo: &Path,
    name: &str,
    version: &str,
    requires: &[&str],
    files: &[(&str, &[u8])],
) {
    let store = Store::open(&space.path("packages")).unwrap();
    let mut tree = Tree::new();
    for (path, bytes) in files {
        tree.insert(path.parse().unwrap(), store.put_bytes(bytes, path.starts_with("bin/")).unwrap()).unwrap();
    }
    let target = Target("wasm32-wasi".into());
    let requires = requires.iter().map(|name| (*name).to_owned()).collect();
    let package = Package { name: name.to_owned(), version: version.to_owned(), target, requires, content: Vec::new() };
    let archive = fs::File::create(repo.join(package::file_name(&package))).unwrap();
    package::write(&package, &tree, &store, archive).unwrap();
}
