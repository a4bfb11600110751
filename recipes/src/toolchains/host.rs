//! `x86_64-linux`: Debian's gcc.

use build_graph::dsl::Toolchain;

use super::{HOST, base};

/// The toolchain of `x86_64-linux`.
pub fn host() -> Toolchain {
    base(HOST, "host")
        .for_actions()
        // It has gcc and perl, too.
        .with_makefiles_image("wasm-makefiles")
        .with_cflags("-O2 -fPIC")
        // What a library needs lies beside it.
        .with_shared_linker("gcc -shared -s -Wl,-rpath,'$ORIGIN'")
        .with_loading("-rdynamic")
        .with_dlopen("")
}
