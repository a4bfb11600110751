//! The graph: nodes by name, in an order in which each comes after its inputs.

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

use crate::node::{Node, NodeName};

/// The index of a node in [`Graph::nodes`]; nodes stand there in topological order.
pub type NodeIndex = usize;

/// The nodes don't make a graph.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError {
    /// Two nodes have one name.
    #[error(
        "recipe `{second}` declares `{name}`, which recipe `{first}` declares already: give one of them another name"
    )]
    Duplicate {
        /// The name.
        name: NodeName,
        /// The recipe that came first.
        first: String,
        /// The recipe that came second.
        second: String,
    },
    /// A node takes the tree of one that is not there.
    #[error("`{node}` of recipe `{recipe}` takes `{wanted}`, which no recipe declares")]
    Unknown {
        /// The node.
        node: NodeName,
        /// Its recipe.
        recipe: String,
        /// What it takes.
        wanted: NodeName,
    },
    /// Nodes need each other.
    #[error("these need each other: {}", describe_cycle(.cycle))]
    Cycle {
        /// The nodes of the circle with their recipes; each takes the next one's tree, the last the
        /// first's.
        cycle: Vec<(NodeName, String)>,
    },
}

fn describe_cycle(cycle: &[(NodeName, String)]) -> String {
    let mut names: Vec<_> = cycle.iter().map(|(name, recipe)| format!("`{name}` (recipe `{recipe}`)")).collect();
    names.extend(names.first().cloned());
    names.join(" → ")
}

/// What a build file says of nodes, without their descriptions: the names, the operations' verbs
/// and pools, and how they hang together. Each node comes after its inputs.
pub trait Outline {
    /// How many nodes there are.
    fn count(&self) -> usize;
    /// A node's name.
    fn name_of(&self, node: NodeIndex) -> &str;
    /// The word for what it does.
    fn verb_of(&self, node: NodeIndex) -> &str;
    /// The ninja pool in which it runs.
    fn pool_of(&self, node: NodeIndex) -> Option<&str>;
    /// The nodes whose trees it takes, sorted, each once.
    fn inputs_of(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex>;
    /// Further names, sorted, each with a set of nodes.
    fn groups(&self) -> impl Iterator<Item = (&str, Vec<NodeIndex>)>;

    /// The given nodes and all that they need, in topological order.
    fn closure(&self, of: impl IntoIterator<Item = NodeIndex>) -> Vec<NodeIndex> {
        let mut wanted = vec![false; self.count()];
        let mut open: Vec<_> = of.into_iter().collect();
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut wanted[at], true) {
                open.extend(self.inputs_of(at));
            }
        }
        (0..self.count()).filter(|at| wanted[*at]).collect()
    }
}

/// Nodes in topological order, with the names under which a user asks for them.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    inputs: Inputs,
    index: HashMap<NodeName, NodeIndex>,
    aliases: BTreeMap<String, Vec<NodeIndex>>,
}

impl Graph {
    /// Orders the nodes. Among those that are ready, the order of the argument is kept, so the same
    /// nodes give the same graph.
    ///
    /// `aliases` are further names, each for a set of nodes.
    ///
    /// # Errors
    /// [`GraphError`] for a name that comes twice, an input that is not there, and nodes that need
    /// each other.
    pub fn new(nodes: Vec<Node>, aliases: BTreeMap<String, Vec<NodeName>>) -> Result<Self, GraphError> {
        let mut index = HashMap::with_capacity(nodes.len());
        for (at, node) in nodes.iter().enumerate() {
            if let Some(first) = index.insert(node.name.clone(), at) {
                let first: &Node = &nodes[first];
                return Err(GraphError::Duplicate {
                    name: node.name.clone(),
                    first: first.recipe.to_string(),
                    second: node.recipe.to_string(),
                });
            }
        }
        let mut inputs = Inputs::with_capacity(nodes.len());
        let mut of_node = Vec::new();
        for node in &nodes {
            of_node.clear();
            for selection in node.op.selections() {
                let Some(input) = index.get(&selection.node) else {
                    return Err(GraphError::Unknown {
                        node: node.name.clone(),
                        recipe: node.recipe.to_string(),
                        wanted: selection.node.clone(),
                    });
                };
                of_node.push(*input);
            }
            inputs.push(&mut of_node);
        }
        let order = topological_order(&inputs).map_err(|cycle| GraphError::Cycle {
            cycle: cycle.into_iter().map(|at| (nodes[at].name.clone(), nodes[at].recipe.to_string())).collect(),
        })?;

        // Recipes declare nodes after what these take, mostly.
        let (nodes, inputs) = match order.is_sorted() {
            true => (nodes, inputs),
            false => {
                let (nodes, inputs) = reordered(nodes, &inputs, &order);
                index = nodes.iter().enumerate().map(|(at, node)| (node.name.clone(), at)).collect();
                (nodes, inputs)
            }
        };
        let mut named = BTreeMap::new();
        for (alias, members) in aliases {
            let mut indices = Vec::with_capacity(members.len());
            for member in members {
                let Some(at) = index.get(&member) else {
                    return Err(GraphError::Unknown {
                        node: NodeName::new(alias.clone()).unwrap_or_else(|_| member.clone()),
                        recipe: alias,
                        wanted: member,
                    });
                };
                indices.push(*at);
            }
            named.insert(alias, indices);
        }
        Ok(Self { nodes, inputs, index, aliases: named })
    }

    /// The nodes; each comes after its inputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes whose trees a node takes, sorted, each once.
    pub fn inputs(&self, node: NodeIndex) -> &[NodeIndex] {
        self.inputs.of(node)
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<NodeIndex> {
        self.index.get(&NodeName::new(name).ok()?).copied()
    }

    /// The position of a node that is in the graph, by its name.
    pub fn index_of(&self, name: &NodeName) -> Option<NodeIndex> {
        self.index.get(name).copied()
    }

    /// Further names, each for a set of nodes.
    pub fn aliases(&self) -> &BTreeMap<String, Vec<NodeIndex>> {
        &self.aliases
    }

    /// The given nodes and all that they need, in topological order.
    pub fn closure(&self, of: impl IntoIterator<Item = NodeIndex>) -> Vec<NodeIndex> {
        Outline::closure(self, of)
    }
}

impl Outline for Graph {
    fn count(&self) -> usize {
        self.nodes.len()
    }

    fn name_of(&self, node: NodeIndex) -> &str {
        self.nodes[node].name.as_str()
    }

    fn verb_of(&self, node: NodeIndex) -> &str {
        self.nodes[node].op.verb()
    }

    fn pool_of(&self, node: NodeIndex) -> Option<&str> {
        self.nodes[node].op.pool()
    }

    fn inputs_of(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.inputs.of(node).iter().copied()
    }

    fn groups(&self) -> impl Iterator<Item = (&str, Vec<NodeIndex>)> {
        self.aliases.iter().map(|(name, nodes)| (name.as_str(), nodes.clone()))
    }
}

/// The inputs of all nodes, one list after another.
#[derive(Debug, Clone, Default)]
struct Inputs {
    all: Vec<NodeIndex>,
    /// Where each node's end; they begin where those of the node before it end.
    ends: Vec<usize>,
}

impl Inputs {
    fn with_capacity(nodes: usize) -> Self {
        Self { all: Vec::new(), ends: Vec::with_capacity(nodes) }
    }

    /// Appends those of one more node; they get sorted, each once.
    fn push(&mut self, of_node: &mut Vec<NodeIndex>) {
        of_node.sort_unstable();
        of_node.dedup();
        self.all.extend_from_slice(of_node);
        self.ends.push(self.all.len());
    }

    fn of(&self, node: NodeIndex) -> &[NodeIndex] {
        let begin = node.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[begin..self.ends[node]]
    }

    fn count(&self) -> usize {
        self.ends.len()
    }
}

/// Nodes and their inputs in an order of positions.
fn reordered(nodes: Vec<Node>, inputs: &Inputs, order: &[usize]) -> (Vec<Node>, Inputs) {
    let mut new_index = vec![0; nodes.len()];
    for (new, old) in order.iter().enumerate() {
        new_index[*old] = new;
    }
    let mut unordered: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let nodes = order.iter().filter_map(|old| unordered[*old].take()).collect();
    let mut renamed = Inputs::with_capacity(order.len());
    for old in order {
        renamed.push(&mut inputs.of(*old).iter().map(|input| new_index[*input]).collect());
    }
    (nodes, renamed)
}

/// Positions in an order in which each comes after its inputs; or, as the error, a circle of them.
fn topological_order(inputs: &Inputs) -> Result<Vec<usize>, Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut state = vec![State::New; inputs.count()];
    let mut order = Vec::with_capacity(inputs.count());
    // Depth first without recursion: a chain may be as long as the graph.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for start in 0..inputs.count() {
        if state[start] != State::New {
            continue;
        }
        state[start] = State::Open;
        path.push((start, 0));
        while let Some((at, next)) = path.last_mut() {
            let at = *at;
            if let Some(input) = inputs.of(at).get(*next) {
                *next += 1;
                match state[*input] {
                    State::Done => {}
                    State::New => {
                        state[*input] = State::Open;
                        path.push((*input, 0));
                    }
                    State::Open => {
                        let from = path.iter().position(|(node, _)| node == input).unwrap_or(0);
                        return Err(path[from..].iter().map(|(node, _)| *node).collect());
                    }
                }
            } else {
                state[at] = State::Done;
                order.push(at);
                path.pop();
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Projection;
    use crate::node::{Op, Part, Selection};

    fn merge(name: &str, inputs: &[&str]) -> Node {
        let selection = |input: &&str| Selection { node: NodeName::new(*input).unwrap(), part: Projection::all() };
        Node {
            name: NodeName::new(name).unwrap(),
            recipe: format!("recipe-{name}").into(),
            declared_at: None,
            op: Op::Merge {
                parts: inputs.iter().map(selection).map(|selection| Part { selection, at: None }).collect(),
            },
        }
    }

    fn graph(nodes: &[(&str, &[&str])]) -> Result<Graph, GraphError> {
        Graph::new(nodes.iter().map(|(name, inputs)| merge(name, inputs)).collect(), BTreeMap::new())
    }

    #[test]
    fn inputs_come_first() {
        let graph = graph(&[("c", &["a", "b"]), ("b", &["a"]), ("a", &[])]).unwrap();
        let names: Vec<_> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(graph.inputs(2), [0, 1]);
        assert_eq!(graph.closure([1]), [0, 1]);
    }

    #[test]
    fn a_cycle_names_its_recipes() {
        let error = graph(&[("x", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "these need each other: `a` (recipe `recipe-a`) → `b` (recipe `recipe-b`) → `c` (recipe `recipe-c`) → `a` \
             (recipe `recipe-a`)"
        );
    }

    #[test]
    fn duplicates_and_unknown_inputs_are_named() {
        let error = graph(&[("a", &[]), ("a", &[])]).unwrap_err();
        assert!(error.to_string().contains("recipe `recipe-a` declares `a`"), "{error}");
        let error = graph(&[("a", &["b"])]).unwrap_err();
        assert!(error.to_string().contains("takes `b`"), "{error}");
    }

    #[test]
    fn a_long_chain_is_no_deep_recursion() {
        let names: Vec<String> = (0..100_000).map(|n| format!("n{n}")).collect();
        let mut nodes = vec![merge(&names[0], &[])];
        for pair in names.windows(2) {
            nodes.push(merge(&pair[1], &[&pair[0]]));
        }
        nodes.reverse();
        let graph = Graph::new(nodes, BTreeMap::new()).unwrap();
        assert_eq!(graph.nodes()[0].name.as_str(), "n0");
    }
}
