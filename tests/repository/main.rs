//! Package repositories: publishing and installing over folders, real servers and faulty ones, and
//! the attacks that The Update Framework names.

mod attacks;
mod faults;
mod install;
mod machine;
mod protocols;
mod room;
mod shipping;
