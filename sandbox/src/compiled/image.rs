//! The state that a program begins with from its snapshot, as a memory that is mapped: where its
//! bytes lie in a file, and what of the state is not memory.

use std::fmt::Write as _;

/// The memory and the globals of a snapshot. All numbers are bytes, unless they are said to be
/// pages, which are WebAssembly's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Where the memory's bytes lie in the file of the snapshot's code.
    pub offset: u64,
    /// The memory's address that they begin at; before and after them it is zero.
    pub start: u64,
    /// How many they are: whole pages of the machine.
    pub length: u64,
    /// Pages of the memory.
    pub pages: u64,
    /// Pages that it may grow to.
    pub most: u64,
    /// The globals, in the module's order.
    pub globals: Vec<Global>,
}

/// A global: a value of so many bytes, 4 or 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global {
    /// Bytes of its type.
    pub size: u32,
    /// Its value, in the low bytes.
    pub value: u64,
}

/// Bytes of a page of WebAssembly, and of the machine.
const PAGE: u64 = 64 << 10;
const MACHINE_PAGE: u64 = 4096;

impl Image {
    /// Pages that a memory of 32 bits can have.
    pub const PAGES_MAX: u64 = 1 << 16;

    /// Whether the numbers can be: the bytes lie in the memory, and can be mapped.
    pub fn is_possible(&self) -> bool {
        let end = self.start.checked_add(self.length);
        self.pages <= self.most
            && self.most <= Self::PAGES_MAX
            && end.is_some_and(|end| end <= self.pages * PAGE)
            && [self.offset, self.start, self.length].iter().all(|number| number % MACHINE_PAGE == 0)
    }

    /// Where bytes that begin at this address lie in a memory that is mapped by pages: the address
    /// of the first page, and how many bytes these pages have.
    pub fn pages_of(start: u64, end: u64) -> (u64, u64) {
        let first = start / MACHINE_PAGE * MACHINE_PAGE;
        (first, end.next_multiple_of(MACHINE_PAGE) - first)
    }

    /// Where these bytes lie in a file, at the beginning of a page.
    pub fn find(bytes: &[u8], file: &[u8]) -> Option<u64> {
        let page = usize::try_from(MACHINE_PAGE).ok()?;
        let at = (0..file.len()).step_by(page).find(|&at| file[at..].starts_with(bytes))?;
        u64::try_from(at).ok()
    }

    /// The numbers as words.
    pub(super) fn text(&self) -> String {
        let Self { offset, start, length, pages, most, globals } = self;
        let mut text = format!("{offset} {start} {length} {pages} {most}");
        for Global { size, value } in globals {
            let _ = write!(text, " {size}:{value}");
        }
        text
    }

    /// Reads what [`Image::text`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut number = || words.next()?.parse().ok();
        let (offset, start, length, pages, most) = (number()?, number()?, number()?, number()?, number()?);
        let global = |word: &str| {
            let (size, value) = word.split_once(':')?;
            Some(Global { size: size.parse().ok()?, value: value.parse().ok()? })
        };
        let globals = words.map(global).collect::<Option<_>>()?;
        let image = Self { offset, start, length, pages, most, globals };
        image.is_possible().then_some(image)
    }
}
