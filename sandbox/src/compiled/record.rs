//! The text files of the store.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::image::Image;
use crate::vfs::{FileStat, GuestPath, Seen};

/// What tells one state of a file from another without reading it. The device is left out: its
/// number may change with each boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Inode number.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub mtime: i64,
    /// Last change of the inode, nanoseconds since 1970; no program can set it.
    pub ctime: i64,
}

impl Identity {
    /// The identity of the file that `stat` describes.
    pub fn of(stat: &FileStat) -> Self {
        Self { ino: stat.ino, size: stat.size, mtime: stat.mtime, ctime: stat.ctime }
    }

    pub(super) fn text(&self) -> String {
        format!("{} {} {} {}", self.ino, self.size, self.mtime, self.ctime)
    }

    pub(super) fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        Some(Self {
            ino: words.next()?.parse().ok()?,
            size: words.next()?.parse().ok()?,
            mtime: words.next()?.parse().ok()?,
            ctime: words.next()?.parse().ok()?,
        })
    }
}

/// A file of the store: compiled code, or what a library's bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Which file it is.
    pub identity: Identity,
    /// Its blake3, in hexadecimal.
    pub digest: String,
}

/// A line of a module's custom section `pynbox.snapshot`: when its snapshot must not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `cold-env PREFIX`: a variable of the guest's environment begins so.
    ColdEnv(String),
    /// `cold-arg -X`: a leading option holds the letter X; or, for a longer text, begins with it.
    ColdArg(String),
    /// `end-arg -X`: the option letter X ends the leading options; what follows it is not looked
    /// at.
    EndArg(String),
}

impl Rule {
    /// Reads one line.
    pub fn parse(line: &str) -> Option<Self> {
        let (word, value) = line.split_once(' ')?;
        let value = value.trim().to_owned();
        let is_option = value.len() >= 2 && value.starts_with('-');
        match word {
            "cold-env" if !value.is_empty() => Some(Rule::ColdEnv(value)),
            "cold-arg" if is_option => Some(Rule::ColdArg(value)),
            "end-arg" if is_option => Some(Rule::EndArg(value)),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Rule::ColdEnv(v) => format!("cold-env {v}"),
            Rule::ColdArg(v) => format!("cold-arg {v}"),
            Rule::EndArg(v) => format!("end-arg {v}"),
        }
    }
}

/// Whether these rules ask for a start without the snapshot. `args` is without `argv[0]`.
pub fn leads_to_cold(rules: &[Rule], args: &[Vec<u8>], env: &[Vec<u8>]) -> bool {
    let env_is_cold = |rule: &Rule| matches!(rule, Rule::ColdEnv(p) if env.iter().any(|e| e.starts_with(p.as_bytes())));
    if rules.iter().any(env_is_cold) {
        return true;
    }
    for arg in args {
        if arg.len() < 2 || arg[0] != b'-' || arg == b"--" {
            return false;
        }
        let long = |rule: &Rule| matches!(rule, Rule::ColdArg(t) if t.len() > 2 && arg.starts_with(t.as_bytes()));
        if rules.iter().any(long) {
            return true;
        }
        for letter in &arg[1..] {
            for rule in rules {
                match rule {
                    Rule::ColdArg(t) if t.as_bytes() == [b'-', *letter] => return true,
                    Rule::EndArg(t) if t.as_bytes() == [b'-', *letter] => return false,
                    _ => {}
                }
            }
        }
    }
    false
}

/// What the store knows of one module.
///
/// The text form has one fact a line, the first word saying which: `pynbox-compiled 1`, `code
/// IDENTITY DIGEST`, for a library `side IDENTITY DIGEST`, for a program `table IDENTITY DIGEST`,
/// for native code `runtime IDENTITY DIGEST`, and for a snapshot `warm IDENTITY DIGEST`, `image
/// OFFSET START LENGTH PAGES MOST GLOBAL…`, the rules, `times MTIME CTIME` for a directory, and
/// one line for each path that was seen (its name last; a backslash is doubled, a byte that is not
/// printable ASCII is a backslash and two hexadecimal digits).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The module's code.
    pub code: Option<Code>,
    /// The snapshot's code.
    pub warm: Option<Code>,
    /// Where the snapshot's memory lies in that file, and its globals.
    pub image: Option<Image>,
    /// What a library's bytes say ([`crate::linking::SideModule`]).
    pub side: Option<Code>,
    /// Where a program has its functions in its table ([`crate::linking::TableIndex`]).
    pub table: Option<Code>,
    /// The runtime that native code is linked with.
    pub runtime: Option<Code>,
    /// When not to use the snapshot.
    pub rules: Vec<Rule>,
    /// What the initialisation saw of the mount at "/".
    pub seen: BTreeMap<GuestPath, Seen>,
    /// The times of directories in which it missed names ([`crate::snapshot::DirectoryTimes`]).
    pub times: BTreeMap<GuestPath, (i64, i64)>,
}

/// A record that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is not understood")]
pub struct ParseError(pub usize);

const HEADER: &str = "pynbox-compiled 1";

impl Record {
    /// The record as text.
    pub fn text(&self) -> String {
        let mut out = format!("{HEADER}\n");
        let files = [
            ("code", &self.code),
            ("warm", &self.warm),
            ("side", &self.side),
            ("table", &self.table),
            ("runtime", &self.runtime),
        ];
        for (word, code) in files {
            if let Some(Code { identity, digest }) = code {
                let _ = writeln!(out, "{word} {} {digest}", identity.text());
            }
        }
        if let Some(image) = &self.image {
            let _ = writeln!(out, "image {}", image.text());
        }
        for rule in &self.rules {
            let _ = writeln!(out, "{}", rule.text());
        }
        for (path, (mtime, ctime)) in &self.times {
            let _ = write!(out, "times {mtime} {ctime} ");
            escape(path.as_relative(), &mut out);
            out.push('\n');
        }
        for (path, seen) in &self.seen {
            let _ = match seen {
                Seen::Absent => write!(out, "absent "),
                Seen::Directory { ino, mode } => write!(out, "dir {ino} {mode} "),
                Seen::Exact { ino, mode, size, mtime, ctime } => {
                    write!(out, "exact {ino} {mode} {size} {mtime} {ctime} ")
                }
            };
            escape(path.as_relative(), &mut out);
            out.push('\n');
        }
        out
    }

    /// Reads what [`Record::text`] wrote.
    ///
    /// # Errors
    ///
    /// [`ParseError`] with the number of the line.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, l)| l) != Some(HEADER) {
            return Err(ParseError(1));
        }
        let mut record = Self::default();
        for (number, line) in lines {
            record.take(line).ok_or(ParseError(number + 1))?;
        }
        Ok(record)
    }

    /// The file that lines with this word describe.
    fn kept(&mut self, word: &str) -> Option<&mut Option<Code>> {
        match word {
            "code" => Some(&mut self.code),
            "warm" => Some(&mut self.warm),
            "side" => Some(&mut self.side),
            "table" => Some(&mut self.table),
            "runtime" => Some(&mut self.runtime),
            _ => None,
        }
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(' ')?;
        let fields = |count| rest.splitn(count, ' ');
        if let Some(kept) = self.kept(word) {
            let mut words = fields(5);
            let identity = Identity::parse(&mut words)?;
            let digest = words.next().filter(|word| is_digest(word))?.to_owned();
            *kept = Some(Code { identity, digest });
            return Some(());
        }
        match word {
            "image" => self.image = Some(Image::parse(rest)?),
            "times" => {
                let mut words = fields(3);
                let times = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                self.times.insert(unescape(words.next()?)?, times);
            }
            "absent" => {
                self.seen.insert(unescape(rest)?, Seen::Absent);
            }
            "dir" => {
                let mut words = fields(3);
                let (ino, mode) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                self.seen.insert(unescape(words.next()?)?, Seen::Directory { ino, mode });
            }
            "exact" => {
                let mut words = fields(6);
                let ino = words.next()?.parse().ok()?;
                let mode = words.next()?.parse().ok()?;
                let size = words.next()?.parse().ok()?;
                let mtime = words.next()?.parse().ok()?;
                let ctime = words.next()?.parse().ok()?;
                self.seen.insert(unescape(words.next()?)?, Seen::Exact { ino, mode, size, mtime, ctime });
            }
            _ => self.rules.push(Rule::parse(line)?),
        }
        Some(())
    }
}

/// Whether this is a blake3 as the store writes it.
fn is_digest(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A path as the text files hold it.
pub(super) fn escaped(path: &GuestPath) -> String {
    let mut out = String::new();
    escape(path.as_relative(), &mut out);
    out
}

/// Names are bytes; the text is ASCII.
fn escape(name: &[u8], out: &mut String) {
    for &byte in name {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:02x}");
            }
        }
    }
}

fn unescape(text: &str) -> Option<GuestPath> {
    let mut name = Vec::with_capacity(text.len() + 1);
    name.push(b'/');
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next()? {
                b'\\' => name.push(b'\\'),
                high => {
                    let digit = |b: u8| char::from(b).to_digit(16);
                    name.push(u8::try_from(digit(high)? * 16 + digit(bytes.next()?)?).ok()?);
                }
            },
            byte => name.push(byte),
        }
    }
    GuestPath::parse_absolute(&name)
}

#[cfg(test)]
mod tests {
    use super::super::image::Global;
    use super::*;

    #[test]
    fn records_survive_being_written() {
        let path = |p: &[u8]| GuestPath::parse_absolute(p).unwrap();
        let identity = Identity { ino: 1, size: 2, mtime: -3, ctime: 4 };
        let record = Record {
            code: Some(Code { identity, digest: "ab".repeat(32) }),
            warm: Some(Code { identity, digest: "cd".repeat(32) }),
            image: Some(Image {
                offset: 8192,
                start: 4096,
                length: 4096,
                pages: 1,
                most: 2,
                globals: vec![Global { size: 4, value: 7 }, Global { size: 8, value: u64::MAX }],
            }),
            side: Some(Code { identity, digest: "ef".repeat(32) }),
            table: Some(Code { identity, digest: "01".repeat(32) }),
            runtime: Some(Code { identity, digest: "23".repeat(32) }),
            rules: vec![Rule::ColdEnv("PYTHON".into()), Rule::ColdArg("-E".into()), Rule::EndArg("-c".into())],
            seen: BTreeMap::from([
                (GuestPath::root(), Seen::Directory { ino: 1, mode: 0o40755 }),
                (path(b"/with space/\n\\\xff"), Seen::Absent),
                (path(b"/f"), Seen::Exact { ino: 1, mode: 2, size: 3, mtime: 4, ctime: 5 }),
            ]),
            times: BTreeMap::from([(GuestPath::root(), (-1, 2)), (path(b"/with space"), (3, 4))]),
        };
        assert_eq!(Record::parse(&record.text()), Ok(record));
    }

    #[test]
    fn damaged_records_are_refused() {
        assert_eq!(Record::parse(""), Err(ParseError(1)));
        assert_eq!(Record::parse("pynbox-compiled 2\n"), Err(ParseError(1)));
        assert_eq!(Record::parse("pynbox-compiled 1\ncode 1 2 3\n"), Err(ParseError(2)));
        let digest = "ab".repeat(32);
        let code = |digest: &str| Record::parse(&format!("pynbox-compiled 1\ncode 1 2 3 4 {digest}\n"));
        assert!(code(&digest).is_ok());
        for wrong in ["", "ab", &digest.to_uppercase(), &format!("{digest} x")] {
            assert_eq!(code(wrong), Err(ParseError(2)), "{wrong:?}");
        }
        let image = |text: &str| Record::parse(&format!("pynbox-compiled 1\nimage {text}\n"));
        assert!(image("4096 0 65536 1 1 4:0").is_ok());
        for wrong in ["", "4096 0 65536 1", "4096 0 131072 1 1", "4096 0 65536 2 1", "1 0 65536 1 1", "0 0 0 1 1 4"] {
            assert_eq!(image(wrong), Err(ParseError(2)), "{wrong:?}");
        }
        assert_eq!(Record::parse("pynbox-compiled 1\nabsent a\\x\n"), Err(ParseError(2)));
        assert_eq!(Record::parse("pynbox-compiled 1\nabsent ../x\n"), Err(ParseError(2)));
        assert_eq!(Record::parse("pynbox-compiled 1\nwhat is this\n"), Err(ParseError(2)));
    }

    #[test]
    fn rules_look_at_leading_options_alone() {
        let rules: Vec<Rule> =
            ["cold-env PYTHON", "cold-arg -E", "cold-arg -S", "end-arg -c", "end-arg -m", "cold-arg --version"]
                .iter()
                .map(|line| Rule::parse(line).unwrap())
                .collect();
        let cold = |args: &str, env: &str| {
            let split = |text: &str| text.split_whitespace().map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>();
            leads_to_cold(&rules, &split(args), &split(env))
        };
        assert!(!cold("", "") && !cold("-c pass -E", "") && !cold("script.py -E", "") && !cold("-u -c -E", ""));
        assert!(!cold("-cE", "") && !cold("-- -E", "") && !cold("- -E", "") && !cold("", "PATH=/PYTHON"));
        assert!(cold("-E", "") && cold("-uE -c x", "") && cold("-u -S", "") && cold("--version", ""));
        assert!(cold("", "PYTHONPATH=/x"));
        assert_eq!(Rule::parse("cold-arg x"), None);
        assert_eq!(Rule::parse("warm-env X"), None);
    }
}
