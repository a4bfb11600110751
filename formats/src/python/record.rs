//! `RECORD`: the list of a wheel's files with their hashes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use build_graph::untrusted::printable;
use build_graph::{RelPath, Tree};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::Unreadable;

/// What a wheel says of one of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The algorithm and the sum; `None` for the list itself and its signatures.
    pub sum: Option<Sum>,
    /// The length in bytes, if it says so.
    pub size: Option<u64>,
}

/// A hash by one of the algorithms that a wheel may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Sum {
    /// Begins to hash what it is a sum of.
    pub fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha384 => Hasher::Sha384(Sha384::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }

    /// Whether it is the sum of what was hashed.
    pub fn is(&self, hasher: Hasher) -> bool {
        let found = match hasher {
            Hasher::Sha256(hasher) => hasher.finalize().to_vec(),
            Hasher::Sha384(hasher) => hasher.finalize().to_vec(),
            Hasher::Sha512(hasher) => hasher.finalize().to_vec(),
        };
        found == self.bytes
    }

    fn parse(text: &str) -> Result<Self, Unreadable> {
        let weak = || Unreadable::new(format!("`{}` is no hash by SHA-256, SHA-384 or SHA-512", printable(text)));
        let (name, encoded) = text.split_once('=').ok_or_else(weak)?;
        let (algorithm, length) = match name {
            "sha256" => (Algorithm::Sha256, 32),
            "sha384" => (Algorithm::Sha384, 48),
            "sha512" => (Algorithm::Sha512, 64),
            _ => return Err(weak()),
        };
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok().filter(|bytes| bytes.len() == length).ok_or_else(weak)?;
        Ok(Self { algorithm, bytes })
    }
}

/// A hash in the making.
pub enum Hasher {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-384.
    Sha384(Sha384),
    /// SHA-512.
    Sha512(Sha512),
}

impl Hasher {
    /// Takes further bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }
}

/// Reads a list: each file by its path.
///
/// # Errors
/// [`Unreadable`] if a row is malformed, a hash is weak, or a file is listed twice.
pub fn parse(bytes: &[u8]) -> Result<BTreeMap<RelPath, Row>, Unreadable> {
    let mut rows = BTreeMap::new();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    for record in reader.records() {
        let record = record.map_err(|error| Unreadable::new(error.to_string()))?;
        let fields: Vec<&str> = record.iter().collect();
        let [path, sum, size] = fields[..] else {
            return Err(Unreadable::new(format!("a row has {} fields in place of three", fields.len())));
        };
        let path = RelPath::new(path).map_err(|error| Unreadable::new(error.to_string()))?;
        let sum = if sum.is_empty() { None } else { Some(Sum::parse(sum)?) };
        let size = match size {
            "" => None,
            size => Some(size.parse().map_err(|_| Unreadable::new(format!("`{}` is no size", printable(size))))?),
        };
        if rows.insert(path.clone(), Row { sum, size }).is_some() {
            return Err(Unreadable::new(format!("`{}` is listed twice", printable(path.as_str()))));
        }
    }
    Ok(rows)
}

/// Writes the list of what is installed, by paths from `site`; `sums` has the SHA-256 and the
/// length of every file. The list itself is at `own`.
pub fn write(tree: &Tree, site: &RelPath, own: &RelPath, sums: &BTreeMap<RelPath, ([u8; 32], u64)>) -> String {
    let up = "../".repeat(site.as_str().split('/').count());
    let mut text = String::new();
    for (path, _) in tree.iter() {
        let Some((sum, size)) = sums.get(path) else { continue };
        let name = match path.strip_prefix(site) {
            Some(below) => below.to_string(),
            None => format!("{up}{path}"),
        };
        let _ = writeln!(text, "{},sha256={},{size}", quoted(&name), URL_SAFE_NO_PAD.encode(sum));
    }
    let own = own.strip_prefix(site).map_or_else(|| own.to_string(), |below| below.to_string());
    let _ = writeln!(text, "{},,", quoted(&own));
    text
}

/// A field of a row, as Python's `csv` writes it.
fn quoted(field: &str) -> String {
    match field.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let sum = URL_SAFE_NO_PAD.encode(Sha256::digest(b"x"));
        let text = format!("a.py,sha256={sum},1\r\n\"b,\"\"c\"\".py\",sha256={sum},\na-1.dist-info/RECORD,,\n");
        let rows = parse(text.as_bytes()).unwrap();
        assert_eq!(
            rows.keys().map(RelPath::as_str).collect::<Vec<_>>(),
            ["a-1.dist-info/RECORD", "a.py", "b,\"c\".py"]
        );
        let row = &rows["a.py"];
        let sum_of = |bytes: &[u8]| {
            let sum = row.sum.as_ref().unwrap();
            let mut hasher = sum.hasher();
            hasher.update(bytes);
            sum.is(hasher)
        };
        assert!(sum_of(b"x") && !sum_of(b"y"));
        assert_eq!(row.size, Some(1));
    }

    #[test]
    fn malformed_rows() {
        for (text, said) in [
            ("a,b\n", "2 fields"),
            ("a,,\na,,\n", "twice"),
            ("a,md5=AAAA,1\n", "no hash by"),
            ("a,sha1=AAAA,1\n", "no hash by"),
            ("a,sha256=AAAA,1\n", "no hash by"),
            ("a,,x\n", "no size"),
            ("../a,,\n", "`../a`"),
            ("/a,,\n", "`/a`"),
            ("a/../b,,\n", "a/../b"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(parse(b"\xff,,\n").is_err());
    }
}
