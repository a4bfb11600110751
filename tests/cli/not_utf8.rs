//! Names and settings that are no UTF-8: they work as any other, or an error says what they are.
//! None is passed over, and none is printed as another one.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use crate::space::{Space, ended};

const NAME: &[u8] = b"co\xff";

fn name() -> &'static OsStr {
    OsStr::from_bytes(NAME)
}

#[track_caller]
fn assert_refused(command: &mut Command, part: &str) {
    let (status, out, err) = ended(&command.output().unwrap());
    assert!(status == Some(2) && err.contains(part) && err.contains("UTF-8"), "{command:?}: {status:?} {out}{err}");
    assert!(!err.contains('\u{fffd}'), "{err}");
}

#[test]
fn paths_that_a_verb_is_given() {
    let space = Space::new();
    let at = |path: &str| {
        let mut at = space.path(path).into_os_string();
        at.push(name());
        at
    };
    assert!(space.tool(["--offline", "gen"]).output().unwrap().status.success());
    let node = &space.known_node();
    let mut checkout = space.tool(["--offline", "checkout", node]);
    let (status, _, err) = ended(&checkout.arg(at("checkout-")).output().unwrap());
    assert_eq!(status, Some(0), "{err}");
    assert!(fs::read_dir(at("checkout-")).unwrap().next().is_some());
    // Each names it, and as what it is.
    for (words, status) in [
        (&["checkout", node][..], 2),
        (&["install"], 3),
        (&["cache", "import"], 2),
        (&["source", "add"], 2),
        (&["install", "nowhere", "--repo"], 2),
    ] {
        let command = &mut space.tool(["--offline"].iter().chain(words));
        let (code, _, err) = ended(&command.arg(at("checkout-")).output().unwrap());
        assert!(code == Some(status) && !err.contains('\u{fffd}'), "{words:?}: {code:?} {err}");
        assert!(err.contains("co\\xff") || words[0] == "install", "{words:?}: {err}");
    }
    let (status, _, err) = ended(&space.tool(["cache", "keygen"]).arg(at("key-")).output().unwrap());
    assert!(status == Some(0) && err.contains("key-co\\xff`") && fs::metadata(at("key-")).is_ok(), "{err}");
}

#[test]
fn a_store_or_a_project_or_a_file_of_it() {
    let space = Space::new();
    let mut store = space.path("store-").into_os_string();
    store.push(name());
    assert_refused(space.tool(["cache", "root"]).env("PYNBOX_CACHE", &store), "store-co\\xff`");
    let mut home = space.tool(["cache", "root"]);
    assert_refused(home.env_remove("PYNBOX_CACHE").env("HOME", &store), "store-co\\xff/.cache/pynbox-build`");
    let mut cache = space.tool(["cache", "root"]);
    assert_refused(cache.env_remove("PYNBOX_CACHE").env("XDG_CACHE_HOME", &store), "store-co\\xff/pynbox-build`");
    assert!(fs::metadata(&store).is_err());
    let project = space.path(name());
    fs::create_dir(&project).unwrap();
    fs::write(project.join("pynbox.toml"), "").unwrap();
    assert_refused(space.tool(["--offline", "gen"]).current_dir(&project), "co\\xff`");
    assert_refused(space.tool(["--offline", "gen", "-C"]).arg(&project), "co\\xff`");
    let patches = space.path("project/patches/zlib-1/wasm32-wasi");
    fs::create_dir_all(&patches).unwrap();
    let mut patch = OsString::from("0001-");
    patch.push(name());
    fs::write(patches.join(patch), "").unwrap();
    assert_refused(&mut space.tool(["--offline", "gen"]), "0001-co\\xff`");
}

#[test]
fn options_and_variables_that_are_text() {
    let space = Space::new();
    for words in [&["gen", "--target"][..], &["gen", "--override-source"], &["--remote"], &["gen", "--executor"]] {
        let (status, _, err) = ended(&space.tool(words).arg(name()).output().unwrap());
        let said = err.contains("UTF-8") || err.contains("co\\xff");
        assert!(status == Some(2) && said && !err.contains('\u{fffd}'), "{words:?}: {status:?} {err}");
    }
    let remotes = OsStr::from_bytes(b"not a remote \xff");
    assert_refused(space.tool(["--offline", "gen"]).env("PYNBOX_REMOTES", remotes), "`PYNBOX_REMOTES`");
    let lines = "[[remote]]\nname = \"a\"\nurl = \"http://127.0.0.1:9/\"\ntoken-variable = \"TOKEN\"\n";
    fs::write(space.path("project/pynbox.toml"), lines).unwrap();
    for (variable, part) in [("TOKEN", "authorization"), ("HTTP_PROXY", "`HTTP_PROXY`"), ("no_proxy", "`no_proxy`")] {
        let (status, _, err) = ended(&space.tool(["gen"]).env(variable, name()).output().unwrap());
        assert!(status == Some(2) && err.contains(part), "{variable}: {status:?} {err}");
    }
}

/// That an index can't be asked is the environment's fault, as it is with an address that leads
/// nowhere.
#[test]
fn an_address_in_a_variable() {
    let space = Space::new();
    let mut fetch = space.tool(["fetch", "lxml"]);
    let (status, _, err) = ended(&fetch.env("PIP_INDEX_URL", name()).output().unwrap());
    assert!(status == Some(3) && err.contains("`PIP_INDEX_URL` is no UTF-8"), "{status:?} {err}");
}
