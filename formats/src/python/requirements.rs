//! Files of requirements that pin every file by its hash, as `pip-compile --generate-hashes`, `uv
//! export` and `uv pip compile --generate-hashes` write them.
//!
//! What changes which files are installed, or from where, and is not done here (`-e`, URLs, paths,
//! `-c`, an index), is a problem of its line. Nothing is passed over in silence.

use std::fmt;

use build_graph::Sha256;
use build_graph::untrusted::printable;
use pep440_rs::Version;

use super::requirement::{Requirement, Wanted};

/// The longest file that is read, in bytes.
pub const MAX_FILE: u64 = 16 << 20;
/// The most problems that are told of one file.
const MAX_PROBLEMS: usize = 20;

/// A line that asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number; of several that are joined, the first one's.
    pub number: usize,
    /// What it says.
    pub item: Item,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A requirement with the hashes of its files.
    Pinned(Pinned),
    /// `-r FILE`: this file's lines belong here, too. The path is as it is written.
    Include(String),
    /// An option that says where files are, by its name: here, pip's own settings say that.
    Index(String),
}

/// A requirement with the hashes of the files that may fulfil it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The requirement.
    pub requirement: Requirement,
    /// The SHA-256 sums of the files, in the order of the line.
    pub hashes: Vec<Sha256>,
}

impl Pinned {
    /// The version that is pinned.
    ///
    /// # Errors
    /// What is missing, if there is no version or no hash.
    pub fn version(&self) -> Result<&Version, String> {
        let project = &self.requirement.project;
        if let Wanted::Url(_) = self.requirement.what {
            return Err(format!("`{project}` is at a URL: name a version that the index has, as `{project}==VERSION`"));
        }
        let Some(version) = self.requirement.pinned() else {
            return Err(format!(
                "`{}` leaves a choice of versions: pin one, as `{project}==VERSION`",
                self.requirement
            ));
        };
        if self.hashes.is_empty() {
            return Err(format!(
                "`{}` has no `--hash=sha256:…`: have `uv pip compile --generate-hashes` or `pip-compile --generate-hashes` \
                 write the file",
                self.requirement
            ));
        }
        Ok(version)
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line's number.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, printable(&self.message))
    }
}

/// Reads a file.
///
/// # Errors
/// The problems of its lines, the first twenty.
pub fn parse(text: &str) -> Result<Vec<Line>, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut lines, mut problems) = (Vec::new(), Vec::new());
    for (number, line) in joined(text) {
        match item(&line) {
            Ok(Some(item)) => lines.push(Line { number, item }),
            Ok(None) => {}
            Err(message) => problems.push(Problem { line: number, message }),
        }
        if problems.len() == MAX_PROBLEMS {
            break;
        }
    }
    if problems.is_empty() { Ok(lines) } else { Err(problems) }
}

/// The lines without comments, with those joined that end in a backslash; each with the number of
/// its first line.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let is_comment = line.trim_start().starts_with('#');
        // A comment ends what goes on, as in pip.
        let (line, goes_on) = match line.strip_suffix('\\') {
            Some(line) if !is_comment => (line, true),
            _ => (without_comment(line), false),
        };
        let (number, mut whole) = open.take().unwrap_or((at + 1, String::new()));
        if !whole.is_empty() {
            whole.push(' ');
        }
        whole.push_str(line.trim());
        match goes_on {
            true => open = Some((number, whole)),
            false => lines.push((number, whole)),
        }
    }
    lines.extend(open);
    lines.retain(|(_, line)| !line.trim().is_empty());
    lines
}

/// A comment begins with `#`, at the beginning or after a blank.
fn without_comment(line: &str) -> &str {
    let begins = |at: &usize| line[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let comment = line.match_indices('#').map(|(at, _)| at).find(begins);
    line[..comment.unwrap_or(line.len())].trim_end()
}

fn item(line: &str) -> Result<Option<Item>, String> {
    let line = without_comment(line).trim();
    if line.is_empty() {
        return Ok(None);
    }
    if line.contains("${") {
        return Err("variables of the environment are not replaced: write what is meant".to_owned());
    }
    if line.starts_with('-') {
        return option(line);
    }
    let options = options_begin(line);
    let (requirement, options) = line.split_at(options);
    if is_path(requirement) {
        return Err(format!(
            "`{}` is a file or a URL: name the project with a version that the index has",
            printable(requirement)
        ));
    }
    let requirement: Requirement = requirement.trim().parse().map_err(|error| format!("{error}"))?;
    let hashes = hashes(options)?;
    Ok(Some(Item::Pinned(Pinned { requirement, hashes })))
}

/// Where the options of a requirement begin: at the first word with a leading `-`.
fn options_begin(line: &str) -> usize {
    let mut after_blank = line.match_indices(char::is_whitespace).map(|(at, blank)| at + blank.len());
    after_blank.find(|at| line[*at..].starts_with('-')).unwrap_or(line.len())
}

fn is_path(requirement: &str) -> bool {
    let word = requirement.split([' ', ';']).next().unwrap_or_default();
    let beginning = requirement.split('@').next().unwrap_or_default();
    word.starts_with(['.', '/', '~'])
        || beginning.contains("://")
        || word.ends_with(".whl")
        || word.ends_with(".tar.gz")
}

fn hashes(options: &str) -> Result<Vec<Sha256>, String> {
    let mut hashes = Vec::new();
    let mut others = Vec::new();
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let hash = match word.strip_prefix("--hash") {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        let Some((algorithm, sum)) = hash.and_then(|hash| hash.split_once(':')) else {
            return Err(format!(
                "`{}` is no option of a requirement; `--hash=sha256:…` is the only one",
                printable(word)
            ));
        };
        if algorithm != "sha256" {
            others.push(algorithm);
            continue;
        }
        let sum = sum.parse().map_err(|_| format!("`{}` is no SHA-256 sum", printable(sum)))?;
        if !hashes.contains(&sum) {
            hashes.push(sum);
        }
    }
    match (hashes.is_empty(), others.first()) {
        (true, Some(algorithm)) => Err(format!(
            "it has hashes by `{}` alone, and only SHA-256 is compared: have the file written with `sha256`",
            printable(algorithm)
        )),
        _ => Ok(hashes),
    }
}

/// An option that stands alone.
fn option(line: &str) -> Result<Option<Item>, String> {
    let end = line.find(|char: char| char.is_whitespace() || char == '=').unwrap_or(line.len());
    let (name, value) = line.split_at(end);
    let value = value.trim_start_matches(|char: char| char.is_whitespace() || char == '=').trim();
    // `-rFILE`
    let (name, value) = match name.strip_prefix("-r").filter(|rest| !rest.is_empty()) {
        Some(rest) => ("-r", rest),
        None => (name, value),
    };
    let unknown = |what: &str| Err(format!("`{}` {what}", printable(name)));
    match name {
        "-r" | "--requirement" if value.is_empty() => unknown("names no file"),
        "-r" | "--requirement" => Ok(Some(Item::Include(value.to_owned()))),
        "-i" | "--index-url" | "--extra-index-url" | "--trusted-host" => Ok(Some(Item::Index(name.to_owned()))),
        // So it is here in any case.
        "--require-hashes" | "--only-binary" | "--prefer-binary" => Ok(None),
        "-c" | "--constraint" => unknown("chooses among versions, and every line names one already: leave it out"),
        "-e" | "--editable" => {
            unknown("installs a folder of sources: build a wheel of it and publish it in your index, or write a recipe")
        }
        "-f" | "--find-links" | "--no-index" => unknown(
            "is not known here: wheels come from the index of pip's settings, or of `pypi-index` in pynbox.toml",
        ),
        "--no-binary" => unknown("asks for source distributions, and only wheels are installed: leave it out"),
        "--pre" => unknown("chooses among versions, and every line names one already: leave it out"),
        _ => unknown("is no option that a file of requirements can have here: leave it out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn shown(text: &str) -> Vec<String> {
        let lines = parse(text).unwrap_or_else(|problems| panic!("{problems:?}"));
        let show = |line: Line| match line.item {
            Item::Pinned(pinned) => {
                let version = pinned.version().map(ToString::to_string);
                format!("{} {} {:?} {}", line.number, pinned.requirement, version.ok(), pinned.hashes.len())
            }
            Item::Include(file) => format!("{} -r {file}", line.number),
            Item::Index(name) => format!("{} {name}", line.number),
        };
        lines.into_iter().map(show).collect()
    }

    /// As `uv pip compile --generate-hashes` writes it.
    #[test]
    fn a_file_as_uv_writes_it() {
        let text = format!(
            "# This file was autogenerated by uv via the following command:\n\
             #    uv export\n\
             --index-url https://example.org/simple\n\n\
             jinja2==3.1.6 \\\n    --hash=sha256:{SUM} \\\n    --hash=sha256:{}\n    # via -r requirements.in\n\
             colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:{SUM}\n    # via pytest\n\
             requests[socks]==2.32.0 --hash=sha256:{SUM} # a comment\n-r more.txt\n\
             --require-hashes\n",
            SUM.replace('0', "1")
        );
        assert_eq!(
            shown(&text),
            [
                "3 --index-url",
                "5 jinja2==3.1.6 Some(\"3.1.6\") 2",
                "9 colorama==0.4.6 Some(\"0.4.6\") 1",
                "12 requests[socks]==2.32.0 Some(\"2.32.0\") 1",
                "13 -r more.txt"
            ]
        );
    }

    #[test]
    fn what_pip_reads_is_read() {
        assert_eq!(shown("\u{feff}a==1\r\nb==2 # x\r\n   \r\n#c==3"), ["1 a==1 None 0", "2 b==2 None 0"]);
        assert_eq!(
            shown("a==1 --hash sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef").len(),
            1
        );
        assert_eq!(shown("-rx.txt\n--requirement=y.txt\n-r z.txt"), ["1 -r x.txt", "2 -r y.txt", "3 -r z.txt"]);
        assert_eq!(
            shown(&format!("a==1 --hash=md5:00 --hash=sha256:{SUM} --hash=sha256:{SUM}")),
            ["1 a==1 Some(\"1\") 1"]
        );
        assert_eq!(shown("a==1\\"), ["1 a==1 None 0"]);
    }

    #[test]
    fn what_is_not_done_is_said() {
        for (line, said) in [
            ("-e .", "`-e` installs a folder"),
            ("-c constraints.txt", "`-c` chooses among versions"),
            ("--find-links=/x", "`--find-links` is not known here"),
            ("--no-binary :all:", "`--no-binary` asks for source"),
            ("-r", "names no file"),
            ("--frobnicate", "is no option"),
            ("./a", "is a file or a URL"),
            ("https://example.org/a-1-py3-none-any.whl", "is a file or a URL"),
            ("a-1-py3-none-any.whl", "is a file or a URL"),
            ("git+ssh://example.org/a", "is a file or a URL"),
            ("a==${VERSION}", "variables"),
            ("a==1 --global-option=x", "is no option of a requirement"),
            ("a==1 --hash=sha256:zz", "is no SHA-256"),
            ("a==1 --hash=sha512:00", "by `sha512` alone"),
            ("a==1; kernel == 'x'", "is no variable"),
            ("a b", "says no versions"),
        ] {
            let problems = parse(line).expect_err(line);
            assert!(problems.len() == 1 && problems[0].to_string().contains(said), "{line}: {problems:?}");
        }
        let not_pinned = |line: &str| match &parse(line).unwrap()[0].item {
            Item::Pinned(pinned) => pinned.version().unwrap_err(),
            other => panic!("{other:?}"),
        };
        assert!(not_pinned("a>=1").contains("choice of versions"));
        assert!(not_pinned("a==1").contains("--hash"));
        assert!(not_pinned("a @ https://example.org/a.whl").contains("at a URL"));
        assert_eq!(parse(&"x y\n".repeat(100)).unwrap_err().len(), MAX_PROBLEMS);
    }
}
