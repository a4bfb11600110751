//! The program that a remote worker starts (see `namespaces::runner`), and with `serve` process 1
//! of a Docker container (see `namespaces::serve`).

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use namespaces::{runner, serve};

fn main() -> ExitCode {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "serve") {
        return ExitCode::from(serve::main());
    }
    // Paths of the view are resolved from elsewhere too.
    let input_root = std::env::current_dir().unwrap_or_else(|_| Path::new("/").to_owned());
    let report = runner::run(&input_root);
    if let Ok(mut log) = runner::log(&input_root) {
        // Who does not want the log may close the stream.
        let _ = io::copy(&mut log, &mut io::stdout().lock());
    }
    let line = serde_json::to_string(&report).unwrap_or_else(|error| format!("can't write the report: {error}"));
    // Who does not want the report may close the stream; the status says the same.
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::from(report.exit_code())
}
