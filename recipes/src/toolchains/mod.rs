//! One file a target: everything in which it differs from the others.

mod host;
mod nacl;
mod wasm;

use build_graph::Glob;
use build_graph::dsl::Toolchain;
pub use host::host;
pub use nacl::nacl;
pub(crate) use nacl::{SDK, SDK_STRIP};
pub use wasm::wasm;

/// The embedded default: WebAssembly with WASI preview 1.
pub const WASM: &str = "wasm32-wasi";
/// What the project is named for: Native Client, with the SDK's glibc.
pub const NACL: &str = "x86_64-nacl";
/// Programs that a build runs, and the native baseline.
pub const HOST: &str = "x86_64-linux";
/// The image in which native code is made of WebAssembly modules, with the tools for that.
pub const NATIVE_IMAGE: &str = "native";
/// All of them: for libraries that the baseline has as well.
pub const ALL: &[&str] = &[WASM, NACL, HOST];

/// What all have in common whose tools lie in this image of Debian packages.
fn base(target: &str, image: &str) -> Toolchain {
    let documentation =
        ["usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug"]
            .into_iter()
            // A package set without one of them is fine: patterns with a wildcard may match nothing
            // when they exclude.
            .filter_map(|path| Glob::new(format!("{path}/**")).ok())
            .collect();
    Toolchain::new(target, image).with_image_links(&[("usr/bin/awk", "mawk")]).without_in_image(documentation)
}
