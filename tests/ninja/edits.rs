//! After any edit, `gen` plans what it plans when it starts from nothing: what it takes over from
//! the last time changes nothing but the time that it takes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::space::{Space, ninjas};

/// A sequence of numbers that is the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A folder in place of zlib's source, and the files of it that were there first.
struct Folder {
    path: PathBuf,
    first: Vec<(PathBuf, Vec<u8>)>,
}

impl Folder {
    fn new(space: &Space) -> Self {
        let path = space.path("zlib");
        space.run(&["gen", "--offline"]);
        space.run(&["checkout", "source/zlib/tree", path.to_str().unwrap()]);
        let writable = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        writable(&path, 0o755);
        let mut first = Vec::new();
        for file in ["adler32.c", "zutil.h", "crc32.c", "README"] {
            let file = path.join(file);
            writable(&file, 0o644);
            first.push((file.clone(), fs::read(&file).unwrap()));
        }
        Self { path, first }
    }

    fn option(&self) -> String {
        format!("zlib={}", self.path.display())
    }

    /// A file that an earlier edit added.
    fn added(&self) -> Option<PathBuf> {
        let mut files = fs::read_dir(&self.path).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("new"))
    }
}

/// Changes something of the project or of a folder in place of a source; says what.
fn edit(space: &Space, folder: &Folder, numbers: &mut Numbers) -> String {
    let number = numbers.below(1 << 30);
    let append = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, format!("{text}/* {number} */\n")).unwrap();
    };
    let path = |file: &str| folder.path.join(file);
    let kind = numbers.below(11);
    match kind {
        0 => append(&path("adler32.c")),
        1 => append(&path("zutil.h")),
        2 => fs::write(path(&format!("new{number}.h")), "/* new */\n").unwrap(),
        3 => {
            // The same text again, at another time.
            let text = fs::read(path("crc32.c")).unwrap();
            fs::write(path("crc32.c"), text).unwrap();
        }
        4 => {
            let mode = if number.is_multiple_of(2) { 0o755 } else { 0o644 };
            fs::set_permissions(path("README"), fs::Permissions::from_mode(mode)).unwrap();
        }
        5 => folder.added().into_iter().for_each(|file| fs::remove_file(file).unwrap()),
        6 => {
            for (file, text) in &folder.first {
                fs::write(file, text).unwrap();
            }
        }
        7 => {
            // As editors and git do it: another file in its place.
            append(&path("adler32.c"));
            fs::copy(path("adler32.c"), path("adler32.c~")).unwrap();
            fs::rename(path("adler32.c~"), path("adler32.c")).unwrap();
        }
        8 => {
            // A file, a folder, a link, and nothing, one after another.
            let odd = path("odd");
            match fs::symlink_metadata(&odd) {
                Err(_) => fs::write(&odd, "").unwrap(),
                Ok(odd_is) if odd_is.is_file() => {
                    fs::remove_file(&odd).unwrap();
                    fs::create_dir(&odd).unwrap();
                    fs::write(odd.join("file"), number.to_string()).unwrap();
                }
                Ok(odd_is) if odd_is.is_dir() => {
                    fs::remove_dir_all(&odd).unwrap();
                    std::os::unix::fs::symlink("README", &odd).unwrap();
                }
                Ok(_) => fs::remove_file(&odd).unwrap(),
            }
        }
        9 => {
            append(&path("adler32.c"));
            append(&path("crc32.c"));
        }
        _ => append(&space.path("recipes/files/greeting/words.c")),
    }
    format!("edit {number} of kind {kind}")
}

/// The plan and the build file that `gen` leaves, and what it says.
fn planned(space: &Space, folder: &Folder) -> ([Vec<u8>; 2], String) {
    let said = space.run(&["--verbose", "gen", "--offline", "--override-source", &folder.option()]);
    (["out/plan", "build.ninja"].map(|file| fs::read(space.path(file)).unwrap()), said)
}

/// What is planned from nothing.
fn planned_from_nothing(space: &Space, folder: &Folder) -> [Vec<u8>; 2] {
    fs::remove_dir_all(space.path("out")).unwrap();
    fs::remove_file(space.path("build.ninja")).unwrap();
    let (planned, said) = planned(space, folder);
    assert!(!said.contains("\nagain: "), "{said}");
    planned
}

#[test]
fn a_plan_after_an_edit_is_the_plan_from_nothing() {
    let mut space = Space::new(&ninjas()[0]);
    space.use_own_store();
    let folder = Folder::new(&space);
    planned(&space, &folder);
    let mut numbers = Numbers(20_261_129);
    let (mut plans, mut amended) = (Vec::new(), 0);
    for round in 0..24 {
        let what = if round == 11 {
            // A result comes to the store.
            fs::write(folder.path.join("adler32.c"), format!("#include \"zutil.h\"\nint number = {round};\n")).unwrap();
            planned(&space, &folder);
            space.ninja("out/stamps/wasm32-wasi/zlib/adler32.o.digest");
            "a build".to_owned()
        } else {
            edit(&space, &folder, &mut numbers)
        };
        let (after, said) = planned(&space, &folder);
        amended += usize::from(said.contains("\nagain: ") || said.starts_with("again: "));
        // Some edits follow on a plan from nothing, others on one that is an earlier plan with
        // other files.
        let kept = numbers.below(2) == 0;
        let aside = space.path("aside");
        if kept {
            fs::create_dir(&aside).unwrap();
            for name in ["out", "build.ninja"] {
                let done = std::process::Command::new("cp").arg("-a").arg(space.path(name)).arg(&aside).status();
                assert!(done.unwrap().success());
            }
        }
        assert!(planned_from_nothing(&space, &folder) == after, "{what}");
        if kept {
            fs::remove_dir_all(space.path("out")).unwrap();
            for name in ["out", "build.ninja"] {
                fs::rename(aside.join(name), space.path(name)).unwrap();
            }
            fs::remove_dir(&aside).unwrap();
        }
        plans.push(after);
    }
    plans.dedup();
    assert!(plans.len() > 12, "{} plans of 24 edits differ", plans.len());
    assert!(amended > 8, "{amended} of 24 plans were made of the one before");
}

/// A `gen` that is killed leaves what the next one makes right, wherever it was.
#[test]
fn after_a_gen_that_was_killed_the_next_one_plans_as_from_nothing() {
    let mut space = Space::new(&ninjas()[0]);
    space.use_own_store();
    let folder = Folder::new(&space);
    planned(&space, &folder);
    for round in 0..10 {
        let file = folder.path.join(["adler32.c", "zutil.h"][round % 2]);
        fs::write(&file, format!("{}/* {round} */\n", fs::read_to_string(&file).unwrap())).unwrap();
        let mut command = space.tool(&["gen", "--offline", "--override-source", &folder.option()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Wherever it is by then; what is compared holds for each moment.
        std::thread::sleep(Duration::from_millis(20 * round as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        let (after, _) = planned(&space, &folder);
        assert!(planned_from_nothing(&space, &folder) == after, "round {round}");
    }
}
