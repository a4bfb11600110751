//! Readers of bytes that strangers wrote. Each accepts a strict format within bounds of memory,
//! time and disk, and refuses everything else by name. None touches a file system by a name that it
//! read.
//!
//! | module | what it reads |
//! |---|---|
//! | [`archive`] | tar, zip and Debian packages, plain or compressed |
//! | [`image`] | Debian packages that together are a root file system |
//! | [`patch`] | unified diffs |
//! | [`python`] | packages of Python: wheels, and files of requirements |

pub mod archive;
pub mod image;
pub mod patch;
pub mod python;
