//! Every way in which `gen` and ninja meet, with real actions, on every ninja that `PYNBOX_TEST_NINJAS` names (default: the one in PATH).
//!
//! The images come from the store that the tests are run with; what the tests build is new in each run, because each space writes a
//! number of its own into its sources.

mod space;

use space::{Space, ninjas};

fn on_every_ninja(test: impl Fn(&mut Space)) {
    for ninja in ninjas() {
        test(&mut Space::new(&ninja));
    }
}

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
        space.remove_outputs();
        assert_eq!(space.generate(), 0);
        assert_eq!(space.build(), [""; 0]);
        let mut elsewhere = space.clone_to_another_folder();
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
fn an_interrupted_build_goes_on() {
    on_every_ninja(|space| {
        space.generate();
        space.interrupt_build();
        space.build();
        assert_eq!(space.output(), "hello from a recipe of your own\n");
        assert_eq!(space.generate(), 0);
    });
}

#[test]
fn an_emptied_store_with_outputs_kept_still_ends_in_a_right_install() {
    on_every_ninja(|space| {
        space.use_own_store();
        space.generate();
        space.build();
        let before = space.stamp("greeting");
        space.empty_results_of_store();
        // ninja has nothing to do, and install builds what it needs.
        assert_eq!(space.build(), [""; 0]);
        assert_eq!(space.installed_output(), "hello from a recipe of your own\n");
        assert_eq!(space.stamp("greeting"), before);
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
        assert!(failure.contains("pynbox-build shell x86_64-linux/greeting/words.o"), "{failure}");
        space.edit("words.c", "retrun", "return");
        space.generate();
        space.build();
        assert_eq!(space.output(), "hello from a recipe of your own\n");
    });
}
