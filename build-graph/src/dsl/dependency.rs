//! What a recipe gives to those that build against it, and how they take it.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

use super::near::near;
use super::{Context, Handle, Product, Take};

/// A library of a recipe, by its name without `lib`, and where its forms lie in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    pub(super) name: String,
    pub(super) tree: Handle,
    /// The archive for programs.
    pub(super) archive: Option<String>,
    /// The archive for shared libraries that are to have it in them.
    pub(super) pic_archive: Option<String>,
    /// The shared library.
    pub(super) shared: Option<String>,
    /// Whether a program that loads libraries holds all of the archive.
    pub(super) whole: bool,
    /// The package that installs the shared library.
    pub(super) package: Option<String>,
}

impl Library {
    /// The library that lies at a path of a tree: `lib/libNAME.a` or `lib/libNAME.so`.
    pub(super) fn at(path: &str, tree: &Handle) -> Option<Self> {
        let file = path.rsplit('/').next()?.strip_prefix("lib")?;
        let (name, ending) = file.split_once('.')?;
        let mut library = Self {
            name: name.to_owned(),
            tree: tree.clone(),
            archive: None,
            pic_archive: None,
            shared: None,
            whole: false,
            package: None,
        };
        match ending {
            "a" => {
                library.archive = Some(path.to_owned());
                library.pic_archive = Some(path.to_owned());
            }
            ending if ending == "so" || ending.starts_with("so.") => library.shared = Some(path.to_owned()),
            _ => return None,
        }
        Some(library)
    }

    fn forms(&self) -> String {
        let forms = [
            ("an archive for programs", &self.archive),
            ("an archive for shared libraries", &self.pic_archive),
            ("a shared library", &self.shared),
        ];
        let forms: Vec<_> = forms.iter().filter(|(_, path)| path.is_some()).map(|(form, _)| *form).collect();
        forms.join(", ")
    }
}

/// What is linked in.
pub(super) enum LinkInput {
    /// This file of a tree.
    File { tree: Handle, path: String },
    /// The library of this name in `lib` of a tree; with `whole`, all of it if the program loads
    /// libraries.
    Named { tree: Handle, name: String, whole: bool },
}

/// A Python that modules and packages are built for.
#[derive(Debug, Clone)]
pub struct Python {
    /// Where its modules lie that are not its own, from DEST, or from its tree where nothing is
    /// installed.
    pub site: &'static str,
    /// Where programs see that directory.
    pub site_at: &'static str,
    /// The flags that its own build gives to every module.
    pub flags: &'static str,
    /// Compiles the Python files of a tree, for the directory where they will be seen; `None`: they
    /// are installed without bytecode.
    pub bytecode: Option<fn(&mut Context<'_>, &Handle, &str) -> Take>,
}

/// What a recipe gives to those that build against it, beside its tree.
#[derive(Debug, Clone, Default)]
pub(super) struct Offer {
    /// Its headers, with `include` at their top.
    pub(super) headers: Option<Take>,
    /// The directories of these that its users search.
    pub(super) include: Vec<String>,
    pub(super) libraries: Vec<Library>,
    /// What its headers include of others.
    pub(super) public: Vec<Dependency>,
    pub(super) python: Option<Python>,
    /// All shared libraries that were linked in it, Python's modules among them, by their paths in
    /// their own trees.
    pub(super) linked: Vec<(String, Handle)>,
    /// Further parts of it, by name.
    pub(super) parts: BTreeMap<String, Take>,
}

/// A recipe that another builds against.
#[derive(Debug, Clone)]
pub(super) struct Dependency {
    /// As the user calls it.
    pub(super) name: String,
    pub(super) offer: Arc<Offer>,
    /// The libraries of it that are linked in.
    pub(super) links: Vec<Library>,
}

impl Context<'_> {
    /// The product of another recipe for the same target.
    pub(super) fn product_of(&mut self, name: &str, at: &'static Location<'static>) -> Product {
        self.assembly.product(name, &self.toolchain.target, Some((self.recipe, at)))
    }

    /// What another recipe for the same target [gives](Self::gives) under this name.
    #[track_caller]
    pub fn given_by(&mut self, recipe: &str, name: &str) -> Take {
        let at = Location::caller();
        let product = self.product_of(recipe, at);
        if let Some(part) = product.offer.parts.get(name) {
            return part.clone();
        }
        if !product.is_wrong {
            let names = near(name, product.offer.parts.keys().map(String::as_str));
            self.mistake_at(at, format!("recipe `{recipe}` gives nothing of the name `{name}`{names}"));
        }
        self.nothing().all()
    }

    /// All shared libraries that another recipe for the same target links, Python's modules among
    /// them, with their paths: `lib/libNAME.so`, or where a module lies below its directory.
    #[track_caller]
    pub fn linked_by(&mut self, recipe: &str) -> Vec<(String, Handle)> {
        self.product_of(recipe, Location::caller()).offer.linked.clone()
    }

    /// The same of this recipe, as far as it has been described.
    pub fn linked_here(&self) -> Vec<(String, Handle)> {
        self.draft.offer.linked.clone()
    }

    /// A dependency that is written `RECIPE`, for all of its libraries, or `RECIPE:LIBRARY`; after
    /// those that its headers need.
    pub(super) fn depend(&mut self, written: &str, at: &'static Location<'static>) -> Vec<Dependency> {
        let (name, library) = match written.split_once(':') {
            Some((name, library)) => (name, Some(library)),
            None => (written, None),
        };
        let mistakes = self.assembly.errors.len();
        let product = self.product_of(name, at);
        // One that is wrong itself is told of already.
        if self.assembly.errors.len() > mistakes || product.is_wrong {
            return Vec::new();
        }
        let offer = product.offer;
        let links = match library {
            None => offer.libraries.clone(),
            Some(library) => offer.libraries.iter().filter(|offered| offered.name == library).cloned().collect(),
        };
        if let (Some(library), true) = (library, links.is_empty()) {
            let names = near(library, offer.libraries.iter().map(|library| library.name.as_str()));
            self.mistake_at(at, format!("recipe `{name}` offers no library `{library}`{names}"));
        }
        if offer.headers.is_none() && offer.libraries.is_empty() && offer.python.is_none() {
            self.mistake_at(
                at,
                format!(
                    "recipe `{name}` offers neither headers nor libraries: take its tree with `dependency`, or have it \
                     say what it offers with `exports`"
                ),
            );
        }
        let mut all = offer.public.clone();
        all.push(Dependency { name: name.to_owned(), offer, links });
        all
    }

    /// What a shared library takes in of a library.
    pub(super) fn link_into_shared(&mut self, library: &Library, at: &'static Location<'static>) -> Option<LinkInput> {
        let path = library.shared.as_ref().or(library.pic_archive.as_ref());
        self.linked(library, path, at, "a shared library")
    }

    /// What a program takes in of a library.
    pub(super) fn link_into_program(&mut self, library: &Library, at: &'static Location<'static>) -> Option<LinkInput> {
        let shared = library.shared.as_ref().filter(|_| self.toolchain.loads_libraries());
        let path = library.archive.as_ref().or(shared);
        let input = self.linked(library, path, at, "a program of this target")?;
        match input {
            LinkInput::File { tree, path } if path.starts_with("lib/") => {
                Some(LinkInput::Named { tree, name: library.name.clone(), whole: library.whole })
            }
            input => Some(input),
        }
    }

    fn linked(
        &mut self,
        library: &Library,
        path: Option<&String>,
        at: &'static Location<'static>,
        user: &str,
    ) -> Option<LinkInput> {
        let Some(path) = path else {
            let (name, forms) = (&library.name, library.forms());
            self.mistake_at(
                at,
                format!("{user} can't take in the library `{name}`, which is offered as {forms} alone"),
            );
            return None;
        };
        if Some(path) == library.shared.as_ref() {
            self.draft.needs.extend(library.package.clone());
        }
        Some(LinkInput::File { tree: library.tree.clone(), path: path.clone() })
    }
}
