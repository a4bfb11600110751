//! What the loader and the compiler's processes say to each other, over pipes.

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::engine::Layout;
use crate::sys::Used;

/// What an answer is.
pub(super) const CODE: u8 = 0;
pub(super) const REFUSAL: u8 = 1;
pub(super) const NO_MEMORY: u8 = 2;
/// Longest message that is believed: one that is longer is a fault.
const MESSAGE_MAX: u64 = 1 << 30;

/// A module that is to be compiled; its bytes follow.
pub(super) struct Request {
    /// What its code is for.
    pub(super) layout: Layout,
    /// What is left of the processor's time.
    pub(super) cpu: Duration,
    /// Bytes that the compilation may take.
    pub(super) memory: usize,
    /// Bytes of the module.
    pub(super) length: u64,
}

impl Request {
    pub(super) fn send(&self, to: &mut impl Write, wasm: &[u8]) -> io::Result<()> {
        to.write_all(&[self.layout.to_byte()])?;
        for number in [nanoseconds(self.cpu), self.memory as u64, self.length] {
            to.write_all(&number.to_le_bytes())?;
        }
        to.write_all(wasm)
    }

    pub(super) fn receive(from: &mut impl Read) -> io::Result<(Self, Vec<u8>)> {
        let mut layout = [0];
        from.read_exact(&mut layout)?;
        let layout = Layout::from_byte(layout[0]);
        let cpu = Duration::from_nanos(number(from)?);
        let memory = usize::try_from(number(from)?).unwrap_or(usize::MAX);
        let length = number(from)?;
        Ok((Self { layout, cpu, memory, length }, exactly(from, length)?))
    }
}

/// How an answer begins. Its bytes follow, then whether they are whole, in a byte, and what was
/// used.
pub(super) struct AnswerHead {
    pub(super) kind: u8,
    pub(super) length: u64,
}

pub(super) struct Answer {
    pub(super) kind: u8,
    pub(super) bytes: Vec<u8>,
    pub(super) used: Used,
}

impl AnswerHead {
    pub(super) fn send(&self, to: &mut impl Write) -> io::Result<()> {
        let mut head = [self.kind; 9];
        head[1..].copy_from_slice(&self.length.to_le_bytes());
        to.write_all(&head)
    }

    pub(super) fn receive(from: &mut impl Read) -> io::Result<Self> {
        let mut kind = [0];
        from.read_exact(&mut kind)?;
        Ok(Self { kind: kind[0], length: number(from)? })
    }

    pub(super) fn receive_rest(self, from: &mut impl Read) -> io::Result<Answer> {
        let mut bytes = exactly(from, self.length)?;
        let mut whole = [0];
        from.read_exact(&mut whole)?;
        let cpu = Duration::from_nanos(number(from)?);
        let used = Used { cpu, memory: number(from)? };
        let mut kind = self.kind;
        if whole == [0] {
            (kind, bytes) = (REFUSAL, b"the compiler was ended".to_vec());
        }
        Ok(Answer { kind, bytes, used })
    }
}

pub(super) fn send_tail(to: &mut impl Write, whole: bool, used: Used) -> io::Result<()> {
    to.write_all(&[u8::from(whole)])?;
    to.write_all(&nanoseconds(used.cpu).to_le_bytes())?;
    to.write_all(&used.memory.to_le_bytes())
}

/// A whole answer of one kind that is no code.
pub(super) fn refuse(to: &mut impl Write, kind: u8, why: &str, used: Used) -> io::Result<()> {
    AnswerHead { kind, length: why.len() as u64 }.send(to)?;
    to.write_all(why.as_bytes())?;
    send_tail(to, true, used)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn number(from: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

pub(crate) fn exactly(from: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    if length > MESSAGE_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        let time = Duration::from_micros(7);
        Request { layout: Layout::USUAL, cpu: time, memory: 5, length: 3 }.send(&mut bytes, b"why").unwrap();
        let (request, wasm) = Request::receive(&mut bytes.as_slice()).unwrap();
        assert_eq!((request.layout, request.cpu, request.memory), (Layout::USUAL, time, 5));
        assert_eq!(wasm, b"why");
        let failed = |bytes: &[u8]| Request::receive(&mut &*bytes).map(drop).unwrap_err().kind();
        assert_eq!(failed(&bytes[..bytes.len() - 1]), io::ErrorKind::UnexpectedEof);
        assert_eq!(failed(&[0xff; 40]), io::ErrorKind::InvalidData);

        let answer = |bytes: &[u8]| {
            let mut bytes = bytes;
            AnswerHead::receive(&mut bytes)?.receive_rest(&mut bytes).map(|a| (a.kind, a.bytes, a.used))
        };
        let mut bytes = Vec::new();
        let used = Used { cpu: time, memory: 9 };
        refuse(&mut bytes, REFUSAL, "why", used).unwrap();
        assert_eq!(answer(&bytes).unwrap(), (REFUSAL, b"why".to_vec(), used));
        assert_eq!(answer(&bytes[..bytes.len() - 1]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut bytes = Vec::new();
        AnswerHead { kind: CODE, length: 2 }.send(&mut bytes).unwrap();
        bytes.extend(b"\0\0");
        send_tail(&mut bytes, false, used).unwrap();
        assert_eq!(answer(&bytes).unwrap(), (REFUSAL, b"the compiler was ended".to_vec(), used));
    }
}
