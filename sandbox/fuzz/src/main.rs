//! Fuzz targets of the loader: what a guest can ask for and what it can hand over, without the
//! engine that runs it; and whole guests, by the loader as it is installed.
//! `docs/guide/fuzzing.md` says how to run them.

#![no_main]

mod arguments;
mod calls;
mod formats;
mod modules;
mod world;

use fuzz_harness::{Target, nothing};
use libfuzzer_sys::fuzz_target;

const MIB: usize = 1 << 20;

static TARGETS: &[Target] = &[
    Target { name: "calls", prepare: calls::prepare, run: calls::run, memory: 4 * MIB },
    Target { name: "dylink", prepare: nothing, run: formats::dylink, memory: MIB },
    Target { name: "modules", prepare: modules::prepare, run: modules::run, memory: 64 * MIB },
    Target { name: "record", prepare: nothing, run: formats::record, memory: MIB },
    Target { name: "options", prepare: nothing, run: formats::options, memory: MIB },
    Target { name: "paths", prepare: nothing, run: formats::paths, memory: MIB },
];

fuzz_target!(init: fuzz_harness::choose(TARGETS), |data: &[u8]| {
    fuzz_harness::run(data);
});
