//! Images: our root file systems, brought to the daemon once and used by the daemon's own name for
//! their content.
//!
//! An image has two layers, the action's root file system below `/image` and the runner. Both are
//! tar streams that are the same everywhere, so the image has the same ID everywhere, and no tag,
//! which could move. Which ID a tree has is noted in a file, since finding it takes reading the
//! whole tree; the daemon's answer is checked against the digests of the layers when it is loaded.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bollard::query_parameters::ImportImageOptions;
use build_graph::SOURCE_DATE_EPOCH;
use futures_util::{StreamExt as _, stream};
use namespaces::ExecutorError;
use namespaces::Run;
use namespaces::serve::{IMAGE, PROGRAM, WORK, trees};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use super::client::{Daemon, is_missing};
use super::container::USER;
use super::{host, lock};

/// The images that the daemon is known to have.
pub(super) struct Images {
    runner: Arc<Vec<u8>>,
    /// Tells this daemon's images with this runner from others.
    seed: blake3::Hash,
    folder: PathBuf,
    known: Mutex<HashMap<String, String>>,
}

impl Images {
    pub(super) fn new(daemon: &Daemon, runner: Vec<u8>, folder: PathBuf) -> Self {
        let mut seed = blake3::Hasher::new();
        for part in [daemon.id.as_bytes(), &USER.to_le_bytes(), &runner] {
            seed.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        Self { runner: Arc::new(runner), seed: seed.finalize(), folder, known: Mutex::default() }
    }

    /// The ID of the run's image at the daemon, which gets it if it has not.
    pub(super) async fn id(&self, daemon: &Daemon, run: &Run<'_>) -> Result<String, ExecutorError> {
        let tree = match run.image {
            Some(digest) => digest.to_string(),
            None => fingerprint(run.root).map_err(|source| host("read the image", run.root, source))?,
        };
        let key = blake3::keyed_hash(self.seed.as_bytes(), tree.as_bytes()).to_hex().to_string();
        if let Some(id) = lock(&self.known).get(&key) {
            return Ok(id.clone());
        }
        let note = self.folder.join(&key);
        if let Some(id) = self.noted(daemon, &note).await? {
            lock(&self.known).insert(key, id.clone());
            return Ok(id);
        }
        // One process brings it, others wait.
        let lock_file = self.folder.join("lock");
        let held = tokio::task::spawn_blocking(move || {
            let file = File::create(&lock_file)?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok::<_, io::Error>(file)
        });
        let held = held.await.map_err(io::Error::other).and_then(|held| held);
        let _held = held.map_err(|source| host("lock", &self.folder, source))?;
        let id = match self.noted(daemon, &note).await? {
            Some(id) => id,
            None => {
                let id = self.load(daemon, run.root, &tree).await?;
                write_note(&note, &id).map_err(|source| host("write", &note, source))?;
                id
            }
        };
        lock(&self.known).insert(key, id.clone());
        Ok(id)
    }

    /// What the note says, if the daemon still has that image.
    async fn noted(&self, daemon: &Daemon, note: &Path) -> Result<Option<String>, ExecutorError> {
        let Ok(id) = fs::read_to_string(note) else { return Ok(None) };
        if find_id(&id).as_deref() != Some(&id) {
            return Ok(None);
        }
        match daemon.docker.inspect_image(&id).await {
            Ok(_) => Ok(Some(id)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(daemon.failed("asking for an image", error)),
        }
    }

    async fn load(&self, daemon: &Daemon, root: &Path, tree: &str) -> Result<String, ExecutorError> {
        let (root_owned, runner) = (root.to_path_buf(), Arc::clone(&self.runner));
        let reading = move |source| host("read the image", &root_owned, source);
        let measured = {
            let (root, runner) = (root.to_path_buf(), Arc::clone(&runner));
            tokio::task::spawn_blocking(move || {
                let mut image = Measure::default();
                write_image_layer(&root, &mut image)?;
                let mut own = Measure::default();
                write_runner_layer(&runner, &mut own)?;
                Ok::<_, io::Error>([image.done(), own.done()])
            })
        };
        let layers = measured.await.map_err(io::Error::other).and_then(|layers| layers).map_err(&reading)?;
        let config = config(tree, &layers);
        let (sender, receiver) = mpsc::channel::<Result<Vec<u8>, io::Error>>(8);
        let packing = {
            let (root, layers, failed) = (root.to_path_buf(), layers.clone(), sender.clone());
            tokio::task::spawn_blocking(move || {
                let to = io::BufWriter::with_capacity(256 << 10, Channel(sender));
                let written = write_archive(to, &root, &runner, &layers, &config);
                if let Err(error) = written {
                    // Breaks the request off; if that is over already, nobody waits for more.
                    let _ = failed.blocking_send(Err(error));
                }
            })
        };
        let body = stream::unfold(receiver, |mut receiver| async move {
            let chunk = receiver.recv().await?;
            Some((chunk.map(Into::into), receiver))
        });
        let options = ImportImageOptions { quiet: true, ..ImportImageOptions::default() };
        let mut answers = daemon.docker.import_image_stream(options, Box::pin(body), None);
        let mut said = String::new();
        while let Some(answer) = answers.next().await {
            let answer = answer.map_err(|error| daemon.failed("bringing an image to the Docker daemon", error))?;
            said.push_str(&answer.stream.unwrap_or_default());
        }
        drop(answers);
        packing.await.map_err(|error| reading(io::Error::other(error)))?;
        let wrong = |what: String| daemon.broken("bringing an image to the Docker daemon", what);
        let id =
            find_id(&said).ok_or_else(|| wrong(format!("it does not say which image it got: `{}`", said.trim())))?;
        let found = daemon.docker.inspect_image(&id).await;
        let found = found.map_err(|error| daemon.failed("asking for an image", error))?;
        let has = found.root_fs.and_then(|root| root.layers).unwrap_or_default();
        let wanted: Vec<_> = layers.iter().map(|layer| format!("sha256:{}", layer.sha256)).collect();
        if has != wanted {
            return Err(wrong(format!("the image `{id}` has other layers than it was sent")));
        }
        Ok(id)
    }
}

/// The first `sha256:…` in a text.
fn find_id(text: &str) -> Option<String> {
    let at = text.find("sha256:")?;
    let id = text.get(at..at + 71)?;
    id[7..].bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| id.to_owned())
}

fn write_note(note: &Path, id: &str) -> io::Result<()> {
    let folder = note.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(id.as_bytes())?;
    file.persist(note).map_err(|error| error.error).map(drop)
}

/// Tells a directory from others by its files' names, inodes, sizes and times.
fn fingerprint(root: &Path) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt as _;
    let mut hasher = blake3::Hasher::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let path = entry.path().as_os_str().as_encoded_bytes();
        hasher.update(&(path.len() as u64).to_le_bytes()).update(path);
        for number in [
            metadata.ino(),
            metadata.dev(),
            metadata.size(),
            u64::from(metadata.mode()),
            metadata.mtime().cast_unsigned(),
            metadata.mtime_nsec().cast_unsigned(),
            metadata.ctime().cast_unsigned(),
            metadata.ctime_nsec().cast_unsigned(),
        ] {
            hasher.update(&number.to_le_bytes());
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// One layer of an image.
#[derive(Debug, Clone)]
struct Layer {
    length: u64,
    /// In hexadecimal digits.
    sha256: String,
}

#[derive(Default)]
struct Measure {
    length: u64,
    sha256: Sha256,
}

impl Measure {
    fn done(self) -> Layer {
        Layer { length: self.length, sha256: hex(&self.sha256.finalize()) }
    }
}

impl Write for Measure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len() as u64;
        self.sha256.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(USER.into());
    header.set_gid(USER.into());
    header.set_mtime(SOURCE_DATE_EPOCH);
    header.set_size(size);
    header
}

fn write_image_layer(root: &Path, to: &mut impl Write) -> io::Result<()> {
    let mut builder = Builder::new(to);
    for name in ["dev", "proc", "sys", WORK.trim_start_matches('/')] {
        builder.append_data(&mut header(EntryType::Directory, 0o755, 0), name, io::empty())?;
    }
    trees::pack_below(&mut builder, root, Path::new(IMAGE.trim_start_matches('/')), USER.into())?;
    builder.finish()
}

fn write_runner_layer(runner: &[u8], to: &mut impl Write) -> io::Result<()> {
    let mut builder = Builder::new(to);
    let mut header = header(EntryType::Regular, 0o555, runner.len() as u64);
    builder.append_data(&mut header, PROGRAM.trim_start_matches('/'), runner)?;
    builder.finish()
}

fn config(tree: &str, layers: &[Layer; 2]) -> Vec<u8> {
    let digests = layers.each_ref().map(|layer| format!("sha256:{}", layer.sha256));
    let created = "1980-01-02T00:00:00Z";
    let history = ["root file system", "runner"].map(|what| serde_json::json!({ "created": created, "comment": what }));
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": { "Labels": { "pynbox-build.image": tree } },
        "rootfs": { "type": "layers", "diff_ids": digests },
        "history": history,
    });
    config.to_string().into_bytes()
}

/// The archive that `docker load` takes.
fn write_archive(to: impl Write, root: &Path, runner: &[u8], layers: &[Layer; 2], config: &[u8]) -> io::Result<()> {
    let config_name = format!("{}.json", hex(&Sha256::digest(config)));
    let names = layers.each_ref().map(|layer| format!("{}.tar", layer.sha256));
    let manifest = serde_json::json!([{ "Config": config_name, "RepoTags": null, "Layers": names }]).to_string();
    let mut builder = Builder::new(to);
    for (name, bytes) in [(config_name.as_str(), config), ("manifest.json", manifest.as_bytes())] {
        builder.append_data(&mut header(EntryType::Regular, 0o644, bytes.len() as u64), name, bytes)?;
    }
    // A layer is written, not read: its header comes first, its content past the builder.
    for (index, (layer, name)) in layers.iter().zip(&names).enumerate() {
        let mut header = header(EntryType::Regular, 0o644, layer.length);
        header.set_path(name)?;
        header.set_cksum();
        let mut to = Counted { to: builder.get_mut(), count: 0 };
        to.to.write_all(header.as_bytes())?;
        if index == 0 {
            write_image_layer(root, &mut to)?;
        } else {
            write_runner_layer(runner, &mut to)?;
        }
        if to.count != layer.length {
            return Err(io::Error::other("it changed while it was read"));
        }
        let padding = layer.length.next_multiple_of(512) - layer.length;
        to.to.write_all(&[0; 512][..padding as usize])?;
    }
    builder.into_inner()?.flush()
}

struct Counted<'a, W> {
    to: &'a mut W,
    count: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.to.write(bytes)?;
        self.count += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Channel(mpsc::Sender<Result<Vec<u8>, io::Error>>);

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(Ok(bytes.to_vec())).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
