#!/bin/sh
# Installs sandboxed Python from a repository of packages, on a machine without compilers:
#
#     sh install.sh DEST [PACKAGE…]      the loader, and python and tests, or these packages
#     sh install.sh --loader DEST        the loader alone: DEST/bin/run
#
# Needs Linux on @ARCH@, curl or wget, tar with gzip, and sha256sum. Fetches the tool, compares its
# SHA-256 with the one below, and leaves the rest to it: signatures, packages, DEST. PYNBOX_REPOSITORY
# names another address of the same repository.
set -eu

repository=@REPOSITORY@
repository=${PYNBOX_REPOSITORY:-$repository}
key=@KEY@
tool=@TOOL@
tool_sha256=@TOOL_SHA256@
loader=@LOADER@
loader_sha256=@LOADER_SHA256@

fail() {
    echo "install.sh: $1" >&2
    exit "${2:-3}"
}

only_loader=
if [ "${1-}" = --loader ]; then
    only_loader=yes
    shift
fi
case ${1-} in
'' | -*) fail "usage: sh install.sh [--loader] DEST [PACKAGE…]" 2 ;;
esac
if [ -n "$only_loader" ] && [ $# -ne 1 ]; then
    fail "usage: sh install.sh --loader DEST" 2
fi
[ "$(uname -s) $(uname -m)" = "Linux @ARCH@" ] || fail "this repository has programs for Linux on @ARCH@ alone"
for program in tar gzip sha256sum; do
    command -v "$program" >/dev/null || fail "\`$program\` is missing; install it"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# fetch NAME SHA256: puts an archive of the repository into $work/archive.
fetch() {
    case $repository in
    http://* | https://*)
        if command -v curl >/dev/null; then
            curl --fail --silent --show-error --location --retry 3 --output "$work/archive" "$repository/$1" ||
                fail "\`$repository/$1\` can't be fetched"
        elif command -v wget >/dev/null; then
            wget --quiet --tries=3 --output-document="$work/archive" "$repository/$1" ||
                fail "\`$repository/$1\` can't be fetched"
        else
            fail "neither \`curl\` nor \`wget\` is there; install one"
        fi
        ;;
    *) cp "$repository/$1" "$work/archive" || fail "\`$repository/$1\` can't be read" ;;
    esac
    echo "$2  $work/archive" | sha256sum --check --status 2>/dev/null ||
        fail "\`$repository/$1\` does not have the bytes that were published (SHA-256 $2); nothing was installed" 2
}

if [ -n "$only_loader" ]; then
    [ -n "$loader" ] || fail "this repository has no loader; publish \`sandbox_outer\` there" 2
    fetch "$loader" "$loader_sha256"
    mkdir -p "$1"
    tar -xzf "$work/archive" -C "$1" || fail "the loader can't be unpacked into \`$1\`"
    echo "the loader is \`$1/bin/run\`"
    exit
fi

fetch "$tool" "$tool_sha256"
tar -xzf "$work/archive" -C "$work" || fail "the tool can't be unpacked into \`$work\`"
"$work/pynbox-build" --version >/dev/null ||
    fail "the tool does not run here; it needs the C library of the machine that published it, or a newer one"
"$work/pynbox-build" install --repo "$repository" --trust "$key" "$@"
