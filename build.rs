//! Notes the compilers that build the tool: they are the ones that build the loader, and part of the loader's key.

// Public for the tool, whose module it is.
#[allow(unreachable_pub)]
#[path = "src/build/host_toolchain.rs"]
mod host_toolchain;

fn main() {
    // Without them nothing would be compiled at all.
    let versions = host_toolchain::host_toolchain().unwrap_or_default();
    println!("cargo::rustc-env=PYNBOX_HOST_TOOLCHAIN={versions}");
    println!("cargo::rerun-if-changed=src/build/host_toolchain.rs");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTUP_TOOLCHAIN");
}
