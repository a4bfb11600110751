#!/bin/sh
# Checks the crates of all workspaces by deny.toml: scripts/crates.sh [--advisories]
#
# Without an option: licenses, banned crates, and where crates come from; needs no network once the crates are downloaded.
# With --advisories: known vulnerabilities, by the database of RustSec, which is cloned from its origin. Where that can't be reached, the
# script says that nothing was checked and ends with 0: a build must not depend on another host's being up.
#
# $CARGO_DENY is the program, by default the `cargo-deny` in PATH. Ends with 1 if a crate does not pass, 2 if called wrongly, 3 without the program.
set -eu
cd "$(dirname "$0")/.."
deny=${CARGO_DENY:-cargo-deny}

case "$#:${1-}" in
    0:) what="bans licenses sources" ;;
    1:--advisories) what=advisories ;;
    *) echo "usage: scripts/crates.sh [--advisories]" >&2; exit 2 ;;
esac
if ! command -v "$deny" >/dev/null 2>&1; then
    echo "crates: \`$deny\` is missing; install cargo-deny, or set CARGO_DENY" >&2
    exit 3
fi
if [ "$what" = advisories ] && ! said=$("$deny" --config deny.toml fetch db 2>&1); then
    printf 'crates: advisories were not checked, because their database could not be downloaded:\n%s\n' "$said"
    exit 0
fi

bad=0
for lock in $(git ls-files Cargo.lock '*/Cargo.lock'); do
    manifest=${lock%.lock}.toml
    echo "crates: $manifest: $what"
    # shellcheck disable=SC2086 # a list of words
    "$deny" --manifest-path "$manifest" --all-features --locked --config deny.toml check --hide-inclusion-graph $what || bad=1
done
exit "$bad"
