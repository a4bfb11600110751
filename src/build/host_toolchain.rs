//! Which compilers the host has. Used by the tool and, when it is built, by its build script.

use std::process::Command;

/// What tells one toolchain from another: the programs that take part in building a program for the host, and what each says.
const PROGRAMS: [(&str, &[&str]); 4] = [
    ("rustc", &["--version", "--verbose"]),
    ("cargo", &["--version"]),
    ("cc", &["--version"]),
    ("ldd", &["--version"]),
];

/// The versions of the compilers and of the C library, on one line.
///
/// # Errors
/// A sentence that names the program that can't be run, and what to do.
pub fn host_toolchain() -> Result<String, String> {
    let mut versions = Vec::new();
    for (program, arguments) in PROGRAMS {
        let output = Command::new(program).args(arguments).output().map_err(|cause| {
            format!("can't start `{program}` ({cause}): install Rust and a C compiler, or put them in PATH")
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        // Of the others, what follows the first line is a licence.
        let lines = if program == "rustc" { usize::MAX } else { 1 };
        versions.push(text.lines().take(lines).collect::<Vec<_>>().join("; "));
    }
    Ok(versions.join("; "))
}
