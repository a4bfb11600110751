//! The scripts find what cargo built, wherever a user's settings have it built.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The only target that this project runs on.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A project of cargo with our script and a program of our name, which is compiled in a moment.
fn project() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for path in ["project/src", "project/scripts", "home", "tools", "other"] {
        fs::create_dir_all(at(path)).unwrap();
    }
    fs::write(
        at("project/Cargo.toml"),
        "[package]\nname = \"pynbox-build\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    )
    .unwrap();
    fs::write(at("project/Cargo.lock"), "version = 4\n\n[[package]]\nname = \"pynbox-build\"\nversion = \"0.1.0\"\n")
        .unwrap();
    fs::write(at("project/src/main.rs"), "fn main() {}\n").unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/built.py"), at("project/scripts/built.py")).unwrap();
    folder
}

fn run(folder: &Path, settings: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    fs::write(folder.join("home/config.toml"), settings).unwrap();
    let mut command = Command::new("python3");
    command.arg(folder.join("project/scripts/built.py")).args(arguments).current_dir("/");
    let path = format!("{}:{}", folder.join("tools").display(), std::env::var("PATH").unwrap());
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_TARGET", "CARGO_INCREMENTAL"] {
        command.env_remove(name);
    }
    command.env("PATH", path).env("CARGO_HOME", folder.join("home")).envs(variables.iter().copied()).output().unwrap()
}

fn path(output: &Output) -> PathBuf {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
}

#[test]
fn what_cargo_built_is_found_wherever_it_is() {
    let folder = project();
    let other = folder.path().join("other");
    let other = other.to_str().unwrap();
    let target_dir = format!("[build]\ntarget-dir = \"{other}/settings\"\n");
    let target = format!("[build]\ntarget = \"{TARGET}\"\n");
    let both = format!("[build]\ntarget-dir = \"{other}/both\"\ntarget = \"{TARGET}\"\n");
    let variable = format!("{other}/variable");
    for (settings, variables, expected) in [
        ("", &[][..], "project/target/release".to_owned()),
        (&target_dir, &[], "other/settings/release".to_owned()),
        ("", &[("CARGO_TARGET_DIR", &*variable)], "other/variable/release".to_owned()),
        ("", &[("CARGO_BUILD_TARGET_DIR", &*variable)], "other/variable/release".to_owned()),
        (&target_dir, &[("CARGO_TARGET_DIR", "relative")], "project/relative/release".to_owned()),
        ("", &[("CARGO_BUILD_TARGET", TARGET)], format!("project/target/{TARGET}/release")),
        (&target, &[], format!("project/target/{TARGET}/release")),
        (&both, &[], format!("other/both/{TARGET}/release")),
    ] {
        let expected = folder.path().join(expected).join("pynbox-build");
        let what = format!("{settings}{variables:?}");
        assert_eq!(path(&run(folder.path(), settings, variables, &["--build"])), expected, "{what}");
        assert!(expected.is_file(), "{what}");
        // The same for who did not build it, when nothing else lies there.
        let elsewhere =
            expected.ancestors().nth(if expected.to_string_lossy().contains(TARGET) { 3 } else { 2 }).unwrap();
        assert_eq!(path(&run(folder.path(), settings, variables, &[])), expected, "{what}");
        fs::remove_dir_all(elsewhere).unwrap();
    }
}

#[test]
fn what_was_not_built_is_said_and_a_failure_of_cargo_is_ours() {
    let folder = project();
    let none = run(folder.path(), "", &[], &[]);
    assert_eq!(none.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&none.stderr).contains("build it: `cargo build --release`"));
    fs::write(folder.path().join("project/src/main.rs"), "fn main() { nothing }\n").unwrap();
    let failed = run(folder.path(), "", &[], &["--build"]);
    assert_eq!(failed.status.code(), Some(101));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("cannot find value"), "{failed:?}");
    assert_eq!(run(folder.path(), "", &[], &["--other"]).status.code(), Some(2));
}

#[test]
fn of_several_targets_the_named_one_or_the_newest_counts() {
    let folder = project();
    let target = folder.path().join("project/target");
    for (place, age) in [("release", 10), (&*format!("{TARGET}/release"), 5), ("x86_64-other/release", 20)] {
        fs::create_dir_all(target.join(place)).unwrap();
        let file = target.join(place).join("pynbox-build");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        fs::File::options().append(true).open(&file).unwrap().set_modified(time).unwrap();
    }
    let found = |variables: &[(&str, &str)]| path(&run(folder.path(), "", variables, &[]));
    assert_eq!(found(&[]), target.join(TARGET).join("release/pynbox-build"));
    assert_eq!(found(&[("CARGO_BUILD_TARGET", "x86_64-other")]), target.join("x86_64-other/release/pynbox-build"));
}
