//! OpenSSL 3, for Python 3's `_hashlib` and `_ssl`, in the sandbox and natively: archives that each
//! of them takes its part of, built by OpenSSL's own makefile.

use build_graph::dsl::{Pin, Recipe, debian, recipe};

use crate::toolchains::{HOST, WASM};

/// Leaves out what makes no sense without processes, threads or devices, or in one file; and what
/// Python's modules never ask for.
const OPTIONS: &str = "--prefix=/python3 --openssldir=/python3/ssl --with-rand-seed=devrandom {THREADS} no-asm \
     no-shared no-module no-dso no-engine no-async no-autoload-config no-afalgeng no-tests no-ui-console \
     no-dgram no-dtls no-ssl3-method no-comp no-legacy no-idea no-mdc2 no-gost no-sm2 no-sm3 no-sm4 no-aria \
     no-srp no-srtp no-cmp no-cms no-ct no-ts";

const SCRIPT: &str = "mkdir work && cd work\n\
     perl ../src/Configure {MACHINE} {OPTIONS}\n\
     make -j2 build_generated\n\
     make -j2 libcrypto.a libssl.a\n\
     mkdir -p ../lib ../include/openssl\n\
     cp libcrypto.a libssl.a ../lib\n\
     cp ../src/include/openssl/*.h include/openssl/*.h ../include/openssl";

const PIN: Pin = debian("openssl")
    .urls(&["https://github.com/openssl/openssl/releases/download/openssl-3.0.20/openssl-3.0.20.tar.gz"]);

pub(crate) const RECIPE: Recipe =
    recipe("openssl3", "3.0.20").license("Apache-2.0").targets(&[WASM, HOST]).source(PIN).describe(|cx| {
        // GNU's strerror_r() is not what wasi-libc has.
        let (machine, threads, flags) = match cx.target().as_str() {
            WASM => ("linux-generic32", "no-threads", "-U_GNU_SOURCE -fPIC"),
            _ => ("linux-x86_64", "threads", "-pthread"),
        };
        let flags = format!("{} {flags} -fvisibility=hidden -w", cx.toolchain().cflags());
        let tree = cx
            .makefile(&SCRIPT.replace("{MACHINE}", machine).replace("{OPTIONS}", OPTIONS).replace("{THREADS}", threads))
            .for_target_without_links()
            .with_makefile_tools()
            .env("CFLAGS", flags)
            .output("lib include")
            .finish();
        cx.exports(&tree, "lib/libssl.a lib/libcrypto.a");
    });
