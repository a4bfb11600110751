//! Toolchains: everything in which one target differs from another.

use crate::Glob;
use crate::node::Target;

/// How code for a target is built. Recipes ask it instead of asking for the target's name.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// The target.
    pub target: Target,
    /// The image of the lock file in which its tools lie.
    pub image: String,
    /// The image of the lock file in which packages are built by makefiles of their own; empty where there is none.
    pub makefiles_image: String,
    /// Symbolic links of that image that maintainer scripts would have made.
    pub image_links: Vec<(String, String)>,
    /// Paths of the image's packages that no build needs.
    pub image_without: Vec<Glob>,
    /// What of unpacked sources lies in the image beside its packages: tools that no package has.
    pub image_sources: Vec<ImageSource>,
    /// The C compiler with the flags that it can't do without.
    pub cc: Vec<String>,
    /// Flags of every compilation.
    pub cflags: Vec<String>,
    /// The flag for the newest standard of C that it knows, for sources that are written for it.
    pub standard: String,
    /// Flags of every link.
    pub ldflags: Vec<String>,
    /// Libraries that end the command line of every link.
    pub libraries: Vec<String>,
    /// Flags of a compilation for a shared library, beside the others.
    pub pic: Vec<String>,
    /// The command that links a shared library, with all flags but its own.
    pub link_shared: Vec<String>,
    /// What a flag of that command begins with which gives the library the name that others ask for it by; without one, that is the name
    /// of its file.
    pub soname: Option<String>,
    /// Libraries that end that command.
    pub shared_libraries: Vec<String>,
    /// Flags of the link of a program that loads shared libraries: it offers them what it holds.
    pub loading: Vec<String>,
    /// Libraries that such a program holds whole, because what it loads may need what it does not, in place of `libraries`.
    pub loading_libraries: Vec<String>,
    /// The archiver.
    pub ar: String,
    /// The program that takes out of libraries what no program needs; empty where links do that.
    pub strip: String,
    /// The program that makes an archive's index.
    pub ranlib: String,
    /// `--host` and `--build` of configure scripts, and what else they must be told.
    pub configure: Vec<String>,
    /// What the name of a program ends with.
    pub program_suffix: String,
    /// The recipe whose product (`include/`, `lib/`) every compilation sees at `/sysroot`, if it is not part of the image.
    pub runtime: Option<String>,
}

/// Part of a source of the lock file, laid into an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSource {
    /// The source.
    pub name: String,
    /// How many leading components are taken off the paths in its archive.
    pub strip: u32,
    /// The patterns of what is laid into the image.
    pub include: Vec<String>,
    /// The patterns of what is left out of that.
    pub exclude: Vec<String>,
    /// The directory of the image for it.
    pub at: &'static str,
}

impl Toolchain {
    /// The compiler with its fixed flags as one word list for a shell or a configure script.
    pub fn cc_line(&self) -> String {
        self.cc.join(" ")
    }
}
