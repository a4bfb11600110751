//! Compiled code and snapshots: used when they are what they should be, and never otherwise.

#![cfg(feature = "wasm")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use common::{Dest, Ended, module};

const HELLO: &str = r#"(func (export "_start") (call $puts (i32.const 100) (i32.const 6)))"#;
const HELLO_DATA: &str = r#"(data (i32.const 100) "hello\n")"#;
const COMPILED: &str = "compiled code is loaded";
const IN_MEMORY: &str = "compiling `/test/hello.wasm`";

/// An installation with a compiled guest.
fn compiled() -> Dest {
    let dest = Dest::new();
    dest.guest("hello", &module(HELLO_DATA, HELLO));
    dest.run(["--precompile", "/test/hello.wasm"]).assert(0, "");
    dest
}

/// Runs the guest, which always has to say the same, and gives the log.
#[track_caller]
fn log(dest: &Dest) -> String {
    let Ended { status, out, err } = dest.run(["-vv", "/test/hello.wasm"]);
    assert_eq!((status, out.as_str()), (0, "hello\n"), "{err}");
    err
}

#[test]
fn the_native_engine_runs_what_has_native_code_alone() {
    let dest = compiled();
    let Ended { status, out, err } = dest.run(["--engine", "native", "/test/hello.wasm"]);
    assert_eq!((status, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("has no native code here: there is none; install it with `--engine native`"), "{err}");
    dest.run(["--engine", "wasmtime", "/test/hello.wasm"]).assert(0, "hello\n");
}

#[track_caller]
fn assert_refused(dest: &Dest, why: &str) {
    let log = log(dest);
    assert!(log.contains(IN_MEMORY) && !log.contains(COMPILED) && log.contains(why), "expected `{why}`: {log}");
}

fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn compiled_code_is_used() {
    let dest = compiled();
    let first = log(&dest);
    assert!(first.contains(COMPILED) && !first.contains("hashing"), "{first}");
    // The same module in another file is known by its digest, once it is read.
    let module = dest.root().join("test/hello.wasm");
    fs::copy(&module, dest.root().join("test/copy")).unwrap();
    fs::rename(dest.root().join("test/copy"), &module).unwrap();
    let copied = log(&dest);
    assert!(copied.contains(COMPILED) && copied.contains("hashing"), "{copied}");
    // A copy of the code is hashed, too.
    let code = dest.compiled_file(".cwasm");
    fs::copy(&code, dest.path().join("copy")).unwrap();
    fs::rename(dest.path().join("copy"), &code).unwrap();
    assert!(log(&dest).contains(COMPILED));
}

#[test]
fn what_belongs_to_no_module_any_more_is_removed() {
    let dest = compiled();
    let old = dest.compiled_file(".cwasm");
    dest.guest("other", &module(HELLO_DATA, "(func (export \"_start\"))"));
    dest.run(["--precompile", "/test/other.wasm"]).assert(0, "");
    assert!(old.exists(), "another module's code stays");
    dest.guest("hello", &module(HELLO_DATA, "(func (export \"_start\") nop)"));
    dest.run(["--precompile", "/test/hello.wasm"]).assert(0, "");
    assert!(!old.exists());
    assert_eq!(fs::read_dir(dest.compiled()).unwrap().count(), 2 * 2 + 2, "two modules, the index and the lock");
}

#[test]
fn another_module_gets_no_foreign_code() {
    let dest = compiled();
    let other = module(r#"(data (i32.const 100) "other\n")"#, HELLO);
    dest.guest("hello", &other);
    let Ended { status, out, err } = dest.run(["-vv", "/test/hello.wasm"]);
    assert!(status == 0 && out == "other\n" && err.contains(IN_MEMORY), "{out}{err}");
}

#[test]
fn a_changed_file_is_refused() {
    let dest = compiled();
    flip_a_byte(&dest.compiled_file(".cwasm"));
    assert_refused(&dest, "is damaged");
    let dest = compiled();
    fs::write(dest.compiled_file(".cwasm"), "").unwrap();
    assert_refused(&dest, "is damaged");
    let dest = compiled();
    fs::write(dest.compiled_file(".record"), "nonsense").unwrap();
    assert_refused(&dest, "is damaged");
    let dest = compiled();
    fs::write(dest.compiled().join("modules"), "\0\u{1}nonsense\n1 2 3\n").unwrap();
    assert!(log(&dest).contains(COMPILED), "a broken index costs a hash alone");
}

/// A file with the right name that someone else made: code of another guest, under the digest that
/// is expected.
#[test]
fn planted_code_is_refused() {
    let dest = compiled();
    let code = dest.compiled_file(".cwasm");
    let other = Dest::new();
    other.guest("hello", &module(r#"(data (i32.const 100) "EVIL!\n")"#, HELLO));
    other.run(["--precompile", "/test/hello.wasm"]).assert(0, "");
    fs::copy(other.compiled_file(".cwasm"), &code).unwrap();
    assert_refused(&dest, "is damaged");
    fs::remove_file(&code).unwrap();
    fs::rename(other.compiled_file(".cwasm"), &code).unwrap();
    assert_refused(&dest, "is damaged");
    // Without a record, a file alone is nothing.
    fs::remove_file(dest.compiled_file(".record")).unwrap();
    assert_refused(&dest, "there is none");
}

#[test]
fn files_that_others_could_change_are_refused() {
    for mode in [0o664, 0o646] {
        let dest = compiled();
        fs::set_permissions(dest.compiled_file(".cwasm"), fs::Permissions::from_mode(mode)).unwrap();
        assert_refused(&dest, "others can write it");
        let dest = compiled();
        fs::set_permissions(dest.compiled_file(".record"), fs::Permissions::from_mode(mode)).unwrap();
        assert_refused(&dest, "others can write it");
    }
    let dest = compiled();
    fs::set_permissions(dest.compiled(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_refused(&dest, "others can write it");

    let dest = compiled();
    let code = dest.compiled_file(".cwasm");
    fs::hard_link(&code, dest.root().join("second")).unwrap();
    assert_refused(&dest, "second name");

    let dest = compiled();
    let code = dest.compiled_file(".cwasm");
    fs::rename(&code, dest.path().join("elsewhere")).unwrap();
    symlink(dest.path().join("elsewhere"), &code).unwrap();
    assert_refused(&dest, "symbolic link");

    let dest = compiled();
    fs::rename(dest.compiled(), dest.path().join("elsewhere")).unwrap();
    symlink(dest.path().join("elsewhere"), dest.compiled()).unwrap();
    assert_refused(&dest, "no compiled code");

    let dest = compiled();
    let code = dest.compiled_file(".cwasm");
    fs::remove_file(&code).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &code, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_refused(&dest, "no regular file");

    // Only root can give a file away.
    if rustix::process::geteuid().is_root() {
        let dest = compiled();
        chown(dest.compiled_file(".cwasm"), Some(12345), None).unwrap();
        assert_refused(&dest, "another user");
    }
}

/// Counts how often it was initialised, remembers a byte of `/data/seen`, and says both at its end.
/// `ready` is also said by a `_start` that was not prepared.
fn snapshot_guest(rules: &str, init: &str) -> String {
    module(
        &format!(
            r#"(@custom "pynbox.snapshot" "{rules}")
               (data (i32.const 100) "data/seen") (data (i32.const 120) "data/none") (data (i32.const 200) "cold ?\n") (data (i32.const 300) "warm ?\n")
               (global $ready (mut i32) (i32.const 0))"#
        ),
        &format!(
            r#"(func $look
                 (drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 120) (i32.const 9) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 40)))
                 (drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 100) (i32.const 9) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 40)))
                 (i32.store (i32.const 8) (i32.const 205)) (i32.store (i32.const 12) (i32.const 1))
                 (drop (call $fd_read (i32.load (i32.const 40)) (i32.const 8) (i32.const 1) (i32.const 16)))
                 (drop (call $fd_close (i32.load (i32.const 40))))
                 (i32.store8 (i32.const 305) (i32.load8_u (i32.const 205)))
                 (global.set $ready (i32.add (global.get $ready) (i32.const 1))))
               (func (export "pynbox_snapshot_init") (call $look) {init})
               (func (export "pynbox_snapshot_resume")
                 (call $puts (i32.const 300) (i32.const 7)) (call $exit (global.get $ready)))
               (func (export "_start") (call $look)
                 (call $puts (i32.const 200) (i32.const 7)) (call $exit (global.get $ready)))"#
        ),
    )
}

const RULES: &str = "cold-env COLD\\ncold-arg -S\\nend-arg -c\\n# a comment\\n\\n";

fn snapshot() -> Dest {
    let dest = Dest::new();
    fs::create_dir(dest.root().join("data")).unwrap();
    fs::write(dest.root().join("data/seen"), "A").unwrap();
    dest.guest("snap", &snapshot_guest(RULES, ""));
    dest.run(["--precompile", "/test/snap.wasm"]).assert(0, "");
    dest
}

#[test]
fn a_snapshot_starts_where_the_initialisation_ended() {
    let dest = snapshot();
    dest.run(["/test/snap.wasm"]).assert(1, "warm A\n");
    dest.run(["/test/snap.wasm", "-c", "-S"]).assert(1, "warm A\n");
    dest.run(["-E", "WARM=1", "/test/snap.wasm"]).assert(1, "warm A\n");
}

#[test]
fn rules_ask_for_a_fresh_start() {
    let dest = snapshot();
    dest.run(["/test/snap.wasm", "-S"]).assert(1, "cold A\n");
    dest.run(["/test/snap.wasm", "-uS"]).assert(1, "cold A\n");
    dest.run(["-E", "COLDER=1", "/test/snap.wasm"]).assert(1, "cold A\n");
}

#[test]
fn what_the_initialisation_saw_has_to_be_the_same() {
    let dest = snapshot();
    let seen = dest.root().join("data/seen");
    fs::write(&seen, "B").unwrap();
    dest.run(["/test/snap.wasm"]).assert(1, "cold B\n");

    let dest = snapshot();
    fs::write(dest.root().join("data/none"), "").unwrap();
    dest.run(["/test/snap.wasm"]).assert(1, "cold A\n");
    fs::remove_file(dest.root().join("data/none")).unwrap();
    dest.run(["/test/snap.wasm"]).assert(1, "warm A\n");

    // The directory replaced by a link to an equal one.
    let dest = snapshot();
    fs::rename(dest.root().join("data"), dest.root().join("moved")).unwrap();
    symlink("moved", dest.root().join("data")).unwrap();
    dest.run(["/test/snap.wasm"]).assert(1, "cold A\n");

    // Files beside those that were seen don't matter.
    let dest = snapshot();
    fs::write(dest.root().join("data/other"), "").unwrap();
    dest.run(["/test/snap.wasm"]).assert(1, "warm A\n");
}

#[test]
fn a_directory_whose_times_are_known_hides_no_new_name() {
    let dest = snapshot();
    // Only a directory that was left alone for a moment has times that tell of each change.
    std::thread::sleep(std::time::Duration::from_millis(200));
    dest.run(["--precompile", "/test/snap.wasm"]).assert(0, "");
    let record = fs::read_to_string(dest.compiled_file(".record")).unwrap();
    assert!(record.lines().any(|line| line.starts_with("times ") && line.ends_with(" data")), "{record}");
    dest.run(["/test/snap.wasm"]).assert(1, "warm A\n");
    fs::write(dest.root().join("data/none"), "").unwrap();
    dest.run(["/test/snap.wasm"]).assert(1, "cold A\n");
    // Its times are others now; each name is looked for.
    fs::remove_file(dest.root().join("data/none")).unwrap();
    dest.run(["/test/snap.wasm"]).assert(1, "warm A\n");
}

#[test]
fn mounts_decide_whether_a_snapshot_fits() {
    let dest = snapshot();
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("seen"), "M").unwrap();
    let root = |mode: &str| format!("{}:/:{mode}", dest.root().display());
    let at = |place: &str| format!("{}:{place}:rw", other.path().display());
    dest.run(["-m", &root("ro"), "/test/snap.wasm"]).assert(1, "warm A\n");
    dest.run(["-m", &root("rw"), "/test/snap.wasm"]).assert(1, "cold A\n");
    dest.run(["-m", &root("ro"), "-m", &at("/work"), "/test/snap.wasm"]).assert(1, "warm A\n");
    dest.run(["-m", &root("ro"), "-m", &at("/data"), "/test/snap.wasm"]).assert(1, "cold M\n");
    for place in ["/data/none", "/data/none/deeper"] {
        dest.run(["-m", &root("ro"), "-m", &at(place), "/test/snap.wasm"]).assert(1, "cold A\n");
    }
    dest.run(["-m", &root("ro"), "-m", &at("/data/other"), "/test/snap.wasm"]).assert(1, "warm A\n");
    // The same tree, but another directory.
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("data")).unwrap();
    fs::create_dir(copy.path().join("test")).unwrap();
    fs::write(copy.path().join("data/seen"), "C").unwrap();
    fs::copy(dest.root().join("test/snap.wasm"), copy.path().join("test/snap.wasm")).unwrap();
    dest.run(["-m", &format!("{}:/:ro", copy.path().display()), "/test/snap.wasm"]).assert(1, "cold C\n");
}

#[test]
fn a_damaged_snapshot_is_not_used() {
    let dest = snapshot();
    flip_a_byte(&dest.compiled_file(".warm.cwasm"));
    dest.run(["/test/snap.wasm"]).assert(1, "cold A\n");
}

#[test]
fn an_initialisation_that_breaks_the_contract_is_refused() {
    let dest = Dest::new();
    fs::create_dir(dest.root().join("data")).unwrap();
    fs::write(dest.root().join("data/seen"), "A").unwrap();
    let open = "(drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 100) (i32.const 9) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 40)))";
    for (init, why) in [
        (open, "descriptors open"),
        ("(call $puts (i32.const 200) (i32.const 4))", "it wrote: cold"),
        ("(call $exit (i32.const 0))", "ended the program"),
        ("unreachable", "unreachable"),
    ] {
        dest.guest("snap", &snapshot_guest(RULES, init));
        dest.run(["--precompile", "/test/snap.wasm"]).assert_error(2, why);
        assert!(!dest.compiled().exists(), "nothing is kept");
    }
    dest.guest("snap", &snapshot_guest("warm-me up", ""));
    dest.run(["--precompile", "/test/snap.wasm"]).assert_error(2, "`warm-me up`");
}

#[test]
fn precompiling_says_what_is_wrong() {
    let dest = Dest::new();
    dest.run(["--precompile", "/test/none.wasm"]).assert_error(2, "`/test/none.wasm`");
    fs::write(dest.root().join("test/text"), "text").unwrap();
    dest.run(["--precompile", "/test/text"]).assert_error(2, "no valid WebAssembly module");
    fs::write(dest.compiled(), "in the way").unwrap();
    dest.guest("hello", &module(HELLO_DATA, HELLO));
    dest.run(["--precompile", "/test/hello.wasm"]).assert_error(3, "can't be");
}

fn code_cache(dest: &Dest) -> (PathBuf, String) {
    let folder = dest.path().join("cache");
    let text = folder.to_str().unwrap().to_owned();
    (folder, text)
}

fn cached(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn installations_share_what_was_compiled() {
    let dest = snapshot();
    let (folder, cache) = code_cache(&dest);
    dest.run(["--precompile", "--code-cache", &cache, "/test/snap.wasm"]).assert(0, "");
    let first: Vec<_> = cached(&folder).iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    // The module that makes the snapshot, and the snapshot; the module itself was compiled by this
    // installation before.
    assert_eq!(first.len(), 2);
    // Nothing new is compiled for another installation of the same but the module itself.
    let other = Dest::new();
    fs::copy(dest.root().join("test/snap.wasm"), other.root().join("test/snap.wasm")).unwrap();
    fs::create_dir(other.root().join("data")).unwrap();
    fs::copy(dest.root().join("data/seen"), other.root().join("data/seen")).unwrap();
    let log = other.run(["-v", "--precompile", "--code-cache", &cache, "/test/snap.wasm"]);
    log.assert(0, "");
    assert_eq!(cached(&folder).len(), 3);
    assert!(first.iter().all(|(path, bytes)| fs::read(path).unwrap() == *bytes));
    assert_eq!(other.run(["/test/snap.wasm"]).out, dest.run(["/test/snap.wasm"]).out);
}

/// Has code in the cache say that it is for another engine or processor, with a digest that is
/// right.
fn disguise(path: &Path, from: &[u8], to: &[u8]) {
    let mut code = fs::read(path).unwrap().split_off(blake3::OUT_LEN);
    let at = code.windows(from.len()).position(|bytes| bytes == from).unwrap();
    code[at..at + from.len()].copy_from_slice(to);
    fs::write(path, [blake3::hash(&code).as_bytes(), &code[..]].concat()).unwrap();
}

#[test]
fn code_of_another_engine_or_processor_is_not_run() {
    let dest = snapshot();
    let (folder, cache) = code_cache(&dest);
    let precompile = || {
        // What is refused leaves none.
        let _ = fs::remove_dir_all(dest.compiled());
        dest.run(["--precompile", "--code-cache", &cache, "/test/snap.wasm"])
    };
    precompile().assert(0, "");
    let files = cached(&folder);
    let whole: Vec<_> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    for (own, other) in [(&b"x86_64"[..], &b"i686__"[..]), (b"48\x18x86_64", b"47\x18x86_64")] {
        for (path, bytes) in files.iter().zip(&whole) {
            fs::write(path, bytes).unwrap();
            disguise(path, own, other);
        }
        let refused = precompile();
        refused.assert_error(2, "`/test/snap.wasm`");
        assert!(refused.err.contains("does not load"), "{refused:?}");
        // It is compiled for this run alone.
        let run = dest.run(["-v", "/test/snap.wasm"]);
        assert!(run.out.starts_with("cold ") && run.err.contains("no compiled code"), "{run:?}");
    }
    // A file that has another engine in its name is not looked at.
    for path in &files {
        let other = format!("{}0", path.display());
        fs::rename(path, other).unwrap();
    }
    precompile().assert(0, "");
    assert_eq!(files.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), whole);
}

#[test]
fn damaged_code_in_the_cache_is_compiled_anew() {
    let dest = snapshot();
    let (folder, cache) = code_cache(&dest);
    let compile = || {
        fs::remove_dir_all(dest.compiled()).unwrap();
        dest.run(["--precompile", "--code-cache", &cache, "/test/snap.wasm"]).assert(0, "");
    };
    compile();
    let whole: Vec<_> = cached(&folder).iter().map(|path| fs::read(path).unwrap()).collect();
    for path in cached(&folder) {
        flip_a_byte(&path);
    }
    compile();
    assert_eq!(cached(&folder).iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), whole);
    for path in cached(&folder) {
        fs::write(path, "short").unwrap();
    }
    compile();
    assert_eq!(cached(&folder).iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), whole);
}

#[test]
fn a_cache_that_others_can_write_is_refused() {
    let dest = snapshot();
    let (folder, cache) = code_cache(&dest);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o775)).unwrap();
    dest.run(["--precompile", "--code-cache", &cache, "/test/snap.wasm"]).assert_error(3, "others can write it");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    dest.run(["--precompile", "--code-cache", &cache, "/test/snap.wasm"]).assert(0, "");
    // A file that another user could have put there is not taken either: it is replaced.
    let planted = cached(&folder).remove(0);
    let whole = fs::read(&planted).unwrap();
    fs::write(&planted, "planted").unwrap();
    fs::set_permissions(&planted, fs::Permissions::from_mode(0o666)).unwrap();
    fs::remove_dir_all(dest.compiled()).unwrap();
    dest.run(["--precompile", "--code-cache", &cache, "/test/snap.wasm"]).assert(0, "");
    assert!(fs::read(&planted).unwrap() == whole);
}
