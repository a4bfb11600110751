//! Remote caches: protocols against real servers, faults against one of ours, and results that
//! somebody poisoned.

mod faults;
mod faulty;
mod memory;
mod poison;
mod protocols;
mod side;
mod tls;

testing::helpers!("look up" => memory::look_up);
