//! Executors: what runs the command of an action in a container of its own. Their common face and
//! the embedded one are a crate apart, `namespaces`, because remote workers get it as well.

mod choice;
mod docker;
mod limits;
mod runner_program;

pub use choice::Choice;
pub use docker::{Ahead, DockerExecutor};
pub use limits::{LimitSettings, describe_reached};
pub use namespaces::*;
pub use runner_program::runner_program;
