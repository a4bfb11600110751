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

/// Units with flags of their own: what configure and the Makefile would have told them, without
/// times.
pub(super) fn units_with_flags(platform: &str) -> Vec<(&'static str, Vec<String>)> {
    let flags = |flags: &[&str]| flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>();
    vec![
        ("Python/getcompiler.c", compiler(platform)),
        ("Python/getplatform.c", vec![format!("-DPLATFORM=\"{platform}\"")]),
        ("Modules/getbuildinfo.c", flags(&["-DDATE=\"Jan  2 1980\"", "-DTIME=\"00:00:00\""])),
        (
            "Modules/getpath.c",
            [
                flags(&["-DPREFIX=\"/python\"", "-DEXEC_PREFIX=\"/python\"", "-DVERSION=\"2.7\"", "-DVPATH=\"\""]),
                vec![format!("-DPYTHONPATH=\":plat-{platform}:lib-tk\"")],
            ]
            .concat(),
        ),
    ]
}

/// The compiler's name for `sys.version`: the source knows gcc by itself.
fn compiler(platform: &str) -> Vec<String> {
    match platform {
        "wasi" => vec!["-DCOMPILER=\"[Clang \" __clang_version__ \"]\"".to_owned()],
        _ => Vec::new(),
    }
}

/// All other units, by their paths in the sources.
pub(super) fn units() -> Vec<String> {
    [("Parser", PARSER), ("Python", PYTHON), ("Objects", OBJECTS), ("Modules", MODULES)]
        .iter()
        .flat_map(|(folder, names)| names.split_whitespace().map(move |name| format!("{folder}/{name}.c")))
        .collect()
}
