//! The list of calls that native code is compiled with, compared with the import table.

#![cfg(feature = "wasm")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pynbox_run::abi::{FunctionResult, IMPORTS};
use pynbox_run::linking::ValueType;

/// Set to write the list instead of comparing it.
const UPDATE_VARIABLE: &str = "UPDATE_REFERENCE";
const LIST: &str = "recipes/files/native/calls.h";

const HEAD: &str = "/*
 * Every function that a guest may import, in the order of the loader's import table (`sandbox/src/abi/imports.rs`), from which this file is
 * generated: UPDATE_REFERENCE=1 cargo test --release --manifest-path sandbox/Cargo.toml --test native_calls
 *
 * CALL(module, name, parameters): `I` an i32, `L` an i64; `V` stands alone for no parameter. All give an i32, but for those that begin with `N`,
 * which never return.
 */
";

#[test]
fn the_calls_of_native_code_are_the_import_table() {
    let mut list = HEAD.to_owned();
    for function in IMPORTS {
        let letter = |ty| match ty {
            ValueType::I32 => 'I',
            ValueType::I64 => 'L',
            other => panic!("`{}` takes a {other:?}, which `calls.h` has no letter for", function.name),
        };
        let never = matches!(function.result, FunctionResult::Never).then_some('N');
        let parameters = function.parameters.iter().map(|parameter| letter(parameter.ty));
        let mut parameters: String = never.into_iter().chain(parameters).collect();
        if parameters.is_empty() {
            parameters.push('V');
        }
        writeln!(list, "CALL({}, {}, {parameters})", function.module, function.name).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(LIST);
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        fs::write(&path, &list).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), list, "run this test with {UPDATE_VARIABLE}=1");
}
