//! The canonical encoding, from which every key and every tree's digest is made.
//!
//! A value is described once, as a sequence of calls on an [`Encoder`]; what becomes of the
//! sequence is the encoder's affair. One writes the bytes that are hashed, the explaining one
//! writes labelled lines, so that an explanation of a key can't drift from the key.
//!
//! # Bytes
//!
//! | call | bytes hashed |
//! |---|---|
//! | [`begin`](hash) of a domain | `00`, length of the domain as u64 little-endian, the domain's bytes |
//! | `text` | `01`, length as u64 little-endian, UTF-8 bytes |
//! | `number` | `02`, the value as u64 little-endian |
//! | `digest` | `03`, 32 bytes |
//! | `list` | `04`, number of items as u64 little-endian; then each item's own bytes |
//!
//! Labels are for people and are not hashed. Every item carries its kind and its length, so no two
//! different sequences give the same bytes.

/// Takes the parts of a value in canonical order.
pub trait Encoder {
    /// A text.
    fn text(&mut self, label: &str, value: &str);
    /// A number.
    fn number(&mut self, label: &str, value: u64);
    /// A digest of something named by the label.
    fn digest(&mut self, label: &str, value: &[u8; 32]);
    /// The head of a list of `length` items, which follow.
    fn list(&mut self, label: &str, length: usize);
}

/// A value with a canonical encoding.
pub trait Encode {
    /// Names what is encoded and the version of its encoding, such as `pynbox-action-v1`.
    fn domain(&self) -> &'static str;
    /// Gives the value's parts to the encoder.
    fn encode(&self, encoder: &mut dyn Encoder);
}

/// The BLAKE3 digest of a value's canonical encoding.
pub fn hash(value: &dyn Encode) -> [u8; 32] {
    *blake3::hash(&bytes(value)).as_bytes()
}

/// The bytes of a value's canonical encoding.
pub fn bytes(value: &dyn Encode) -> Vec<u8> {
    let mut bytes = Bytes(Vec::with_capacity(1024));
    bytes.sized(0, value.domain().as_bytes());
    value.encode(&mut bytes);
    bytes.0
}

/// The parts of a value as lines `label: value`, in the order in which they are hashed.
pub fn explain(value: &dyn Encode) -> Vec<String> {
    let mut lines = Explaining(vec![format!("domain: {}", value.domain())]);
    value.encode(&mut lines);
    lines.0
}

/// Writes the canonical encoding down, in the bytes that [`hash`] hashes.
#[derive(Debug, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    fn head(&mut self, kind: u8, value: u64) {
        self.0.push(kind);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes bytes of a kind, after their length: kind 0 is a domain, kind 1 a text.
    pub fn sized(&mut self, kind: u8, bytes: &[u8]) {
        self.head(kind, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

impl Encoder for Bytes {
    fn text(&mut self, _label: &str, value: &str) {
        self.sized(1, value.as_bytes());
    }

    fn number(&mut self, _label: &str, value: u64) {
        self.head(2, value);
    }

    fn digest(&mut self, _label: &str, value: &[u8; 32]) {
        self.0.push(3);
        self.0.extend_from_slice(value);
    }

    fn list(&mut self, _label: &str, length: usize) {
        self.head(4, length as u64);
    }
}

/// Reads the canonical encoding; each call returns `None` if the next bytes are of another kind, or
/// end too early. The field is what is left.
#[derive(Debug)]
pub struct Reader<'bytes>(pub &'bytes [u8]);

impl<'bytes> Reader<'bytes> {
    fn take(&mut self, count: usize) -> Option<&'bytes [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads a number (kind 2), or the head of a list (kind 4).
    pub fn head(&mut self, kind: u8) -> Option<u64> {
        let taken = self.take(9)?;
        (taken[0] == kind).then(|| u64::from_le_bytes(taken[1..].try_into().unwrap_or_default()))
    }

    /// Reads what [`Bytes::sized`] wrote.
    pub fn sized(&mut self, kind: u8) -> Option<&'bytes [u8]> {
        let length = self.head(kind)?;
        self.take(usize::try_from(length).ok()?)
    }

    /// Reads a digest.
    pub fn digest(&mut self) -> Option<[u8; 32]> {
        let taken = self.take(33)?;
        if taken[0] == 3 { taken[1..].try_into().ok() } else { None }
    }
}

struct Explaining(Vec<String>);

impl Encoder for Explaining {
    fn text(&mut self, label: &str, value: &str) {
        self.0.push(format!("{label}: {value:?}"));
    }

    fn number(&mut self, label: &str, value: u64) {
        self.0.push(format!("{label}: {value}"));
    }

    fn digest(&mut self, label: &str, value: &[u8; 32]) {
        self.0.push(format!("{label}: {}", crate::BlobDigest::from_bytes(*value)));
    }

    fn list(&mut self, label: &str, length: usize) {
        self.0.push(format!("{label}: {length} items"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    enum Part {
        Text(String),
        Number(u64),
        Digest([u8; 32]),
        List(usize),
    }

    struct Parts(Vec<Part>);

    impl Encode for Parts {
        fn domain(&self) -> &'static str {
            "test-v1"
        }

        fn encode(&self, encoder: &mut dyn Encoder) {
            for part in &self.0 {
                match part {
                    Part::Text(value) => encoder.text("text", value),
                    Part::Number(value) => encoder.number("number", *value),
                    Part::Digest(value) => encoder.digest("digest", value),
                    Part::List(length) => encoder.list("list", *length),
                }
            }
        }
    }

    fn part() -> impl Strategy<Value = Part> {
        prop_oneof![
            "[ab]{0,3}".prop_map(Part::Text),
            (0..3u64).prop_map(Part::Number),
            any::<bool>().prop_map(|one| Part::Digest([u8::from(one); 32])),
            (0..3usize).prop_map(Part::List),
        ]
    }

    proptest! {
        #[test]
        fn equal_digests_mean_equal_parts_and_equal_explanations(
            a in proptest::collection::vec(part(), 0..5),
            b in proptest::collection::vec(part(), 0..5),
        ) {
            let same = a == b;
            let (a, b) = (Parts(a), Parts(b));
            prop_assert_eq!(hash(&a) == hash(&b), same);
            prop_assert_eq!(explain(&a) == explain(&b), same);
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_documentation() {
        let value = Parts(vec![Part::Text("ab".into()), Part::Number(258), Part::Digest([9; 32]), Part::List(1)]);
        let mut bytes = vec![0, 7, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(b"test-v1");
        bytes.extend([1, 2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b']);
        bytes.extend([2, 2, 1, 0, 0, 0, 0, 0, 0]);
        bytes.push(3);
        bytes.extend([9; 32]);
        bytes.extend([4, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(hash(&value), *blake3::hash(&bytes).as_bytes());
    }
}
