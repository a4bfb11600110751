//! From a failed step to what the user can change.

use std::fs;

use rustix::io::Errno;

use super::child_message::Step;

/// What the machine says of itself, as far as it forbids containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Machine {
    /// `kernel.unprivileged_userns_clone`: a switch that Debian's kernels have.
    unprivileged_userns_clone: Option<u64>,
    /// `user.max_user_namespaces`.
    max_user_namespaces: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`: a switch that Ubuntu's kernels have.
    apparmor_restriction: Option<u64>,
    /// Whether this process itself is under a system-call filter, as in a container.
    filtered: bool,
    release: String,
}

impl Machine {
    fn ask() -> Self {
        let number = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            unprivileged_userns_clone: number("kernel/unprivileged_userns_clone"),
            max_user_namespaces: number("user/max_user_namespaces"),
            apparmor_restriction: number("kernel/apparmor_restrict_unprivileged_userns"),
            filtered: status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() != "0")),
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
        }
    }

    fn hint(&self, step: Option<Step>, errno: Errno) -> String {
        if errno == Errno::NOSYS {
            let container = if self.filtered { " outside of this container, or allow it these calls," } else { "" };
            return format!("Linux 5.12 or newer is needed{container} and this is {}", self.release);
        }
        if self.unprivileged_userns_clone == Some(0) {
            return "user namespaces are switched off: `sudo sysctl kernel.unprivileged_userns_clone=1`".to_owned();
        }
        if self.max_user_namespaces == Some(0) {
            return "user namespaces are switched off: `sudo sysctl user.max_user_namespaces=10000`".to_owned();
        }
        if errno == Errno::NOSPC && step.is_none() {
            return "the limit of namespaces is reached: raise `user.max_user_namespaces`, `user.max_mnt_namespaces`, \
                    `user.max_net_namespaces` and their like with `sudo sysctl`"
                .to_owned();
        }
        if self.apparmor_restriction.is_some_and(|value| value != 0) && forbidden(errno) {
            return "AppArmor takes an ordinary user's rights in user namespaces: \
                    `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or give this program a profile that has `userns,`"
                .to_owned();
        }
        match step {
            Some(Step::Proc) if forbidden(errno) => "part of `/proc` is covered, as in a container: start the outer container with \
                 `--security-opt systempaths=unconfined`, or use another executor"
                .to_owned(),
            Some(Step::Limit) if errno == Errno::PERM => {
                "this user's hard limit is lower: raise it in `/etc/security/limits.conf` or with `ulimit -H`".to_owned()
            }
            Some(Step::UserMap) if forbidden(errno) => {
                "the outer container has no right to give out user 0: start it with the capability `SETFCAP`, or start this program \
                 as an ordinary user"
                    .to_owned()
            }
            _ if self.filtered && forbidden(errno) => "a system-call filter forbids it, as in a container: start the outer container \
                 with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`, or use another executor"
                .to_owned(),
            None if errno == Errno::PERM => {
                "user namespaces are forbidden, or this process was started by `chroot`, in which Linux allows none".to_owned()
            }
            None if errno == Errno::INVAL => {
                "this kernel was built without some of the namespaces `user`, `pid`, `net`, `ipc`, `uts` and `cgroup`".to_owned()
            }
            None if errno == Errno::AGAIN => "this user has too many processes: see `ulimit -u`".to_owned(),
            _ => "use another executor, or a machine where `unshare --user --map-root-user --mount --pid --fork true` works".to_owned(),
        }
    }
}

fn forbidden(errno: Errno) -> bool {
    matches!(errno, Errno::PERM | Errno::ACCESS)
}

/// What to change so that the step works; no step: making the namespaces at all.
pub(super) fn hint(step: Option<Step>, errno: Errno) -> String {
    Machine::ask().hint(step, errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_that_forbids_it_is_named() {
        let off = |machine: Machine, step, errno, expected: &str| {
            let hint = machine.hint(step, errno);
            assert!(hint.contains(expected), "{hint}");
        };
        let machine = Machine::default;
        off(
            Machine { unprivileged_userns_clone: Some(0), ..machine() },
            None,
            Errno::PERM,
            "unprivileged_userns_clone=1",
        );
        off(
            Machine { max_user_namespaces: Some(0), ..machine() },
            None,
            Errno::NOSPC,
            "user.max_user_namespaces=10000",
        );
        off(
            Machine { max_user_namespaces: Some(5), ..machine() },
            None,
            Errno::NOSPC,
            "limit of namespaces is reached",
        );
        off(Machine { apparmor_restriction: Some(1), ..machine() }, Some(Step::UserMap), Errno::PERM, "AppArmor");
        off(Machine { filtered: true, ..machine() }, None, Errno::PERM, "seccomp=unconfined");
        off(Machine { filtered: true, ..machine() }, Some(Step::Proc), Errno::PERM, "systempaths=unconfined");
        off(machine(), Some(Step::UserMap), Errno::PERM, "SETFCAP");
        off(machine(), Some(Step::Limit), Errno::PERM, "hard limit");
        off(machine(), None, Errno::PERM, "chroot");
        off(Machine { release: "5.10.0".to_owned(), ..machine() }, Some(Step::Root), Errno::NOSYS, "this is 5.10.0");
    }
}
