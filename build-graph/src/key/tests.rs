use super::*;
use crate::node::*;
use crate::{Command, Glob, RelPath, SandboxPath, Sha256};

fn digest(n: u8) -> TreeDigest {
    TreeDigest::from_bytes([n; 32])
}

fn selection(node: &str) -> Selection {
    Selection { node: NodeName::new(node).unwrap(), part: Projection::all() }
}

fn action() -> Action {
    Action {
        image: selection("image/wasm"),
        command: Command::new(["cc", "-c", "a.c"]),
        environment: BTreeMap::from([("CC".into(), "clang".into())]),
        inputs: vec![
            ActionInput { selection: selection("a"), at: SandboxPath::new("/build/src").unwrap() },
            ActionInput { selection: selection("b"), at: SandboxPath::new("/build/include").unwrap() },
        ],
        outputs: vec![RelPath::new("out/a.o").unwrap()],
        target: Target("wasm32-wasi".into()),
        pool: None,
    }
}

fn key(op: &Op, digests: &[u8]) -> String {
    let digests: Vec<_> = digests.iter().map(|n| digest(*n)).collect();
    KeyInputs::new(op, &digests).key().to_string()
}

fn part(node: &str, at: &str) -> Part {
    Part { selection: selection(node), at: RelPath::new(at).ok() }
}

/// A change of any of these is a change of the format: it needs a new version in the domain, and
/// empties every cache.
#[test]
fn golden_keys() {
    let source = Source {
        file: RelPath::new("zlib.tar.gz").unwrap(),
        sha256: Sha256::from_bytes([7; 32]),
        size: Some(1),
        origins: vec![Origin::Url { url: "https://example.org/zlib.tar.gz".into() }],
    };
    let package = Package {
        name: "zlib".into(),
        version: "1".into(),
        target: Target("wasm32-wasi".into()),
        requires: vec!["sandbox_inner".into()],
        content: vec![part("a", "root")],
    };
    let image = Image {
        packages: vec![NodeName::new("deb/a").unwrap(), NodeName::new("deb/b").unwrap()],
        links: BTreeMap::from([(RelPath::new("usr/bin/awk").unwrap(), "mawk".into())]),
        part: Projection::new(Vec::new(), vec![Glob::new("usr/share/doc").unwrap()], None),
    };
    let program = HostProgram {
        sources: selection("s"),
        binary: "run".into(),
        features: vec!["wasm".into()],
        toolchain: "rustc 1.95.0".into(),
    };
    let archive = NodeName::new("a").unwrap();
    let wheel = Wheel {
        archive: archive.clone(),
        project: "jinja2".into(),
        version: "3.1.6".into(),
        extras: vec!["i18n".into()],
        beside: BTreeMap::from([("markupsafe".into(), "3.0.3".into())]),
        python: "3.13.5".into(),
        site: RelPath::new("lib/python3.13/site-packages").unwrap(),
        headers: RelPath::new("include/python3.13").unwrap(),
        interpreter: "/python3/bin/python3.wasm".into(),
    };
    let keys = [
        key(&Op::Source(source), &[]),
        key(&Op::Local { tree: crate::Tree::new() }, &[]),
        key(&Op::Unpack { archive, strip: 1, part: Projection::all() }, &[1]),
        key(&Op::Patch { base: selection("a"), patches: selection("b") }, &[1, 2]),
        key(&Op::Merge { parts: vec![part("a", "x"), part("b", "")] }, &[1, 2]),
        key(&Op::Image(image), &[1, 2]),
        key(&Op::Action(action()), &[1, 2, 3]),
        key(&Op::Package(package), &[1]),
        key(&Op::HostProgram(program), &[1]),
        key(&Op::Wheel(Box::new(wheel)), &[1]),
    ];
    insta::assert_snapshot!(keys.join("\n"));
}

#[test]
fn what_changes_an_action_changes_its_key() {
    let base = key(&Op::Action(action()), &[1, 2, 3]);
    let changed = |change: &dyn Fn(&mut Action)| {
        let mut action = action();
        change(&mut action);
        key(&Op::Action(action), &[1, 2, 3])
    };
    assert_ne!(base, changed(&|action| action.command = Command::new(["cc", "-c", "a.c", "-g"])));
    assert_ne!(base, changed(&|action| action.command = Command::new(["cc", "-c a.c"])));
    assert_ne!(base, changed(&|action| drop(action.environment.insert("X".into(), String::new()))));
    assert_ne!(base, changed(&|action| action.outputs.push(RelPath::new("out/b").unwrap())));
    assert_ne!(base, changed(&|action| action.inputs[0].at = SandboxPath::new("/build/other").unwrap()));
    assert_ne!(base, changed(&|action| action.target = Target("x86_64-nacl".into())));
    for position in 0..3 {
        let mut digests = [1, 2, 3];
        digests[position] = 9;
        assert_ne!(base, key(&Op::Action(action()), &digests), "{position}");
    }
}

#[test]
fn what_cannot_change_an_action_is_not_in_its_key() {
    let base = key(&Op::Action(action()), &[1, 2, 3]);
    let mut other = action();
    other.pool = Some("heavy".into());
    other.image = selection("image/renamed");
    other.inputs.reverse();
    assert_eq!(base, key(&Op::Action(other), &[1, 3, 2]));
}

#[test]
fn an_explanation_shows_the_whole_environment() {
    let lines = KeyInputs::new(&Op::Action(action()), &[digest(1), digest(2), digest(3)]).explain();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn what_is_stored_of_an_archive_is_in_its_key() {
    let unpacked = |part| key(&Op::Unpack { archive: NodeName::new("a").unwrap(), strip: 1, part }, &[1]);
    let only = |text: &str| Projection::new(vec![Glob::new(text).unwrap()], Vec::new(), None);
    let all = [unpacked(Projection::all()), unpacked(only("a/**")), unpacked(only("b/**"))];
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "{all:?}");
}
