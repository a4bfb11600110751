//! Executors: what runs the command of an action in a container of its own. Their trait and the
//! embedded one are the crate `namespaces`, which remote workers get as well; the one for Docker is
//! the crate `docker`, a feature.

mod choice;
mod limits;
mod runner_program;

pub use choice::{Choice, Leftover};
#[cfg(feature = "docker")]
pub use docker::{Ahead, DockerExecutor};
pub use limits::{LimitSettings, describe_reached};
pub use namespaces::*;
pub use runner_program::runner_program;
