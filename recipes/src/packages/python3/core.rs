//! The units of the interpreter proper.

const PARSER: &str = "token pegen pegen_errors action_helpers parser string_parser peg_api lexer/buffer lexer/lexer lexer/state \
     tokenizer/file_tokenizer tokenizer/readline_tokenizer tokenizer/string_tokenizer tokenizer/utf8_tokenizer tokenizer/helpers \
     myreadline";

const OBJECTS: &str = "abstract boolobject bytes_methods bytearrayobject bytesobject call capsule cellobject classobject codeobject \
     complexobject descrobject enumobject exceptions genericaliasobject genobject fileobject floatobject frameobject funcobject \
     iterobject listobject longobject dictobject odictobject memoryobject methodobject moduleobject namespaceobject object obmalloc \
     picklebufobject rangeobject setobject sliceobject structseq tupleobject typeobject typevarobject unicodeobject unicodectype \
     unionobject weakrefobject";

const PYTHON: &str = "_warnings Python-ast Python-tokenize asdl assemble ast ast_opt ast_unparse bltinmodule brc ceval codecs compile \
     context critical_section crossinterp dynamic_annotations errors flowgraph frame frozenmain future gc gc_free_threading gc_gil \
     getargs getcompiler getcopyright getversion ceval_gil hamt hashtable import importdl initconfig interpconfig instrumentation \
     instruction_sequence intrinsics jit legacy_tracing lock marshal modsupport mysnprintf mystrtoul object_stack optimizer \
     optimizer_analysis optimizer_symbols parking_lot pathconfig preconfig pyarena pyctype pyfpe pyhash pylifecycle pymath pystate \
     pythonrun pytime qsbr bootstrap_hash specialize structmember symtable thread traceback tracemalloc getopt pystrcmp pystrtod \
     pystrhex dtoa formatter_unicode fileutils suggestions perf_trampoline perf_jit_trampoline";

const MODULES: &str = "main gcmodule";

/// Units with flags of their own: what configure and the Makefile would have told them, without
/// times.
pub(super) const UNITS_WITH_FLAGS: &[(&str, &[&str])] = &[
    ("Python/getplatform.c", &["-DPLATFORM=\"wasi\""]),
    ("Python/sysmodule.c", &["-DABIFLAGS=\"\"", "-DMULTIARCH=\"wasm32-wasi\""]),
    ("Python/dynload_shlib.c", &["-DSOABI=\"cpython-313-wasm32-wasi\""]),
    (
        "Modules/getbuildinfo.c",
        &["-DDATE=\"Jan  2 1980\"", "-DTIME=\"00:00:00\"", "-DGITVERSION=\"\"", "-DGITTAG=\"\"", "-DGITBRANCH=\"\""],
    ),
];

/// As these are, the two units that take in modules in bytecode.
pub(super) const FREEZING_UNITS: &[(&str, &[&str])] = &[
    ("Python/frozen.c", &[]),
    (
        "Modules/getpath.c",
        &[
            "-Iheaders",
            "-DPREFIX=\"/python3\"",
            "-DEXEC_PREFIX=\"/python3\"",
            "-DVERSION=\"3.13\"",
            "-DVPATH=\"\"",
            "-DPYTHONPATH=\"\"",
            "-DPLATLIBDIR=\"lib\"",
            "-DPYTHONFRAMEWORK=\"\"",
        ],
    ),
];

/// The modules that these hold in bytecode, so that the interpreter has them before it can import:
/// each is a header.
pub(super) const FROZEN: &str = "importlib._bootstrap importlib._bootstrap_external zipimport abc codecs io _collections_abc \
     _sitebuiltins genericpath ntpath posixpath os site stat importlib.util importlib.machinery runpy __hello__ __phello__ \
     __phello__.ham __phello__.ham.eggs __phello__.spam";

/// All other units, by their paths in the sources.
pub(super) fn units() -> impl Iterator<Item = String> {
    [("Parser", PARSER), ("Python", PYTHON), ("Objects", OBJECTS), ("Modules", MODULES)]
        .into_iter()
        .flat_map(|(folder, names)| names.split_whitespace().map(move |name| format!("{folder}/{name}.c")))
}
