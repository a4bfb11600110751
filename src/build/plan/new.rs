//! Plans in memory, before they are written: of a graph, or of the last plan with other files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write as _};
use std::ops::Range;
use std::path::Path;

use build_graph::graph::{Graph, NodeIndex};
use build_graph::node::{Node, NodeName, Op};
use build_graph::{Text, Tree};
use rayon::prelude::*;
use serde::Deserialize;

use super::super::BuildError;
use super::nodes::{FirstLine, MAX_BLOCK, write_entry};
use super::table::{self, Place};
use super::{Known, OutDir, Plan, PlanId, takers, write_if_changed};

/// This many nodes are described in one block.
pub(super) const NODES_A_BLOCK: usize = 128;
/// A tree of more files of the project has a block of its own: nobody reads it for its neighbours.
const LARGE_TREE: usize = 1024;
/// The level of compression: higher ones take longer and save little.
const LEVEL: i32 = 1;

/// A plan in memory, ready to be written.
pub struct NewPlan {
    /// Its name.
    pub id: PlanId,
    bytes: Vec<u8>,
}

impl NewPlan {
    /// Puts together the nodes of a graph with what is known of each, by index.
    ///
    /// # Errors
    /// [`BuildError::Io`] if a node can't be written as JSON.
    pub fn new(graph: &Graph, known: impl Fn(NodeIndex) -> Option<Known>) -> Result<Self, BuildError> {
        let nodes = graph.nodes();
        // One after the other: each takes memory while it works.
        let takers = compress(takers::describe(graph).as_bytes(), "takers")?;
        let describe = || chunks(nodes).par_iter().map(|chunk| Block::of(chunk)).collect::<Result<Vec<_>, _>>();
        let mut order: Vec<_> = (0..nodes.len() as u32).collect();
        let sort = || order.sort_unstable_by_key(|number| &nodes[*number as usize].name);
        let (blocks, ()) = rayon::join(describe, sort);
        let mut head = String::new();
        for (alias, members) in graph.aliases() {
            let _ = write!(head, "alias {alias}");
            for member in members {
                let _ = write!(head, " {}", nodes[*member].name);
            }
            head.push('\n');
        }
        let line = |head: &mut String, at, place| table::write_line(head, graph, at, place, known(at));
        Self::of(head, &blocks?, &takers, &order, line)
    }

    /// Puts together the nodes of a plan, in which these take the place of those of their numbers:
    /// files of the project under the same names. Of everything else, only what is `known` may be
    /// another. `None` if the descriptions are to be laid out otherwise.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if the plan is damaged; [`BuildError::Io`] if it can't be read, or if a
    /// node can't be written as JSON.
    pub fn amended(
        plan: &Plan,
        others: &BTreeMap<NodeIndex, Node>,
        known: impl Fn(NodeIndex) -> Option<Known>,
    ) -> Result<Option<Self>, BuildError> {
        let table = plan.table();
        let blocks_there = plan.all_blocks().map_err(BuildError::io("read", plan.out().plan()))?;
        let packed = |place: Place| {
            let bytes = blocks_there.get(place.block as usize..(place.block + place.packed) as usize);
            bytes.ok_or_else(|| BuildError::Plan { path: plan.out().plan(), problem: "is cut short".to_owned() })
        };
        let numbers: Vec<_> = (0..table.len()).collect();
        let mut blocks = Vec::new();
        for run in numbers.chunk_by(|one, next| table.place(*one).block == table.place(*next).block) {
            let place = table.place(run[0]);
            let changed: Vec<_> = run.iter().filter_map(|at| others.get(at)).collect();
            if changed.is_empty() {
                let documents = run.iter().map(|at| {
                    let Place { offset, length, .. } = table.place(*at);
                    offset as usize..offset.saturating_add(length) as usize
                });
                blocks.push(Block { bytes: Cow::Borrowed(packed(place)?), documents: documents.collect() });
                continue;
            }
            // A tree that has become large, or is so no more, has other neighbours.
            let alone = run.len() == 1;
            if changed.iter().any(|node| is_large(node) != alone) {
                return Ok(None);
            }
            if alone {
                blocks.extend(changed.into_iter().map(Block::of_large).collect::<Result<Vec<_>, _>>()?);
                continue;
            }
            let mut writer = Writer::default();
            for at in run {
                match others.get(at) {
                    Some(node) => writer.describe(node)?,
                    None => writer.copy(&plan.document(*at)?),
                }
            }
            blocks.push(writer.finish(table.name(run[0]))?);
        }
        let mut head = String::new();
        for (alias, members) in plan.aliases() {
            let _ = write!(head, "alias {alias}");
            for member in members {
                let _ = write!(head, " {member}");
            }
            head.push('\n');
        }
        let takers = Packed { bytes: Cow::Borrowed(packed(plan.takers)?), length: plan.takers.length };
        let line = |head: &mut String, at, place| table.write_line_again(head, at, place, known(at));
        Self::of(head, &blocks, &takers, table.order(), line).map(Some)
    }

    /// Puts blocks behind a head, of which the lines of the aliases are given and `line` writes
    /// those of the nodes. `order` has the numbers of the nodes in the order of their names.
    fn of(
        mut head: String,
        blocks: &[Block<'_>],
        takers: &Packed<'_>,
        order: &[u32],
        line: impl Fn(&mut String, NodeIndex, Place),
    ) -> Result<Self, BuildError> {
        let end: u64 = blocks.iter().map(|block| block.bytes.len() as u64).sum();
        let _ = writeln!(head, "takers {end} {} {}", takers.bytes.len(), takers.length);
        let mut begin = 0;
        let mut numbers = 0..;
        let mut lines = Vec::with_capacity(order.len());
        for block in blocks {
            let packed = block.bytes.len() as u64;
            for (document, at) in block.documents.iter().zip(&mut numbers) {
                let (offset, length) = (document.start as u64, document.len() as u64);
                lines.push(head.len());
                line(&mut head, at, Place { block: begin, packed, offset, length });
            }
            begin += packed;
        }
        if u32::try_from(head.len()).is_err() {
            let error = io::Error::other("they are too many for a plan");
            return Err(BuildError::io("list", format!("{} nodes", lines.len()))(error));
        }
        // The name has the same length whatever it is: it is put in when all that it names is
        // there.
        let length = head.len();
        let first = |id: &PlanId| FirstLine::of(id, length, lines.len());
        let content = first(&PlanId::of(b"")).len();
        let mut bytes = Vec::with_capacity(content + length + 8 * order.len() + end as usize + takers.bytes.len());
        bytes.resize(content, 0);
        bytes.extend_from_slice(head.as_bytes());
        drop(head);
        order.iter().for_each(|number| write_entry(&mut bytes, *number, lines[*number as usize] as u32));
        blocks.iter().for_each(|block| bytes.extend_from_slice(&block.bytes));
        bytes.extend_from_slice(&takers.bytes);
        let id = PlanId::of(&bytes[content..]);
        bytes[..content].copy_from_slice(first(&id).as_bytes());
        Ok(Self { id, bytes })
    }

    /// Opens it without writing it into the folder: what `gen` would leave there.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn open(&self, out: &OutDir) -> Result<Plan, BuildError> {
        let mut file = tempfile::tempfile().map_err(BuildError::io("create", "a temporary file"))?;
        file.write_all(&self.bytes).map_err(BuildError::io("write", "a temporary file"))?;
        Plan::read(out, file, Path::new("the plan in memory"))
    }

    /// Writes it in place of the one that is there, and gives its name; its memory is free then.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn write(self, out: &OutDir) -> Result<PlanId, BuildError> {
        self.write_to(&out.plan())?;
        Ok(self.id)
    }

    /// Writes it to a file of any name.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn write_to(&self, path: &Path) -> Result<(), BuildError> {
        write_if_changed(path, &self.bytes).map(drop)
    }
}

impl Plan {
    /// A node of files of the project, with other files.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if the plan is damaged.
    pub fn with_files(&self, at: NodeIndex, tree: Tree) -> Result<Node, BuildError> {
        /// What else is said of it.
        #[derive(Deserialize)]
        struct Heading {
            name: NodeName,
            recipe: Text,
            #[serde(default)]
            declared_at: Option<Text>,
        }
        let Heading { name, recipe, declared_at } =
            serde_json::from_slice(&self.document(at)?).map_err(|error| BuildError::Plan {
                path: self.out().plan(),
                problem: format!("is damaged at node `{}` ({error})", self.table.name(at)),
            })?;
        Ok(Node { name, recipe, declared_at, op: Op::Local { tree } })
    }
}

fn is_large(node: &Node) -> bool {
    matches!(&node.op, Op::Local { tree } if tree.len() > LARGE_TREE)
}

/// The nodes of each block.
pub(super) fn chunks(nodes: &[Node]) -> Vec<&[Node]> {
    let runs = nodes.chunk_by(|one, next| !is_large(one) && !is_large(next));
    runs.flat_map(|run| run.chunks(NODES_A_BLOCK)).collect()
}

/// Bytes that are compressed.
pub(super) struct Packed<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// How many they are decompressed.
    pub(super) length: u64,
}

fn refuse_too_large(length: u64, name: &str) -> Result<(), BuildError> {
    if length > MAX_BLOCK {
        let error = io::Error::other("the descriptions of these nodes are too large for a plan");
        return Err(BuildError::io("describe", name)(error));
    }
    Ok(())
}

fn compress(plain: &[u8], name: &str) -> Result<Packed<'static>, BuildError> {
    let length = plain.len() as u64;
    refuse_too_large(length, name)?;
    let mut bytes = zstd::bulk::compress(plain, LEVEL).map_err(BuildError::io("describe", name))?;
    // It has room for what can't be compressed.
    bytes.shrink_to_fit();
    Ok(Packed { bytes: Cow::Owned(bytes), length })
}

/// The descriptions of some nodes.
pub(super) struct Block<'a> {
    /// Compressed.
    pub(super) bytes: Cow<'a, [u8]>,
    /// The place of each document in what was compressed.
    pub(super) documents: Vec<Range<usize>>,
}

impl Block<'static> {
    pub(super) fn of(nodes: &[Node]) -> Result<Self, BuildError> {
        if let [node] = nodes
            && is_large(node)
        {
            return Self::of_large(node);
        }
        let mut writer = Writer::default();
        nodes.iter().try_for_each(|node| writer.describe(node))?;
        writer.finish(nodes.first().map_or("", |node| node.name.as_str()))
    }

    /// As [`of`](Self::of), without the whole description in memory.
    fn of_large(node: &Node) -> Result<Self, BuildError> {
        let describe = || -> io::Result<Self> {
            let mut packed = Counted { to: zstd::stream::Encoder::new(Vec::new(), LEVEL)?, length: 0 };
            let mut buffered = BufWriter::new(&mut packed);
            serde_json::to_writer(&mut buffered, node)?;
            buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
            let length = packed.length;
            Ok(Self { bytes: Cow::Owned(packed.to.finish()?), documents: std::iter::once(0..length).collect() })
        };
        let block = describe().map_err(BuildError::io("describe", node.name.as_str()))?;
        refuse_too_large(block.documents[0].len() as u64, node.name.as_str())?;
        Ok(block)
    }
}

/// Counts what is written.
struct Counted<W> {
    to: W,
    length: usize,
}

impl<W: io::Write> io::Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.length += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Writes a block.
#[derive(Default)]
struct Writer {
    plain: Vec<u8>,
    documents: Vec<Range<usize>>,
}

impl Writer {
    fn describe(&mut self, node: &Node) -> Result<(), BuildError> {
        let start = self.plain.len();
        serde_json::to_writer(&mut self.plain, node)
            .map_err(|error| BuildError::io("describe", node.name.as_str())(error.into()))?;
        self.documents.push(start..self.plain.len());
        Ok(())
    }

    fn copy(&mut self, document: &[u8]) {
        let start = self.plain.len();
        self.plain.extend_from_slice(document);
        self.documents.push(start..self.plain.len());
    }

    /// Compresses what was written; `name` is the first node's.
    fn finish(self, name: &str) -> Result<Block<'static>, BuildError> {
        let Packed { bytes, .. } = compress(&self.plain, name)?;
        Ok(Block { bytes, documents: self.documents })
    }
}
