# Configures numpy by the meson that it brings, for the target that the environment describes, and
# compares the units that it would compile with those that are listed.
#
# Usage: configure.sh SOURCES LISTED. Writes what meson wrote and compilers read into `configured`,
# by paths as in the sources, and what is installed into `installed`.

sources=$1 listed=$2
python=/build/python3/bin/python3

list() {
    printf '['
    printf "'%s', " "$@"
    printf ']'
}

# meson asks for a ninja, which has nothing to do here.
mkdir bin configured
printf '#!/bin/sh\ncase $1 in --version) echo 1.11 ;; *) echo "[]" ;; esac\n' > bin/ninja
printf '#!/bin/sh\nexec %s -m cython "$@"\n' "$python" > bin/cython
# The compiler with its flags, of which meson would take a second `-isystem` for a repetition; and
# without groups of libraries, which this linker does not know.
cat > bin/compiler <<'END'
#!/bin/sh
for argument; do
    shift
    case $argument in
        -Wl,--start-group | -Wl,--end-group) ;;
        *) set -- "$@" "$argument" ;;
    esac
done
exec $CC $CFLAGS "$@"
END
chmod +x bin/*
PATH=/build/bin:$PATH

cat > cross.ini <<END
[binaries]
c = '/build/bin/compiler'
cpp = '/build/bin/compiler'
ar = $(list $AR)
python = '$python'
cython = '/build/bin/cython'
[host_machine]
system = 'wasi'
cpu_family = 'wasm32'
cpu = 'wasm32'
endian = 'little'
[properties]
# It would run a program to find out.
longdouble_format = 'IEEE_QUAD_LE'
needs_exe_wrapper = true
skip_sanity_check = true
[built-in options]
c_link_args = $(list $LIBS)
END

"$python" "$sources/vendored-meson/meson/meson.py" setup "$sources" build --cross-file cross.ini \
    --buildtype release -Db_ndebug=true -Dblas=none -Dlapack=none -Dallow-noblas=true -Dcpu-baseline=none \
    -Dcpu-dispatch=none -Ddisable-optimization=true -Ddisable-threading=true -Ddisable-highway=true
"$python" files/units.py build/meson-info/intro-targets.json "$sources" "$listed"

cd build
find numpy meson_cpu -name '*.h' -o -name __config__.py | while read -r file; do
    mkdir -p "../configured/${file%/*}"
    cp "$file" "../configured/$file"
done
# What else meson would install of it, by paths in numpy's folder.
mkdir -p ../installed/_core/include/numpy ../installed/_core/lib/pkgconfig
cp numpy/_core/_numpyconfig.h ../installed/_core/include/numpy
cp numpy/_core/numpy.pc ../installed/_core/lib/pkgconfig
