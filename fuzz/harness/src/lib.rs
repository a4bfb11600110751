//! What the fuzz targets of the build tool and of the loader share: one program holds all targets
//! of a workspace, and every input has a bound of memory.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, exit};
use std::sync::OnceLock;

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The variable that names the target to run.
pub const VARIABLE: &str = "FUZZ_TARGET";

/// What is fuzzed.
#[derive(Debug)]
pub struct Target {
    /// Its name, and its folder's below `fuzz/corpus`.
    pub name: &'static str,
    /// Is called once, before the first input and while there is one thread.
    pub prepare: fn(),
    /// Runs one input. A panic is a finding.
    pub run: fn(&[u8]),
    /// The bytes of heap that an input may have in use at once, beside [`PER_BYTE`].
    pub memory: usize,
}

/// The bytes of heap that an input may have in use for each of its own bytes.
pub const PER_BYTE: usize = 256;

/// For targets that need no preparation.
pub fn nothing() {}

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

/// Chooses the target that [`VARIABLE`] names. Ends the program with 2 if it names none.
///
/// Where nobody says where findings go, they go to `fuzz/TARGET/findings` beside the folder of
/// programs that this one lies in, and not to whichever folder it is run in.
pub fn choose(targets: &'static [Target]) {
    let name = env::var(VARIABLE).unwrap_or_default();
    let Some(target) = targets.iter().find(|target| target.name == name) else {
        let names: Vec<_> = targets.iter().map(|target| target.name).collect();
        eprintln!("set `{VARIABLE}` to one of: {}", names.join(" "));
        exit(2)
    };
    if !env::args().any(|argument| argument.starts_with(FINDINGS)) {
        start_again(target.name);
    }
    CHOSEN.get_or_init(|| {
        (target.prepare)();
        target
    });
}

/// libFuzzer's option for where findings go: what their paths begin with.
const FINDINGS: &str = "-artifact_prefix=";

/// Starts this program again, with a place for findings.
fn start_again(target: &str) -> ! {
    let program = env::current_exe().expect("this program has a path");
    let above = program.ancestors().nth(2).expect("it lies in a folder of the target directory");
    let findings = above.join("fuzz").join(target).join("findings");
    fs::create_dir_all(&findings).expect("a place for findings can be made");
    let option = format!("{FINDINGS}{}/", findings.display());
    let error = Command::new(program).args(env::args_os().skip(1)).arg(option).exec();
    panic!("it can't be started again: {error}")
}

/// Runs the chosen target with one input.
///
/// # Panics
///
/// If the target does, or if it takes more memory than it may.
pub fn run(data: &[u8]) {
    let Some(target) = CHOSEN.get() else { return };
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    (target.run)(data);
    let taken = HEAP.peak_usage().saturating_sub(before);
    let allowed = target.memory + PER_BYTE * data.len();
    assert!(
        taken <= allowed,
        "an input of {} bytes takes {taken} bytes of memory, and {allowed} are allowed",
        data.len()
    );
}
