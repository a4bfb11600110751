//! Writing lock files.
