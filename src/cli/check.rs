//! `pynbox-build check SUITE`: runs tests that others wrote in the sandbox, and compares how they
//! end with what is expected.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use build_graph::untrusted::{printable, printable_path};
use clap::Args;
use serde::Serialize;
use tempfile::TempDir;
use walkdir::WalkDir;

use super::json::{Answer, JsonOption};
use super::{CommandError, Kind, Session, install};
use crate::build::BuildError;
use crate::build::builder::Stamps;
use crate::build::plan::write_atomically;
use crate::called::called;
use crate::check::places::{self, TestPlace};
use crate::check::suites::{Suite, suites};
use crate::check::{Difference, Expectation, Expected, FileResult, Ran, Reasons, Runner, report, runner};
use crate::install::Destination;
use crate::store::Materialise;

/// Where a project says how tests end.
const EXPECTED: &str = "tests/expected";

/// Options of `check`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The suite, such as `python`
    suite: String,
    /// The files, without `.py` [default: all]
    files: Vec<String>,
    /// The installation to check, instead of a new one in a temporary folder
    #[arg(long, value_name = "DIR")]
    dest: Option<PathBuf>,
    /// The target whose sandbox is checked, instead of the default one
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// What runs the sandbox's code: with `native`, native code of the packages is installed, too.
    /// The same is expected of both
    #[arg(long, value_name = "ENGINE", conflicts_with = "update")]
    engine: Option<install::Engine>,
    /// How many files to run at once [default: one a core]
    #[arg(long, short = 'j', value_name = "N")]
    jobs: Option<usize>,
    /// Most seconds that one file may take
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    timeout: u64,
    /// Run each natively too, and write down how it ends as what is expected from now on
    #[arg(long)]
    update: bool,
    /// Print how each method that does not pass ended
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `check`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Checked {
    /// The suite.
    suite: String,
    /// The files that were run.
    files: Vec<CheckedFile>,
    /// Where their results differ from what is expected.
    differences: Vec<Unexpected>,
}

/// A file of tests.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CheckedFile {
    /// Its name, without `.py`.
    file: String,
    /// How many of its methods passed.
    passed: usize,
    /// Those that did not pass, each with what it said.
    others: BTreeMap<String, String>,
}

/// A result that is not as expected.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Unexpected {
    /// The file.
    file: String,
    /// The method; `(file)` for the whole.
    method: String,
    /// What is different, in words.
    what: String,
}

impl Answer for Checked {
    const SCHEMA: &'static str = "check/1";
}

impl Checked {
    fn of(suite: &Suite, results: &BTreeMap<String, FileResult>, differences: Vec<Difference>) -> Self {
        let file = |(file, result): (&String, &FileResult)| CheckedFile {
            file: file.clone(),
            passed: result.passed(),
            others: result.others().map(|(name, why)| (name.to_owned(), why.to_owned())).collect(),
        };
        let unexpected = |Difference { file, method, what }| Unexpected { file, method, what };
        Self {
            suite: suite.name.clone(),
            files: results.iter().map(file).collect(),
            differences: differences.into_iter().map(unexpected).collect(),
        }
    }
}

/// A folder for a run, removed with what tests left in it unless it is kept.
struct Work {
    folder: Option<TempDir>,
}

impl Work {
    fn new() -> Result<Self, CommandError> {
        // Tests run as another user, who has to get there.
        let folder = tempfile::Builder::new()
            .prefix("pynbox-check-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .map_err(BuildError::io("create", &std::env::temp_dir()))?;
        Ok(Self { folder: Some(folder) })
    }

    fn path(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new(""), TempDir::path)
    }

    fn keep(mut self) -> PathBuf {
        self.folder.take().map_or_else(PathBuf::new, TempDir::keep)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // What can't be removed is left to who cleans temporary folders.
            let _ = places::set_writable(folder.path(), true);
        }
    }
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let suites = suites();
    let Some(suite) = suites.iter().find(|suite| suite.name == options.suite) else {
        let names: Vec<_> = suites.iter().map(|suite| suite.name.as_str()).collect();
        return Err(CommandError::input(format!("there is no suite `{}`", options.suite))
            .hint(format!("there are: {}", names.join(", "))));
    };
    let project = session.project()?;
    // What is expected of the default target lies at the top, of another one, whose sandbox has
    // other limits, in a folder of its name.
    let target = session.target(&project, options.target.as_deref())?;
    let other = Some(target.as_str()).filter(|_| target != session.bundle.default_target);
    let expected_folder = project.root.join(EXPECTED).join(other.unwrap_or_default());
    let reasons = Reasons::read(&expected_folder.join("reasons.toml")).map_err(CommandError::input)?;
    let expected_path = expected_folder.join(format!("{}.toml", suite.name));
    let expected = Expected::read(&expected_path, &reasons).map_err(CommandError::input)?;

    let work = Work::new()?;
    let dest = match &options.dest {
        Some(dest) => dest.canonicalize().map_err(CommandError::named("open", dest))?,
        None => {
            let dest = work.path().join("dest");
            let target = options.target.clone();
            install::run(session, &install::Options::of(dest.clone(), &[&suite.package], target, options.engine))?;
            dest
        }
    };
    if let Some(folder) = places::closed_folder(&dest).map_err(BuildError::io("look at", &dest))? {
        let folder = printable_path(&folder);
        return Err(CommandError::input(format!(
            "can't run tests in `{}`: started by root, they run as `nobody`, who can't enter `{folder}`",
            printable_path(&dest)
        ))
        .hint(format!("`chmod o+x {folder}`, or install into another folder")));
    }
    let files = choose(suite, options, &dest)?;
    let sandbox = sandbox(suite, &dest, work.path(), options.engine)?;
    let native = options.update.then(|| native(session, suite, &dest, work.path())).transpose()?;
    let mut table = project.root.join(&suite.table);
    if let Some(target) = other {
        table.set_extension(format!("{target}.md"));
    }
    let mut record = Record { suite: &suite.name, target: other, reasons: &reasons, expected, expected_path, table };
    let jobs = options.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let runner = Runner {
        suite,
        place: &sandbox,
        native: native.as_ref(),
        jobs,
        timeout: Duration::from_secs(options.timeout),
        work: work.path(),
    };
    let results = run_files(&runner, &files, &mut record)?;
    if options.list {
        list("in the sandbox", results.iter().map(|(file, ran)| (file, &ran.result)));
        list("natively", results.iter().filter_map(|(file, ran)| Some((file, ran.native.as_ref()?))));
    }
    if options.update {
        if options.files.is_empty() {
            record.expected.files.retain(|file, _| results.contains_key(file));
        }
        record.write()?;
        for path in [&record.expected_path, &record.table] {
            outln!("check: wrote `{}`", printable_path(&path));
        }
    }
    let results = results.into_iter().map(|(file, ran)| (file, ran.result)).collect();
    compare(suite, &results, &record.expected, work, &record.expected_path, options.json)
}

/// What is expected of a suite, and where the project says so.
struct Record<'a> {
    suite: &'a str,
    target: Option<&'a str>,
    reasons: &'a Reasons,
    expected: Expected,
    expected_path: PathBuf,
    table: PathBuf,
}

impl Record<'_> {
    /// Expects of a file how it ended, if it ran natively, too, from now on: of a run that is
    /// interrupted, nothing is lost.
    fn note(&mut self, file: &str, ran: &Ran) -> Result<(), BuildError> {
        let Some(native) = &ran.native else { return Ok(()) };
        self.expected.files.insert(file.to_owned(), Expectation::of(file, &ran.result, native, self.reasons));
        self.write()
    }

    fn write(&self) -> Result<(), BuildError> {
        write_atomically(&self.expected_path, self.expected.to_text().as_bytes())?;
        let table = report::table(self.suite, self.target, &self.expected, self.reasons);
        write_atomically(&self.table, table.as_bytes())
    }
}

fn run_files(
    runner: &Runner<'_>,
    files: &[String],
    record: &mut Record<'_>,
) -> Result<BTreeMap<String, Ran>, CommandError> {
    let noted = Mutex::new((record, Ok(())));
    let told = |file: &str, ran: &Ran| {
        let count = |result: &FileResult| format!("{} passed, {} not", result.passed(), result.others().count());
        let natively = ran.native.as_ref().map(|native| format!("; natively {}", count(native)));
        outln!("check: {file}: {}{}", count(&ran.result), natively.unwrap_or_default());
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        let (record, outcome) = &mut *noted;
        if outcome.is_ok() {
            *outcome = record.note(file, ran);
        }
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let results = runner.run(files, &told).map_err(BuildError::io("run tests in", runner.work))?;
    noted.into_inner().unwrap_or_else(PoisonError::into_inner).1?;
    Ok(results)
}

fn list<'a>(place: &str, results: impl Iterator<Item = (&'a String, &'a FileResult)>) {
    for (file, result) in results {
        // Names and messages are the tests' own.
        result.others().for_each(|(name, message)| {
            outln!("{file} {} {place}: {}", printable(name), printable(&message.to_string()));
        });
    }
}

/// Tells what differs, and fails if anything does.
fn compare(
    suite: &Suite,
    results: &BTreeMap<String, FileResult>,
    expected: &Expected,
    work: Work,
    expected_path: &Path,
    json: JsonOption,
) -> Result<(), CommandError> {
    let passed: usize = results.values().map(FileResult::passed).sum();
    let differences: Vec<_> = results.iter().flat_map(|(file, result)| expected.differences(file, result)).collect();
    outln!("check: {} files of {}, {passed} methods passed", results.len(), suite.name);
    if differences.is_empty() {
        outln!("check: all as expected");
    }
    for difference in &differences {
        outln!("{} {}: {}", difference.file, printable(&difference.method), printable(&difference.what));
    }
    let count = differences.len();
    json.answer(|| Checked::of(suite, results, differences))?;
    if count == 0 {
        return Ok(());
    }
    let logs = work.keep().join(runner::SANDBOX);
    let mut error = CommandError::input(format!("{count} results differ from `{}`", printable_path(&expected_path)))
        .hint(format!("what the files printed is in `{}/FILE/log`", printable_path(&logs)))
        .hint("if the new results are right, give those that do not pass a reason in reasons.toml, and use `--update`");
    error.kind = Kind::Build;
    Err(error)
}

/// The files to run.
fn choose(suite: &Suite, options: &Options, dest: &Path) -> Result<Vec<String>, CommandError> {
    let folder = dest.join(&suite.library).join(&suite.folder);
    let there =
        files_of_tests(suite, &folder).map_err(|error| {
            CommandError::input(format!("can't read the tests in `{}`: {error}", printable_path(&folder)))
                .hint(format!("install them: `{} install {} {}`", called(), printable_path(&dest), suite.package))
        })?;
    if options.files.is_empty() {
        return Ok(there.into_iter().collect());
    }
    if let Some(missing) = options.files.iter().find(|file| !there.contains(*file)) {
        return Err(CommandError::input(format!(
            "there is no file `{missing}` of tests in `{}`",
            printable_path(&folder)
        )));
    }
    Ok(options.files.clone())
}

/// The files of a suite's tests: those in its folder, or in folders of a name below.
fn files_of_tests(suite: &Suite, folder: &Path) -> io::Result<BTreeSet<String>> {
    let Some(nested) = &suite.nested else { return tests(suite, folder) };
    let mut found = BTreeSet::new();
    for entry in WalkDir::new(folder) {
        let entry = entry?;
        if !entry.file_type().is_dir() || entry.file_name() != nested.as_str() {
            continue;
        }
        let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        let package: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
        let package = package.join(".");
        found.extend(tests(suite, entry.path())?.into_iter().map(|test| format!("{package}.{test}")));
    }
    Ok(found)
}

/// The files of tests in a folder: modules, and packages of Python that run as one or file by file.
fn tests(suite: &Suite, folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with("test_")) else { continue };
        let package = folder.join(name);
        if suite.split_folders.iter().any(|split| split == name) {
            tests.extend(self::tests(suite, &package)?.into_iter().map(|test| format!("{name}.{test}")));
        } else if package.join("__init__.py").is_file() {
            tests.insert(name.to_owned());
        } else if let Some(name) = name.strip_suffix(".py")
            && !suite.not_tests.iter().any(|other| other == name)
        {
            tests.insert(name.to_owned());
        }
    }
    Ok(tests)
}

/// The sandbox with a library of its own.
fn sandbox(
    suite: &Suite,
    dest: &Path,
    work: &Path,
    engine: Option<install::Engine>,
) -> Result<TestPlace, CommandError> {
    let library = work.join("library");
    let copy = || {
        places::copy(&dest.join(&suite.library), &library)?;
        places::write_driver(&library)?;
        places::set_writable(&library, false)
    };
    copy().map_err(BuildError::io("copy the library to", &library))?;
    let engine = engine.map(install::Engine::word);
    Ok(TestPlace::Sandbox { run: dest.join("bin/run"), root: dest.join("root"), library, engine })
}

/// The native interpreter, with the tests that are installed laid into its library.
fn native(session: &Session, suite: &Suite, dest: &Path, work: &Path) -> Result<TestPlace, CommandError> {
    let workplace = session.workplace()?;
    let store = &workplace.store;
    let builder = workplace.builder(Stamps::Old);
    let prefix = work.join("native-python");
    for (number, node) in suite.native.iter().enumerate() {
        let digest = builder.obtain(node)?.tree;
        let tree = store.tree(digest)?.ok_or_else(|| BuildError::Input(format!("the store has lost `{node}`")))?;
        let part = work.join(format!("native-{number}"));
        store.materialise(&tree, &part, Materialise::Copy)?;
        places::copy(&part, &prefix).map_err(BuildError::io("copy to", &prefix))?;
    }
    let destination = Destination::open(dest)?;
    let receipt = destination.receipt(&suite.package)?.ok_or_else(|| {
        CommandError::input(format!("package `{}` is not installed in `{}`", suite.package, printable_path(&dest)))
    })?;
    let library = prefix.join(&suite.native_library);
    for (path, _) in receipt.content.iter() {
        let Some(below) = path.as_str().strip_prefix(suite.library.as_str()) else { continue };
        // Modules for the sandbox are of no use to a native interpreter, which has its own.
        if below.ends_with(".so") {
            continue;
        }
        let to = library.join(below.trim_start_matches('/'));
        let copy = || {
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            places::copy_one(&dest.join(path), &to)
        };
        copy().map_err(BuildError::io("copy a test to", &to))?;
    }
    places::write_driver(&library).map_err(BuildError::io("write the driver to", &library))?;
    places::set_writable(&prefix, false).map_err(BuildError::io("close", &prefix))?;
    Ok(TestPlace::Native { program: prefix.join(&suite.native_program), library })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A runner whose interpreter is the shell and whose driver a script, which gets LINES RUNNER
    /// MODULE FILE; and a record beside it, read by `test_b`, which passes if `test_a` is in it.
    fn run(expected_path: &str) -> (TempDir, Result<BTreeMap<String, Ran>, CommandError>) {
        let work = Work::new().unwrap().folder.take().unwrap();
        let expected_path = work.path().join(expected_path);
        let script = format!(
            "[ $4 = test_a ] || grep -q test_a '{}' || exit 1\nprintf 'pass\\tA.a\\nend\\n' > $1",
            expected_path.display()
        );
        fs::write(work.path().join("run_one_file_of_tests.py"), script).unwrap();
        let place = TestPlace::Native { program: "/bin/sh".into(), library: work.path().to_path_buf() };
        let runner = Runner {
            suite: &suites()[0],
            place: &place,
            native: Some(&place),
            jobs: 1,
            timeout: Duration::from_secs(60),
            work: work.path(),
        };
        let mut record = Record {
            suite: "x",
            target: None,
            reasons: &Reasons::default(),
            expected: Expected::default(),
            expected_path,
            table: work.path().join("table.md"),
        };
        let results = run_files(&runner, &["test_a".to_owned(), "test_b".to_owned()], &mut record);
        (work, results)
    }

    #[test]
    fn what_is_expected_of_a_file_is_written_before_the_next_one_begins() {
        let (work, results) = run("expected/x.toml");
        assert!(results.unwrap().values().all(|ran| ran.result.passed() == 1));
        let written = Expected::read(&work.path().join("expected/x.toml"), &Reasons::default()).unwrap();
        assert_eq!(written.files.values().map(|file| (file.passed, file.native)).collect::<Vec<_>>(), [(1, 1), (1, 1)]);
        let table = fs::read_to_string(work.path().join("table.md")).unwrap();
        assert!(table.contains("| test_a | 1 | 1 |") && table.contains("| test_b | 1 | 1 |"), "{table}");
    }

    #[test]
    fn no_file_begins_after_what_could_not_be_written() {
        let (work, results) = run("run_one_file_of_tests.py/x.toml");
        assert!(results.unwrap_err().to_string().contains("run_one_file_of_tests.py"));
        assert!(work.path().join("sandbox/test_a").is_dir() && !work.path().join("sandbox/test_b").exists());
    }
}
