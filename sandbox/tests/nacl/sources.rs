//! What the command line names on the host, and what of it packages installed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

use crate::common::{Dest, users};

#[test]
fn a_link_that_an_earlier_guest_left_is_not_mounted() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let outer = tempfile::tempdir().unwrap();
    fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for folder in ["rw", "secret"] {
        fs::create_dir(outer.path().join(folder)).unwrap();
    }
    fs::write(outer.path().join("secret/file"), "host").unwrap();
    symlink("../secret", outer.path().join("rw/out")).unwrap();
    let root = format!("{}:/:ro", dest.root().display());
    let mount = format!("{}:/x:ro", outer.path().join("rw/out").display());
    for user in users() {
        // The guest's user is who it belongs to.
        for path in ["rw", "rw/out"].map(|path| outer.path().join(path)) {
            lchown(path, user, None).unwrap();
        }
        let ended = dest.run_as(user, ["-m", &root, "-m", &mount, &program, "do:cat,/guest/x/file"]);
        ended.assert_error(2, "is a symbolic link to");
        let follow = ["--follow-links", "-m", &root, "-m", &mount, &program, "do:cat,/guest/x/file"];
        assert!(dest.run_as(user, follow).out.ends_with("cat /guest/x/file: host\n"), "{user:?}");
    }
    // One that no guest can have made, beside the installation.
    symlink("root", dest.path().join("same")).unwrap();
    let same = format!("{}:/:ro", dest.path().join("same").display());
    assert_eq!(dest.run(["-m", &same, &program]).status, 0);
}

#[test]
fn what_packages_installed_stays_below_a_writable_root() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let library = dest.root().join("python/lib/os.py");
    fs::create_dir_all(library.parent().unwrap()).unwrap();
    fs::write(&library, "os").unwrap();
    let receipt = r#"{"content":{"root/python/lib/os.py":{},"root/slib/runnable-ld.so":{}}}"#;
    fs::write(dest.path().join("packages/python.installed"), receipt).unwrap();
    let root = format!("{}:/:rw", dest.root().display());
    let attacks = [
        "do:write,/guest/python/lib/os.py",
        "do:write,/guest/python/lib/json.py",
        "do:mkdir,/guest/python/new",
        "do:unlink,/guest/python/lib/os.py",
        "do:chmod,/guest/python/lib/os.py",
        "do:touch,/guest/python/lib/os.py",
        "do:write,/guest/slib/new.so",
    ];
    let ended = dest.run([&["-m", &root, &program], &attacks[..]].concat());
    let lines = ended.lines();
    assert!(lines.len() == attacks.len() && lines.iter().all(|line| line.ends_with("=30")), "{ended:?}");
    assert_eq!(fs::read_to_string(&library).unwrap(), "os");
    let ended = dest.run(["-m", &root, &program, "do:mkdir,/guest/new", "do:write,/guest/new/file"]);
    assert_eq!(ended.lines(), ["mkdir /guest/new=0", "write /guest/new/file=0"], "{ended:?}");
    let ended = dest.run(["--allow-root-writes", "-m", &root, &program, "do:write,/guest/python/lib/os.py"]);
    assert_eq!(ended.lines(), ["write /guest/python/lib/os.py=0"], "{ended:?}");
    let part = format!("{}:/p:rw", dest.root().join("python").display());
    dest.run(["-m", &root, "-m", &part, &program]).assert_error(2, "which packages installed");
}
