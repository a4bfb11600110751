//! Builds that are interrupted, that fail, and that find less than they left.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::on_every_ninja;
use testing::wait_until;

use super::space::{EXECUTABLE, Space};

const GREETING: &str = "hello from a recipe of your own\n";

/// A process and when it was started.
type Process = (u32, String);

fn stat(process: u32) -> Option<(u32, String)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().map(ToOwned::to_owned).collect();
    // A dead one that nobody has waited for does no harm.
    (fields[0] != "Z").then(|| (fields[1].parse().unwrap(), fields[19].clone()))
}

/// All processes below one.
fn descendants(of: u32) -> BTreeSet<Process> {
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let all: Vec<(u32, u32, String)> =
        numbers.filter_map(|number| stat(number).map(|(parent, start)| (number, parent, start))).collect();
    let mut found = BTreeSet::new();
    let mut above = vec![of];
    while let Some(parent) = above.pop() {
        for (number, _, start) in all.iter().filter(|(_, other, _)| *other == parent) {
            found.insert((*number, start.clone()));
            above.push(*number);
        }
    }
    found
}

/// A file that a compiler needs seconds for.
fn slow(text: &str) -> String {
    let mut slow = "#define A0 extern int slow;\n".to_owned();
    for step in 1..=20 {
        slow.push_str(&format!("#define A{step} A{0} A{0}\n", step - 1));
    }
    format!("{slow}A20\n{text}")
}

/// Interrupts a build whose slow unit is being compiled; nothing is left of it in the end, and the
/// next build goes on.
fn interrupt(space: &mut Space, signal: &str) {
    space.use_own_store();
    let text = space.source("words.c");
    space.write_file("words.c", &slow(&text));
    space.generate();
    let mut child = space.start_build();
    let compiles = || {
        let is_compiler =
            |number: u32| fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|name| name.trim() == "cc1");
        descendants(child.id()).iter().any(|(number, _)| is_compiler(*number))
    };
    wait_until("a compiler", compiles);
    let processes = descendants(child.id());
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    assert!(!child.wait().unwrap().success());
    wait_until("the end of all processes", || {
        processes.iter().all(|(number, start)| stat(*number).is_none_or(|(_, other)| other != *start))
    });
    space.write_file("words.c", &text);
    space.build();
    assert_eq!(space.output(), GREETING);
    assert_eq!(space.generate(), 0);
    assert_eq!(space.scratch(), [""; 0].map(std::path::PathBuf::from));
}

#[test]
fn an_interrupted_build_goes_on() {
    on_every_ninja(|space| interrupt(space, "-INT"));
}

#[test]
fn a_killed_build_goes_on() {
    on_every_ninja(|space| interrupt(space, "-KILL"));
}

#[test]
fn a_killed_action_fails_its_build_and_the_next_goes_on() {
    on_every_ninja(|space| {
        space.use_own_store();
        let text = space.source("words.c");
        space.write_file("words.c", &slow(&text));
        space.generate();
        let mut child = space.start_build();
        let action = |processes: &BTreeSet<Process>| {
            let is_it = |number: u32| {
                let line = fs::read_to_string(format!("/proc/{number}/cmdline")).unwrap_or_default();
                line.contains("run-action\0x86_64-linux/greeting/words.o") && !line.starts_with("/bin/sh")
            };
            processes.iter().map(|(number, _)| *number).find(|number| is_it(*number))
        };
        wait_until("the action's compiler", || {
            let is_compiler =
                |number: u32| fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|name| name.trim() == "cc1");
            descendants(child.id()).iter().any(|(number, _)| is_compiler(*number))
        });
        wait_until("the action", || action(&descendants(child.id())).is_some());
        let processes = descendants(child.id());
        let action = action(&processes).unwrap().to_string();
        assert!(Command::new("kill").args(["-KILL", &action]).status().unwrap().success());
        assert!(!child.wait().unwrap().success());
        wait_until("the end of all processes", || {
            processes.iter().all(|(number, start)| stat(*number).is_none_or(|(_, other)| other != *start))
        });
        space.write_file("words.c", &text);
        space.build();
        assert_eq!(space.output(), GREETING);
        assert!(space.scratch().is_empty());
    });
}

#[test]
fn an_emptied_store_with_outputs_kept_still_ends_in_a_right_checkout() {
    on_every_ninja(|space| {
        space.use_own_store();
        space.generate();
        space.build();
        let before = space.digest("package");
        for node in ["main.o", "words.o", "greeting", "package"] {
            space.lose_blobs_of(node);
        }
        // ninja has nothing to do; who needs the bytes makes them again.
        assert_eq!(space.build(), [""; 0]);
        assert_eq!(space.output(), GREETING);
        assert_eq!(space.digest("package"), before);
        let gone = space.remove_results(|text| text.contains("greeting") || text.contains("words"));
        assert!(gone > 0);
        assert_eq!(space.output(), GREETING);
        assert_eq!(space.digest("package"), before);
    });
}

#[test]
fn a_blob_that_is_lost_between_gen_and_ninja_is_made_again() {
    on_every_ninja(|space| {
        space.use_own_store();
        space.generate();
        space.build();
        space.edit("words.c", "recipe", "file");
        space.generate();
        // `gen` took this one for known, so it has no edge.
        space.lose_blobs_of("main.o");
        assert_eq!(space.build(), ["greeting", "words.o"]);
        assert_eq!(space.output(), "hello from a file of your own\n");
    });
}

#[test]
fn a_failing_unit_says_where_and_why_and_leaves_nothing_behind() {
    on_every_ninja(|space| {
        space.generate();
        space.edit("words.c", "return", "retrun");
        space.generate();
        let failure = space.failing_build();
        assert!(failure.contains("x86_64-linux/greeting/words.o"), "{failure}");
        assert!(failure.contains("retrun"), "{failure}");
        // The hint names the program that runs, as one can call it.
        assert!(failure.contains(&format!("`{EXECUTABLE} shell x86_64-linux/greeting/words.o`")), "{failure}");
        let kept = space.path("out/failed/x86_64-linux/greeting/words.o");
        assert!(kept.join("log").is_file() && kept.join("build").is_dir());
        let error = space.fail(&["run-action", "x86_64-linux/greeting/words.o"]);
        assert!(error.starts_with("exit code 1\n"), "{error}");
        space.edit("words.c", "retrun", "return");
        space.generate();
        space.build();
        assert!(!kept.exists());
        assert_eq!(space.output(), GREETING);
    });
}

#[test]
fn a_unit_that_fails_since_it_is_patched_names_the_patch() {
    on_every_ninja(|space| {
        let folder = space.path("patches/greeting-1.0/x86_64-linux");
        fs::create_dir_all(&folder).unwrap();
        let line = |word: &str| format!("    {word} \"hello from a recipe of your own\";\n");
        let patch = format!("--- a/words.c\n+++ b/words.c\n@@ -5 +5 @@\n-{}+{}", line("return"), line("retrun"));
        fs::write(folder.join("0001-word.patch"), patch).unwrap();
        space.generate();
        let failure = space.failing_build();
        assert!(failure.contains("`src/words.c` is changed by the recipe's patch `0001-word.patch`"), "{failure}");
        fs::remove_dir_all(space.path("patches")).unwrap();
        space.edit("main.c", "return", "retrun");
        space.generate();
        let failure = space.failing_build();
        assert!(failure.contains("retrun") && !failure.contains("patch"), "{failure}");
    });
}

#[test]
fn what_was_built_before_a_failure_is_not_taken_for_new() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        space.edit("words.c", "recipe", "file");
        space.generate();
        // ninja has not run: the stamps are those of the first build.
        assert_eq!(space.output(), "hello from a file of your own\n");
        space.edit("words.c", "return", "retrun");
        space.generate();
        space.failing_build();
        let error = space.fail(&["checkout", "x86_64-linux/greeting/greeting", "--digest"]);
        assert!(error.starts_with("exit code 1\n") && error.contains("retrun"), "{error}");
    });
}

#[test]
fn a_damaged_out_folder_is_made_again() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        let files = || {
            let mut files = Vec::new();
            let mut folders = vec![space.path("out")];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() { folders.push(path) } else { files.push(path) }
                }
            }
            files.sort();
            files
        };
        // A simple sequence of numbers decides; the same in each run.
        let mut number = 1_u32;
        for round in 0..8 {
            for file in files() {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                match number >> 29 {
                    0 => fs::remove_file(file).unwrap(),
                    1 => fs::write(file, "no digest").unwrap(),
                    2 => fs::write(file, "").unwrap(),
                    _ => {}
                }
            }
            let word = format!("round {round}");
            let text = space.source("words.c");
            let from = if round == 0 { "recipe".to_owned() } else { format!("round {}", round - 1) };
            space.write_file("words.c", &text.replacen(&from, &word, 1));
            space.generate();
            space.build();
            assert_eq!(space.output(), format!("hello from a {word} of your own\n"));
        }
    });
}

/// What no graph needs any more goes, and what this one needs stays, however long ago it was used.
#[test]
fn collecting_garbage_keeps_what_the_graph_needs() {
    on_every_ninja(|space| {
        space.use_own_store();
        space.generate();
        space.build();
        space.edit("words.c", "hello", "good day");
        space.generate();
        space.build();
        space.age_results();
        let report = space.run(&["cache", "gc", "--keep-reachable"]);
        assert_eq!(space.generate(), 0, "{report}");
        assert!(space.output().starts_with("good day"));
        space.edit("words.c", "good day", "hello");
        assert!(space.generate() > 0, "what was built first is gone: {report}");
        space.build();
        assert_eq!(space.output(), GREETING);
        // Without that option age decides alone.
        let report = space.run(&["cache", "gc", "--max-age", "1"]);
        assert_eq!(space.generate(), 0, "all of it was used just now: {report}");
        assert!(space.age_results() > 0);
        space.run(&["cache", "gc", "--max-age", "1"]);
        assert_eq!(space.results(), 0);
    });
}

#[test]
fn a_build_whose_disk_is_full_says_so_and_goes_on_when_there_is_room() {
    on_every_ninja(|space| {
        space.use_own_store();
        // The image is laid out before.
        assert!(space.generate() > 0);
        space.build();
        let text = space.source("words.c");
        space.write_file("words.c", &format!("{text}\nchar much[16 << 20] = {{1}};\n"));
        assert!(space.generate() > 0);
        // What is written to the store lies in memory, of which there is little.
        let printed = space.in_namespace(
            "mkdir disk; mount -t tmpfs -o size=6m,mode=755 none disk; mkdir disk/new disk/work
             mount -t overlay -o \"lowerdir=$STORE,upperdir=disk/new,workdir=disk/work\" none \"$STORE\"
             $NINJA greeting && echo 'it was built'
             mount -o remount,size=200m disk
             $NINJA greeting && echo 'it was built then'",
        );
        let (full, then) = printed.split_once("FAILED").unwrap();
        assert!(then.contains("No space left on device"), "{full}{then}");
        assert!(!full.contains("it was built") && then.contains("it was built then"), "{full}{then}");
    });
}
