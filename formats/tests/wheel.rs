//! Wheels made here, good ones and hostile ones.

use std::io::{Cursor, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use build_graph::{Entry, RelPath};
use formats::archive::{BlobSource as _, MemoryBlobs};
use formats::python::wheel::{Layout, Wheel, WheelError, WheelLimits, unpack};
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const FILE: &str = "Some_thing-1.0-py3-none-any.whl";
const METADATA: &str = "Metadata-Version: 2.1\nName: some.thing\nVersion: 1.0\nRequires-Dist: other>=2\n";
const ABOUT: &str = "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n";

/// A wheel under construction.
struct Maker {
    file: &'static str,
    members: Vec<(String, Vec<u8>, u32)>,
    /// What is appended to the list of files.
    more_rows: String,
    /// Members that the list does not have.
    unlisted: Vec<String>,
}

impl Maker {
    fn new() -> Self {
        let mut maker = Self { file: FILE, members: Vec::new(), more_rows: String::new(), unlisted: Vec::new() };
        maker.with("some_thing-1.0.dist-info/METADATA", METADATA).with("some_thing-1.0.dist-info/WHEEL", ABOUT);
        maker.with("thing/__init__.py", "x = 1\n");
        maker
    }

    fn with(&mut self, path: &str, text: &str) -> &mut Self {
        self.with_mode(path, text.as_bytes(), 0o644)
    }

    fn with_mode(&mut self, path: &str, bytes: &[u8], mode: u32) -> &mut Self {
        self.members.retain(|(there, ..)| there != path);
        self.members.push((path.to_owned(), bytes.to_vec(), mode));
        self
    }

    fn record(&self) -> String {
        let mut record = String::new();
        for (path, bytes, _) in &self.members {
            if !self.unlisted.contains(path) && !path.ends_with('/') {
                let sum = URL_SAFE_NO_PAD.encode(Sha256::digest(bytes));
                let path = if path.contains(',') { format!("\"{path}\"") } else { path.clone() };
                record += &format!("{path},sha256={sum},{}\n", bytes.len());
            }
        }
        record + "some_thing-1.0.dist-info/RECORD,,\n" + &self.more_rows
    }

    fn bytes_with(&self, record: &str) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        for (path, bytes, mode) in &self.members {
            zip.start_file(path.as_str(), options.unix_permissions(*mode)).unwrap();
            zip.write_all(bytes).unwrap();
        }
        if !record.is_empty() {
            zip.start_file("some_thing-1.0.dist-info/RECORD", options).unwrap();
            zip.write_all(record.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes_with(&self.record())
    }

    fn unpack(&self) -> Result<(Wheel, MemoryBlobs), WheelError> {
        open(self.file, &self.bytes(), &WheelLimits::default())
    }

    fn refusal(&self) -> String {
        self.unpack().expect_err("it is refused").to_string()
    }
}

fn layout() -> Layout {
    let path = |text: &str| RelPath::new(text).unwrap();
    let (site, headers) = (path("lib/python3.13/site-packages"), path("include/python3.13"));
    Layout { site, headers, interpreter: "/python3/bin/python3".to_owned() }
}

fn open(file: &str, bytes: &[u8], limits: &WheelLimits) -> Result<(Wheel, MemoryBlobs), WheelError> {
    let blobs = MemoryBlobs::new();
    let wheel = unpack(file, Cursor::new(bytes), &layout(), limits, &blobs)?;
    Ok((wheel, blobs))
}

fn refusal_of(bytes: &[u8]) -> String {
    open(FILE, bytes, &WheelLimits::default()).expect_err("it is refused").to_string()
}

/// Replaces a text of the archive by another of the same length: in all places, or in the first
/// one.
fn replaced(bytes: &[u8], from: &str, to: &str, all: bool) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<_> = bytes.windows(from.len()).enumerate().filter(|(_, part)| *part == from.as_bytes()).collect();
    let places: Vec<_> = places.into_iter().map(|(at, _)| at).collect();
    assert!(places.len() >= 2, "a name stands in both directories");
    for at in places.into_iter().take(if all { usize::MAX } else { 1 }) {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

#[test]
fn a_wheel_with_all_that_a_wheel_may_have() {
    let mut maker = Maker::new();
    maker
        .with("thing/data,odd.txt", "x")
        .with("thing/__pycache__/__init__.cpython-313.pyc", "stale")
        .with("some_thing-1.0.data/purelib/more.py", "y = 2\n")
        .with("some_thing-1.0.data/scripts/run-it", "#!python\nprint(1)\n")
        .with("some_thing-1.0.data/scripts/run.sh", "#!/bin/sh\n")
        .with("some_thing-1.0.data/headers/thing.h", "int x;\n")
        .with("some_thing-1.0.data/data/share/thing/page.txt", "page\n")
        .with("some_thing-1.0.dist-info/entry_points.txt", "[console_scripts]\nthing = thing.cli:main\n")
        .with_mode("thing/tool.py", b"z", 0o755)
        .with("empty/", "");
    let (wheel, blobs) = maker.unpack().unwrap();
    assert_eq!(wheel.metadata.project.as_str(), "some-thing");
    assert_eq!(wheel.metadata.requires[0].to_string(), "other>=2");
    let text = |path: &str| {
        let entry = wheel.tree.get(path).unwrap_or_else(|| panic!("{path}"));
        (String::from_utf8(blobs.read(entry).unwrap()).unwrap(), matches!(entry, Entry::File { executable: true, .. }))
    };
    let site = "lib/python3.13/site-packages";
    let info = format!("{site}/some_thing-1.0.dist-info");
    let paths: Vec<_> = wheel.tree.iter().map(|(path, _)| path.as_str().replace(site, "SITE")).collect();
    assert_eq!(
        paths,
        [
            "bin/run-it",
            "bin/run.sh",
            "bin/thing",
            "include/python3.13/some-thing/thing.h",
            "SITE/more.py",
            "SITE/some_thing-1.0.dist-info/INSTALLER",
            "SITE/some_thing-1.0.dist-info/METADATA",
            "SITE/some_thing-1.0.dist-info/RECORD",
            "SITE/some_thing-1.0.dist-info/WHEEL",
            "SITE/some_thing-1.0.dist-info/entry_points.txt",
            "SITE/thing/__init__.py",
            "SITE/thing/data,odd.txt",
            "SITE/thing/tool.py",
            "share/thing/page.txt"
        ]
    );
    assert_eq!(text("bin/run-it"), ("#!/python3/bin/python3\nprint(1)\n".to_owned(), true));
    assert_eq!(text("bin/run.sh"), ("#!/bin/sh\n".to_owned(), true));
    assert!(text("bin/thing").0.ends_with("from thing.cli import main\nsys.exit(main())\n"));
    assert_eq!(text(&format!("{site}/thing/tool.py")), ("z".to_owned(), true));
    assert_eq!(text(&format!("{info}/INSTALLER")).0, "pynbox-build\n");
    // The list that programs in the sandbox read, and that another tool could verify.
    let record = text(&format!("{info}/RECORD")).0;
    let rows = formats::python::record::parse(record.replace("../", "").as_bytes()).unwrap();
    assert_eq!(rows.len(), wheel.tree.len());
    assert!(record.contains("\n\"thing/data,odd.txt\",sha256="), "{record}");
    assert!(record.contains("../../../bin/run-it,sha256=") && record.contains("dist-info/RECORD,,\n"), "{record}");
    // The same bytes, the same tree.
    assert_eq!(maker.unpack().unwrap().0, wheel);
}

#[test]
fn files_and_their_list_agree() {
    let mut maker = Maker::new();
    maker.unlisted.push("thing/__init__.py".to_owned());
    assert_eq!(maker.refusal(), "`thing/__init__.py` in the wheel is refused: `RECORD` does not list it");

    let mut maker = Maker::new();
    maker.more_rows = format!("thing/gone.py,sha256={},1\n", URL_SAFE_NO_PAD.encode([0; 32]));
    assert!(
        maker.refusal().contains("`thing/gone.py` in the wheel is refused: `RECORD` lists it, and it is not there")
    );

    let mut maker = Maker::new();
    maker.more_rows = "thing/__init__.py,,\n".to_owned();
    assert!(maker.refusal().contains("listed twice"), "{}", maker.refusal());

    let maker = Maker::new();
    let sum = URL_SAFE_NO_PAD.encode(Sha256::digest("x = 1\n"));
    let with = |from: &str, to: &str| {
        let record = maker.record();
        assert!(record.contains(from), "{record}");
        refusal_of(&maker.bytes_with(&record.replace(from, to)))
    };
    assert!(with(&sum, &URL_SAFE_NO_PAD.encode([7; 32])).contains("its bytes are not those that `RECORD` lists"));
    assert!(with(&format!("sha256={sum},6"), &format!("sha256={sum},7")).contains("another size"));
    assert!(with(&format!("sha256={sum},6"), ",").contains("`RECORD` has no hash of it"));
    assert!(with(&format!("sha256={sum},6"), "md5=AAAA,6").contains("no hash by SHA-256"));
    assert!(refusal_of(&maker.bytes_with("")).contains("no file `some_thing-1.0.dist-info/RECORD`"));
}

#[test]
fn names_agree() {
    let with = |path: &str, text: &str| {
        let mut maker = Maker::new();
        maker.with(path, text);
        maker.refusal()
    };
    let info = "some_thing-1.0.dist-info";
    assert!(
        with(&format!("{info}/METADATA"), &METADATA.replace("some.thing", "other")).contains("it is of `other 1.0`")
    );
    assert!(with(&format!("{info}/METADATA"), &METADATA.replace("1.0", "1.1")).contains("it is of `some-thing 1.1`"));
    assert!(with(&format!("{info}/WHEEL"), &ABOUT.replace("true", "false")).contains("has native code"));
    assert!(with(&format!("{info}/WHEEL"), &ABOUT.replace("py3", "py2")).contains("it has other tags"));
    assert!(with(&format!("{info}/WHEEL"), &ABOUT.replace("1.0", "2.0")).contains("not known"));
    assert!(with("other-1.0.dist-info/METADATA", METADATA).contains("belongs to another project or version"));
    assert!(with("some_thing-1.1.dist-info/METADATA", METADATA).contains("belongs to another project or version"));
    assert!(with("Some_thing-1.0.dist-info/METADATA", METADATA).contains("too"));
    assert!(with("some_thing-1.0.data/lib/x.py", "").contains("its scheme, `lib`, is not known"));
    assert!(with("some_thing-1.0.data/scripts/a/b", "").contains("a script lies in a folder"));
    assert!(with("some_thing-1.0.data/purelib/thing/__init__.py", "").contains("the wheel puts two files there"));
    let evil = "[console_scripts]\n../../bin/run = os:system\n";
    assert!(with(&format!("{info}/entry_points.txt"), evil).contains("is no program's entry point"));

    let mut maker = Maker::new();
    maker.file = "other-1.0-py3-none-any.whl";
    assert!(maker.refusal().contains("belongs to another project"), "{}", maker.refusal());
    maker.file = "some_thing-1.0-cp313-cp313-linux_x86_64.whl";
    assert!(maker.refusal().contains("has native code"));
    maker.file = "some_thing-1.0.tar.gz";
    assert!(maker.refusal().contains("is no name of a wheel"));
}

#[test]
fn hostile_paths() {
    let mut maker = Maker::new();
    maker.with("xx/evil.py", "");
    let bytes = maker.bytes();
    for (name, said) in [
        ("../evil.py", "`../evil.py`"),
        ("xx//vil.py", "xx//vil.py"),
        ("xx/./il.py", "xx/./il.py"),
        ("/x/evil.py", "/x/evil.py"),
        ("xx\\evil.py", "backslash"),
        ("xx/evi\u{1b}.py", "control character"),
        ("xx/evi\0.py", "control character"),
    ] {
        let refusal = refusal_of(&replaced(&bytes, "xx/evil.py", name, true));
        assert!(refusal.contains(said) && !refusal.contains('\u{1b}'), "{name:?}: {refusal}");
    }
    // One name for whoever reads from the beginning, another for whoever reads the directory.
    let refusal = refusal_of(&replaced(&bytes, "xx/evil.py", "xx/good.py", false));
    assert!(refusal.contains("begins with another name"), "{refusal}");

    let mut maker = Maker::new();
    maker.with("xx/evil.py", "").with("xx/eviL.py", "");
    assert!(maker.refusal().contains("too"), "{}", maker.refusal());
    let refusal = refusal_of(&replaced(&maker.bytes(), "xx/eviL.py", "xx/evil.py", true));
    assert!(refusal.contains("name") || refusal.contains("damaged"), "{refusal}");
    let mut maker = Maker::new();
    maker.with("xx/evil.py", "").with("XX/other.py", "");
    assert!(maker.refusal().contains("too"), "{}", maker.refusal());
    // Root files beside a folder of the same name.
    let mut maker = Maker::new();
    maker.with("some_thing-1.0.data/data/lib/python3.13/site-packages/thing", "");
    assert!(maker.unpack().is_err());
}

#[test]
fn what_is_no_file() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("thing", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let refusal = refusal_of(&zip.finish().unwrap().into_inner());
    assert!(refusal.contains("a link or another special file"), "{refusal}");
}

#[test]
fn bombs() {
    // Far more than the archive has, by what its directory says.
    let mut maker = Maker::new();
    let zeros = vec![0; 3 << 20];
    maker.with_mode("thing/bomb", &zeros, 0o644);
    let small = WheelLimits { small: 1 << 20, ratio: 50, ..WheelLimits::default() };
    let bytes = maker.bytes();
    assert!(bytes.len() < 8 << 10);
    let error = open(FILE, &bytes, &small).err().unwrap().to_string();
    assert!(error.contains("the wheel holds more than 1048576 bytes"), "{error}");
    assert!(open(FILE, &bytes, &WheelLimits::default()).is_ok());
    // Its directory lies.
    let lie = |size: u32| {
        let mut bytes = bytes.clone();
        let wanted = (3u32 << 20).to_le_bytes();
        let places: Vec<_> = (0..bytes.len() - 4).filter(|at| bytes[*at..*at + 4] == wanted).collect();
        assert!(!places.is_empty());
        for at in places {
            bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
        }
        bytes
    };
    let blobs = MemoryBlobs::new();
    let error = unpack(FILE, Cursor::new(lie(10)), &layout(), &small, &blobs).unwrap_err().to_string();
    assert!(error.contains("another size"), "{error}");
    // Members that share their bytes.
    let mut maker = Maker::new();
    maker.with("thing/aa.py", "same").with("thing/bb.py", "same");
    let mut bytes = maker.bytes();
    let central: Vec<_> =
        bytes.windows(4).enumerate().filter(|(_, part)| *part == b"PK\x01\x02").map(|(at, _)| at).collect();
    let [.., first, second, _] = central[..] else { panic!("{central:?}") };
    let offset: [u8; 4] = bytes[first + 42..first + 46].try_into().unwrap();
    bytes[second + 42..second + 46].copy_from_slice(&offset);
    assert!(refusal_of(&bytes).contains("share bytes"), "{}", refusal_of(&bytes));
    // Many files, long descriptions.
    let few = WheelLimits { members: 3, ..WheelLimits::default() };
    assert!(open(FILE, &Maker::new().bytes(), &few).err().unwrap().to_string().contains("more than 3 files"));
    let short = WheelLimits { text: 20, ..WheelLimits::default() };
    assert!(open(FILE, &Maker::new().bytes(), &short).err().unwrap().to_string().contains("file of its description"));
}

#[test]
fn archives_that_are_none() {
    let bytes = Maker::new().bytes();
    let refusal = refusal_of(&[b"#!/bin/sh\n".as_slice(), &bytes].concat());
    assert!(refusal.contains("before the archive") || refusal.contains("damaged"), "{refusal}");
    for end in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        assert!(open(FILE, &bytes[..end], &WheelLimits::default()).is_err(), "{end}");
    }
    // Every byte that is not one of times and attributes is watched over by something.
    let (wheel, _) = open(FILE, &bytes, &WheelLimits::default()).unwrap();
    for at in (0..bytes.len()).step_by(3) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x41;
        if let Ok((other, _)) = open(FILE, &changed, &WheelLimits::default()) {
            let plain = |wheel: &Wheel| {
                wheel
                    .tree
                    .iter()
                    .map(|(path, entry)| {
                        (
                            path.clone(),
                            match entry {
                                Entry::File { digest, size, .. } => (*digest, *size),
                                other => panic!("{other:?}"),
                            },
                        )
                    })
                    .collect::<Vec<_>>()
            };
            assert_eq!(plain(&other), plain(&wheel), "byte {at}");
        }
    }
}
