//! Which nodes take which part of the project's files: by this `gen` tells which nodes an edit
//! concerns without reading their descriptions.
//!
//! ```text
//! LOCAL NODE,NODE… PROJECTION
//! ```
//!
//! One line for each part of each tree of files of the project: the number of the line of the node
//! with the tree, those of the nodes that take this part, and the part as JSON.

use std::collections::HashMap;
use std::fmt::Write as _;

use build_graph::graph::{Graph, NodeIndex};
use build_graph::node::Op;
use build_graph::{Projection, Tree};
use rayon::prelude::*;

use super::super::BuildError;
use super::Plan;

/// Describes who takes what of the trees of the project's files in a graph.
#[expect(clippy::mutable_key_type, reason = "the matcher of a pattern does not count where it is compared")]
pub(super) fn describe(graph: &Graph) -> String {
    let nodes = graph.nodes();
    let is_local = |at: &NodeIndex| matches!(nodes[*at].op, Op::Local { .. });
    let mut parts: HashMap<(NodeIndex, Projection), usize> = HashMap::new();
    // A part's number with a node that takes it.
    let mut taken: Vec<(usize, NodeIndex)> = Vec::new();
    let takers = (0..nodes.len()).filter(|at| graph.inputs(*at).iter().any(is_local));
    for (at, selection) in takers.flat_map(|at| nodes[at].op.selections().into_iter().map(move |one| (at, one))) {
        let Some(local) = graph.index_of(&selection.node).filter(is_local) else { continue };
        let next = parts.len();
        taken.push((*parts.entry((local, selection.part.clone())).or_insert(next), at));
    }
    taken.sort_unstable();
    taken.dedup();
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort_unstable_by_key(|(_, number)| *number);
    let mut text = String::new();
    for (((local, part), _), nodes) in parts.iter().zip(taken.chunk_by(|(one, _), (next, _)| one == next)) {
        let _ = write!(text, "{local}");
        for (number, (_, node)) in nodes.iter().enumerate() {
            let _ = write!(text, "{}{node}", if number == 0 { ' ' } else { ',' });
        }
        // A part is a few lists of texts, which are always JSON.
        let _ = writeln!(text, " {}", serde_json::to_string(part).unwrap_or_default());
    }
    text
}

impl Plan {
    /// The nodes that take a part of a node's tree, a tree of files of the project, of which these
    /// paths may be.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if the plan is damaged.
    pub fn concerned(&self, local: NodeIndex, paths: &Tree) -> Result<Vec<NodeIndex>, BuildError> {
        let damaged = |problem: &str| BuildError::Plan { path: self.out().plan(), problem: problem.to_owned() };
        let text = self.block_with(self.takers).map_err(|error| damaged(&format!("is damaged ({error})")))?;
        let text = std::str::from_utf8(&text).map_err(|_| damaged("is damaged (no text)"))?;
        let nodes = concerned(text, local, paths).filter(|nodes| nodes.iter().all(|at| *at < self.table.len()));
        nodes.ok_or_else(|| damaged("has a line that no gen wrote"))
    }
}

/// Returns the nodes of whose parts of the tree of a node these paths may be; `None` if a line is
/// malformed.
fn concerned(text: &str, local: NodeIndex, paths: &Tree) -> Option<Vec<NodeIndex>> {
    let of_line = |line: &str| -> Option<Vec<NodeIndex>> {
        let mut fields = line.splitn(3, ' ');
        if fields.next()?.parse::<NodeIndex>().ok()? != local {
            return Some(Vec::new());
        }
        let nodes = fields.next()?;
        let part: Projection = serde_json::from_str(fields.next()?).ok()?;
        if !part.may_depend_on(paths) {
            return Some(Vec::new());
        }
        nodes.split(',').map(|node| node.parse().ok()).collect()
    };
    let lines: Vec<_> = text.lines().collect();
    let nodes: Option<Vec<_>> = lines.par_iter().with_min_len(512).map(|line| of_line(line)).collect();
    Some(nodes?.into_iter().flatten().collect())
}
