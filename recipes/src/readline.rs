//! readline: an archive that is part of Python's module of that name.

use build_graph::dsl::{Context, Product};

pub(crate) fn describe(cx: &mut Context<'_>) -> Product {
    let source = cx.source("readline", 1);
    let files = cx.files("recipes/files/readline");
    let toolchain = cx.toolchain();
    let script = format!(
        "mkdir -p work lib include/readline && cd work\n\
         ../src/configure {} --disable-shared --disable-install-examples\n\
         make libreadline.a\n\
         cp libreadline.a ../lib\n\
         cd ../src && cp chardefs.h history.h keymaps.h readline.h rlconf.h rlstdc.h rltypedefs.h tilde.h ../include/readline\n\
         cp ../files/setjmp.h ../include",
        toolchain.configure.join(" "),
    );
    let runtime = cx.runtime();
    let mut action = cx
        .action("build")
        .heavy()
        .shell(&script)
        .env("CC", [&toolchain.cc[..], &toolchain.cflags, &toolchain.pic].concat().join(" "))
        .env("CFLAGS", "-w -isystem /build/files")
        .env("LIBS", toolchain.libraries.join(" "))
        .env("AR", toolchain.ar.clone())
        .env("RANLIB", toolchain.ranlib.clone())
        // What its configure can't find out without running a program.
        .env("bash_cv_func_sigsetjmp", "missing")
        .env("bash_cv_wcwidth_broken", "no")
        // The library comes with the module.
        .env("bash_cv_termcap_lib", "libncurses")
        .input(&source, "/build/src")
        .input(&files, "/build/files")
        .output("lib")
        .output("include");
    if let Some(runtime) = &runtime {
        action = action.input(runtime, "/sysroot");
    }
    Product { tree: Some(action.finish()), package: None }
}
