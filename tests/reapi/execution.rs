//! Actions executed by a real engine: the same bytes as here.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use pynbox_build::build::action::{self, ActionRun};
use pynbox_build::build::action_runner::OnEngine;
use pynbox_build::build::builder::{Builder, Stamps};
use pynbox_build::build::evaluate::BuildContext;
use pynbox_build::build::plan::{OutDir, Plan};
use pynbox_build::build::selections::Selected;
use pynbox_build::build_graph::node::{Action, ActionInput, NodeName, Op, Selection, Target};
use pynbox_build::build_graph::{self, Projection, RelPath, SandboxPath, Tree};
use pynbox_build::executor::{ActionLimits, NamespaceExecutor, runner_program};
use pynbox_build::remote::caches::Caches;
use pynbox_build::remote::reapi::engine::{Engine, EngineSettings};
use pynbox_build::report::Silent;
use pynbox_build::source::{FetchSettings, Fetcher};
use pynbox_build::store::{Area, Origin, Store};

use testing::engines::{self, Server};

fn settings(server: &Server, platform: BTreeMap<String, String>) -> EngineSettings {
    let patience = Duration::from_secs(600);
    EngineSettings { name: "farm".to_owned(), endpoint: server.endpoint.clone(), platform, patience }
}

fn engine(server: &Server) -> Engine {
    // The user that the worker's own container shows: nobody may hand on user 0 of a container
    // without rights.
    let platform = ["unixGID", "unixUID"].map(|name| (name.to_owned(), "1000".to_owned()));
    Engine::open(settings(server, platform.into()), runner_program().unwrap()).unwrap()
}

/// The plan of this project's recipes, with all that zlib needs in the store.
struct Workplace {
    _folder: tempfile::TempDir,
    store: Store,
    plan: Plan,
    fetcher: Fetcher,
    caches: Caches,
    out: OutDir,
    here: NamespaceExecutor,
}

impl Workplace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pynbox.toml"), "").unwrap();
        let program = env!("CARGO_BIN_EXE_pynbox-build");
        let made = Command::new(program).args(["gen", "-C"]).arg(folder.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let store = Store::open(&Store::default_root().unwrap()).unwrap();
        let out = OutDir::new(folder.path().join("out"));
        let plan = Plan::open(&out).unwrap();
        let fetcher = Fetcher::new(FetchSettings::new(store.area(Area::Partial)));
        Self { store, plan, fetcher, caches: Caches::default(), out, here: NamespaceExecutor::new(), _folder: folder }
    }

    fn build_context(&self) -> BuildContext<'_> {
        let (store, fetch) = (&self.store, &self.fetcher);
        BuildContext {
            store,
            fetch,
            runner: &self.here,
            engine: None,
            limits: ActionLimits::DEFAULT,
            out: Some(&self.out),
            caches: &self.caches,
            reporter: &Silent,
        }
    }
}

#[test]
#[ignore = "needs buildbox-casd: PYNBOX_TEST_BUILDBOX"]
fn zlib_comes_out_the_same_from_an_engine() {
    let server = engines::casd();
    let engine = engine(&server);
    let workplace = Workplace::new();
    let builder = Builder::new(workplace.build_context(), &workplace.plan, Stamps::Old);
    let mut compared = 0;
    for name in workplace.plan.names().filter(|name| name.starts_with("wasm32-wasi/zlib/")) {
        let name: NodeName = name.parse().unwrap();
        let node = workplace.plan.node(&name).unwrap();
        let Op::Action(description) = &node.op else { continue };
        let local = builder.obtain(&name).unwrap();
        let mut inputs = builder.inputs(&node).unwrap().into_iter();
        let run = ActionRun {
            name: &name,
            action: description,
            image: inputs.next().unwrap().digest(),
            inputs: inputs.map(Selected::whole).collect(),
            limits: ActionLimits::DEFAULT,
        };
        let remote = action::run(&workplace.store, &OnEngine(&engine), Some(&workplace.out), &run).unwrap();
        assert_eq!(remote.origin, Origin::Engine("farm".to_owned()));
        assert_eq!(remote.tree.digest(), local.tree, "`{name}`");
        compared += 1;
    }
    // Its units, its configuration, its archive.
    assert!(compared > 10, "{compared} nodes were compared");
}

/// An image with one static program in it: the shell of no distribution is needed, only the
/// runner's own sanity.
fn small_action(command: &[&str], outputs: &[&str]) -> Action {
    let selection = |node: &str| Selection { node: node.parse().unwrap(), part: Projection::all() };
    Action {
        image: selection("image"),
        command: build_graph::Command::new(command.iter().copied()),
        environment: Default::default(),
        inputs: vec![ActionInput { selection: selection("input"), at: SandboxPath::new("/build/in").unwrap() }],
        outputs: outputs.iter().map(|output| RelPath::new(*output).unwrap()).collect(),
        target: Target("x86_64-linux".into()),
        pool: None,
    }
}

/// The image that zlib's actions run in, for its shell.
fn image(workplace: &Workplace) -> Arc<Tree> {
    let builder = Builder::new(workplace.build_context(), &workplace.plan, Stamps::Old);
    for name in workplace.plan.names().filter(|name| name.starts_with("wasm32-wasi/zlib/")) {
        let node = workplace.plan.node(&name.parse().unwrap()).unwrap();
        if let Op::Action(_) = &node.op {
            return builder.inputs(&node).unwrap().remove(0);
        }
    }
    panic!("no action of zlib is in the plan");
}

#[test]
#[ignore = "needs buildbox-casd: PYNBOX_TEST_BUILDBOX"]
fn what_an_action_makes_and_prints_comes_back() {
    let server = engines::casd();
    let engine = engine(&server);
    let workplace = Workplace::new();
    let image = image(&workplace);
    let mut input = Tree::new();
    for name in ["one", "two"] {
        let entry = workplace.store.put_bytes(b"the same bytes\n", false).unwrap();
        input.insert(RelPath::new(name).unwrap(), entry).unwrap();
    }
    let input = Arc::new(input);
    let name: NodeName = "test/action".parse().unwrap();
    let limited = |script: &str, outputs: &[&str], limits: ActionLimits| {
        let action = small_action(&["/bin/sh", "-c", script], outputs);
        let inputs = vec![Selected::whole(Arc::clone(&input))];
        let run = ActionRun { name: &name, action: &action, image: image.digest(), inputs, limits };
        let local = action::run(&workplace.store, &workplace.here, Some(&workplace.out), &run);
        let remote = action::run(&workplace.store, &OnEngine(&engine), Some(&workplace.out), &run);
        (local.map(|ran| ran.tree), remote.map(|ran| ran.tree))
    };
    let both = |script: &str, outputs: &[&str]| limited(script, outputs, ActionLimits::DEFAULT);
    // What an action sees of its input, and modes, links and empty directories of outputs.
    let (local, remote) = both(
        "umask > seen; stat -c '%a %u %g %s %Y %n' in/one in/two >> seen; stat -c '%a %u %g %Y %n' in /tmp >> seen
         stat -c %i in/one in/two | sort -u | wc -l >> seen; env | sort >> seen; id -u >> seen; cat in/one >> seen
         mkdir -p out/empty out/deep; cp seen out/deep/a; chmod 4711 out/deep/a; ln -s /nowhere out/link; echo printed",
        &["seen", "out"],
    );
    assert_eq!(remote.unwrap().digest(), local.unwrap().digest());

    // One that fails fails, with its log.
    let (local, remote) = both("echo a word >&2; exit 7", &["out"]);
    assert_eq!(remote.unwrap_err().to_string(), local.unwrap_err().to_string());
    let log = workplace.out.failed(&name).join("log");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "a word\n");

    // One that reaches a limit is told the same, and the next that may take more is not.
    let limits = ActionLimits { log: 1000, tmp: 1 << 20, ..ActionLimits::DEFAULT };
    for (script, setting) in [
        ("i=0; while [ $i -lt 1000 ]; do echo 0123456789; i=$((i+1)); done; echo >out", "log"),
        ("head -c 3000000 /dev/zero >/tmp/x; echo >out; sleep 1", "tmp"),
    ] {
        let (local, remote) = limited(script, &["out"], limits);
        let told = local.unwrap_err().to_string();
        assert!(told.contains(&format!("raise `{setting}` in [build.limits]")), "{told}");
        assert_eq!(remote.unwrap_err().to_string(), told);
        let (local, remote) = both(script, &["out"]);
        assert_eq!(remote.unwrap().digest(), local.unwrap().digest());
    }

    // One that leaves out an output.
    let (local, remote) = both("true", &["out"]);
    assert_eq!(remote.unwrap_err().to_string(), local.unwrap_err().to_string());
}

#[test]
#[ignore = "needs buildbox-casd: PYNBOX_TEST_BUILDBOX"]
fn what_an_engine_cannot_do_is_said() {
    let server = engines::casd();
    let engine = engine(&server);
    let workplace = Workplace::new();
    let action = small_action(&["/no/such/program"], &["out"]);
    let name: NodeName = "test/action".parse().unwrap();
    let run = ActionRun {
        name: &name,
        action: &action,
        image: workplace.store.put_tree(&Tree::new()).unwrap(),
        inputs: vec![Selected::whole(Arc::default())],
        limits: ActionLimits::DEFAULT,
    };
    let reason = action::run(&workplace.store, &OnEngine(&engine), None, &run).unwrap_err().to_string();
    assert!(reason.contains("/no/such/program"), "{reason}");
    drop(server);
    let reason = action::run(&workplace.store, &OnEngine(&engine), None, &run).unwrap_err().to_string();
    assert!(reason.contains("grpc://127.0.0.1"), "{reason}");
}

#[test]
#[ignore = "needs BuildGrid: PYNBOX_TEST_BUILDGRID"]
fn a_cache_alone_is_no_engine() {
    let server = engines::buildgrid();
    let error = Engine::open(settings(&server, Default::default()), Vec::new()).unwrap_err().to_string();
    assert!(error.contains("cache alone"), "{error}");
}

#[test]
fn a_project_without_an_engine_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pynbox.toml"), "[engine]\nname = \"farm\"\n").unwrap();
    let failed =
        Command::new(env!("CARGO_BIN_EXE_pynbox-build")).args(["gen", "-C"]).arg(folder.path()).output().unwrap();
    assert_eq!(failed.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("url"));
}
