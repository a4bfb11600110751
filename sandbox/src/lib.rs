//! The trusted loader: runs a program that sees the directories mounted for it, the descriptors
//! handed to it, and nothing else of the machine.
//!
//! With WebAssembly (the feature `wasm`), from the guest outwards: [`engine`] runs the guest's
//! code; each call that it makes is one of [`abi`], which checks every address and works on
//! [`vfs`], the guest's files in Linux's terms. [`run`] is the command; [`compiled`] and
//! [`snapshot`] make its start fast, [`precompile`] and [`initialise`] fill them; [`linking`],
//! [`side_code`], [`compiler`] and [`jobs`] load libraries while the guest runs; [`translate`]
//! writes modules as the engine takes them; [`account`] holds what all of that takes to the guest's
//! limit; [`overlap`], [`wall`] and [`reach`] are what stands behind the first wall. Only `engine`
//! knows an engine; what does without is the feature `calls` alone, which fuzz targets drive.
//!
//! With Native Client (the feature `nacl`), the engine is a program of its own, `sel_ldr`, and
//! [`nacl`] the command that starts it, in a view of the machine that holds the mounts alone. Both
//! commands have one command line: [`options`], and what [`front`] does with it.

#![cfg_attr(
    not(any(feature = "nacl", feature = "wasm")),
    allow(dead_code, reason = "no command uses what both commands share")
)]

#[cfg(feature = "calls")]
pub mod abi;
pub mod account;
mod caller;
mod check;
#[cfg(feature = "calls")]
pub mod compiled;
#[cfg(feature = "wasm")]
pub mod compiler;
pub mod descriptors;
#[cfg(feature = "wasm")]
pub mod engine;
#[cfg(any(feature = "nacl", feature = "wasm"))]
mod filter;
pub mod front;
#[cfg(feature = "wasm")]
pub mod initialise;
pub mod install;
#[cfg(feature = "wasm")]
pub mod jobs;
mod kernel_file_systems;
pub mod limits;
#[cfg(feature = "calls")]
pub mod linking;
pub mod log;
mod mount_table;
#[cfg(feature = "nacl")]
pub mod nacl;
#[cfg(feature = "wasm")]
mod native_code;
#[cfg(feature = "wasm")]
pub mod native_side;
mod open_how;
pub mod options;
pub mod outcome;
pub mod overlap;
#[cfg(feature = "wasm")]
pub mod precompile;
mod print;
#[cfg(feature = "wasm")]
pub mod reach;
pub mod report;
#[cfg(feature = "wasm")]
pub mod run;
pub mod scratch;
#[cfg(feature = "wasm")]
pub mod side_code;
mod signals;
#[cfg(feature = "calls")]
pub mod snapshot;
pub mod source;
mod sys;
#[cfg(feature = "calls")]
pub mod translate;
pub mod vfs;
#[cfg(feature = "wasm")]
pub mod wall;
pub mod watch;

#[cfg(not(any(feature = "calls", feature = "nacl", feature = "wasm")))]
compile_error!("choose what the guests are: the feature `wasm` or `nacl`");
