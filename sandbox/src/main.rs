//! `DEST/bin/run`.

fn main() {
    pynbox_run::run::main(std::env::args_os().skip(1));
}
