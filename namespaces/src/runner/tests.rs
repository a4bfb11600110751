use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;
use crate::ActionLimits;

#[test]
fn shared_files_are_copied_and_own_ones_moved() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    fs::create_dir_all(from.join("below/empty")).unwrap();
    let outside = folder.path().join("outside");
    fs::write(&outside, "shared").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o500)).unwrap();
    fs::hard_link(&outside, from.join("a")).unwrap();
    fs::hard_link(&outside, from.join("below/b")).unwrap();
    fs::write(from.join("own"), "own").unwrap();
    std::os::unix::fs::symlink("/nowhere", from.join("link")).unwrap();
    let own = fs::metadata(from.join("own")).unwrap().ino();
    let before = fs::metadata(&outside).unwrap();

    let to = folder.path().join("to");
    lay::lay(&from, &to, lay::Modes::Copied).unwrap();
    let look = |path: &str| {
        let metadata = fs::symlink_metadata(to.join(path)).unwrap();
        assert_eq!(metadata.mtime(), build_graph::SOURCE_DATE_EPOCH.cast_signed(), "{path}");
        (metadata.ino(), metadata.mode() & 0o7777)
    };
    let (a, b) = (look("a"), look("below/b"));
    assert_ne!(a.0, b.0);
    assert_eq!((a.1, b.1), (0o755, 0o755));
    assert_eq!(look("own"), (own, 0o644));
    assert_eq!(look("below/empty").1, 0o755);
    look("link");
    assert_eq!(fs::read(to.join("below/b")).unwrap(), b"shared");
    let after = fs::metadata(&outside).unwrap();
    assert_eq!((after.mtime(), after.mode()), (before.mtime(), before.mode()));
    assert_eq!(after.ino(), before.ino());
}

#[test]
fn a_file_that_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    fs::create_dir(&from).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
    let (path, _) = lay::lay(&from, &folder.path().join("to"), lay::Modes::Linked).unwrap_err();
    assert!(path.ends_with("socket"));
}

#[test]
fn a_job_of_another_contract_is_the_workers_fault() {
    let folder = tempfile::tempdir().unwrap();
    let job = Job {
        contract: build_graph::contract::VERSION + 1,
        command: vec!["/true".to_owned()],
        environment: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        limits: ActionLimits::DEFAULT,
    };
    fs::write(folder.path().join(JOB), serde_json::to_vec(&job).unwrap()).unwrap();
    let report = run(folder.path());
    assert_eq!(report.exit_code(), 3);
    let error = report.result().unwrap_err().to_string();
    assert!(error.contains("cargo runner"), "{error}");
}
