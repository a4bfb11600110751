//! OpenSSL, for `_hashlib` and `_ssl`: archives that each of them takes its part of, built by OpenSSL's own makefile.

use build_graph::dsl::{Context, Product};

use crate::toolchains;

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.source("openssl", 1);
    let toolchain = cx.toolchain();
    let script = format!(
        "mkdir work && cd work\n\
         perl ../src/Configure linux-generic32 {OPTIONS} {}\n\
         make -j2 build_generated\n\
         make -j2 libcrypto.a libssl.a\n\
         mkdir -p ../lib ../include/openssl\n\
         cp libcrypto.a libssl.a ../lib\n\
         cp ../src/include/openssl/*.h include/openssl/*.h ../include/openssl\n",
        if cx.target().as_str() == toolchains::NACL { NACL } else { WASI },
    );
    let runtime = cx.runtime();
    let mut action = cx
        .action("build")
        .heavy()
        .image(&toolchain.makefiles_image)
        .shell(&script)
        // GNU's strerror_r() is not what wasi-libc has.
        .env("CC", toolchain.cc_line())
        .env(
            "CFLAGS",
            [toolchain.cflags.clone(), vec!["-U_GNU_SOURCE -fPIC -fvisibility=hidden -w".to_owned()]]
                .concat()
                .join(" "),
        )
        .env("AR", toolchain.ar.clone())
        .env("RANLIB", toolchain.ranlib.clone())
        .input(&source, "/build/src")
        .output("lib")
        .output("include");
    if let Some(runtime) = &runtime {
        action = action.input(runtime.select(["include"]), "/sysroot");
    }
    Product { tree: Some(action.finish()), package: None }
}

/// Python has threads there; its own getentropy() is called if the program has it.
const NACL: &str = "--with-rand-seed=getrandom threads";
const WASI: &str = "--with-rand-seed=devrandom no-threads";

/// What makes no sense without processes, or in one file; and what nobody asks Python's modules for.
const OPTIONS: &str = "--prefix=/python --openssldir=/python/ssl no-asm no-shared no-dso no-engine \
     no-async no-autoload-config no-afalgeng no-tests no-ui-console no-dgram no-dtls no-ssl3-method no-comp \
     no-idea no-mdc2 no-rc5 no-gost no-sm2 no-sm3 no-sm4 no-aria no-srp no-psk no-srtp no-cms no-ct no-ts";
