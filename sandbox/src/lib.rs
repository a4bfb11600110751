//! The trusted loader: runs a WebAssembly program that sees the directories mounted for it, the descriptors handed to it, and nothing
//! else of the machine.
//!
//! From the guest outwards: [`engine`] runs the guest's code; each call that it makes is one of [`abi`], which checks every address and works on
//! [`vfs`], the guest's files in Linux's terms. [`run`] is the command, [`options`] its arguments; [`compiled`] and [`snapshot`] make its
//! start fast, [`precompile`] fills them; [`linking`], [`side_code`] and [`jobs`] load libraries while
//! the guest runs; [`overlap`] and [`wall`] are what stands behind the first wall. Only `engine` knows an engine.

pub mod abi;
pub mod compiled;
pub mod descriptors;
pub mod engine;
pub mod install;
pub mod jobs;
pub mod linking;
pub mod log;
pub mod options;
pub mod overlap;
pub mod precompile;
pub mod run;
pub mod side_code;
pub mod snapshot;
pub mod vfs;
pub mod wall;
