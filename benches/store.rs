//! The store beside its references, in one run: 600 files of 100 KB by link (`cp -al`), by copy
//! (`cp -a`), and hashing (`b3sum`, where it is in `PATH`). Prints milliseconds, the best of nine.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use build_graph::{NodeKey, RelPath, Tree};
use pynbox_build::store::{Materialise, Store, Taking};

const FILES: u32 = 600;
const SIZE: usize = 100_000;
const ROUNDS: u32 = 9;

fn main() {
    let parent = std::env::var_os("PYNBOX_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(parent).unwrap();
    let at = |name: &str| dir.path().join(name);
    let store = Store::open(&at("store")).unwrap();
    fs::create_dir(at("files")).unwrap();
    let mut noise = 1_u64;
    let mut bytes = |length: usize| -> Vec<u8> {
        let mut next = || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise as u8
        };
        (0..length).map(|_| next()).collect()
    };
    for number in 0..FILES {
        fs::write(at("files").join(number.to_string()), bytes(SIZE)).unwrap();
    }
    fs::write(at("large"), bytes(100 << 20)).unwrap();

    let fresh = best(
        || drop(fs::remove_dir_all(at("fresh"))),
        || {
            Store::open(&at("fresh")).unwrap().ingest(&at("files"), Taking::Copy).unwrap();
        },
    );
    println!("ingest into an empty store, copying        {fresh:8.1}");
    let moved = best(
        || {
            let _ = fs::remove_dir_all(at("fresh"));
            let _ = fs::remove_dir_all(at("work"));
            run("cp", &["-r"], &[&at("files"), &at("work")]);
        },
        || {
            Store::open(&at("fresh")).unwrap().ingest(&at("work"), Taking::Move).unwrap();
        },
    );
    println!("ingest into an empty store, moving         {moved:8.1}");
    let mut tree = Tree::new();
    let known = best(|| {}, || tree = store.ingest(&at("files"), Taking::Copy).unwrap());
    println!("ingest what is known                       {known:8.1}");
    let list: Vec<_> = (0..FILES).map(|number| at("files").join(number.to_string())).collect();
    let list: Vec<&Path> = list.iter().map(AsRef::as_ref).collect();
    let has_b3sum = Command::new("b3sum").arg("--version").stdout(Stdio::null()).status().is_ok();
    if has_b3sum {
        println!("  b3sum                                    {:8.1}", best(|| {}, || run("b3sum", &[], &list)));
    }
    let large = best(|| {}, || drop(store.put_file(&at("large"), false).unwrap()));
    println!("put a known file of 100 MiB                {large:8.1}");
    if has_b3sum {
        println!(
            "  b3sum                                    {:8.1}",
            best(|| {}, || run("b3sum", &[], &[&at("large")]))
        );
    }

    let out = at("out");
    let clear = || drop(fs::remove_dir_all(at("out")));
    let link = best(clear, || store.materialise(&tree, &out, Materialise::Link).unwrap());
    println!("materialise by link                        {link:8.1}");
    println!(
        "  cp -al                                   {:8.1}",
        best(clear, || run("cp", &["-al"], &[&at("files"), &out]))
    );
    let copy = best(clear, || store.materialise(&tree, &out, Materialise::Copy).unwrap());
    println!("materialise by copy                        {copy:8.1}");
    println!(
        "  cp -a                                    {:8.1}",
        best(clear, || run("cp", &["-a"], &[&at("files"), &out]))
    );

    let mut keys = Vec::new();
    let mut round = 0;
    let record = best(
        || {},
        || {
            round += 1;
            keys.clear();
            for (path, entry) in tree.iter() {
                let key = NodeKey::from_bytes(*blake3::hash(format!("{round} {path}").as_bytes()).as_bytes());
                let mut one = Tree::new();
                one.insert(RelPath::new(format!("{round}")).unwrap(), entry.clone()).unwrap();
                let digest = store.put_tree(&one).unwrap();
                store.record(key, digest, &[path.to_string()]).unwrap();
                keys.push(key);
            }
        },
    );
    println!("store 600 trees and record them            {record:8.1}");
    let look = best(
        || {},
        || {
            let store = Store::open(&at("store")).unwrap();
            for key in &keys {
                assert!(store.whole_result(*key).unwrap().is_some());
            }
        },
    );
    println!("open, look 600 whole results up            {look:8.1}");
    println!(
        "open                                       {:8.1}",
        best(|| {}, || drop(Store::open(&at("store")).unwrap()))
    );
    println!("missing, 600 files                         {:8.1}", best(|| {}, || drop(store.missing(&tree).unwrap())));
}

fn best(mut before: impl FnMut(), mut run: impl FnMut()) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        before();
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64() * 1000.0
    });
    times.fold(f64::INFINITY, f64::min)
}

fn run(program: &str, options: &[&str], paths: &[&Path]) {
    let status = Command::new(program).args(options).args(paths).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{program}");
}
