//! What is expected of each file of a suite: how many methods pass, and every one that does not, by
//! reason.
//!
//! The file is TOML, for people to read and to compare:
//!
//! ```toml
//! [test_stat]
//! passed = 5
//! native = 6
//! fails.fifos = ["TestFilemode.test_fifo"]
//! ```
//!
//! `Class.*` stands for all methods of a class, `Class.method[*]` for one with all its parameters,
//! if none passes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use build_graph::untrusted::printable_path;
use serde::Deserialize;

use super::reasons::{NATIVE, Reasons, UNEXPLAINED};
use super::results::{FILE, FileResult, Outcome};
use crate::regular;

/// What is expected of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// How many methods pass in the sandbox.
    pub passed: usize,
    /// How many pass natively.
    pub native: usize,
    /// The methods that do not pass in the sandbox, by reason.
    #[serde(default)]
    pub fails: BTreeMap<String, Vec<String>>,
}

/// What is expected of a suite, by file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The files.
    pub files: BTreeMap<String, Expectation>,
}

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The file.
    pub file: String,
    /// The method; `(file)` for the whole.
    pub method: String,
    /// What is different.
    pub what: String,
}

impl Expected {
    /// Reads what is expected; nothing is expected if there is no file.
    ///
    /// # Errors
    /// What is wrong with the file, as text.
    pub fn read(path: &Path, reasons: &Reasons) -> Result<Self, String> {
        let text = match regular::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(format!("can't read `{}`: {error}", printable_path(&path))),
        };
        let files: BTreeMap<String, Expectation> =
            toml::from_str(&text).map_err(|error| format!("`{}` is malformed: {error}", printable_path(&path)))?;
        for (file, expectation) in &files {
            if let Some(unknown) = expectation.fails.keys().find(|name| *name != UNEXPLAINED && !reasons.has(name)) {
                return Err(format!(
                    "`{}` names a reason `{unknown}` for `{file}` that is none",
                    printable_path(&path)
                ));
            }
        }
        Ok(Self { files })
    }

    /// The text that [`Expected::read`] reads.
    pub fn to_text(&self) -> String {
        let mut text = String::from(
            "# How each file of the suite ends in the sandbox: how many methods pass there and natively, and those that do not pass,\n\
             # by reason (reasons.toml). Written by `pynbox-build check --update`.\n",
        );
        for (file, expectation) in &self.files {
            // A file in a folder has a dot in its name, which would be a table in a table.
            let quoted = if file.contains('.') { format!("\"{file}\"") } else { file.clone() };
            let _ = write!(text, "\n[{quoted}]\npassed = {}\nnative = {}\n", expectation.passed, expectation.native);
            for (reason, methods) in &expectation.fails {
                let _ = write!(text, "fails.{reason} = [");
                let mut column = usize::MAX;
                for method in methods {
                    let quoted = toml::Value::String(method.clone()).to_string();
                    if column.saturating_add(quoted.len() + 2) > 140 {
                        text.push_str("\n   ");
                        column = 3;
                    }
                    let _ = write!(text, " {quoted},");
                    column += quoted.len() + 2;
                }
                text.push_str("\n]\n");
            }
        }
        text
    }

    /// What is different in the result of a file.
    pub fn differences(&self, file: &str, result: &FileResult) -> Vec<Difference> {
        let difference =
            |method: &str, what: String| Difference { file: file.to_owned(), method: method.to_owned(), what };
        let Some(expectation) = self.files.get(file) else {
            return vec![difference(FILE, "nothing is expected of it yet".to_owned())];
        };
        let mut differences = Vec::new();
        for method in expectation.fails.get(UNEXPLAINED).into_iter().flatten() {
            differences.push(difference(method, "it is expected to fail, but nobody says why".to_owned()));
        }
        let listed: BTreeSet<&str> = expectation.fails.values().flatten().map(String::as_str).collect();
        let is_listed = |name: &str| listed.contains(name) || groups(name).any(|group| listed.contains(group.as_str()));
        for (name, outcome) in &result.methods {
            match (outcome, is_listed(name)) {
                (Outcome::Passed, true) => differences.push(difference(name, "unexpected pass".to_owned())),
                (Outcome::Failed(why), false) => {
                    differences.push(difference(name, format!("unexpected failure: {why}")));
                }
                (Outcome::Skipped(why), false) => differences.push(difference(name, format!("unexpected skip: {why}"))),
                _ => {}
            }
        }
        let passed = result.passed();
        if passed != expectation.passed && differences.is_empty() {
            differences.push(difference(FILE, format!("{passed} methods passed, expected {}", expectation.passed)));
        }
        differences
    }
}

impl Expectation {
    /// What to expect of a file that ended so in the sandbox and natively.
    pub fn of(file: &str, sandbox: &FileResult, native: &FileResult, reasons: &Reasons) -> Self {
        let mut fails: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, message) in sandbox.others() {
            let reason = match (&sandbox.methods[name], native.methods.get(name)) {
                (_, Some(Outcome::Failed(_))) | (Outcome::Skipped(_), Some(Outcome::Skipped(_))) => NATIVE,
                _ => reasons.of(file, name, message),
            };
            fails.entry(reason.to_owned()).or_default().insert(name.to_owned());
        }
        // A file or class that did not start says so itself; what else is missing needs a reason of
        // its own.
        let whole = sandbox.methods.keys().any(|name| name == FILE || name.contains("setUpModule"));
        for (name, outcome) in &native.methods {
            let class_failed = class(name).is_some_and(|all| {
                sandbox.methods.contains_key(&format!("setUpClass ({})", all.trim_end_matches(".*")))
            });
            if *outcome == Outcome::Passed && !sandbox.methods.contains_key(name) && !whole && !class_failed {
                fails.entry(reasons.of(file, name, "not there").to_owned()).or_default().insert(name.clone());
            }
        }
        let fails = fails.iter().map(|(reason, names)| (reason.clone(), shorten(names, sandbox))).collect();
        Self { passed: sandbox.passed(), native: native.passed(), fails }
    }

    /// How many methods each reason stops.
    pub fn stopped(&self) -> usize {
        self.native.saturating_sub(self.passed)
    }
}

/// `Class.*` for the name of a method.
fn class(name: &str) -> Option<String> {
    // Parameters have dots of their own.
    let (class, method) = split_parameters(name).map_or(name, |(method, _)| method).rsplit_once('.')?;
    (!class.contains(' ') && !class.contains('/') && !method.contains(')')).then(|| format!("{class}.*"))
}

/// The name and the parameters of a method that has some: `method[parameters]`, without a space
/// between them.
fn split_parameters(name: &str) -> Option<(&str, &str)> {
    let (method, parameters) = name.strip_suffix(']')?.split_once('[')?;
    (!method.contains(' ')).then_some((method, parameters))
}

/// What may stand for a method and others, the most of them first.
fn groups(name: &str) -> impl Iterator<Item = String> {
    class(name).into_iter().chain(split_parameters(name).map(|(method, _)| format!("{method}[*]")))
}

/// Takes the names of a group together, if they are all that the group has and more than one.
fn shorten(names: &BTreeSet<String>, result: &FileResult) -> Vec<String> {
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    names.iter().flat_map(|name| groups(name)).for_each(|group| *named.entry(group).or_default() += 1);
    let others = result.methods.keys().filter(|name| !names.contains(*name));
    let mixed: BTreeSet<String> = others.flat_map(|name| groups(name)).collect();
    let is_whole = |group: &String| named.get(group).is_some_and(|count| *count > 1) && !mixed.contains(group);
    let short: BTreeSet<_> =
        names.iter().map(|name| groups(name).find(is_whole).unwrap_or_else(|| name.clone())).collect();
    short.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::results::End;
    use super::*;

    fn result(lines: &str) -> FileResult {
        FileResult::read(&format!("{}\nend\n", lines.replace(' ', "\t")), &End::Status(String::new()))
    }

    fn reasons() -> Reasons {
        toml::from_str("[[reason]]\nname = \"programs\"\nmeaning = \"\"\nsigns = [\"fork\", \"not there\"]\n").unwrap()
    }

    #[test]
    fn everything_that_is_not_as_expected_is_told() {
        let sandbox = result("pass A.a\nerror A.b fork\nskip B.a fork\nskip B.b fork\nfail C.c bad\nfail C.d what");
        let native = result("pass A.a\npass A.b\npass B.a\npass B.b\nfail C.c bad\npass C.d\npass D.d");
        let expectation = Expectation::of("test_x", &sandbox, &native, &reasons());
        assert_eq!(expectation.passed, 1);
        assert_eq!(expectation.native, 6);
        assert_eq!(expectation.fails["programs"], ["A.b", "B.*", "D.d"]);
        assert_eq!(expectation.fails[NATIVE], ["C.c"]);
        assert_eq!(expectation.fails[UNEXPLAINED], ["C.d"]);

        let mut expected = Expected::default();
        expected.files.insert("test_x".to_owned(), expectation);
        let what = |lines| {
            let differences = expected.differences("test_x", &result(lines));
            differences.into_iter().map(|d| format!("{}: {}", d.method, d.what)).collect::<Vec<_>>()
        };
        let unexplained = "C.d: it is expected to fail, but nobody says why".to_owned();
        let same = "pass A.a\nerror A.b fork\nskip B.a fork\nskip B.b fork\nfail C.c bad\nfail C.d what";
        assert_eq!(what(same), [unexplained.as_str()]);
        let other = "pass A.a\npass A.b\npass B.a\nfail E.e new\nskip E.f no";
        let told = [
            "A.b: unexpected pass",
            "B.a: unexpected pass",
            "E.e: unexpected failure: new",
            "E.f: unexpected skip: no",
        ];
        assert_eq!(what(other), [&[unexplained.as_str()], &told[..]].concat());

        expected.files.get_mut("test_x").unwrap().fails.remove(UNEXPLAINED);
        let differences = expected.differences("test_x", &result("error A.b fork"));
        assert_eq!(differences[0].what, "0 methods passed, expected 1");
        assert_eq!(expected.differences("test_y", &sandbox)[0].what, "nothing is expected of it yet");
    }

    #[test]
    fn methods_with_parameters_are_taken_together() {
        let sandbox = result(
            "pass A.a[1.5-x]\nerror A.a[2.5-x] fork\nerror A.b[1.5] fork\nerror A.b[2.5] fork\n\
             error B.a[1.5] fork\nerror B.b fork\nerror f[x] fork\nerror f[y] fork\nerror g[x] fork",
        );
        let native = result("pass A.a[2.5-x]\npass f[x]\npass g[x]\npass g[y]");
        let expectation = Expectation::of("test_x", &sandbox, &native, &reasons());
        assert_eq!(expectation.fails["programs"], ["A.a[2.5-x]", "A.b[*]", "B.*", "f[*]", "g[*]"]);
        let mut expected = Expected::default();
        expected.files.insert("test_x".to_owned(), expectation);
        assert_eq!(expected.differences("test_x", &sandbox), []);
        let differences = expected.differences("test_x", &result("pass A.b[1.5]\nerror A.a[3.5-x] new"));
        let what: Vec<_> = differences.iter().map(|d| format!("{}: {}", d.method, d.what)).collect();
        assert_eq!(what, ["A.a[3.5-x]: unexpected failure: new", "A.b[1.5]: unexpected pass"]);
    }

    #[test]
    fn what_is_written_is_read() {
        let sandbox = result("pass A.a\nerror A.b fork\nerror doctest\\x22q fork");
        let native = result("pass A.a\npass A.b");
        let mut expected = Expected::default();
        expected.files.insert("test_x".to_owned(), Expectation::of("test_x", &sandbox, &native, &reasons()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::fs::write(&path, expected.to_text()).unwrap();
        assert_eq!(Expected::read(&path, &reasons()).unwrap(), expected);
        assert!(Expected::read(&path, &Reasons::default()).unwrap_err().contains("`programs`"));
    }
}
