//! Making, starting and removing containers.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::OnceLock;

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, RemoveContainerOptions, StartContainerOptions,
};
use futures_util::Stream;
use namespaces::DENIED_SYSCALLS;
use namespaces::serve::{IDLE, IDLE_VARIABLE, PROGRAM, WORK};
use tokio::io::AsyncWrite;

use super::client::{Daemon, is_missing};
use super::owner;

/// The user that process 1 and the action are on the daemon's machine: nobody there. The image
/// belongs to it, and inside it is user 0.
pub(super) const USER: u32 = 61_100;
/// More than an action may have: what a runner needs comes on top.
const PROCESSES: i64 = 4096 + 64;
/// System calls that process 1 needs to make the view; the action's own filter refuses them.
const NEEDED: [&str; 11] = [
    "fsconfig",
    "fsmount",
    "fsopen",
    "keyctl",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "pivot_root",
    "setdomainname",
    "sethostname",
    "umount2",
];

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// One action, now.
    Action,
    /// One action that is yet to come.
    Waiting,
    /// A shell, on a terminal or not.
    Shell { terminal: bool },
}

/// The standard streams of a container.
pub(super) struct Attached {
    pub(super) id: String,
    pub(super) output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
    pub(super) input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Makes a container of an image, named by its ID.
pub(super) async fn create(daemon: &Daemon, image: &str, purpose: Purpose) -> Result<String, Error> {
    let mut labels = HashMap::from([(owner::LABEL.to_owned(), owner::label())]);
    if purpose == Purpose::Waiting {
        labels.insert(owner::WAITING.to_owned(), String::new());
    }
    let shell = matches!(purpose, Purpose::Shell { .. });
    // A machine that runs out of memory may end anything, the daemon first.
    let memory = (daemon.memory > 0).then(|| daemon.memory - daemon.memory / 32);
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec![PROGRAM.to_owned(), "serve".to_owned()]),
        entrypoint: Some(Vec::new()),
        env: Some(vec![format!("{IDLE_VARIABLE}={}", IDLE.as_secs())]),
        user: Some(format!("{USER}:{USER}")),
        working_dir: Some("/".to_owned()),
        labels: Some(labels),
        volumes: Some(vec![WORK.to_owned()]),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // When the attached client goes away, standard input ends, and with it process 1.
        stdin_once: Some(true),
        tty: Some(purpose == Purpose::Shell { terminal: true }),
        // A network namespace without any device; `none` would start one more program to give it a
        // loopback, and the action has its own.
        network_disabled: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(security()),
            // The kernel lets nobody mount a new `/proc` where parts of the old one are covered.
            masked_paths: Some(Vec::new()),
            readonly_paths: Some(Vec::new()),
            pids_limit: Some(PROCESSES),
            memory,
            memory_swap: memory,
            ipc_mode: Some("none".to_owned()),
            init: Some(false),
            auto_remove: Some(!shell),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    Ok(daemon.docker.create_container(None::<CreateContainerOptions>, body).await?.id)
}

fn security() -> Vec<String> {
    static PROFILE: OnceLock<String> = OnceLock::new();
    let profile = PROFILE.get_or_init(|| {
        let names = DENIED_SYSCALLS.iter().map(|call| call.name).filter(|name| !NEEDED.contains(name));
        serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{ "names": names.collect::<Vec<_>>(), "action": "SCMP_ACT_ERRNO" }],
        })
        .to_string()
    });
    // The usual AppArmor profile and SELinux label forbid mounts, also those in a namespace of
    // one's own.
    let others = ["no-new-privileges", "apparmor=unconfined", "label=disable"].map(str::to_owned);
    others.into_iter().chain([format!("seccomp={profile}")]).collect()
}

/// Joins a container's standard streams.
pub(super) async fn attach(daemon: &Daemon, id: &str) -> Result<Attached, Error> {
    let options = AttachContainerOptions {
        stream: true,
        stdin: true,
        stdout: true,
        stderr: true,
        ..AttachContainerOptions::default()
    };
    let AttachContainerResults { output, input } = daemon.docker.attach_container(id, Some(options)).await?;
    Ok(Attached { id: id.to_owned(), output, input })
}

pub(super) async fn start(daemon: &Daemon, id: &str) -> Result<(), Error> {
    daemon.docker.start_container(id, None::<StartContainerOptions>).await
}

/// Ends a container and removes it. It may be gone already. On any other error, the next run tries
/// again.
pub(super) async fn remove(daemon: &Daemon, id: &str) {
    let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
    let _ = daemon.docker.remove_container(id, Some(options)).await;
}

/// Whether a container runs; `None` if the daemon does not say.
pub(super) async fn is_running(daemon: &Daemon, id: &str) -> Option<bool> {
    match daemon.docker.inspect_container(id, None::<bollard::query_parameters::InspectContainerOptions>).await {
        Ok(found) => Some(found.state.and_then(|state| state.running).unwrap_or(false)),
        Err(error) if is_missing(&error) => Some(false),
        Err(_) => None,
    }
}
