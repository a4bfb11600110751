//! The C modules of the interpreter.

use crate::packages::python::modules::{Extension, Module, extension, module, with_flags};

/// Where the sources of message digests have their headers.
const DIGEST: &str = "-Iheaders/Modules/_hacl/include -D_BSD_SOURCE -D_DEFAULT_SOURCE";

/// First what every interpreter has (CPython's `Setup.bootstrap`), then what needs no library but
/// zlib. Left out: modules that need a library (`EXTENSIONS`, and `_tkinter`), another process
/// (`_posixsubprocess`, `_multiprocessing`, `_posixshmem`) or another thread (`_interpreters` and
/// its kin), as CPython leaves them out for WASI.
pub(super) const MODULES: &[Module] = &[
    module("atexit", "atexitmodule.c"),
    module("faulthandler", "faulthandler.c"),
    module("posix", "posixmodule.c"),
    module("_signal", "signalmodule.c"),
    module("_tracemalloc", "_tracemalloc.c"),
    module("_suggestions", "_suggestions.c"),
    module("_codecs", "_codecsmodule.c"),
    module("_collections", "_collectionsmodule.c"),
    module("errno", "errnomodule.c"),
    with_flags(
        "_io",
        "_io/_iomodule.c _io/iobase.c _io/fileio.c _io/bytesio.c _io/bufferedio.c _io/textio.c _io/stringio.c",
        "-Iheaders/Modules/_io",
    ),
    module("itertools", "itertoolsmodule.c"),
    module("_sre", "_sre/sre.c"),
    module("_sysconfig", "_sysconfig.c"),
    module("_thread", "_threadmodule.c"),
    module("time", "timemodule.c"),
    module("_typing", "_typingmodule.c"),
    module("_weakref", "_weakref.c"),
    module("_abc", "_abc.c"),
    module("_functools", "_functoolsmodule.c"),
    module("_locale", "_localemodule.c"),
    module("_operator", "_operator.c"),
    module("_stat", "_stat.c"),
    module("_symtable", "symtablemodule.c"),
    module("pwd", "pwdmodule.c"),
    module("_asyncio", "_asynciomodule.c"),
    module("_bisect", "_bisectmodule.c"),
    module("_blake2", "_blake2/blake2module.c _blake2/blake2b_impl.c _blake2/blake2s_impl.c"),
    module("_codecs_cn", "cjkcodecs/_codecs_cn.c"),
    module("_codecs_hk", "cjkcodecs/_codecs_hk.c"),
    module("_codecs_iso2022", "cjkcodecs/_codecs_iso2022.c"),
    module("_codecs_jp", "cjkcodecs/_codecs_jp.c"),
    module("_codecs_kr", "cjkcodecs/_codecs_kr.c"),
    module("_codecs_tw", "cjkcodecs/_codecs_tw.c"),
    module("_contextvars", "_contextvarsmodule.c"),
    module("_csv", "_csv.c"),
    module("_datetime", "_datetimemodule.c"),
    with_flags(
        "_decimal",
        "_decimal/_decimal.c _decimal/libmpdec/basearith.c _decimal/libmpdec/constants.c _decimal/libmpdec/context.c \
         _decimal/libmpdec/convolute.c _decimal/libmpdec/crt.c _decimal/libmpdec/difradix2.c _decimal/libmpdec/fnt.c \
         _decimal/libmpdec/fourstep.c _decimal/libmpdec/io.c _decimal/libmpdec/mpalloc.c _decimal/libmpdec/mpdecimal.c \
         _decimal/libmpdec/numbertheory.c _decimal/libmpdec/sixstep.c _decimal/libmpdec/transpose.c",
        "-Iheaders/Modules/_decimal/libmpdec -DCONFIG_32=1 -DANSI=1",
    ),
    with_flags("_elementtree", "_elementtree.c", "-Iheaders/Modules/expat"),
    module("_heapq", "_heapqmodule.c"),
    module("_interpchannels", "_interpchannelsmodule.c"),
    module("_interpqueues", "_interpqueuesmodule.c"),
    module("_interpreters", "_interpretersmodule.c"),
    module("_json", "_json.c"),
    module("_lsprof", "_lsprof.c rotatingtree.c"),
    with_flags("_md5", "md5module.c _hacl/Hacl_Hash_MD5.c", DIGEST),
    module("_multibytecodec", "cjkcodecs/multibytecodec.c"),
    module("_opcode", "_opcode.c"),
    module("_pickle", "_pickle.c"),
    module("_queue", "_queuemodule.c"),
    module("_random", "_randommodule.c"),
    with_flags("_sha1", "sha1module.c _hacl/Hacl_Hash_SHA1.c", DIGEST),
    with_flags("_sha2", "sha2module.c _hacl/Hacl_Hash_SHA2.c", DIGEST),
    with_flags("_sha3", "sha3module.c _hacl/Hacl_Hash_SHA3.c", DIGEST),
    module("_socket", "socketmodule.c"),
    module("_statistics", "_statisticsmodule.c"),
    module("_struct", "_struct.c"),
    module("_zoneinfo", "_zoneinfo.c"),
    module("array", "arraymodule.c"),
    Module { name: "binascii", sources: "binascii.c", flags: "-DUSE_ZLIB_CRC32", zlib: true },
    module("cmath", "cmathmodule.c"),
    module("fcntl", "fcntlmodule.c"),
    module("grp", "grpmodule.c"),
    module("math", "mathmodule.c"),
    module("mmap", "mmapmodule.c"),
    with_flags("pyexpat", "pyexpat.c expat/xmlparse.c expat/xmlrole.c expat/xmltok.c", "-Iheaders/Modules/expat"),
    module("resource", "resource.c"),
    module("select", "selectmodule.c"),
    module("syslog", "syslogmodule.c"),
    module("termios", "termios.c"),
    module("unicodedata", "unicodedata.c"),
    Module { name: "zlib", sources: "zlibmodule.c", flags: "-DHAVE_ZLIB_COPY", zlib: true },
];

/// The modules that need a library which programs without them are not to carry, or that few
/// programs need. Each is built where there is a recipe of its library.
pub(super) const EXTENSIONS: &[Extension] = &[
    extension("_bz2", "_bz2module.c", "bzip2"),
    Extension {
        name: "_ctypes",
        sources: "_ctypes/_ctypes.c _ctypes/callbacks.c _ctypes/callproc.c _ctypes/stgdict.c _ctypes/cfield.c",
        flags: "-DHAVE_FFI_CLOSURE_ALLOC -DHAVE_FFI_PREP_CLOSURE_LOC",
        needs: "ffi:ffi_python3",
    },
    Extension { name: "_curses", sources: "_cursesmodule.c", flags: CURSES, needs: "ncurses:ncursesw" },
    Extension {
        name: "_curses_panel",
        sources: "_curses_panel.c",
        flags: CURSES,
        needs: "ncurses:panelw ncurses:ncursesw",
    },
    Extension { name: "_dbm", sources: "_dbmmodule.c", flags: "-DUSE_GDBM_COMPAT -DHAVE_GDBM_NDBM_H", needs: "gdbm" },
    extension("_gdbm", "_gdbmmodule.c", "gdbm"),
    Extension { name: "_hashlib", sources: "_hashopenssl.c", flags: OPENSSL, needs: "openssl3:crypto" },
    extension("_lzma", "_lzmamodule.c", "xz"),
    Extension {
        name: "_sqlite3",
        sources: "_sqlite/blob.c _sqlite/connection.c _sqlite/cursor.c _sqlite/microprotocols.c _sqlite/module.c \
                  _sqlite/prepare_protocol.c _sqlite/row.c _sqlite/statement.c _sqlite/util.c",
        flags: "-DPY_SQLITE_HAVE_SERIALIZE",
        needs: "sqlite3",
    },
    Extension { name: "_ssl", sources: "_ssl.c", flags: OPENSSL, needs: "openssl3" },
    Extension {
        name: "_uuid",
        sources: "_uuidmodule.c",
        flags: "-DHAVE_UUID_UUID_H -DHAVE_UUID_GENERATE_TIME_SAFE",
        needs: "libuuid",
    },
    Extension {
        name: "readline",
        sources: "readline.c",
        flags: "-DHAVE_RL_CALLBACK -DHAVE_RL_CATCH_SIGNAL -DHAVE_RL_COMPLETION_APPEND_CHARACTER \
                -DHAVE_RL_COMPLETION_DISPLAY_MATCHES_HOOK -DHAVE_RL_COMPLETION_MATCHES -DHAVE_RL_COMPLETION_SUPPRESS_APPEND \
                -DHAVE_RL_PRE_INPUT_HOOK -DHAVE_RL_RESIZE_TERMINAL -DHAVE_RL_COMPDISP_FUNC_T",
        needs: "readline ncurses:ncursesw",
    },
];

/// They insist on an OpenSSL with locks, which one thread does not need.
const OPENSSL: &str = "-DOPENSSL_THREADS";

/// C files that the sources of a module include, beside headers.
pub(super) fn included(module: &str) -> Option<&'static str> {
    (module == "_ssl").then_some("Modules/_ssl/*.c")
}

/// The modules that CPython's own tests import, and nobody else.
pub(in crate::packages) const TEST_EXTENSIONS: &[Extension] = &[
    extension("_ctypes_test", "_ctypes/_ctypes_test.c", ""),
    extension("_testbuffer", "_testbuffer.c", ""),
    extension(
        "_testcapi",
        "_testcapimodule.c _testcapi/vectorcall.c _testcapi/heaptype.c _testcapi/abstract.c _testcapi/unicode.c _testcapi/dict.c \
         _testcapi/set.c _testcapi/list.c _testcapi/tuple.c _testcapi/getargs.c _testcapi/datetime.c _testcapi/docstring.c \
         _testcapi/mem.c _testcapi/watchers.c _testcapi/long.c _testcapi/float.c _testcapi/complex.c _testcapi/numbers.c \
         _testcapi/structmember.c _testcapi/exceptions.c _testcapi/code.c _testcapi/buffer.c _testcapi/pyatomic.c _testcapi/run.c \
         _testcapi/file.c _testcapi/codec.c _testcapi/immortal.c _testcapi/gc.c _testcapi/hash.c _testcapi/time.c \
         _testcapi/bytes.c _testcapi/object.c _testcapi/monitoring.c",
        "",
    ),
    extension("_testclinic", "_testclinic.c", ""),
    extension("_testclinic_limited", "_testclinic_limited.c", ""),
    extension("_testimportmultiple", "_testimportmultiple.c", ""),
    extension(
        "_testinternalcapi",
        "_testinternalcapi.c _testinternalcapi/test_lock.c _testinternalcapi/pytime.c _testinternalcapi/set.c \
         _testinternalcapi/test_critical_sections.c",
        "",
    ),
    extension(
        "_testlimitedcapi",
        "_testlimitedcapi.c _testlimitedcapi/abstract.c _testlimitedcapi/bytearray.c _testlimitedcapi/bytes.c \
         _testlimitedcapi/complex.c _testlimitedcapi/dict.c _testlimitedcapi/eval.c _testlimitedcapi/float.c \
         _testlimitedcapi/heaptype_relative.c _testlimitedcapi/import.c _testlimitedcapi/list.c _testlimitedcapi/long.c \
         _testlimitedcapi/object.c _testlimitedcapi/pyos.c _testlimitedcapi/set.c _testlimitedcapi/sys.c \
         _testlimitedcapi/tuple.c _testlimitedcapi/unicode.c _testlimitedcapi/vectorcall_limited.c _testlimitedcapi/file.c",
        "",
    ),
    extension("_testmultiphase", "_testmultiphase.c", ""),
    extension("_testsinglephase", "_testsinglephase.c", ""),
    extension("_xxtestfuzz", "_xxtestfuzz/_xxtestfuzz.c _xxtestfuzz/fuzzer.c", ""),
    extension("xxlimited", "xxlimited.c", ""),
    extension("xxlimited_35", "xxlimited_35.c", ""),
    extension("xxsubtype", "xxsubtype.c", ""),
];

/// What CPython's configure would find out of ncurses, if it were there then.
const CURSES: &str = "-DHAVE_CURSES_H -DHAVE_PANEL_H -DHAVE_NCURSESW -DWINDOW_HAS_FLAGS -DMVWDELCH_IS_EXPRESSION -DHAVE_TERM_H -DHAVE_CURSES_IS_PAD \
     -DHAVE_CURSES_IS_TERM_RESIZED -DHAVE_CURSES_RESIZE_TERM -DHAVE_CURSES_RESIZETERM -DHAVE_CURSES_FILTER -DHAVE_CURSES_HAS_KEY \
     -DHAVE_CURSES_IMMEDOK -DHAVE_CURSES_SYNCOK -DHAVE_CURSES_TYPEAHEAD -DHAVE_CURSES_USE_ENV -DHAVE_CURSES_WCHGAT \
     -DHAVE_CURSES_USE_DEFAULT_COLORS";

/// Modules that the core itself brings, with their functions; and those that are there before any
/// function is called.
pub(super) const CORE: &[(&str, &str)] = &[
    ("marshal", "PyMarshal_Init"),
    ("_imp", "PyInit__imp"),
    ("_ast", "PyInit__ast"),
    ("_tokenize", "PyInit__tokenize"),
    ("builtins", "NULL"),
    ("sys", "NULL"),
    ("gc", "PyInit_gc"),
    ("_warnings", "_PyWarnings_Init"),
    ("_string", "PyInit__string"),
];
