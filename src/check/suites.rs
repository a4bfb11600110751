//! The suites: tests that others wrote for what is built here, and what `pynbox-build check` needs
//! to know of each.

use build_graph::RelPath;
use build_graph::node::NodeName;

/// Somebody else's tests of what is installed, one Python module a file, and where the same tests
/// run without a sandbox.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// The interpreter in the sandbox, by its short name.
    pub interpreter: String,
    /// The package that installs the tests, and nothing but them.
    pub package: String,
    /// The folder of the installation that holds the library, which the tests belong to.
    pub library: RelPath,
    /// Where a guest sees that folder.
    pub library_at: String,
    /// The package of Python that the files are modules of: their folder below the library, joined
    /// by dots.
    pub module: String,
    /// What runs its files.
    pub test_runner: TestRunner,
    /// Files that are named as tests are, and are none.
    pub not_tests: Vec<String>,
    /// Folders of tests whose files run one by one; any other folder runs as one file does.
    pub split_folders: Vec<String>,
    /// What tests may use of what CPython's ask for first.
    pub resources: Vec<String>,
    /// The document of the project that holds the table of its results.
    pub table: RelPath,
    /// The folder with the files of that package, below `library`.
    pub folder: RelPath,
    /// What folders below it are called that hold the tests, if it does not hold them itself.
    pub nested: Option<String>,
    /// Folders below `library` of which a test finds a copy of its own, to write in, where it
    /// starts.
    pub working: Vec<String>,
    /// Trees that make up the native Python with what is tested.
    pub native: Vec<NodeName>,
    /// The native interpreter in these trees.
    pub native_program: RelPath,
    /// The library there.
    pub native_library: RelPath,
}

/// What runs the tests of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestRunner {
    /// The standard library's `unittest`, or what the file brings.
    Unittest,
    /// pytest.
    Pytest,
}

impl TestRunner {
    /// Its name, as the driver reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unittest => "unittest",
            Self::Pytest => "pytest",
        }
    }
}

/// Returns all of them.
///
/// # Panics
/// If a path below is none, which a test of this module rules out.
pub fn suites() -> Vec<Suite> {
    vec![python(), lxml(), python3(), python3_lxml(), python3_numpy()]
}

/// CPython's own.
fn python() -> Suite {
    Suite {
        name: "python".to_owned(),
        interpreter: "python".to_owned(),
        package: "python-tests".to_owned(),
        library: path("root/python/lib/python2.7"),
        library_at: "/python/lib/python2.7".to_owned(),
        module: "test".to_owned(),
        test_runner: TestRunner::Unittest,
        folder: path("test"),
        nested: None,
        working: Vec::new(),
        // The first is the tests' own library, the others are parts of a test.
        not_tests: ["test_support", "test_future1", "test_future2"].map(str::to_owned).to_vec(),
        split_folders: Vec::new(),
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
        interpreter: "python".to_owned(),
        package: "lxml-tests".to_owned(),
        library: path("root/python/lib/python2.7"),
        library_at: "/python/lib/python2.7".to_owned(),
        module: "lxml.tests".to_owned(),
        test_runner: TestRunner::Unittest,
        folder: path("site-packages/lxml/tests"),
        nested: None,
        // Examples of the documentation name files as they lie in the sources.
        working: ["doc", "samples"].map(str::to_owned).to_vec(),
        not_tests: Vec::new(),
        split_folders: Vec::new(),
        resources: Vec::new(),
        table: path("docs/reports/lxml-tests.md"),
        native: ["x86_64-linux/python-host/build", "x86_64-linux/lxml/tree"]
            .map(|node| node.parse().expect("it is a node's name"))
            .to_vec(),
        native_program: path("python/bin/python2.7"),
        native_library: path("python/lib/python2.7"),
    }
}

/// CPython 3's own.
fn python3() -> Suite {
    Suite {
        name: "python3".to_owned(),
        interpreter: "python3".to_owned(),
        package: "python3-tests".to_owned(),
        library: path("root/python3/lib/python3.13"),
        library_at: "/python3/lib/python3.13".to_owned(),
        not_tests: Vec::new(),
        // As CPython's own runner splits them; and the tests of the C API, one of which ends its
        // process.
        split_folders: [
            "test_asyncio",
            "test_capi",
            "test_concurrent_futures",
            "test_future_stmt",
            "test_gdb",
            "test_inspect",
            "test_multiprocessing_fork",
            "test_multiprocessing_forkserver",
            "test_multiprocessing_spawn",
            "test_pydoc",
        ]
        .map(str::to_owned)
        .to_vec(),
        table: path("docs/reports/cpython3-tests.md"),
        native: ["x86_64-linux/python3-host/build", "x86_64-linux/tzdata/tree"]
            .map(|node| node.parse().expect("it is a node's name"))
            .to_vec(),
        native_program: path("python3/bin/python3"),
        native_library: path("python3/lib/python3.13"),
        ..python()
    }
}

/// lxml's own, by Python 3.
fn python3_lxml() -> Suite {
    Suite {
        name: "python3-lxml".to_owned(),
        interpreter: "python3".to_owned(),
        package: "python3-lxml-tests".to_owned(),
        library: path("root/python3/lib/python3.13"),
        library_at: "/python3/lib/python3.13".to_owned(),
        table: path("docs/reports/python3-lxml-tests.md"),
        native: ["x86_64-linux/python3-host/build", "x86_64-linux/python3-lxml/tree"]
            .map(|node| node.parse().expect("it is a node's name"))
            .to_vec(),
        native_program: path("python3/bin/python3"),
        native_library: path("python3/lib/python3.13"),
        ..lxml()
    }
}

/// numpy's own, which lie beside its modules.
fn python3_numpy() -> Suite {
    Suite {
        name: "python3-numpy".to_owned(),
        package: "python3-numpy-tests".to_owned(),
        module: "numpy".to_owned(),
        test_runner: TestRunner::Pytest,
        folder: path("site-packages/numpy"),
        nested: Some("tests".to_owned()),
        working: Vec::new(),
        table: path("docs/reports/python3-numpy-tests.md"),
        native: ["x86_64-linux/python3-host/build", "x86_64-linux/python3-numpy-host/tree"]
            .map(|node| node.parse().expect("it is a node's name"))
            .to_vec(),
        ..python3_lxml()
    }
}

fn path(path: &str) -> RelPath {
    RelPath::new(path).expect("it is a path")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use build_graph::dsl::{Materials, assemble};

    use super::*;

    #[test]
    fn what_the_suites_name_is_built() {
        let bundle = recipes::bundle();
        let materials = Materials { locks: bundle.locks, files: bundle.files, ..Materials::default() };
        let graph = assemble(&bundle.set, &Arc::new(materials), &bundle.default_target).unwrap().graph;
        for suite in suites() {
            assert!(graph.aliases().contains_key(&suite.package), "{}", suite.package);
            for node in suite.native {
                assert!(graph.index_of(&node).is_some(), "{node}");
            }
        }
    }
}
