//! Fuzz targets of the build tool: what it reads that somebody else has written.
//! `docs/guide/fuzzing.md` says how to run them.

#![no_main]

mod archives;
mod python;
mod remotes;
mod repositories;
mod texts;

use fuzz_harness::{Target, nothing};
use libfuzzer_sys::fuzz_target;

const MIB: usize = 1 << 20;

static TARGETS: &[Target] = &[
    // What is compressed takes the memory of its decompressor, whatever its length.
    Target { name: "archive", prepare: nothing, run: archives::archive, memory: 96 * MIB },
    Target { name: "deb", prepare: nothing, run: archives::deb, memory: 96 * MIB },
    Target { name: "package", prepare: nothing, run: archives::package, memory: 16 * MIB },
    Target { name: "pack", prepare: archives::make_packs, run: archives::pack, memory: 16 * MIB },
    Target { name: "wheel", prepare: nothing, run: python::wheel, memory: 16 * MIB },
    Target { name: "requirements", prepare: nothing, run: python::requirements, memory: 8 * MIB },
    Target { name: "patch", prepare: nothing, run: archives::patch, memory: 4 * MIB },
    Target { name: "envelope", prepare: nothing, run: remotes::envelope, memory: MIB },
    Target { name: "reapi", prepare: nothing, run: remotes::reapi, memory: 4 * MIB },
    Target { name: "repository", prepare: nothing, run: repositories::repository, memory: MIB },
    Target { name: "debian", prepare: nothing, run: texts::debian, memory: 4 * MIB },
    Target { name: "pypi", prepare: nothing, run: texts::pypi, memory: MIB },
    Target { name: "toml", prepare: nothing, run: texts::toml, memory: 8 * MIB },
    Target { name: "plan", prepare: texts::make_out, run: texts::plan, memory: 4 * MIB },
];

fuzz_target!(init: fuzz_harness::choose(TARGETS), |data: &[u8]| {
    fuzz_harness::run(data);
});
