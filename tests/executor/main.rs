//! The executors, for real: what an action sees, what it can't reach, how it ends.
//!
//! The tests run as whoever starts them; started by root,
//! [`ordinary::everything_holds_for_an_ordinary_user`] runs all of them once more as an ordinary
//! user, and [`docker::everything_holds_in_docker`] once more on the Docker executor. Images hold
//! this very program: inside, it runs a probe (see [`probe`]).

mod attack;
mod bench;
mod callers;
mod docker;
mod life;
mod limits;
mod ordinary;
mod probe;
mod view;

testing::helpers!(
    "probe" => probe::probe,
    "unusual caller" => callers::unusual_caller,
    "long action" => life::long_action,
    "shell" => life::shell,
    "golden view" => ordinary::golden_view,
    "noexec" => ordinary::noexec,
    "no namespaces" => ordinary::no_namespaces,
    "low limits" => ordinary::low_limits,
    "docker: owner" => docker::owner,
    "docker: action" => docker::action,
    "docker: broken action" => docker::broken_action,
    "docker: connection" => docker::connection,
);
