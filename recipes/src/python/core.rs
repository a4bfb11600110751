//! The units of the interpreter proper.

const PARSER: &str =
    "acceler grammar1 listnode node parser parsetok bitset metagrammar firstsets grammar pgen myreadline tokenizer";

const PYTHON: &str = "_warnings Python-ast asdl ast bltinmodule ceval compile codecs errors frozen frozenmain future getargs \
     getcopyright getversion graminit import importdl marshal modsupport mystrtoul mysnprintf peephole pyarena pyctype pyfpe pymath \
     pystate pythonrun random structmember symtable sysmodule traceback getopt pystrcmp pystrtod dtoa formatter_unicode \
     formatter_string dynload_shlib thread";

const OBJECTS: &str = "abstract boolobject bufferobject bytes_methods bytearrayobject capsule cellobject classobject cobject \
     codeobject complexobject descrobject enumobject exceptions genobject fileobject floatobject frameobject funcobject intobject \
     iterobject listobject longobject dictobject memoryobject methodobject moduleobject object obmalloc rangeobject setobject \
     sliceobject stringobject structseq tupleobject typeobject weakrefobject unicodeobject unicodectype";

const MODULES: &str = "main gcmodule";

/// Units with flags of their own: what configure and the Makefile would have told them, without times.
pub(super) const UNITS_WITH_FLAGS: &[(&str, &[&str])] = &[
    ("Python/getcompiler.c", &["-DCOMPILER=\"[Clang \" __clang_version__ \"]\""]),
    ("Python/getplatform.c", &["-DPLATFORM=\"wasi\""]),
    ("Modules/getbuildinfo.c", &["-DDATE=\"Jan  2 1980\"", "-DTIME=\"00:00:00\""]),
    (
        "Modules/getpath.c",
        &[
            "-DPYTHONPATH=\":plat-wasi:lib-tk\"",
            "-DPREFIX=\"/python\"",
            "-DEXEC_PREFIX=\"/python\"",
            "-DVERSION=\"2.7\"",
            "-DVPATH=\"\"",
        ],
    ),
];

/// All other units, by their paths in the sources.
pub(super) fn units() -> Vec<String> {
    [("Parser", PARSER), ("Python", PYTHON), ("Objects", OBJECTS), ("Modules", MODULES)]
        .iter()
        .flat_map(|(folder, names)| names.split_whitespace().map(move |name| format!("{folder}/{name}.c")))
        .collect()
}
