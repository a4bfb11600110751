# Writes the headers with modules in bytecode: freeze.sh PYTHON SOURCE OUTPUT MODULE…
# Reads the modules in Lib, and the two that are elsewhere.
set -eu
python=$1 source=$2 output=$3
shift 3
freeze() { "$python" -S "$source/Programs/_freeze_module.py" "$1" "$source/$2" "$output/$1.h"; }
mkdir -p "$output"
for module; do
    path=Lib/$(echo "$module" | tr . /)
    [ -f "$source/$path.py" ] || path=$path/__init__
    freeze "$module" "$path.py"
done
freeze getpath Modules/getpath.py
freeze frozen_only Tools/freeze/flag.py
