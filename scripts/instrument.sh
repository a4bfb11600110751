#!/bin/sh
# rustc as cargo calls it (RUSTC_WRAPPER) for fuzzing: counts the edges of the crates whose faults are looked for. All others are compiled
# as for any other build, so that cargo takes those that are there. These flags are what libFuzzer reads, and rustc takes them on any channel.
set -eu
case " $* " in
*" --crate-name pynbox_build "* | *" --crate-name pynbox_run "* | *" --crate-name build_fuzz "* | *" --crate-name loader_fuzz "*) ;;
*" --crate-name formats "* | *" --crate-name remote "* | *" --crate-name store "* | *" --crate-name support "*) ;;
*" --crate-name zip "*" debug-assertions="*) ;;
# A build script links it, too, without libFuzzer: for that, cargo compiles it without optimisation.
*" --crate-name build_graph "*" opt-level="*) ;;
*) exec "$@" ;;
esac
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
