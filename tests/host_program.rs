//! Programs that cargo builds for the host: what a build reads is in the key, and what the caller
//! has set is not in the result.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use build_graph::node::{HostProgram, Node, NodeName, Op, Selection};
use build_graph::{Projection, Tree};
use pynbox_build::build::compilers::Compilers;
use pynbox_build::build::host_program;
use pynbox_build::recipes;
use pynbox_build::store::{Store, Taking};
use tempfile::TempDir;
use testing::helper;

/// A program that takes every way: rustc, a build script, the C compiler, the assembler, an
/// archive, the linker.
const SOURCES: [(&str, &str); 6] = [
    (
        "Cargo.toml",
        "[workspace]\n[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2024\"\nbuild = \"build.rs\"\n\
         [features]\ndefault = [\"other\"]\nother = []\none = []\n[profile.release]\npanic = \"unwind\"\n",
    ),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"small\"\nversion = \"0.1.0\"\n"),
    (
        "build.rs",
        r#"use std::process::Command;
fn run(command: &mut Command) { assert!(command.status().unwrap().success(), "{command:?}"); }
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    run(Command::new("cc").args(["-c", "-O2", "c/part.c", "-o"]).arg(format!("{out}/part.o")));
    run(Command::new("cc").args(["-c", "c/other.S", "-o"]).arg(format!("{out}/other.o")));
    run(Command::new("ar").arg("crsD").args(["libpart.a", "part.o", "other.o"].map(|name| format!("{out}/{name}"))));
    println!("cargo::rustc-link-search=native={out}\ncargo::rustc-link-lib=static=part");
}
"#,
    ),
    (
        "c/part.c",
        "#include <stdint.h>\n#include <string.h>\nint32_t part(const char *text) { return (int32_t)strlen(text); }\n",
    ),
    ("c/other.S", ".globl other\nother: mov $7, %eax\nret\n.section .note.GNU-stack,\"\",@progbits\n"),
    (
        "src/main.rs",
        "unsafe extern \"C\" { safe fn other() -> i32; fn part(text: *const std::ffi::c_char) -> i32; }\n\
         fn main() { println!(\"{} {} {}\", other(), unsafe { part(c\"four\".as_ptr()) }, cfg!(feature = \"one\")); \
         assert!(std::env::args().len() < 9, \"{}\", file!()); }\n",
    ),
];

struct Space {
    folder: TempDir,
}

impl Space {
    fn new() -> Self {
        let space = Self { folder: tempfile::tempdir().unwrap() };
        for (name, text) in SOURCES {
            space.write(&format!("sources/{name}"), text);
        }
        for folder in ["above/project", "tools", "tmp"] {
            fs::create_dir_all(space.at(folder)).unwrap();
        }
        space
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A program that is found before the machine's of that name. In its text, `REAL` is the
    /// machine's.
    fn tool(&self, name: &str, text: &str) {
        let path = self.at("tools").join(name);
        fs::write(&path, text.replace("REAL", find(name).to_str().unwrap())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Builds the program in a process of its own with these variables, and gives what that
    /// printed.
    fn build(&self, variables: &[(&str, &str)]) -> Output {
        let mut inner = helper::command("build", self.folder.path());
        inner.current_dir(self.at("above/project"));
        let path = std::env::var("PATH").unwrap();
        inner.env("PATH", format!("{}:{path}", self.at("tools").display()));
        inner.env("TMPDIR", self.at("tmp")).envs(variables.iter().copied());
        inner.output().unwrap()
    }

    fn built(&self, variables: &[(&str, &str)]) -> Vec<u8> {
        let output = self.build(variables);
        assert!(output.status.success(), "{}", text(&output));
        let program = fs::read(self.at("program")).unwrap();
        fs::remove_file(self.at("program")).unwrap();
        program
    }

    fn store(&self) -> Store {
        Store::open(&self.at("above/store")).unwrap()
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("`{name}` is not in PATH; install it: `apt-get install {name}`"))
}

fn name() -> NodeName {
    "host/small".parse().unwrap()
}

fn program(toolchain: &str) -> HostProgram {
    let sources = Selection { node: "source/small".parse().unwrap(), part: Projection::all() };
    HostProgram { sources, binary: "small".into(), features: vec!["one".into()], toolchain: toolchain.into() }
}

fn sources(store: &Store, folder: &Path) -> Tree {
    store.ingest(&folder.join("sources"), Taking::Copy).unwrap()
}

testing::helpers!("build" => build);

/// Builds the program in the folder that is the argument, as a plan of other compilers has it, for
/// those that are there.
fn build() {
    let folder = PathBuf::from(helper::argument());
    let store = Store::open(&folder.join("above/store")).unwrap();
    let node = Node {
        name: name(),
        recipe: "small".into(),
        declared_at: None,
        op: Op::HostProgram(program("of another time")),
    };
    let node = host_program::for_these_compilers(&store, &node);
    let Op::HostProgram(program) = &node.op else { unreachable!() };
    let offline = std::env::var_os("HOST_PROGRAM_ONLINE").is_none();
    match host_program::build(&store, &node.name, program, &sources(&store, &folder), offline) {
        Ok(tree) => {
            let (_, entry) = tree.iter().next().unwrap();
            fs::write(folder.join("program"), store.read_blob(entry).unwrap()).unwrap();
        }
        Err(error) => panic!("{error}"),
    }
}

/// What a path that a build opened is to it: a name of a program whose version is in the key, or
/// what needs none.
struct Reasons {
    /// Folders and what speaks for all that is in them.
    folders: Vec<(PathBuf, &'static str)>,
    /// Libraries that the programs themselves are linked with.
    libraries: BTreeSet<PathBuf>,
}

impl Reasons {
    fn new(space: &Space, opened: &BTreeSet<PathBuf>, executed: &BTreeSet<PathBuf>) -> Self {
        let ask = |program: &str, argument: &str| {
            let output = Command::new(program).args(argument.split(' ')).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let real = |path: &str| fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
        let home = std::env::home_dir().unwrap();
        let variable =
            |name: &str, otherwise: &str| std::env::var_os(name).map_or_else(|| home.join(otherwise), PathBuf::from);
        let (cargo, rustup) = (variable("CARGO_HOME", ".cargo"), variable("RUSTUP_HOME", ".rustup"));
        let mut folders = vec![
            (space.at("above/store/cargo/host/small"), "sources"),
            (space.at("above/store/cargo/.start"), "an empty folder"),
            (space.at("tmp"), "temporary files"),
            (space.at("tools"), "this test"),
            (PathBuf::from("/proc"), "kernel"),
            (PathBuf::from("/sys"), "kernel"),
            (PathBuf::from("/dev"), "kernel"),
            (PathBuf::from("/etc/ld.so.cache"), "where libraries are"),
            (PathBuf::from("/etc/ld.so.preload"), "where libraries are"),
            (PathBuf::from("/usr/lib/locale"), "language of messages"),
            (PathBuf::from("/usr/share/locale"), "language of messages"),
            (PathBuf::from("/usr/lib/x86_64-linux-gnu/gconv"), "language of messages"),
            (PathBuf::from("/etc/nsswitch.conf"), "home of the user"),
            (PathBuf::from("/etc/passwd"), "home of the user"),
            (PathBuf::from("/usr/include"), "ldd"),
            // cargo asks git's settings for a proxy, and needs certificates, both only to fetch
            // what has a checksum.
            (PathBuf::from("/etc/gitconfig"), "crates, by their checksums"),
            (home.join(".gitconfig"), "crates, by their checksums"),
            (home.join(".config/git"), "crates, by their checksums"),
            (PathBuf::from("/etc/ssl"), "crates, by their checksums"),
            (PathBuf::from("/etc/pki"), "crates, by their checksums"),
            (PathBuf::from("/usr/lib/ssl"), "crates, by their checksums"),
            (PathBuf::from("/usr/share/ca-certificates"), "crates, by their checksums"),
            (PathBuf::from("/bin/sh"), "this test"),
            (real("/bin/sh"), "this test"),
            (cargo.join("registry"), "crates, by their checksums"),
            (cargo.join("bin"), "rustc"),
            (rustup, "rustc"),
            (PathBuf::from(ask("rustc", "--print sysroot")), "rustc"),
        ];
        for lock in [".package-cache", ".package-cache-mutate"] {
            folders.push((cargo.join(lock), "crates, by their checksums"));
        }
        for line in ask("cc", "-print-search-dirs").lines() {
            if let Some(install) = line.strip_prefix("install: ") {
                folders.push((real(install), "cc"));
            }
        }
        for (program, what) in
            [("cc1", "cc"), ("collect2", "cc"), ("liblto_plugin.so", "cc"), ("as", "as"), ("ld", "ld")]
        {
            folders.push((real(&ask("cc", &format!("-print-prog-name={program}"))), what));
        }
        for (program, what) in
            [("cc", "cc"), ("as", "as"), ("ld", "ld"), ("ar", "ar"), ("cargo", "rustc"), ("rustc", "rustc")]
        {
            folders.extend([(find(program), what), (fs::canonicalize(find(program)).unwrap(), what)]);
        }
        // The C library's own files, by the names that they have everywhere.
        for file in [
            "Scrt1.o",
            "crt1.o",
            "rcrt1.o",
            "crti.o",
            "crtn.o",
            "libc.so",
            "libc.so.6",
            "libc_nonshared.a",
            "libm.so",
            "libm.so.6",
            "libmvec.so.1",
            "librt.a",
            "libpthread.a",
            "libutil.a",
            "libdl.a",
            "libpthread.so.0",
            "libdl.so.2",
            "librt.so.1",
        ] {
            folders.push((real(&ask("cc", &format!("-print-file-name={file}"))), "ldd"));
        }
        folders.push((real("/lib64/ld-linux-x86-64.so.2"), "ldd"));
        for file in ["libgcc_s.so.1", "libgcc_s.so", "libgcc.a", "libgcc_eh.a"] {
            folders.push((real(&ask("cc", &format!("-print-file-name={file}"))), "cc"));
        }
        let mut libraries = BTreeSet::new();
        // What binutils load for objects that are no ELF, of which there are none.
        let mut plugins = BTreeSet::new();
        for path in opened.iter().filter(|path| path.extension().is_some_and(|end| end == "so")) {
            let linked = ["/usr/lib/bfd-plugins", "/usr/lib/x86_64-linux-gnu/bfd-plugins"].iter().any(|folder| {
                fs::read_dir(folder).is_ok_and(|entries| {
                    entries.flatten().any(|entry| fs::canonicalize(entry.path()).is_ok_and(|real| real == *path))
                })
            });
            if linked {
                plugins.insert(path.clone());
                libraries.insert(path.clone());
            }
        }
        for program in executed.iter().chain(&plugins) {
            let output = Command::new("ldd").arg(program).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            libraries.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(real));
        }
        Self { folders, libraries }
    }

    fn of(&self, path: &Path) -> Option<&'static str> {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let library = self.libraries.contains(&real).then_some("library of a compiler");
        let folder = self.folders.iter().find(|(folder, _)| path.starts_with(folder) || real.starts_with(folder));
        folder.map(|(_, what)| *what).or(library)
    }
}

/// The files that calls of a trace opened or executed, and the programs that it executed.
fn traced(folder: &Path) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
    let (mut opened, mut executed) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_string_lossy().starts_with("trace") {
            continue;
        }
        for line in String::from_utf8_lossy(&fs::read(&path).unwrap()).lines() {
            if line.contains("execve(") {
                // What a program's name leads to.
                let path = PathBuf::from(line.split('"').nth(1).unwrap());
                executed.insert(path.clone());
                opened.insert(path);
            } else if let Some((_, path)) = line.rsplit_once("= ").filter(|_| line.contains("open"))
                && let Some((_, path)) = path.split_once('<')
                && !line.contains("O_DIRECTORY")
                && path.starts_with('/')
            {
                // `3</the/path>`: the kernel's own name of what was opened.
                opened.insert(PathBuf::from(path.trim_end_matches('>').trim_end_matches(" (deleted)")));
            }
        }
    }
    (opened, executed)
}

#[test]
fn all_that_a_build_opens_is_in_its_key() {
    let space = Space::new();
    let trace = format!(
        "#!/bin/sh\nexec {} -f -qq -z -y -s 4096 -e trace=open,openat,openat2,execve -o {}/trace.$$ REAL \"$@\"\n",
        find("strace").display(),
        space.folder.path().display()
    );
    space.tool("cargo", &trace);
    space.built(&[]);
    let (opened, executed) = traced(space.folder.path());
    // The test is one only if it saw the whole way.
    for name in ["main.rs", "part.c", "other.S", "stdint.h", "libpart.a", "config.toml"] {
        assert!(opened.iter().any(|path| path.file_name().is_some_and(|file| file == name)), "{name} in {opened:#?}");
    }
    for name in ["rustc", "cc", "as", "ar", "cc1", "build-script-build"] {
        assert!(executed.iter().any(|path| path.to_string_lossy().contains(name)), "{name} in {executed:#?}");
    }
    let reasons = Reasons::new(&space, &opened, &executed);
    let unknown: Vec<_> = opened.iter().filter(|path| reasons.of(path).is_none()).collect();
    assert!(unknown.is_empty(), "a build reads what is in no key: {unknown:#?}");
    // And what speaks for the files is in the key.
    let versions = Compilers::known(&space.store()).unwrap().versions;
    for program in ["cc", "ldd", "as", "ld", "ar"] {
        let output = Command::new(program).arg("--version").output().unwrap();
        let version = String::from_utf8(output.stdout).unwrap().lines().next().unwrap().to_owned();
        assert!(versions.contains(&version), "{version} in {versions}");
    }
    assert!(versions.contains("commit-hash: ") && versions.contains("cargo "), "{versions}");
}

#[test]
fn what_the_caller_has_set_is_not_in_the_result() {
    let space = Space::new();
    let usual = space.built(&[]);
    let other = Space::new();
    let evil = "[build]\nrustc-wrapper = \"/nothing\"\nrustflags = [\"-Copt-level=0\"]\n[profile.release]\nopt-level = 0\n\
                debug = 2\n[env]\nC_INCLUDE_PATH = \"/nothing\"\n[target.x86_64-unknown-linux-gnu]\nlinker = \"/nothing\"\n";
    // Above the store, and where the caller is.
    for folder in ["above", "above/project"] {
        other.write(&format!("{folder}/.cargo/config.toml"), evil);
    }
    other.write("home/config.toml", evil);
    symlink(std::env::home_dir().unwrap().join(".cargo/registry"), other.at("home/registry")).unwrap();
    let home = other.at("home");
    let changed = other.built(&[
        ("CARGO_HOME", home.to_str().unwrap()),
        ("RUSTFLAGS", "-Copt-level=0"),
        ("CARGO_ENCODED_RUSTFLAGS", "-Copt-level=0"),
        ("CARGO_BUILD_RUSTFLAGS", "-Copt-level=0"),
        ("CARGO_BUILD_TARGET", "x86_64-unknown-none"),
        ("CARGO_BUILD_TARGET_DIR", "/nothing"),
        ("CARGO_TARGET_DIR", "/nothing"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
        ("CARGO_PROFILE_RELEASE_DEBUG", "2"),
        ("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", "/nothing"),
        ("RUSTC", "/nothing"),
        ("RUSTC_WRAPPER", "/nothing"),
        ("RUSTC_BOOTSTRAP", "1"),
        ("CC", "/nothing"),
        ("CFLAGS", "-O0"),
        ("CPATH", "/nothing"),
        ("C_INCLUDE_PATH", "/nothing"),
        ("LIBRARY_PATH", "/nothing"),
        ("COMPILER_PATH", "/nothing"),
        ("GCC_EXEC_PREFIX", "/nothing/"),
        ("LD_LIBRARY_PATH", "/nothing"),
        ("LANG", "de_DE.UTF-8"),
        ("SOURCE_DATE_EPOCH", "5"),
    ]);
    assert!(changed == usual, "another program came out");
}

#[test]
fn what_says_how_crates_are_had_arrives() {
    let space = Space::new();
    space.tool(
        "cargo",
        "#!/bin/sh\ncase \"$*\" in *--manifest-path*) env >\"${0%/tools/cargo}/seen\"; cp \"$CARGO_HOME/config.toml\" \
         \"${0%/tools/cargo}/settings\"; exit 1;; *) exec REAL \"$@\";; esac\n",
    );
    space.write(
        "above/.cargo/config.toml",
        "[source.crates-io]\nreplace-with = \"m\"\n[source.m]\ndirectory = \"vendor\"\n",
    );
    space.write("above/project/.cargo/config.toml", "[net]\nretry = 9\n[build]\nrustc-wrapper = \"/nothing\"\n");
    let variables = [
        ("HTTPS_PROXY", "http://p:1"),
        ("https_proxy", "http://p:1"),
        ("HTTP_PROXY", "http://p:2"),
        ("http_proxy", "http://p:2"),
        ("NO_PROXY", "mirror"),
        ("no_proxy", "mirror,other"),
        ("ALL_PROXY", "socks5://p:3"),
        ("all_proxy", "socks5://p:4"),
        ("CARGO_HTTP_PROXY", "p:5"),
        ("CARGO_HTTP_TIMEOUT", "77"),
        ("CARGO_NET_RETRY", "3"),
        ("CARGO_NET_GIT_FETCH_WITH_CLI", "true"),
        ("CARGO_REGISTRIES_OURS_INDEX", "sparse+x"),
        ("CARGO_SOURCE_OURS_REGISTRY", "sparse+y"),
        ("SSL_CERT_FILE", "/ca.pem"),
        ("CARGO_BUILD_JOBS", "1"),
        ("SSH_AUTH_SOCK", "/agent"),
    ];
    let output = space.build(&variables);
    assert!(!output.status.success() && text(&output).contains("cargo ended with exit status: 1"), "{}", text(&output));
    let seen = fs::read_to_string(space.at("seen")).unwrap();
    for (name, value) in variables {
        assert!(seen.lines().any(|line| line == format!("{name}={value}")), "{name} in {seen}");
    }
    assert!(seen.lines().any(|line| line == format!("TMPDIR={}", space.at("tmp").display())), "{seen}");
    // Without the network, when this program may use none.
    assert!(seen.lines().any(|line| line == "CARGO_NET_OFFLINE=true"), "{seen}");
    let settings = fs::read_to_string(space.at("settings")).unwrap();
    let vendor = format!("directory = \"{}\"", space.at("above/vendor").display());
    assert!(
        settings.contains("retry = 9") && settings.contains(&vendor) && !settings.contains("wrapper"),
        "{settings}"
    );
    let output = space.build(&[("HOST_PROGRAM_ONLINE", "1")]);
    assert!(!output.status.success() && !fs::read_to_string(space.at("seen")).unwrap().contains("CARGO_NET_OFFLINE"));
}

#[test]
fn cargo_that_reads_settings_of_folders_above_is_stopped() {
    let space = Space::new();
    // One that does not listen to the variable.
    space.tool("cargo", "#!/bin/sh\nexec env -u __CARGO_TEST_ROOT REAL \"$@\"\n");
    let output = space.build(&[]);
    assert!(!output.status.success(), "it went on");
    assert!(text(&output).contains("this cargo reads settings of the folders above"), "{}", text(&output));
}

#[test]
fn other_compilers_are_another_key_and_the_build_goes_on_by_itself() {
    let space = Space::new();
    let asked = |space: &Space| fs::read_to_string(space.at("asked")).unwrap_or_default().lines().count();
    let ldd = "#!/bin/sh\necho >>\"${0%/tools/ldd}/asked\"\nVERSION\n";
    space.tool("ldd", &ldd.replace("VERSION", "exec REAL \"$@\""));
    space.built(&[]);
    let store = space.store();
    let kept = fs::read_to_string(space.at("above/store/cargo/compilers.json")).unwrap();
    assert!(kept.contains("cargo "), "{kept}");
    let before = asked(&space);
    assert!(before > 0);
    // An upgrade of the C library.
    space.tool("ldd", &ldd.replace("VERSION", "echo 'ldd (another one) 9.99'"));
    space.built(&[]);
    assert!(asked(&space) > before);
    let now = fs::read_to_string(space.at("above/store/cargo/compilers.json")).unwrap();
    assert!(now.contains("ldd (another one) 9.99"), "{now}");
    // A plan that names others is not built for them under its name.
    let error = host_program::build(&store, &name(), &program("others"), &sources(&store, space.folder.path()), true);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("are not those that the plan names (others); make the plan again") && error.ends_with(" gen`"),
        "{error}"
    );
}

#[test]
fn a_compiler_that_fails_is_named() {
    let space = Space::new();
    space.tool("rustc", "#!/bin/sh\necho 'error: no toolchain is chosen' >&2; exit 1\n");
    let output = space.build(&[]);
    let expected = "`rustc --version --verbose` fails (error: no toolchain is chosen)";
    assert!(!output.status.success() && text(&output).contains(expected), "{}", text(&output));
}

#[test]
fn a_caller_that_ignores_the_ends_of_children_changes_nothing() {
    let space = Space::new();
    fs::write(space.at("above/project/pynbox.toml"), "").unwrap();
    let gen_with = |caller: &str, store: &str| {
        let script = format!("{caller} exec \"$0\" --offline gen");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_pynbox-build")]).current_dir(space.at("above/project"));
        let output = command.env("PYNBOX_CACHE", space.at(store)).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let compilers = fs::read_to_string(space.at(store).join("cargo/compilers.json")).unwrap();
        compilers.split("\"seen\"").next().unwrap().to_owned()
    };
    assert_eq!(gen_with("trap '' CHLD;", "one"), gen_with("", "two"));
    // Where the compilers are is part of what was asked: under another PATH, nothing is believed to
    // be unchanged.
    let record = fs::read(space.at("above/project/out/record")).unwrap();
    let record = String::from_utf8_lossy(&record);
    for program in ["cargo", "cc", "ldd", "ld"] {
        assert!(record.contains(&format!("\"{}\"", find(program).display())), "{program} in {record}");
    }
}

#[test]
fn compilers_are_asked_once_until_something_changes() {
    let space = Space::new();
    let store = space.store();
    let first = Compilers::known(&store).unwrap();
    // What was said is believed, so nothing was asked.
    let file = space.at("above/store/cargo/compilers.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"versions\":\"", "\"versions\":\"kept: ")).unwrap();
    assert_eq!(Compilers::known(&store).unwrap().versions, format!("kept: {}", first.versions));
    assert_eq!(Compilers::asked(&store).unwrap(), first);
    assert_eq!(Compilers::known(&store).unwrap(), first);
    // A file that they depend on is another one.
    fs::write(
        &file,
        text.replacen("\"identity\":[", "\"identity\":[1", 1).replace("\"versions\":\"", "\"versions\":\"old: "),
    )
    .unwrap();
    assert_eq!(Compilers::known(&store).unwrap(), first);
}

/// What the loader is compiled of, in a project that has these files beside its own.
fn loader_sources(more: &[(&str, &str)]) -> (Tree, build_graph::dsl::Materials) {
    let bundle = recipes::bundle();
    let mut materials =
        build_graph::dsl::Materials { locks: bundle.locks.clone(), files: bundle.files.clone(), ..Default::default() };
    for (path, text) in more {
        let file = build_graph::dsl::ProjectFile { bytes: text.as_bytes().into() };
        materials.files.insert(build_graph::RelPath::new(*path).unwrap(), file);
    }
    let materials = std::sync::Arc::new(materials);
    let graph = build_graph::dsl::assemble(&bundle.set, &materials, &bundle.default_target).unwrap().graph;
    let node = |name: &NodeName| graph.nodes()[graph.index_of(name).unwrap()].op.clone();
    let Op::HostProgram(program) = node(&"host/sandbox_outer".parse().unwrap()) else {
        panic!("it is no host program")
    };
    let Op::Local { tree } = node(&program.sources.node) else { panic!("its sources are no files of the project") };
    (program.sources.part.apply(&tree).unwrap(), (*materials).clone())
}

#[test]
fn only_what_the_loader_is_compiled_of_is_in_its_key() {
    let (usual, materials) = loader_sources(&[]);
    let beside = [
        ("sandbox/tests/new.rs", "#[test]\nfn nothing() {}\n"),
        ("sandbox/tests/files.rs", "// changed"),
        ("sandbox/benches/new.rs", "fn main() {}"),
        ("sandbox/examples/new.rs", "fn main() {}"),
        ("sandbox/fuzz/Cargo.toml", "[workspace]"),
        ("sandbox/fuzz/Cargo.lock", "version = 4"),
        ("sandbox/fuzz/src/main.rs", "fn main() {}"),
        ("fuzz/corpus/calls/input", "x"),
        ("sandbox/rustfmt.toml", "max_width = 100\n"),
        ("sandbox/NOTES", "x"),
        ("sandbox/src/main.rs.orig", "x"),
        ("sandbox/src/notes.txt", "x"),
    ];
    for file in beside {
        assert_eq!(loader_sources(&[file]).0.digest(), usual.digest(), "{}", file.0);
    }
    for file in ["sandbox/src/main.rs", "sandbox/Cargo.toml", "sandbox/Cargo.lock", "sandbox/src/vfs/new.rs"] {
        assert_ne!(loader_sources(&[(file, "changed")]).0.digest(), usual.digest(), "{file}");
    }
    // And it is enough: cargo finds a crate with that program, and no test that would have to be
    // there.
    let folder = tempfile::tempdir().unwrap();
    for (path, _) in usual.iter() {
        let to = folder.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let full = build_graph::RelPath::new(format!("sandbox/{path}")).unwrap();
        fs::write(to, materials.files.bytes(&full).unwrap()).unwrap();
    }
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let metadata = String::from_utf8(output.stdout).unwrap();
    assert!(metadata.contains("\"name\":\"run\"") && !metadata.contains("\"kind\":[\"test\"]"), "{metadata}");
}
