//! Helper processes: a test's own program, started anew to run one function instead of its tests.
//!
//! ```no_run
//! testing::helpers!("greet" => greet);
//!
//! fn greet() {
//!     testing::helper::say(format!("hello {}", testing::helper::argument()));
//! }
//!
//! // In a test:
//! let output = testing::helper::command("greet", "world").output().unwrap();
//! assert_eq!(output.stdout, b"hello world\n");
//! ```

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::process::Command;

/// The variable that names the function.
pub const NAME: &str = "TESTING_HELPER";
/// The variable with its argument.
pub const ARGUMENT: &str = "TESTING_HELPER_ARGUMENT";

/// Registers functions of a test's program as helpers. Each program calls it at most once. If a
/// function panics, its process ends with status 101.
#[macro_export]
macro_rules! helpers {
    ($($name:literal => $run:path),+ $(,)?) => {
        // Before `main`, which would run the tests.
        #[used]
        #[unsafe(link_section = ".init_array")]
        static RUN_AS_HELPER: extern "C" fn() = {
            extern "C" fn run() {
                $crate::helper::dispatch(&[$(($name, $run as fn())),+]);
            }
            run
        };
    };
}

/// Runs the function that the environment names, and ends the process; returns if it names none.
///
/// # Panics
/// If it names a function that is not registered.
pub fn dispatch(helpers: &[(&str, fn())]) {
    let Some(name) = std::env::var_os(NAME) else { return };
    let (_, run) = helpers.iter().find(|(one, _)| name == *one).expect("the helper is registered");
    // As Rust's runtime does before `main`.
    // SAFETY: no other thread runs yet, and the disposition is one of the system's.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
    let status = match std::panic::catch_unwind(run) {
        Ok(()) => 0,
        Err(_) => 101,
    };
    std::process::exit(status);
}

/// Returns the command that runs a helper of this test's program.
///
/// # Panics
/// If the system can't name the program.
pub fn command(name: &str, argument: impl Into<OsString>) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a program knows its path"));
    command.envs(environment(name, argument));
    command
}

/// Returns the variables that make this test's program, or a copy of it, run a helper.
pub fn environment(name: &str, argument: impl Into<OsString>) -> [(&'static str, OsString); 2] {
    [(NAME, name.into()), (ARGUMENT, argument.into())]
}

/// Prints a line, which the test that started this process reads.
///
/// # Panics
/// If standard output is closed.
pub fn say(line: impl Display) {
    writeln!(std::io::stdout(), "{line}").expect("a test reads it");
}

/// Returns the argument that the test gave to this helper.
///
/// # Panics
/// If this process is no helper, or the argument is not UTF-8.
pub fn argument() -> String {
    std::env::var(ARGUMENT).expect("a test starts this process")
}
