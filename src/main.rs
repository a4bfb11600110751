//! The `pynbox-build` command with the recipes of this repository.

use std::process::ExitCode;

fn main() -> ExitCode {
    pynbox_build::main(recipes::bundle)
}
