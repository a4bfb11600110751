//! Names in the guest's file tree.

use std::fmt;

use crate::print;

/// A path of the guest after resolution: absolute, without `.`, `..`, empty or symbolic-link
/// components.
///
/// Stored relative to "/" (so that the root is empty), because that is the form the kernel is asked
/// with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GuestPath(Vec<u8>);

impl GuestPath {
    /// The guest's "/".
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads an absolute path such as a mount point, where `.` and repeated slashes fall away.
    ///
    /// Returns `None` for a relative path, and for one with `..` or a NUL byte: what those mean
    /// depends on links.
    pub fn parse_absolute(text: &[u8]) -> Option<Self> {
        if text.first() != Some(&b'/') || text.contains(&0) {
            return None;
        }
        Self::root().join_lexically(text)
    }

    /// This path followed by the components of `text`, or `None` if one of them is `..`.
    pub(crate) fn join_lexically(&self, text: &[u8]) -> Option<Self> {
        let mut path = if text.first() == Some(&b'/') { Self::root() } else { self.clone() };
        for component in text.split(|&b| b == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return None,
                name => path.push(name),
            }
        }
        Some(path)
    }

    /// Whether this is "/".
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes below "/", as `a/b`; empty for "/".
    pub fn as_relative(&self) -> &[u8] {
        &self.0
    }

    /// The directory that it lies in, as [`GuestPath::as_relative`] gives it; the root is its own.
    pub fn parent_as_relative(&self) -> &[u8] {
        &self.0[..self.0.iter().rposition(|&b| b == b'/').unwrap_or(0)]
    }

    /// Appends one component, which is no `.`, no `..`, and has no slash.
    pub fn push(&mut self, name: &[u8]) {
        debug_assert!(!name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/'));
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
    }

    /// This path with one more component.
    pub fn child(&self, name: &[u8]) -> Self {
        let mut path = self.clone();
        path.push(name);
        path
    }

    /// The path and last component that this one consists of; `None` for "/".
    pub fn split_last(&self) -> Option<(Self, &[u8])> {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => Some((Self(self.0[..slash].to_vec()), &self.0[slash + 1..])),
            None if self.is_root() => None,
            None => Some((Self::root(), &self.0)),
        }
    }

    /// Goes up by one; "/" stays.
    pub fn pop(&mut self) {
        let length = self.parent_as_relative().len();
        self.0.truncate(length);
    }

    /// What remains of this path below `prefix` (empty if they are equal), if it lies there.
    pub fn below<'a>(&'a self, prefix: &GuestPath) -> Option<&'a [u8]> {
        if prefix.is_root() {
            return Some(&self.0);
        }
        let rest = self.0.strip_prefix(prefix.0.as_slice())?;
        match rest.split_first() {
            None => Some(rest),
            Some((b'/', name)) => Some(name),
            Some(_) => None,
        }
    }

    /// Whether this path lies strictly below `prefix`.
    pub fn is_strictly_below(&self, prefix: &GuestPath) -> bool {
        self.below(prefix).is_some_and(|rest| !rest.is_empty())
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", print::shown(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> GuestPath {
        GuestPath::parse_absolute(text.as_bytes()).unwrap()
    }

    #[test]
    fn absolute_paths_lose_what_means_nothing() {
        assert_eq!(path("//a/./b/").to_string(), "/a/b");
        assert_eq!(path("/").to_string(), "/");
        assert_eq!(GuestPath::parse_absolute(b"a"), None);
        assert_eq!(GuestPath::parse_absolute(b"/a/../b"), None);
        assert_eq!(GuestPath::parse_absolute(b"/a\0b"), None);
    }

    #[test]
    fn below_goes_by_components() {
        assert_eq!(path("/ab/c").below(&path("/ab")), Some(&b"c"[..]));
        assert_eq!(path("/ab").below(&path("/ab")), Some(&b""[..]));
        assert_eq!(path("/abc").below(&path("/ab")), None);
        assert_eq!(path("/abc").below(&GuestPath::root()), Some(&b"abc"[..]));
        assert!(!path("/ab").is_strictly_below(&path("/ab")));
    }

    #[test]
    fn split_and_pop_agree() {
        let (parent, name) = path("/a/b").split_last().map(|(p, n)| (p, n.to_vec())).unwrap();
        assert_eq!((parent.to_string().as_str(), name.as_slice()), ("/a", &b"b"[..]));
        assert_eq!(path("/").split_last(), None);
        let mut p = path("/a/b");
        p.pop();
        assert_eq!(p, path("/a"));
        p.pop();
        p.pop();
        assert!(p.is_root());
    }
}
