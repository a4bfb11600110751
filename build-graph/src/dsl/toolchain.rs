//! Toolchains: everything in which one target differs from another.

use super::{WantedSource, Words};
use crate::Glob;
use crate::node::Target;

/// How code for a target is built, and what the target can do. Recipes ask it for capabilities
/// instead of asking for the target's name.
///
/// [`new`](Self::new) has what most targets have; the other functions that take `self` say in what
/// one differs.
#[derive(Debug, Clone)]
pub struct Toolchain {
    pub(super) target: Target,
    pub(super) image: String,
    pub(super) makefiles_image: Option<String>,
    pub(super) image_links: Vec<(String, String)>,
    pub(super) image_without: Vec<Glob>,
    pub(super) image_sources: Vec<ImageSource>,
    /// The image in which native code is made of its modules, and the recipe of the tools for that.
    pub(super) native_code: Option<(String, String)>,
    pub(super) cc: Vec<String>,
    pub(super) cflags: Vec<String>,
    pub(super) newest_standard: String,
    pub(super) cxx: Option<Cxx>,
    pub(super) ldflags: Vec<String>,
    pub(super) libraries: Vec<String>,
    pub(super) pic: Vec<String>,
    pub(super) link_shared: Vec<String>,
    pub(super) soname: Option<String>,
    pub(super) shared_libraries: Vec<String>,
    pub(super) loading: Vec<String>,
    pub(super) loading_libraries: Vec<String>,
    pub(super) dlopen: Option<Vec<String>>,
    pub(super) ar: String,
    strip: String,
    pub(super) ranlib: String,
    configure: Vec<String>,
    program_suffix: String,
    sysroot: Option<String>,
    pub(super) runs_in_actions: bool,
    system: String,
    architecture: String,
    threads: bool,
}

/// Part of a source of the lock file, laid into an image: tools that no package has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSource {
    /// The source.
    pub name: &'static str,
    /// Its version, and where it comes from.
    pub wanted: WantedSource,
    /// How many leading components are taken off the paths in its archive.
    pub strip: u32,
    /// The patterns of what is laid into the image; those that begin with `!` are left out of that.
    pub patterns: &'static str,
    /// The directory of the image for it.
    pub at: &'static str,
}

/// How C++ is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cxx {
    /// The recipe whose headers are the standard library's, and whose libraries are linked.
    pub library: &'static str,
    /// Flags beside those for C.
    pub flags: &'static str,
}

/// Functions that set fields of a toolchain.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty)?) => $field:ident = $value:expr;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self $(, $argument: $type)?) -> Self {
                self.$field = $value;
                self
            }
        )*
    };
}

impl Toolchain {
    /// A toolchain of gcc's kind, whose programs are installed into a sandbox; its tools lie in
    /// this image of the lock file.
    pub fn new(target: &str, image: &str) -> Self {
        Self {
            target: Target(target.into()),
            image: image.to_owned(),
            makefiles_image: None,
            image_links: Vec::new(),
            image_without: Vec::new(),
            image_sources: Vec::new(),
            native_code: None,
            cc: "gcc".words(),
            cflags: "-O2".words(),
            newest_standard: "-std=gnu2x".to_owned(),
            cxx: None,
            ldflags: Vec::new(),
            libraries: Vec::new(),
            pic: Vec::new(),
            link_shared: "gcc -shared".words(),
            soname: Some("-Wl,-soname,".to_owned()),
            shared_libraries: Vec::new(),
            loading: Vec::new(),
            loading_libraries: Vec::new(),
            dlopen: None,
            ar: "ar".to_owned(),
            strip: "strip".to_owned(),
            ranlib: "ranlib".to_owned(),
            configure: "--build=x86_64-linux-gnu".words(),
            program_suffix: String::new(),
            sysroot: None,
            runs_in_actions: false,
            system: "Linux".to_owned(),
            architecture: "x86_64".to_owned(),
            threads: true,
        }
    }

    settings! {
        /// The image of the lock file in which packages are built by makefiles of their own.
        with_makefiles_image(name: &str) => makefiles_image = Some(name.to_owned());
        /// Symbolic links of the image that maintainer scripts would have made: path, target.
        with_image_links(links: &[(&str, &str)]) => image_links =
            links.iter().map(|(path, target)| ((*path).to_owned(), (*target).to_owned())).collect();
        /// Paths of the image's packages that no build needs.
        without_in_image(patterns: Vec<Glob>) => image_without = patterns;
        /// What of unpacked sources lies in the image beside its packages.
        with_image_sources(sources: Vec<ImageSource>) => image_sources = sources;
        /// The C compiler with the flags that it can't do without.
        with_cc(words: impl Words) => cc = words.words();
        /// Flags of every compilation.
        with_cflags(words: impl Words) => cflags = words.words();
        /// The flag for the newest standard of C that the compiler knows.
        with_newest_standard(flag: &str) => newest_standard = flag.to_owned();
        /// C++: the recipe of its library, and the flags of every compilation of it beside those
        /// for C. Without it, the target has no C++.
        with_cxx(cxx: Cxx) => cxx = Some(cxx);
        /// Flags of every link.
        with_ldflags(words: impl Words) => ldflags = words.words();
        /// Libraries that end the command line of every link.
        with_libraries(words: impl Words) => libraries = words.words();
        /// Flags of a compilation for a shared library, beside the others.
        with_pic(words: impl Words) => pic = words.words();
        /// The command that links a shared library, with all flags but its own.
        with_shared_linker(words: impl Words) => link_shared = words.words();
        /// What a flag of that command begins with which gives the library the name that others ask
        /// for it by; `None`: that is the name of its file.
        with_soname_flag(flag: Option<&str>) => soname = flag.map(ToOwned::to_owned);
        /// Libraries that end that command.
        with_shared_libraries(words: impl Words) => shared_libraries = words.words();
        /// Flags of the link of a program that offers what it holds to the libraries that it loads.
        with_loading(words: impl Words) => loading = words.words();
        /// Libraries that such a program holds whole, because what it loads may need what it does
        /// not, in place of those of every link.
        with_loading_libraries(words: impl Words) => loading_libraries = words.words();
        /// The system's C library loads libraries by itself: flags of the link of a program that
        /// calls `dlopen`. Without it, such a program has to hold the whole C library.
        with_dlopen(words: impl Words) => dlopen = Some(words.words());
        /// `--host` and `--build` of configure scripts.
        with_configure(words: impl Words) => configure = words.words();
        /// What the name of a program ends with.
        with_program_suffix(suffix: &str) => program_suffix = suffix.to_owned();
        /// The recipe whose tree (`include/`, `lib/`) every compilation and link sees at
        /// `/sysroot`.
        with_sysroot(recipe: &str) => sysroot = Some(recipe.to_owned());
        /// The name of the operating system.
        for_system(name: &str) => system = name.to_owned();
        /// The name of the processor.
        for_architecture(name: &str) => architecture = name.to_owned();
        /// Programs find no second thread.
        without_threads() => threads = false;
        /// Its programs run in actions, on the machine that builds; what is built for it is
        /// installed nowhere.
        for_actions() => runs_in_actions = true;
    }

    /// Sets the archiver, the program that makes an archive's index, and the one that takes out of
    /// libraries what no program needs: their names without the last word, and that word's ending.
    #[must_use]
    pub fn with_binutils(mut self, prefix: &str, ending: &str) -> Self {
        [&mut self.ar, &mut self.strip, &mut self.ranlib]
            .into_iter()
            .zip(["ar", "strip", "ranlib"])
            .for_each(|(program, name)| *program = format!("{prefix}{name}{ending}"));
        self
    }

    /// Makes native code of its modules, in this image of the lock file, with the tools in the tree
    /// of this recipe for the machine that builds: `bin/wasm2c`, `module.awk`, `include`, and for
    /// each
    /// [`MemoryBase`](super::MemoryBase) `WORD/train` and `WORD/libnative.so`.
    #[must_use]
    pub fn with_native_code(mut self, image: &str, tools: &str) -> Self {
        self.native_code = Some((image.to_owned(), tools.to_owned()));
        self
    }

    /// Returns the target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Returns whether what is built is installed into a sandbox. Otherwise it is for actions,
    /// which take it as it lies in trees.
    pub fn installs(&self) -> bool {
        !self.runs_in_actions
    }

    /// Returns whether the system's C library loads libraries by itself. Otherwise a program that
    /// loads some holds the whole C library, which ours then completes.
    pub fn loads_libraries(&self) -> bool {
        self.dlopen.is_some()
    }

    /// Returns whether programs can have more than one thread.
    pub fn has_threads(&self) -> bool {
        self.threads
    }

    /// Returns the name of the operating system, such as `WASI`.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// Returns the name of the processor, such as `wasm32`.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Returns the recipe whose tree every compilation and link sees at `/sysroot`.
    pub fn sysroot(&self) -> Option<&str> {
        self.sysroot.as_deref()
    }

    /// Returns what the name of a program ends with.
    pub fn program_suffix(&self) -> &str {
        &self.program_suffix
    }

    /// Returns the program that takes out of libraries what no program needs.
    pub fn strip(&self) -> &str {
        &self.strip
    }

    /// Returns the options of a configure script that say what is built for, as one line.
    pub fn configure_options(&self) -> String {
        self.configure.join(" ")
    }

    /// Returns the command that links a shared library, as one line.
    pub fn shared_linker(&self) -> String {
        self.link_shared.join(" ")
    }

    /// Returns the flag of that command that gives the library the name of a file, by which others
    /// ask for it; `None`: it has that name anyway.
    pub fn soname_flag(&self, file: &str) -> Option<String> {
        self.soname.as_ref().map(|flag| format!("{flag}{file}"))
    }

    /// Returns the libraries that end the command line of [`shared_linker`](Self::shared_linker).
    pub fn shared_libraries(&self) -> String {
        self.shared_libraries.join(" ")
    }

    /// Returns the libraries that end the command line of every link, as one line.
    pub fn libraries(&self) -> String {
        self.libraries.join(" ")
    }

    /// Returns the archiver.
    pub fn archiver(&self) -> &str {
        &self.ar
    }

    /// Returns the flags of every compilation, as one line.
    pub fn cflags(&self) -> String {
        self.cflags.join(" ")
    }

    /// Returns the compiler with all flags that code for a shared library takes, as one line: for
    /// makefiles that give `CFLAGS` to some compilations only.
    pub fn cc_for_shared(&self) -> String {
        [&self.cc[..], &self.cflags, &self.pic].concat().join(" ")
    }

    /// Returns what configure scripts and makefiles are told of the tools: `CC`, `CFLAGS`, `LIBS`,
    /// `AR`, `RANLIB`.
    pub fn makefile_environment(&self) -> [(&'static str, String); 5] {
        [
            ("CC", self.cc.join(" ")),
            ("CFLAGS", self.cflags()),
            ("LIBS", self.libraries()),
            ("AR", self.ar.clone()),
            ("RANLIB", self.ranlib.clone()),
        ]
    }
}
