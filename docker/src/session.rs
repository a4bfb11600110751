//! One action: its inputs go in, its output and what it made come out, over the container's
//! standard streams ([`namespaces::serve`] has the format).

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use futures_util::{Stream, StreamExt as _};
use namespaces::job::JobReport;
use namespaces::serve::{self, trees};
use namespaces::{ExecutorError, Run, Status};
use tar::Builder;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::client::{Daemon, is_missing};
use super::container::{self, Attached, Purpose};
use super::{Inner, host, job, lock, ready};

/// After so long without a word, the daemon is asked whether the container still runs.
const SILENCE: Duration = Duration::from_secs(10);
/// What the runner may take beyond the action's own time, to unpack, end and pack.
const GRACE: Duration = Duration::from_secs(15 * 60);
const DOING: &str = "running the action in a Docker container";

/// Runs one action.
pub(super) async fn run(inner: &Arc<Inner>, run: &Run<'_>, mut log: File) -> Result<Status, ExecutorError> {
    let image = inner.images.id(&inner.daemon, run).await?;
    if let Some(attached) = ready::claim(inner, &image).await {
        ready::forget(inner, &attached.id);
        ready::refill(inner, &image);
        match act(inner, attached, run, &mut log).await {
            // It ended in the moment in which it was claimed: nothing has begun.
            Err(Stopped::Unheard(_)) => {}
            Err(Stopped::Failed(error)) => return Err(error),
            Ok(status) => return Ok(status),
        }
    }
    let attached = fresh(inner, &image).await?;
    ready::refill(inner, &image);
    act(inner, attached, run, &mut log).await.map_err(|stopped| match stopped {
        Stopped::Unheard(error) | Stopped::Failed(error) => error,
    })
}

async fn fresh(inner: &Inner, image: &str) -> Result<Attached, ExecutorError> {
    let daemon = &inner.daemon;
    let id = container::create(daemon, image, Purpose::Action).await.map_err(|error| {
        let missing = is_missing(&error);
        let error = daemon.failed("making a container", error);
        if missing { daemon.broken("making a container", "its image was removed meanwhile") } else { error }
    })?;
    let joined = async {
        let attached = container::attach(daemon, &id).await?;
        container::start(daemon, &id).await?;
        Ok(attached)
    };
    match joined.await {
        Ok(attached) => Ok(attached),
        Err(error) => {
            container::remove(daemon, &id).await;
            Err(daemon.failed("starting a container", error))
        }
    }
}

enum Stopped {
    /// The container ended before it said anything.
    Unheard(ExecutorError),
    Failed(ExecutorError),
}

async fn act(inner: &Inner, attached: Attached, run: &Run<'_>, log: &mut File) -> Result<Status, Stopped> {
    let id = attached.id.clone();
    lock(&inner.busy).push(id.clone());
    let result = converse(inner, attached, run, log).await;
    if result.is_err() {
        container::remove(&inner.daemon, &id).await;
    }
    lock(&inner.busy).retain(|busy| *busy != id);
    result
}

async fn converse(inner: &Inner, attached: Attached, run: &Run<'_>, log: &mut File) -> Result<Status, Stopped> {
    let Attached { id, output, input } = attached;
    let deadline = run.limits.time.map(|time| Instant::now() + time + GRACE);
    let job =
        serde_json::to_vec(&job(run)).map_err(|error| Stopped::Failed(ExecutorError::Internal(error.to_string())))?;
    let inputs = run.inputs.iter().map(|input| input.host.to_path_buf()).collect();
    // Beside reading: the container may have something to say before it has read all.
    let sending = tokio::spawn(send(input, job, inputs));
    let (pieces, receiver) = mpsc::channel::<Vec<u8>>(16);
    let build = run.build_dir.to_path_buf();
    let unpacking = tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces { receiver, piece: Vec::new(), at: 0 };
        // Nothing comes if the action could not be run.
        if pieces.fill() { trees::unpack(pieces, &build) } else { Ok(()) }
    });
    let mut frames =
        Frames { output, id: &id, daemon: &inner.daemon, buffer: Vec::new(), at: 0, said: String::new(), deadline };
    let mut report: Option<JobReport> = None;
    let mut pieces = Some(pieces);
    let heard = loop {
        let (kind, content) = match frames.next().await {
            Ok(frame) => frame,
            Err(what) => break Err((what, frames.at > 0 || report.is_some())),
        };
        match kind {
            serve::LOG => {
                log.write_all(content).map_err(|source| Stopped::Failed(host("write", run.log, source)))?;
            }
            serve::REPORT => match serde_json::from_slice(content) {
                Ok(got) => report = Some(got),
                Err(error) => break Err((format!("its report can't be read: {error}"), true)),
            },
            serve::OUTPUT => {
                // One that stopped to unpack says why below.
                let piece = content.to_vec();
                if let Some(pieces) = &pieces {
                    let _ = pieces.send(piece).await;
                }
            }
            serve::END => break Ok(()),
            other => break Err((format!("it sent a frame of an unknown kind ({other})"), true)),
        }
    };
    pieces.take();
    let unpacked = unpacking.await.map_err(io::Error::other).and_then(|unpacked| unpacked);
    match heard {
        Ok(()) => {
            drop(sending.await);
            unpacked.map_err(|source| Stopped::Failed(host("write", run.build_dir, source)))?;
            let report = report.ok_or_else(|| "it ended without a report".to_owned());
            let report = report.map_err(|what| Stopped::Failed(inner.daemon.broken(DOING, what)))?;
            report.result().map_err(Stopped::Failed)
        }
        Err((what, spoken)) => {
            // An input that can't be read makes the container end, too.
            if let Ok(Err(Sending::Input(path, source))) = sending.await {
                return Err(Stopped::Failed(host("send the action", &path, source)));
            }
            let error = inner.daemon.broken(DOING, what);
            Err(if spoken { Stopped::Failed(error) } else { Stopped::Unheard(error) })
        }
    }
}

enum Sending {
    Input(PathBuf, io::Error),
    /// The container does not listen any more, and the other direction says why.
    Stream,
}

/// Sends the job and the inputs, and gives the stream back: when it is closed, the container ends.
async fn send(
    mut input: Pin<Box<dyn AsyncWrite + Send>>,
    job: Vec<u8>,
    inputs: Vec<PathBuf>,
) -> Result<Pin<Box<dyn AsyncWrite + Send>>, Sending> {
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(8);
    let packing = tokio::task::spawn_blocking(move || {
        let mut builder = Builder::new(io::BufWriter::with_capacity(256 << 10, Channel(sender)));
        for (index, host) in inputs.into_iter().enumerate() {
            let at = PathBuf::from(index.to_string());
            trees::pack_below(&mut builder, &host, &at, 0).map_err(|error| (host, error))?;
        }
        builder.into_inner().and_then(|mut to| to.flush()).map_err(|error| (PathBuf::new(), error))
    });
    let stream = |_| Sending::Stream;
    input.write_all(&(job.len() as u32).to_be_bytes()).await.map_err(stream)?;
    input.write_all(&job).await.map_err(stream)?;
    while let Some(piece) = receiver.recv().await {
        input.write_all(&(piece.len() as u32).to_be_bytes()).await.map_err(stream)?;
        input.write_all(&piece).await.map_err(stream)?;
    }
    match packing.await {
        Ok(Ok(())) => {}
        Ok(Err((path, error))) => return Err(Sending::Input(path, error)),
        Err(_) => return Err(Sending::Stream),
    }
    input.write_all(&0_u32.to_be_bytes()).await.map_err(stream)?;
    input.flush().await.map_err(stream)?;
    Ok(input)
}

struct Channel(mpsc::Sender<Vec<u8>>);

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The pieces of the outputs as one stream.
struct Pieces {
    receiver: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Pieces {
    /// Whether there is more.
    fn fill(&mut self) -> bool {
        while self.at == self.piece.len() {
            let Some(piece) = self.receiver.blocking_recv() else { return false };
            (self.piece, self.at) = (piece, 0);
        }
        true
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.fill() {
            return Ok(0);
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// What the runner says, a frame at a time.
struct Frames<'a> {
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
    id: &'a str,
    daemon: &'a Daemon,
    buffer: Vec<u8>,
    /// Up to where the buffer has been taken. Not 0 once there was a frame.
    at: usize,
    /// On standard error: what went wrong with the runner itself.
    said: String,
    deadline: Option<Instant>,
}

impl Frames<'_> {
    /// The next frame; or what became of the container.
    async fn next(&mut self) -> Result<(u8, &[u8]), String> {
        loop {
            if let Some(&[kind, a, b, c, d]) = self.buffer[self.at..].first_chunk() {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                if length > serve::LONGEST {
                    return Err("it sent a frame that is too long".to_owned());
                }
                let start = self.at + 5;
                if self.buffer.len() >= start + length {
                    self.at = start + length;
                    return Ok((kind, &self.buffer[start..start + length]));
                }
            }
            match self.receive().await? {
                LogOutput::StdErr { message } => {
                    if self.said.len() < 4096 {
                        self.said.push_str(&String::from_utf8_lossy(&message));
                    }
                }
                other => {
                    // Keeps one byte before: `at` says that there were frames.
                    if self.at > serve::LONGEST {
                        self.buffer.drain(1..self.at);
                        self.at = 1;
                    }
                    self.buffer.extend_from_slice(other.as_ref());
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<LogOutput, String> {
        loop {
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err("it did not end in time, nor did its runner".to_owned());
            }
            match timeout(SILENCE, self.output.next()).await {
                Ok(Some(Ok(output))) => return Ok(output),
                Ok(Some(Err(error))) => return Err(format!("the connection broke off: {error}")),
                Ok(None) => break,
                Err(_) => {
                    // The stream may never end although the container has.
                    let asked = container::is_running(self.daemon, self.id);
                    match timeout_at(Instant::now() + SILENCE, asked).await {
                        Ok(Some(true)) => {}
                        Ok(Some(false)) => break,
                        Ok(None) | Err(_) => return Err("the daemon does not answer any more".to_owned()),
                    }
                }
            }
        }
        let said = self.said.trim();
        Err(if said.is_empty() {
            "the container ended, or the daemon did, before the action was over".to_owned()
        } else {
            format!("the container ended before the action was over: {said}")
        })
    }
}
