//! Selections: which part of a tree a consumer sees, and where.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::untrusted::printable;
use crate::{RelPath, Text, Tree};

/// A text is no glob.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is no glob: {}", printable(glob), printable(reason))]
pub struct GlobError {
    glob: Text,
    reason: String,
}

/// A pattern over the paths of a tree: `*` and `?` within a component, `**` over components,
/// `[a-z]`, `{a,b}`.
///
/// A pattern without any of these is a path, and selects it or everything below it. A selection
/// that must find something and finds nothing is an error of the recipe, so a literal path that is
/// not there is found out at once.
#[derive(Debug, Clone)]
pub struct Glob {
    text: Text,
    /// `None` for a literal path.
    pattern: Option<Arc<Pattern>>,
}

/// A thread keeps at most this many parsed patterns.
const MAX_PARSED: usize = 1024;

thread_local! {
    /// The patterns that this thread has parsed: every unit of a library names the same headers.
    static PARSED: RefCell<HashMap<String, Arc<Pattern>>> = RefCell::default();
}

/// A parsed pattern, which becomes a matcher when it is first used: most copies never are, and to
/// make one costs more than to use it.
#[derive(Debug)]
struct Pattern {
    glob: globset::Glob,
    /// What every match begins with: the text up to its first special character.
    prefix: usize,
    matcher: OnceLock<globset::GlobMatcher>,
}

impl Pattern {
    /// Parses a pattern, or returns the one that was parsed from the same text; every match begins
    /// with its first `prefix` bytes.
    fn of(text: &str, prefix: usize) -> Result<Arc<Self>, globset::Error> {
        if let Some(pattern) = PARSED.with_borrow(|parsed| parsed.get(text).cloned()) {
            return Ok(pattern);
        }
        let glob = globset::GlobBuilder::new(text).literal_separator(true).build()?;
        let pattern = Arc::new(Self { glob, prefix, matcher: OnceLock::new() });
        PARSED.with_borrow_mut(|parsed| {
            if parsed.len() == MAX_PARSED {
                parsed.clear();
            }
            parsed.insert(text.to_owned(), Arc::clone(&pattern));
        });
        Ok(pattern)
    }

    fn is_match(&self, path: &str) -> bool {
        self.matcher.get_or_init(|| self.glob.compile_matcher()).is_match(path)
    }
}

impl Glob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`GlobError`] if the pattern is malformed or could only match outside a tree (`..`, a
    /// leading `/`).
    pub fn new(text: impl Into<Text>) -> Result<Self, GlobError> {
        let text = text.into();
        let error = |reason: String| GlobError { glob: text.clone(), reason };
        if text.is_empty() || text.starts_with('/') || text.split('/').any(|part| part == ".." || part == ".") {
            return Err(error("it must be relative, without `.` and `..`".into()));
        }
        let pattern = match text.find(['*', '?', '[', '{', '\\']) {
            None => {
                RelPath::new(&text).map_err(|e| error(e.to_string()))?;
                None
            }
            Some(special) => Some(Pattern::of(&text, special).map_err(|e| error(e.kind().to_string()))?),
        };
        Ok(Self { text, pattern })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether it selects a path.
    pub fn is_match(&self, path: &str) -> bool {
        match &self.pattern {
            None => path.strip_prefix(self.text.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Some(pattern) => pattern.is_match(path),
        }
    }

    fn collect<'tree>(&self, tree: &'tree Tree, found: &mut Vec<&'tree RelPath>) {
        match &self.pattern {
            None => {
                if let Some((path, _)) =
                    tree.with_prefix(&self.text).next().filter(|(path, _)| path.as_str() == &*self.text)
                {
                    found.push(path);
                } else {
                    found.extend(tree.with_prefix(&format!("{}/", self.text)).map(|(path, _)| path));
                }
            }
            Some(pattern) => found.extend(
                tree.with_prefix(&self.text[..pattern.prefix])
                    .map(|(path, _)| path)
                    .filter(|path| pattern.is_match(path.as_str())),
            ),
        }
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

impl std::hash::Hash for Glob {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Text::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A projection of a tree: the paths that match, less those that don't, seen from a directory of
/// it. A copy costs a counter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Projection(
    /// `None`: everything.
    Option<Arc<Parts>>,
);

/// What a projection is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Parts {
    #[serde(default, skip_serializing_if = "<[Glob]>::is_empty")]
    include: Box<[Glob]>,
    #[serde(default, skip_serializing_if = "<[Glob]>::is_empty")]
    exclude: Box<[Glob]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strip: Option<RelPath>,
}

/// A thread keeps at most this many projections to be taken again.
const MAX_KEPT: usize = 256;

thread_local! {
    /// The projections that this thread has made last: every unit of a library takes the same
    /// headers.
    static KEPT: RefCell<HashSet<Arc<Parts>>> = RefCell::default();
}

impl From<Parts> for Projection {
    fn from(parts: Parts) -> Self {
        if parts == Parts::default() {
            return Self(None);
        }
        Self(Some(KEPT.with_borrow_mut(|kept| {
            if let Some(there) = kept.get(&parts) {
                return Arc::clone(there);
            }
            if kept.len() == MAX_KEPT {
                kept.clear();
            }
            let parts = Arc::new(parts);
            kept.insert(Arc::clone(&parts));
            parts
        })))
    }
}

impl Serialize for Projection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            None => Parts::default().serialize(serializer),
            Some(parts) => parts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Projection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parts::deserialize(deserializer).map(Self::from)
    }
}

/// A pattern of a selection found nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} `{}`{}", .role.problem(), printable(glob), listed(near))]
pub struct NothingSelected {
    /// The pattern, as written.
    pub glob: String,
    /// What it is there for.
    pub role: Role,
    /// Paths that are like it.
    pub near: Vec<String>,
}

impl NothingSelected {
    fn new(glob: &str, role: Role, paths: &[&RelPath]) -> Self {
        let similarity = |path: &RelPath| {
            let whole = strsim::jaro_winkler(glob, path.as_str());
            let file = strsim::jaro_winkler(glob.rsplit('/').next().unwrap_or(glob), path.file_name());
            whole.max(file)
        };
        let mut near: Vec<_> = paths.iter().map(|path| (similarity(path), path.as_str())).collect();
        near.retain(|(similarity, _)| *similarity >= LEAST_SIMILARITY);
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        near.truncate(MAX_NEAR);
        Self { glob: glob.to_owned(), role, near: near.into_iter().map(|(_, path)| path.to_owned()).collect() }
    }
}

/// Paths less like a pattern than this are not named beside it.
const LEAST_SIMILARITY: f64 = 0.85;
/// More paths than this are not named.
const MAX_NEAR: usize = 3;

fn listed(near: &[String]) -> String {
    let near: Vec<_> = near.iter().map(|path| format!("`{}`", printable(path))).collect();
    if near.is_empty() { String::new() } else { format!(" (near it: {})", near.join(", ")) }
}

/// What a part of a projection is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// To take something.
    Include,
    /// To leave out some of what is taken.
    Exclude,
    /// To be the directory that becomes the top.
    Strip,
}

impl Role {
    fn problem(self) -> &'static str {
        match self {
            Self::Include => "nothing matches",
            Self::Exclude => "nothing of what is selected is left out by",
            Self::Strip => "nothing of what is selected lies below",
        }
    }
}

impl Projection {
    /// Takes everything.
    pub fn all() -> Self {
        Self(None)
    }

    /// Takes what matches one of the patterns to `include` (everything, if there is none) and none
    /// of those to `exclude`. The directory `strip` of the tree becomes the top; what lies
    /// elsewhere is not taken.
    pub fn new(include: Vec<Glob>, exclude: Vec<Glob>, strip: Option<RelPath>) -> Self {
        Parts { include: include.into(), exclude: exclude.into(), strip }.into()
    }

    /// What is taken; empty: everything.
    pub fn include(&self) -> &[Glob] {
        self.0.as_ref().map_or(&[], |parts| &parts.include)
    }

    /// What is left out of that.
    pub fn exclude(&self) -> &[Glob] {
        self.0.as_ref().map_or(&[], |parts| &parts.exclude)
    }

    /// The directory of the tree that becomes the top.
    pub fn strip(&self) -> Option<&RelPath> {
        self.0.as_ref()?.strip.as_ref()
    }

    /// Whether it takes everything as it is.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the path is one of those that [`apply`](Self::apply) takes of a tree which has it.
    pub fn may_take(&self, path: &str) -> bool {
        self.finds(path) && !self.exclude().iter().any(|glob| glob.is_match(path))
    }

    /// Whether it finds the path in a tree which has it, to take it or to leave it out: of a tree
    /// of such paths alone, [`apply`](Self::apply) takes what it takes of the whole one.
    pub fn finds(&self, path: &str) -> bool {
        self.include().is_empty() || self.include().iter().any(|glob| glob.is_match(path))
    }

    /// Whether what it selects of a tree may depend on one of these paths: no answer of
    /// [`apply`](Self::apply) changes with entries for which this is false.
    pub fn may_depend_on(&self, paths: &Tree) -> bool {
        let mut found = Vec::new();
        self.include().is_empty()
            || self.include().iter().chain(self.exclude()).any(|glob| {
                glob.collect(paths, &mut found);
                !found.is_empty()
            })
    }

    /// The part of a tree that it selects. Costs the size of the result where patterns are literal
    /// or share a literal beginning.
    ///
    /// # Errors
    /// [`NothingSelected`] if an included pattern matches nothing at all, an excluded one nothing
    /// of what is included, or nothing lies below `strip`: a recipe that names what is not there is
    /// wrong.
    pub fn apply(&self, tree: &Tree) -> Result<Tree, NothingSelected> {
        self.take(tree, true)
    }

    /// As [`apply`](Self::apply), where excluded patterns need not match anything: for a list of
    /// what is not wanted wherever it occurs.
    ///
    /// # Errors
    /// [`NothingSelected`] as above.
    pub fn apply_where_it_occurs(&self, tree: &Tree) -> Result<Tree, NothingSelected> {
        self.take(tree, false)
    }

    fn take(&self, tree: &Tree, all_exclude: bool) -> Result<Tree, NothingSelected> {
        let mut paths = Vec::new();
        if self.include().is_empty() {
            paths.extend(tree.iter().map(|(path, _)| path));
        }
        for glob in self.include() {
            let before = paths.len();
            glob.collect(tree, &mut paths);
            if paths.len() == before {
                let all: Vec<_> = tree.iter().map(|(path, _)| path).collect();
                return Err(NothingSelected::new(&glob.text, Role::Include, &all));
            }
        }
        if !self.exclude().is_empty() {
            let mut excluded = Vec::new();
            paths.sort_unstable();
            for glob in self.exclude() {
                let before = excluded.len();
                glob.collect(tree, &mut excluded);
                let takes = |path: &&RelPath| paths.binary_search(path).is_ok();
                if all_exclude && !excluded[before..].iter().any(takes) {
                    return Err(NothingSelected::new(&glob.text, Role::Exclude, &paths));
                }
            }
            excluded.sort_unstable();
            paths.retain(|path| excluded.binary_search(path).is_err());
        }
        let any = !paths.is_empty();
        let mut result = Tree::new();
        for path in &paths {
            let seen_as = match self.strip() {
                None => (*path).clone(),
                Some(prefix) => match path.strip_prefix(prefix) {
                    Some(rest) => rest,
                    None => continue,
                },
            };
            if let Some(entry) = tree.get(path.as_str()) {
                // Paths of one tree, or of one directory of it, can't conflict.
                let inserted = result.insert(seen_as, entry.clone());
                debug_assert!(inserted.is_ok());
            }
        }
        match self.strip() {
            Some(strip) if any && result.is_empty() => {
                let folders: Vec<_> = paths.iter().filter_map(|path| path.parent()).collect();
                Err(NothingSelected::new(strip.as_str(), Role::Strip, &folders.iter().collect::<Vec<_>>()))
            }
            _ => Ok(result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlobDigest, Entry};

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::new();
        for path in paths {
            let entry = Entry::File { digest: BlobDigest::of(path.as_bytes()), size: 0, executable: false };
            tree.insert(RelPath::new(*path).unwrap(), entry).unwrap();
        }
        tree
    }

    fn select(tree: &Tree, include: &[&str], exclude: &[&str]) -> Vec<String> {
        let globs = |texts: &[&str]| texts.iter().map(|text| Glob::new(*text).unwrap()).collect();
        let projection = Projection::new(globs(include), globs(exclude), None);
        projection.apply(tree).unwrap().iter().map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn patterns() {
        let tree = tree(&["Include/Python.h", "Include/sub/a.h", "Objects/a.c", "Objects/a.cc", "a.c"]);
        assert_eq!(select(&tree, &["*.c"], &[]), ["a.c"]);
        assert_eq!(select(&tree, &["**/*.c"], &[]), ["Objects/a.c", "a.c"]);
        assert_eq!(select(&tree, &["Objects/a.c"], &[]), ["Objects/a.c"]);
        assert_eq!(select(&tree, &["Include"], &[]), ["Include/Python.h", "Include/sub/a.h"]);
        assert_eq!(select(&tree, &["Include/**"], &["Include/sub"]), ["Include/Python.h"]);
        assert_eq!(select(&tree, &["{Include,Objects}/*.{h,c}"], &[]), ["Include/Python.h", "Objects/a.c"]);
        assert_eq!(select(&tree, &[], &["**/*.c", "Objects"]), ["Include/Python.h", "Include/sub/a.h"]);
    }

    #[test]
    fn a_pattern_without_a_match_is_an_error() {
        let projection = Projection::new(vec![Glob::new("b.c").unwrap()], Vec::new(), None);
        let error = projection.apply(&tree(&["a.h", "sub/b.c", "b.cc", "other"])).unwrap_err();
        assert_eq!(error.to_string(), "nothing matches `b.c` (near it: `sub/b.c`, `b.cc`)");
        assert_eq!(projection.apply(&tree(&["other"])).unwrap_err().to_string(), "nothing matches `b.c`");
    }

    #[test]
    fn an_exclusion_takes_something_away() {
        let globs = |texts: &[&str]| texts.iter().map(|text| Glob::new(*text).unwrap()).collect::<Vec<_>>();
        let tree = tree(&["a.c", "b.h", "tests/t.c"]);
        // It matches something, but nothing of what is included.
        let projection = Projection::new(globs(&["*.c"]), globs(&["a.c", "tests/**"]), None);
        let error = projection.apply(&tree).unwrap_err();
        assert_eq!(error.to_string(), "nothing of what is selected is left out by `tests/**`");
        assert_eq!(projection.apply_where_it_occurs(&tree).unwrap().len(), 0);
        let projection = Projection::new(Vec::new(), globs(&["tests", "*.h"]), None);
        assert_eq!(projection.apply(&tree).unwrap().len(), 1);
    }

    #[test]
    fn something_lies_below_what_is_stripped() {
        let projection = Projection::new(Vec::new(), Vec::new(), Some(RelPath::new("include").unwrap()));
        let error = projection.apply(&tree(&["includes/a.h"])).unwrap_err();
        assert_eq!(error.to_string(), "nothing of what is selected lies below `include` (near it: `includes`)");
        assert!(projection.apply(&Tree::new()).unwrap().is_empty(), "of nothing, nothing is selected");
    }

    #[test]
    fn strip_moves_the_top() {
        let projection = Projection::new(Vec::new(), Vec::new(), Some(RelPath::new("a/b").unwrap()));
        let result = projection.apply(&tree(&["a/b/c", "a/bc", "d"])).unwrap();
        assert_eq!(result.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["c"]);
    }

    /// What a selection may not depend on changes no answer.
    #[test]
    fn no_answer_depends_on_other_paths() {
        let paths = ["a.c", "a.h", "b/a.c", "b/a.h", "b/c/d.h", "bb", "c"];
        let patterns = ["*.c", "**/*.h", "b", "b/*", "a.c", "b/c", "c", "bb"];
        let (mut apart, mut number) = (0, 1_u64);
        let mut below = |limit: usize| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) as usize % limit
        };
        for _ in 0..2000 {
            let mut some =
                |of: &[&'static str]| -> Vec<&str> { of.iter().copied().filter(|_| below(3) == 0).collect() };
            let globs = |texts: Vec<&str>| texts.into_iter().map(|text| Glob::new(text).unwrap()).collect::<Vec<_>>();
            let strip = some(&["b", "b/c"]).first().map(|strip| RelPath::new(*strip).unwrap());
            let projection = Projection::new(globs(some(&patterns)), globs(some(&patterns)), strip);
            let (before, changed) = (some(&paths), some(&paths));
            let after: Vec<_> = before.iter().chain(&changed).copied().collect();
            let answer =
                |paths: &[&str]| projection.apply(&tree(paths)).map_err(|nothing| (nothing.glob, nothing.role));
            // Nor does what it does not find.
            let found: Vec<_> = before.iter().copied().filter(|path| projection.finds(path)).collect();
            assert_eq!(answer(&found), answer(&before), "{projection:?} {before:?}");
            if !projection.may_depend_on(&tree(&changed)) {
                apart += 1;
                assert_eq!(answer(&before), answer(&after), "{projection:?} {changed:?}");
            }
        }
        assert!(apart > 100, "{apart}");
    }

    #[test]
    fn what_is_no_pattern() {
        for bad in ["", "/a", "../a", "a/../b", "[", "a/./b", "a{"] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }
}
