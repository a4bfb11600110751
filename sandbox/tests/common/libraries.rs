//! Guests that load libraries, and the libraries.

/// A program that can load libraries, written around the body of its `_start`.
///
/// `$load` opens `/slib/NAME.so` (address and length of NAME.so in `data`, flags) and gives the
/// handle; if that fails it says errno and text, and gives
/// 0. `$symbol` gives an address, `$say` writes a number. `malloc` takes memory from 65536 on,
///    `free` gives the last block back; both say nothing.
pub fn program(data: &str, body: &str) -> String {
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "pynbox" "dl_open" (func $dl_open (param i32 i32 i32 i32) (result i32)))
  (import "pynbox" "dl_symbol" (func $dl_symbol (param i32 i32 i32 i32) (result i32)))
  (import "pynbox" "dl_close" (func $dl_close (param i32) (result i32)))
  (import "pynbox" "dl_error" (func $dl_error (param i32 i32 i32) (result i32)))
  (import "pynbox" "fn_call" (func $fn_call (param i32 i32 i32 i32 i32) (result i32)))
  (import "pynbox" "fn_closure" (func $fn_closure (param i32 i32 i32 i32 i32) (result i32)))
  (import "pynbox" "fn_release" (func $fn_release (param i32) (result i32)))
  (type $unary (func (param i32) (result i32)))
  (type $binary (func (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (table (export "__indirect_function_table") 8 funcref)
  (elem (i32.const 1) $program_twice $dispatcher)
  (global $stack (export "__stack_pointer") (mut i32) (i32.const 60000))
  (global (export "program_datum") i32 (i32.const 2000))
  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 2000) "\05\00\00\00")
  {data}
  (func (export "malloc") (param $size i32) (result i32) (local $at i32)
    (local.set $at (global.get $heap))
    (if (i32.gt_u (local.get $size) (i32.const 100000000)) (then (return (i32.const 0))))
    (global.set $heap (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 15)) (i32.const -16)))
    (block $fits (loop $more
      (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
      (return (i32.const 0))))
    ;; Dirty, as a heap is.
    (memory.fill (local.get $at) (i32.const 255) (local.get $size))
    (local.get $at))
  (func (export "free") (param i32) (global.set $heap (local.get 0)))
  (func $program_twice (export "program_twice") (type $unary) (i32.mul (local.get 0) (i32.const 2)))
  (func $program_unlisted (export "program_unlisted") (type $unary) (i32.add (local.get 0) (i32.const 1000)))
  (func $say (export "say") (param $n i32) (local $at i32)
    (local.set $at (i32.const 1099))
    (i32.store8 (local.get $at) (i32.const 10))
    (loop $digit
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
      (br_if $digit (local.get $n)))
    (call $puts (local.get $at) (i32.sub (i32.const 1100) (local.get $at))))
  (func $puts (param $at i32) (param $length i32)
    (i32.store (i32.const 8) (local.get $at))
    (i32.store (i32.const 12) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16))))
  (func $why (param $errno i32)
    (call $say (local.get $errno))
    (drop (call $dl_error (i32.const 3000) (i32.const 1000) (i32.const 20)))
    (call $puts (i32.const 3000) (i32.load (i32.const 20)))
    (i32.store8 (i32.const 1000) (i32.const 10))
    (call $puts (i32.const 1000) (i32.const 1)))
  (func $load (export "load") (param $name i32) (param $length i32) (param $flags i32) (result i32) (local $errno i32)
    (i64.store (i32.const 4200) (i64.const 0x2f62696c732f))
    (memory.copy (i32.const 4206) (local.get $name) (local.get $length))
    (local.set $errno (call $dl_open (i32.const 4200) (i32.add (i32.const 6) (local.get $length)) (local.get $flags) (i32.const 24)))
    (if (local.get $errno) (then (call $why (local.get $errno)) (return (i32.const 0))))
    (i32.load (i32.const 24)))
  (func $symbol (param $handle i32) (param $name i32) (param $length i32) (result i32) (local $errno i32)
    (local.set $errno (call $dl_symbol (local.get $handle) (local.get $name) (local.get $length) (i32.const 28)))
    (if (local.get $errno) (then (call $why (local.get $errno)) (return (i32.const 0))))
    (i32.load (i32.const 28)))
  (func $dispatcher (param $user i32) (param $arguments i32) (param $result i32)
    (if (i32.eq (local.get $user) (i32.const 13)) (then unreachable))
    (call $say (i32.sub (i32.const 60000) (global.get $stack)))
    (i64.store (local.get $result) (i64.add (i64.load (local.get $arguments)) (i64.extend_i32_u (local.get $user)))))
  (func (export "_start") (local $h i32) (local $f i32) (local $i i32)
    {body}))"#
    )
}

/// A library: `dylink` are the subsections of `dylink.0`, the rest is the module's.
pub fn library(dylink: &str, rest: &str) -> String {
    format!(
        r#"(module
  (@dylink.0 {dylink})
  {rest})"#
    )
}

/// The imports that most libraries have.
pub const IMPORTS: &str = r#"
  (import "env" "memory" (memory 0))
  (import "env" "__indirect_function_table" (table 0 funcref))
  (import "env" "__stack_pointer" (global $stack (mut i32)))
  (import "env" "__memory_base" (global $memory_base i32))
  (import "env" "__table_base" (global $table_base i32))"#;
