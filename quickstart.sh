#!/bin/sh
# From a fresh clone to sandboxed Python: ./quickstart.sh DEST [PACKAGE…] [--repo REPOSITORY [--trust KEY]]
# Installs what is missing (as root) or says exactly what to install, builds everything, installs it into DEST, and tries it. With
# packages (`python3`), it builds and installs these and what they need.
# With a repository of packages, only the tool is built, if it is not yet: the packages come from there.
set -eu
started_in=$PWD
cd "$(dirname "$0")"
usage() {
    echo "usage: ./quickstart.sh DEST [PACKAGE…] [--repo REPOSITORY [--trust KEY]]" >&2
    exit 2
}
[ $# -ge 1 ] || usage
case $1 in
    -*) usage ;;
    /*) dest=$1 ;;
    *) dest=$started_in/$1 ;;
esac
shift
packages=
while [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; do
    packages="$packages $1"
    shift
done
repo=
case "$# ${1-} ${3-}" in
"0  ") ;;
"2 --repo " | "4 --repo --trust") repo=$2 ;;
*) usage ;;
esac

. ./scripts/prepare.sh

step() { printf '== %s\n' "$*"; }

step "build pynbox-build"
pynbox_build=$(./scripts/built.py --build)

if [ -n "$repo" ]; then
    step "install into $dest from $repo"
    project=$PWD
    # A folder is named as the caller sees it.
    # shellcheck disable=SC2086
    (cd "$started_in" && "$pynbox_build" --project "$project" install "$dest" ${packages:-python tests lxml} "$@")
elif [ -n "$packages" ]; then
    step "build and install$packages into $dest"
    # shellcheck disable=SC2086
    "$pynbox_build" build sandbox_outer sandbox_inner $packages
    # shellcheck disable=SC2086
    "$pynbox_build" install "$dest" $packages
else
    step "fetch pinned sources"
    "$pynbox_build" fetch
    step "gen"
    "$pynbox_build" gen
    step "ninja"
    ninja
    step "install into $dest"
    "$pynbox_build" install "$dest"
    "$pynbox_build" install "$dest" lxml
fi

step "run"
set -x
if [ -e "$dest/bin/test_python3" ]; then
    "$dest/bin/run" python3 -c 'import os; print(os.listdir("/"))'
    "$dest/bin/test_python3"
fi
if [ -e "$dest/bin/test_pynbox" ]; then
    "$dest/bin/run" python -c 'import os; print os.listdir("/")'
    "$dest/bin/test_pynbox"
fi
