//! Whole modules through the command `run`: random valid ones that import functions of the import
//! table, under tight limits. However such a guest behaves, the loader ends with a status that its
//! documentation has, and says the same on `--status-fd`.

use std::cell::RefCell;
use std::env;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use arbitrary::Unstructured;
use pynbox_run::abi::{FunctionResult, HostFunction, IMPORTS};
use pynbox_run::limits::TABLE;
use pynbox_run::linking::ValueType;
use tempfile::TempDir;
use wasm_encoder::{
    CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, MemorySection, MemoryType, Module, RefType, TableSection, TableType, TypeSection,
    ValType,
};

/// The variable that names the loader to run; else it is the one that was built beside this
/// program.
const LOADER: &str = "FUZZ_LOADER";
const LIMITS: &[&str] = &[
    "--time=2",
    "--cpu=1",
    "--max-memory=96",
    "--max-output=4K",
    "--max-file=64K",
    "--max-write=256K",
    "--max-files=32",
    "--max-open=32",
    "--tmpfs=/tmp:64K",
];
/// What a module's functions may do before they trap: most modules with a loop would run for ever.
const FUEL: u32 = 20_000;

thread_local! {
    static INSTALLATION: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

pub(crate) fn prepare() {
    let loader = env::var_os(LOADER)
        .map(PathBuf::from)
        .unwrap_or_else(|| env::current_exe().expect("this program has a path").with_file_name("run"));
    let installation = tempfile::Builder::new().prefix("loader-fuzz-").tempdir().unwrap();
    for folder in ["bin", "packages", "root/test", "rw"] {
        fs::create_dir_all(installation.path().join(folder)).unwrap();
    }
    fs::copy(&loader, installation.path().join("bin/run"))
        .unwrap_or_else(|error| panic!("`{}`: {error}; build the loader first", loader.display()));
    INSTALLATION.set(Some(installation));
}

pub(crate) fn run(data: &[u8]) {
    let Some(module) = module(data) else { return };
    INSTALLATION.with_borrow(|installation| {
        let place = installation.as_ref().expect("it was prepared").path();
        fs::write(place.join("root/test/main.wasm"), module).unwrap();
        let written = place.join("rw");
        fs::remove_dir_all(&written).unwrap();
        fs::create_dir(&written).unwrap();
        check(place);
    });
}

/// A module that exports what a program does. Nothing if the input is too short for one.
fn module(data: &[u8]) -> Option<Vec<u8>> {
    let (&settings, data) = data.split_first()?;
    let config = wasm_smith::Config {
        available_imports: Some(imports()),
        exports: Some(exports()),
        max_memories: 1,
        max_memory32_bytes: 8 << 20,
        max_table_elements: 1000,
        memory64_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        compact_imports_enabled: false,
        wide_arithmetic_enabled: false,
        ..wasm_smith::Config::default()
    };
    let mut module = wasm_smith::Module::new(config, &mut Unstructured::new(data)).ok()?;
    if settings != 0 {
        module.ensure_termination(FUEL).ok()?;
    }
    Some(module.to_bytes())
}

/// A module that imports every function of the table.
fn imports() -> Vec<u8> {
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    for (index, function) in (0..).zip(IMPORTS) {
        let HostFunction { module, name, parameters, result, .. } = function;
        let result = (*result == FunctionResult::Errno).then_some(ValType::I32);
        types.ty().function(parameters.iter().map(|parameter| val_type(parameter.ty)), result);
        imports.import(module, name, EntityType::Function(index));
    }
    let mut module = Module::new();
    module.section(&types).section(&imports);
    module.finish()
}

fn val_type(ty: ValueType) -> ValType {
    match ty {
        ValueType::I32 => ValType::I32,
        ValueType::I64 => ValType::I64,
        ValueType::F32 => ValType::F32,
        ValueType::F64 => ValType::F64,
    }
}

/// A module that exports what the loader looks for in a program.
fn exports() -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([ValType::I32], [ValType::I32]);
    types.ty().function([ValType::I32], []);
    let (mut functions, mut code, mut exports) = (FunctionSection::new(), CodeSection::new(), ExportSection::new());
    for (index, name) in (0..).zip(["_start", "malloc", "free"]) {
        functions.function(index);
        let mut body = Function::new([]);
        body.instructions().unreachable().end();
        code.function(&body);
        exports.export(name, ExportKind::Func, index);
    }
    let (mut tables, mut memories, mut globals) = (TableSection::new(), MemorySection::new(), GlobalSection::new());
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: 8,
        maximum: None,
        shared: false,
    });
    exports.export("__indirect_function_table", ExportKind::Table, 0);
    memories.memory(MemoryType { minimum: 2, maximum: None, memory64: false, shared: false, page_size_log2: None });
    exports.export("memory", ExportKind::Memory, 0);
    globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &ConstExpr::i32_const(60_000));
    exports.export("__stack_pointer", ExportKind::Global, 0);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&tables).section(&memories).section(&globals);
    module.section(&exports).section(&code);
    module.finish()
}

/// Runs the module that lies there, and looks how that ends.
fn check(place: &Path) {
    let mut status = tempfile::tempfile_in(place).unwrap();
    rustix::io::fcntl_setfd(&status, rustix::io::FdFlags::empty()).unwrap();
    let ended = Command::new(place.join("bin/run"))
        .args(LIMITS)
        .arg(format!("--status-fd={}", status.as_raw_fd()))
        .arg(format!("-m{}:/:ro", place.join("root").display()))
        .arg(format!("-m{}:/rw:rw", place.join("rw").display()))
        .args(["/test/main.wasm", "argument"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(File::options().append(true).create(true).open(place.join("out")).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    let mut line = String::new();
    status.rewind().unwrap();
    status.read_to_string(&mut line).unwrap();
    fs::remove_file(place.join("out")).unwrap();
    assert_eq!(ended.status.signal(), None, "the loader was ended by a signal: {line}{said}");
    let code = ended.status.code().unwrap();
    let is = |how: &str, status: i32| code == status && line.contains(&format!("\"how\":\"{how}\",\"status\":{code},"));
    let limit = TABLE.iter().filter_map(|row| row.status).any(|status| is("limit", status.into()));
    assert!(is("exit", code) || is("trap", 134) || is("refused", 2) || limit, "{code}: {line}{said}");
}
