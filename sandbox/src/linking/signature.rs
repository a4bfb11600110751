//! The text of a function's type.

use std::fmt;

/// Most parameters of a function that is called or made at run time.
pub const PARAMETERS_MAX: usize = 255;

/// A type of WebAssembly that a parameter or result may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// `i`
    I32,
    /// `l`
    I64,
    /// `f`
    F32,
    /// `d`
    F64,
}

impl ValueType {
    fn parse(letter: u8) -> Option<Self> {
        match letter {
            b'i' => Some(Self::I32),
            b'l' => Some(Self::I64),
            b'f' => Some(Self::F32),
            b'd' => Some(Self::F64),
            _ => None,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::I32 => 'i',
            Self::I64 => 'l',
            Self::F32 => 'f',
            Self::F64 => 'd',
        }
    }
}

/// The parameters and the result of a function; as text, the parameters' letters, `>`, and the
/// result's letter if there is one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    /// The parameters.
    pub parameters: Vec<ValueType>,
    /// The result.
    pub result: Option<ValueType>,
}

/// A text that is no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no signature; write the parameters' letters (i, l, f, d; at most 255), `>`, and at most one letter for the result"
)]
pub struct SignatureError(String);

impl Signature {
    /// Reads a signature such as `iid>i`.
    ///
    /// # Errors
    ///
    /// [`SignatureError`].
    pub fn parse(text: &[u8]) -> Result<Self, SignatureError> {
        let wrong = || SignatureError(String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned());
        let arrow = text.iter().position(|&b| b == b'>').ok_or_else(wrong)?;
        let (parameters, result) = (&text[..arrow], &text[arrow + 1..]);
        if parameters.len() > PARAMETERS_MAX || result.len() > 1 {
            return Err(wrong());
        }
        let kinds = |letters: &[u8]| letters.iter().map(|&l| ValueType::parse(l)).collect::<Option<Vec<_>>>();
        let (parameters, result) = kinds(parameters).zip(kinds(result)).ok_or_else(wrong)?;
        Ok(Self { parameters, result: result.first().copied() })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = |kinds: &[ValueType]| kinds.iter().map(|k| k.letter()).collect::<String>();
        write!(f, "{}>{}", letters(&self.parameters), letters(self.result.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read_and_written() {
        for text in [">", "i>", ">d", "ilfd>l"] {
            assert_eq!(Signature::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        for text in ["", "i", "i>ii", "x>", ">x", "i>>", "i >i"] {
            assert!(Signature::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Signature::parse(&[&[b'i'; 256][..], b">"].concat()).is_err());
        assert!(Signature::parse(&[&[b'i'; 255][..], b">"].concat()).is_ok());
    }
}
