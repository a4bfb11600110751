//! Variables of the environment that hold text: what a variable says counts, or is an error. One
//! that is no UTF-8 is never taken for one that is not set.
//!
//! Variables that hold paths are bytes to begin with, and are read where they are needed.

use std::env::{self, VarError};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use thiserror::Error;

/// A variable whose value is no text. The value is not shown: there may be a password in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the value of the variable `{0}` is no UTF-8; set it anew, or unset it")]
pub struct NotText(String);

/// A variable's value; `None` if it is not set, or empty.
///
/// # Errors
/// [`NotText`].
pub fn text(name: &str) -> Result<Option<String>, NotText> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(NotText(name.to_owned())),
    }
}

/// An error if a variable that names a proxy, or what needs none, is no text: libraries read these,
/// and would pass over it.
///
/// # Errors
/// [`NotText`].
pub fn check_proxies() -> Result<(), NotText> {
    for name in ["all_proxy", "http_proxy", "https_proxy", "no_proxy"] {
        text(name)?;
        text(&name.to_ascii_uppercase())?;
    }
    Ok(())
}

/// The same for all variables whose names begin so.
///
/// # Errors
/// [`NotText`].
pub fn check_all(beginning: &str) -> Result<(), NotText> {
    let begins = |name: &OsStr| name.as_bytes().starts_with(beginning.as_bytes());
    match env::vars_os().find(|(name, value)| begins(name) && (name.to_str().is_none() || value.to_str().is_none())) {
        Some((name, _)) => Err(NotText(build_graph::untrusted::printable(name.as_bytes()).to_string())),
        None => Ok(()),
    }
}
