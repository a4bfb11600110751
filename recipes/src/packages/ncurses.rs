//! ncurses with wide characters: a shared library for `_curses`, `_curses_panel` and `readline`,
//! which work on one terminal, and an archive of panels. The usual terminals are described in the
//! library, as nobody brings a database.

use build_graph::dsl::{Recipe, debian, recipe};

const OPTIONS: &str = "--prefix=/python --without-ada --without-cxx --without-cxx-binding --without-manpages --without-progs --without-tests \
     --without-debug --enable-widec --disable-stripping --with-fallbacks=ansi,dumb,linux,screen,vt100,xterm,xterm-256color \
     --with-default-terminfo-dir=/python/share/terminfo --disable-home-terminfo --disable-db-install --disable-pc-files";

pub(crate) const RECIPE: Recipe =
    recipe("ncurses", "6.4").license("X11-distribute-modifications-variant").source(debian("ncurses")).describe(|cx| {
        let toolchain = cx.toolchain();
        let script = format!(
            "mkdir -p work lib include && cd work\n\
         ../src/configure {{configure}} {OPTIONS}\n\
         make -j2 -C include\n\
         make -j2 -C ncurses\n\
         make -C panel\n\
         cp include/*.h ../include\n\
         cp lib/libpanelw.a ../lib\n\
         mkdir shared && cd shared && {} x ../lib/libncursesw.a\n\
         {} {} *.o -o ../../lib/libncursesw.so {}",
            toolchain.archiver(),
            toolchain.shared_linker(),
            toolchain.soname_flag("libncursesw.so").unwrap_or_default(),
            toolchain.shared_libraries(),
        );
        let tree = cx
            .makefile(&script)
            .for_target()
            .with_makefile_tools()
            // Its configure looks for headers with the preprocessor alone, which must not find the
            // image's own.
            .env("CC", toolchain.cc_for_shared())
            .env("CFLAGS", "-w")
            .env("BUILD_CC", "gcc")
            // Without `U`, which would put times into the archive.
            .env("cf_cv_ar_flags", "-curv")
            .output("lib include")
            .finish();
        cx.exports(&tree, "lib/libncursesw.so lib/libpanelw.a");
        cx.install_tree(tree.select("lib/*.so").strip("lib"), "root/slib");
    });
