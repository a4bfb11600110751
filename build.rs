//! Notes the compilers that build the tool. Where it runs on a machine that has none, they are part
//! of the loader's key: so that it finds the loader that they built on a remote cache.

// Public for the tool, whose module it is.
#[allow(unreachable_pub)]
#[path = "src/build/host_toolchain.rs"]
mod host_toolchain;

fn main() {
    // Without them nothing would be compiled at all.
    let versions = host_toolchain::host_toolchain(|program| std::process::Command::new(program)).unwrap_or_default();
    println!("cargo::rustc-env=PYNBOX_HOST_TOOLCHAIN={versions}");
    // A program for one place in memory starts sooner: each edge of a build is a start.
    println!("cargo::rustc-link-arg-bins=-no-pie");
    println!("cargo::rustc-link-arg-benches=-no-pie");
    println!("cargo::rerun-if-changed=src/build/host_toolchain.rs");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTUP_TOOLCHAIN");
}
