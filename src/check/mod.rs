//! Tests that others wrote, run in the sandbox and natively: how they end, and how they were
//! expected to.
//!
//! A file of tests runs in a process of its own ([`runner`]), under a driver that notes how every
//! method ends ([`results`]). What is expected lies in the project, with the reason of every method
//! that does not pass ([`expected`], [`reasons`]); a result that differs, a pass included, is an
//! error. [`report`] draws the table, [`suites`] says which tests there are.

pub mod expected;
pub mod places;
pub mod reasons;
pub mod report;
pub mod results;
pub mod runner;
pub mod suites;

pub use expected::{Difference, Expectation, Expected};
pub use places::TestPlace;
pub use reasons::Reasons;
pub use results::{FileResult, Outcome};
pub use runner::{Ran, Runner};
pub use suites::Suite;
