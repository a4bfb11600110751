//! What a word of the user means.

use build_graph::Glob;

use super::{At, Model};
use crate::build::BuildError;

impl Model<'_> {
    /// The nodes that a word means: the node of that name; all nodes of a recipe or a target; or all
    /// whose names a pattern matches (`*` within a part of a name, `**` over parts). In their order.
    ///
    /// # Errors
    /// [`BuildError::NoNode`] if there is none, with names that are like it; [`BuildError::Input`]
    /// for a pattern that is none.
    pub fn named(&self, word: &str) -> Result<Vec<At>, BuildError> {
        if let Some(at) = self.table().find(word) {
            return Ok(vec![at]);
        }
        if let Some(members) = self.plan().alias(word) {
            let mut members: Vec<_> = members.iter().filter_map(|member| self.table().find(member.as_str())).collect();
            members.sort_unstable();
            members.dedup();
            return Ok(members);
        }
        if !is_pattern(word) {
            return Err(self.plan().no_node(word));
        }
        let found = self.matching(word)?;
        if found.is_empty() { Err(self.plan().no_node(word)) } else { Ok(found) }
    }

    /// The nodes whose names or recipes a pattern matches, or none.
    ///
    /// # Errors
    /// [`BuildError::Input`] for a pattern that is none.
    pub fn matching(&self, pattern: &str) -> Result<Vec<At>, BuildError> {
        let glob = Glob::new(pattern).map_err(|error| BuildError::Input(error.to_string()))?;
        let table = self.table();
        Ok(self.all().filter(|at| glob.is_match(table.name(*at)) || glob.is_match(table.recipe(*at))).collect())
    }
}

/// Whether a word is a pattern, not a name.
pub fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?', '[', '{'])
}
