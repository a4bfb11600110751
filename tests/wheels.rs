//! Packages from files of requirements: an index on loopback, what is chosen of it, and what is
//! said where nothing can be. What the packages do in the sandbox is another test's
//! (`python3_wheels`).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use build_graph::node::Target;
use pynbox_build::install::verify::verify;
use pynbox_build::install::{Destination, Installed, Outcome};
use pynbox_build::python::names::{ProjectName, version_of};
use pynbox_build::report::{Reporter, Transfer};
use pynbox_build::source::{FetchSettings, Fetcher};
use pynbox_build::store::Store;
use pynbox_build::wheels::archive::{is_kept, make};
use pynbox_build::wheels::resolve::{Chosen, Context, resolve};
use pynbox_build::wheels::{Place, WheelsError, requirements};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use testing::scripted::{Server, answer};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The bytes of a wheel `NAME-VERSION-py3-none-any.whl` with one module, and further lines of
/// metadata.
fn wheel(name: &str, version: &str, metadata: &str) -> Vec<u8> {
    let info = format!("{name}-{version}.dist-info");
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut record = String::new();
    for (path, text) in [
        (format!("{name}.py"), format!("NAME = '{name}'\n")),
        (format!("{info}/METADATA"), format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}")),
        (format!("{info}/WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned()),
    ] {
        zip.start_file(path.as_str(), SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
        record += &format!("{path},sha256={},{}\n", URL_SAFE_NO_PAD.encode(Sha256::digest(&text)), text.len());
    }
    zip.start_file(format!("{info}/RECORD"), SimpleFileOptions::default()).unwrap();
    zip.write_all(format!("{record}{info}/RECORD,,\n").as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Remembers what is said.
#[derive(Default)]
struct Listener(std::sync::Mutex<Vec<String>>);

impl Reporter for Listener {
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }

    fn note(&self, message: &str) {
        self.warn(message);
    }

    fn transfer(&self, _name: &str, _transfer: Transfer<'_>) {}
}

/// An index with these files, and who asks it.
struct Space {
    folder: TempDir,
    server: Server,
    store: Store,
    sums: BTreeMap<String, String>,
    provided: BTreeMap<ProjectName, pep440_rs::Version>,
    listener: Listener,
    offline: bool,
}

impl Space {
    fn new(files: Vec<(&str, Vec<u8>)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let sums = files.iter().map(|(name, bytes)| ((*name).to_owned(), sum(bytes))).collect();
        let files: BTreeMap<String, Vec<u8>> =
            files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        let server = Server::start(move |request, _, stream| {
            if let Some(bytes) = request.path.strip_prefix("/files/").and_then(|name| files.get(name)) {
                return answer(stream, 200, &[], bytes);
            }
            let project = request.path.trim_start_matches("/simple/").trim_end_matches('/').to_owned();
            let of = |name: &str| name.split('-').next().unwrap_or_default().replace('_', "-") == project;
            let links: Vec<_> = files
                .iter()
                .filter(|(name, _)| of(name))
                .map(|(name, bytes)| {
                    let sha256 = sum(bytes);
                    format!(r#"{{"filename": "{name}", "url": "/files/{name}", "hashes": {{"sha256": "{sha256}"}}}}"#)
                })
                .collect();
            let page = format!(r#"{{"files": [{}]}}"#, links.join(","));
            let status = if links.is_empty() { 404 } else { 200 };
            answer(stream, status, &["Content-Type: application/vnd.pypi.simple.v1+json"], page.as_bytes())
        });
        let (provided, listener) = (BTreeMap::new(), Listener::default());
        Self { folder, server, store, sums, provided, listener, offline: false }
    }

    /// A line for a file of the index, such as `a==1 --hash=…`.
    fn line(&self, requirement: &str, files: &[&str]) -> String {
        let hashes: String = files.iter().map(|file| format!(" \\\n    --hash=sha256:{}", self.sums[*file])).collect();
        format!("{requirement}{hashes}\n")
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn resolve(&self, text: &str) -> Result<Vec<Chosen>, WheelsError> {
        let asked = requirements::read(&[self.file("requirements.txt", text)], &self.listener)?;
        let place = Place::of("3.13.5")?;
        let packages = |name: &str| (name == "python3-native").then(|| "2.0".to_owned());
        let mut settings = FetchSettings::new(self.folder.path().join("partials"));
        settings.pypi_index = Some(self.server.url("/simple"));
        settings.offline = self.offline;
        settings.pause = Duration::from_millis(10);
        let fetcher = Fetcher::new(settings);
        let context = Context {
            place: &place,
            provided: &self.provided,
            packages: &packages,
            fetcher: &fetcher,
            store: &self.store,
            reporter: &self.listener,
        };
        resolve(&context, &asked)
    }

    fn refusal(&self, text: &str) -> String {
        let error = self.resolve(text).expect_err("it is refused").to_string();
        error.replace(self.folder.path().to_str().unwrap(), "")
    }

    fn provide(&mut self, project: &str, version: &str) {
        self.provided.insert(ProjectName::new(project).unwrap(), version_of(version).unwrap());
    }
}

const A: &str = "a-1.0-py3-none-any.whl";
const B: &str = "b-2.0-py3-none-any.whl";

/// `a` needs `b`, and with its extra `c`.
fn space() -> Space {
    let needs = "Requires-Python: >=3.8\nProvides-Extra: more\nRequires-Dist: b>=2,<3\n\
                 Requires-Dist: win; sys_platform == 'win32'\nRequires-Dist: c; extra == 'more'\n";
    Space::new(vec![
        (A, wheel("a", "1.0", needs)),
        ("a-1.0.tar.gz", b"source".to_vec()),
        (B, wheel("b", "2.0", "License-Expression: MIT\n")),
        ("b-3.0-py3-none-any.whl", wheel("b", "3.0", "")),
        ("c-1.0-py3-none-any.whl", wheel("c", "1.0", "")),
        ("d-1.0-py3-none-any.whl", wheel("d", "1.0", "Requires-Dist: a[more]\n")),
        ("old-1.0-py3-none-any.whl", wheel("old", "1.0", "Requires-Python: <3.9\n")),
        ("two-1.0-py2-none-any.whl", b"two".to_vec()),
        ("native-2.0-cp313-cp313-manylinux_2_17_x86_64.whl", b"native".to_vec()),
        ("native-2.0.tar.gz", b"native".to_vec()),
        ("fast-1.0-cp313-cp313-manylinux_2_17_x86_64.whl", b"fast".to_vec()),
        ("sdist-1.0.tar.gz", b"sdist".to_vec()),
    ])
}

#[test]
fn wheels_become_packages_like_any_other() {
    let mut space = space();
    let text = space.line("a==1.0", &[A, "a-1.0.tar.gz"])
        + &space.line("b==2.0", &[B])
        + "win==1 ; sys_platform == 'win32' --hash=sha256:00\n".replace("00", &"0".repeat(64)).as_str();
    let chosen = space.resolve(&text).unwrap();
    let names: Vec<_> = chosen.iter().map(|chosen| (chosen.project.as_str(), chosen.needs.len())).collect();
    assert_eq!(names, [("a", 1), ("b", 0)]);

    let (place, target) = (Place::of("3.13.5").unwrap(), Target("wasm32-wasi".into()));
    let dest = space.folder.path().join("dest");
    let destination = Destination::open(&dest).unwrap();
    let install = |chosen: &[Chosen], expected: Outcome| {
        let mut transaction = destination.begin().unwrap();
        for one in chosen {
            let package = make(&space.store, &place, one, &target, None, None).unwrap();
            assert!(is_kept(&space.store, one, &target, None));
            assert_eq!(transaction.add(&package.name, File::open(package.path).unwrap()).unwrap(), expected);
        }
        transaction.commit("install -r requirements.txt", [], |_| Ok(())).unwrap()
    };
    assert_eq!(install(&chosen, Outcome::Installed), Some(1));
    // The same again changes nothing.
    assert_eq!(install(&chosen, Outcome::Present), None);
    let installed = Installed::find(&dest).unwrap().unwrap();
    let receipts = installed.current.receipts().unwrap();
    let first = &receipts[0];
    assert_eq!((first.name.as_str(), first.version.as_str()), ("python3-a", "1.0"));
    assert_eq!(first.requires, ["python3", "python3-b"]);
    let origin = first.wheel.as_ref().unwrap();
    assert_eq!((origin.file.as_str(), origin.sha256.to_string()), (A, space.sums[A].clone()));
    let site = dest.join("root/python3/lib/python3.13/site-packages");
    assert_eq!(fs::read_to_string(site.join("a.py")).unwrap(), "NAME = 'a'\n");
    assert!(verify(&dest, &installed.current, &[]).unwrap().differences.is_empty());
    // Damage is seen, and mended by the next install.
    let installed_site = installed.current.path.join("root/python3/lib/python3.13/site-packages");
    fs::remove_file(installed_site.join("b.py")).unwrap();
    assert_eq!(verify(&dest, &installed.current, &[]).unwrap().differences.len(), 1);
    assert_eq!(install(&chosen[1..], Outcome::Replaced), Some(2));
    // One goes, and comes back.
    let mut transaction = destination.begin().unwrap();
    transaction.remove("python3-b").unwrap();
    transaction.commit("uninstall", [], |_| Ok(())).unwrap();
    assert!(!site.join("b.py").exists() && site.join("a.py").exists());
    destination.rollback(Some(2)).unwrap();
    assert!(site.join("b.py").exists());

    // Without the network, from what is kept.
    space.offline = true;
    let asked = space.server.requests().len();
    assert_eq!(space.resolve(&text).unwrap().len(), 2);
    assert_eq!(space.server.requests().len(), asked);
    let refusal = space.refusal(&space.line("c==1.0", &["c-1.0-py3-none-any.whl"]));
    assert!(refusal.contains("no wheel of `c 1.0` is kept in the store, and `--offline`"), "{refusal}");
}

#[test]
fn what_is_kept_is_compared_with_its_hash() {
    let space = space();
    let line = space.line("b==2.0", &[B]);
    space.resolve(&line).unwrap();
    let kept = space.folder.path().join("store/wheels").join(&space.sums[B]).join(B);
    fs::write(&kept, b"changed").unwrap();
    assert_eq!(space.resolve(&line).unwrap().len(), 1);
    assert_eq!(sum(&fs::read(&kept).unwrap()), space.sums[B]);
}

#[test]
fn the_whole_closure_has_to_be_pinned() {
    let space = space();
    let a = |requirement: &str| space.line(requirement, &[A]);
    let refusal = space.refusal(&a("a==1.0"));
    assert!(refusal.starts_with("`/requirements.txt:1`: `a` needs `b>=2,<3`, and no line has it"), "{refusal}");
    let refusal = space.refusal(&(a("a==1.0") + &space.line("b==3.0", &["b-3.0-py3-none-any.whl"])));
    assert!(refusal.contains("`a` needs `b>=2,<3`, and 3.0 is pinned"), "{refusal}");
    let both = |requirement: &str| a(requirement) + &space.line("b==2.0", &[B]);
    assert_eq!(space.resolve(&both("a==1.0")).unwrap().len(), 2);
    // Extras that are asked for, and those that another wheel wants.
    let refusal = space.refusal(&both("a[More]==1.0"));
    assert!(refusal.contains("`a` needs `c`, and no line has it"), "{refusal}");
    let through = both("a==1.0") + &space.line("d==1.0", &["d-1.0-py3-none-any.whl"]);
    assert!(space.refusal(&through).contains("`a` needs `c`"), "{}", space.refusal(&through));
    let whole = through + &space.line("c==1.0", &["c-1.0-py3-none-any.whl"]);
    assert_eq!(space.resolve(&whole).unwrap().len(), 4);
}

#[test]
fn native_code_is_a_recipes() {
    let mut space = space();
    let zeros = "0".repeat(64);
    let line = |requirement: &str| format!("{requirement} --hash=sha256:{zeros}\n");
    let text = line("native==2.0") + &line("fast==1.0") + &line("sdist==1.0") + &line("native-x==1");
    let refusal = space.refusal(&text);
    let said: Vec<_> = refusal.lines().collect();
    // In the order of the projects, all at once.
    let [fast, native, nothing, .., sdist] = said[..] else { panic!("{refusal}") };
    assert!(fast.contains("`fast 1.0` has native code, and no wheel without it, and there is no package `python3-fast`: write a recipe"), "{refusal}");
    assert!(
        native.contains("`native 2.0` has native code") && native.contains("`install DEST python3-native -r FILE`"),
        "{refusal}"
    );
    assert!(nothing.contains("the index does not answer for `native-x`"), "{refusal}");
    assert!(sdist.contains("`sdist 1.0` has no wheel, only a source distribution"), "{refusal}");
    assert!(space.refusal(&line("native==1.0")).contains("the index has no file of `native 1.0`"));
    assert!(space.refusal(&line("two==1.0")).contains("is not for Python 3.13"));
    assert!(space.refusal(&line("b==2.0")).contains("whose hash is none of those of the line"));
    assert!(
        space
            .refusal(&space.line("old==1.0", &["old-1.0-py3-none-any.whl"]))
            .contains("`old` is not for Python 3.13.5")
    );

    // A package beside fulfils the line, if the versions agree.
    space.provide("native", "2.0");
    assert!(space.resolve(&line("native==2.0")).unwrap().is_empty());
    space.provide("native", "2.1");
    let refusal = space.refusal(&line("native==2.0"));
    assert!(refusal.contains("`native` is pinned as 2.0, and the package `python3-native` holds 2.1"), "{refusal}");
    // It also fulfils what a wheel needs.
    space.provide("b", "2.5");
    assert_eq!(space.resolve(&space.line("a==1.0", &[A])).unwrap().len(), 1);
}

#[test]
fn files_of_requirements() {
    let space = space();
    space.file("more/b.txt", &(space.line("b==2.0", &[B]) + "-r ../requirements.txt\n"));
    let text = "-r more/b.txt\n--index-url https://example.org/simple\n".to_owned() + &space.line("a==1.0", &[A]);
    assert_eq!(space.resolve(&text).unwrap().len(), 2, "a circle is read once");
    let warnings = space.listener.0.lock().unwrap().join("\n");
    assert!(warnings.contains("requirements.txt:2`: `--index-url` is not followed"), "{warnings}");
    assert!(space.refusal("-r nothing.txt\n").contains("`/nothing.txt`: No such file"));
    assert!(space.refusal("a==1.0\nb>=2\n").contains("`/requirements.txt:1`: `a==1.0` has no `--hash=sha256:…`"));
    let refusal = space.refusal("-e .\n./x\n");
    assert!(
        refusal.contains("line 1: `-e` installs a folder") && refusal.contains("line 2: `./x` is a file"),
        "{refusal}"
    );
    let twice = space.line("b==2.0", &[B]) + &space.line("B==3.0", &["b-3.0-py3-none-any.whl"]);
    assert!(space.refusal(&twice).contains("`b` is pinned at `/requirements.txt:1`, too"), "{}", space.refusal(&twice));
    assert_eq!(space.resolve(&(space.line("b==2.0", &[B]) + &space.line("B==2.0", &[B]))).unwrap().len(), 1);
}

/// The index may send what it likes.
#[test]
fn an_index_that_lies() {
    let space = space();
    let evil = wheel("b", "2.0", "");
    let server = Server::start(move |request, _, stream| match request.path.as_str() {
        "/simple/b/" => {
            let page = r#"{"files": [{"filename": "../../evil-1.0-py3-none-any.whl", "url": "/x", "hashes": {}},
                {"filename": "b-2.0-1/../../../x-py3-none-any.whl", "url": "/x", "hashes": {}},
                {"filename": "b-2.0-py3-none-any.whl", "url": "/x", "hashes": {"sha256": "SUM"}}]}"#;
            let page = page.replace("SUM", &sum(b"what was pinned"));
            answer(stream, 200, &["Content-Type: application/vnd.pypi.simple.v1+json"], page.as_bytes())
        }
        _ => answer(stream, 200, &[], &evil),
    });
    let space = Space { server, ..space };
    let error = space.resolve(&format!("b==2.0 --hash=sha256:{}\n", sum(b"what was pinned"))).unwrap_err().to_string();
    assert!(error.contains("its checksum is wrong"), "{error}");
    assert!(space.refusal(&space.line("b==2.0", &[B])).contains("whose hash is none of those"));
}
