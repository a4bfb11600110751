//! The compiler's own process: what it gives, and what it gives up at.
//!
//! A test of its own, and one alone: processes are forked while no other test runs.

#![cfg(feature = "wasm")]

mod common;

use common::libraries::{IMPORTS, library};
use pynbox_run::account::CountingAllocator;
use pynbox_run::compiler::{Compiler, CompilerLimits};
use pynbox_run::engine::{Engine, Layout};

/// As the loader has it: the compiler's process ends by it.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A library with so many functions, each of so many steps.
fn large(functions: usize, steps: usize) -> Vec<u8> {
    let step = "(local.set 0 (i32.mul (local.get 0) (i32.add (local.get 0) (i32.const 77777))))";
    let function = format!("(func (param i32) (result i32) {} (local.get 0))", step.repeat(steps));
    wat::parse_str(library("(mem-info)", &format!("{IMPORTS} {}", function.repeat(functions)))).unwrap()
}

#[test]
fn a_library_is_compiled_apart_and_within_limits() {
    let small = large(1, 1);
    let here = Engine::for_untrusted(Layout::USUAL).unwrap().compile_ahead(&small).unwrap();
    let refused =
        |compiler: &Compiler, wasm: &[u8]| compiler.compile(wasm.to_vec(), Layout::USUAL).unwrap_err().to_string();

    let compiler = Compiler::start(CompilerLimits::default());
    assert!(compiler.compile(small.clone(), Layout::USUAL).unwrap() == here, "the same code as in this process");
    let why = refused(&compiler, b"\0asm\x01\0\0\0\xff");
    assert!(why.contains("no valid WebAssembly"), "{why}");

    let compiler = Compiler::start(CompilerLimits { memory: 256 << 20, ..CompilerLimits::default() });
    let why = refused(&compiler, &large(1, 80_000));
    assert!(why.contains("262144 KiB"), "{why}");
    assert!(compiler.compile(small.clone(), Layout::USUAL).unwrap() == here, "the next library is another matter");

    let compiler = Compiler::start(CompilerLimits { seconds: 1, ..CompilerLimits::default() });
    let why = refused(&compiler, &large(300, 3_000));
    assert!(why.contains("more than 1 s"), "{why}");
    assert!(compiler.compile(small.clone(), Layout::USUAL).unwrap() == here);
}
