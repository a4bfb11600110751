//! `x86_64-nacl`: the glibc toolchain of the NaCl SDK, laid into an image of Debian packages with
//! the libraries of its 32-bit tools.

use build_graph::dsl::{ImageSource, Pin, Toolchain, WantedSource, fixed};

use super::{NACL, base};

/// The source that is the SDK.
pub(crate) const SDK: &str = "nacl-sdk";
/// Its archive has everything below one folder, `pepper_49`.
pub(crate) const SDK_STRIP: u32 = 1;
/// Nobody mirrors it, and it is large: see README.md for how to bring it.
const PIN: Pin = fixed("naclsdk_linux.tar.bz2", "c53c14e5eaf6858e5b4a4e964c84d7774f03490be7986ab07c6792e807e05f14")
    .urls(&["https://storage.googleapis.com/nativeclient-mirror/nacl/nacl_sdk/49.0.2623.87/naclsdk_linux.tar.bz2"])
    .unseen();
/// Where the compiler lies in the image.
const BIN: &str = "/opt/nacl-sdk/toolchain/linux_x86_glibc/bin/x86_64-nacl-";

/// glibc 2.9 has the clocks in the first, which needs the second.
const LIBRARIES: &str = "-Wl,--as-needed -lrt -lcrypt -lpthread";

/// The toolchain of `x86_64-nacl`. Pointers and `long` have 32 bits; the C library is glibc 2.9,
/// and programs are linked with it dynamically. `_GNU_SOURCE` as in the other targets. NaCl's
/// `configure --host` is one that no `config.sub` of the packages knows, so they are told of a
/// Linux.
pub fn nacl() -> Toolchain {
    base(NACL, "nacl")
        .for_system("NaCl")
        .with_makefiles_image("nacl-makefiles")
        .with_image_sources(vec![ImageSource {
            name: SDK,
            wanted: WantedSource { version: "49.0.2623.87", pin: PIN },
            strip: SDK_STRIP,
            patterns: "toolchain/linux_x86_glibc !toolchain/linux_x86_glibc/{share,info,man}/**",
            at: "opt/nacl-sdk",
        }])
        .with_cc(format!("{BIN}gcc -m64"))
        .with_cflags("-O2 -D_GNU_SOURCE")
        .with_newest_standard("-std=gnu99")
        .with_ldflags("-Wl,-s")
        .with_libraries(format!("-L/sysroot/lib -lsandbox_inner {LIBRARIES}"))
        .with_pic("-fPIC")
        .with_shared_linker(format!("{BIN}gcc -m64 -shared -Wl,-s"))
        .with_shared_libraries(LIBRARIES)
        .with_loading("-Wl,--export-dynamic")
        .with_loading_libraries(
            "-L/sysroot/lib -Wl,--whole-archive -lsandbox_inner -Wl,--no-whole-archive -lpthread -ldl -lutil -lm",
        )
        .with_dlopen("-ldl")
        .with_binutils(BIN, "")
        .with_configure("--host=x86_64-unknown-linux --build=x86_64-linux-gnu")
        .with_program_suffix(".nexe")
        .with_sysroot("sandbox_inner")
}
