//! Remote caches: protocols against real servers, faults against one of ours, and results that somebody poisoned.

mod certificates;
mod faults;
mod faulty;
mod memory;
mod poison;
mod protocols;
mod servers;
mod side;
mod tls;
