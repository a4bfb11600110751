//! The C modules of the interpreter.

use build_graph::dsl::Context;

/// A module that is linked into the interpreter.
pub(in crate::packages) struct Module {
    /// Its name, as Python imports it.
    pub(in crate::packages) name: &'static str,
    /// Its sources below `Modules/`, separated by spaces.
    pub(in crate::packages) sources: &'static str,
    /// Flags of their compilation, separated by spaces.
    pub(in crate::packages) flags: &'static str,
    /// Whether it needs zlib.
    pub(in crate::packages) zlib: bool,
}

pub(in crate::packages) const fn module(name: &'static str, sources: &'static str) -> Module {
    Module { name, sources, flags: "", zlib: false }
}

pub(in crate::packages) const fn with_flags(name: &'static str, sources: &'static str, flags: &'static str) -> Module {
    Module { name, sources, flags, zlib: false }
}

/// First what every interpreter has (CPython's `Setup.dist`), then what needs no library but zlib.
/// Left out: modules that need a library (`EXTENSIONS`, and `_bsddb`, `nis`, `_tkinter`), a list of
/// users (`spwd`), or a device (`ossaudiodev`, `linuxaudiodev`).
pub(super) const MODULES: &[Module] = &[
    module("_codecs", "_codecsmodule.c"),
    module("_sre", "_sre.c"),
    module("_symtable", "symtablemodule.c"),
    module("_weakref", "_weakref.c"),
    module("errno", "errnomodule.c"),
    module("posix", "posixmodule.c"),
    module("pwd", "pwdmodule.c"),
    module("signal", "signalmodule.c"),
    module("thread", "threadmodule.c"),
    module("zipimport", "zipimport.c"),
    module("_bisect", "_bisectmodule.c"),
    module("_codecs_cn", "cjkcodecs/_codecs_cn.c"),
    module("_codecs_hk", "cjkcodecs/_codecs_hk.c"),
    module("_codecs_iso2022", "cjkcodecs/_codecs_iso2022.c"),
    module("_codecs_jp", "cjkcodecs/_codecs_jp.c"),
    module("_codecs_kr", "cjkcodecs/_codecs_kr.c"),
    module("_codecs_tw", "cjkcodecs/_codecs_tw.c"),
    module("_collections", "_collectionsmodule.c"),
    module("_csv", "_csv.c"),
    with_flags("_elementtree", "_elementtree.c", "-Iheaders/Modules/expat -DHAVE_EXPAT_CONFIG_H -DUSE_PYEXPAT_CAPI"),
    module("_functools", "_functoolsmodule.c"),
    module("_heapq", "_heapqmodule.c"),
    module("_hotshot", "_hotshot.c"),
    with_flags(
        "_io",
        "_io/bufferedio.c _io/bytesio.c _io/fileio.c _io/iobase.c _io/_iomodule.c _io/stringio.c _io/textio.c",
        "-Iheaders/Modules/_io",
    ),
    module("_json", "_json.c"),
    module("_locale", "_localemodule.c"),
    module("_lsprof", "_lsprof.c rotatingtree.c"),
    module("_md5", "md5module.c md5.c"),
    module("_multibytecodec", "cjkcodecs/multibytecodec.c"),
    module("_random", "_randommodule.c"),
    module("_sha", "shamodule.c"),
    module("_sha256", "sha256module.c"),
    module("_sha512", "sha512module.c"),
    module("_socket", "socketmodule.c"),
    module("_struct", "_struct.c"),
    module("array", "arraymodule.c"),
    module("audioop", "audioop.c"),
    Module { name: "binascii", sources: "binascii.c", flags: "-DUSE_ZLIB_CRC32", zlib: true },
    module("cPickle", "cPickle.c"),
    module("cStringIO", "cStringIO.c"),
    module("cmath", "cmathmodule.c"),
    module("datetime", "datetimemodule.c"),
    module("fcntl", "fcntlmodule.c"),
    module("future_builtins", "future_builtins.c"),
    module("grp", "grpmodule.c"),
    module("imageop", "imageop.c"),
    module("itertools", "itertoolsmodule.c"),
    module("math", "mathmodule.c _math.c"),
    module("mmap", "mmapmodule.c"),
    module("operator", "operator.c"),
    module("parser", "parsermodule.c"),
    with_flags(
        "pyexpat",
        "pyexpat.c expat/xmlparse.c expat/xmlrole.c expat/xmltok.c",
        "-Iheaders/Modules/expat -DHAVE_EXPAT_CONFIG_H -DXML_POOR_ENTROPY -DUSE_PYEXPAT_CAPI",
    ),
    module("resource", "resource.c"),
    module("select", "selectmodule.c"),
    module("strop", "stropmodule.c"),
    module("syslog", "syslogmodule.c"),
    module("termios", "termios.c"),
    module("time", "timemodule.c"),
    module("unicodedata", "unicodedata.c"),
    Module { name: "zlib", sources: "zlibmodule.c", flags: "-DHAVE_ZLIB_COPY", zlib: true },
];

/// A module in a file of its own, loaded when it is imported.
pub(in crate::packages) struct Extension {
    /// Its name, as Python imports it.
    pub(in crate::packages) name: &'static str,
    /// Its sources below `Modules/`, separated by spaces.
    pub(in crate::packages) sources: &'static str,
    /// Flags of their compilation, separated by spaces.
    pub(in crate::packages) flags: &'static str,
    /// The libraries that it needs, `RECIPE` or `RECIPE:LIBRARY`, separated by spaces: a shared one
    /// is loaded with the module, an archive is part of it.
    pub(in crate::packages) needs: &'static str,
}

impl Extension {
    /// The recipes of these libraries.
    pub(in crate::packages) fn recipes(&self) -> impl Iterator<Item = &'static str> {
        self.needs.split_whitespace().filter_map(|library| library.split(':').next())
    }
}

pub(in crate::packages) const fn extension(
    name: &'static str,
    sources: &'static str,
    needs: &'static str,
) -> Extension {
    Extension { name, sources, flags: "", needs }
}

/// The modules whose libraries there are recipes of for this target.
pub(super) fn extensions(cx: &Context<'_>) -> Vec<&'static Extension> {
    let without = super::port(cx).without_modules;
    let there = |extension: &&Extension| {
        !without.contains(&extension.name) && extension.recipes().all(|recipe| cx.offers(recipe))
    };
    EXTENSIONS.iter().filter(there).collect()
}

/// The modules that need a library which programs without them are not to carry, or that few
/// programs need.
const EXTENSIONS: &[Extension] = &[
    extension("bz2", "bz2module.c", "bzip2"),
    extension("crypt", "cryptmodule.c", ""),
    extension(
        "_ctypes",
        "_ctypes/_ctypes.c _ctypes/callbacks.c _ctypes/callproc.c _ctypes/cfield.c _ctypes/stgdict.c",
        "ffi:ffi",
    ),
    extension("_ctypes_test", "_ctypes/_ctypes_test.c", ""),
    Extension {
        name: "_sqlite3",
        sources: "_sqlite/cache.c _sqlite/connection.c _sqlite/cursor.c _sqlite/microprotocols.c _sqlite/module.c \
                  _sqlite/prepare_protocol.c _sqlite/row.c _sqlite/statement.c _sqlite/util.c",
        flags: "-DMODULE_NAME=\"sqlite3\"",
        needs: "sqlite",
    },
    Extension { name: "_curses", sources: "_cursesmodule.c", flags: CURSES, needs: "ncurses:ncursesw" },
    Extension {
        name: "_curses_panel",
        sources: "_curses_panel.c",
        flags: CURSES,
        needs: "ncurses:panelw ncurses:ncursesw",
    },
    Extension { name: "dbm", sources: "dbmmodule.c", flags: "-DHAVE_GDBM_NDBM_H", needs: "gdbm" },
    extension("gdbm", "gdbmmodule.c", "gdbm"),
    extension("_hashlib", "_hashopenssl.c", "openssl:crypto"),
    // Connections alone: semaphores would need another process.
    extension("_multiprocessing", "_multiprocessing/multiprocessing.c _multiprocessing/socket_connection.c", ""),
    extension("_ssl", "_ssl.c", "openssl"),
    extension("_testcapi", "_testcapimodule.c", ""),
    Extension {
        name: "readline",
        sources: "readline.c",
        flags: "-DHAVE_RL_CALLBACK -DHAVE_RL_CATCH_SIGNAL -DHAVE_RL_COMPLETION_APPEND_CHARACTER \
                -DHAVE_RL_COMPLETION_DISPLAY_MATCHES_HOOK -DHAVE_RL_COMPLETION_MATCHES -DHAVE_RL_COMPLETION_SUPPRESS_APPEND \
                -DHAVE_RL_PRE_INPUT_HOOK -DHAVE_RL_RESIZE_TERMINAL",
        needs: "readline ncurses:ncursesw",
    },
    extension("xxsubtype", "xxsubtype.c", ""),
];

/// What CPython's configure would find out of ncurses, if it were there then.
const CURSES: &str = "-DHAVE_CURSES_H -DWINDOW_HAS_FLAGS -DMVWDELCH_IS_EXPRESSION -DHAVE_CURSES_IS_PAD -DHAVE_TERM_H -DHAVE_CURSES_IS_TERM_RESIZED -DHAVE_CURSES_RESIZE_TERM \
     -DHAVE_CURSES_RESIZETERM -DHAVE_CURSES_FILTER -DHAVE_CURSES_HAS_KEY -DHAVE_CURSES_IMMEDOK -DHAVE_CURSES_SYNCOK \
     -DHAVE_CURSES_TYPEAHEAD -DHAVE_CURSES_USE_ENV -DHAVE_CURSES_WCHGAT -DHAVE_CURSES_USE_DEFAULT_COLORS";

/// Modules that the core itself brings, with their functions; and those that are there before any
/// function is called.
pub(super) const CORE: &[(&str, &str)] = &[
    ("marshal", "PyMarshal_Init"),
    ("imp", "initimp"),
    ("_ast", "init_ast"),
    ("gc", "initgc"),
    ("_warnings", "_PyWarnings_Init"),
    ("__main__", "NULL"),
    ("__builtin__", "NULL"),
    ("sys", "NULL"),
    ("exceptions", "NULL"),
];

/// The C file with the table of modules that are linked in: those that the core brings, with their
/// functions, and these.
pub(in crate::packages) fn table(core: &[(&str, &str)], linked: &[Module], prefix: &str) -> String {
    let linked = linked.iter().map(|module| (module.name, format!("{prefix}{}", module.name)));
    let core = core.iter().map(|(name, function)| (*name, (*function).to_owned()));
    let entries: Vec<_> = core.chain(linked).collect();
    let kind = if prefix == "init" { "void" } else { "PyObject *" };
    let mut text = String::from("#include \"Python.h\"\n\n");
    for (_, function) in entries.iter().filter(|(_, function)| function != "NULL") {
        text.push_str(&format!("extern {kind} {function}(void);\n"));
    }
    text.push_str("\nstruct _inittab _PyImport_Inittab[] = {\n");
    for (name, function) in &entries {
        text.push_str(&format!("    {{\"{name}\", {function}}},\n"));
    }
    text.push_str("    {0, 0}\n};\n");
    text
}
