//! What fuzz targets call of rooms that show no parser: each function reads bytes of a stranger,
//! and panics if what it accepts is not what it must be.

use crate::lock::fuzzing as lock;
use crate::source::fuzzing as source;

/// Debian's indices: of packages and of sources.
pub fn debian_index(packages: &str, sources: &str) {
    lock::index(packages, sources);
}

/// Two versions of Debian packages, and one more.
pub fn debian_versions(versions: [&str; 3]) {
    lock::versions(versions);
}

/// A page of a Python package index, JSON or HTML.
pub fn python_index(page: &[u8]) {
    source::page(page);
}
