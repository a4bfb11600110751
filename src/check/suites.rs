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
    /// The package that installs the tests, and nothing but them.
    pub package: String,
    /// The folder of the installation that holds the library, which the tests belong to.
    pub library: RelPath,
    /// Where a guest sees that folder.
    pub library_at: String,
    /// The package of Python that the files are modules of: their folder below the library, joined
    /// by dots.
    pub module: String,
    /// Files that are named as tests are, and are none.
    pub not_tests: Vec<String>,
    /// What tests may use of what CPython's ask for first.
    pub resources: Vec<String>,
    /// The document of the project that holds the table of its results.
    pub table: RelPath,
    /// The folder with the files of that package, below `library`.
    pub folder: RelPath,
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

/// Returns all of them.
///
/// # Panics
/// If a path below is none, which a test of this module rules out.
pub fn suites() -> Vec<Suite> {
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
        native: ["x86_64-linux/python-host/build", "x86_64-linux/lxml/tree"]
            .map(|node| node.parse().expect("it is a node's name"))
            .to_vec(),
        native_program: path("python/bin/python2.7"),
        native_library: path("python/lib/python2.7"),
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
