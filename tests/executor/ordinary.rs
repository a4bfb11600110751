//! The same as another user, and where the host's mounts have flags that may not be taken away.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pynbox_build::executor::ExecutorError;
use testing::{NOBODY, helper};

use crate::bench::Bench;

/// This program, copied where another user may run it.
fn copy_of_this_program(folder: &Path) -> PathBuf {
    let program = folder.join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
#[ignore = "needs root"]
fn everything_holds_for_an_ordinary_user() {
    let folder = tempfile::tempdir().unwrap();
    let program = copy_of_this_program(folder.path());
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    chown(&temporary, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = Command::new(program);
    command.current_dir(&temporary).env("TMPDIR", &temporary).env("HOME", &temporary);
    let output = command.uid(NOBODY).gid(NOBODY).output().unwrap();
    assert!(output.status.success(), "as an ordinary user:\n{}", text(&output));
    assert!(text(&output).contains("the_view_is_the_contracts ... ok"), "{}", text(&output));
}

/// Runs a helper in a mount namespace where `TMPDIR` lies on a file system with the given flags.
fn on_a_file_system(flags: &str, helper: &str) {
    let folder = tempfile::tempdir().unwrap();
    let program = copy_of_this_program(folder.path());
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let script = "mount -t tmpfs -o \"$1\" none \"$TMPDIR\" && exec unshare --user --map-root-user --mount \"$2\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", flags]).arg(program);
    let output = command.env("TMPDIR", &temporary).envs(helper::environment(helper, "")).output().unwrap();
    assert!(output.status.success(), "on {flags}:\n{}", text(&output));
}

#[test]
fn locked_flags_of_the_hosts_mounts_stay() {
    on_a_file_system("nosuid,nodev,noatime", "golden view");
}

#[test]
fn a_file_system_without_execution_is_an_error() {
    on_a_file_system("nosuid,nodev,noexec", "noexec");
}

/// Compares the view of an action with the golden one.
pub(crate) fn golden_view() {
    assert_eq!(Bench::new().probe("view", ""), include_str!("../golden/executor-view.txt"));
}

/// Runs an action in a `TMPDIR` that allows no execution.
pub(crate) fn noexec() {
    let error = Bench::new().try_run(&["sh"]).unwrap_err();
    assert!(matches!(error, ExecutorError::Host { .. }), "{error}");
    assert!(error.to_string().contains("mounted `noexec`: choose another place"), "{error}");
}

/// Probes for namespaces where none may be made.
pub(crate) fn no_namespaces() {
    let error = pynbox_build::executor::probe().unwrap_err();
    assert_eq!(error.fault(), pynbox_build::executor::Fault::Environment);
    assert!(error.to_string().contains("sudo sysctl user.max_user_namespaces=10000"), "{error}");
}

#[test]
fn a_machine_without_user_namespaces_is_told_what_to_change() {
    pynbox_build::executor::probe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = copy_of_this_program(folder.path());
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]).arg(program);
    let output = command.envs(helper::environment("no namespaces", "")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// Probes for namespaces where too few files may be open.
pub(crate) fn low_limits() {
    let error = pynbox_build::executor::probe().unwrap_err().to_string();
    assert!(error.contains("setting the limit of open files to 4096") && error.contains("ulimit -H"), "{error}");
}

#[test]
fn a_user_with_too_low_limits_is_told_which() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 512 && exec \"$1\"", "sh"]).arg(std::env::current_exe().unwrap());
    let output = command.envs(helper::environment("low limits", "")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
