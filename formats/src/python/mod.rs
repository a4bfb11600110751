//! Packages of Python as indexes and other tools give them: wheels, and files of requirements.
//!
//! | module | what it reads | by which specification (packaging.python.org/specifications) |
//! |---|---|---|
//! | [`names`] | names of projects and of wheels | name normalization; binary distribution format; platform compatibility tags |
//! | [`marker`] | conditions on the environment | dependency specifiers |
//! | [`requirement`] | one requirement | dependency specifiers; version specifiers |
//! | [`requirements`] | a file of pinned requirements | pip's requirements file format |
//! | [`metadata`] | `METADATA`, `WHEEL` | core metadata; binary distribution format |
//! | [`record`] | `RECORD` | recording installed projects |
//! | [`scripts`] | `entry_points.txt`, programs | entry points |
//! | [`wheel`] | a whole wheel | binary distribution format |

pub mod marker;
pub mod metadata;
pub mod names;
pub mod record;
pub mod requirement;
pub mod requirements;
pub mod scripts;
pub mod wheel;

use build_graph::untrusted::printable;
use thiserror::Error;

/// A text does not read as what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", printable(.0))]
pub struct Unreadable(pub(crate) String);

impl Unreadable {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}
