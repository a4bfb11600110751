//! What one machine built, carried to another in a file.

use std::fs;

use super::on_every_ninja;
use super::space::Space;

const NODE: &str = "x86_64-linux/greeting/greeting";
const RECIPE: &str = "x86_64-linux/greeting/";

/// A clone elsewhere whose store has nothing, as on a machine of its own.
fn another_machine(space: &Space) -> Space {
    let mut other = space.clone_to_another_folder();
    other.use_empty_store();
    other
}

#[test]
fn a_pack_is_all_that_another_machine_needs() {
    on_every_ninja(|space| {
        space.generate();
        space.build();
        space.run(&["cache", "export", "greeting.pack", RECIPE]);
        let other = another_machine(space);
        fs::copy(space.path("greeting.pack"), other.path("greeting.pack")).unwrap();
        other.run(&["cache", "import", "--unsigned", "greeting.pack"]);
        assert_eq!(other.generate(), 0);
        assert_eq!(other.build(), [""; 0]);
        assert_eq!(other.output(), space.output());
        let why = |space: &Space| space.run(&["why", NODE]).lines().take(3).collect::<Vec<_>>().join("\n");
        assert_eq!(why(&other), why(space));
    });
}

#[test]
fn a_pack_that_nobody_signed_is_refused_unless_told_otherwise() {
    let space = Space::new("ninja");
    space.generate();
    space.build();
    space.run(&["cache", "export", "greeting.pack", RECIPE]);
    let other = another_machine(&space);
    fs::copy(space.path("greeting.pack"), other.path("greeting.pack")).unwrap();
    let refusal = other.fail(&["cache", "import", "greeting.pack"]);
    assert!(refusal.starts_with("exit code 2\n") && refusal.contains("--unsigned"), "{refusal}");
    assert_eq!(other.results(), 0);
}

#[test]
fn what_is_not_built_is_not_exported() {
    let space = Space::new("ninja");
    space.generate();
    let refusal = space.fail(&["cache", "export", "greeting.pack", RECIPE]);
    assert!(refusal.starts_with("exit code 2\n") && refusal.contains("not built yet"), "{refusal}");
    assert!(!space.path("greeting.pack").exists());
}
