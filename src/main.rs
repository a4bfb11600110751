//! The `pynbox-build` command.

fn main() {}
