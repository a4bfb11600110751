//! Guests as native code, so that the tests of the loader run over its second engine, too.
//!
//! With `PYNBOX_TEST_NATIVE=FOLDER`, a checkout of the node `x86_64-linux/native-runtime/tree`,
//! every guest and every library is compiled by wasm2c and this machine's `cc`, and run with
//! `--engine native`. The code reaches its memory by a pointer: no profile, no segment register,
//! but the checks of the published one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Dest;

/// Where the tools are; nothing if these tests are for the other engine.
pub fn tools() -> Option<PathBuf> {
    std::env::var_os("PYNBOX_TEST_NATIVE").map(PathBuf::from)
}

/// Has the loader find a machine that lets no program set `%gs`.
const NO_SEGMENT: &str = include_str!("no_segment.c");

/// Stands in the loader's place: runs it with the option where that has a meaning.
const WRAPPER: &str = "#!/bin/sh
here=${0%/*}
for argument; do
    case $argument in --precompile | --check | --help | --initialise) exec \"$here/loader\" \"$@\" ;; esac
done
LD_PRELOAD=$here/no-segment.so exec \"$here/loader\" --engine native \"$@\"
";

const FLAGS: &str = "-O1 -w -fPIC -fvisibility=hidden -fno-strict-aliasing -fstack-clash-protection -DNDEBUG \
                     -DWASM_RT_NONCONFORMING_UNCHECKED_STACK_EXHAUSTION=1 \
                     -DWASM_RT_NONCONFORMING_ALLOW_OOB_READ_ELIMINATION=1";

/// Has this installation run native code.
pub fn prepare(dest: &Dest) {
    let bin = dest.path().join("bin");
    fs::rename(bin.join("run"), bin.join("loader")).unwrap();
    fs::write(bin.join("no-segment.c"), NO_SEGMENT).unwrap();
    shell(&bin, "cc -shared -fPIC -o no-segment.so no-segment.c");
    fs::write(bin.join("run"), WRAPPER).unwrap();
    fs::set_permissions(bin.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[expect(clippy::print_stderr, reason = "shown if the test fails")]
fn shell(folder: &Path, script: &str) -> bool {
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

/// Makes native code of the module at `path` in the guest's tree, as a package brings it, and has
/// it taken over. What can't be compiled is left: it is the test's to expect that.
pub fn bring(dest: &Dest, tools: &Path, path: &str) {
    let native = dest.path().join("lib/native");
    let name = format!("n{}", fs::read_dir(&native).map_or(0, Iterator::count));
    let folder = native.join(&name);
    fs::create_dir_all(folder.join("pointer")).unwrap();
    fs::copy(dest.root().join(&path[1..]), folder.join(format!("{name}.wasm"))).unwrap();
    let script = format!(
        "ulimit -t 20
         tools={tools}
         mkdir c
         $tools/bin/wasm2c --disable-memory64 --disable-multi-memory --disable-simd --disable-tail-call \
             --module-name={name} --num-outputs=2 -o c/{name}.c {name}.wasm
         sed -i -e 's/^static void init_/void init_/' -e '/wrap_w2c_env_/s/, offsetof([^)]*)}}/, 0}}/' \
             -e 's/(struct w2c_env[*]) instance/((w2c_{name} *)instance)->w2c_env_instance/' c/{name}_*.c
         sed -i 's/^extern const wasm_rt_tag_t w2c_env_/extern wasm_rt_tag_t w2c_env_/' c/{name}.h
         sed -n '/wasm_rt_load_exception(/p' c/{name}_*.c > {name}.throws
         awk -v name={name} -v folder=c -f $tools/module.awk c/{name}.h c/{name}_0.c {name}.throws
         start=-nostartfiles
         if grep -q '[.]start = start' c/module.c; then start=; cp $tools/pointer/libnative.so pointer/; fi
         cc -shared {FLAGS} $start -Ic -I$tools/include -Wl,-z,defs -Wl,-z,now -o pointer/{name}.so c/*.c c/symbols.s \
             $tools/pointer/libnative.so -lm
         cp -r pointer segment
         rm -r c {name}.throws",
        tools = tools.display()
    );
    if !shell(&folder, &script) {
        fs::remove_dir_all(folder).unwrap();
        return;
    }
    let mut loader = Command::new(dest.path().join("bin/loader"));
    let _ = loader.env_clear().args(["--precompile", path]).output().unwrap();
}
