//! `x86_64-nacl`: the glibc toolchain of the NaCl SDK, laid into an image of Debian packages with the libraries of its 32-bit tools.

use build_graph::dsl::{ImageSource, Toolchain};
use build_graph::node::Target;

use super::{NACL, documentation, links, words};

/// The source that is the SDK.
pub(crate) const SDK: &str = "nacl-sdk";
/// Its archive has everything below one folder, `pepper_49`.
pub(crate) const SDK_STRIP: u32 = 1;
/// Where the compiler lies in the image.
const BIN: &str = "/opt/nacl-sdk/toolchain/linux_x86_glibc/bin/x86_64-nacl-";

/// glibc 2.9 has the clocks in the first, which needs the second.
const LIBRARIES: &str = "-Wl,--as-needed -lrt -lcrypt -lpthread";

/// The toolchain of `x86_64-nacl`. Pointers and `long` have 32 bits; the C library is glibc 2.9, and programs are linked with it
/// dynamically. `_GNU_SOURCE` as in the other targets. NaCl's `configure --host` is one that no `config.sub` of the packages knows, so
/// they are told of a Linux.
pub fn nacl() -> Toolchain {
    Toolchain {
        target: Target(NACL.to_owned()),
        image: "nacl".to_owned(),
        makefiles_image: "nacl-makefiles".to_owned(),
        image_links: links(&[("usr/bin/awk", "mawk")]),
        image_without: documentation(),
        image_sources: vec![ImageSource {
            name: SDK.to_owned(),
            strip: SDK_STRIP,
            include: vec!["toolchain/linux_x86_glibc".to_owned()],
            exclude: vec!["toolchain/linux_x86_glibc/{share,info,man}/**".to_owned()],
            at: "opt/nacl-sdk",
        }],
        cc: words(&format!("{BIN}gcc -m64")),
        cflags: words("-O2 -D_GNU_SOURCE"),
        standard: "-std=gnu99".to_owned(),
        ldflags: words("-Wl,-s"),
        libraries: words(&format!("-L/sysroot/lib -lsandbox_inner {LIBRARIES}")),
        pic: words("-fPIC"),
        link_shared: words(&format!("{BIN}gcc -m64 -shared -Wl,-s")),
        shared_libraries: words(LIBRARIES),
        strip: format!("{BIN}strip"),
        soname: Some("-Wl,-soname,".to_owned()),
        loading: words("-Wl,--export-dynamic"),
        loading_libraries: words(
            "-L/sysroot/lib -Wl,--whole-archive -lsandbox_inner -Wl,--no-whole-archive -lpthread -ldl -lutil -lm",
        ),
        ar: format!("{BIN}ar"),
        ranlib: format!("{BIN}ranlib"),
        configure: words("--host=x86_64-unknown-linux --build=x86_64-linux-gnu"),
        program_suffix: ".nexe".to_owned(),
        runtime: Some("sandbox_inner".to_owned()),
    }
}
