//! Runs files of tests, one process a file, several at once, each for a bounded time.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Child;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::Suite;
use super::places::{self, Folders, LINES, TestPlace};
use super::results::{End, FileResult};

/// How often a running process is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What it takes to run files of a suite.
#[derive(Debug)]
pub struct Runner<'a> {
    /// The suite.
    pub suite: &'a Suite,
    /// Where its files run.
    pub place: &'a TestPlace,
    /// Where each runs natively after that, if it does.
    pub native: Option<&'a TestPlace>,
    /// How many at once.
    pub jobs: usize,
    /// How long one may take.
    pub timeout: Duration,
    /// A folder, in which each file gets one of its name in [`SANDBOX`] and in [`NATIVE`], which
    /// keeps what it printed in `log`.
    pub work: &'a Path,
}

/// The folder of what runs in the sandbox.
pub const SANDBOX: &str = "sandbox";
/// The folder of what runs natively.
pub const NATIVE: &str = "native";

/// How a file ended.
#[derive(Debug)]
pub struct Ran {
    /// In the runner's place.
    pub result: FileResult,
    /// Natively, if it ran so.
    pub native: Option<FileResult>,
}

impl Runner<'_> {
    /// Runs the files; `told` is called as each ends, and may have no other one begin.
    ///
    /// # Errors
    /// If a process can't be started or watched: its program is missing, or the folder can't be
    /// written.
    pub fn run(
        &self,
        files: &[String],
        told: &(dyn Fn(&str, &Ran) -> ControlFlow<()> + Sync),
    ) -> io::Result<BTreeMap<String, Ran>> {
        let left = Mutex::new(files.iter().collect::<VecDeque<_>>());
        let done = Mutex::new(BTreeMap::new());
        let left = || left.lock().unwrap_or_else(PoisonError::into_inner);
        let next = || left().pop_front();
        let failed = thread::scope(|scope| {
            let work = || -> io::Result<()> {
                while let Some(file) = next() {
                    let result = self.run_one(file, self.place, SANDBOX)?;
                    let native = self.native.map(|place| self.run_one(file, place, NATIVE)).transpose()?;
                    let ran = Ran { result, native };
                    if told(file, &ran).is_break() {
                        left().clear();
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(file.clone(), ran);
                }
                Ok(())
            };
            let workers: Vec<_> = (0..self.jobs.clamp(1, files.len().max(1))).map(|_| scope.spawn(work)).collect();
            workers.into_iter().filter_map(|worker| worker.join().ok()?.err()).next()
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn run_one(&self, file: &str, place: &TestPlace, folder: &str) -> io::Result<FileResult> {
        let own = self.work.join(folder).join(file);
        let folders = Folders { temporary: own.join("tmp"), results: own.join("results") };
        fs::create_dir_all(&folders.temporary)?;
        fs::create_dir_all(&folders.results)?;
        for folder in &self.suite.working {
            let copy = folders.temporary.join(folder);
            places::copy(&place.library().join(folder), &copy)?;
            places::lend(&copy)?;
        }
        let log = File::create(own.join("log"))?;
        let mut command = place.command(self.suite, file, &folders)?;
        command.stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn()?;
        let end = self.watch(&mut child)?;
        let lines = match fs::read(folders.results.join(LINES)) {
            Ok(lines) => lines,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(FileResult::read(&String::from_utf8_lossy(&lines), &end))
    }

    /// Waits for the end of a process, or ends it and all that it started.
    fn watch(&self, child: &mut Child) -> io::Result<End> {
        let start = Instant::now();
        let end = loop {
            if let Some(status) = child.try_wait()? {
                break End::Status(status.to_string());
            }
            if start.elapsed() > self.timeout {
                child.kill()?;
                break End::TimedOut(self.timeout.as_secs());
            }
            thread::sleep(LOOK);
        };
        // What is left of its group, which may be nothing.
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        child.wait()?;
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use build_graph::RelPath;

    use super::super::places::DRIVER_FILE;
    use super::super::results::{FILE, Outcome};
    use super::super::suites::TestRunner;
    use super::*;

    fn suite() -> Suite {
        let path = |path: &str| RelPath::new(path).unwrap();
        Suite {
            name: "x".to_owned(),
            interpreter: String::new(),
            package: "x".to_owned(),
            library: path("x"),
            library_at: "/x".to_owned(),
            module: "test".to_owned(),
            test_runner: TestRunner::Unittest,
            folder: path("test"),
            nested: None,
            working: Vec::new(),
            not_tests: Vec::new(),
            split_folders: Vec::new(),
            resources: Vec::new(),
            table: path("x"),
            native: Vec::new(),
            native_program: path("x"),
            native_library: path("x"),
        }
    }

    /// A native place whose interpreter is the shell and whose driver a script, which gets LINES
    /// RUNNER MODULE FILE.
    fn place(script: &str) -> (tempfile::TempDir, TestPlace) {
        use std::os::unix::fs::PermissionsExt as _;
        let work = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        fs::write(work.path().join(DRIVER_FILE), script).unwrap();
        let place = TestPlace::Native { program: "/bin/sh".into(), library: work.path().to_path_buf() };
        (work, place)
    }

    fn files() -> [String; 2] {
        ["test_a".to_owned(), "test_b".to_owned()]
    }

    fn run(script: &str, timeout: Duration) -> FileResult {
        let (work, place) = place(script);
        let runner = Runner { suite: &suite(), place: &place, native: None, jobs: 2, timeout, work: work.path() };
        let mut results = runner.run(&files(), &|_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(results.len(), 2);
        results.remove("test_b").unwrap().result
    }

    const PASSING: &str = "printf 'pass\\t%s.%s\\nend\\n' $3 $4 > $1";

    #[test]
    fn a_file_runs_and_its_lines_are_read() {
        let result = run(PASSING, Duration::from_secs(60));
        assert_eq!(result.methods.keys().collect::<Vec<_>>(), ["test.test_b"]);
        assert_eq!(result.passed(), 1);
    }

    #[test]
    fn a_file_that_crashes_or_hangs_has_failed() {
        let result = run("exit 134", Duration::from_secs(60));
        assert!(matches!(&result.methods[FILE], Outcome::Failed(why) if why.contains("134")));
        // With a child that would hold the log open, and live on.
        let result = run("sleep 1000 & sleep 1000", Duration::from_millis(200));
        assert!(matches!(&result.methods[FILE], Outcome::Failed(why) if why.starts_with("ended after")));
    }

    #[test]
    fn a_file_has_ended_natively_before_it_is_told_of() {
        let ((work, place), (_native, native)) = (place("exit 1"), place(PASSING));
        let told = Mutex::new(Vec::new());
        let runner = Runner {
            suite: &suite(),
            place: &place,
            native: Some(&native),
            jobs: 1,
            timeout: Duration::from_secs(60),
            work: work.path(),
        };
        let results = runner.run(&files(), &|file, ran| {
            told.lock().unwrap().push((file.to_owned(), ran.result.passed(), ran.native.as_ref().unwrap().passed()));
            ControlFlow::Break(())
        });
        // The other one did not begin.
        assert_eq!(told.into_inner().unwrap(), [("test_a".to_owned(), 0, 1)]);
        assert_eq!(results.unwrap().len(), 1);
    }
}
