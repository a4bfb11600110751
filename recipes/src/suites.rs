//! Test-suites that others wrote for what is built here, and what `pynbox-build check` needs to know of each.

use build_graph::RelPath;
use build_graph::dsl::Suite;

/// All of them.
///
/// # Panics
/// If a path below is none, which a test of this crate rules out.
pub(crate) fn all() -> Vec<Suite> {
    vec![python(), lxml()]
}

/// CPython's own.
fn python() -> Suite {
    Suite {
        name: "python".to_owned(),
        package: "python-tests".to_owned(),
        library: path("root/python/lib/python2.7"),
        library_at: "/python/lib/python2.7".to_owned(),
        module: "test".to_owned(),
        folder: path("test"),
        working: Vec::new(),
        // The first is the tests' own library, the others are parts of a test.
        not_tests: ["test_support", "test_future1", "test_future2"].map(str::to_owned).to_vec(),
        resources: ["subprocess", "decimal"].map(str::to_owned).to_vec(),
        table: path("docs/reports/cpython-tests.md"),
        native: vec!["x86_64-linux/python-host/build".parse().expect("it is a node's name")],
        native_program: path("python/bin/python2.7"),
        native_library: path("python/lib/python2.7"),
    }
}

/// lxml's own.
fn lxml() -> Suite {
    Suite {
        name: "lxml".to_owned(),
        package: "lxml-tests".to_owned(),
        library: path("root/python/lib/python2.7"),
        library_at: "/python/lib/python2.7".to_owned(),
        module: "lxml.tests".to_owned(),
        folder: path("site-packages/lxml/tests"),
        // Examples of the documentation name files as they lie in the sources.
        working: ["doc", "samples"].map(str::to_owned).to_vec(),
        not_tests: Vec::new(),
        resources: Vec::new(),
        table: path("docs/reports/lxml-tests.md"),
        native: ["x86_64-linux/python-host/build", "x86_64-linux/lxml/native"]
            .map(|node| node.parse().expect("it is a node's name"))
            .to_vec(),
        native_program: path("python/bin/python2.7"),
        native_library: path("python/lib/python2.7"),
    }
}

fn path(path: &str) -> RelPath {
    RelPath::new(path).expect("it is a path")
}
