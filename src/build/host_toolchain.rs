//! Which compilers the host has. Used by the tool and, when it is built, by its build script.

use std::process::Command;

/// What tells one toolchain from another: the programs that take part in building a program for the
/// host, and what each says.
const PROGRAMS: [(&str, &[&str]); 4] = [
    ("rustc", &["--version", "--verbose"]),
    ("cargo", &["--version"]),
    ("cc", &["--version"]),
    // Speaks for the C library.
    ("ldd", &["--version"]),
];

/// Programs that `cc` starts, or that build scripts start beside it. One that is missing is not
/// missed: rustc brings a linker.
const BINUTILS: [&str; 3] = ["as", "ld", "ar"];

/// The versions of the compilers, of the C library and of binutils, on one line. `command` starts a
/// program by its name.
///
/// # Errors
/// A sentence that names the program that can't be run, and what to do.
pub fn host_toolchain(command: impl Fn(&str) -> Command) -> Result<String, String> {
    let mut versions = Vec::new();
    for (program, arguments) in PROGRAMS {
        let output = command(program).args(arguments).output().map_err(|cause| {
            format!("can't start `{program}` ({cause}): install Rust and a C compiler, or put them in PATH")
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("it says nothing");
            return Err(format!("`{program} {}` fails ({said}): see to it that it works", arguments.join(" ")));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        // Of the others, what follows the first line is a licence.
        let lines = if program == "rustc" { usize::MAX } else { 1 };
        versions.push(text.lines().take(lines).collect::<Vec<_>>().join("; "));
    }
    for program in BINUTILS {
        // Not always the one in PATH.
        let named = command("cc").arg(format!("-print-prog-name={program}")).output();
        let named =
            named.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let output = command(if named.is_empty() { program } else { &named }).arg("--version").output();
        let text = output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
        versions.push(text.lines().next().map_or_else(|| format!("no {program}"), ToOwned::to_owned));
    }
    Ok(versions.join("; "))
}
