//! Restoring 600 files of 100 KB into a clean checkout from every kind of remote on loopback,
//! beside `cp -a` and, where it is installed (`apt-get install nix-bin`), beside Nix from a
//! `file://` cache with and without compression. Each starts with an empty store. Prints
//! milliseconds, the best and the middle of seven, which are taken in turns.
//!
//! The files are a third noise, which does not compress, as programs are. nginx and s3s-fs have to
//! be there; buildbox-casd is taken from `PYNBOX_TEST_BUILDBOX`.
//!
//!     cargo bench --bench remote_restore [-- NAME]
//!
//! With a NAME, only the cases whose names hold it are measured. `PYNBOX_BENCH_DIR` says where the
//! files lie; in memory (`/dev/shm`), the disk has no say.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use build_graph::NodeKey;
use pynbox_build::remote::caches::{Caches, Outgoing};
use pynbox_build::remote::settings::{RemoteSettings, Role, TrustSettings, TrustedKey};
use pynbox_build::remote::trust::{Trust, generate, public_text};
use pynbox_build::store::{Materialise, Origin, Store, Taking};
use testing::{engines, web};

const FILES: u32 = 600;
const SIZE: usize = 100_000;
const ROUNDS: usize = 7;

fn main() {
    let parent = std::env::var_os("PYNBOX_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(parent).expect("a folder");
    let bench = Bench { folder: folder.path().to_owned() };
    bench.make_files();
    let bench = &bench;
    let known = bench.key();
    fs::create_dir(bench.at("shared")).expect("a folder");
    let nginx = web::nginx(&bench.at("nginx"));
    let s3 = web::s3(&bench.at("s3"));
    let casd = std::env::var_os("PYNBOX_TEST_BUILDBOX").map(|_| engines::casd());
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| chosen.as_ref().is_none_or(|chosen| name.contains(chosen));
    let web = format!("http://127.0.0.1:{}", nginx.port);
    let mut remotes = vec![
        ("a folder", bench.at("shared").display().to_string(), None),
        ("nginx", web.clone(), None),
        ("s3s-fs", "s3://KEY:SECRET@bucket/prefix".to_owned(), Some(format!("http://127.0.0.1:{}", s3.port))),
    ];
    remotes.extend(casd.as_ref().map(|casd| ("buildbox-casd", casd.endpoint.url.clone(), None)));
    let mut cases = vec![("cp -a".to_owned(), bench.copy())];
    for (name, url, endpoint) in remotes.into_iter().filter(|(name, ..)| wanted(name)) {
        cases.push((name.to_owned(), bench.restore(&known, &url, endpoint)));
    }
    if Command::new("nix").arg("--version").stdout(Stdio::null()).status().is_ok() {
        let served = bench.at("nginx").join("files");
        for compression in ["none", "zstd", "xz"] {
            for (place, served) in [("file://", None), ("nginx", Some((&*served, &*web)))] {
                let name = format!("nix copy from {place}, compression {compression}");
                if wanted(&name) {
                    cases.push((name, bench.nix(compression, served)));
                }
            }
        }
    } else {
        println!("nix is not installed");
    }
    // In turns, so that what else the machine does is the same for all.
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, case), times) in cases.iter().zip(&mut times) {
            bench.clear(&["reader", "out", "nix-second", "nix-home"]);
            let start = Instant::now();
            (case.run)();
            times.push(start.elapsed().as_secs_f64() * 1000.0);
            bench.count(&case.out);
        }
    }
    println!("{:<48}{:>8}{:>8}", "600 files of 100 KB", "best", "middle");
    for ((name, _), mut times) in cases.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        println!("{:<48}{:8.0}{:8.0}", name, times[0], times[ROUNDS / 2]);
    }
}

/// One way to get the files.
struct Case<'a> {
    /// Where they are then.
    out: PathBuf,
    run: Box<dyn Fn() + 'a>,
}

struct Bench {
    folder: PathBuf,
}

impl Bench {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn clear(&self, names: &[&str]) {
        for name in names {
            // Nix takes away the right to write.
            let _ = Command::new("chmod").arg("-R").arg("u+w").arg(self.at(name)).stderr(Stdio::null()).status();
            let _ = fs::remove_dir_all(self.at(name));
        }
    }

    fn make_files(&self) {
        fs::create_dir(self.at("files")).expect("a folder");
        for number in 0..FILES {
            let mut bytes = vec![0; SIZE];
            blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
            for (at, byte) in bytes.iter_mut().enumerate().filter(|(at, _)| at % 100 >= 33) {
                *byte = (at % 100) as u8;
            }
            fs::write(self.at("files").join(number.to_string()), bytes).expect("a file");
        }
    }

    /// A key to sign with, in a file, and what its readers trust.
    fn key(&self) -> (PathBuf, TrustedKey) {
        let path = self.at("key.pem");
        let key = public_text(&generate(&path).expect("a key").verifying_key());
        (path, TrustedKey { key, from: None, until: None })
    }

    /// All files have to be there.
    fn count(&self, out: &Path) {
        assert_eq!(fs::read_dir(out).expect("a folder").count(), FILES as usize);
    }

    fn copy(&self) -> Case<'_> {
        let (from, out) = (self.at("files"), self.at("out"));
        let to = out.clone();
        Case { out, run: Box::new(move || run(Command::new("cp").arg("-a").arg(&from).arg(&to))) }
    }

    /// Puts the files on a remote; a machine then gets them from it: opens all, asks for the key,
    /// fetches, checks out.
    fn restore(&self, (pem, trusted): &(PathBuf, TrustedKey), url: &str, endpoint: Option<String>) -> Case<'_> {
        let remote = RemoteSettings::parse(&format!("bench={url}")).expect("a remote");
        let remote = RemoteSettings { endpoint, timeout: 60, ..remote };
        let key = NodeKey::from_bytes([7; 32]);
        {
            let store = Store::open(&self.at("writer")).expect("a store");
            let tree = Arc::new(store.ingest(&self.at("files"), Taking::Copy).expect("files"));
            let writing = RemoteSettings { role: Role::ReadWrite, ..remote.clone() };
            let trust = Trust::new(&TrustSettings::default(), Some(pem)).expect("a key");
            let caches = Caches::open(vec![writing], trust, Path::new("/"), &store).expect("a remote");
            let outgoing = Outgoing { key, tree: Arc::clone(&tree), origin: Origin::Here, with_bytes: true };
            assert_eq!(caches.push(&store, &[outgoing]).expect("a store").0, 1, "{url} takes it");
        }
        self.clear(&["writer"]);
        let trusted = trusted.clone();
        let get = move || {
            let store = Store::open(&self.at("reader")).expect("a store");
            let trust = TrustSettings { key: vec![trusted.clone()], ..TrustSettings::default() };
            let trust = Trust::new(&trust, None).expect("a key");
            let caches = Caches::open(vec![remote.clone()], trust, Path::new("/"), &store).expect("a remote");
            let hit = caches.look_up_one(key).expect("a result");
            let digest = store.put_tree(&hit.tree).expect("a tree");
            let missing = store.missing(&hit.tree).expect("a store");
            assert_eq!(missing.len(), FILES as usize);
            assert_eq!(caches.fetch(&store, key, digest, &missing).expect("a store"), missing.len());
            store.materialise(&hit.tree, &self.at("out"), Materialise::Link).expect("a checkout");
        };
        Case { out: self.at("out"), run: Box::new(get) }
    }

    /// The same by Nix: copies a store path from a binary cache into an empty store. The cache is a
    /// folder, or a folder and the web server that has it.
    fn nix(&self, compression: &str, served: Option<(&Path, &str)>) -> Case<'_> {
        // A chroot store keeps /nix/store as the name of what it holds, so that one cache serves
        // all.
        let [first, second, home] =
            ["nix-first", "nix-second", "nix-home"].map(|name| self.at(name).display().to_string());
        let nix = move |arguments: &[&str]| {
            let mut command = Command::new("nix");
            command.args(["--extra-experimental-features", "nix-command", "--option", "require-sigs", "false"]);
            command.args(["--option", "build-users-group", "", "--option", "substitute", "false"]);
            command.args(arguments).env("HOME", &home).stderr(Stdio::null());
            command
        };
        let output = nix(&["store", "add-path", "--store", &first]).arg(self.at("files")).output();
        let path = String::from_utf8(output.expect("nix").stdout).expect("a path").trim().to_owned();
        let name = format!("nix-{compression}");
        let folder = served.map_or(self.at(&name), |(folder, _)| folder.join(&name));
        let folder = format!("file://{}", folder.display());
        run(&mut nix(&["copy", "--from", &first, "--to", &format!("{folder}?compression={compression}"), &path]));
        let cache = served.map_or(folder, |(_, url)| format!("{url}/{name}"));
        let out = self.at("nix-second").join(path.trim_start_matches('/'));
        let get = move || run(&mut nix(&["copy", "--no-check-sigs", "--from", &cache, "--to", &second, &path]));
        Case { out, run: Box::new(get) }
    }
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("a program that starts");
    assert!(status.success(), "{command:?}");
}
