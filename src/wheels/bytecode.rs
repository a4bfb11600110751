//! Bytecode of modules, made by the Python in the sandbox.
//!
//! A wheel's sources are a stranger's. The guest that compiles them sees nothing but what stands on
//! its standard input, and says nothing but on its standard output: frames of a length and bytes,
//! in the order of the modules.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use build_graph::{Entry, SOURCE_DATE_EPOCH};

use crate::store::Store;

/// How long the modules of one package may take, in seconds.
const TIME: &str = "1800";
/// The most memory that compiling them takes, in MiB.
const MEMORY: &str = "1024";
/// The longest bytecode of one module.
const LONGEST: u32 = 256 << 20;
/// How much of what the guest says about a failure is kept.
const ERRORS: u64 = 64 << 10;

/// A module to compile.
#[derive(Debug, Clone)]
pub struct Module {
    /// Where programs in the sandbox see it.
    pub inside: String,
    /// Its source, whose bytes are in the store.
    pub entry: Entry,
}

/// Compiles what stands on standard input. A module that does not compile gives nothing: some files
/// in packages are templates, or for other versions of the language.
const PROGRAM: &str = r"
import struct, sys
from importlib._bootstrap_external import _code_to_timestamp_pyc
given, out = sys.stdin.buffer, sys.stdout.buffer
def frame():
    head = given.read(4)
    return given.read(struct.unpack('<I', head)[0]) if head else None
while (path := frame()) is not None:
    source = frame()
    try:
        code = compile(source, path.decode(), 'exec', dont_inherit=True, optimize=0)
        compiled = bytes(_code_to_timestamp_pyc(code, TIME, len(source)))
    except (SyntaxError, ValueError, RecursionError):
        compiled = b''
    out.write(struct.pack('<I', len(compiled)) + compiled)
out.flush()
";

/// Compiles modules by the Python of an installation. Gives the bytecode of each, or `None` if it
/// does not compile.
///
/// # Errors
/// If the guest can't be started, does not do its work, or a source can't be read.
pub fn compile<'a>(
    installation: &Path,
    modules: impl Iterator<Item = &'a Module>,
    store: &Store,
) -> io::Result<Vec<Option<Vec<u8>>>> {
    let modules: Vec<_> = modules.collect();
    if modules.is_empty() {
        return Ok(Vec::new());
    }
    let program = PROGRAM.replace("TIME", &SOURCE_DATE_EPOCH.to_string());
    let mut guest = Command::new(installation.join("bin/run"))
        .args(["--die-with-parent", "--time", TIME, "--max-memory", MEMORY, "-E", "PYTHONHASHSEED=0", "python3"])
        .args(["-I", "-S", "-W", "ignore", "-c", &program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (Some(mut given), Some(mut out), Some(errors)) = (guest.stdin.take(), guest.stdout.take(), guest.stderr.take())
    else {
        return Err(io::Error::other("the guest has no standard streams"));
    };
    let (sent, compiled, said) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for module in &modules {
                let source = store.read_blob(&module.entry).map_err(io::Error::other)?;
                for part in [module.inside.as_bytes(), &source] {
                    let length = u32::try_from(part.len()).map_err(io::Error::other)?;
                    given.write_all(&length.to_le_bytes())?;
                    given.write_all(part)?;
                }
            }
            drop(given);
            Ok::<_, io::Error>(())
        });
        let listening = scope.spawn(|| {
            let mut said = String::new();
            let mut errors = errors;
            let _ = errors.by_ref().take(ERRORS).read_to_string(&mut said);
            let _ = io::copy(&mut errors, &mut io::sink());
            said
        });
        let compiled = modules.iter().map(|_| frame(&mut out)).collect::<io::Result<Vec<_>>>();
        if compiled.is_err() {
            let _ = guest.kill();
        }
        let sent = sending.join().unwrap_or_else(|_| Err(io::Error::other("reading the sources failed")));
        (sent, compiled, listening.join().unwrap_or_default())
    });
    let status = guest.wait()?;
    match (compiled, sent) {
        (Ok(compiled), Ok(())) if status.success() => Ok(compiled),
        (_, Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => {
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
            Err(io::Error::other(format!("the sandbox's Python ended with {status}: {last}")))
        }
    }
}

/// The next frame; `None` if it is empty.
fn frame(out: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    out.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(io::Error::other("the guest gives a frame that is too long"));
    }
    let mut bytes = Vec::new();
    out.take(length.into()).read_to_end(&mut bytes)?;
    match bytes.len() == length as usize {
        true => Ok((length > 0).then_some(bytes)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
