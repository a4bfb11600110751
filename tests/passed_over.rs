//! Files of a project that would be passed over.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use build_graph::dsl::Materials;
use pynbox_build::project::Project;
use pynbox_build::store::Store;

struct Space {
    folder: tempfile::TempDir,
}

impl Space {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pynbox.toml"), "").unwrap();
        Self { folder }
    }

    fn write(&self, path: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    fn link(&self, path: &str, to: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    fn load(&self) -> Result<Materials, String> {
        let store = Store::open(&self.folder.path().join("store")).unwrap();
        let project = Project::find(self.folder.path()).unwrap();
        let loaded = project.load(&recipes::bundle(), &[], &store).map_err(|error| error.to_string())?;
        Ok(loaded.materials)
    }

    fn refusal(&self, path: &str) -> String {
        let message = self.load().err().unwrap_or_else(|| panic!("`{path}` is passed over"));
        assert!(message.contains(&format!("{path}` is not read: ")), "{message}");
        assert!(!message.contains(char::is_control), "{message}");
        message
    }
}

#[test]
fn files_and_patches_are_read() {
    let space = Space::new();
    for path in ["patches/p-1/t/0001-x.patch", "recipes/files/a/b", "sandbox/src/main.rs"] {
        space.write(path);
    }
    let materials = space.load().unwrap();
    assert_eq!(materials.patches.iter().map(ToString::to_string).collect::<Vec<_>>(), ["patches/p-1/t/0001-x.patch"]);
    assert_eq!(materials.files.below("recipes/files/a").count(), 1);
}

#[test]
fn links_are_not_followed_in_silence() {
    for folder in ["patches/p-1/t", "recipes/files", "sandbox/src"] {
        for to in ["/etc/passwd", "/etc", "nowhere"] {
            let space = Space::new();
            space.link(&format!("{folder}/x.patch"), to);
            let message = space.refusal(&format!("{folder}/x.patch"));
            assert!(message.contains("put what it leads to in its place"), "{message}");
        }
    }
    // The folder of a version, or of a target.
    for path in ["patches/p-1", "patches/p-1/t"] {
        let space = Space::new();
        space.link(path, "/etc");
        space.refusal(path);
    }
    let space = Space::new();
    space.link("patches", "nowhere");
    space.refusal("patches");
    let space = Space::new();
    space.link("recipes/locks/sources.toml", "nowhere");
    space.refusal("recipes/locks/sources.toml");
}

#[test]
fn what_looks_like_a_patch_or_a_pin_is_none_by_its_name() {
    for path in [
        "patches/p-1/t/.0001-x.patch",
        "patches/.x.diff",
        "patches/p-1/t/.hidden\u{1b}[1m.patch",
        "recipes/locks/more.toml",
    ] {
        let space = Space::new();
        space.write(path);
        space.refusal(&path.replace('\u{1b}', "\\u{1b}"));
    }
}

#[test]
fn what_is_neither_file_nor_folder_is_named() {
    let space = Space::new();
    fs::create_dir_all(space.folder.path().join("patches/p-1")).unwrap();
    let _socket = UnixListener::bind(space.folder.path().join("patches/p-1/t")).unwrap();
    space.refusal("patches/p-1/t");
    let space = Space::new();
    fs::create_dir_all(space.folder.path().join("patches")).unwrap();
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"a\xff");
    fs::write(space.folder.path().join("patches").join(Path::new(name)), "").unwrap();
    space.refusal("patches/a\\xff");
}

#[test]
fn what_editors_and_cargo_leave_is_no_file_of_the_project() {
    let space = Space::new();
    for path in [
        "patches/p-1/t/0001-x.patch~",
        "patches/p-1/t/.0001-x.patch.swp",
        "patches/p-1/t/#0001-x.patch#",
        "patches/.gitignore",
        "sandbox/target/release/x",
        "recipes/locks/.sources.toml.swp",
        "recipes/locks/sources.toml~",
    ] {
        space.write(path);
    }
    // How an editor locks a file.
    space.link("patches/p-1/t/.#0001-x.patch", "user@host.1234");
    space.link("sandbox/sub/target", "/nowhere");
    let materials = space.load().unwrap();
    assert!(materials.patches.is_empty() && materials.files.below("sandbox/target").count() == 0);
}
