//! Builds that go well: what runs after which change.

use super::on_every_ninja;
use super::space::actions;

#[test]
fn a_first_build_runs_everything_and_a_second_nothing() {
    on_every_ninja(|space| {
        assert!(space.generate() > 0);
        assert_eq!(space.build(), ["greeting", "main.o", "words.o"]);
        assert_eq!(space.output(), "hello from a recipe of your own\n");
        assert_eq!(space.build(), [""; 0]);
        assert_eq!(space.generate(), 0);
        assert_eq!(space.build(), [""; 0]);
    });
}

#[test]
fn a_clean_checkout_with_a_warm_store_runs_nothing() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        space.run(&["clean"]);
        assert!(!space.path("build.ninja").exists() && !space.path("out").exists());
        assert_eq!(space.generate(), 0);
        assert_eq!(space.build(), [""; 0]);
        let elsewhere = space.clone_to_another_folder();
        assert_eq!(elsewhere.generate(), 0);
        assert_eq!(elsewhere.build(), [""; 0]);
        assert_eq!(elsewhere.output(), space.output());
    });
}

#[test]
fn an_edit_runs_its_unit_and_what_follows_and_a_revert_nothing() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        space.edit("words.c", "recipe", "file");
        space.generate();
        assert_eq!(space.build(), ["greeting", "words.o"]);
        assert_eq!(space.output(), "hello from a file of your own\n");
        space.edit("words.c", "file", "recipe");
        assert_eq!(space.generate(), 0);
        assert_eq!(space.build(), [""; 0]);
        assert_eq!(space.output(), "hello from a recipe of your own\n");
    });
}

#[test]
fn a_comment_ends_the_build_after_its_unit() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        space.edit("words.c", "#include", "/* a comment */ #include");
        space.generate();
        assert_eq!(space.build(), ["words.o"]);
        assert_eq!(space.generate(), 0);
    });
}

#[test]
fn a_header_reaches_every_unit() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        space.edit("words.h", "const char", "extern const char");
        space.generate();
        // Both are compiled again, and come out the same.
        assert_eq!(space.build(), ["main.o", "words.o"]);
    });
}

#[test]
fn ninja_alone_notices_an_edit() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        assert_eq!(space.generate(), 0);
        space.edit("words.c", "recipe", "file");
        // No gen: ninja starts it.
        assert_eq!(space.build(), ["greeting", "words.o"]);
        assert_eq!(space.output(), "hello from a file of your own\n");
        assert_eq!(space.build(), [""; 0]);
        space.write_file("unused.h", "/* new */");
        assert_eq!(space.build(), ["main.o", "words.o"]);
        space.remove_file("unused.h");
        assert_eq!(space.build(), [""; 0]);
    });
}

#[test]
fn branches_with_a_warm_store_run_nothing() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        space.edit("words.c", "recipe", "branch");
        space.generate();
        space.build();
        for _ in 0..2 {
            space.edit("words.c", "branch", "recipe");
            assert_eq!(space.generate(), 0);
            assert_eq!(space.build(), [""; 0]);
            assert_eq!(space.output(), "hello from a recipe of your own\n");
            space.edit("words.c", "recipe", "branch");
            assert_eq!(space.generate(), 0);
            assert_eq!(space.build(), [""; 0]);
            assert_eq!(space.output(), "hello from a branch of your own\n");
        }
    });
}

#[test]
fn two_clones_that_build_at_once_share_the_work() {
    on_every_ninja(|space| {
        let other = space.clone_to_another_folder();
        space.generate();
        other.generate();
        let builds = [space.start_build(), other.start_build()];
        let mut ran = Vec::new();
        for build in builds {
            let output = build.wait_with_output().unwrap();
            assert!(output.status.success());
            ran.extend(actions(&String::from_utf8_lossy(&output.stdout)));
        }
        ran.sort();
        assert_eq!(ran, ["greeting", "main.o", "words.o"]);
        assert_eq!(space.output(), other.output());
    });
}

#[test]
fn ninjas_clean_spares_the_stamps_and_ours_removes_all() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        space.ninja_tool("clean");
        assert!(space.path("out/stamps/x86_64-linux/greeting/greeting.digest").exists());
        assert_eq!(space.build(), [""; 0]);
        space.run(&["clean"]);
        for name in ["out", "build.ninja", ".ninja_log", ".ninja_deps"] {
            assert!(!space.path(name).exists(), "{name}");
        }
    });
}

#[test]
fn a_comment_in_a_fresh_clone_ends_the_build_after_its_unit() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        let clone = space.clone_to_another_folder();
        // All known: nothing of this was ever built in this folder.
        assert_eq!(clone.generate(), 0);
        clone.edit("words.c", "#include", "/* a comment */ #include");
        clone.generate();
        let text = clone.ninja("greeting");
        assert!(text.contains("greeting/words.o") && !text.contains("greeting/greeting"), "{text}");
    });
}
