//! What a recipe gives: its tree, its package, and what it offers to those that build against it.

use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::Arc;

use super::dependency::{Library, Offer, Python};
use super::{Context, Handle, Take, Words};
use crate::node::{Op, Package};

/// What came of a recipe.
#[derive(Debug, Clone, Default)]
pub(super) struct Product {
    pub(super) tree: Option<Handle>,
    pub(super) package: Option<Handle>,
    pub(super) offer: Arc<Offer>,
    /// Whether mistakes were found in it.
    pub(super) is_wrong: bool,
}

/// A product while its recipe is described.
#[derive(Debug, Default)]
pub(super) struct Draft {
    tree: Vec<(Take, String)>,
    content: Vec<(Take, String)>,
    requires: Vec<String>,
    /// Packages that the linked libraries need.
    pub(super) needs: BTreeSet<String>,
    /// Whether there is code that runs on the sysroot.
    pub(super) is_code: bool,
    pub(super) offer: Offer,
}

fn add(parts: &mut Vec<(Take, String)>, take: Take, at: &str) {
    let part = (take, at.to_owned());
    if !parts.contains(&part) {
        parts.push(part);
    }
}

impl Context<'_> {
    /// Lays something into the recipe's tree, which other recipes take, below a directory (empty:
    /// the top).
    pub fn tree(&mut self, take: impl Into<Take>, at: &str) {
        add(&mut self.draft.tree, take.into(), at);
    }

    /// Installs something with the recipe's package, below a directory of DEST (empty: DEST
    /// itself).
    pub fn install_tree(&mut self, take: impl Into<Take>, at: &str) {
        add(&mut self.draft.content, take.into(), at);
    }

    /// Gives a program of the package a short name, by which `run` finds it: the path is the one
    /// that programs in the sandbox see.
    #[track_caller]
    pub fn short_name(&mut self, name: &str, program: &str) {
        let file = self.text_file(&format!("programs/{name}"), name, &format!("{program}\n"), false);
        self.install_tree(&file, "lib/programs");
    }

    /// Gives other recipes something that is not in its tree, under a name that they ask for with
    /// [`given_by`](Self::given_by).
    pub fn gives(&mut self, name: &str, take: impl Into<Take>) {
        self.draft.offer.parts.insert(name.to_owned(), take.into());
    }

    /// Names packages that the recipe's package needs at run time, beside those whose libraries it
    /// links.
    pub fn requires(&mut self, packages: impl Words) {
        self.draft.requires.extend(packages.words());
    }

    /// Makes this tree the recipe's: headers in `include`, and libraries at these paths in it
    /// (`lib/libNAME.a`, whose objects have to be compiled for shared libraries, or
    /// `lib/libNAME.so`), which other recipes link when they depend on it.
    #[track_caller]
    pub fn exports(&mut self, tree: &Handle, libraries: impl Words) {
        self.tree(tree, "");
        self.draft.is_code = true;
        self.offer_headers(None, "include");
        for path in libraries.words() {
            match Library::at(&path, tree) {
                Some(library) => {
                    let offer = &mut self.draft.offer;
                    offer.linked.extend(library.shared.clone().map(|path| (path, tree.clone())));
                    offer.libraries.push(library);
                }
                None => self.mistake(format!(
                    "`{path}` is no library that can be exported: its name has to be `libNAME.a` or `libNAME.so`"
                )),
            }
        }
    }

    /// Offers a Python: users of this recipe see headers of it, of which `include` is the directory
    /// that they search; `None`: those of the recipe's tree.
    pub fn offers_python(&mut self, headers: Option<Take>, include: &str, python: Python) {
        self.offer_headers(headers, include);
        self.draft.offer.python = Some(python);
    }

    /// Offers headers, of which `include` is the directory that users search; `None`: those of the
    /// recipe's tree.
    pub(super) fn offer_headers(&mut self, headers: Option<Take>, include: &str) {
        let offer = &mut self.draft.offer;
        offer.headers = headers.or(offer.headers.take());
        if !offer.include.iter().any(|there| there == include) {
            offer.include.push(include.to_owned());
        }
    }

    /// Makes the nodes of the tree and of the package.
    pub(super) fn finish(mut self, at: &'static Location<'static>) -> Product {
        let Draft { tree, content, requires, needs, is_code, mut offer } = std::mem::take(&mut self.draft);
        let tree = match &tree[..] {
            [] => None,
            [(take, place)] if take.is_all() && place.is_empty() => Some(Handle::new(take.node().clone())),
            _ => Some(self.merge_at(at, "tree", tree)),
        };
        let package = (!content.is_empty()).then(|| {
            let sysroot = self.toolchain.sysroot().filter(|sysroot| is_code && *sysroot != self.recipe.name);
            let mut all: Vec<String> = Vec::new();
            for name in requires.into_iter().chain(sysroot.map(ToOwned::to_owned)).chain(needs) {
                if !all.contains(&name) {
                    all.push(name);
                }
            }
            let package = Package {
                name: self.recipe.name.to_owned(),
                version: self.recipe.version.to_owned(),
                target: self.target().clone(),
                requires: all,
                content: self.parts(content, at),
            };
            self.node_at(at, "package", Op::Package(package))
        });
        if let Some(tree) = &tree {
            if !offer.include.is_empty() {
                offer.headers.get_or_insert_with(|| tree.select("include"));
            }
            for library in &mut offer.libraries {
                library.tree = tree.clone();
                library.package = package.as_ref().map(|_| self.recipe.name.to_owned());
            }
        }
        if tree.is_none() && package.is_none() {
            self.mistake_at(
                at,
                "it gives neither a tree nor a package: build something, or lay something out with `tree` or \
                 `install_tree`"
                    .to_owned(),
            );
        }
        Product { tree, package, offer: Arc::new(offer), is_wrong: false }
    }
}
