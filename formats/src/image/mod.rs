//! A root file system from Debian packages, without running anything of them.
//!
//! Maintainer scripts are not run, so what they would have made (the `awk` and `cc` links of
//! alternatives, for example) is given as links by who defines the image. Everything else follows
//! from the packages alone: the same packages give the same tree, in whatever order they come.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use build_graph::untrusted::printable;
use build_graph::{Entry, NothingSelected, Projection, RelPath, Tree, TreeError};
use thiserror::Error;

use crate::archive::{ArchiveError, BlobSink, Options, unpack_deb};

/// A Debian package to be unpacked.
#[derive(Debug)]
pub struct PackageFile {
    /// Its name, for messages.
    pub name: String,
    /// The `.deb`.
    pub file: File,
}

/// An image was not made.
#[derive(Debug, Error)]
pub enum ImageError {
    /// A package is damaged or holds what no image may hold.
    #[error("package `{}`: {error}", printable(package))]
    Package {
        /// Its name.
        package: String,
        /// What is wrong with it.
        error: ArchiveError,
    },
    /// Two packages want different things at one path.
    #[error(
        "packages `{}` and `{}` both have `{}`, with different contents; \
         leave one of them out of the image, or leave out the path",
        printable(first),
        printable(second),
        printable(path)
    )]
    Conflict {
        /// The path.
        path: RelPath,
        /// The package that sorts first.
        first: String,
        /// The other one.
        second: String,
    },
    /// A package puts something below what is no directory in another, or in the links.
    #[error("`{}`: {error}; leave the package or the path out of the image", printable(package))]
    Structure {
        /// Whose path it is.
        package: String,
        /// The paths.
        error: TreeError,
    },
    /// A link of the image stands where a package has something else.
    #[error(
        "the image's link `{}` -> `{}` is in the way of package `{}`; drop the link from the image",
        printable(path),
        printable(target),
        printable(package)
    )]
    Link {
        /// The path.
        path: RelPath,
        /// Where the link leads.
        target: String,
        /// Whose path it is.
        package: String,
    },
    /// The selection of the image names something that is in no package.
    #[error("the image's selection: {0}; drop the pattern, or add the package that has it")]
    Nothing(#[from] NothingSelected),
    /// A file of our own can't be stored.
    #[error("storing `{path}` failed: {error}")]
    Store {
        /// The path.
        path: &'static str,
        /// What the sink says.
        error: io::Error,
    },
}

/// Directories whose content lies below `usr` since Debian 12 ("merged /usr"), with whether the
/// link is always made.
const MERGED: [(&str, bool); 6] =
    [("bin", true), ("sbin", true), ("lib", true), ("lib64", true), ("lib32", false), ("libx32", false)];

/// Mount points and scratch space, there in every image.
const DIRECTORIES: [&str; 4] = ["build", "dev", "proc", "tmp"];

/// What programs ask about users, hosts and where to look them up. An image has these unless a
/// package brings its own.
const FILES: [(&str, &str); 4] = [
    ("etc/passwd", "root:x:0:0:root:/build:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
];

/// The root file system that these packages make, with links of the image's own, and with what
/// `part` leaves out left out.
///
/// Packages are unpacked in parallel. What `part` excludes is not even stored; links and files of
/// the image's own are subject to it too. Set-uid bits, owners, times and devices are gone, as in
/// every tree. Packages may share a path if they agree on it.
///
/// # Errors
/// [`ImageError`]; see its variants.
pub fn build_image(
    packages: &[PackageFile],
    links: &BTreeMap<RelPath, String>,
    part: &Projection,
    sink: &dyn BlobSink,
) -> Result<Tree, ImageError> {
    let mut trees = unpack_all(packages, part, sink)?;
    trees.sort_by_key(|(name, _)| *name);

    let mut owned: BTreeMap<RelPath, (&str, Entry)> = BTreeMap::new();
    let mut directories: Vec<(&str, RelPath)> = Vec::new();
    for (package, tree) in &trees {
        for (path, entry) in tree.iter() {
            if *entry == Entry::EmptyDirectory {
                directories.push((package, path.clone()));
                continue;
            }
            match owned.entry(path.clone()) {
                Slot::Vacant(slot) => {
                    slot.insert((package, entry.clone()));
                }
                Slot::Occupied(slot) if slot.get().1 == *entry => {}
                Slot::Occupied(slot) => {
                    return Err(ImageError::Conflict {
                        path: path.clone(),
                        first: slot.get().0.to_owned(),
                        second: (*package).to_owned(),
                    });
                }
            }
        }
    }

    let mut tree = Tree::new();
    for (path, target) in merged_links(&owned).chain(links.iter().map(|(path, target)| (path.clone(), target.clone())))
    {
        let entry = Entry::Symlink { target: target.clone() };
        if let Some((package, there)) = owned.get(&path)
            && *there != entry
        {
            return Err(ImageError::Link { path, target, package: (*package).to_owned() });
        }
        tree.insert(path, entry).map_err(|error| structure("(links)", error))?;
    }
    for (path, (package, entry)) in &owned {
        tree.insert(path.clone(), entry.clone()).map_err(|error| structure(package, error))?;
    }
    for (package, path) in directories {
        // A directory of one package may be a link to a directory in another: dpkg goes through the
        // link.
        if !matches!(tree.get(path.as_str()), Some(Entry::Symlink { .. })) {
            tree.insert(path, Entry::EmptyDirectory).map_err(|error| structure(package, error))?;
        }
    }
    for (path, content) in FILES {
        if tree.get(path).is_none() {
            let entry = sink.put_bytes(content.as_bytes(), false).map_err(|error| ImageError::Store { path, error })?;
            insert_own(&mut tree, path, entry)?;
        }
    }
    for path in DIRECTORIES {
        insert_own(&mut tree, path, Entry::EmptyDirectory)?;
    }
    Ok(part.apply_where_it_occurs(&tree)?)
}

fn insert_own(tree: &mut Tree, path: &str, entry: Entry) -> Result<(), ImageError> {
    // The constants above are valid paths.
    let Ok(path) = RelPath::new(path) else { return Ok(()) };
    tree.insert(path, entry).map_err(|error| structure("(every image)", error))
}

fn structure(package: &str, error: TreeError) -> ImageError {
    ImageError::Structure { package: package.to_owned(), error }
}

/// The links from `/` into `/usr`.
fn merged_links(owned: &BTreeMap<RelPath, (&str, Entry)>) -> impl Iterator<Item = (RelPath, String)> {
    let needed = |directory: &str| {
        let below = format!("usr/{directory}/");
        let from = (Bound::Included(below.as_str()), Bound::Unbounded);
        owned.range::<str, _>(from).next().is_some_and(|(path, _)| path.as_str().starts_with(&below))
    };
    let links: Vec<_> = MERGED
        .into_iter()
        .filter(|(directory, always)| *always || needed(directory))
        .filter_map(|(directory, _)| Some((RelPath::new(directory).ok()?, format!("usr/{directory}"))))
        .collect();
    links.into_iter()
}

/// Where a package's path stands in an image.
fn merged(path: RelPath) -> RelPath {
    let below = path.as_str().split_once('/').map(|(top, _)| top);
    if below.is_some_and(|top| MERGED.iter().any(|(directory, _)| *directory == top))
        && let Ok(usr) = RelPath::new("usr")
    {
        return usr.join(&path);
    }
    path
}

fn unpack_all<'a>(
    packages: &'a [PackageFile],
    part: &Projection,
    sink: &dyn BlobSink,
) -> Result<Vec<(&'a str, Tree)>, ImageError> {
    let excluded = Projection::new(Vec::new(), part.exclude().to_vec(), None);
    let place = |path: RelPath| {
        // `bin` itself, a directory in some packages, is a link in every image.
        if MERGED.iter().any(|(directory, _)| *directory == path.as_str()) {
            return None;
        }
        let path = merged(path);
        let mut alone = Tree::new();
        alone.insert(path.clone(), Entry::EmptyDirectory).ok()?;
        let left_out =
            !excluded.exclude().is_empty() && excluded.apply_where_it_occurs(&alone).is_ok_and(|rest| rest.is_empty());
        (!left_out).then_some(path)
    };
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(packages.len()));
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get).min(packages.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(package) = packages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let options = Options { place: Some(&place), ..Options::default() };
                    let tree = unpack_deb(&package.file, &options, sink);
                    let failed = tree.is_err();
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((package.name.as_str(), tree));
                    if failed {
                        next.store(packages.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut trees = Vec::with_capacity(packages.len());
    for (name, tree) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        trees.push((name, tree.map_err(|error| ImageError::Package { package: name.to_owned(), error })?));
    }
    Ok(trees)
}
