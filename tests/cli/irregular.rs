//! What is named and is no regular file is refused; nobody waits for a pipe that nobody writes to.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::space::{Space, ended};

fn pipe(path: &std::path::Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

/// Runs the tool in the space; ends it, so that the test fails, if it waits for ever.
#[track_caller]
fn assert_refuses(space: &Space, words: &str, part: &str) {
    let tool = space.tool(words.split(' '));
    let mut command = Command::new("timeout");
    command.args(["60", tool.get_program().to_str().unwrap()]).args(tool.get_args()).env_clear();
    command.envs(tool.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.current_dir(space.path("project")).stdin(std::process::Stdio::null()).output().unwrap();
    let (status, out, err) = ended(&output);
    assert_eq!(status, Some(2), "{words}\n{out}{err}");
    assert!(err.contains(part), "{words}: `{part}` is not in\n{err}");
}

#[test]
fn files_on_the_command_line_have_to_be_regular() {
    let space = Space::new();
    let at = |name: &str| space.path("project").join(name);
    pipe(&at("pipe"));
    symlink("pipe", at("link")).unwrap();
    symlink("/dev/zero", at("device")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    for name in ["pipe", "link", "device", "socket", "/dev/full"] {
        for words in ["source add NAME", "cache import NAME", "gen --override-source zlib=NAME"] {
            let words = words.replace("NAME", name);
            assert_refuses(&space, &words, "it is no regular file");
        }
    }
    for words in ["source add folder", "cache import folder"] {
        assert_refuses(&space, words, "folder");
    }
}

#[test]
fn files_of_a_repository_have_to_be_regular() {
    let space = Space::new();
    let at = |name: &str| space.path("project/repo").join(name);
    let archive = |name: &str| format!("{name}-1-wasm32-wasi.tar.zst");
    pipe(&at(&archive("sandbox_outer")));
    symlink(archive("sandbox_outer"), at(&archive("sandbox_inner"))).unwrap();
    symlink("/dev/zero", at(&archive("python"))).unwrap();
    fs::create_dir(at(&archive("tests"))).unwrap();
    let _socket = UnixListener::bind(at(&archive("lxml"))).unwrap();
    assert_refuses(&space, "install --unsigned --repo repo dest", "it is no regular file");
    let (_, _, err) = ended(&space.tool(["install", "--unsigned", "--repo", "repo", "dest"]).output().unwrap());
    for name in ["sandbox_outer", "sandbox_inner", "python", "tests", "lxml"] {
        assert!(err.contains(&format!("{}` is left out: ", archive(name))), "{name}: {err}");
    }
    assert!(!space.path("project/dest/bin").exists());
}

#[test]
fn files_of_a_project_have_to_be_regular() {
    for (path, words) in [
        ("recipes/locks/wanted.toml", "gen"),
        ("recipes/locks/wanted.toml", "lock"),
        ("recipes/locks/sources.toml", "gen"),
        ("recipes/locks/images.toml", "source list"),
        ("patches/zlib-1/wasm32-wasi/0001-a.patch", "gen"),
        ("recipes/files/a.c", "gen"),
    ] {
        let space = Space::new();
        pipe(&space.path("project").join(path));
        assert_refuses(&space, words, &path.rsplit('/').next().unwrap().replace("0001-", ""));
    }
    let space = Space::new();
    fs::remove_file(space.path("project/pynbox.toml")).unwrap();
    pipe(&space.path("project/pynbox.toml"));
    for words in ["gen", "install dest", "run-action source/zlib/tree"] {
        assert_refuses(&space, words, "pynbox.toml");
    }
    // It is the project's root, whatever it is: none above it is taken in its place.
    fs::write(space.path("pynbox.toml"), "").unwrap();
    assert_refuses(&space, "gen", "it is no regular file");
}
