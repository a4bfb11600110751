//! readline: an archive that is part of Python's module of that name.

use build_graph::dsl::{Recipe, debian, recipe};

const SCRIPT: &str = "mkdir -p work lib include/readline && cd work\n\
     ../src/configure {configure} --disable-shared --disable-install-examples\n\
     make libreadline.a\n\
     cp libreadline.a ../lib\n\
     cd ../src && cp chardefs.h history.h keymaps.h readline.h rlconf.h rlstdc.h rltypedefs.h tilde.h ../include/readline\n\
     cp ../files/setjmp.h ../include";

pub(crate) const RECIPE: Recipe =
    recipe("readline", "8.2").license("GPL-3.0-or-later").source(debian("readline")).describe(|cx| {
        let files = cx.files("recipes/files/readline");
        let compiler = cx.toolchain().cc_for_shared();
        let tree = cx
            .makefile(SCRIPT)
            .for_target()
            .env("CC", compiler)
            .env("CFLAGS", "-w -I/build/files")
            // What its configure can't find out without running a program.
            .env("bash_cv_func_sigsetjmp", "missing")
            .env("bash_cv_wcwidth_broken", "no")
            // The library comes with the module.
            .env("bash_cv_termcap_lib", "libncurses")
            .input(&files, "/build/files")
            .output("lib include")
            .finish();
        cx.exports(&tree, "lib/libreadline.a");
    });
