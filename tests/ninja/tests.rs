//! Every way in which `gen` and ninja meet, with real actions, on every ninja that
//! `PYNBOX_TEST_NINJAS` names (default: the one in PATH).
//!
//! The images come from the store that the tests are run with; what the tests build is new in each
//! run, because each space writes a number of its own into its sources.

mod ask;
mod browser;
mod builds;
mod determinism;
mod edits;
mod engine;
mod everyday;
mod fast_path;
mod generated;
mod jobs;
mod json;
mod log;
mod messages;
mod pack;
mod plan;
mod provenance;
mod remotes;
mod report;
mod sessions;
mod shell;
mod space;
mod terminal;
mod trouble;
mod trust;
mod why;
mod workflows;

use space::{Space, ninjas};

fn on_every_ninja(test: impl Fn(&mut Space)) {
    for ninja in ninjas() {
        test(&mut Space::new(&ninja));
    }
}
