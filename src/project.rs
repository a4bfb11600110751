//! The project that the tool works in: its root, its settings, its files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use build_graph::dsl::{
    Bundle, ImagesLock, Locks, Materials, Override, ProjectFile, SourcesDigest, SourcesLock, WantedSource,
};
use build_graph::files::{is_leaving, with_unix_line_ends};
use build_graph::node::Target;
use build_graph::untrusted::printable_path;
use build_graph::{Entry, RelPath, Tree};
use rustix::fs::Stat;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use walkdir::WalkDir;

use crate::build::compilers::Compilers;
use crate::build::seen::{EarlierFolders, Seen};
use crate::called::called;
use crate::executor::{Choice, LimitSettings};
use crate::lock::{self, Wanted};
use crate::regular;
use crate::remote::reapi::engine::EngineSection;
use crate::remote::settings::{RemoteSettings, TrustSettings};
use crate::repository::settings::RepositorySettings;
use crate::store::{Found, Store, StoreError, Taking};

/// The file that marks a project's root and holds its settings.
pub const SETTINGS_FILE: &str = "pynbox.toml";
/// Folders of a project whose files recipes may use.
const FILE_FOLDERS: [&str; 3] = [PATCHES, "recipes/files", "sandbox"];
/// The folder of the patches, each of which must be some recipe's.
const PATCHES: &str = "patches";
/// What is wanted, from which the lock files are written.
const WANTED: &str = "wanted.toml";
/// The folder of the lock files.
pub const LOCKS: &str = "recipes/locks";

/// A project can't be worked with.
#[derive(Debug, Error)]
pub enum ProjectError {
    /// No settings file in the folder or above.
    #[error("there is no `{SETTINGS_FILE}` in `{}` or above it; go to a project, or make one with an empty `{SETTINGS_FILE}`", printable_path(.0))]
    NoProject(PathBuf),
    /// Ninja's file is text.
    #[error("the path of the project, `{}`, is no UTF-8, and ninja can't be told it; move the project to one that is", printable_path(.0))]
    NotText(PathBuf),
    /// A settings or lock file is malformed.
    #[error("`{}` is malformed: {problem}", printable_path(.path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        problem: String,
    },
    /// A file can't be read.
    #[error("can't read `{}`: {source}", printable_path(.path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something among the project's files is none.
    #[error("`{}` is not read: {why}", printable_path(.path))]
    NotRead {
        /// Where it stands.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// The program is older than the recipes that it was compiled from.
    #[error("the recipes in `{}` have changed since this program was compiled from them; build it again: `cargo build --release`", printable_path(.0))]
    Stale(PathBuf),
    /// A file of the project is the program's own but for its line ends.
    #[error(
        "`{}` has the line ends of Windows, as git gives them to files where `core.autocrlf` says so, and they would be part of \
         what is built; commit or stash what you changed, and check the files out again: \
         `git config core.autocrlf false && git rm -rq --cached . && git reset --hard`",
        printable_path(.0)
    )]
    LineEnds(PathBuf),
    /// A file of the project that the program was compiled from is newer than the program.
    #[error(
        "`{}` is newer than this program, which was compiled from it; compile it again: `cargo build --release`",
        printable_path(.0)
    )]
    Newer(PathBuf),
    /// The lock files are not those of what is wanted.
    #[error(
        "the lock files in `{}` are not those of what `wanted.toml` and the recipes want; write them anew: `{} lock`{}",
        printable_path(.folder),
        called(),
        .differences.iter().map(|difference| format!("\n{difference}")).collect::<String>()
    )]
    Outdated {
        /// The folder of the lock files.
        folder: PathBuf,
        /// In what they differ.
        differences: Vec<String>,
    },
    /// An option names a source wrongly.
    #[error("`--override-source {option}`: {problem}")]
    Override {
        /// The option.
        option: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What `pynbox.toml` may hold. Every setting has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// How to build.
    pub build: BuildSettings,
    /// How to get sources.
    pub source: SourceSettings,
    /// The engine of the Remote Execution API for `--executor reapi`.
    pub engine: Option<EngineSection>,
    /// A remote cache. Several are asked in the order of the file.
    pub remote: Vec<RemoteSettings>,
    /// A repository of packages, by a name for `publish` and `install --repo`.
    pub repository: Vec<RepositorySettings>,
    /// Which signatures and engines are trusted.
    pub trust: TrustSettings,
}

/// The section `[build]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BuildSettings {
    /// The target that ninja builds when no other is named, in place of the recipes' own default.
    pub target: Option<String>,
    /// What runs actions. It changes no result.
    pub executor: Choice,
    /// What one action may take.
    pub limits: LimitSettings,
}

/// The section `[source]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourceSettings {
    /// The root of a Debian mirror, in place of the one that apt is set up for.
    pub debian_mirror: Option<String>,
    /// The index of Python packages, in place of the one that pip is set up for.
    pub pypi_index: Option<String>,
    /// Never use the network, as with `--offline`.
    pub offline: bool,
}

/// A project's root and settings.
#[derive(Debug, Clone)]
pub struct Project {
    /// The folder with the settings file.
    pub root: PathBuf,
    /// The settings.
    pub settings: Settings,
}

/// The materials for the recipes, and every file and folder that was looked at for them.
pub struct Loaded {
    /// The materials.
    pub materials: Materials,
    /// What was looked at: if all of it is current, loading again gives the same.
    pub seen: Vec<Seen>,
    /// Files that were looked at as well, and not read, because they are as they were before.
    pub unread: Vec<Seen>,
    /// The folders in place of sources, by the sources' names.
    pub folders: BTreeMap<String, PathBuf>,
    /// The trees of these folders, whose files are in the store now.
    pub found: Found,
}

/// What an override puts in the place of a source.
struct ReadOverride {
    /// The source.
    name: String,
    value: Override,
    /// Where it lies, if it is a folder.
    folder: Option<PathBuf>,
    /// Files of it that were not read, because they are as they were before.
    unread: Vec<Seen>,
}

/// A folder in place of a source, as it was read.
pub struct ReadFolder {
    /// Its files.
    pub tree: Tree,
    /// The folders, and the files that were read.
    pub seen: Vec<Seen>,
    /// Files that were looked at and not read, because they are as they were before.
    pub unread: Vec<Seen>,
}

/// Takes the files of a folder in place of the source `name` into the store.
///
/// # Errors
/// [`StoreError`] if a tree can't hold what is in it, or if something can't be read or stored.
pub fn read_folder(
    name: &str,
    folder: &Path,
    store: &Store,
    earlier: &EarlierFolders,
) -> Result<ReadFolder, StoreError> {
    let looked_at = Mutex::new((Vec::new(), Vec::new()));
    let observe = |file: Option<&RelPath>, stat: &Stat| {
        let at = file.map_or_else(|| folder.to_path_buf(), |file| folder.join(file));
        let now = Seen::of(at, stat);
        let known = file.and_then(|file| earlier.file(name, folder, file, &now, stat));
        let mut looked_at = looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let list = if known.is_some() { &mut looked_at.1 } else { &mut looked_at.0 };
        list.push(now);
        known
    };
    let tree = store.ingest_observed(folder, Taking::Sources, &observe)?;
    let (seen, unread) = looked_at.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(ReadFolder { tree, seen, unread })
}

impl Project {
    /// Finds the project of a folder: the nearest one above it that has a settings file.
    ///
    /// # Errors
    /// [`ProjectError::NoProject`], or a settings file that is malformed.
    pub fn find(from: &Path) -> Result<Self, ProjectError> {
        let from = from.canonicalize().map_err(|source| ProjectError::Read { path: from.to_path_buf(), source })?;
        // Whatever has the name marks a root: what is no file is said when it is read.
        let Some(root) = from.ancestors().find(|folder| folder.join(SETTINGS_FILE).symlink_metadata().is_ok()) else {
            return Err(ProjectError::NoProject(from));
        };
        if root.to_str().is_none() {
            return Err(ProjectError::NotText(root.to_path_buf()));
        }
        let settings = read_toml(&root.join(SETTINGS_FILE))?;
        Ok(Self { root: root.to_path_buf(), settings })
    }

    /// The target that is built by default.
    pub fn default_target(&self, bundle: &Bundle) -> Target {
        self.settings.build.target.clone().map_or_else(|| bundle.default_target.clone(), |target| Target(target.into()))
    }

    /// Loads what the recipes need: the project's files, and where it has none the ones that were
    /// compiled in.
    ///
    /// # Errors
    /// [`ProjectError::Stale`] if the recipes were changed after the program was compiled;
    /// malformed files and overrides.
    pub fn load(&self, bundle: &Bundle, overrides: &[String], store: &Store) -> Result<Loaded, ProjectError> {
        self.load_again(bundle, overrides, store, &EarlierFolders::default())
    }

    /// As [`Project::load`], after it was done before.
    ///
    /// # Errors
    /// As [`Project::load`].
    pub fn load_again(
        &self,
        bundle: &Bundle,
        overrides: &[String],
        store: &Store,
        earlier: &EarlierFolders,
    ) -> Result<Loaded, ProjectError> {
        let mut seen = vec![Seen::now(self.root.join(SETTINGS_FILE))];
        let own_recipes = self.check_sources(bundle, &mut seen)?;
        if !own_recipes {
            self.check_program(&mut seen)?;
        }
        let mut materials = Materials {
            locks: bundle.locks.clone(),
            files: bundle.files.clone(),
            patches: Vec::new(),
            overrides: BTreeMap::new(),
            host_toolchain: match Compilers::known(store) {
                Ok(compilers) => {
                    seen.extend(compilers.seen);
                    compilers.versions
                }
                // Without compilers, results of those that compiled this program may be had from
                // elsewhere.
                Err(_) => env!("PYNBOX_HOST_TOOLCHAIN").to_owned(),
            },
            program: called().to_owned(),
        };
        for folder in FILE_FOLDERS {
            if own_recipes {
                // The project is where the recipes come from: what it has is all there is.
                materials.files.remove_below(folder);
            }
            let paths = self.read_files(folder, bundle, &mut materials, &mut seen)?;
            if folder == PATCHES {
                materials.patches = paths;
            }
        }
        let locks = self.root.join(LOCKS);
        seen.push(Seen::now(locks.clone()));
        if locks.is_dir() {
            materials.locks = self.read_locks(&locks, bundle, own_recipes, &mut seen)?;
        } else {
            let wanted = wanted_sources(bundle, false);
            let differences = lock::outdated(None, &wanted, &SourcesLock::default(), None);
            if !differences.is_empty() {
                return Err(ProjectError::Outdated { folder: locks, differences });
            }
        }
        let (mut folders, mut unread, mut found) = (BTreeMap::new(), Vec::new(), Found::default());
        for option in overrides {
            let read = self.read_override(option, &materials.locks, store, earlier, &mut seen)?;
            if let (Override::Folder(tree), Some(folder)) = (&read.value, read.folder) {
                found.add_tree(tree.digest());
                folders.insert(read.name.clone(), folder);
            }
            unread.extend(read.unread);
            materials.overrides.insert(read.name, read.value);
        }
        Ok(Loaded { materials, seen, unread, folders, found })
    }

    /// Returns the sources that the project's lock file has to pin: those of recipes that are not
    /// compiled in, or of all where these come from the project.
    ///
    /// # Errors
    /// [`ProjectError::Stale`] if the recipes were changed after the program was compiled.
    pub fn wanted_sources(&self, bundle: &Bundle) -> Result<BTreeMap<&'static str, WantedSource>, ProjectError> {
        let mut seen = Vec::new();
        Ok(wanted_sources(bundle, self.check_sources(bundle, &mut seen)?))
    }

    /// Whether the project is the one that the recipes were compiled from; an error if they have
    /// changed since.
    fn check_sources(&self, bundle: &Bundle, seen: &mut Vec<Seen>) -> Result<bool, ProjectError> {
        let Some(sources) = bundle.sources else { return Ok(false) };
        let mut files = Vec::new();
        for folder in sources.folders {
            if !self.root.join(folder).is_dir() {
                seen.push(Seen::now(self.root.join(folder)));
                return Ok(false);
            }
            for path in self.walk(folder, seen)? {
                if path.as_str().ends_with(".rs") {
                    let host = self.root.join(&path);
                    let bytes = regular::read(&host).map_err(|source| ProjectError::Read { path: host, source })?;
                    files.push((path, bytes));
                }
            }
        }
        files.sort();
        let digest = SourcesDigest::of(files.iter().map(|(path, bytes)| (path.as_str(), &**bytes)));
        if digest == sources.digest {
            return Ok(true);
        }
        // The program's sources but for their line ends: compiling it again would not help.
        let unix: Vec<_> = files.iter().map(|(_, bytes)| with_unix_line_ends(bytes)).collect();
        let texts = files
            .iter()
            .zip(&unix)
            .map(|((path, bytes), unix)| (path.as_str(), unix.as_ref().unwrap_or(bytes).as_slice()));
        if SourcesDigest::of(texts) == sources.digest
            && let Some(((path, _), _)) = files.iter().zip(&unix).find(|(_, unix)| unix.is_some())
        {
            return Err(ProjectError::LineEnds(self.root.join(path)));
        }
        Err(ProjectError::Stale(self.root.clone()))
    }

    /// The files of this project from which this program was compiled, as far as cargo's list
    /// beside it says; none for a program that was compiled elsewhere.
    pub fn compiled_from(&self) -> Vec<PathBuf> {
        let list =
            std::env::current_exe().ok().and_then(|program| fs::read_to_string(program.with_extension("d")).ok());
        let list = list.unwrap_or_default();
        compiled_from(&list).filter(|path| path.starts_with(&self.root)).collect()
    }

    /// Refuses a program that is older than a file of this project which it was compiled from, such
    /// as the `main.rs` with recipes of its own. cargo leaves the list of these files beside the
    /// program, and compiles it again for the same reason.
    fn check_program(&self, seen: &mut Vec<Seen>) -> Result<(), ProjectError> {
        let Ok(program) = std::env::current_exe() else { return Ok(()) };
        let list = program.with_extension("d");
        seen.push(Seen::now(list.clone()));
        let modified = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_file)?.modified().ok();
        // Without a list it was not compiled here.
        let (Ok(list), Some(compiled)) = (fs::read_to_string(&list), modified(&program)) else { return Ok(()) };
        for path in compiled_from(&list).filter(|path| path.starts_with(&self.root)) {
            let newer = modified(&path).is_some_and(|modified| modified > compiled);
            seen.push(Seen::now(path.clone()));
            if newer {
                return Err(ProjectError::Newer(path));
            }
        }
        Ok(())
    }

    /// Reads the files of a folder, and gives their paths.
    fn read_files(
        &self,
        folder: &str,
        bundle: &Bundle,
        materials: &mut Materials,
        seen: &mut Vec<Seen>,
    ) -> Result<Vec<RelPath>, ProjectError> {
        let root = self.root.join(folder);
        if !root.is_dir() {
            seen.push(Seen::now(root.clone()));
            return match fs::symlink_metadata(&root) {
                Ok(_) => Err(ProjectError::NotRead { path: root, why: "it is no folder".to_owned() }),
                Err(_) => Ok(Vec::new()),
            };
        }
        let paths = self.walk(folder, seen)?;
        for path in &paths {
            let host = self.root.join(path);
            let bytes = regular::read(&host).map_err(|source| ProjectError::Read { path: host.clone(), source })?;
            if let Some(ours) = bundle.files.bytes(path)
                && with_unix_line_ends(&bytes).is_some_and(|bytes| bytes == ours)
            {
                return Err(ProjectError::LineEnds(host));
            }
            materials.files.insert(path.clone(), ProjectFile { bytes: bytes.into() });
        }
        Ok(paths)
    }

    /// The files below a folder of the project, sorted; cargo's and editors' leavings are no files
    /// of the project. Everything else is: what can't be read as one is an error, because nobody
    /// would miss it.
    fn walk(&self, folder: &str, seen: &mut Vec<Seen>) -> Result<Vec<RelPath>, ProjectError> {
        let mut paths = Vec::new();
        let walk = WalkDir::new(self.root.join(folder)).sort_by_file_name().into_iter().filter_entry(|entry| {
            entry.depth() == 0 || !is_passed_over(&entry.file_name().to_string_lossy(), entry.file_type())
        });
        for entry in walk {
            let entry = entry.map_err(|error| ProjectError::Read {
                path: error.path().unwrap_or(&self.root).to_path_buf(),
                source: error.into_io_error().unwrap_or_else(|| io::ErrorKind::Other.into()),
            })?;
            seen.push(Seen::now(entry.path().to_path_buf()));
            let not_read = |why: &str| ProjectError::NotRead { path: entry.path().to_path_buf(), why: why.to_owned() };
            let kind = entry.file_type();
            if kind.is_symlink() && entry.depth() > 0 {
                return Err(not_read("symbolic links are not followed: put what it leads to in its place"));
            }
            if entry.file_name().to_string_lossy().starts_with('.') && entry.depth() > 0 {
                return Err(not_read("names that begin with a dot are hidden: give it another, or remove it"));
            }
            if kind.is_file() {
                let relative = entry.path().strip_prefix(&self.root).unwrap_or(entry.path());
                let Some(name) = relative.to_str() else {
                    return Err(not_read("its name is not UTF-8: give it another, or remove it"));
                };
                paths.push(RelPath::new(name).map_err(|error| not_read(&error.to_string()))?);
            } else if !kind.is_dir() && entry.depth() > 0 {
                return Err(not_read("it is neither a file nor a folder; remove it"));
            }
        }
        Ok(paths)
    }

    fn read_locks(
        &self,
        folder: &Path,
        bundle: &Bundle,
        own: bool,
        seen: &mut Vec<Seen>,
    ) -> Result<Locks, ProjectError> {
        let mut locks = if own { Locks::default() } else { bundle.locks.clone() };
        let [sources, images, wanted] = ["sources.toml", "images.toml", WANTED].map(|name| folder.join(name));
        seen.extend([&sources, &images, &wanted].map(|path| Seen::now(path.clone())));
        let known = [&wanted, &sources, &images].map(|path| path.file_name().map(ToOwned::to_owned));
        for entry in fs::read_dir(folder).map_err(|source| ProjectError::Read { path: folder.to_path_buf(), source })? {
            let entry = entry.map_err(|source| ProjectError::Read { path: folder.to_path_buf(), source })?;
            let (name, path) = (entry.file_name(), entry.path());
            let is_known = known.contains(&Some(name.clone()));
            if is_known && !path.is_file() {
                return Err(ProjectError::NotRead { path, why: "it is no file, or a link to nothing".to_owned() });
            }
            if !is_known
                && path.extension().is_some_and(|extension| extension == "toml")
                && !name.to_string_lossy().starts_with('.')
            {
                let why = format!(
                    "pins are in `sources.toml` and `images.toml`, which `{} lock` writes from `{WANTED}`",
                    called()
                );
                return Err(ProjectError::NotRead { path, why });
            }
        }
        let sources: SourcesLock = if sources.is_file() { read_toml(&sources)? } else { SourcesLock::default() };
        let images_lock: Option<ImagesLock> = if images.is_file() { Some(read_toml(&images)?) } else { None };
        let wanted: Option<Wanted> = if wanted.is_file() { Some(read_toml(&wanted)?) } else { None };
        let wanted_sources = wanted_sources(bundle, own);
        let differences = lock::outdated(wanted.as_ref(), &wanted_sources, &sources, images_lock.as_ref());
        if !differences.is_empty() {
            return Err(ProjectError::Outdated { folder: folder.to_owned(), differences });
        }
        locks.project.sources = sources.sources.keys().cloned().collect();
        locks.add_sources(sources);
        if let Some(lock) = images_lock {
            locks.project.images = lock.images.keys().cloned().collect();
            locks
                .add_images(lock)
                .map_err(|error| ProjectError::Malformed { path: images, problem: error.to_string() })?;
        }
        Ok(locks)
    }

    fn read_override(
        &self,
        option: &str,
        locks: &Locks,
        store: &Store,
        earlier: &EarlierFolders,
        seen: &mut Vec<Seen>,
    ) -> Result<ReadOverride, ProjectError> {
        let error = |problem: String| ProjectError::Override { option: option.to_owned(), problem };
        let Some((name, path)) = option.split_once('=') else {
            return Err(error("expected NAME=PATH".to_owned()));
        };
        let Some(pin) = locks.source.get(name) else {
            let known: Vec<_> = locks.source.keys().map(String::as_str).collect();
            return Err(error(format!("there is no source `{name}`; there are {}", known.join(", "))));
        };
        let path = Path::new(path);
        // A link may lead elsewhere next time.
        seen.push(Seen::now(path.to_path_buf()));
        let path = path.canonicalize().map_err(|cause| error(format!("`{}`: {cause}", printable_path(&path))))?;
        if path.is_dir() {
            let ReadFolder { tree, seen: mut read, unread } = read_folder(name, &path, store, earlier)?;
            seen.append(&mut read);
            let (name, value) = (name.to_owned(), Override::Folder(tree));
            return Ok(ReadOverride { name, value, folder: Some(path), unread });
        }
        seen.push(Seen::now(path.clone()));
        regular::open(&path).map_err(|cause| error(format!("`{}`: {cause}", printable_path(&path))))?;
        let entry: Entry = store.put_file(&path, false)?;
        let mut tree = Tree::new();
        // The first entry of a tree can't conflict.
        let _ = tree.insert(pin.file.clone(), entry);
        Ok(ReadOverride { name: name.to_owned(), value: Override::Archive(tree), folder: None, unread: Vec::new() })
    }
}

/// Whether a name is one that cargo and editors leave behind. A patch whose name begins with a dot
/// is none: somebody hid it, and expects it to be applied or not.
fn is_passed_over(name: &str, kind: fs::FileType) -> bool {
    let is_hidden_patch = (name.ends_with(".patch") || name.ends_with(".diff")) && !name.starts_with(".#");
    (name.starts_with('.') && !is_hidden_patch) || is_leaving(name) || (name == "target" && !kind.is_file())
}

/// The files that cargo's list names as those that a program was compiled from: a line a program,
/// in which a space in a name follows a backslash.
fn compiled_from(list: &str) -> impl Iterator<Item = PathBuf> {
    let files = list.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, files)| files);
    let mut paths = vec![String::new()];
    for word in files.split(' ') {
        let path = paths.last_mut().expect("there is always one");
        match word.strip_suffix('\\') {
            Some(start) => *path += &format!("{start} "),
            None => {
                *path += word;
                paths.push(String::new());
            }
        }
    }
    paths.into_iter().filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn wanted_sources(bundle: &Bundle, own_recipes: bool) -> BTreeMap<&'static str, WantedSource> {
    let mut wanted = bundle.set.wanted_sources();
    wanted.retain(|name, wanted| {
        let locked = bundle.locks.version.get(*name).zip(bundle.locks.source.get(*name));
        own_recipes || locked.is_none_or(|(version, source)| lock::differs(wanted, version, source).is_some())
    });
    wanted
}

fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ProjectError> {
    let text =
        regular::read_to_string(path).map_err(|source| ProjectError::Read { path: path.to_path_buf(), source })?;
    toml::from_str(&text).map_err(|error| ProjectError::Malformed {
        path: path.to_path_buf(),
        problem: error.to_string().trim_end().to_owned(),
    })
}
