//! The way from a WebAssembly module to native code: it gives the same bytes again, and takes no
//! profile but the module's own.
//!
//! The store is the user's own, so that the compilers and wasm2c are not built again.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use pynbox_build::build::action::{self, ActionRun};
use pynbox_build::build::action_runner::ActionRunner;
use pynbox_build::build::builder::{Builder, Stamps};
use pynbox_build::build::evaluate::BuildContext;
use pynbox_build::build::plan::{OutDir, Plan};
use pynbox_build::build::selections::Selected;
use pynbox_build::build_graph::node::{NodeName, Op};
use pynbox_build::build_graph::{RelPath, Tree, TreeDigest};
use pynbox_build::executor::{ActionLimits, Ahead, DockerExecutor, NamespaceExecutor, runner_program};
use pynbox_build::remote::caches::Caches;
use pynbox_build::report::Silent;
use pynbox_build::source::{FetchSettings, Fetcher};
use pynbox_build::store::{Area, Store};

const STEPS: [&str; 8] = [
    "turns/c",
    "turns/segment/instrumented",
    "turns/segment/profile",
    "turns/segment/objects/turns_0.o",
    "turns/segment/linked",
    "turns/pointer/linked",
    "throws/segment/profile",
    "throws/libraries/segment/profile",
];

/// The project in another folder, with an `out/` of its own.
struct Space {
    folder: tempfile::TempDir,
    store: Store,
    plan: Plan,
}

impl Space {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pynbox.toml", "patches", "recipes", "sandbox"] {
            symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), folder.path().join(name)).unwrap();
        }
        let mut tool = Command::new(env!("CARGO_BIN_EXE_pynbox-build"));
        let generated = tool.args(["--executor", "namespace", "gen"]).current_dir(&folder).output().unwrap();
        assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
        let store = Store::open(&Store::default_root().unwrap()).unwrap();
        let plan = Plan::open(&OutDir::new(folder.path().join("out"))).unwrap();
        Self { folder, store, plan }
    }

    /// Runs the action of a step again, by this executor, with an input tree in another one's place
    /// if `replaced` says so. Gives the tree that came of it before, and now; what it printed, if
    /// it failed.
    fn again(
        &self,
        step: &str,
        runner: &dyn ActionRunner,
        replaced: impl Fn(&Builder<'_>, &Tree) -> Option<Tree>,
    ) -> (TreeDigest, Result<TreeDigest, String>) {
        let name = node(step);
        let fetch = Fetcher::new(FetchSettings::new(self.store.area(Area::Partial)));
        let (namespaces, caches) = (NamespaceExecutor::new(), Caches::default());
        let context = BuildContext {
            store: &self.store,
            fetch: &fetch,
            runner: &namespaces,
            engine: None,
            limits: ActionLimits::DEFAULT,
            out: None,
            caches: &caches,
            reporter: &Silent,
        };
        let builder = Builder::new(context, &self.plan, Stamps::Old);
        let before = builder.obtain(&name).unwrap().tree;
        let node = self.plan.node(&name).unwrap();
        let Op::Action(description) = &node.op else { panic!("{name} is no action") };
        let inputs = builder.inputs(&node).unwrap().into_iter();
        let mut inputs = inputs.map(|tree| replaced(&builder, &tree).map_or(tree, Arc::new));
        let image = inputs.next().unwrap();
        let inputs = inputs.map(Selected::whole).collect();
        let run = ActionRun {
            name: &name,
            action: description,
            image: image.digest(),
            inputs,
            limits: ActionLimits::DEFAULT,
        };
        let kept = OutDir::new(self.folder.path().join("kept"));
        let now = action::run(&self.store, runner, Some(&kept), &run);
        let now = now.map(|evaluated| evaluated.tree.digest());
        (before, now.map_err(|_| std::fs::read_to_string(kept.failed(&name).join("log")).unwrap()))
    }
}

/// The node of a step of the small programs.
fn node(step: &str) -> NodeName {
    format!("wasm32-wasi/native-tests/native/{step}").parse().unwrap()
}

/// The same file of a tree under another name.
fn renamed(tree: &Tree, from: &str, to: &str) -> Tree {
    let mut renamed = Tree::new();
    let (_, entry) = tree.iter().find(|(path, _)| path.as_str() == from).unwrap();
    renamed.insert(RelPath::new(to).unwrap(), entry.clone()).unwrap();
    renamed
}

#[test]
fn each_step_gives_the_same_bytes_again() {
    let space = Space::new();
    for step in STEPS {
        let (before, now) = space.again(step, &NamespaceExecutor::new(), |_, _| None);
        assert_eq!(now, Ok(before), "{step}");
    }
    // Each way to reach the memory has a profile of its own.
    let profile = |base: &str| space.again(&format!("turns/{base}/profile"), &NamespaceExecutor::new(), |_, _| None).0;
    assert_ne!(profile("segment"), profile("pointer"));
}

#[test]
#[ignore = "needs a Docker daemon"]
fn each_step_gives_the_same_bytes_in_docker() {
    let folder = tempfile::tempdir().unwrap();
    let docker = DockerExecutor::connect(&folder.path().join("state"), runner_program().unwrap(), Ahead::Own).unwrap();
    let space = Space::new();
    for step in STEPS {
        let (before, now) = space.again(step, &docker, |_, _| None);
        assert_eq!(now, Ok(before), "{step}");
    }
}

#[test]
fn a_profile_of_another_program_is_refused() {
    let space = Space::new();
    let others = |builder: &Builder<'_>, tree: &Tree| {
        tree.iter().any(|(path, _)| path.as_str() == "turns.profdata").then(|| {
            let other = builder.obtain(&node("other/segment/profile")).unwrap().tree;
            let other = space.store.tree(other).unwrap().unwrap();
            renamed(&other, "other.profdata", "turns.profdata")
        })
    };
    let (_, now) = space.again("turns/segment/objects/turns_0.o", &NamespaceExecutor::new(), others);
    let said = now.unwrap_err();
    assert!(said.contains("error: c/turns_0.c: no profile data available for function"), "{said}");
}

#[test]
fn a_call_of_the_host_by_another_type_is_refused() {
    let space = Space::new();
    let others = |_: &Builder<'_>, tree: &Tree| {
        let (path, header) = tree.iter().find(|(path, _)| path.as_str() == "turns.h")?;
        let text = String::from_utf8(space.store.read_blob(header).unwrap()).unwrap();
        let call = "_fd_write(struct w2c_wasi__snapshot__preview1*, u32,";
        assert!(text.contains(call), "{text}");
        let text = text.replace(call, &call.replace("u32", "u64"));
        let mut other = Tree::new();
        for (name, entry) in tree.iter() {
            let changed = (name == path).then(|| space.store.put_bytes(text.as_bytes(), false).unwrap());
            other.insert(name.clone(), changed.unwrap_or_else(|| entry.clone())).unwrap();
        }
        Some(other)
    };
    let (_, now) = space.again("turns/segment/objects/module.o", &NamespaceExecutor::new(), others);
    let said = now.unwrap_err();
    assert!(said.contains("conflicting types for 'w2c_wasi__snapshot__preview1_fd_write'"), "{said}");
}

#[test]
fn exceptions_that_modules_share_have_one_value() {
    let space = Space::new();
    // Exports a memory, `_start`, and the tag of C++ with an i64, which `_start` throws.
    let module = b"\0asm\x01\0\0\0\x01\x08\x02\x60\x01\x7e\0\x60\0\0\x03\x02\x01\x01\x05\x03\x01\0\x01\x0d\x03\x01\0\0\
                   \x07\x25\x03\x06memory\x02\0\x06_start\0\0\x0f__cpp_exception\x04\0\x0a\x08\x01\x06\0\x42\x05\x08\0\x0b";
    let others = |_: &Builder<'_>, tree: &Tree| {
        tree.iter().any(|(path, _)| path.as_str() == "throws.wasm").then(|| {
            let mut other = Tree::new();
            let entry = space.store.put_bytes(module, false).unwrap();
            other.insert(RelPath::new("throws.wasm").unwrap(), entry).unwrap();
            other
        })
    };
    let (_, now) = space.again("throws/c", &NamespaceExecutor::new(), others);
    let said = now.unwrap_err();
    assert!(
        said.contains("the exceptions of the tag `__cpp_exception`, which other modules see, have other"),
        "{said}"
    );
}
