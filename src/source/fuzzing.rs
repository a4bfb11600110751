//! The parsers of this room, for [`crate::fuzzing`].

use super::pypi::offered;

pub(crate) fn page(page: &[u8]) {
    for json in [true, false] {
        if let Ok(files) = offered(json, page) {
            assert!(files.len() <= page.len(), "a page offers more files than it has bytes");
        }
    }
}
