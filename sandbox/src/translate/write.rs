//! Writing WebAssembly's binary format.

/// Types of values and blocks (binary format, 5.3).
pub(super) const EXNREF: u8 = 0x69;
pub(super) const NO_RESULT: u8 = 0x40;

/// Operators (binary format, 5.4).
pub(super) mod operator {
    /// Bytes of those below.
    pub(in crate::translate) const LENGTH: usize = 1;
    pub(in crate::translate) const BLOCK: u8 = 0x02;
    pub(in crate::translate) const THROW_REF: u8 = 0x0a;
    pub(in crate::translate) const END: u8 = 0x0b;
    pub(in crate::translate) const BR: u8 = 0x0c;
    pub(in crate::translate) const BR_IF: u8 = 0x0d;
    pub(in crate::translate) const BR_TABLE: u8 = 0x0e;
    pub(in crate::translate) const RETURN: u8 = 0x0f;
    pub(in crate::translate) const TRY_TABLE: u8 = 0x1f;
    pub(in crate::translate) const LOCAL_GET: u8 = 0x20;
    pub(in crate::translate) const LOCAL_SET: u8 = 0x21;
}

/// Bytes that are written one after the other.
#[derive(Default)]
pub(super) struct Bytes(Vec<u8>);

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}

impl Bytes {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// An unsigned number, LEB128.
    #[expect(clippy::cast_possible_truncation, reason = "seven bits are left")]
    pub(super) fn number(&mut self, mut number: u32) {
        while number > 0x7f {
            self.0.push(number as u8 & 0x7f | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// A signed number, LEB128.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seven bits are left")]
    pub(super) fn signed(&mut self, mut number: i64) {
        loop {
            let byte = number as u8 & 0x7f;
            number >>= 7;
            if number == -i64::from(byte >> 6 & 1) {
                return self.0.push(byte);
            }
            self.0.push(byte | 0x80);
        }
    }

    /// Bytes after their count.
    pub(super) fn sized(&mut self, bytes: &[u8]) {
        self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.raw(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for number in [0, 1, 63, 64, 127, 128, 8191, 8192, 1 << 20, u32::MAX] {
            let mut bytes = Bytes::default();
            bytes.number(number);
            bytes.signed(number.into());
            bytes.signed(-i64::from(number));
            let mut reader = wasmparser::BinaryReader::new(bytes.as_slice(), 0);
            assert_eq!(reader.read_var_u32().unwrap(), number);
            assert_eq!(reader.read_var_i64().unwrap(), i64::from(number));
            assert_eq!(reader.read_var_i64().unwrap(), -i64::from(number));
            assert!(reader.eof());
        }
    }
}
