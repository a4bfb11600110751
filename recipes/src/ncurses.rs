//! ncurses with wide characters: a shared library for `_curses`, `_curses_panel` and `readline`, which work on one terminal, and an archive of
//! panels. The usual terminals are described in the library, as nobody brings a database.

use build_graph::dsl::{Context, Product};

const OPTIONS: &str = "--prefix=/python --without-ada --without-cxx --without-cxx-binding --without-manpages --without-progs --without-tests \
     --without-debug --enable-widec --disable-stripping --with-fallbacks=ansi,dumb,linux,screen,vt100,xterm,xterm-256color \
     --with-default-terminfo-dir=/python/share/terminfo --disable-home-terminfo --disable-db-install --disable-pc-files";

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.source("ncurses", 1);
    let toolchain = cx.toolchain();
    let script = format!(
        "mkdir -p work lib include && cd work\n\
         ../src/configure {} {OPTIONS}\n\
         make -j2 -C include\n\
         make -j2 -C ncurses\n\
         make -C panel\n\
         cp include/*.h ../include\n\
         cp lib/libpanelw.a ../lib\n\
         mkdir shared && cd shared && {} x ../lib/libncursesw.a
\
         {} {} *.o -o ../../lib/libncursesw.so {}",
        toolchain.configure.join(" "),
        toolchain.ar,
        toolchain.link_shared.join(" "),
        toolchain.soname.as_ref().map(|flag| format!("{flag}libncursesw.so")).unwrap_or_default(),
        toolchain.shared_libraries.join(" "),
    );
    let runtime = cx.runtime();
    let mut action = cx
        .action("build")
        .heavy()
        .image(&toolchain.makefiles_image)
        .shell(&script)
        // Its configure looks for headers with the preprocessor alone, which must not find the image's own.
        .env("CC", [&toolchain.cc[..], &toolchain.cflags, &toolchain.pic].concat().join(" "))
        .env("CFLAGS", "-w")
        .env("BUILD_CC", "gcc")
        // Without `U`, which would put times into the archive.
        .env("cf_cv_ar_flags", "-curv")
        .env("LIBS", toolchain.libraries.join(" "))
        .env("AR", toolchain.ar.clone())
        .env("RANLIB", toolchain.ranlib.clone())
        .input(&source, "/build/src")
        .output("lib")
        .output("include");
    if let Some(runtime) = &runtime {
        action = action.input(runtime, "/sysroot");
    }
    let tree = action.finish();
    let package = cx.package([(tree.select(["lib/*.so"]).strip("lib"), "root/slib")], ["sandbox_inner"]);
    Product { tree: Some(tree), package: Some(package) }
}
