//! `why`: which file changed, without building anything.

use std::fs;

use super::on_every_ninja;
use super::space::Space;

const UNIT: &str = "x86_64-linux/greeting/words.o";
const PROGRAM: &str = "x86_64-linux/greeting/greeting";
const FILE: &str = "`recipes/files/greeting/words.c` changed";

/// What it says, with digests replaced.
fn why(space: &Space, name: &str) -> String {
    let before = space.results();
    let text = space.run(&["why", name]);
    assert_eq!(space.results(), before, "it builds nothing");
    let is_digest = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = |line: &str| {
        let words = line.split(' ').map(|word| if is_digest(word) { "DIGEST" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_first_edit_over_a_warm_store_is_followed_to_its_file() {
    on_every_ninja(|space| {
        space.use_own_store();
        space.generate();
        space.build();
        let mut clone = space.clone_to_another_folder();
        clone.environment.push(("PYNBOX_CACHE", space.store().into()));
        assert_eq!(clone.generate(), 0, "all is known, nothing was ever built in this folder");
        clone.edit("words.c", "recipe", "file");
        clone.generate();
        space.edit("words.c", "recipe", "file");
        space.generate();
        let text = why(space, PROGRAM);
        let own = clone.run(&["why", PROGRAM]);
        assert!(own.contains(FILE) && own.contains("result: none yet"), "{own}");
        insta::assert_snapshot!("waits", text);
        insta::assert_snapshot!("has_to_run", why(space, UNIT));
        let other = why(space, "x86_64-linux/greeting/main.o");
        assert!(other.contains("state:  known") && !other.contains("changed"), "{other}");
    });
}

#[test]
fn edits_that_failed_in_between_are_no_earlier_state() {
    on_every_ninja(|space| {
        space.use_own_store();
        space.generate();
        space.build();
        space.generate();
        space.edit("main.c", "return 0", "retrun 0");
        space.generate();
        space.failing_build();
        space.edit("words.c", "recipe", "file");
        space.generate();
        let text = why(space, PROGRAM);
        assert!(text.contains(FILE) && text.contains("`recipes/files/greeting/main.c` changed"), "{text}");
        // One of them is built, the other one fails.
        space.failing_build();
        space.edit("main.c", "retrun 0", "return1 0");
        space.generate();
        let text = why(space, "x86_64-linux/greeting/main.o");
        assert!(text.contains("`recipes/files/greeting/main.c` changed"), "{text}");
        assert!(!text.contains("words.c"), "{text}");
        space.edit("main.c", "return1 0", "return 0");
        space.generate();
        space.build();
        let text = why(space, PROGRAM);
        assert!(text.contains("state:  known: built since `gen`") && text.contains(FILE), "{text}");
        space.generate();
        let text = why(space, PROGRAM);
        assert!(text.contains("state:  known, nothing is left to run"), "{text}");
    });
}

#[test]
fn a_patch_a_recipe_and_a_misspelt_name() {
    on_every_ninja(|space| {
        space.use_own_store();
        space.generate();
        space.build();
        space.generate();
        let folder = space.path("patches/greeting-1.0/x86_64-linux");
        fs::create_dir_all(&folder).unwrap();
        let line = "    return \"hello from a";
        let patch = format!(
            "Says another word.\n--- a/words.c\n+++ b/words.c\n@@ -5 +5 @@\n-{line} recipe of your own\";\n+{line} patch of your own\";\n"
        );
        fs::write(folder.join("0001-word.patch"), patch).unwrap();
        space.generate();
        let text = why(space, "greeting");
        assert!(text.contains("`patches/greeting-1.0/x86_64-linux/0001-word.patch` is new"), "{text}");
        assert!(text.contains("node:   x86_64-linux/greeting/package"), "a recipe is all its nodes: {text}");
        let said = space.fail(&["why", "x86_64-linux/greting/word.o"]);
        assert!(said.starts_with("exit code 2\nerror: there is no node `x86_64-linux/greting/word.o`"), "{said}");
        assert!(said.contains("`x86_64-linux/greeting/words.o`") && !said.contains("gen"), "{said}");
        let said = space.fail(&["checkout", "words.o", "--digest"]);
        assert!(said.contains("`x86_64-linux/greeting/words.o`"), "{said}");
        let said = space.fail(&["checkout", "greeting", "--digest"]);
        assert!(said.contains("like it are `x86_64-linux/greeting/package`"), "{said}");
    });
}
