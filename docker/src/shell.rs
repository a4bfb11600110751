//! A shell in a container, on the caller's terminal.
//!
//! Its inputs and the directory that a failed action left are copied into the container before it
//! starts; what is changed there goes with the container.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::body_full;
use bollard::container::LogOutput;
use bollard::query_parameters::{
    DownloadFromContainerOptions, ResizeContainerTTYOptions, UploadToContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt as _;
use namespaces::job::JobReport;
use namespaces::serve::{FOLDERS, SHELL_JOB, SHELL_REPORT, WORK, trees};
use namespaces::{ExecutorError, Run, Status};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use support::signals;
use tar::{Builder, EntryType, Header};
use tokio::io::AsyncWriteExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::client::Daemon;
use super::container::{self, Attached, Purpose, USER};
use super::{Inner, host, job};

pub(super) async fn run(inner: &Arc<Inner>, run: &Run<'_>) -> Result<Status, ExecutorError> {
    let daemon = &inner.daemon;
    let image = inner.images.id(daemon, run).await?;
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let id = container::create(daemon, &image, Purpose::Shell { terminal }).await;
    let id = id.map_err(|error| daemon.failed("making a container", error))?;
    let result = in_container(inner, &id, run, terminal).await;
    container::remove(daemon, &id).await;
    result
}

async fn in_container(inner: &Inner, id: &str, run: &Run<'_>, terminal: bool) -> Result<Status, ExecutorError> {
    let daemon = &inner.daemon;
    let archive = archive(run)?;
    let options = UploadToContainerOptions { path: WORK.to_owned(), ..UploadToContainerOptions::default() };
    let uploaded = daemon.docker.upload_to_container(id, Some(options), body_full(archive.into())).await;
    uploaded.map_err(|error| daemon.failed("copying into a container", error))?;
    let failed = |error| daemon.failed("starting a container", error);
    let Attached { mut output, mut input, .. } = container::attach(daemon, id).await.map_err(failed)?;
    container::start(daemon, id).await.map_err(failed)?;
    let raw = terminal.then(Raw::new).flatten();
    // Before the size is asked, so that no change is missed.
    let mut resized =
        signal(SignalKind::window_change()).map_err(|error| ExecutorError::Internal(error.to_string()))?;
    if terminal {
        resize(daemon, id).await;
    }
    let mut typed = typed();
    let typing = tokio::spawn(async move {
        while let Some(keys) = typed.recv().await {
            if input.write_all(&keys).await.is_err() || input.flush().await.is_err() {
                break;
            }
        }
        // The end of standard input; the other direction stays.
        let _ = input.shutdown().await;
        input
    });
    let options = WaitContainerOptions { condition: "not-running".to_owned() };
    let mut ended = daemon.docker.wait_container(id, Some(options));
    let mut over = false;
    // The output may be there after the end, and its stream may not end at all.
    loop {
        let part = if over {
            tokio::time::timeout(Duration::from_millis(300), output.next()).await.ok().flatten()
        } else {
            tokio::select! {
                part = output.next() => part,
                _ = resized.recv(), if terminal => {
                    resize(daemon, id).await;
                    continue;
                }
                _ = ended.next() => {
                    over = true;
                    continue;
                }
            }
        };
        let Some(Ok(part)) = part else { break };
        // Who does not want to see it may close the stream.
        let _ = match part {
            LogOutput::StdErr { message } => io::stderr().write_all(&message),
            other => io::stdout().write_all(other.as_ref()).and_then(|()| io::stdout().flush()),
        };
    }
    if !over {
        let _ = ended.next().await;
    }
    drop(raw);
    typing.abort();
    let path = format!("{WORK}/{SHELL_REPORT}");
    let options = DownloadFromContainerOptions { path };
    let mut stream = daemon.docker.download_from_container(id, Some(options));
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend(chunk.map_err(|error| daemon.failed("asking how the shell ended", error))?);
    }
    report(&bytes).ok_or_else(|| daemon.broken("running a shell in a container", "it left no report"))?.result()
}

/// Gives the container's terminal the size of the caller's.
async fn resize(daemon: &Daemon, id: &str) {
    if let Ok(size) = tcgetwinsize(io::stdout()) {
        let options = ResizeContainerTTYOptions { h: size.ws_row.into(), w: size.ws_col.into() };
        // A shell in a terminal of the wrong size is better than none.
        let _ = daemon.docker.resize_container_tty(id, options).await;
    }
}

/// What comes on standard input, read by a thread that nobody waits for.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 4096];
        while let Ok(length @ 1..) = io::stdin().lock().read(&mut buffer) {
            if sender.blocking_send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

fn report(archive: &[u8]) -> Option<JobReport> {
    let mut archive = tar::Archive::new(archive);
    let mut json = Vec::new();
    archive.entries().ok()?.next()?.ok()?.read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

/// The job, the inputs and the build directory, as process 1 expects them in its folder.
fn archive(run: &Run<'_>) -> Result<Vec<u8>, ExecutorError> {
    let job = serde_json::to_vec(&job(run)).map_err(|error| ExecutorError::Internal(error.to_string()))?;
    let mut builder = Builder::new(Vec::new());
    let header = |kind, mode, size| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(USER.into());
        header.set_gid(USER.into());
        header.set_size(size);
        header
    };
    let internal = |error: io::Error| ExecutorError::Internal(error.to_string());
    let (inputs, build) = FOLDERS;
    let mut job_header = header(EntryType::Regular, 0o644, job.len() as u64);
    builder.append_data(&mut job_header, SHELL_JOB, &job[..]).map_err(internal)?;
    builder.append_data(&mut header(EntryType::Directory, 0o755, 0), inputs, io::empty()).map_err(internal)?;
    for (index, input) in run.inputs.iter().enumerate() {
        let at = Path::new(inputs).join(index.to_string());
        trees::pack_below(&mut builder, input.host, &at, USER.into())
            .map_err(|source| host("send the action", input.host, source))?;
    }
    trees::pack_below(&mut builder, run.build_dir, Path::new(build), USER.into())
        .map_err(|source| host("send the action", run.build_dir, source))?;
    builder.into_inner().map_err(internal)
}

/// The terminal passes on every key as it is, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn new() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        // A signal from elsewhere ends this process without dropping anything.
        let restored = before.clone();
        signals::before_end(move || {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &restored);
        });
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // It was set a moment ago; a terminal that has gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
