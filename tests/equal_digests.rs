//! Both executors give the same bytes, and one of them does again: the actions of a real recipe,
//! run another time, against what the store has of them.
//!
//! The store is the user's own, so that what the main job built is not built again; what is missing
//! is built by the embedded executor.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use pynbox_build::build::action::{self, ActionRun};
use pynbox_build::build::action_runner::ActionRunner;
use pynbox_build::build::builder::{Builder, Stamps};
use pynbox_build::build::evaluate::BuildContext;
use pynbox_build::build::plan::{OutDir, Plan};
use pynbox_build::build::selections::Selected;
use pynbox_build::build_graph::node::{NodeName, Op};
use pynbox_build::executor::{ActionLimits, Ahead, DockerExecutor, NamespaceExecutor, runner_program};
use pynbox_build::remote::caches::Caches;
use pynbox_build::report::Silent;
use pynbox_build::source::{FetchSettings, Fetcher};
use pynbox_build::store::{Area, Store};

#[test]
#[ignore = "needs a Docker daemon"]
fn zlib_comes_out_the_same_in_docker() {
    // A unit an action, and an archive.
    let compared = in_docker(|name| name.starts_with("wasm32-wasi/zlib/"));
    assert!(compared > 10, "{compared} actions");
}

#[test]
#[ignore = "needs a Docker daemon and a quarter of an hour for Python 3"]
fn python3_comes_out_the_same_in_docker() {
    let compared =
        in_docker(|name| name.starts_with("wasm32-wasi/python3/") || name.starts_with("x86_64-linux/python3-host/"));
    // The native one, what configure finds, bytecode, the interpreter, and modules that it loads.
    assert!(compared > 250, "{compared} actions");
}

#[test]
#[ignore = "needs a Docker daemon and a quarter of an hour for numpy"]
fn python3_comes_out_the_same_in_docker_with_numpy() {
    let compared = in_docker(is_of_numpy);
    assert!(compared > 150, "{compared} actions");
}

#[test]
#[ignore = "needs a quarter of an hour for numpy"]
fn python3_comes_out_the_same_again_with_numpy() {
    let compared = compare(&NamespaceExecutor::new(), is_of_numpy);
    assert!(compared > 150, "{compared} actions");
}

#[test]
#[ignore = "needs an hour for native code of all packages"]
fn python3_comes_out_the_same_again_in_training() {
    let compared = compare(&NamespaceExecutor::new(), is_profile);
    // Of both Pythons, their lxml, and numpy, in both ways to reach the memory.
    assert!(compared >= 10, "{compared} actions");
}

#[test]
#[ignore = "needs a Docker daemon and an hour for native code of all packages"]
fn python3_comes_out_the_same_in_docker_in_training() {
    // And one library, from its C to the code.
    let compared = in_docker(|name| is_profile(name) || name.contains("/native/lxml._elementpath/"));
    assert!(compared >= 20, "{compared} actions");
}

/// What programs leave that are run to see where they spend their time.
fn is_profile(name: &str) -> bool {
    name.contains("/native/") && name.ends_with("/profile")
}

/// What meson finds, generated code, units in C and C++, modules, and bytecode.
fn is_of_numpy(name: &str) -> bool {
    name.starts_with("wasm32-wasi/python3-numpy/")
}

/// Compares with what Docker gives.
fn in_docker(is_wanted: impl Fn(&str) -> bool) -> usize {
    let state = tempfile::tempdir().unwrap();
    let docker = DockerExecutor::connect(state.path(), runner_program().unwrap(), Ahead::Own).unwrap();
    compare(&docker, is_wanted)
}

/// Runs the actions whose names are wanted again by a runner; gives how many, each of which has
/// given the same tree.
fn compare(runner: &dyn ActionRunner, is_wanted: impl Fn(&str) -> bool) -> usize {
    let folder = tempfile::tempdir().unwrap();
    // The project's files with an `out/` of its own.
    let project = folder.path().join("project");
    std::fs::create_dir(&project).unwrap();
    for name in ["pynbox.toml", "patches", "recipes", "sandbox"] {
        symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), project.join(name)).unwrap();
    }
    let tool = env!("CARGO_BIN_EXE_pynbox-build");
    let generated = Command::new(tool).args(["--executor", "namespace", "gen"]).current_dir(&project).output().unwrap();
    assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
    let store = Store::open(&Store::default_root().unwrap()).unwrap();
    let out = OutDir::new(project.join("out"));
    let plan = Plan::open(&out).unwrap();
    let fetch = Fetcher::new(FetchSettings::new(store.area(Area::Partial)));
    let namespaces = NamespaceExecutor::new();
    let caches = Caches::default();
    let context = BuildContext {
        store: &store,
        fetch: &fetch,
        runner: &namespaces,
        engine: None,
        limits: ActionLimits::DEFAULT,
        out: None,
        caches: &caches,
        reporter: &Silent,
    };
    let builder = Builder::new(context, &plan, Stamps::Old);
    let mut compared = 0;
    let names: Vec<NodeName> = plan.names().filter(|name| is_wanted(name)).map(|name| name.parse().unwrap()).collect();
    for name in names {
        let node = plan.node(&name).unwrap();
        let Op::Action(description) = &node.op else { continue };
        let embedded = builder.obtain(&name).unwrap().tree;
        let mut inputs = builder.inputs(&node).unwrap().into_iter();
        let image = inputs.next().unwrap();
        let run = ActionRun {
            name: &name,
            action: description,
            image: image.digest(),
            inputs: inputs.map(Selected::whole).collect(),
            limits: ActionLimits::DEFAULT,
        };
        let again = action::run(&store, runner, None, &run).unwrap().tree;
        assert_eq!(again.digest(), embedded, "{name}");
        compared += 1;
    }
    compared
}
