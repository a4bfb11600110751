//! What an action sees.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use build_graph::RelPath;
use pynbox_build::executor::Fault;

use crate::bench::Bench;

/// When this fails because the view was changed on purpose, raise `build_graph::contract::VERSION`:
/// results made under another view must not be taken for results made under this one. Then put the
/// new view into the file.
#[test]
fn the_view_is_the_contracts() {
    let seen = Bench::new().probe("view", "");
    let golden = include_str!("../golden/executor-view.txt");
    assert!(
        seen == golden,
        "an action sees something else than `tests/golden/executor-view.txt`: raise `contract::VERSION`, then update that file\n\
         --- seen\n{seen}"
    );
}

#[test]
fn the_environment_is_what_the_caller_gives() {
    let mut bench = Bench::new();
    bench.environment = vec![("A".to_owned(), "x=y z".to_owned()), ("PATH".to_owned(), "/usr/bin".to_owned())];
    // Read before the shell adds its own.
    let text = bench.run(&["cat", "/proc/self/environ"]).text();
    assert_eq!(text, "A=x=y z\0PATH=/usr/bin\0");
}

#[test]
fn inputs_are_where_they_should_be() {
    let mut bench = Bench::new();
    let file = bench.directory("input", &[("file", "of the input"), ("below/sub", "covered"), ("below/twig/x", "")]);
    let nested = bench.directory("nested", &[("deep", "of the nested one")]);
    bench.input("/build/a/b/below", nested);
    bench.input("/build/a/b", file.clone());
    bench.input("/opt/toolchain", file.clone());
    bench.input("/usr/bin", file);
    bench.environment = vec![("PATH".to_owned(), "/opt/bin".to_owned())];
    let host = bench.directory("tools", &[]);
    fs::copy(bench.root.join("usr/bin/cat"), host.join("cat")).unwrap();
    bench.input("/opt/bin", host);
    let text = |bench: &Bench, path| bench.run(&["cat", path]).text();
    assert_eq!(text(&bench, "/build/a/b/file"), "of the input");
    assert_eq!(text(&bench, "/build/a/b/below/deep"), "of the nested one");
    assert_eq!(text(&bench, "/opt/toolchain/below/sub"), "covered");
    assert_eq!(text(&bench, "/usr/bin/file"), "of the input");
}

#[test]
fn the_directories_of_outputs_are_there() {
    let mut bench = Bench::new();
    bench.outputs = ["top", "lib/libx.a", "a/b/c.o", "a/d.o"].map(|path| RelPath::new(path).unwrap()).to_vec();
    let script = "ls /build; for folder in . lib a a/b; do [ ! $folder -nt /dev ] && [ ! $folder -ot /dev ]; done
        for folder in lib a a/b; do >$folder/new; done";
    assert_eq!(bench.sh(&format!("set -e\n{script}")), "a\nlib\n");
    // With the modes that everything gets, whoever calls.
    let build = bench.run(&["sh", "-c", "true"]).build;
    for folder in ["lib", "a", "a/b"] {
        assert_eq!(fs::metadata(build.join(folder)).unwrap().permissions().mode() & 0o7777, 0o755, "{folder}");
    }
}

#[test]
fn an_output_in_an_input_is_an_error() {
    let mut bench = Bench::new();
    let source = bench.directory("source", &[("there/file", "")]);
    bench.input("/build/src", source);
    bench.outputs = vec![RelPath::new("src/there/x.o").unwrap()];
    assert!(bench.run(&["sh", "-c", "true"]).status.success());
    for (output, folder) in [("src/new/x.o", "src/new"), ("src/there/file/x/y.o", "src/there/file/x")] {
        bench.outputs = vec![RelPath::new(output).unwrap()];
        let error = bench.try_run(&["sh", "-c", "true"]).unwrap_err();
        assert_eq!(error.fault(), Fault::Action);
        let wanted = format!("the directory `{folder}` of an output to the action: it lies in an input");
        assert!(error.to_string().contains(&wanted), "{error}");
    }
}

#[test]
fn directories_that_the_executor_makes_have_the_constant_time() {
    let mut bench = Bench::new();
    let input = bench.directory("input", &[]);
    bench.input("/opt/input", input);
    let script =
        "for path in / /build /dev /tmp /opt; do [ ! $path -nt /build ] && [ ! $path -ot /build ] && echo $path; done";
    assert_eq!(bench.sh(script), "/\n/build\n/dev\n/tmp\n/opt\n");
}
