//! The verbs that look after an installation, on small packages of a folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::exit_codes::write_package;
use crate::space::{Space, ended};

/// Packages `app` 1, which needs `lib` 1, in a folder `repo`, installed in `dest`.
fn space() -> Space {
    let space = Space::new();
    let repo = space.path("repo");
    fs::create_dir(&repo).unwrap();
    write_package(&space, &repo, "sandbox_outer", "1", &[], &[("bin/run", b"#!/bin/sh\n")]);
    write_package(&space, &repo, "sandbox_inner", "1", &[], &[("root/slib/x", b"x")]);
    write_package(&space, &repo, "lib", "1", &[], &[("root/slib/lib", b"lib 1"), ("root/slib/gone", b"")]);
    write_package(&space, &repo, "app", "1", &["lib"], &[("root/app/main", b"app 1")]);
    assert!(run(&space, "install DEST app --repo REPO --unsigned").contains("install: generation 1 is current"));
    space
}

/// Runs a verb; `DEST` and `REPO` stand for the two folders. Gives the status and all that it says.
fn status(space: &Space, line: &str) -> (Option<i32>, String) {
    let folder = |name: &str| space.path(name).display().to_string();
    let line = line.replace("DEST", &folder("dest")).replace("REPO", &folder("repo"));
    let (status, out, err) = ended(&space.tool(line.split(' ')).output().unwrap());
    (status, out + &err)
}

#[track_caller]
fn run(space: &Space, line: &str) -> String {
    let (status, said) = status(space, line);
    assert_eq!(status, Some(0), "{line}: {said}");
    said
}

#[track_caller]
fn fail(space: &Space, line: &str, part: &str) {
    let (status, said) = status(space, line);
    assert!(status == Some(2) && said.contains(part), "{line}: {status:?}, {said}");
}

fn read(space: &Space, path: &str) -> String {
    fs::read_to_string(space.path("dest").join(path)).unwrap()
}

#[test]
fn packages_are_upgraded_and_rolled_back() {
    let space = space();
    assert!(run(&space, "upgrade DEST --repo REPO --unsigned").contains("everything is up to date"));
    let repo = space.path("repo");
    write_package(&space, &repo, "lib", "2", &["new"], &[("root/slib/lib", b"lib 2")]);
    write_package(&space, &repo, "new", "1", &[], &[("root/new/file", b"new")]);
    fs::write(space.path("dest/root/mine"), "mine").unwrap();
    let preview = run(&space, "upgrade DEST --repo REPO --unsigned -n");
    assert!(preview.contains("upgrade: lib 1 -> 2") && preview.contains("upgrade: new 1, new"), "{preview}");
    assert_eq!(read(&space, "root/slib/lib"), "lib 1");
    let said = run(&space, "upgrade DEST --repo REPO --unsigned");
    assert!(said.contains("upgrade: lib 1 -> 2") && said.contains("generation 2 is current"), "{said}");
    assert_eq!((read(&space, "root/slib/lib"), read(&space, "root/mine")), ("lib 2".to_owned(), "mine".to_owned()));
    assert!(!space.path("dest/root/slib/gone").exists());

    let listed = run(&space, "list DEST").split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [" lib 2 5 B for app ", " app 1 5 B asked for ", " generation 1 ", " * generation 2 "] {
        assert!(listed.contains(line), "{line}: {listed}");
    }
    let json = run(&space, "list DEST --json");
    for part in [r#""schema":"pynbox-build/list-dest/1""#, r#""asked":true"#, r#""by":"install app""#] {
        assert!(json.contains(part), "{part}: {json}");
    }
    assert!(run(&space, "rollback DEST").contains("generation 1 is current"));
    assert_eq!((read(&space, "root/slib/lib"), read(&space, "root/mine")), ("lib 1".to_owned(), "mine".to_owned()));
    assert!(!space.path("dest/root/new").exists());
    assert!(run(&space, "rollback DEST").contains("generation 2 is current"));
    fail(&space, "rollback DEST 7", "has no generation 7");
    // An earlier version in the repository changes nothing.
    fs::remove_file(repo.join("lib-2-wasm32-wasi.tar.zst")).unwrap();
    let said = run(&space, "upgrade DEST --repo REPO --unsigned");
    assert!(said.contains("lib 2 stays: the latest that there is, is 1") && said.contains("up to date"), "{said}");
    assert!(run(&space, "prune DEST --keep 0").contains("generation 1 removed"));
    fail(&space, "rollback DEST", "no generation before this one");
}

#[test]
fn licenses_are_listed_where_a_recipe_states_them() {
    let space = space();
    write_package(&space, &space.path("repo"), "zlib", "1.2.13", &[], &[("root/slib/z", b"z")]);
    run(&space, "install DEST zlib --repo REPO --unsigned");
    let listed = run(&space, "list DEST").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(listed.contains(" zlib 1.2.13 1 B Zlib asked for "), "{listed}");
    let json = run(&space, "list DEST --json");
    assert!(json.contains(r#""license":"Zlib""#) && json.contains(r#""license":null"#), "{json}");
}

/// Runs a verb with `--json`; standard output has to be the answer alone.
#[track_caller]
fn change(space: &Space, line: &str) -> serde_json::Value {
    let folder = |name: &str| space.path(name).display().to_string();
    let line = line.replace("DEST", &folder("dest")).replace("REPO", &folder("repo"));
    let (status, out, err) = ended(&space.tool(line.split(' ').chain(["--json"])).output().unwrap());
    assert_eq!((status, out.lines().count()), (Some(0), 1), "{line}: {out}{err}");
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["schema"], "pynbox-build/change-dest/1");
    answer
}

#[test]
fn changes_answer_as_json() {
    let space = space();
    write_package(&space, &space.path("repo"), "lib", "2", &[], &[("root/slib/lib", b"lib 2")]);
    let what = |answer: &serde_json::Value| {
        let packages = answer["packages"].as_array().unwrap().iter();
        packages
            .map(|one| {
                let before = one["before"].as_str().unwrap_or("nothing");
                format!("{} {before} -> {} {}", one["name"], one["version"], one["change"]).replace('"', "")
            })
            .collect::<Vec<_>>()
    };
    let preview = change(&space, "upgrade DEST -n --repo REPO --unsigned");
    assert_eq!(what(&preview), ["lib 1 -> 2 replaced"]);
    assert!(preview["generation"].is_null(), "{preview}");
    let installed = change(&space, "install DEST lib --repo REPO --unsigned --keep 0");
    assert!(what(&installed).contains(&"lib 1 -> 2 replaced".to_owned()), "{installed}");
    assert!(what(&installed).contains(&"sandbox_outer 1 -> 1 present".to_owned()), "{installed}");
    assert_eq!((&installed["generation"], &installed["pruned"][0]["number"]), (&2.into(), &1.into()), "{installed}");
    assert_eq!(what(&change(&space, "uninstall DEST app")), ["app 1 -> 1 removed"]);
    assert_eq!(change(&space, "rollback DEST")["generation"], 2);
    assert_eq!(change(&space, "prune DEST --keep 0")["pruned"][0]["number"], 3);
    let same = change(&space, "upgrade DEST --repo REPO --unsigned");
    assert!(same["generation"].is_null() && what(&same).is_empty(), "{same}");
}

#[test]
fn packages_are_removed_with_what_nobody_needs() {
    let space = space();
    fail(&space, "uninstall DEST lib", "package `app` needs `lib`");
    fail(&space, "uninstall DEST vax", "`vax` is not installed");
    fail(&space, "uninstall DEST sandbox_outer", "all programs need the package `sandbox_outer`");
    let said = run(&space, "uninstall DEST app --unused");
    assert!(said.contains("app 1 removed") && said.contains("lib 1 removed"), "{said}");
    assert!(!space.path("dest/root/app").exists() && space.path("dest/root/slib/x").exists());
    fail(&space, "upgrade DEST app --repo REPO --unsigned", "package `app` is not installed");
    run(&space, "rollback DEST");
    assert_eq!(read(&space, "root/app/main"), "app 1");
}

#[test]
fn files_are_compared_with_receipts_and_with_another_installation() {
    let space = space();
    assert!(run(&space, "install DEST --verify").contains("verify: 5 files compared, 0 differ"));
    run(&space, "install DEST2 app --repo REPO --unsigned");
    let (dest, other) = (space.path("dest"), space.path("dest2"));
    fs::write(other.join("root/app/extra"), "").unwrap();
    let against = format!("verify DEST --against {}", other.display());
    assert!(run(&space, &against).contains("4 results are the same, 0 differ"));
    write_package(&space, &space.path("repo"), "app", "1", &["lib"], &[("root/app/main", b"app X")]);
    run(&space, "install DEST app --repo REPO --unsigned");
    let (status_, said) = status(&space, &against);
    let found = "`root/app/main` differs from byte 4 on (5 and 5 bytes)";
    assert!(status_ == Some(1) && said.contains("app 1 differs") && said.contains(found), "{said}");
    // What explains files is asked, and its words reach no terminal as they are.
    let tools = space.path("tools");
    fs::create_dir(&tools).unwrap();
    let script = "#!/bin/sh\nprintf '\\033[31m%s %s\\n' \"$(cat \"$4\")\" \"$(cat \"$5\")\"\n";
    fs::write(tools.join("diffoscope"), script).unwrap();
    fs::set_permissions(tools.join("diffoscope"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = space.tool(["verify", "--against"]);
    let path = std::env::join_paths([tools, "/usr/bin".into(), "/bin".into()]).unwrap();
    let (_, said, _) = ended(&command.args([&other, &dest]).env("PATH", path).output().unwrap());
    assert!(said.contains(r"  \u{1b}[31mapp X app 1"), "{said}");

    fs::write(dest.join("root/app/main"), "app Y").unwrap();
    fs::remove_file(dest.join("root/slib/x")).unwrap();
    symlink("/etc/passwd", dest.join("root/slib/x")).unwrap();
    fs::remove_file(dest.join("root/slib/lib")).unwrap();
    let (status_, said) = status(&space, "install DEST --verify");
    assert_eq!(status_, Some(1), "{said}");
    for line in [
        "`root/app/main` of app has other contents",
        "`root/slib/x` of sandbox_inner is another kind of file",
        "`root/slib/lib` of lib is missing",
        "verify: 5 files compared, 3 differ",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let (status_, said) = status(&space, "install DEST --verify lib --json");
    assert!(status_ == Some(1) && said.contains(r#""differences":[{"package":"lib""#), "{said}");
    let (status_, said) = status(&space, "verify DEST");
    assert!(status_ == Some(1) && said.contains("not as they were installed"), "{said}");
    run(&space, "install DEST app lib --repo REPO --unsigned");
    assert!(run(&space, "install DEST --verify").contains("0 differ"));
}

#[test]
fn packages_are_searched_and_files_found() {
    let space = space();
    write_package(&space, &space.path("repo"), "lib", "1.10", &[], &[]);
    write_package(&space, &space.path("repo"), "lib", "1.9", &[], &[]);
    let found = run(&space, "search LI --repo REPO --unsigned");
    assert_eq!(found.lines().map(str::trim).collect::<Vec<_>>(), ["lib  1.10", "lib  1.9", "lib  1"]);
    fail(&space, "search vax --repo REPO --unsigned", "no package has `vax` in its name");
    for path in ["root/app/main", "generations/current/root/app/main", "generations/1/root/app/main"] {
        let said = run(&space, &format!("which DEST/{path}"));
        assert!(said.contains("file:    root/app/main\npackage: app 1\n"), "{said}");
    }
    fs::write(space.path("dest/root/mine"), "").unwrap();
    fail(&space, "which DEST/root/mine", "no package installed");
    fail(&space, "which FILE", "in no folder that packages are installed in");
}

/// Changes an installation.
type Attack<'a> = Box<dyn Fn(&Space) + 'a>;

/// Whoever can write to DEST may have put anything there.
#[test]
fn what_is_not_ours_in_an_installation_is_refused_by_name() {
    let packages = |space: &Space| space.path("dest/generations/1/packages");
    let current = |space: &Space| space.path("dest/generations/current");
    let relink = |path: &Path, target: &str| {
        fs::remove_file(path).unwrap();
        symlink(target, path).unwrap();
    };
    let receipt = |space: &Space, text: &str| fs::write(packages(space).join("app.installed"), text).unwrap();
    let honest = |content: &str| {
        format!(r#"{{"format":1,"name":"app","version":"1","target":"wasm32-wasi","requires":[],"content":{content}}}"#)
    };
    let attacks: [(&str, Attack<'_>); 9] = [
        ("no JSON", Box::new(|space| receipt(space, "{"))),
        ("another package", Box::new(|space| receipt(space, &honest("{}").replace("\"app\"", "\"lib\"")))),
        ("up", Box::new(|space| receipt(space, &honest(r#"{"../../x":{"kind":"empty_directory"}}"#)))),
        (
            "below a link",
            Box::new(|space| {
                let content = r#"{"root/l":{"kind":"symlink","target":"/"},"root/l/x":{"kind":"empty_directory"}}"#;
                receipt(space, &honest(content));
            }),
        ),
        ("a terminal", Box::new(|space| receipt(space, &honest(r#"{"root/\u001b[31m":{"kind":"empty_directory"}}"#)))),
        (
            "an endless one",
            Box::new(|space| {
                fs::remove_file(packages(space).join("app.installed")).unwrap();
                symlink("/dev/zero", packages(space).join("app.installed")).unwrap();
            }),
        ),
        ("current leads out", Box::new(|space| relink(&current(space), "../../repo"))),
        ("current is no number", Box::new(|space| relink(&current(space), "01"))),
        ("current leads nowhere", Box::new(|space| relink(&current(space), "9"))),
    ];
    for (name, attack) in attacks {
        let space = space();
        attack(&space);
        for line in [
            "list DEST",
            "install DEST --verify",
            "uninstall DEST app",
            "upgrade DEST --repo REPO --unsigned",
            "verify DEST",
        ] {
            let (status, said) = status(&space, line);
            assert!(status == Some(2), "{name}: {line}: {status:?}, {said}");
            assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{name}: {line}: {said:?}");
        }
        assert!(space.path("repo/app-1-wasm32-wasi.tar.zst").is_file(), "{name}");
    }
}
