//! One empty hermetic action, on both executors, beside the same program in the same root under
//! bubblewrap. Prints milliseconds, the best and the middle of a hundred, taken in turns.
//!
//!     cargo bench --bench empty_action

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pynbox_build::build_graph::contract;
use pynbox_build::executor::{ActionLimits, Ahead, DockerExecutor, Executor, NamespaceExecutor, Run, runner_program};

const ROUNDS: usize = 100;

fn main() {
    let parent = std::env::var_os("PYNBOX_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(parent).expect("a folder");
    let root = folder.path().join("root");
    let program = fs::canonicalize("/bin/true").expect("`true` on this machine");
    install(&root, &program, "bin/true");
    let libraries = Command::new("ldd").arg(&program).output().expect("ldd");
    for word in String::from_utf8_lossy(&libraries.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        install(&root, Path::new(word), word.trim_start_matches('/'));
    }
    for name in ["build", "dev", "proc", "tmp"] {
        fs::create_dir(root.join(name)).expect("a folder");
    }
    let executor = NamespaceExecutor::new();
    let environment: Vec<_> =
        contract::environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let (build, log) = (folder.path().join("build"), folder.path().join("log"));
    fs::create_dir(&build).expect("a folder");
    let run = |executor: &dyn Executor| {
        let status = executor.run(&Run {
            root: &root,
            image: None,
            inputs: &[],
            command: &["/bin/true".to_owned()],
            environment: &environment,
            build_dir: &build,
            outputs: &[],
            log: &log,
            limits: ActionLimits::DEFAULT,
        });
        assert!(status.expect("an executor").success());
    };
    let ours = || run(&executor);
    let bubblewrap = || {
        let mut command = Command::new("bwrap");
        command.args(["--unshare-all", "--die-with-parent", "--clearenv", "--ro-bind"]).arg(&root).arg("/");
        command.args(["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--bind"]).arg(&build).arg("/build");
        let status = command.args(["--chdir", "/build", "/bin/true"]).stdin(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    let mut there = bubblewrap();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        ours();
        mine.push(start.elapsed());
        if there {
            let start = Instant::now();
            there = bubblewrap();
            theirs.push(start.elapsed());
        }
    }
    println!("{:<24}{:>8}{:>8}", "", "best", "middle");
    let (best, middle) = show("our executor", &mut mine);
    if there {
        let (reference, reference_middle) = show("bubblewrap", &mut theirs);
        println!("{:<24}{:8.2}{:8.2}", "times bubblewrap", best / reference, middle / reference_middle);
    } else {
        println!("bubblewrap is not installed, or not allowed here");
    }
    docker(&run, &folder.path().join("state"));
}

/// Actions one after another, each in a container of its own, of which some are started ahead.
fn docker(run: &dyn Fn(&dyn Executor), state: &Path) {
    const ROUNDS: usize = 30;
    let executor = match DockerExecutor::connect(state, runner_program().unwrap(), Ahead::Own) {
        Ok(executor) => executor,
        Err(error) => return println!("no Docker executor: {error}"),
    };
    // Brings the image.
    run(&executor);
    for (what, pause) in [("Docker, back to back", 0), ("Docker, a second between", 1000)] {
        let times = (0..ROUNDS / if pause == 0 { 1 } else { 3 }).map(|_| {
            std::thread::sleep(Duration::from_millis(pause));
            let start = Instant::now();
            run(&executor);
            start.elapsed()
        });
        show(what, &mut times.collect::<Vec<_>>());
    }
}

fn show(what: &str, times: &mut [Duration]) -> (f64, f64) {
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let (best, middle) = (milliseconds(times[0]), milliseconds(times[times.len() / 2]));
    println!("{what:<24}{best:8.1}{middle:8.1}");
    (best, middle)
}

fn install(root: &Path, from: &Path, at: &str) {
    let to = root.join(at);
    fs::create_dir_all(to.parent().unwrap_or(root)).expect("a folder");
    fs::copy(from, to).expect("a copy");
}
