//! Libraries: which forms are built, and what their users find.

use super::{Code, kind};
use crate::dsl::dependency::Library;
use crate::dsl::{Handle, Words};

/// Where shared libraries are installed; programs see it as `/slib`.
const SLIB: &str = "root/slib";

/// The paths of a library's forms in its tree.
#[derive(Default)]
struct Forms {
    archive: Option<String>,
    pic_archive: Option<String>,
    shared: Option<String>,
    /// Whether a program that loads libraries holds all of the archive.
    whole: bool,
}

impl Code<'_, '_, kind::Library> {
    /// The headers for those that use it: patterns. What lies in `include` keeps its path;
    /// everything else is laid into `include`. Generated headers that match are among them, and a
    /// path without a wildcard that the configure script writes is taken from there alone.
    pub fn public_headers(mut self, patterns: impl Words) -> Self {
        let patterns = patterns.words();
        for (at, inside) in [("", true), ("include", false)] {
            let is_inside = |pattern: &str| pattern == "include" || pattern.starts_with("include/");
            let here = patterns.iter().filter(|pattern| is_inside(pattern.trim_start_matches('!')) == inside);
            let (mut own, mut generated) = (Vec::new(), Vec::new());
            for pattern in here {
                let is_written = self.configured.as_ref().is_some_and(|configured| configured.writes(pattern));
                if is_written {
                    generated.push(pattern.clone());
                }
                if !is_written || pattern.contains(['*', '?', '[', '{']) {
                    own.push(pattern.clone());
                }
            }
            if let Some(configured) = self.configured.as_ref().filter(|_| !generated.is_empty()) {
                self.public_headers.push((configured.tree.select(generated), at.to_owned()));
            }
            if !own.is_empty() {
                let source = self.source_tree();
                self.public_headers.push((source.select(own), at.to_owned()));
            }
        }
        self
    }

    /// Headers for those that use it, from a directory of the source, which are laid into another
    /// directory of the tree.
    pub fn public_headers_from(mut self, directory: &str, patterns: impl Words, at: &str) -> Self {
        let patterns: Vec<_> = patterns.words().iter().map(|pattern| format!("{directory}/{pattern}")).collect();
        let take = self.source_tree().select(patterns).strip(directory);
        self.public_headers.push((take, at.to_owned()));
        self
    }

    /// Its functions are declared elsewhere.
    pub fn without_headers(mut self) -> Self {
        self.no_headers = true;
        self
    }

    /// Builds the shared library `lib/libNAME.so`. Where packages are installed, programs find it.
    pub fn shared(mut self) -> Library {
        let objects = self.compiled(true, "", false);
        let path = format!("lib/lib{}.so", self.name);
        let shared = self.shared_at(&path, objects);
        self.context.tree(&shared, "");
        self.install(&shared);
        self.offered(&shared, Forms { shared: Some(path), ..Forms::default() })
    }

    /// Builds the archive `lib/libNAME.a` for programs and the shared library `lib/libNAME.so`. A
    /// program that loads libraries holds all of the archive: of what it has, they must not find a
    /// part there and the rest in the shared library.
    pub fn archive_and_shared(mut self) -> Library {
        let objects = self.compiled(false, "", false);
        let (tree, archive) = self.archived("", &objects);
        let objects = self.compiled(true, "pic/", false);
        let path = format!("lib/lib{}.so", self.name);
        let shared = self.shared_at(&path, objects);
        self.context.tree(&shared, "");
        self.install(&shared);
        self.offered(&tree, Forms { archive, shared: Some(path), whole: true, ..Forms::default() })
    }

    /// Builds the archive `lib/libNAME.a` for programs.
    pub fn archive(mut self) -> Library {
        let objects = self.compiled(false, "", false);
        let (tree, archive) = self.archived("", &objects);
        self.offered(&tree, Forms { archive, ..Forms::default() })
    }

    /// Builds the archive `lib/libNAME.a` for programs and for shared libraries that are to have it
    /// in them.
    pub fn pic_archive(mut self) -> Library {
        let objects = self.compiled(true, "", false);
        let (tree, archive) = self.archived("", &objects);
        self.offered(&tree, Forms { pic_archive: archive.clone(), archive, ..Forms::default() })
    }

    /// Builds archives for what is built here, which takes in what it needs of the library:
    /// `lib/libNAME.a` for programs and `lib/libNAME-pic.a` for shared libraries. Where packages
    /// are installed, a shared library is installed, too, under the file name that others ask for.
    pub fn archives_and_shared(mut self, file: &str) -> Library {
        let objects = self.compiled(false, "", false);
        let (tree, archive) = self.archived("", &objects);
        let objects = self.compiled(true, "pic/", false);
        let (_, pic_archive) = self.archived("-pic", &objects);
        if self.context.toolchain.installs() {
            let shared = self.shared_at(&format!("lib/{file}"), objects);
            self.install(&shared);
        }
        self.offered(&tree, Forms { archive, pic_archive, ..Forms::default() })
    }

    fn archived(&mut self, ending: &str, objects: &[Handle]) -> (Handle, Option<String>) {
        self.check_objects("library", objects);
        let file = format!("lib{}{ending}.a", self.name);
        let archive = self.context.archive_of(&file, objects, self.at);
        self.context.tree(&archive, "");
        (archive, Some(format!("lib/{file}")))
    }

    fn install(&mut self, shared: &Handle) {
        if self.context.toolchain.installs() {
            self.context.install_tree(shared.below("lib"), SLIB);
            self.context.draft.is_code = true;
        }
    }

    /// Lays out the headers, and offers the library to other recipes.
    fn offered(self, tree: &Handle, forms: Forms) -> Library {
        let Self { context, at, name, public, public_headers, no_headers, .. } = self;
        if public_headers.is_empty() && !no_headers {
            let message = format!(
                "the library `{name}` exports nothing, because nobody finds a header of it: name some with \
                 `public_headers`, or say `without_headers`"
            );
            context.mistake_at(at, message);
        }
        let offers_headers = !public_headers.is_empty();
        for (take, at) in public_headers {
            context.tree(take, &at);
        }
        if offers_headers {
            context.offer_headers(None, "include");
        }
        let Forms { archive, pic_archive, shared, whole } = forms;
        let library = Library { name, tree: tree.clone(), archive, pic_archive, shared, whole, package: None };
        context.draft.offer.public.extend(public);
        context.draft.offer.libraries.push(library.clone());
        library
    }
}
