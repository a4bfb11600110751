//! `x86_64-linux`: Debian's gcc.

use build_graph::dsl::Toolchain;
use build_graph::node::Target;

use super::{HOST, documentation, links, words};

/// The toolchain of `x86_64-linux`.
pub fn host() -> Toolchain {
    Toolchain {
        target: Target(HOST.to_owned()),
        image: "host".to_owned(),
        makefiles_image: String::new(),
        image_links: links(&[("usr/bin/awk", "mawk")]),
        image_without: documentation(),
        image_sources: Vec::new(),
        cc: words("gcc"),
        cflags: words("-O2 -fPIC"),
        standard: "-std=gnu2x".to_owned(),
        ldflags: Vec::new(),
        libraries: Vec::new(),
        pic: Vec::new(),
        // What a library needs lies beside it.
        link_shared: words("gcc -shared -s -Wl,-rpath,'$ORIGIN'"),
        shared_libraries: Vec::new(),
        strip: String::new(),
        soname: Some("-Wl,-soname,".to_owned()),
        loading: words("-rdynamic"),
        loading_libraries: Vec::new(),
        ar: "ar".to_owned(),
        ranlib: "ranlib".to_owned(),
        configure: words("--build=x86_64-linux-gnu"),
        program_suffix: String::new(),
        runtime: None,
    }
}
