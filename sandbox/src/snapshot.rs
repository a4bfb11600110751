//! Snapshots: starting a module where its initialisation ended, and knowing when that would not be
//! the same.
//!
//! # Contract with the module
//!
//! A module takes part by exporting two functions without parameters and results, beside `_start`:
//!
//! - `pynbox_snapshot_init` is called once, by `run --precompile`, on a fresh instance and before
//!   anything else: it calls the constructors (`__wasm_call_ctors`) and initialises. It sees "/"
//!   (`DEST/root`, read-only) with the loader's own `/dev`, no arguments, no environment; all
//!   clocks stand still, and of inodes and directories it is told nothing that is this machine's
//!   alone, so that the same files give the same snapshot; descriptors 0, 1 and 2 are not a
//!   terminal, reading gives end of file. It must return (no exit, no trap), must leave no
//!   descriptor open but 0 to 3, and must write nothing. Its memory and globals are kept; tables
//!   are not, so the module must not change them.
//! - `pynbox_snapshot_resume` is then called instead of `_start`: in a new process, with the kept
//!   memory and globals. It must not run constructors; it reads arguments, environment, clocks and
//!   random bytes anew, and does all else that `_start` would do after initialisation, then exits
//!   by `proc_exit` or returns (status 0). What libraries cached of the environment (such as
//!   wasi-libc's `environ`) it has to refresh.
//!
//! A linker's habit to know: wasm-ld wraps each export of a command with calls of the constructors
//! and destructors, but only while nothing in the module refers to `__wasm_call_ctors`. So a module
//! that takes part refers to it, and its `main` calls it first if the initialisation has not run.
//!
//! The custom section `pynbox.snapshot` (text, one rule a line, empty lines and lines with `#` are
//! skipped) says when the snapshot must not be used; then `_start` of the plain module is called:
//!
//! - `cold-env PREFIX`: a variable of the guest's environment begins with PREFIX;
//! - `cold-arg -X`: one of the leading options (arguments that begin with `-`, up to the first that
//!   does not, or `--`) has the letter X, alone or among others (`-uX`); a longer text means an
//!   argument that begins with it;
//! - `end-arg -X`: option letter X takes the rest (as `-c` of Python does): what follows it is not
//!   looked at.
//!
//! # When a snapshot is used
//!
//! Everything that the initialisation saw of the host is recorded, and compared before each use:
//! each file that it opened or asked about by inode, mode, size and times; each directory whose
//! names it read the same way; directories that it passed through or asked about by inode and mode
//! (their times change with every file in them; a module that remembers them is wrong to do so);
//! and each name that was not there must be absent still. While a directory has the times that it
//! had then, no name has come into it; so only where these differ, its names are looked for one by
//! one. "/" must be the same directory, read-only, and no other mount may touch a recorded path.
//! Any difference means a start without the snapshot.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use rustix::fs::AtFlags;
use rustix::io::Errno;
use wasmparser::{ConstExpr, DataKind, Operator, Payload};

use crate::compiled::{Global, Image, Rule};
use crate::vfs::{Access, FileStat, GuestPath, Mounts, S_IFDIR, Seen};

/// What an initialisation saw of the host, by path.
pub type Sights = BTreeMap<GuestPath, Seen>;

/// The last change of directories, in which names were absent, and of their inodes, in nanoseconds
/// since 1970.
pub type DirectoryTimes = BTreeMap<GuestPath, (i64, i64)>;

/// Longer than a file system's clock stands still: a directory that was changed so long ago gets
/// other times when it changes again.
const MOMENT: Duration = Duration::from_millis(100);
/// The same of file systems that count whole seconds, or two of them.
const COARSE_MOMENT: Duration = Duration::from_secs(3);

/// The exported function that a snapshot is made by.
pub const INIT: &str = "pynbox_snapshot_init";
/// The exported function that a snapshot is started by.
pub const RESUME: &str = "pynbox_snapshot_resume";
/// The custom section with the rules.
pub const SECTION: &str = "pynbox.snapshot";

/// Whether the module exports what a snapshot needs.
pub fn takes_part(wasm: &[u8]) -> bool {
    let mut found = 0;
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        let Ok(Payload::ExportSection(exports)) = payload else { continue };
        found += exports.into_iter().flatten().filter(|e| [INIT, RESUME].contains(&e.name)).count();
    }
    found == 2
}

/// Reads the rules in the module's custom section. A section that can't be read gives the line that
/// is wrong.
///
/// # Errors
///
/// The text of the first line that is no rule.
pub fn rules(wasm: &[u8]) -> Result<Vec<Rule>, String> {
    let mut rules = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        let Ok(Payload::CustomSection(section)) = payload else { continue };
        if section.name() != SECTION {
            continue;
        }
        let text = String::from_utf8_lossy(section.data());
        for line in text.split(['\n', '\0']).map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            rules.push(Rule::parse(line).ok_or_else(|| line.to_owned())?);
        }
    }
    Ok(rules)
}

/// Where the memory of a snapshot, a module that was made of a frozen state, lies in its compiled
/// code, and its globals. `None` if it has no such memory, or a global that is no number.
pub fn image(wasm: &[u8], code: &[u8]) -> Option<Image> {
    let (mut image, mut segments) = (Image::default(), Vec::new());
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory.ok()?;
                    (image.pages, image.most) = (memory.initial, memory.maximum.unwrap_or(Image::PAGES_MAX));
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    image.globals.push(constant(&global.ok()?.init_expr)?);
                }
            }
            Payload::DataSection(data) => {
                for segment in data {
                    let segment = segment.ok()?;
                    if let DataKind::Active { offset_expr, .. } = segment.kind {
                        segments.push((usize::try_from(constant(&offset_expr)?.value).ok()?, segment.data));
                    }
                }
            }
            _ => {}
        }
    }
    segments.retain(|(_, data)| !data.is_empty());
    if let Some(start) = segments.iter().map(|(at, _)| *at).min() {
        let end = segments.iter().map(|(at, data)| at + data.len()).max()?;
        (image.start, image.length) = Image::pages_of(start as u64, end as u64);
        let first = usize::try_from(image.start).ok()?;
        let mut memory = vec![0; usize::try_from(image.length).ok()?];
        for (at, data) in segments {
            memory.get_mut(at - first..)?.get_mut(..data.len())?.copy_from_slice(data);
        }
        image.offset = Image::find(&memory, code)?;
    }
    image.is_possible().then_some(image)
}

/// The value of an expression that is one constant.
fn constant(expression: &ConstExpr<'_>) -> Option<Global> {
    let (size, value) = match expression.get_operators_reader().read().ok()? {
        Operator::I32Const { value } => (4, u64::from(value.cast_unsigned())),
        Operator::I64Const { value } => (8, value.cast_unsigned()),
        Operator::F32Const { value } => (4, u64::from(value.bits())),
        Operator::F64Const { value } => (8, value.bits()),
        _ => return None,
    };
    Some(Global { size, value })
}

/// Whether the files are as they were when the snapshot was made; if not, the path that differs and
/// how. `times` are those of directories, as [`add_parents`] gives them.
///
/// # Errors
///
/// The difference in words.
pub fn check(seen: &Sights, times: &DirectoryTimes, mounts: &Mounts) -> Result<(), String> {
    let Some(root) = mounts.iter().find(|m| m.at.is_root()) else {
        return Err("nothing is mounted at `/`".to_owned());
    };
    if root.access != Access::ReadOnly {
        return Err("`/` is mounted for writing".to_owned());
    }
    for mount in mounts.iter().filter(|m| !m.at.is_root()) {
        let touches = |path: &GuestPath| {
            path.below(&mount.at).is_some()
                || (mount.at.is_strictly_below(path) && !matches!(seen[path], Seen::Directory { .. }))
        };
        if let Some(path) = seen.keys().find(|path| touches(path)) {
            return Err(format!("the mount at `{}` changes `{path}`", mount.at));
        }
    }
    // Directories come before what is in them.
    let mut unchanged = HashSet::new();
    for (path, then) in seen {
        if *then == Seen::Absent && unchanged.contains(path.parent_as_relative()) {
            continue;
        }
        let below = if path.is_root() { &b"."[..] } else { path.as_relative() };
        let now = match rustix::fs::statat(&root.root, below, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let stat = FileStat::from(stat);
                if times.get(path).is_some_and(|times| *times == (stat.mtime, stat.ctime)) {
                    unchanged.insert(path.as_relative());
                }
                Seen::of(&stat, matches!(then, Seen::Exact { .. }))
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Seen::Absent,
            Err(error) => return Err(format!("`{path}`: {error}")),
        };
        if now != *then {
            return Err(format!("`{path}` is not what it was"));
        }
    }
    Ok(())
}

/// Adds the directories that the paths go through, so that none of them can have become a link
/// meanwhile. Gives the times of those in which a name was absent, if that can't have changed in
/// the same moment; who takes them has to [check] the names afterwards.
///
/// # Errors
///
/// What the kernel says of one of them.
pub fn add_parents(seen: &mut Sights, mounts: &Mounts) -> Result<DirectoryTimes, Errno> {
    let mut times = DirectoryTimes::new();
    let Some(root) = mounts.iter().find(|m| m.at.is_root()) else { return Ok(times) };
    let begun = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let is_settled = |changed: i64| {
        let moment = if changed % 1_000_000_000 == 0 { COARSE_MOMENT } else { MOMENT };
        i64::try_from(begun.saturating_sub(moment).as_nanos()).is_ok_and(|settled| changed < settled)
    };
    let paths: Vec<(GuestPath, Seen)> = seen.iter().map(|(path, seen)| (path.clone(), *seen)).collect();
    for (mut path, then) in paths {
        let mut is_parent = then == Seen::Absent;
        while !path.is_root() {
            path.pop();
            let has_absent = std::mem::take(&mut is_parent);
            if seen.contains_key(&path) && (!has_absent || times.contains_key(&path)) {
                continue;
            }
            let below = if path.is_root() { &b"."[..] } else { path.as_relative() };
            let sight = match rustix::fs::statat(&root.root, below, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    let stat = FileStat::from(stat);
                    if has_absent && stat.kind() == S_IFDIR && is_settled(stat.mtime) && is_settled(stat.ctime) {
                        times.insert(path.clone(), (stat.mtime, stat.ctime));
                    }
                    Seen::of(&stat, false)
                }
                Err(Errno::NOENT | Errno::NOTDIR) => Seen::Absent,
                Err(error) => return Err(error),
            };
            seen.entry(path.clone()).or_insert(sight);
        }
    }
    Ok(times)
}
