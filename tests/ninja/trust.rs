//! What was taken into a store counts for those alone who believe it, and no longer than they do.

use std::fs;

use super::remotes::{GRAPH, GREETING, Shared, plant};
use super::space::Space;

/// What a thief signs: it links to what nobody wrote.
const PLANTED: &[u8] = b"#!/bin/sh\necho planted\n";

/// A remote with a result that somebody planted who has the writer's key.
fn planted() -> Shared {
    let shared = Shared::new();
    plant(&shared, "greeting", PLANTED);
    shared
}

/// A machine that has taken the planted result from the remote, and its settings.
fn deceived(shared: &Shared) -> (Space, String) {
    let settings = format!("{}{}", shared.remote("read"), shared.settings);
    let machine = shared.machine(&settings);
    machine.generate();
    assert_eq!(machine.output(), "planted\n");
    // What is made of it is made here, and recorded as such.
    machine.digest("package");
    (machine, settings)
}

/// The id of the writer's key.
fn signer(shared: &Shared) -> &str {
    shared.settings.split("(key ").nth(1).unwrap().split(')').next().unwrap()
}

/// The same project at another place with the same store.
fn beside(space: &Space, settings: &str) -> Space {
    let mut other = space.clone_to_another_folder();
    other.environment.push(("PYNBOX_CACHE", space.store().into_os_string()));
    fs::write(other.path("pynbox.toml"), settings).unwrap();
    other
}

#[test]
fn what_a_revoked_key_signed_is_not_used_any_more() {
    let shared = planted();
    let (machine, settings) = deceived(&shared);
    let package = machine.digest("package");
    fs::write(machine.path("pynbox.toml"), format!("{settings}[trust]\nrevoked = ['{}']\n", signer(&shared))).unwrap();
    // Nor is what the last plan says, which believed it.
    for verb in [
        &["checkout", "x86_64-linux/greeting/greeting", "out.planted"][..],
        &["checkout", "x86_64-linux/greeting/package", "--digest"],
        &["export", "out.packages", "--target", "x86_64-linux"],
        &["cache", "sign", "--remote", "other:rw=remote", GRAPH],
        &["cache", "export", "pack", GRAPH],
    ] {
        let said = machine.fail(verb);
        assert!(
            said.starts_with("exit code 2\nerror: ") && said.contains("hint: run `fixture gen && ninja`"),
            "{verb:?}: {said}"
        );
    }
    let said = machine.fail(&["run-action", "x86_64-linux/greeting/package"]);
    assert!(said.starts_with("exit code 2\nerror: ") && said.contains("when other keys, remotes or engines"), "{said}");
    assert!(said.contains(" gen` again"), "{said}");
    assert!(machine.generate() > 0);
    assert!(!machine.build().is_empty());
    assert_eq!(machine.output(), GREETING);
    assert_ne!(machine.digest("package"), package);
    // It is there for whoever still believes it.
    let trusting = beside(&machine, &shared.settings);
    trusting.generate();
    assert_eq!(trusting.output(), GREETING, "the result that was made here is in its place");
}

#[test]
fn projects_of_different_trust_share_a_store_and_no_results() {
    let shared = planted();
    let (machine, _) = deceived(&shared);
    let trusting = beside(&machine, &shared.settings);
    trusting.generate();
    assert_eq!(trusting.output(), "planted\n", "who trusts the key uses its results without the remote");
    let empty = shared.folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let remote = format!("[[remote]]\nname = 'shared'\nurl = '{}'\n", empty.display());
    for settings in ["", &remote, &format!("{remote}unsigned = true\n")] {
        let (machine, _) = deceived(&shared);
        let other = beside(&machine, settings);
        assert!(other.generate() > 0, "{settings}");
        // On demand, too.
        assert_eq!(other.output(), GREETING, "{settings}");
        assert_eq!(machine.output(), GREETING, "what was made here counts for all");
    }
}

#[test]
fn an_unsigned_remote_counts_for_whoever_names_it() {
    let shared = planted();
    let machine = shared.machine("");
    let option = format!("ci:unsigned={}", shared.path().display());
    machine.run(&["--remote", &option, "gen", "--offline", "--target", "x86_64-linux"]);
    let node = "x86_64-linux/greeting/greeting";
    machine.run(&["--remote", &option, "checkout", node, machine.path("taken").to_str().unwrap()]);
    // The plan was made by who named it: the other verbs go on with it, without a build.
    assert_eq!(machine.output(), "planted\n");
    // Not so another project, nor this one after a gen that names nobody.
    let other = beside(&machine, "");
    assert!(other.generate() > 0);
    assert!(machine.generate() > 0);
    assert_eq!(other.output(), GREETING);
    assert_eq!(machine.output(), GREETING);
}

#[test]
fn a_pack_that_nobody_signed_counts_for_its_project() {
    let shared = Shared::new();
    shared.writer.run(&["cache", "export", "greeting.pack", GRAPH]);
    let settings = fs::read_to_string(shared.writer.path("pynbox.toml")).unwrap();
    fs::write(shared.writer.path("pynbox.toml"), "").unwrap();
    shared.writer.generate();
    shared.writer.run(&["cache", "export", "unsigned.pack", GRAPH]);
    fs::write(shared.writer.path("pynbox.toml"), settings).unwrap();
    let third = shared.machine("");
    third.remove_results(|record| record.contains("/greeting/"));
    third.run(&["cache", "import", "--unsigned", shared.writer.path("unsigned.pack").to_str().unwrap()]);
    assert_eq!(third.generate(), 0);
    let other = beside(&third, "");
    assert!(other.generate() > 0);
}

#[test]
fn results_are_dropped_by_signer_origin_and_node() {
    let shared = planted();
    for by in [&["--signer", signer(&shared)][..], &["--origin", "shared"]] {
        let (machine, _) = deceived(&shared);
        // Of the remote nothing more is taken.
        fs::write(machine.path("pynbox.toml"), &shared.settings).unwrap();
        machine.generate();
        assert_eq!(machine.output(), "planted\n");
        let said = machine.run(&[&["cache", "drop"], by].concat());
        assert!(!said.starts_with("0 results dropped"), "{said}");
        let said = machine.fail(&["checkout", "x86_64-linux/greeting/package", "--digest"]);
        assert!(said.contains("before results were dropped"), "{said}");
        assert!(machine.generate() > 0);
        machine.build();
        assert_eq!(machine.output(), GREETING);
    }
    let writer = &shared.writer;
    fs::write(writer.path("pynbox.toml"), "").unwrap();
    assert_eq!(writer.generate(), 0);
    assert!(writer.run(&["cache", "drop", "x86_64-linux/greeting/main.o"]).starts_with("1 results dropped"));
    assert!(writer.generate() > 0);
    assert_eq!(writer.build(), ["main.o"]);

    let said = writer.fail(&["cache", "drop", "--origin", "nobody"]);
    assert!(said.starts_with("exit code 2\nerror: no result in the store came from `nobody`\nhint: "), "{said}");
    assert!(said.contains("`here`"), "{said}");
    let said = writer.fail(&["cache", "drop", "--signer", "nobody"]);
    assert!(said.starts_with("exit code 2\nerror: `nobody` is no key\nhint: "), "{said}");
    let said = writer.fail(&["cache", "drop", "wasm32-nothing"]);
    assert!(said.starts_with("exit code 2\nerror: no node's name begins with `wasm32-nothing`"), "{said}");
    assert!(writer.fail(&["cache", "drop"]).starts_with("exit code 2"));
    assert!(writer.run(&["cache", "drop", "--signer", "0123456789abcdef"]).starts_with("0 results dropped"));
}
