//! Guest RAM as a loader sees it: what is really there, by the flat view in force.

use std::sync::Arc;

use base::AddrRange;
use memory::{AddressSpace, FlatRange, FlatView, Target};

use super::LoadErrorKind;

/// Bytes that are looked at at a time when zeros are to be written.
const PIECE: usize = 64 * 1024;

/// RAM of an address space, to be filled.
pub struct GuestRam<'a> {
    space: &'a AddressSpace,
    view: Arc<FlatView>,
    /// RAM of the guest, for messages.
    bytes: u64,
}

/// Whether a range reads and writes the same host memory.
fn is_ram(range: &FlatRange) -> bool {
    match (&range.read, &range.write) {
        (Target::Host(read), Target::Host(write)) => {
            Arc::ptr_eq(&read.block, &write.block) && read.offset == write.offset
        }
        (
            Target::Host(_) | Target::Call(_) | Target::Translate(_) | Target::Discard | Target::Unassigned,
            Target::Host(_) | Target::Call(_) | Target::Translate(_) | Target::Discard | Target::Unassigned,
        ) => false,
    }
}

impl<'a> GuestRam<'a> {
    /// The RAM that `space` shows now, on a board with `bytes` bytes of it.
    #[must_use]
    pub fn new(space: &'a AddressSpace, bytes: u64) -> Self {
        Self { space, view: space.view(), bytes }
    }

    /// The first address from `from` on that is no RAM.
    #[must_use]
    pub fn end_of_run(&self, from: u64) -> u64 {
        let mut end = from;
        while let Some(range) = self.view.lookup(end).filter(|range| is_ram(range)) {
            match range.range.last().checked_add(1) {
                Some(next) => end = next,
                None => return u64::MAX,
            }
        }
        end
    }

    /// Checks that every address of `range` is RAM.
    ///
    /// # Errors
    /// The range, its first address that is none, and what to do.
    pub fn check(&self, range: AddrRange) -> Result<(), LoadErrorKind> {
        let gap = self.end_of_run(range.first());
        if gap > range.last() {
            return Ok(());
        }
        Err(LoadErrorKind::NotRam { range, gap, ram_bytes: self.bytes })
    }

    /// Writes `data` to the start of `range` and zeros to the rest. Code marks are honoured.
    ///
    /// The caller has checked the range; `data` is no longer than it.
    pub(crate) fn fill(&self, range: AddrRange, data: &[u8]) {
        let skipped = self.space.write_rom(range.first(), data);
        debug_assert!(skipped.is_empty(), "the range was checked");
        self.zero(range.first() + data.len() as u64, range.last());
    }

    /// Zeros `first..=last`. Pages that are zero already are not touched, so that untouched RAM costs the host nothing.
    fn zero(&self, first: u64, last: u64) {
        static ZEROS: [u8; PIECE] = [0; PIECE];
        let mut buffer = vec![0; PIECE];
        let mut at = first;
        while at <= last {
            let piece = &mut buffer[..(last - at).saturating_add(1).min(PIECE as u64) as usize];
            self.space.read(at, piece, &mut memory::AccessCx::dma());
            if piece.iter().any(|byte| *byte != 0) {
                self.space.write_rom(at, &ZEROS[..piece.len()]);
            }
            at += piece.len() as u64;
        }
    }
}
