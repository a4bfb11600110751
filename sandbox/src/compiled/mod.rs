//! `DEST/compiled`: modules compiled ahead of time, and how the loader knows that it may run them.
//!
//! Compiled code is native code: who can put a file here owns the process. Each check stops one way
//! of doing so:
//!
//! | check | stops |
//! |---|---|
//! | no `rw` mount may reach the directory ([`crate::overlap`]) | a guest that writes a file here |
//! | directory and files belong to the user or root, are not writable by others, and are regular files with one name, opened without following links | another user, a link into a place that others write, a second name within reach of a mount |
//! | the record holds the identity (inode, size, times) of each code file and, if that differs, its blake3 | a file swapped or changed after it was written; a copied installation is hashed again and works |
//! | the file's name and record hold the module's blake3 and the engine's id | code of another module, version or processor |
//!
//! Files, all written as a temporary file and renamed, under a lock:
//!
//! - `DIGEST-ENGINE.cwasm`: the module's code (a program's, a library's);
//!   `DIGEST-ENGINE.warm.cwasm`: that of its snapshot, whose memory both engines map ([`Image`]);
//! - `DIGEST-ENGINE.side`: what a library's bytes say ([`crate::linking::SideModule`]), so that
//!   loading it need not read them;
//! - `DIGEST-ENGINE.table`: where a program has its functions in its table
//!   ([`crate::linking::TableIndex`]);
//! - `DIGEST-ENGINE.so` and `DIGEST-ENGINE.runtime.so`: native code that a package brought for the
//!   module, and the runtime that it is linked with (`crate::native_code`);
//! - `DIGEST-ENGINE.record`: text, see [`Record`];
//! - `modules`: text, one line a module file that was compiled: its [`Identity`], digest and guest
//!   path, so that neither a start nor the loading of a library need hash the module.

#[cfg(feature = "wasm")]
mod cache;
mod image;
mod record;
mod store;

#[cfg(feature = "wasm")]
pub use cache::CodeCache;
pub use image::{Global, Image};
pub use record::{Code, Identity, ParseError, Record, Rule, leads_to_cold};
pub use store::{Modules, Part, Store, StoreError};
