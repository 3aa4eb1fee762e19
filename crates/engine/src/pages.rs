//! In which epoch each page of code was last found where translations expect it (jit.md, 5).
//!
//! A cell belongs to a linear page, what lies there, and the privilege that it is fetched with; all translations of
//! that page share it. Invariant: a cell holds the present epoch only if a fetch from its linear page went through
//! the TLB in this epoch and found its page of RAM, and no map change has named that page since.

use base::{AddrRange, PAGE_SHIFT};
use memory::RamId;
use rustc_hash::FxHashMap as HashMap;

use crate::cells::CellArena;
#[cfg(test)]
use crate::enter::get_cell;
use crate::enter::set_cell;

/// A linear page and what translations expect there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageKey {
    /// RAM block.
    pub ram: RamId,
    /// Number of the page in it.
    pub page: u64,
    /// Linear page number.
    pub linear: u32,
    /// Fetched with the rights of ring 3.
    pub user: bool,
}

struct PageCell {
    cell: u64,
    users: u32,
    /// Physical page number that the linear page was last found at.
    phys: u64,
}

/// The cells of all pages with paged translations.
#[derive(Default)]
pub struct PageCells {
    cells: HashMap<PageKey, PageCell>,
    by_phys: HashMap<u64, Vec<PageKey>>,
    by_linear: HashMap<u32, Vec<PageKey>>,
    arena: CellArena,
}

/// Never an epoch.
const NEVER: u64 = 0;

impl PageCells {
    /// The cell of a page for one more translation.
    pub fn acquire(&mut self, key: PageKey, phys: u64) -> u64 {
        if let Some(page) = self.cells.get_mut(&key) {
            page.users += 1;
            return page.cell;
        }
        let cell = self.arena.alloc(NEVER);
        self.cells.insert(key, PageCell { cell, users: 1, phys });
        self.by_phys.entry(phys).or_default().push(key);
        self.by_linear.entry(key.linear).or_default().push(key);
        cell
    }

    /// One translation less uses the page.
    pub fn release(&mut self, key: PageKey) {
        let Some(page) = self.cells.get_mut(&key) else { return };
        page.users -= 1;
        if page.users == 0 {
            let (cell, phys) = (page.cell, page.phys);
            self.cells.remove(&key);
            leave(&mut self.by_phys, phys, key);
            leave(&mut self.by_linear, key.linear, key);
            self.arena.free(cell);
        }
    }

    /// A fetch in `epoch` found the page at physical page `phys`.
    pub fn found(&mut self, key: PageKey, phys: u64, epoch: u64) {
        let Some(page) = self.cells.get_mut(&key) else { return };
        set_cell(page.cell, epoch);
        let before = std::mem::replace(&mut page.phys, phys);
        if before != phys {
            leave(&mut self.by_phys, before, key);
            self.by_phys.entry(phys).or_default().push(key);
        }
    }

    /// The map of these physical ranges changed: their pages must be found again.
    pub fn forget(&mut self, changed: &[AddrRange]) {
        let pages = |range: &AddrRange| range.first() >> PAGE_SHIFT..=range.last() >> PAGE_SHIFT;
        let count: u64 = changed.iter().map(|range| pages(range).end() - pages(range).start() + 1).sum();
        if count > self.by_phys.len() as u64 {
            for (phys, keys) in &self.by_phys {
                if changed.iter().any(|range| pages(range).contains(phys)) {
                    self.reset(keys);
                }
            }
        } else {
            for keys in changed.iter().flat_map(pages).filter_map(|phys| self.by_phys.get(&phys)) {
                self.reset(keys);
            }
        }
    }

    /// The mapping of one linear page changed: it must be found again.
    pub fn forget_linear(&mut self, linear: u32) {
        if let Some(keys) = self.by_linear.get(&linear) {
            self.reset(keys);
        }
    }

    /// Whether the page was found in `epoch`.
    #[cfg(test)]
    pub fn is_found(&self, key: PageKey, epoch: u64) -> bool {
        self.cells.get(&key).is_some_and(|page| get_cell(page.cell) == epoch)
    }

    fn reset(&self, keys: &[PageKey]) {
        for page in keys.iter().filter_map(|key| self.cells.get(key)) {
            set_cell(page.cell, NEVER);
        }
    }
}

/// Takes `key` out of one list of an index.
fn leave<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Vec<PageKey>>, place: K, key: PageKey) {
    if let Some(keys) = index.get_mut(&place) {
        keys.retain(|other| *other != key);
        if keys.is_empty() {
            index.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHYS: u64 = 0x80;

    fn key() -> PageKey {
        PageKey { ram: RamId::next(), page: 0, linear: 0x400, user: false }
    }

    #[test]
    fn a_page_is_found_for_one_epoch_and_until_its_frame_changes() {
        let (mut pages, key) = (PageCells::default(), key());
        pages.acquire(key, PHYS);
        assert!(!pages.is_found(key, 1));
        pages.found(key, PHYS, 1);
        assert!(pages.is_found(key, 1) && !pages.is_found(key, 2));
        let range = |first: u64| AddrRange::new(first << 12, (first << 12) + 0xfff).unwrap();
        pages.forget(&[range(PHYS - 1), range(PHYS + 1)]);
        assert!(pages.is_found(key, 1));
        pages.forget(&[range(PHYS)]);
        assert!(!pages.is_found(key, 1));
    }

    #[test]
    fn a_page_that_moved_is_forgotten_at_its_new_frame_alone() {
        let (mut pages, key) = (PageCells::default(), key());
        pages.acquire(key, PHYS);
        pages.found(key, PHYS + 7, 1);
        pages.forget(&[AddrRange::new(PHYS << 12, (PHYS << 12) + 0xfff).unwrap()]);
        assert!(pages.is_found(key, 1));
        pages.forget(&[AddrRange::new(0, u64::MAX).unwrap()]);
        assert!(!pages.is_found(key, 1));
    }

    #[test]
    fn a_linear_page_is_forgotten_alone() {
        let (mut pages, key) = (PageCells::default(), key());
        pages.acquire(key, PHYS);
        pages.found(key, PHYS, 1);
        pages.forget_linear(key.linear + 1);
        assert!(pages.is_found(key, 1));
        pages.forget_linear(key.linear);
        assert!(!pages.is_found(key, 1));
    }

    #[test]
    fn the_last_user_gives_the_cell_back() {
        let (mut pages, key) = (PageCells::default(), key());
        let cell = pages.acquire(key, PHYS);
        assert_eq!(pages.acquire(key, PHYS), cell);
        pages.release(key);
        pages.found(key, PHYS, 1);
        assert!(pages.is_found(key, 1));
        pages.release(key);
        assert!(!pages.is_found(key, 1));
        assert!(pages.by_phys.is_empty() && pages.by_linear.is_empty());
    }
}
