//! The same digests from another folder, for another user, with nothing but sources to begin with.

use std::collections::BTreeMap;

use testing::NOBODY;

use super::space::{Space, ninjas};

/// Builds in a store without results of operations on trees; gives the digest of each node that was
/// made.
fn build(space: &mut Space) -> BTreeMap<String, String> {
    space.use_own_store();
    // What can't be had without a network or takes minutes stays: sources, and programs that cargo
    // builds.
    let stays = |text: &str| text.contains("pynbox-source-v") || text.contains("pynbox-host-program-v");
    assert!(space.remove_results(|text| !stays(text)) > 0);
    if space.user.is_some() {
        space.hand_over();
    }
    space.run(&["gen", "--offline"]);
    space.ninja("zlib");
    space.ninja("x86_64-linux/greeting");
    space.ninja("wasm32-wasi/greeting");
    space.run(&["gen", "--offline"]);
    let of_interest = ["image/", "wasm32-wasi/zlib/", "wasm32-wasi/greeting/", "x86_64-linux/greeting/"];
    let mut known = space.known();
    known.retain(|name, _| of_interest.iter().any(|prefix| name.starts_with(prefix)));
    known
}

#[test]
fn every_node_has_the_same_digest_elsewhere() {
    let mut first = Space::new(&ninjas()[0]);
    let expected = {
        let mut space = first.clone_to_another_folder();
        build(&mut space)
    };
    for node in ["image/wasm", "image/host", "wasm32-wasi/zlib/tree", "x86_64-linux/greeting/greeting"] {
        assert!(expected.contains_key(node), "{node} is not in {expected:?}");
    }
    // The comparison can fail: it sees an edit.
    let mut edited = first.clone_to_another_folder();
    edited.edit("main.c", "return 0", "return 1");
    let other = build(&mut edited);
    let differ: Vec<_> = expected.iter().filter(|(name, digest)| other.get(*name) != Some(digest)).collect();
    assert!(differ.iter().any(|(name, _)| *name == "x86_64-linux/greeting/greeting"), "{differ:?}");
    assert!(differ.iter().all(|(name, _)| name.contains("/greeting/")), "{differ:?}");
    assert_eq!(build(&mut first), expected);
}

#[test]
#[ignore = "needs root"]
fn root_and_an_ordinary_user_build_the_same() {
    let mut ordinary = Space::new(&ninjas()[0]);
    let by_root = build(&mut ordinary.clone_to_another_folder());
    ordinary.user = Some(NOBODY);
    assert_eq!(build(&mut ordinary), by_root);
}
