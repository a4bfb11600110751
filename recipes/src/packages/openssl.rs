//! OpenSSL, for `_hashlib` and `_ssl`: archives that each of them takes its part of, built by
//! OpenSSL's own makefile.

use build_graph::dsl::{Pin, Recipe, fixed, recipe};

/// What makes no sense without processes, or in one file; and what nobody asks Python's modules
/// for.
const OPTIONS: &str = "--prefix=/python --openssldir=/python/ssl no-asm no-shared no-dso no-engine \
     no-async no-autoload-config no-afalgeng no-tests no-ui-console no-dgram no-dtls no-ssl3-method no-comp \
     no-idea no-mdc2 no-rc5 no-gost no-sm2 no-sm3 no-sm4 no-aria no-srp no-psk no-srtp no-cms no-ct no-ts";

/// The last line that Python 2.7 knows; bookworm has the next.
const PIN: Pin = fixed("openssl-1.1.1w.tar.gz", "cf3098950cb4d853ad95c0841f1f9c6d3dc102dccfcacd521d93925208b76ac8")
    .in_pool("pool/main/o/openssl/openssl_1.1.1w.orig.tar.gz")
    .urls(&["https://www.openssl.org/source/old/1.1.1/openssl-1.1.1w.tar.gz"]);

pub(crate) const RECIPE: Recipe = recipe("openssl", "1.1.1w").license("OpenSSL").source(PIN).describe(|cx| {
    let toolchain = cx.toolchain();
    // Where Python has threads, its own getentropy() is called if the program has it.
    let threads = match toolchain.has_threads() {
        true => "--with-rand-seed=getrandom threads",
        false => "--with-rand-seed=devrandom no-threads",
    };
    let script = format!(
        "mkdir work && cd work\n\
         perl ../src/Configure linux-generic32 {OPTIONS} {threads}\n\
         make -j2 build_generated\n\
         make -j2 libcrypto.a libssl.a\n\
         mkdir -p ../lib ../include/openssl\n\
         cp libcrypto.a libssl.a ../lib\n\
         cp ../src/include/openssl/*.h include/openssl/*.h ../include/openssl\n",
    );
    let tree = cx
        .makefile(&script)
        .for_target_without_links()
        .with_makefile_tools()
        // GNU's strerror_r() is not what wasi-libc has.
        .env("CFLAGS", format!("{} -U_GNU_SOURCE -fPIC -fvisibility=hidden -w", toolchain.cflags()))
        .output("lib include")
        .finish();
    cx.exports(&tree, "lib/libssl.a lib/libcrypto.a");
});
