//! The head of a plan: a line a node, in topological order, with what questions ask of all nodes,
//! so that nobody reads 100,000 descriptions to answer one.
//!
//! ```text
//! node BLOCK SIZE OFFSET LENGTH TREE KEY VERB NAME INPUTS RECIPE
//! ```
//!
//! BLOCK and SIZE are the place of a compressed block in what follows the head, OFFSET and LENGTH the
//! place of the description in the decompressed block, TREE and KEY what `gen` knew (or `-`), INPUTS
//! the numbers of the lines of the nodes that it takes (separated by commas, or `-`). RECIPE, which
//! may hold anything but a line break, stands last.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;

use build_graph::graph::Graph;

use super::{Known, NONE, parse_known};

/// All nodes of a plan. A node is named by its number; each comes after its inputs.
#[derive(Debug, Default)]
pub struct Table {
    /// The lines.
    text: String,
    rows: Vec<Row>,
    /// The inputs of all nodes, one after another.
    inputs: Vec<u32>,
    numbers: HashMap<Box<str>, u32>,
}

/// The place of a description.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Where its block begins, after the head.
    pub(super) block: u64,
    /// The compressed size of the block.
    pub(super) packed: u64,
    /// Where it begins in the decompressed block.
    pub(super) offset: u64,
    /// Its length.
    pub(super) length: u64,
}

#[derive(Debug)]
struct Row {
    place: Place,
    known: Option<Known>,
    /// Places in the text.
    verb: Range<u32>,
    name: Range<u32>,
    recipe: Range<u32>,
    /// A place in the inputs.
    inputs: Range<u32>,
}

impl Table {
    /// Reads the lines; `size` is the length of all blocks.
    ///
    /// # Errors
    /// The line that is none.
    pub(super) fn parse(text: String, size: u64) -> Result<Self, String> {
        let count = text.lines().count();
        if u32::try_from(text.len()).is_err() {
            return Err(format!("{count} lines, which are too many"));
        }
        let (mut rows, mut inputs) = (Vec::with_capacity(count), Vec::new());
        let mut numbers = HashMap::with_capacity(count);
        for line in text.lines() {
            let start = line.as_ptr() as usize - text.as_ptr() as usize;
            let row = parse_line(line, start, size, &mut inputs, rows.len()).ok_or_else(|| line.to_owned())?;
            let name = &text[row.name.start as usize..row.name.end as usize];
            if numbers.insert(name.into(), rows.len() as u32).is_some() {
                return Err(line.to_owned());
            }
            rows.push(row);
        }
        Ok(Self { text, rows, inputs, numbers })
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The number of the node of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).map(|number| *number as usize)
    }

    /// A node's name.
    pub fn name(&self, at: usize) -> &str {
        self.word(&self.rows[at].name)
    }

    /// The recipe that declares a node.
    pub fn recipe(&self, at: usize) -> &str {
        self.word(&self.rows[at].recipe)
    }

    /// The word for what a node does ([`build_graph::node::Op::verb`]).
    pub fn verb(&self, at: usize) -> &str {
        self.word(&self.rows[at].verb)
    }

    /// What `gen` knew of a node's result.
    pub fn known(&self, at: usize) -> Option<Known> {
        self.rows[at].known
    }

    /// The nodes whose trees a node takes, sorted, each once.
    pub fn inputs(&self, at: usize) -> impl ExactSizeIterator<Item = usize> + '_ {
        let Range { start, end } = self.rows[at].inputs;
        self.inputs[start as usize..end as usize].iter().map(|input| *input as usize)
    }

    /// Where a node's description is.
    pub(super) fn place(&self, at: usize) -> Place {
        self.rows[at].place
    }

    fn word(&self, place: &Range<u32>) -> &str {
        &self.text[place.start as usize..place.end as usize]
    }
}

/// Writes the line of a node whose description lies at this place.
pub(super) fn write_line(head: &mut String, graph: &Graph, at: usize, place: Place, known: Option<Known>) {
    let node = &graph.nodes()[at];
    let Place { block, packed, offset, length } = place;
    let _ = write!(head, "node {block} {packed} {offset} {length} ");
    match known {
        Some(Known { tree, key: Some(key) }) => drop(write!(head, "{tree} {key}")),
        Some(Known { tree, key: None }) => drop(write!(head, "{tree} {NONE}")),
        None => drop(write!(head, "{NONE} {NONE}")),
    }
    let _ = write!(head, " {} {} ", node.op.verb(), node.name);
    let inputs = graph.inputs(at);
    for (number, input) in inputs.iter().enumerate() {
        let _ = write!(head, "{}{input}", if number == 0 { "" } else { "," });
    }
    if inputs.is_empty() {
        head.push_str(NONE);
    }
    let _ = writeln!(head, " {}", node.recipe.replace('\n', " "));
}

/// Reads a line that begins at `start` of the text; appends the node's inputs, which come before it.
fn parse_line(line: &str, start: usize, size: u64, inputs: &mut Vec<u32>, number: usize) -> Option<Row> {
    let mut fields = line.strip_prefix("node ")?.splitn(10, ' ');
    let mut number_of_bytes = || fields.next()?.parse::<u64>().ok();
    let (block, packed) = (number_of_bytes()?, number_of_bytes()?);
    let (offset, length) = (number_of_bytes()?, number_of_bytes()?);
    let known = parse_known(fields.next()?, fields.next()?)?;
    let word = |word: &str| {
        let begin = start + (word.as_ptr() as usize - line.as_ptr() as usize);
        // The text is shorter than what 32 bits count.
        begin as u32..(begin + word.len()) as u32
    };
    let verb = word(fields.next()?);
    let name = word(fields.next().filter(|name| !name.is_empty())?);
    let taken = fields.next()?;
    let begin = inputs.len() as u32;
    if taken != NONE {
        for input in taken.split(',') {
            inputs.push(input.parse().ok().filter(|input| (*input as usize) < number)?);
        }
    }
    let recipe = word(fields.next()?);
    let end = block.checked_add(packed)?;
    let place = Place { block, packed, offset, length };
    (end <= size).then_some(Row { place, known, verb, name, recipe, inputs: begin..inputs.len() as u32 })
}
