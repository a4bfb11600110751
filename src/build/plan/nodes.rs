//! Single nodes of a plan, found by their names without the lines of the others: what each edge
//! that ninja runs reads, however many nodes there are.
//!
//! Behind the head, a plan has an entry a node, in the order of the bytes of their names: two
//! little-endian numbers of 32 bits, the node's number and the place of its line in the head.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use build_graph::TreeDigest;
use build_graph::node::{Node, NodeName};
use build_graph::untrusted::printable;

use super::super::BuildError;
use super::table::{Place, Start, parse_start};
use super::{Known, OutDir, Plan, PlanId};

/// What the plan's first line begins with.
const FORMAT: &str = "pynbox-plan 5";
/// No first line is longer.
const MAX_FIRST_LINE: usize = 256;
/// No document ends beyond this many bytes of its block.
pub(super) const MAX_BLOCK: u64 = 1 << 30;
/// This much of a block is decompressed at once.
pub(super) const ORDINARY_BLOCK: u64 = 1 << 20;
/// The size of an entry of the order.
const ENTRY: u64 = 8;
/// So much of a line is read at first: mostly more than comes before its node's inputs.
const PART_OF_LINE: usize = 512;

/// The first line of a plan.
pub(super) struct FirstLine {
    /// The name of the plan.
    pub(super) id: PlanId,
    /// How many bytes the head has.
    pub(super) head: u64,
    /// How many nodes there are.
    pub(super) nodes: u64,
    /// How long the line itself is, with its end.
    length: u64,
}

impl FirstLine {
    /// Reads it; `None` if the file is no plan.
    pub(super) fn read(file: &fs::File) -> io::Result<Option<Self>> {
        let start = read_up_to(file, 0, MAX_FIRST_LINE)?;
        let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let parse = || {
            let mut words = std::str::from_utf8(line).ok()?.strip_prefix(FORMAT)?.strip_prefix(' ')?.split(' ');
            let (id, head) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let nodes = words.next()?.parse::<u32>().ok()?.into();
            words.next().is_none().then_some(Self { id, head, nodes, length: line.len() as u64 + 1 })
        };
        Ok(parse())
    }

    /// Writes it.
    pub(super) fn of(id: &PlanId, head: usize, nodes: usize) -> String {
        format!("{FORMAT} {id} {head} {nodes}\n")
    }
}

/// Writes the entry of a node whose line begins at a place of the head.
pub(super) fn write_entry(bytes: &mut Vec<u8>, number: u32, place: u32) {
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&place.to_le_bytes());
}

/// The nodes of a plan, each to be found by its name.
#[derive(Debug)]
pub struct Nodes {
    id: PlanId,
    out: OutDir,
    pub(super) file: fs::File,
    /// Where the head begins.
    head: u64,
    /// Where the order begins: behind the head.
    order: u64,
    /// Where the blocks begin: behind the order.
    blocks: u64,
    /// How many bytes the blocks have.
    size: u64,
    /// The block that was read last, by its place, and what it holds up to some place.
    last: Mutex<Option<(u64, Arc<Vec<u8>>)>>,
}

impl Nodes {
    /// Opens what `gen` left in a folder. What is opened stays as it is, whoever writes another
    /// plan.
    ///
    /// # Errors
    /// [`BuildError::NoPlan`] if there is none, [`BuildError::Plan`] if it is not one.
    pub fn open(out: &OutDir) -> Result<Self, BuildError> {
        let path = out.plan();
        match fs::File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(BuildError::NoPlan { out: out.path().to_path_buf() })
            }
            opened => Self::read(out, opened.map_err(BuildError::io("read", &path))?, &path),
        }
    }

    /// Reads them from a file of any name, of which `out` tells the stamps.
    pub(super) fn read(out: &OutDir, file: fs::File, path: &Path) -> Result<Self, BuildError> {
        let damaged = |problem: &str| BuildError::Plan { path: path.to_path_buf(), problem: problem.to_owned() };
        let first = FirstLine::read(&file)
            .map_err(BuildError::io("read", path))?
            .ok_or_else(|| damaged("does not begin as a plan of this program does"))?;
        let end = file.metadata().map_err(BuildError::io("read", path))?.len();
        let order = first.length.saturating_add(first.head);
        let blocks = order.saturating_add(first.nodes * ENTRY);
        let size = end.checked_sub(blocks).ok_or_else(|| damaged("is cut short"))?;
        let (id, out, last) = (first.id, out.clone(), Mutex::default());
        Ok(Self { id, out, file, head: first.length, order, blocks, size, last })
    }

    /// The name of the plan.
    pub fn id(&self) -> &PlanId {
        &self.id
    }

    /// The folder.
    pub fn out(&self) -> &OutDir {
        &self.out
    }

    /// Whether the file holds what its first line says. Costs reading all of it.
    pub fn is_whole(&self) -> bool {
        let whole = fs::read(self.out.plan()).unwrap_or_default();
        let begin = whole.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        PlanId::of(&whole[begin..]) == self.id
    }

    /// The description of a node.
    ///
    /// # Errors
    /// [`BuildError::NoNode`] if there is none of that name, [`BuildError::Plan`] if it is damaged.
    pub fn node(&self, name: &NodeName) -> Result<Node, BuildError> {
        match self.look_up(name)? {
            Some((place, _)) => self.described(name, place),
            None => Err(self.no_node(name)),
        }
    }

    /// The digest of a node's tree as `gen` knew it; `None` if it did not, or if there is no such
    /// node.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if the plan is damaged.
    pub fn known_tree(&self, name: &NodeName) -> Result<Option<TreeDigest>, BuildError> {
        Ok(self.look_up(name)?.and_then(|(_, known)| known).map(|known| known.tree))
    }

    /// The digest of a node's tree as `gen` knew it, or as its stamp claims.
    ///
    /// # Errors
    /// [`BuildError::Plan`] if the plan is damaged.
    pub fn claimed_tree(&self, name: &NodeName) -> Result<Option<TreeDigest>, BuildError> {
        Ok(self.known_tree(name)?.or_else(|| self.out.read_stamp(name)))
    }

    /// Where a node is described, and what `gen` knew of its result.
    fn look_up(&self, name: &NodeName) -> Result<Option<(Place, Option<Known>)>, BuildError> {
        let wrong = || io::Error::other("its order names what is no node's line");
        let find = || -> io::Result<_> {
            let (mut begin, mut end) = (0, (self.blocks - self.order) / ENTRY);
            while begin < end {
                let middle = begin + (end - begin) / 2;
                let mut entry = [0; ENTRY as usize];
                self.file.read_exact_at(&mut entry, self.order + middle * ENTRY)?;
                let [_, _, _, _, place @ ..] = entry;
                let line = self.start_of_line(u32::from_le_bytes(place).into())?;
                let line = std::str::from_utf8(&line).map_err(io::Error::other)?;
                let Start { place, known, name: there, .. } =
                    parse_start(&mut line.splitn(10, ' '), self.size).ok_or_else(wrong)?;
                match there.cmp(name.as_str()) {
                    std::cmp::Ordering::Less => begin = middle + 1,
                    std::cmp::Ordering::Equal => return Ok(Some((place, known))),
                    std::cmp::Ordering::Greater => end = middle,
                }
            }
            Ok(None)
        };
        find().map_err(|error| BuildError::Plan { path: self.out.plan(), problem: format!("is damaged ({error})") })
    }

    /// The line that begins at a place of the head, up to its node's inputs.
    fn start_of_line(&self, place: u64) -> io::Result<Vec<u8>> {
        let mut wanted = PART_OF_LINE;
        loop {
            let left = (self.order - self.head).saturating_sub(place).min(wanted as u64);
            let mut part = read_up_to(&self.file, self.head + place, left as usize)?;
            let line = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
            let inputs = part[..line].iter().enumerate().filter(|(_, byte)| **byte == b' ').nth(8);
            match inputs {
                Some((end, _)) => part.truncate(end),
                None if line == part.len() && part.len() == wanted => {
                    wanted *= 4;
                    continue;
                }
                None => part.truncate(line),
            }
            return Ok(part);
        }
    }

    /// The error for a name that is no node's. Reads all lines, to name those that are most like
    /// it.
    fn no_node(&self, name: &NodeName) -> BuildError {
        let plan = self.file.try_clone().map_err(BuildError::io("read", self.out.plan()));
        match plan.and_then(|file| Plan::read(&self.out, file, &self.out.plan())) {
            Ok(plan) => plan.no_node(name.as_str()),
            Err(error) => error,
        }
    }

    /// The description at a place, which has to be that node's.
    pub(super) fn described(&self, name: &NodeName, place: Place) -> Result<Node, BuildError> {
        let damaged = |problem: String| BuildError::Plan {
            path: self.out.plan(),
            problem: format!("is damaged at node `{name}` ({problem})"),
        };
        match serde_json::from_slice::<Node>(&self.document(name.as_str(), place)?) {
            Ok(node) if node.name == *name => Ok(node),
            Ok(node) => Err(damaged(format!("`{}` is there", node.name))),
            Err(error) => Err(damaged(error.to_string())),
        }
    }

    /// The bytes of the description of a node, which is at this place.
    pub(super) fn document(&self, name: &str, place: Place) -> Result<Vec<u8>, BuildError> {
        self.block_with(place).map_err(|error| BuildError::Plan {
            path: self.out.plan(),
            problem: format!("is damaged at node `{}` ({error})", printable(name)),
        })
    }

    /// Reads the block with a document, and gives that. Takes no more memory than the file has, and
    /// decompresses no more than it takes to come to the end of the document.
    pub(super) fn block_with(&self, place: Place) -> io::Result<Vec<u8>> {
        let beyond = || io::Error::other("its description lies beyond the end");
        let end = place.offset.checked_add(place.length).filter(|end| *end <= MAX_BLOCK).ok_or_else(beyond)?;
        let range = place.offset as usize..end as usize;
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let read = last().as_ref().filter(|(block, _)| *block == place.block).map(|(_, plain)| Arc::clone(plain));
        if let Some(document) = read.as_ref().and_then(|plain| plain.get(range.clone())) {
            return Ok(document.to_vec());
        }
        let packed = self.packed_block(place)?;
        let mut plain = Vec::new();
        // The rest of an ordinary block is wanted next, mostly.
        let wanted = end.max(ORDINARY_BLOCK);
        zstd::stream::read::Decoder::with_buffer(&*packed)?.take(wanted).read_to_end(&mut plain)?;
        let document = plain.get(range).ok_or_else(beyond)?.to_vec();
        *last() = Some((place.block, Arc::new(plain)));
        Ok(document)
    }

    /// Reads the block with a document, compressed as it is.
    pub(super) fn packed_block(&self, place: Place) -> io::Result<Vec<u8>> {
        // A line was read only if its block is in the file.
        self.part(self.blocks + place.block, place.packed)
    }

    /// How many bytes the blocks have.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// All blocks, one after another.
    pub(super) fn all_blocks(&self) -> io::Result<Vec<u8>> {
        self.part(self.blocks, self.size)
    }

    /// The lines.
    pub(super) fn head(&self) -> io::Result<Vec<u8>> {
        self.part(self.head, self.order - self.head)
    }

    /// The numbers of the nodes in the order of their names.
    pub(super) fn order(&self) -> io::Result<Vec<u32>> {
        let entries = self.part(self.order, self.blocks - self.order)?;
        let number = |entry: &[u8]| entry.first_chunk().map_or(0, |number| u32::from_le_bytes(*number));
        Ok(entries.chunks_exact(ENTRY as usize).map(number).collect())
    }

    fn part(&self, begin: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut part = vec![0; length as usize];
        self.file.read_exact_at(&mut part, begin)?;
        Ok(part)
    }
}

/// Reads so many bytes from a place, or as many as there are.
fn read_up_to(file: &fs::File, begin: u64, wanted: usize) -> io::Result<Vec<u8>> {
    let (mut bytes, mut read) = (vec![0; wanted], 0);
    while read < wanted {
        match file.read_at(&mut bytes[read..], begin + read as u64)? {
            0 => break,
            some => read += some,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}
