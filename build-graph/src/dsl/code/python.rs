//! Extension modules and files of Python.

use std::panic::Location;

use super::{Code, kind};
use crate::dsl::recipe::Source;
use crate::dsl::{Context, Handle, Take};

impl Code<'_, '_, kind::Extension> {
    /// Makes the node, and installs the module where Python finds it. Where nothing is installed,
    /// the recipe's tree has it there, with the libraries that it needs beside it.
    pub fn installed(mut self) -> Handle {
        let objects = self.compiled(true, "", true);
        let path = format!("{}.so", self.name.replace('.', "/"));
        let python = self.python();
        let module = self.shared_at(&path, objects);
        // A mistake is noted already.
        let Some(python) = python else { return module };
        let package = path.rsplit_once('/').map(|(package, _)| package);
        let site = package.map_or(python.site.to_owned(), |package| format!("{}/{package}", python.site));
        let take = package.map_or(module.all(), |package| module.below(package));
        match self.context.toolchain.installs() {
            true => {
                self.context.install_tree(take, &site);
                let python = self.context.recipe.python;
                self.context.requires(python);
            }
            false => {
                self.context.tree(take, &site);
                for library in &self.links {
                    if let Some(shared) = &library.shared {
                        self.context.tree(library.tree.select([&shared[..]]).strip("lib"), &site);
                    }
                }
            }
        }
        module
    }
}

impl Context<'_> {
    /// Installs what the recipe's source distribution says of itself (`PKG-INFO`), where programs
    /// find it by `importlib.metadata`, with the entry points that it declares: the text of
    /// `entry_points.txt`, or nothing. The project is called as the source is.
    #[track_caller]
    pub fn python_metadata(&mut self, entry_points: &str) {
        let at = Location::caller();
        let found = self.depend(self.recipe.python, at);
        let Some(python) = found.iter().find_map(|dependency| dependency.offer.python.clone()) else { return };
        let name = match self.recipe.source {
            Source::Pinned(name) => name,
            Source::Files(_) => self.recipe.name,
        };
        let project = name.strip_prefix(self.recipe.python).and_then(|rest| rest.strip_prefix('-')).unwrap_or(name);
        let place = format!("{}/{project}-{}.egg-info", python.site, self.recipe.version);
        let mut stated = vec![self.source().select("PKG-INFO")];
        if !entry_points.is_empty() {
            stated.push(self.text_file("entry_points", "entry_points.txt", entry_points, false).all());
        }
        for take in stated {
            match self.toolchain.installs() {
                true => self.install_tree(take, &place),
                false => self.tree(take, &place),
            }
        }
    }

    /// Installs Python files as this package of the recipe's Python (empty: modules at the top),
    /// compiled to bytecode.
    #[track_caller]
    pub fn python_files(&mut self, take: impl Into<Take>, package: &str) {
        let at = Location::caller();
        let found = self.depend(self.recipe.python, at);
        let Some(python) = found.iter().find_map(|dependency| dependency.offer.python.clone()) else { return };
        let below = |site: &str| [site, package].join("/").trim_end_matches('/').to_owned();
        let site = below(python.site);
        let library = self.merge_at(at, "library", [(take.into(), "")]);
        if !self.toolchain.installs() {
            return self.tree(&library, &site);
        }
        self.install_tree(&library, &site);
        if let Some(compile) = python.bytecode {
            let bytecode = compile(self, &library, &below(python.site_at));
            self.install_tree(bytecode, &site);
        }
        self.requires(self.recipe.python);
    }
}
