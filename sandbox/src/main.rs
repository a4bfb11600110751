//! `DEST/bin/run`.

#[global_allocator]
static ALLOCATOR: pynbox_run::account::CountingAllocator = pynbox_run::account::CountingAllocator;

fn main() {
    let args = std::env::args_os().skip(1);
    #[cfg(all(feature = "nacl", feature = "wasm"))]
    if pynbox_run::nacl::is_installed() {
        pynbox_run::nacl::main(args);
    }
    #[cfg(feature = "wasm")]
    if std::env::args_os().nth(1).is_some_and(|first| first == pynbox_run::initialise::ARGUMENT) {
        pynbox_run::initialise::main();
    }
    #[cfg(feature = "wasm")]
    pynbox_run::run::main(args);
    #[cfg(not(feature = "wasm"))]
    pynbox_run::nacl::main(args);
}
