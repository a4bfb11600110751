//! The head of a plan: a line a node, in topological order, with what questions ask of all nodes,
//! so that nobody reads 100,000 descriptions to answer one.
//!
//! ```text
//! node BLOCK SIZE OFFSET LENGTH TREE KEY VERB[:POOL] NAME INPUTS RECIPE
//! ```
//!
//! BLOCK and SIZE are the place of a compressed block in what follows the head, OFFSET and LENGTH
//! the place of the description in the decompressed block, TREE and KEY what `gen` knew (or `-`),
//! VERB and POOL what the node does and the ninja pool in which it does it, INPUTS the numbers of
//! the lines of the nodes that it takes (separated by commas, or `-`). RECIPE, which may hold
//! anything but a line break, stands last.

use std::fmt::Write as _;
use std::ops::Range;

use build_graph::graph::Graph;
use rayon::prelude::*;

use super::{Known, NONE, parse_known};

/// All nodes of a plan. A node is named by its number; each comes after its inputs.
#[derive(Debug, Default)]
pub struct Table {
    /// The lines.
    text: String,
    rows: Vec<Row>,
    /// The inputs of all nodes, one after another.
    inputs: Vec<u32>,
    /// The numbers of the nodes in the order of their names.
    order: Vec<u32>,
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
    /// Empty if there is none.
    pool: Range<u32>,
    name: Range<u32>,
    recipe: Range<u32>,
    /// A place in the inputs.
    inputs: Range<u32>,
}

impl Table {
    /// Reads the lines; `size` is the length of all blocks, `order` the numbers of the nodes in the
    /// order of their names.
    ///
    /// # Errors
    /// The line that is none, or what is wrong with the order.
    pub(super) fn parse(text: String, size: u64, order: Vec<u32>) -> Result<Self, String> {
        let parts = parts(&text);
        let counts: Vec<_> = parts.par_iter().map(|part| part.lines().count()).collect();
        let count = counts.iter().sum();
        if u32::try_from(text.len()).is_err() {
            return Err(format!("{count} lines, which are too many"));
        }
        let begins = counts.iter().scan(0, |sum, count| Some(std::mem::replace(sum, *sum + count)));
        let parts: Vec<_> = parts.iter().zip(begins).collect();
        let read = |(part, begin): &(&&str, usize)| {
            Part::parse(part, part.as_ptr() as usize - text.as_ptr() as usize, *begin, size)
        };
        let read = parts.par_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let (mut rows, mut inputs) = (Vec::with_capacity(count), Vec::new());
        for part in read {
            let before = inputs.len() as u32;
            let moved = |Range { start, end }: Range<u32>| start + before..end + before;
            rows.extend(part.rows.into_iter().map(|row| Row { inputs: moved(row.inputs), ..row }));
            inputs.extend(part.inputs);
        }
        if order.len() != count || order.iter().any(|number| *number as usize >= count) {
            return Err(format!("the order of {} names of {count} nodes", order.len()));
        }
        Ok(Self { text, rows, inputs, order })
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
        let found = self.order.binary_search_by(|number| self.name(*number as usize).cmp(name));
        found.ok().map(|place| self.order[place] as usize)
    }

    /// The numbers of the nodes in the order of their names.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// All nodes in the order of their names.
    pub fn by_name(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.order.iter().map(|number| *number as usize)
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

    /// The ninja pool in which a node runs.
    pub fn pool(&self, at: usize) -> Option<&str> {
        Some(self.word(&self.rows[at].pool)).filter(|pool| !pool.is_empty())
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

    /// Writes the line of a node again, with the description at another place and another result.
    pub(super) fn write_line_again(&self, head: &mut String, at: usize, place: Place, known: Option<Known>) {
        let Row { verb, recipe, .. } = &self.rows[at];
        write_start(head, place, known);
        head.push_str(self.word(&(verb.start..recipe.end)));
        head.push('\n');
    }

    fn word(&self, place: &Range<u32>) -> &str {
        &self.text[place.start as usize..place.end as usize]
    }
}

/// What one thread reads of the lines.
struct Part {
    rows: Vec<Row>,
    /// The inputs of these.
    inputs: Vec<u32>,
}

impl Part {
    /// Reads lines, of which the first begins at `start` of the text and is that of the node
    /// `number`.
    fn parse(lines: &str, start: usize, number: usize, size: u64) -> Result<Self, String> {
        let (mut rows, mut inputs) = (Vec::new(), Vec::new());
        for line in lines.lines() {
            let start = start + (line.as_ptr() as usize - lines.as_ptr() as usize);
            let row = parse_line(line, start, size, &mut inputs, number + rows.len()).ok_or_else(|| line.to_owned())?;
            rows.push(row);
        }
        Ok(Self { rows, inputs })
    }
}

/// Cuts a text between lines, into parts of which each is worth a thread's while.
fn parts(mut text: &str) -> Vec<&str> {
    const LENGTH: usize = 1 << 18;
    let mut parts = Vec::new();
    while let Some(end) = text.as_bytes().iter().skip(LENGTH).position(|byte| *byte == b'\n') {
        let (part, rest) = text.split_at(LENGTH + end + 1);
        parts.push(part);
        text = rest;
    }
    parts.push(text);
    parts
}

/// Writes the line of a node whose description lies at this place.
pub(super) fn write_line(head: &mut String, graph: &Graph, at: usize, place: Place, known: Option<Known>) {
    let node = &graph.nodes()[at];
    write_start(head, place, known);
    head.push_str(node.op.verb());
    if let Some(pool) = node.op.pool() {
        let _ = write!(head, ":{pool}");
    }
    let _ = write!(head, " {} ", node.name);
    let inputs = graph.inputs(at);
    for (number, input) in inputs.iter().enumerate() {
        let _ = write!(head, "{}{input}", if number == 0 { "" } else { "," });
    }
    if inputs.is_empty() {
        head.push_str(NONE);
    }
    let _ = writeln!(head, " {}", node.recipe.replace('\n', " "));
}

/// Writes the part of a line that depends on more than the node.
fn write_start(head: &mut String, Place { block, packed, offset, length }: Place, known: Option<Known>) {
    let _ = write!(head, "node {block} {packed} {offset} {length} ");
    let _ = match known {
        Some(Known { tree, key: Some(key) }) => write!(head, "{tree} {key} "),
        Some(Known { tree, key: None }) => write!(head, "{tree} {NONE} "),
        None => write!(head, "{NONE} {NONE} "),
    };
}

/// What a line begins with, up to the node's inputs.
pub(super) struct Start<'l> {
    pub(super) place: Place,
    pub(super) known: Option<Known>,
    operation: &'l str,
    pub(super) name: &'l str,
}

/// Reads the fields that a line begins with, as far as the name; `size` is the length of all
/// blocks.
pub(super) fn parse_start<'l>(fields: &mut impl Iterator<Item = &'l str>, size: u64) -> Option<Start<'l>> {
    fields.next().filter(|word| *word == "node")?;
    let mut number_of_bytes = || fields.next()?.parse::<u64>().ok();
    let (block, packed) = (number_of_bytes()?, number_of_bytes()?);
    let (offset, length) = (number_of_bytes()?, number_of_bytes()?);
    let known = parse_known(fields.next()?, fields.next()?)?;
    let operation = fields.next()?;
    let name = fields.next().filter(|name| !name.is_empty())?;
    let end = block.checked_add(packed)?;
    let place = Place { block, packed, offset, length };
    (end <= size).then_some(Start { place, known, operation, name })
}

/// Reads a line that begins at `start` of the text; appends the node's inputs, which come before
/// it.
fn parse_line(line: &str, start: usize, size: u64, inputs: &mut Vec<u32>, number: usize) -> Option<Row> {
    let mut fields = line.splitn(11, ' ');
    let Start { place, known, operation, name } = parse_start(&mut fields, size)?;
    let word = |word: &str| {
        let begin = start + (word.as_ptr() as usize - line.as_ptr() as usize);
        // The text is shorter than what 32 bits count.
        begin as u32..(begin + word.len()) as u32
    };
    let (verb, pool) = operation.split_once(':').unwrap_or((operation, &operation[operation.len()..]));
    let (verb, pool, name) = (word(verb), word(pool), word(name));
    let taken = fields.next()?;
    let begin = inputs.len() as u32;
    if taken != NONE {
        for input in taken.split(',') {
            inputs.push(input.parse().ok().filter(|input| (*input as usize) < number)?);
        }
    }
    let recipe = word(fields.next()?);
    Some(Row { place, known, verb, pool, name, recipe, inputs: begin..inputs.len() as u32 })
}
