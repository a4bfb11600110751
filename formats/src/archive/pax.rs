//! Records of extended headers (POSIX.1-2017, pax, "pax Extended Header").

use build_graph::untrusted::printable;

/// What the records of one header say of a member.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// Whether they describe the holes of a sparse file.
    pub(super) sparse: bool,
}

impl Records {
    /// The name of a record that is set.
    pub(super) fn first_key(&self) -> Option<&'static str> {
        (self.path.as_ref().map(|_| "path"))
            .or_else(|| self.linkpath.as_ref().map(|_| "linkpath"))
            .or_else(|| self.size.map(|_| "size"))
    }
}

/// Reads records `LENGTH KEY=VALUE`, each with a line feed at its end, which its length counts.
/// Times, owners and the like are left.
///
/// # Errors
/// What is wrong, if they are malformed or set something twice.
pub(super) fn records(mut bytes: &[u8]) -> Result<Records, String> {
    let mut records = Records::default();
    while !bytes.is_empty() {
        let (key, value, rest) = record(bytes).ok_or("the pax records are malformed")?;
        bytes = rest;
        let twice = || Err(format!("the pax records set `{}` twice", printable(key)));
        if value.is_empty() && matches!(key, b"path" | b"linkpath" | b"size") {
            return Err(format!("the pax records set `{}` to nothing", printable(key)));
        }
        match key {
            b"path" if records.path.is_none() => records.path = Some(value.to_vec()),
            b"linkpath" if records.linkpath.is_none() => records.linkpath = Some(value.to_vec()),
            b"size" if records.size.is_none() => {
                let size = || format!("the pax records set `size` to `{}`, which is no number", printable(value));
                records.size = Some(decimal(value).ok_or_else(size)?);
            }
            b"path" | b"linkpath" | b"size" => return twice(),
            key => records.sparse |= key.starts_with(b"GNU.sparse."),
        }
    }
    Ok(records)
}

/// The first record's key and value, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..blank])?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let pair = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((&pair[..equals], &pair[equals + 1..], rest))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_as_long_as_they_say() {
        let read = records(b"20 comment=a\n\n9 no\n\n9 path=x\n15 linkpath=yz\n12 size=512\n").unwrap();
        assert_eq!(
            (read.path.as_deref(), read.linkpath.as_deref(), read.size),
            (Some(&b"x"[..]), Some(&b"yz"[..]), Some(512))
        );
        assert_eq!(records(b"17 path=a=b\nc=\n\xff\n").unwrap().path.unwrap(), b"a=b\nc=\n\xff");
        for bad in [
            &b"9 path=xy\n"[..],
            b"11 path=x\n",
            b"path=x\n",
            b"9 path=x",
            b"9 path=x\n\0",
            b" 9 path=x\n",
            b"+9 path=x\n",
            b"7 path\n",
            b"3 \n",
            b"99999999999999999999 path=x\n",
        ] {
            assert_eq!(records(bad).unwrap_err(), "the pax records are malformed", "{}", bad.escape_ascii());
        }
    }
}
