//! What the machine can do to an install: a full disk, a wrong clock, a proxy. Each gets a clear
//! word, and DEST stays as it was.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use pynbox_build::repository::publish::KeyChange;
use testing::scripted::{Server, answer, ranged};

use crate::install::Site;
use crate::room::{DAY, TARGET, at, key_text};

/// Fills the disk that has this folder of the room, and has the tool try; then makes room, and has
/// it try again. Gives the status and the words of the first try.
fn on_a_full_disk(site: &Site, full: &str, prepare: &str, dest: &str) -> (Option<i32>, String) {
    let (key, folder) = (key_text(1), site.room.folder());
    let tool = site.command(&["install", dest, "python", "--target", TARGET, "--repo", &folder, "--trust", &key]);
    let script = format!(
        "mkdir -p ../{full} && mount -t tmpfs -o size=1m none ../{full} && {prepare}
         look() {{ find {dest} -type f ! -name .lock -exec sha256sum {{}} + | sort; }}
         look >../before; \"$@\" 2>../said; status=$?
         look | cmp - ../before || exit 98
         mount -o remount,size=32m ../{full} && \"$@\" || exit 99
         exit $status"
    );
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new("unshare");
    command.args([if root { "-m" } else { "-rm" }, "sh", "-c", &script, "sh"]);
    command.arg(tool.get_program()).args(tool.get_args()).current_dir(site.room.path("here")).env_clear();
    command.envs(tool.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let status = command.output().unwrap().status.code();
    (status, fs::read_to_string(site.room.path("said")).unwrap())
}

#[test]
fn a_full_disk_is_named_and_changes_nothing() {
    let site = Site::new();
    let key = key_text(1);
    assert_eq!(site.install(&site.room.folder(), &["--trust", &key]).0, Some(0));
    site.publish(&[site.room.large("python", "2", 1_500_000)]);
    // Where packages are unpacked, and where they arrive.
    for (full, prepare, dest) in [("full", "cp -a ../dest ../full", "../full/dest"), ("cache", "true", "../dest")] {
        let (status, said) = on_a_full_disk(&site, full, prepare, dest);
        // The folder itself, or a file below it: several are written at a time.
        let names_folder = ['/', '`'].iter().any(|end| said.contains(&format!("/{full}{end}")));
        let is_named = said.contains("No space left on device") && names_folder;
        assert!(status == Some(3) && is_named, "{status:?} {said}");
    }
}

#[test]
fn a_wrong_clock_is_named_and_changes_nothing() {
    let site = Site::new();
    let key = key_text(1);
    assert_eq!(site.install(&site.room.folder(), &["--trust", &key]).0, Some(0));
    let before = site.dest();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for (days, part) in [(-40, "expired on"), (2, "one of the two clocks is wrong")] {
        let folder = site.room.path(&format!("days{days}"));
        let place = at(folder.to_str().unwrap());
        let signed = now.saturating_add_signed(days * DAY as i64);
        let (memory, packages) = (site.room.path(&format!("days{days}.json")), [site.room.large("python", "2", 1000)]);
        let published =
            site.room.publish_as(&place, &crate::room::key(1), &memory, &packages, &KeyChange::default(), signed);
        published.unwrap();
        let (status, said) = site.install(folder.to_str().unwrap(), &["--trust", &key]);
        assert!(status == Some(3) && said.contains(part) && said.contains("clock"), "{status:?} {said}");
        assert_eq!(site.dest(), before);
    }
}

#[test]
fn proxies_are_used_and_named() {
    let site = Site::new();
    let (folder, key) = (PathBuf::from(site.room.folder()), key_text(1));
    let proxy = Server::start(move |request, _, stream| {
        let path = request.path.trim_start_matches("http://packages.invalid");
        if path.starts_with("/login") {
            return answer(stream, 200, &[], b"<html>Log in first</html>");
        }
        match fs::read(folder.join(path.trim_start_matches('/'))) {
            Ok(bytes) => ranged(request, stream, &bytes),
            Err(_) => answer(stream, 404, &[], b""),
        }
    });
    let install = |repo: &str, environment: &[(&str, &str)]| {
        let line = ["install", "../dest", "python", "--target", TARGET, "--repo", repo, "--trust", &key];
        let output = site.command(&line).envs(environment.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (there, nowhere) = (proxy.url(""), ("http_proxy", "http://user:secret@127.0.0.1:1"));
    let (status, said) = install("http://packages.invalid", &[nowhere]);
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("through the proxy `http://127.0.0.1:1/`") && !said.contains("secret"), "{said}");
    let (status, said) = install("http://packages.invalid/login", &[("http_proxy", &there)]);
    assert!(status == Some(3) && said.contains("a web page came"), "{status:?} {said}");
    assert!(site.dest().is_empty());
    let (status, said) = install("http://packages.invalid", &[("http_proxy", &there)]);
    assert_eq!(status, Some(0), "{said}");
    assert!(proxy.requests().iter().all(|request| request.path.starts_with("http://packages.invalid/")));
    let (status, said) = install(&there, &[nowhere, ("no_proxy", "elsewhere.invalid,127.0.0.1")]);
    assert_eq!(status, Some(0), "{said}");
}
