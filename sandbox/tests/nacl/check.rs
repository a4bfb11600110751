//! `run --check`: the walls that this machine gives.

#[path = "../filtered/mod.rs"]
mod filtered;

use filtered::without;

use crate::common::{Dest, users};

#[test]
fn walls_stand_or_are_named_with_what_to_change() {
    let dest = Dest::with_engine(&[]);
    for user in users() {
        let ended = dest.run_as(user, ["--check"]);
        assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{user:?}: {ended:?}");
        for wall in ["engine", "namespaces", "view", "filter"] {
            assert!(
                ended.out.lines().any(|line| line.split_whitespace().take(2).eq(["ok", wall])),
                "{wall}: {ended:?}"
            );
        }
    }
    for (call, error, wall, advice) in [
        (libc::SYS_unshare, libc::EPERM, "namespaces", "user.max_user_namespaces"),
        (libc::SYS_fsopen, libc::ENOSYS, "view", "Linux 5.12"),
        (libc::SYS_seccomp, libc::EPERM, "filter", "CONFIG_SECCOMP_FILTER"),
    ] {
        let mut command = dest.command(["--check"]);
        without(&mut command.0, &[call], error);
        let ended = command.ended();
        let line = ended.out.lines().find(|line| line.split_whitespace().nth(1) == Some(wall)).unwrap_or_default();
        assert!(ended.status == 3 && line.starts_with("MISSING") && line.contains(advice), "{wall}: {ended:?}");
    }
    std::fs::remove_file(dest.path().join("lib/nacl/irt_core_x86_64.nexe")).unwrap();
    dest.run(["--check"]).assert(3, &dest.run(["--check"]).out);
    assert!(dest.run(["--check"]).out.contains("install the package `sandbox_outer` again"));
}
