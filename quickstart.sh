#!/bin/sh
# From a fresh clone to sandboxed Python: ./quickstart.sh DEST
# Installs what is missing (as root) or says exactly what to install, builds everything, installs it into DEST, and tries it.
set -eu
cd "$(dirname "$0")"
if [ $# -ne 1 ]; then
    echo "usage: ./quickstart.sh DEST" >&2
    exit 2
fi
case $1 in
    /*) dest=$1 ;;
    *) dest=$OLDPWD/$1 ;;
esac

. ./scripts/prepare.sh

step() { printf '== %s\n' "$*"; }

step "build pynbox-build"
pynbox_build=$(./scripts/built.py --build)

step "fetch pinned sources"
"$pynbox_build" fetch
step "gen"
"$pynbox_build" gen
step "ninja"
ninja
step "install into $dest"
"$pynbox_build" install "$dest"
"$pynbox_build" install "$dest" lxml

step "run"
set -x
"$dest/bin/run" python -c 'import os; print os.listdir("/")'
"$dest/bin/test_pynbox"
