//! When `gen` may say at once that there is nothing to do.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::on_every_ninja;
use super::space::Space;

const FAST: &str = "unchanged)";
const GEN: [&str; 2] = ["gen", "--offline"];

/// Builds until nothing is left, and sees that the next gen is a short one.
fn settle(space: &Space, options: &[&str]) {
    let generate = [&GEN, options].concat();
    for _ in 0..2 {
        space.run(&generate);
        space.ninja("wasm32-wasi");
        space.ninja("x86_64-linux");
    }
    space.run(&generate);
    let text = space.run(&generate);
    assert!(text.contains(FAST), "{text}");
}

fn is_slow(space: &Space, options: &[&str], why: &str) {
    let text = space.run(&[&GEN, options].concat());
    assert!(!text.contains(FAST), "after {why}: {text}");
}

#[test]
fn only_if_nothing_has_changed() {
    on_every_ninja(|space| {
        space.use_own_store();
        settle(space, &[]);
        assert!(space.ninja("wasm32-wasi").contains("no work to do"));

        space.edit("words.h", "What", "Whatever");
        is_slow(space, &[], "an edit");
        settle(space, &[]);
        space.write_file("more.txt", "");
        is_slow(space, &[], "a new file");
        settle(space, &[]);
        is_slow(space, &["--target", "x86_64-linux"], "another option");
        settle(space, &[]);
        for lost in ["out/plan", "out/record", "build.ninja"] {
            fs::remove_file(space.path(lost)).unwrap();
            is_slow(space, &[], lost);
            settle(space, &[]);
        }
        fs::create_dir_all(space.path("recipes/locks")).unwrap();
        is_slow(space, &[], "a new folder");
        settle(space, &[]);

        // The store loses something: a result that nobody used for a week.
        let found = Command::new("find").arg(space.store().join("results")).args(["-type", "f"]).output().unwrap();
        let old = String::from_utf8(found.stdout).unwrap().lines().next().unwrap().to_owned();
        assert!(Command::new("touch").args(["-d", "9 days ago", &old]).status().unwrap().success());
        assert!(space.run(&["cache", "gc", "--max-age", "7"]).starts_with("removed 1 results"));
        is_slow(space, &[], "cache gc");
    });
}

/// What is left does not make a `gen` long, as long as nothing came to the store.
#[test]
fn what_is_left_is_looked_up_again_only_after_results_came() {
    on_every_ninja(|space| {
        space.use_own_store();
        space.edit("words.h", "What", &format!("What {:?}", SystemTime::now()));
        let unchanged = |text: &str| text.contains("left to run") && text.contains(FAST);
        // The first one puts something into the store.
        let settled = (0..3).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            unchanged(&space.run(&GEN))
        });
        assert!(settled);
        let file = fs::read(space.path("build.ninja")).unwrap();
        assert!(String::from_utf8_lossy(&file).contains("build out/stamps/x86_64-linux/greeting/words.o.digest"));

        space.ninja("out/stamps/x86_64-linux/greeting/words.o.digest");
        let text = space.run(&GEN);
        assert!(!unchanged(&text), "{text}");
        let now = fs::read_to_string(space.path("build.ninja")).unwrap();
        assert!(!now.contains("build out/stamps/x86_64-linux/greeting/words.o.digest"), "{now}");
    });
}

#[test]
fn a_folder_in_place_of_a_source_is_looked_at_each_time() {
    on_every_ninja(|space| {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("zlib");
        space.run(&GEN);
        space.run(&["checkout", "source/zlib/tree", tree.to_str().unwrap()]);
        let option = format!("zlib={}", tree.display());
        let options = ["--override-source", &option];
        let generate = [&GEN[..], &options].concat();
        space.run(&generate);
        assert!(space.ninja("wasm32-wasi/zlib").contains("no work to do"), "the same bytes");
        let file = tree.join("adler32.c");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}\n/* {:?} */\n", SystemTime::now())).unwrap();
        // ninja starts gen by itself.
        let printed = space.ninja("wasm32-wasi/zlib");
        assert!(printed.contains("run wasm32-wasi/zlib/adler32.o"), "{printed}");
        assert!(!printed.contains("run wasm32-wasi/zlib/crc32.o"), "{printed}");
        fs::write(tree.join("new.h"), format!("/* {:?} */\n", SystemTime::now())).unwrap();
        let printed = space.ninja("wasm32-wasi/zlib");
        assert!(printed.contains("run wasm32-wasi/zlib/crc32.o"), "{printed}");
    });
}
