//! How the methods of a file ended, read from the lines that the driver
//! (`recipes/files/check/run_tests.py`) wrote.

use std::collections::BTreeMap;

/// The name of what happens outside of methods.
pub const FILE: &str = "(file)";

/// How one method ended. The order is that of which one counts if a method ends twice: a test that
/// passed can still fail to clean up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It passed, or failed as its author expects.
    Passed,
    /// It was skipped, and why.
    Skipped(String),
    /// It failed, and how.
    Failed(String),
}

/// How a process ended that ran a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It ended, with this status.
    Status(String),
    /// It was ended because it took longer than this number of seconds.
    TimedOut(u64),
}

/// How a file's methods ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileResult {
    /// By their names. A name that is there twice gets `#2` the second time.
    pub methods: BTreeMap<String, Outcome>,
}

impl FileResult {
    /// Reads the driver's lines. A file that did not get to its end failed, and so did the methods
    /// that had not ended.
    pub fn read(lines: &str, end: &End) -> Self {
        let mut result = Self::default();
        let mut times: BTreeMap<&str, u32> = BTreeMap::new();
        let mut running: BTreeMap<String, bool> = BTreeMap::new();
        let mut ended = false;
        for line in lines.lines() {
            let mut fields = line.splitn(3, '\t');
            let (Some(event), Some(id)) = (fields.next(), fields.next().or(Some(FILE))) else { continue };
            let message = fields.next().unwrap_or_default().replace('\t', " < ");
            if event == "end" {
                ended = true;
                continue;
            }
            if event == "start" {
                *times.entry(id).or_default() += 1;
            }
            let name = match times.get(id) {
                Some(&time) if time > 1 => format!("{id}#{time}"),
                _ => id.to_owned(),
            };
            let outcome = match event {
                "start" => {
                    running.insert(name, true);
                    continue;
                }
                "pass" | "xfail" => Outcome::Passed,
                "skip" => Outcome::Skipped(message),
                "xpass" => Outcome::Failed("unexpected success".to_owned()),
                _ => Outcome::Failed(message),
            };
            running.remove(&name);
            result.note(name, outcome);
        }
        if !ended {
            let why = match end {
                End::Status(status) => format!("the process ended with {status}"),
                End::TimedOut(seconds) => format!("ended after {seconds} seconds"),
            };
            for name in running.into_keys() {
                result.note(name, Outcome::Failed(format!("{why} meanwhile")));
            }
            result.note(FILE.to_owned(), Outcome::Failed(why));
        }
        result
    }

    fn note(&mut self, name: String, outcome: Outcome) {
        let old = self.methods.entry(name).or_insert(Outcome::Passed);
        if *old < outcome {
            *old = outcome;
        }
    }

    /// How many methods passed.
    pub fn passed(&self) -> usize {
        self.methods.values().filter(|outcome| **outcome == Outcome::Passed).count()
    }

    /// The methods that did not pass, with what they said.
    pub fn others(&self) -> impl Iterator<Item = (&str, &str)> {
        self.methods.iter().filter_map(|(name, outcome)| match outcome {
            Outcome::Passed => None,
            Outcome::Skipped(why) | Outcome::Failed(why) => Some((name.as_str(), why.as_str())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(why: &str) -> Outcome {
        Outcome::Failed(why.to_owned())
    }

    #[test]
    fn the_worst_end_of_a_method_counts_and_names_stay_apart() {
        let lines =
            "start\tA.a\npass\tA.a\nerror\tA.a\tOSError: no\tos.unlink(x)\nstart\tA.a\nskip\tA.a\tno zlib\nend\n";
        let result = FileResult::read(lines, &End::Status("0".to_owned()));
        assert_eq!(result.methods["A.a"], failed("OSError: no < os.unlink(x)"));
        assert_eq!(result.methods["A.a#2"], Outcome::Skipped("no zlib".to_owned()));
        assert_eq!(result.passed(), 0);
    }

    #[test]
    fn a_file_that_does_not_end_has_failed() {
        let result =
            FileResult::read("start\tA.a\npass\tA.a\nstart\tA.b\n", &End::Status("exit status: 134".to_owned()));
        assert_eq!(result.passed(), 1);
        assert_eq!(result.methods["A.b"], failed("the process ended with exit status: 134 meanwhile"));
        assert_eq!(result.methods[FILE], failed("the process ended with exit status: 134"));
        let result = FileResult::read("", &End::TimedOut(60));
        assert_eq!(result.methods[FILE], failed("ended after 60 seconds"));
    }

    /// What the driver writes of a file of tests, which a Python of this machine runs.
    fn driven(tests: &str) -> FileResult {
        let work = tempfile::tempdir().unwrap();
        let at = |name: &str| work.path().join(name);
        std::fs::write(at("test_it.py"), tests).unwrap();
        let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/files/check/run_tests.py");
        let mut python = std::process::Command::new("python3");
        python.args(["-B", driver]).arg(at("lines")).args(["unittest", "", "test_it"]);
        let status = python.env("PYTHONPATH", work.path()).env("TMPDIR", work.path()).status().unwrap();
        assert!(status.success());
        FileResult::read(&std::fs::read_to_string(at("lines")).unwrap(), &End::Status("0".to_owned()))
    }

    #[test]
    fn the_driver_names_methods_whose_parts_are_skipped_and_tests_with_an_id_of_their_own() {
        let result = driven(
            "import unittest\n\
             class A(unittest.TestCase):\n    \
                 def setUp(self): self.id = 3\n    \
                 def test_parts(self):\n        \
                     for part in range(3):\n            \
                         with self.subTest(part=part):\n                \
                             if part == 1: self.skipTest('no such part')\n    \
                 def test_whole(self): pass\n",
        );
        assert_eq!(result.methods["A.test_parts"], Outcome::Skipped("no such part".to_owned()));
        assert_eq!(result.methods["A.test_whole"], Outcome::Passed);
        assert_eq!(result.methods.len(), 2);
    }
}
