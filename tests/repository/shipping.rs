//! What a repository ships beside packages: statements about how they were built, and the word that
//! a version is withdrawn.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use pynbox_build::repository::RepositoryError;
use pynbox_build::repository::index::Provenance;
use pynbox_build::repository::publish::KeyChange;

use crate::install::Site;
use crate::room::{TARGET, at, key_text};

/// The key of seed 1, as `cache keygen` writes it.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB
-----END PRIVATE KEY-----
";

impl Site {
    /// Runs the tool with the repository and what signs for it; gives the status, and all it said.
    fn says(&self, line: &str) -> (Option<i32>, String) {
        let file = self.room.path("key.pem");
        if !file.exists() {
            fs::write(&file, KEY).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            fs::create_dir_all(self.room.path("here")).unwrap();
            let file = file.to_str().unwrap();
            let settings = format!(
                "[trust]\nsigning-key = \"{file}\"\n\n[[repository]]\nname = \"site\"\nurl = \"../repository\"\ntrust = [\"{}\"]\n",
                key_text(1)
            );
            fs::write(self.room.path("here/pynbox.toml"), settings).unwrap();
        }
        let Output { status, stdout, stderr } = self.tool(&line.split(' ').collect::<Vec<_>>());
        (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
    }

    fn done(&self, line: &str, part: &str) {
        let (status, said) = self.says(line);
        assert!(status == Some(0) && said.contains(part), "{line}: {status:?} {said}");
    }

    fn refused(&self, line: &str, part: &str) {
        let (status, said) = self.says(line);
        assert!(status == Some(2) && said.contains(part), "{line}: {status:?} {said}");
    }
}

#[test]
fn withdrawn_versions_are_chosen_by_nobody_and_stay_with_those_who_have_them() {
    let site = Site::new();
    let two = site.room.large("python", "2", 2000);
    site.publish(std::slice::from_ref(&two));
    let install = |dest: &str, what: &str| format!("install ../{dest} {what} --repo site --target {TARGET}");
    site.done(&install("dest", "python"), "python 2 installed");
    site.done("publish site --withdraw python@2 --reason loses-data", "python 2 withdrawn");
    // Newcomers get the one before; who asks for the version is warned.
    site.done(&install("new", "python"), "python 1 installed");
    site.done(&install("exact", "python=2"), "warning: python 2 is withdrawn: loses-data\n");
    // Who has it keeps it.
    let before = site.dest();
    for line in [install("dest", "python"), "upgrade ../dest --repo site".to_owned()] {
        site.done(&line, "warning: python 2 is withdrawn: loses-data");
        assert!(site.dest() == before, "{line}");
    }
    site.done(&format!("search python --repo site --target {TARGET}"), "python  2  withdrawn: loses-data\n");
    site.done(&format!("search python --json --repo site --target {TARGET}"), "\"withdrawn\":\"loses-data\"");
    // Its bytes stay what they are.
    let other = site.room.large("python", "2", 3000);
    let published = site.room.publish(&at(&site.room.folder()), 1, &[other], &KeyChange::default(), 2_000_000_000);
    assert!(matches!(published, Err(RepositoryError::Published { .. })), "{published:?}");
    // A later version is an upgrade, and an older one is none.
    site.done("publish site --withdraw python=1 --reason too", "withdrawn");
    site.refused(&install("none", "python"), "all versions of package `python` are withdrawn");
    site.done("upgrade ../new --repo site", "warning: python 1 is withdrawn: too");
    site.publish(&[site.room.large("python", "3", 4000)]);
    site.done("upgrade ../dest --repo site", "python 2 -> 3");
    site.done("publish site --reinstate python=1", "python 1 reinstated");
    site.done(&install("one", "python=1"), "python 1 installed");
}

#[test]
fn what_is_not_published_is_not_withdrawn() {
    let site = Site::new();
    let index = fs::read(site.room.path("repository/index.json")).unwrap();
    for (line, part) in [
        ("--withdraw python=7 --reason x", "`python` is not published in version 7"),
        ("--withdraw python=1 --reason x --target x86_64-nacl", "is not published"),
        ("--withdraw python --reason x", "names no version"),
        ("--withdraw python=1", "--reason"),
        ("--withdraw python=1 --reason \u{1b}[2J", "is no reason"),
    ] {
        site.refused(&format!("publish site {line}"), part);
        assert_eq!(fs::read(site.room.path("repository/index.json")).unwrap(), index, "{line}");
    }
}

#[test]
fn statements_come_with_packages_and_are_about_them() {
    let site = Site::new();
    let install = format!("install ../dest python --repo site --target {TARGET}");
    site.done(&install, "python 1 installed");
    let Output { status, stdout, stderr } = site.tool(&["provenance", "../dest", "--trust", &key_text(1)]);
    let (lines, said) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success() && said.contains("python 1, stated by "), "{said}");
    assert_eq!(lines.lines().filter(|line| line.starts_with("{\"payload\":\"")).count(), 3, "{lines}");
    site.refused(&format!("provenance ../dest --trust {}", key_text(2)), "no key that is trusted");
    let before = site.dest();
    // About another archive, about other content, and none at all.
    let two = site.room.large("python", "2", 2000);
    let one = site.room.large("python", "1", 100_000);
    let of_archive = two.clone().stated_as(1, one.entry.object.digest, two.entry.content);
    let of_content = two.clone().stated_as(1, two.entry.object.digest, one.entry.content);
    for wrong in [of_archive, of_content] {
        site.room.republish(&wrong);
        site.refused(&install, "no statement about it");
        assert_eq!(site.dest(), before);
    }
    let two = two.stated(1);
    site.room.republish(&two);
    let file = site.room.path("repository").join(Provenance::object_name(two.entry.provenance.statement.unwrap()));
    fs::write(&file, "x").unwrap();
    assert_ne!(site.says(&install).0, Some(0));
    fs::remove_file(&file).unwrap();
    site.refused(&install, "is not there");
    assert_eq!(site.dest(), before);
    // One that came without takes the old one away.
    fs::write(&file, two.statement.unwrap()).unwrap();
    site.publish(&[site.room.large("python", "3", 2000)]);
    site.done(&install, "python 3 replaced");
    site.refused(&format!("provenance ../dest --trust {}", key_text(1)), "came without a statement");
    site.done("rollback ../dest", "generation 1");
    site.done("provenance ../dest", "python 1, stated by");
    // A statement is not about what somebody changed.
    let run = fs::canonicalize(site.room.path("dest/bin/run")).unwrap();
    fs::write(&run, "changed").unwrap();
    site.refused("provenance ../dest", "`bin/run`");
}
