//! Trees that are made up, on disk and as values: for tests against programs that everybody uses.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use build_graph::{BlobDigest, Entry, RelPath, Tree};
use proptest::prelude::*;
use proptest::test_runner::Config;

/// How many cases are tried: a few in every run, and as many as `PYNBOX_TEST_CASES` says in a long
/// one.
pub fn cases(few: u32) -> Config {
    let cases = std::env::var("PYNBOX_TEST_CASES").ok().map_or(few, |cases| cases.parse().unwrap());
    Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() }
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file: its bytes, and whether it can be executed.
    File(Vec<u8>, bool),
    /// A symbolic link: its target.
    Link(String),
    /// An empty folder.
    Folder,
}

/// A tree by its paths. No path lies below another one that is no folder.
pub type Nodes = BTreeMap<String, Node>;

/// A component of a path: mostly plain, sometimes such as programs quote, split or misread.
pub fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-d]",
        3 => "[a-z]{1,8}(\\.[ch])?",
        1 => "[ -.0-~]{1,6}",
        1 => prop_oneof![
            Just("with space".to_owned()), Just(" ".to_owned()), Just("x ".to_owned()), Just("-- ".to_owned()),
            Just("q\"uote".to_owned()), Just("back\\slash".to_owned()), Just("ta\tb".to_owned()), Just("größe".to_owned()),
            Just("日本".to_owned()), Just("cr\r".to_owned()), Just("e\u{301}".to_owned()), Just("=>".to_owned()),
            Just("a b".to_owned()), Just("\u{1b}[1m".to_owned()), Just("dev".to_owned()), Just("null".to_owned()),
        ],
        1 => "[x-z]{90,110}",
    ]
    .prop_filter("no component of a path", |name| !matches!(name.as_str(), "." | ".." | ".git"))
}

/// Lines of a file; the last one may lack its line feed.
pub fn text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => "[abc]",
        2 => Just(String::new()),
        1 => prop_oneof![
            Just("-- ".to_owned()), Just("--- a/x".to_owned()), Just("+++ b/x".to_owned()), Just("@@ -1 +1 @@".to_owned()),
            Just("\\ No newline at end of file".to_owned()), Just("crlf\r".to_owned()), Just("diff --git a/x b/x".to_owned()),
            Just("\tindented".to_owned()), Just("größe".to_owned()),
        ],
    ];
    (prop::collection::vec(line, 0..14), any::<bool>()).prop_map(|(lines, ended)| {
        let mut text = lines.join("\n").into_bytes();
        if ended && !lines.is_empty() {
            text.push(b'\n');
        }
        text
    })
}

/// What stands at a path: mostly a file.
pub fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        8 => (text(), prop::bool::weighted(0.2)).prop_map(|(text, executable)| Node::File(text, executable)),
        2 => (prop::sample::select(vec![0, 1, 511, 512, 513, 1024, 5000]), any::<u8>())
            .prop_map(|(size, byte)| Node::File(vec![byte; size], false)),
        1 => name().prop_map(Node::Link),
        1 => Just(Node::Folder),
    ]
}

/// A tree of up to eleven paths.
pub fn nodes() -> impl Strategy<Value = Nodes> {
    let path = prop::collection::vec(name(), 1..4).prop_map(|names| names.join("/"));
    prop::collection::vec((path, node()), 1..12).prop_map(|entries| {
        let mut nodes = Nodes::new();
        for (path, node) in entries {
            insert(&mut nodes, path, node);
        }
        nodes
    })
}

/// Puts a node where nothing is in its way.
pub fn insert(nodes: &mut Nodes, path: String, node: Node) {
    let above = path.match_indices('/').any(|(end, _)| nodes.contains_key(&path[..end]));
    let below = nodes.keys().any(|other| other.strip_prefix(&path).is_some_and(|rest| rest.starts_with('/')));
    if !above && !below {
        nodes.insert(path, node);
    }
}

/// The same as a tree of the build graph.
pub fn tree(nodes: &Nodes) -> Tree {
    let mut tree = Tree::new();
    for (path, node) in nodes {
        let entry = match node {
            Node::File(bytes, executable) => {
                Entry::File { digest: BlobDigest::of(bytes), size: bytes.len() as u64, executable: *executable }
            }
            Node::Link(target) => Entry::Symlink { target: target.clone() },
            Node::Folder => Entry::EmptyDirectory,
        };
        tree.insert(RelPath::new(path.as_str()).unwrap(), entry).unwrap();
    }
    tree
}

/// Writes a tree into a folder.
pub fn write(nodes: &Nodes, folder: &Path) {
    for (path, node) in nodes {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match node {
            Node::File(bytes, executable) => {
                fs::write(&path, bytes).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(if *executable { 0o755 } else { 0o644 }))
                    .unwrap();
            }
            Node::Link(target) => symlink(target, &path).unwrap(),
            Node::Folder => fs::create_dir_all(&path).unwrap(),
        }
    }
}

/// What a folder holds, but for `.git`; `None` if that has no place in a tree (a device, a name
/// that is not UTF-8).
pub fn read(folder: &Path) -> Option<Nodes> {
    let mut nodes = Nodes::new();
    read_below(folder, "", &mut nodes)?;
    Some(nodes)
}

fn read_below(folder: &Path, prefix: &str, nodes: &mut Nodes) -> Option<()> {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().ok()?;
        if prefix.is_empty() && name == ".git" {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            let before = nodes.len();
            read_below(&entry.path(), &format!("{path}/"), nodes)?;
            if nodes.len() == before {
                nodes.insert(path, Node::Folder);
            }
        } else if kind.is_symlink() {
            nodes.insert(path, Node::Link(fs::read_link(entry.path()).unwrap().into_os_string().into_string().ok()?));
        } else if kind.is_file() {
            let executable = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
            nodes.insert(path, Node::File(fs::read(entry.path()).unwrap(), executable));
        } else {
            return None;
        }
    }
    Some(())
}

/// Runs a program in a folder, with nothing of the user's settings.
pub fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs([("HOME", folder), ("LC_ALL", Path::new("C")), ("TZ", Path::new("UTC"))])
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
        .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@example.invalid")])
        .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@example.invalid")])
        .output()
        .unwrap_or_else(|error| panic!("`{program}` is needed for this test: {error}"))
}
