//! What one node takes of another.

use super::Words;
use crate::node::{NodeName, Selection};
use crate::{Glob, Projection, RelPath, Text};

/// A node that a recipe made, to be taken by others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle(NodeName);

impl Handle {
    pub(super) fn new(name: NodeName) -> Self {
        Self(name)
    }

    /// The node's name.
    pub fn name(&self) -> &NodeName {
        &self.0
    }

    /// All of its tree.
    pub fn all(&self) -> Take {
        Take { node: self.0.clone(), patterns: None, strip: None }
    }

    /// The part of its tree that matches one of these patterns (see [`Glob`]), and none of those
    /// that begin with `!`. There has to be a pattern of the first kind, each has to match
    /// something, and each of the second has to leave something out.
    pub fn select(&self, patterns: impl Words) -> Take {
        Take { patterns: Some(patterns.words().into_iter().map(Text::from).collect()), ..self.all() }
    }

    /// What lies below a directory of its tree, seen from there.
    pub fn below(&self, directory: &str) -> Take {
        self.select(directory).strip(directory)
    }
}

/// Part of a node's tree, as a recipe asks for it; checked when it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    node: NodeName,
    /// `None`: everything.
    patterns: Option<Vec<Text>>,
    strip: Option<Text>,
}

impl Take {
    /// Seen from this directory; what lies elsewhere is not taken, and something has to lie there.
    #[must_use]
    pub fn strip(mut self, directory: &str) -> Self {
        self.strip = Some(directory.into());
        self
    }

    /// Whether it is a node's whole tree, as it is.
    pub(super) fn is_all(&self) -> bool {
        self.patterns.is_none() && self.strip.is_none()
    }

    pub(super) fn node(&self) -> &NodeName {
        &self.node
    }

    pub(super) fn check(self) -> Result<Selection, String> {
        let (mut include, mut exclude) = (Vec::new(), Vec::new());
        for pattern in self.patterns.iter().flatten() {
            let (glob, list) = match pattern.strip_prefix('!') {
                Some(glob) => (Text::from(glob), &mut exclude),
                None => (pattern.clone(), &mut include),
            };
            list.push(Glob::new(glob).map_err(|error| error.to_string())?);
        }
        if self.patterns.is_some() && include.is_empty() {
            return Err(format!(
                "a selection of `{}` has no pattern: name one, or take it whole with `all`",
                self.node
            ));
        }
        let strip = self.strip.map(RelPath::new).transpose().map_err(|error| error.to_string())?;
        Ok(Selection { node: self.node, part: Projection::new(include, exclude, strip) })
    }
}

impl From<&Handle> for Take {
    fn from(handle: &Handle) -> Self {
        handle.all()
    }
}
