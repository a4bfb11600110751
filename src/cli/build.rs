//! `pynbox-build build`: `gen` and ninja in one, with progress.
//!
//! ninja stays the scheduler. It runs as a child whose output is read: its status lines say how
//! many nodes are done, and the build log says what runs, since when, and how it ended.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use build_graph::node::NodeName;
use build_graph::untrusted::printable;
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::build_progress::{BuildAnswer, Looks, Progress};
use super::json::JsonOption;
use super::{CommandError, Kind, Session, dry_run, gen_verb, help, waiting_for};
use crate::build::log::BuildLog;
use crate::build::out_lock::OutLock;
use crate::build::plan::{OutDir, Plan};
use crate::model::{At, Model};
use crate::signals;

/// The variable that names another ninja than the one in `PATH`.
const NINJA: &str = "NINJA";
/// Marks ninja's status lines: finished edges, all edges.
const STATUS: &str = "\u{1}%f %t\u{1}";
/// So often the screen is drawn.
const TICK: Duration = Duration::from_millis(100);
/// So long an interrupted ninja gets to end its actions.
const GRACE: Duration = Duration::from_secs(10);
/// How wide a terminal is that does not tell.
const DEFAULT_COLUMNS: u16 = 80;
/// No more failed nodes are named.
const MAX_NAMED: usize = 5;

/// Options of `build`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What to build: recipes, targets, nodes, or patterns of nodes' names; default: all recipes of
    /// the default target
    #[arg(value_name = "RECIPE|NODE")]
    names: Vec<String>,
    /// Run so many actions at once; default: what ninja finds right for this machine
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Go on after failures with all that does not need what failed
    #[arg(short, long)]
    keep_going: bool,
    #[command(flatten)]
    wanted: gen_verb::Wanted,
    #[command(flatten)]
    json: JsonOption,
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    gen_verb::run(
        session,
        &gen_verb::Options { wanted: options.wanted.clone(), if_changed: false, ask: dry_run::Options::default() },
    )?;
    let project = session.project()?;
    let out = session.out(&project);
    let plan = {
        let _lock = OutLock::for_reading(&out, &waiting_for)?;
        Plan::open(&out)?
    };
    let default = session.target(&project, options.wanted.target.as_deref())?.to_string();
    let names = if options.names.is_empty() { vec![default] } else { options.names.clone() };
    let store = session.store_of(&project)?;
    let asked = Asked::of(&Model::new(&plan, &store), &names, &project.root)?;
    if asked.left.is_empty() {
        outln!("nothing to build: every result is known");
        return options.json.answer(BuildAnswer::default);
    }
    let log = BuildLog::of(&out);
    let mut progress = Progress::new(&log, asked.left, looks(session))?;
    let (lines, ended) = Ninja::start(&project.root, options, &asked.targets)?.follow(&mut progress)?;
    let (answer, failed) = progress.finish();
    options.json.answer(|| answer)?;
    if ended.success() {
        return Ok(());
    }
    let named: Vec<_> = failed.iter().take(MAX_NAMED).map(|(node, _)| format!("`{node}`")).collect();
    let more = match failed.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match failed.first() {
        Some((_, status)) => {
            let one = if failed.len() == 1 { "node was" } else { "nodes were" };
            let message = format!("{} {one} not built: {}{more}", failed.len(), named.join(", "));
            Err(CommandError::new(Kind::of_exit_code(*status), message))
        }
        None => Err(CommandError::build(format!("ninja ended with {ended}: {}", lines.join("; ")))),
    }
}

/// How the build is drawn, if it is.
fn looks(session: &Session) -> Option<Looks> {
    let draw = !session.common.quiet && io::stderr().is_terminal() && io::stdout().is_terminal();
    let columns = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
    draw.then(|| Looks {
        colors: help::has_colors(session.common.color, &io::stderr()),
        columns: if columns == 0 { DEFAULT_COLUMNS } else { columns },
    })
}

/// What is to be built.
struct Asked {
    /// As ninja calls it.
    targets: Vec<String>,
    /// The nodes that are left for it.
    left: BTreeSet<NodeName>,
}

impl Asked {
    fn of(model: &Model<'_>, words: &[String], root: &Path) -> Result<Self, CommandError> {
        let is_left = |at: At| model.table().known(at).is_none();
        let (mut targets, mut wanted) = (Vec::new(), Vec::new());
        for word in words {
            let nodes = model.named(word)?;
            if model.plan().alias(word).is_some() {
                targets.push(word.clone());
            } else {
                for at in nodes.iter().copied().filter(|at| is_left(*at)) {
                    targets.push(stamp(model.plan().out(), &model.name(at)?, root));
                }
            }
            wanted.extend(nodes);
        }
        // What a known node was made of is of no interest.
        let mut left = BTreeSet::new();
        while let Some(at) = wanted.pop() {
            if is_left(at) && left.insert(at) {
                wanted.extend(model.table().inputs(at));
            }
        }
        Ok(Self { targets, left: left.into_iter().map(|at| model.name(at)).collect::<Result<_, _>>()? })
    }
}

/// The stamp of a node as the build file names it.
fn stamp(out: &OutDir, node: &NodeName, root: &Path) -> String {
    let stamp = out.stamp(node);
    stamp.strip_prefix(root).unwrap_or(&stamp).to_string_lossy().into_owned()
}

/// Returns a command that runs the ninja that the environment names, or else the one in `PATH`.
pub(super) fn ninja() -> Command {
    Command::new(ninja_program())
}

fn ninja_program() -> OsString {
    std::env::var_os(NINJA).filter(|name| !name.is_empty()).unwrap_or_else(|| "ninja".into())
}

/// The error of a ninja that does not start.
pub(super) fn no_ninja(error: io::Error) -> CommandError {
    let program = printable(ninja_program().as_encoded_bytes()).to_string();
    CommandError::environment(format!("can't start `{program}`: {error}"))
        .hint(format!("install ninja (Debian has it as `ninja-build`), or set `{NINJA}` to where it is"))
}

/// A ninja that runs.
struct Ninja {
    child: Child,
    ending: Arc<(Mutex<Ending>, Condvar)>,
}

/// What two threads know of ninja's end: the one that waits for it, and the one that ends it.
#[derive(Default)]
struct Ending {
    /// It has ended.
    gone: bool,
    /// A signal ends this process, with a status of its own.
    interrupted: bool,
}

impl Ninja {
    fn start(root: &Path, options: &Options, targets: &[String]) -> Result<Self, CommandError> {
        let mut command = ninja();
        command.current_dir(root).env("NINJA_STATUS", STATUS).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(jobs) = options.jobs {
            command.arg(format!("-j{jobs}"));
        }
        if options.keep_going {
            command.arg("-k0");
        }
        let child = command.arg("--").args(targets).spawn().map_err(no_ninja)?;
        let ending: Arc<(Mutex<Ending>, Condvar)> = Arc::default();
        let pid = Pid::from_child(&child);
        let shared = Arc::clone(&ending);
        // ninja ends its actions when it is interrupted; without that they would run on.
        signals::before_end(move || {
            let (ending, changed) = &*shared;
            let mut ending = ending.lock().unwrap_or_else(PoisonError::into_inner);
            if !ending.gone && kill_process(pid, Signal::INT).is_ok() {
                ending.interrupted = true;
                drop(changed.wait_timeout_while(ending, GRACE, |ending| !ending.gone));
            }
        });
        Ok(Self { child, ending })
    }

    /// Shows what it does until it has ended. Gives what ninja itself said, and how it ended.
    fn follow(mut self, progress: &mut Progress) -> Result<(Vec<String>, ExitStatus), CommandError> {
        let (said, heard) = mpsc::channel();
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            self.child.stdout.take().map(|stream| Box::new(stream) as _),
            self.child.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        for stream in streams.into_iter().flatten() {
            let said = said.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    if said.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        drop(said);
        let mut reader = Reader::default();
        loop {
            match heard.recv_timeout(TICK) {
                Ok(line) => reader.take(&line, progress),
                Err(mpsc::RecvTimeoutError::Timeout) => progress.tick(),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        let ended = self.child.wait();
        let (ending, changed) = &*self.ending;
        let mut ending = ending.lock().unwrap_or_else(PoisonError::into_inner);
        ending.gone = true;
        changed.notify_all();
        let by_user = |line: &String| line.contains("interrupted by user");
        let interrupted = ending.interrupted || reader.own.iter().any(by_user);
        drop(ending);
        if interrupted {
            // The thread that got the signal ends the process, with the signal's status.
            thread::sleep(GRACE);
        }
        let ended = ended.map_err(|error| CommandError::environment(format!("can't wait for ninja: {error}")))?;
        Ok((reader.own, ended))
    }
}

/// Tells ninja's own lines from what actions printed.
#[derive(Default)]
struct Reader {
    /// The next line is the command of an edge that failed.
    command_follows: bool,
    /// What ninja itself said.
    own: Vec<String>,
}

impl Reader {
    fn take(&mut self, line: &[u8], progress: &mut Progress) {
        let text = printable(line).lines().to_string();
        if let Some((done, all, what)) = status(line) {
            progress.edge_ended(done, all, &what);
        } else if std::mem::take(&mut self.command_follows) {
            // The error names the node, and `build` runs it again.
        } else if text.starts_with("FAILED: ") {
            self.command_follows = true;
        } else if let Some(own) = text.strip_prefix("ninja: ") {
            self.own.push(own.to_owned());
        } else {
            progress.say(&text);
        }
    }
}

/// Reads a status line: finished edges, all edges, and what has ended.
fn status(line: &[u8]) -> Option<(u64, u64, String)> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix('\u{1}')?;
    let (numbers, what) = text.split_once('\u{1}')?;
    let (done, all) = numbers.split_once(' ')?;
    Some((done.parse().ok()?, all.parse().ok()?, what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_read_and_nothing_else_is_one() {
        assert_eq!(status("\u{1}3 10\u{1}run a/b".as_bytes()), Some((3, 10, "run a/b".to_owned())));
        for line in ["", "[3/10] run a/b", "\u{1}3 10", "\u{1}x 10\u{1}y", "\u{1}3\u{1}y"] {
            assert_eq!(status(line.as_bytes()), None, "{line}");
        }
    }
}
