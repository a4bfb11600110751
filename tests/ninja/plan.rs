//! Whose the plan in `out/` is, who may write it when, and whether it is the one of the files as
//! they are.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use testing::NOBODY;

use super::on_every_ninja;
use super::space::{Space, actions, ninjas};

const NODE: &str = "x86_64-linux/greeting/greeting";
const GEN: [&str; 4] = ["gen", "--offline", "--target", "x86_64-linux"];

/// Builds the example, and sees that the next gen finds no change.
fn settle(space: &Space) {
    space.generate();
    build(space);
    space.generate();
    assert_eq!(asked(space), "");
}

/// What gen prints when ninja asks it: nothing if nothing has changed.
fn asked(space: &Space) -> String {
    space.run(&[&GEN[..], &["--if-changed"]].concat())
}

/// Runs ninja; gives the names of the actions of the example that ran.
fn build(space: &Space) -> Vec<String> {
    actions(&space.ninja("x86_64-linux/greeting"))
}

/// The name of the plan that a file is of.
fn plan_of(space: &Space, file: &str, before: &str) -> String {
    let bytes = fs::read(space.path(file)).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("{file} names no plan"));
    rest.split([' ', '\n', '"']).next().unwrap().to_owned()
}

/// All that is left of a plan belongs together.
fn assert_whole(space: &Space) {
    let plan = plan_of(space, "out/plan", "pynbox-plan 5 ");
    assert_eq!(plan_of(space, "build.ninja", "--plan "), plan);
    assert_eq!(plan_of(space, "out/record", "\"plan\":\""), plan);
}

/// A second program that does the same and is another build: only its build id differs.
fn another_build(from: &Path, to: &Path) {
    let mut bytes = fs::read(from).unwrap();
    let note = bytes.windows(8).position(|window| window == b"\x03\0\0\0GNU\0").expect("a build id");
    bytes[note + 8] ^= 0xff;
    fs::write(to, bytes).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
}

#[test]
fn a_copy_of_a_project_has_no_part_in_the_originals_plan() {
    on_every_ninja(|space| {
        settle(space);
        let copy = space.copy_by_cp();
        let said = copy.fail(&["checkout", NODE, "--digest"]);
        assert!(said.starts_with("exit code 2\n") && said.contains("from which this project was copied"), "{said}");
        copy.edit("words.c", "recipe", "copy");
        assert_ne!(asked(&copy), "");
        build(&copy);
        assert_eq!(copy.output(), "hello from a copy of your own\n");
        assert_eq!(space.output(), "hello from a recipe of your own\n");
        // The same by ninja alone, of a copy whose files are older than the original's plan.
        let copy = space.copy_by_cp();
        copy.edit("words.c", "recipe", "clone");
        old(&copy.sources().join("words.c"));
        build(&copy);
        assert_eq!(copy.output(), "hello from a clone of your own\n");
    });
}

#[test]
fn another_build_of_the_program_makes_a_plan_of_its_own() {
    on_every_ninja(|space| {
        let program = space.use_own_program();
        settle(space);
        let other = space.path("other");
        another_build(&program, &other);
        let time = fs::metadata(&program).unwrap().modified().unwrap();
        File::options().append(true).open(&other).unwrap().set_modified(time).unwrap();
        fs::rename(&other, &program).unwrap();
        let said = space.fail(&["checkout", NODE, "--digest"]);
        assert!(said.starts_with("exit code 2\n") && said.contains("another build of this program"), "{said}");
        assert_ne!(asked(space), "");
        assert_eq!(asked(space), "");
    });
}

#[test]
fn gens_at_once_leave_one_plan() {
    let space = Space::new(&ninjas()[0]);
    for round in 0..10 {
        space.edit("words.c", "#include", &format!("/* {round} */\n#include"));
        let targets = ["x86_64-linux", "wasm32-wasi", "x86_64-linux"];
        let start = |target: &&str| {
            let mut command = space.tool(&["gen", "--offline", "--target", target]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let running: Vec<_> = targets.iter().map(start).collect();
        for mut child in running {
            assert!(child.wait().unwrap().success());
        }
        assert_whole(&space);
    }
}

#[test]
fn whoever_waits_says_for_whom() {
    let space = Space::new(&ninjas()[0]);
    space.generate();
    space.edit("words.c", "recipe", "file");
    let lock = File::open(space.path("out/lock")).unwrap();
    for alone in [true, false] {
        if alone {
            lock.lock().unwrap();
        } else {
            lock.lock_shared().unwrap();
        }
        let mut child = space.tool(&GEN).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        let me = format!("(process {})", std::process::id());
        assert!(said.starts_with("waiting for `") && said.contains(&me), "{said}");
        lock.unlock().unwrap();
        assert!(child.wait().unwrap().success());
        space.edit("words.c", "#include", "/* again */ #include");
    }
    // Others may read while one reads.
    space.run(&GEN);
    lock.lock_shared().unwrap();
    space.run(&["why", NODE]);
    assert_eq!(asked(&space), "");
}

#[test]
fn an_edge_of_an_earlier_plan_writes_no_stamp_of_this_one() {
    let space = Space::new(&ninjas()[0]);
    space.generate();
    let plan = plan_of(&space, "out/plan", "pynbox-plan 5 ");
    space.edit("words.c", "recipe", "file");
    space.generate();
    let said = space.fail(&["run-action", "--plan", &plan, "x86_64-linux/greeting/words.o"]);
    assert!(said.contains("another `gen` has made a new plan") && said.contains("run ninja again"), "{said}");
    assert!(!space.path("out/stamps/x86_64-linux/greeting/words.o.digest").exists());
}

/// What is given out is what the files say, or nothing.
#[test]
fn verbs_refuse_a_plan_that_is_not_current() {
    on_every_ninja(|space| {
        settle(space);
        let folder = space.path("folder");
        let folder = folder.to_str().unwrap();
        let key = space.path("key.pem");
        space.run(&["cache", "keygen", key.to_str().unwrap()]);
        space.environment.push(("PYNBOX_SIGNING_KEY", key.into()));
        let verbs: [&[&str]; 8] = [
            &["install", folder, "greeting", "--target", "x86_64-linux"],
            &["export", folder, "--target", "x86_64-linux"],
            &["checkout", NODE, folder],
            &["checkout", NODE, "--digest"],
            &["cache", "export", folder, NODE],
            &["cache", "sign", NODE, "--remote", "team:rw=/nowhere"],
            &["cache", "check", "0%"],
            &["cache", "gc", "--keep-reachable", "--max-size", "900GB"],
        ];
        let refused = |space: &Space, why: &str| {
            for verb in verbs {
                let said = space.fail(verb);
                assert!(said.starts_with("exit code 2\n") && said.contains(why), "{verb:?}: {said}");
                assert!(said.contains("run `") && said.contains("gen && ninja`"), "{verb:?}: {said}");
                assert!(!Path::new(folder).exists(), "{verb:?}");
            }
        };
        space.edit("words.c", "recipe", "file");
        refused(space, "`recipes/files/greeting/words.c` changed");
        settle(space);
        space.write_file("new.h", "");
        refused(space, "`recipes/files/greeting` changed");
        settle(space);

        // A gen that failed: the files are as they were, but something else was asked.
        space.fail(&["gen", "--offline", "--target", "x86_64-linux", "--override-source", "zlib=/nowhere"]);
        refused(space, "the last `gen` failed or was interrupted");
        settle(space);
        // One that was killed after it wrote the plan, and before it was done.
        fs::remove_file(space.path("out/record")).unwrap();
        refused(space, "the last `gen` failed or was interrupted");
        settle(space);
        assert_eq!(space.output(), "hello from a file of your own\n");
        // Who only looks is told, and answered.
        space.edit("words.c", "file", "recipe");
        let output = space.tool(&["why", NODE]).output().unwrap();
        let note = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{note}");
        assert!(note.starts_with("note: ") && note.contains("`recipes/files/greeting/words.c` changed"), "{note}");
    });
}

/// A plan in the format of an earlier version is no plan: verbs say so, and `gen` makes another
/// one.
#[test]
fn a_plan_of_an_earlier_format_is_told_and_made_again() {
    let space = Space::new(&ninjas()[0]);
    space.generate();
    let plan = fs::read(space.path("out/plan")).unwrap();
    let earlier = [b"pynbox-plan 4 ", &plan[b"pynbox-plan 5 ".len()..]].concat();
    fs::write(space.path("out/plan"), earlier).unwrap();
    for verb in [&["why", NODE][..], &["list"], &["query", "deps", NODE], &["checkout", NODE, "--digest"]] {
        let said = space.fail(verb);
        assert!(said.contains("`PROJECT/out/plan` does not begin as a plan of this program does; run `"), "{said}");
    }
    assert_ne!(asked(&space), "");
    assert_whole(&space);
    assert!(fs::read(space.path("out/plan")).unwrap() == plan);
}

fn set_time(path: &Path, time: SystemTime) {
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Makes a file look as if it were of last year.
fn old(path: &Path) {
    set_time(path, SystemTime::now() - Duration::from_secs(365 * 24 * 60 * 60));
}

#[test]
fn ninja_alone_notices_what_times_do_not_tell() {
    on_every_ninja(|space| {
        settle(space);
        let words = space.sources().join("words.c");
        // As `cp -p` and rsync do it.
        let text = space.source("words.c").replacen("recipe", "backup", 1);
        fs::write(space.path("backup.c"), text).unwrap();
        old(&space.path("backup.c"));
        let done = Command::new("cp").arg("-p").arg(space.path("backup.c")).arg(&words).status().unwrap();
        assert!(done.success());
        assert_eq!(build(space), ["greeting", "words.o"]);
        assert_eq!(space.output(), "hello from a backup of your own\n");
        assert_eq!(build(space), [""; 0]);
        // The same size and the same time.
        let before = fs::metadata(&words).unwrap();
        let text = space.source("words.c").replacen("backup", "pukcab", 1);
        space.write_file("words.c", &text);
        set_time(&words, before.modified().unwrap());
        let after = fs::metadata(&words).unwrap();
        assert_eq!((before.size(), before.mtime_nsec()), (after.size(), after.mtime_nsec()));
        assert_eq!(build(space), ["greeting", "words.o"]);
        assert_eq!(space.output(), "hello from a pukcab of your own\n");
        // A folder where there was none, with files that are old.
        let folder = space.path("patches/greeting-1.0/x86_64-linux");
        fs::create_dir_all(&folder).unwrap();
        let line = "    return \"hello from a";
        let patch = format!(
            "Says another word.\n--- a/words.c\n+++ b/words.c\n@@ -5 +5 @@\n-{line} pukcab of your own\";\n+{line} patch of your own\";\n"
        );
        fs::write(folder.join("0001-word.patch"), patch).unwrap();
        old(&folder.join("0001-word.patch"));
        assert_eq!(build(space), ["greeting", "words.o"]);
        assert_eq!(space.output(), "hello from a patch of your own\n");
        fs::remove_dir_all(space.path("patches")).unwrap();
        assert_eq!(build(space), [""; 0]);
        assert_eq!(space.output(), "hello from a pukcab of your own\n");
    });
}

#[test]
fn times_in_the_future_do_no_harm() {
    on_every_ninja(|space| {
        settle(space);
        let future = SystemTime::now() + Duration::from_secs(10 * 365 * 24 * 60 * 60);
        space.edit("words.c", "recipe", "future");
        for file in ["recipes/files/greeting/words.c", "pynbox.toml", "build.ninja"] {
            set_time(&space.path(file), future);
        }
        assert_eq!(build(space), ["greeting", "words.o"]);
        assert_eq!(space.output(), "hello from a future of your own\n");
        for _ in 0..2 {
            let text = space.ninja("x86_64-linux/greeting");
            assert!(text.contains("no work to do"), "{text}");
            assert_eq!(text.matches("look for changes").count(), 1, "{text}");
        }
        // A clock that goes back: the plan is of a time that is yet to come.
        settle(space);
        let record = fs::read(space.path("out/record")).unwrap();
        let (json, seen) = record.split_at(record.iter().position(|byte| *byte == b'\n').unwrap());
        let (head, rest) = std::str::from_utf8(json).unwrap().split_once("\"secs_since_epoch\":").unwrap();
        let rest = rest.split_once(',').unwrap().1;
        let json = format!("{head}\"secs_since_epoch\":4000000000,{rest}");
        fs::write(space.path("out/record"), [json.as_bytes(), seen].concat()).unwrap();
        assert_ne!(asked(space), "");
        assert_eq!(asked(space), "");
    });
}

#[test]
fn odd_names_of_files_are_built_and_those_that_can_not_be_are_refused_by_name() {
    on_every_ninja(|space| {
        for name in ["a b.h", "a|b.h", "a:b.h", "a$b.h", "'.h", "#.h", "ä.h"] {
            space.write_file(name, "");
        }
        space.generate();
        build(space);
        assert_eq!(space.output(), "hello from a recipe of your own\n");
        space.write_file("a|b.h", "/* changed */");
        assert_eq!(build(space), ["main.o", "words.o"]);
    });
    let mut space = Space::new(&ninjas()[0]);
    for folder in ["sto:re", "sto\nre"] {
        space.environment = vec![("PYNBOX_CACHE", space.path(folder).into())];
        let said = space.fail(&GEN);
        assert!(said.starts_with("exit code 2\n") && said.contains("the store lies at `PROJECT/sto"), "{said}");
    }
    space.environment.clear();
    fs::create_dir(space.path("an\nother")).unwrap();
    let option = format!("zlib={}", space.path("an\nother").display());
    let said = space.fail(&["gen", "--override-source", &option]);
    assert!(said.starts_with("exit code 2\n") && said.contains(r"an\nother`"), "{said}");
}

#[test]
#[ignore = "needs root"]
fn what_root_left_is_not_an_ordinary_users() {
    let mut space = Space::new(&ninjas()[0]);
    space.use_empty_store();
    space.user = Some(NOBODY);
    space.hand_over();
    space.run(&GEN);
    for name in ["out", "build.ninja"] {
        let done = Command::new("chown").args(["-R", "root:root"]).arg(space.path(name)).status().unwrap();
        assert!(done.success());
    }
    space.edit("words.c", "recipe", "file");
    let said = space.fail(&GEN);
    assert!(said.starts_with("exit code 3\n"), "{said}");
    assert!(said.contains("`PROJECT/out`") && said.contains("belong to user 0 (root)"), "{said}");
    assert!(said.contains("chown -R 65534 "), "{said}");
    // Who only reads may.
    space.run(&["why", NODE]);
}
