//! RAM blocks: host memory behind RAM, ROM and ROM devices, with the gates that guard translated code.
//!
//! Each page has a gate byte, which translated code tests before it stores inline, and a bit per 64-byte line that
//! holds translated code. Invariant: `GATE_CODE` is set on a page iff one of its line bits is; `GATE_NEXT` is set on
//! a page iff the gate of the next page has another bit set, so that one test covers a store that crosses.
//! Every store of this crate goes through [`RamBlock::store`] or [`RamBlock::write`]: first the bytes, then the look
//! at the gate. Who marks code sets the gate first and compares the bytes then, so one of the two sees the other.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex};

use base::{AccessSize, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE};

use crate::host::HostMemory;
use crate::{CodeWrites, HostPtr, lock};

/// Gate bit: the page holds translated code.
pub const GATE_CODE: u8 = 1 << 0;
/// Gate bit: stores to the page are to be noted. Reserved for dirty logging; nothing sets it yet.
pub const GATE_DIRTY: u8 = 1 << 1;
/// Gate bit: the gate of the next page has another bit set. A page is open iff no bit but this one is set.
pub const GATE_NEXT: u8 = 1 << 2;

const LINE_SHIFT: u32 = 6;
const LINES_PER_PAGE: u64 = PAGE_SIZE >> LINE_SHIFT;

/// Identity of a RAM block, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RamId(u64);

impl RamId {
    /// An id that no other block has.
    #[must_use]
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The id as a number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Host memory behind RAM, ROM or a ROM device. Zero when made.
#[derive(Debug)]
pub struct RamBlock {
    id: RamId,
    name: Arc<str>,
    memory: HostMemory,
    gates: Box<[AtomicU8]>,
    lines: Box<[AtomicU64]>,
    /// Held while marks change.
    marking: Mutex<()>,
    code_writes: Arc<CodeWrites>,
}

impl RamBlock {
    /// `size` bytes, rounded up to whole pages.
    ///
    /// # Errors
    /// What the host says.
    pub(crate) fn new(name: Arc<str>, size: u64, code_writes: Arc<CodeWrites>) -> io::Result<Self> {
        let len = size.checked_next_multiple_of(PAGE_SIZE).ok_or(io::ErrorKind::OutOfMemory)?;
        let memory = HostMemory::new(len)?;
        let pages = usize::try_from(len >> PAGE_SHIFT).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let (gates, lines) = (zeroed_u8(pages), zeroed_u64(pages));
        Ok(Self { id: RamId::next(), name, memory, gates, lines, marking: Mutex::new(()), code_writes })
    }

    /// Identity of the block.
    #[must_use]
    pub const fn id(&self) -> RamId {
        self.id
    }

    /// Name of the block: owner path and region name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the block, a whole number of pages.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a block is never empty")]
    pub const fn len(&self) -> u64 {
        self.memory.len()
    }

    /// Host address of the first byte.
    #[must_use]
    pub fn host(&self) -> HostPtr {
        self.memory.pointer()
    }

    /// Copies bytes out; `false` and nothing done when they do not all exist.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> bool {
        self.memory.read(offset, bytes)
    }

    /// Copies bytes in and posts the lines of code hit; `false` and nothing done when they do not all exist.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> bool {
        let written = self.memory.write(offset, bytes);
        if written && !bytes.is_empty() {
            self.stored(offset, bytes.len() as u64);
        }
        written
    }

    /// Loads a little-endian value; `None` when its bytes do not all exist.
    #[must_use]
    pub fn load(&self, offset: u64, size: AccessSize) -> Option<u64> {
        self.memory.load(offset, size)
    }

    /// Stores a little-endian value, see [`RamBlock::write`].
    pub fn store(&self, offset: u64, size: AccessSize, value: u64) -> bool {
        let stored = self.memory.store(offset, size, value);
        if stored {
            self.stored(offset, size.bytes());
        }
        stored
    }

    /// The gate of a page; 0 beyond the block.
    #[must_use]
    pub fn gate(&self, page: u64) -> u8 {
        cell(&self.gates, page).map_or(0, |gate| gate.load(Ordering::Acquire))
    }

    /// Host address of page 0's gate; the gates of the other pages follow, a byte each.
    #[must_use]
    pub fn gates_address(&self) -> u64 {
        self.gates.as_ptr() as u64
    }

    /// The lines of a page that hold code, a bit for each 64 bytes; 0 beyond the block.
    #[must_use]
    pub fn code_lines(&self, page: u64) -> u64 {
        cell(&self.lines, page).map_or(0, |lines| lines.load(Ordering::Acquire))
    }

    /// Marks the lines of `len` bytes at `offset` as code. Bytes beyond the block are left out.
    pub fn mark_code(&self, offset: u64, len: u64) {
        let _marking = lock(&self.marking);
        for (page, lines) in lines_of(offset, len) {
            let Some(cell) = cell(&self.lines, page) else { break };
            if cell.fetch_or(lines, Ordering::SeqCst) == 0 && lines != 0 {
                self.set_gate(page, GATE_CODE);
            }
        }
        // Pairs with the fence in `stored`: the caller compares the bytes after this.
        fence(Ordering::SeqCst);
    }

    /// Clears the marks of `lines` of a page.
    pub fn clear_code(&self, page: u64, lines: u64) {
        let _marking = lock(&self.marking);
        let Some(cell) = cell(&self.lines, page) else { return };
        let left = cell.fetch_and(!lines, Ordering::SeqCst) & !lines;
        if left == 0 {
            self.clear_gate(page, GATE_CODE);
        }
    }

    fn set_gate(&self, page: u64, bit: u8) {
        if let Some(gate) = cell(&self.gates, page) {
            gate.fetch_or(bit, Ordering::SeqCst);
        }
        if let Some(before) = page.checked_sub(1).and_then(|before| cell(&self.gates, before)) {
            before.fetch_or(GATE_NEXT, Ordering::SeqCst);
        }
    }

    fn clear_gate(&self, page: u64, bit: u8) {
        let Some(gate) = cell(&self.gates, page) else { return };
        let left = gate.fetch_and(!bit, Ordering::SeqCst) & !bit;
        if left & !GATE_NEXT == 0
            && let Some(before) = page.checked_sub(1).and_then(|before| cell(&self.gates, before))
        {
            before.fetch_and(!GATE_NEXT, Ordering::SeqCst);
        }
    }

    /// What follows every store of `len` bytes, 1 at least: the code lines hit are posted.
    pub(crate) fn stored(&self, offset: u64, len: u64) {
        // Pairs with the fence in `mark_code`: either the gate is seen here, or the bytes are seen there.
        fence(Ordering::SeqCst);
        let last = offset + (len - 1);
        for page in offset >> PAGE_SHIFT..=last >> PAGE_SHIFT {
            if self.gate(page) & GATE_CODE != 0 {
                self.code_hit(page, offset, last);
            }
        }
    }

    /// Posts the code lines of `page` among the bytes `offset..=last`.
    #[cold]
    fn code_hit(&self, page: u64, offset: u64, last: u64) {
        let first = offset.max(page << PAGE_SHIFT);
        let last = last.min(page << PAGE_SHIFT | PAGE_MASK);
        let lines = self.code_lines(page) & line_mask(first, last);
        if lines != 0 {
            self.code_writes.post(self.id, page, lines);
        }
    }
}

/// Entry of a table by page number.
fn cell<T>(table: &[T], page: u64) -> Option<&T> {
    table.get(usize::try_from(page).ok()?)
}

/// The line bits of the bytes `first..=last` of one page.
fn line_mask(first: u64, last: u64) -> u64 {
    let (low, high) = (first >> LINE_SHIFT & (LINES_PER_PAGE - 1), last >> LINE_SHIFT & (LINES_PER_PAGE - 1));
    u64::MAX >> (LINES_PER_PAGE - 1 - (high - low)) << low
}

/// Pages and line bits of `len` bytes at `offset`.
fn lines_of(offset: u64, len: u64) -> impl Iterator<Item = (u64, u64)> {
    let last = len.checked_sub(1).map(|rest| offset.saturating_add(rest));
    let pages = last.map(|last| offset >> PAGE_SHIFT..=last >> PAGE_SHIFT);
    pages.into_iter().flatten().map(move |page| {
        let first = offset.max(page << PAGE_SHIFT);
        let last = last.unwrap_or(0).min(page << PAGE_SHIFT | PAGE_MASK);
        (page, line_mask(first, last))
    })
}

/// A table of zero bytes whose pages the host gives on first touch.
fn zeroed_u8(len: usize) -> Box<[AtomicU8]> {
    let plain: Box<[u8]> = vec![0; len].into_boxed_slice();
    // SAFETY: `AtomicU8` has the size, alignment and bit validity of `u8`, and the box is the only owner.
    unsafe { Box::from_raw(Box::into_raw(plain) as *mut [AtomicU8]) }
}

/// A table of zero words whose pages the host gives on first touch.
fn zeroed_u64(len: usize) -> Box<[AtomicU64]> {
    const { assert!(align_of::<AtomicU64>() == align_of::<u64>()) };
    let plain: Box<[u64]> = vec![0; len].into_boxed_slice();
    // SAFETY: `AtomicU64` has the size and bit validity of `u64`, here the alignment too, and the box is the only
    // owner.
    unsafe { Box::from_raw(Box::into_raw(plain) as *mut [AtomicU64]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> RamBlock {
        RamBlock::new("ram".into(), 0x3001, Arc::default()).unwrap()
    }

    #[test]
    fn gates_follow_the_marks_and_their_neighbours() {
        let block = block();
        assert_eq!(block.len(), 0x4000);
        block.mark_code(0x1fff, 2);
        assert_eq!((block.code_lines(1), block.code_lines(2)), (1 << 63, 1));
        let gates = |block: &RamBlock| [0, 1, 2, 3].map(|page| block.gate(page));
        assert_eq!(gates(&block), [GATE_NEXT, GATE_CODE | GATE_NEXT, GATE_CODE, 0]);
        block.clear_code(2, 1);
        assert_eq!(gates(&block), [GATE_NEXT, GATE_CODE, 0, 0]);
        block.clear_code(1, u64::MAX);
        assert_eq!(gates(&block), [0; 4]);
        block.mark_code(0x3000, u64::MAX);
        assert_eq!(block.code_lines(3), u64::MAX);
        block.mark_code(0, 0);
        assert_eq!((block.code_lines(0), block.gate(9), block.code_lines(u64::MAX)), (0, 0, 0));
    }

    #[test]
    fn only_stores_to_code_lines_are_posted() {
        let block = block();
        block.mark_code(0x1040, 1);
        block.store(0x103c, AccessSize::B4, 0);
        block.store(0x1080, AccessSize::B8, 0);
        assert!(!block.code_writes.pending());
        block.store(0x103d, AccessSize::B4, 0);
        assert_eq!(block.code_writes.take(), vec![(block.id(), 1, 2)]);
        block.mark_code(0x2000, 0x1000);
        assert!(block.write(0x0fff, &[0; 0x10c1]));
        assert_eq!(block.code_writes.take(), vec![(block.id(), 1, 2), (block.id(), 2, 7)]);
        assert!(!block.write(0x2000, &[0; 0x2001]) && block.write(0x2000, &[]));
        assert!(!block.code_writes.pending());
    }
}
