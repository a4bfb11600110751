//! Notes the compiler that builds the tool: it is the one that builds the loader, and part of the loader's key.

use std::process::Command;

fn main() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--version", "--verbose"]).output();
    let version =
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().replace('\n', "; ")).unwrap_or_default();
    println!("cargo::rustc-env=PYNBOX_RUSTC_VERSION={version}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
}
