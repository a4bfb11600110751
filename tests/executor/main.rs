//! The embedded executor, for real: what an action sees, what it can't reach, how it ends.
//!
//! The tests run as whoever starts them; started by root, [`ordinary::everything_holds_for_an_ordinary_user`] runs all of them once
//! more as an ordinary user. Images hold this very program: inside, it runs a probe (see [`probe`]).

mod attack;
mod bench;
mod life;
mod ordinary;
mod probe;
mod view;
