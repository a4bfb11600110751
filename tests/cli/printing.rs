//! Streams that take nothing: a full disk, and a reader that has gone. Nothing of it is a bug of
//! the tool's, so nothing of it ends with 101.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use crate::space::{Space, ended};

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

fn closed() -> OwnedFd {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Commands that succeed in an empty project and print something on standard output, `--help` of
/// each verb among them.
fn that_print(space: &Space) -> Vec<Vec<String>> {
    let words = |line: &str| line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
    let lines = [
        "--help",
        "-h",
        "--version",
        "-V",
        "help",
        "help gen",
        "cache help",
        "cache root",
        "cache stats",
        "cache gc --max-age 1",
        "cache verify",
        "cache keygen KEY",
        "source list",
    ];
    let mut all: Vec<_> = lines.into_iter().map(words).collect();
    for verb in space.verbs() {
        all.push([words(&verb), words("--help")].concat());
    }
    all
}

#[test]
fn a_full_standard_output_is_the_environments_fault() {
    let space = Space::new();
    for arguments in that_print(&space) {
        let _ = std::fs::remove_file(space.path("project/KEY"));
        let output = space.tool(&arguments).stdout(full()).output().unwrap();
        let (status, _, err) = ended(&output);
        assert_eq!(status, Some(3), "{arguments:?}: {err}");
        assert!(err.contains("standard output can't be written: No space left on device"), "{arguments:?}: {err}");
        // And nobody there to be told.
        let _ = std::fs::remove_file(space.path("project/KEY"));
        for unheard in [Stdio::from(full()), closed().into()] {
            let status = space.tool(&arguments).stdout(full()).stderr(unheard).status().unwrap();
            let _ = std::fs::remove_file(space.path("project/KEY"));
            assert_eq!(status.code(), Some(3), "{arguments:?}");
        }
    }
}

/// As in `pynbox-build source list | true`.
#[test]
fn a_reader_that_has_gone_ends_a_command_quietly() {
    let space = Space::new();
    for arguments in that_print(&space) {
        let _ = std::fs::remove_file(space.path("project/KEY"));
        let output = space.tool(&arguments).stdout(closed()).output().unwrap();
        assert_eq!(ended(&output), (Some(128 + 13), String::new(), String::new()), "{arguments:?}");
    }
}

#[test]
fn what_standard_error_takes_changes_no_status() {
    let space = Space::new();
    let mut verbs = space.verbs();
    verbs.extend(["", "cache", "source", "no-such-verb"].map(ToOwned::to_owned));
    for verb in verbs {
        let words = verb.split_whitespace().chain(["--no-such-option"]);
        let arguments: Vec<_> = if verb.is_empty() { Vec::new() } else { words.collect() };
        let (status, out, err) = ended(&space.tool(&arguments).output().unwrap());
        assert!(status == Some(2) && out.is_empty() && !err.is_empty(), "{verb}: {status:?} {out} {err}");
        for unheard in [Stdio::from(full()), closed().into()] {
            let status = space.tool(&arguments).stderr(unheard).status().unwrap();
            assert_eq!(status.code(), Some(2), "{verb}");
        }
    }
}

/// A pipe that is full for now, which its other end has made non-blocking, is waited for.
#[test]
fn all_is_written_to_a_pipe_that_does_not_block() {
    let space = Space::new();
    let whole = space.tool(["source", "list"]).output().unwrap().stdout;
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let mut filled = 0;
    while let Ok(written) = std::io::Write::write(&mut writer, &[b'.'; 4096]) {
        filled += written;
    }
    let mut child = space.tool(["source", "list"]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut read).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(&read[filled..], whole);
}
