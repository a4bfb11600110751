//! Paths of trees and of actions: text, checked once, then trusted.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::Text;
use crate::untrusted::printable;

/// A text is no path of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is no valid path: {reason}", printable(path))]
pub struct PathError {
    path: String,
    reason: &'static str,
}

fn check(path: &str, relative: &str) -> Result<(), PathError> {
    let error = |reason| Err(PathError { path: path.to_owned(), reason });
    if relative.is_empty() {
        return error("it is empty");
    }
    if relative.bytes().any(|byte| byte == 0 || byte == b'\n') {
        return error("it holds a NUL or a line feed");
    }
    for component in relative.split('/') {
        match component {
            "" => return error("it has an empty component"),
            "." | ".." => return error("it has a `.` or `..` component"),
            _ => {}
        }
    }
    Ok(())
}

/// A path inside a tree: UTF-8, relative, components separated by `/`, none of them empty, `.` or
/// `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Text);

impl RelPath {
    /// Checks and takes a path.
    ///
    /// # Errors
    /// [`PathError`] if it is absolute, empty, or has an empty, `.` or `..` component, a NUL or a
    /// line feed.
    pub fn new(path: impl Into<Text>) -> Result<Self, PathError> {
        let path = path.into();
        check(&path, &path)?;
        Ok(Self(path))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path with another below it.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        Self(format!("{}/{}", self.0, below.0).into())
    }

    /// The path without its last component; `None` at the top.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// What remains below `prefix`; `None` if the path is not below it (the prefix itself is not).
    pub fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(prefix.as_str())?.strip_prefix('/')?;
        Some(Self(rest.into()))
    }

    /// Whether this path is `prefix` or lies below it.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self == prefix || self.strip_prefix(prefix).is_some()
    }
}

/// An absolute path as an action sees it, such as `/build/include`; `/` itself is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SandboxPath(Text);

impl SandboxPath {
    /// Checks and takes a path.
    ///
    /// # Errors
    /// [`PathError`] if it is relative, `/`, or has an empty, `.` or `..` component, a NUL or a
    /// line feed.
    pub fn new(path: impl Into<Text>) -> Result<Self, PathError> {
        let path = path.into();
        let Some(relative) = path.strip_prefix('/') else {
            return Err(PathError { path: path.to_string(), reason: "it is not absolute" });
        };
        check(&path, relative)?;
        Ok(Self(path))
    }

    /// The text, with its leading `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same path seen from `/`.
    pub fn relative(&self) -> RelPath {
        RelPath(self.0[1..].into())
    }

    /// This path with another below it.
    #[must_use]
    pub fn join(&self, below: &RelPath) -> Self {
        Self(format!("{}/{}", self.0, below.as_str()).into())
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = PathError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl AsRef<std::path::Path> for $name {
            fn as_ref(&self) -> &std::path::Path {
                std::path::Path::new(self.as_str())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(Text::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_type!(RelPath);
text_type!(SandboxPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_leave_a_tree_is_no_path() {
        for bad in ["", "/", "/etc", "..", "a/..", "../a", "a//b", "./a", "a/", "a\0", "a\nb"] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a/b", "...", "a b", ".hidden", "ü"] {
            assert!(RelPath::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn errors_print_no_control_characters() {
        let conflict = crate::TreeError::Conflict { path: RelPath::new("a\u{1b}[31m").unwrap() };
        for message in [RelPath::new("\u{1b}]0;x\u{7}/..").unwrap_err().to_string(), conflict.to_string()] {
            assert!(message.contains("\\u{1b}") && !message.contains(char::is_control), "{message}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_component() {
        let path = RelPath::new("include/zlib.h").unwrap();
        assert_eq!(path.strip_prefix(&RelPath::new("include").unwrap()), Some(RelPath::new("zlib.h").unwrap()));
        assert_eq!(path.strip_prefix(&RelPath::new("incl").unwrap()), None);
        assert!(path.starts_with(&path));
    }

    #[test]
    fn sandbox_paths_are_absolute() {
        assert!(SandboxPath::new("build").is_err());
        assert!(SandboxPath::new("/").is_err());
        assert!(SandboxPath::new("/build/../etc").is_err());
        assert_eq!(SandboxPath::new("/build/src").unwrap().relative().as_str(), "build/src");
    }
}
