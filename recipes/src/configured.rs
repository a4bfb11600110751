//! Packages whose configure script is run for the headers that it writes, and for nothing else.

use build_graph::dsl::{Context, Handle, Take};

/// Runs the configure script among `scripts` beside them, with these options and these trees at these places. Gives the outputs, at their paths;
/// one that is written as `FROM=TO`, at that other path.
pub(crate) fn run(
    cx: &mut Context<'_>,
    scripts: Take,
    options: &str,
    inputs: &[(&Handle, &str)],
    outputs: &[&str],
) -> Handle {
    let toolchain = cx.toolchain();
    let (renamed, kept): (Vec<&str>, Vec<&str>) = outputs.iter().partition(|output| output.contains('='));
    let renamed: Vec<_> = renamed.iter().filter_map(|output| output.split_once('=')).collect();
    let mut script = format!(
        "mkdir work && cd work && ../src/configure {} {options} --disable-shared --disable-dependency-tracking && \
         for file in {}; do mkdir -p $(dirname ../$file) && cp $file ../$file; done",
        toolchain.configure.join(" "),
        kept.join(" "),
    );
    for (from, to) in &renamed {
        script.push_str(&format!(" && cp {from} ../{to}"));
    }
    let runtime = cx.runtime();
    let mut action = cx
        .action("configure")
        .shell(&script)
        .env("CC", toolchain.cc_line())
        .env("CFLAGS", toolchain.cflags.join(" "))
        .env("LIBS", toolchain.libraries.join(" "))
        // libtool's part of the script wants one, and links nothing with it here.
        .env("LD", toolchain.link_shared.first().cloned().unwrap_or_default())
        .env("AR", toolchain.ar.clone())
        .env("RANLIB", toolchain.ranlib.clone())
        .input(scripts, "/build/src");
    for (input, at) in inputs {
        action = action.input(*input, at);
    }
    for output in kept.iter().chain(renamed.iter().map(|(_, to)| to)) {
        action = action.output(output);
    }
    if let Some(runtime) = &runtime {
        action = action.input(runtime, "/sysroot");
    }
    action.finish()
}
