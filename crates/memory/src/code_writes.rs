//! Where stores to bytes that hold translated code are posted.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{RamId, lock};

/// Stores that hit lines with translated code, merged per page.
///
/// Bounded: there is at most one entry for each page that holds code.
#[derive(Debug, Default)]
pub struct CodeWrites {
    pending: AtomicBool,
    lines: Mutex<BTreeMap<(RamId, u64), u64>>,
}

impl CodeWrites {
    /// Whether anything is posted: one load.
    #[must_use]
    #[inline]
    pub fn pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Takes what is posted: block, page of the block, and the 64-byte lines of the page that were hit.
    #[must_use]
    pub fn take(&self) -> Vec<(RamId, u64, u64)> {
        let mut lines = lock(&self.lines);
        self.pending.store(false, Ordering::Release);
        std::mem::take(&mut *lines).into_iter().map(|((ram, page), lines)| (ram, page, lines)).collect()
    }

    /// Posts that `lines` of `page` were hit.
    pub(crate) fn post(&self, ram: RamId, page: u64, lines: u64) {
        let mut posted = lock(&self.lines);
        *posted.entry((ram, page)).or_insert(0) |= lines;
        self.pending.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_to_one_page_merge_until_taken() {
        let (writes, ram) = (CodeWrites::default(), RamId::next());
        assert!(!writes.pending());
        writes.post(ram, 3, 1);
        writes.post(ram, 3, 4);
        writes.post(ram, 1, 2);
        assert!(writes.pending());
        assert_eq!(writes.take(), vec![(ram, 1, 2), (ram, 3, 5)]);
        assert!(!writes.pending() && writes.take().is_empty());
    }
}
