//! How a guest's memory lies in the process's address space. Code is compiled for one layout, and
//! runs in no other.

use crate::caller;

/// A layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The address space that is reserved, as a power of two.
    log2: u8,
    /// Whether a memory's first content is mapped from a file.
    has_images: bool,
}

/// The whole memory that 32-bit WebAssembly can address: no access needs a check.
const FULL: u8 = 32;
/// The least that is tried.
const LEAST: u8 = 24;
/// What the guards around a full layout take.
const GUARDS: u64 = 64 << 20;
/// What the process needs beside the guest's memory: stacks, code, its own memory.
const REST: u64 = 192 << 20;

impl Layout {
    /// The layout that is used where nothing limits it, and by all code that is compiled ahead.
    pub const USUAL: Self = Self { log2: FULL, has_images: true };

    /// The largest layout that the caller's limit of the address space (`ulimit -v`) has room for.
    pub fn within_limits() -> Self {
        let Some(left) = caller::address_space() else { return Self::USUAL };
        if left >= (1 << FULL) + GUARDS + REST {
            return Self::USUAL;
        }
        let fits = |log2: &u8| (1 << log2) + REST <= left;
        let log2 = (LEAST..FULL).rev().find(fits).unwrap_or(LEAST);
        Self { log2, ..Self::USUAL }
    }

    /// This one for code that lies in no file: where the caller limits the length of files (`ulimit
    /// -f`), none is made for a memory's content.
    #[must_use]
    pub fn without_file(self) -> Self {
        Self { has_images: self.has_images && !caller::limits_files(), ..self }
    }

    /// Bytes of address space for the guest's memory.
    pub(super) fn reservation(self) -> u64 {
        1 << self.log2
    }

    pub(super) fn has_images(self) -> bool {
        self.has_images
    }

    /// What distinguishes the name of code for this layout; nothing for the usual one.
    pub(super) fn suffix(self) -> String {
        let space = if self.log2 == FULL { String::new() } else { format!("-{}m", self.reservation() >> 20) };
        space + if self.has_images { "" } else { "-bare" }
    }

    /// The layout as one byte.
    pub(crate) fn to_byte(self) -> u8 {
        self.log2 | u8::from(self.has_images) << 7
    }

    /// The layout of this byte.
    pub(crate) fn from_byte(byte: u8) -> Self {
        Self { log2: (byte & 0x7f).clamp(LEAST, FULL), has_images: byte & 0x80 != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_told_apart() {
        let small = Layout { log2: 29, has_images: true };
        let bare = Layout { has_images: false, ..small };
        assert_eq!(
            (Layout::USUAL.suffix(), small.suffix(), bare.suffix()),
            (String::new(), "-512m".into(), "-512m-bare".into())
        );
        for layout in [Layout::USUAL, small, bare] {
            assert_eq!(Layout::from_byte(layout.to_byte()), layout);
        }
    }
}
