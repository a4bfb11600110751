//! Containers that were started ahead and wait for an action.
//!
//! For each there is an empty file, named after the daemon, the image and the container. The
//! process that removes the file owns the container, for one action. A container that nobody claims
//! ends by itself ([`namespaces::serve::IDLE`]) and is removed by the daemon.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use namespaces::serve::IDLE;

use super::container::{self, Attached, Purpose};
use super::{Ahead, Inner, lock};

/// A container that has waited for so long may end at any moment.
const TOO_LONG: Duration = IDLE.saturating_sub(Duration::from_secs(2));
/// How many wait for the next actions of this process. A process that hands over starts one for the
/// one that it took.
const DEPTH: usize = 3;

fn prefix(inner: &Inner, image: &str) -> String {
    let daemon = blake3::hash(inner.daemon.id.as_bytes()).to_hex();
    let image = image.trim_start_matches("sha256:");
    format!("{}-{}.", &daemon[..16], &image[..image.len().min(32)])
}

/// Joins a container that waits for an action in this image, if there is one.
pub(super) async fn claim(inner: &Inner, image: &str) -> Option<Attached> {
    for id in claim_files(inner, &prefix(inner, image)) {
        if let Ok(attached) = container::attach(&inner.daemon, &id).await {
            return Some(attached);
        }
    }
    None
}

/// The IDs of waiting containers whose files' names begin so, each claimed when it is asked for.
fn claim_files(inner: &Inner, prefix: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(&inner.ready).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(move |entry| {
        let name = entry.file_name().into_string().ok()?;
        let id = name.strip_prefix(prefix)?.rsplit('.').next()?.to_owned();
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok()?.elapsed().unwrap_or_default();
        // One that can't be removed was claimed by another.
        fs::remove_file(entry.path()).ok()?;
        (age < TOO_LONG).then_some(id)
    })
}

/// Claims all that wait at this daemon.
pub(super) fn claim_all(inner: &Inner) -> Vec<String> {
    let daemon = blake3::hash(inner.daemon.id.as_bytes()).to_hex();
    claim_files(inner, &format!("{}-", &daemon[..16])).collect()
}

/// Claims all that this process started and that still wait.
pub(super) fn claim_own(inner: &Inner) -> Vec<String> {
    let started = std::mem::take(&mut *lock(&inner.started));
    started.into_iter().filter(|name| fs::remove_file(inner.ready.join(name)).is_ok()).filter_map(id_of).collect()
}

fn id_of(name: String) -> Option<String> {
    name.rsplit('.').next().map(str::to_owned)
}

/// Starts containers for the next actions in this image, without waiting for them.
pub(super) fn refill(inner: &Arc<Inner>, image: &str) {
    let wanted = match inner.ahead {
        Ahead::Own => {
            let prefix = prefix(inner, image);
            let waiting = lock(&inner.started).iter().filter(|name| name.starts_with(&prefix)).count();
            let starting = lock(&inner.starting).iter().filter(|starting| *starting == image).count();
            DEPTH.saturating_sub(waiting + starting)
        }
        Ahead::HandOver => 1,
        Ahead::Never => 0,
    };
    for _ in 0..wanted {
        lock(&inner.starting).push(image.to_owned());
        let task = tokio::spawn(start(Arc::clone(inner), image.to_owned()));
        lock(&inner.tasks).push(task);
    }
    lock(&inner.tasks).retain(|task| !task.is_finished());
}

/// Starts one and makes its file. A failure is not reported here: the next action starts its own
/// container and reports why it can't.
async fn start(inner: Arc<Inner>, image: String) {
    if let Ok(id) = container::create(&inner.daemon, &image, Purpose::Waiting).await {
        let name = format!("{}{id}", prefix(&inner, &image));
        let noted = match container::start(&inner.daemon, &id).await {
            Ok(()) => fs::write(inner.ready.join(&name), b"").is_ok(),
            Err(_) => false,
        };
        if noted {
            lock(&inner.started).push(name);
        } else {
            container::remove(&inner.daemon, &id).await;
        }
    }
    let mut starting = lock(&inner.starting);
    if let Some(at) = starting.iter().position(|starting| *starting == image) {
        starting.swap_remove(at);
    }
}

/// Drops a claimed container from the list of those that this process started.
pub(super) fn forget(inner: &Inner, id: &str) {
    lock(&inner.started).retain(|name| !name.ends_with(id));
}
