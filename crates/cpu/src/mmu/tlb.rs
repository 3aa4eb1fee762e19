//! The translation lookaside buffer: direct-mapped, looked at by helpers and the interpreter only.
//!
//! Ownership: the host addresses in an entry belong to RAM blocks of the flat view that the `Mmu` holds;
//! whoever swaps that view drops the entries of every page that changed first.

use base::{AccessSize, LinearAddr, PhysAddr};

use super::groups::Groups;
use super::paging::Intent;

/// Entries; a power of two.
const ENTRIES: usize = 8192;

/// How many pages a window grows in each direction at most.
const REACH: u32 = 8192;

/// Rights of an entry beyond supervisor reads, which every present page allows.
pub mod rights {
    /// Ring 3 may read.
    pub const USER_READ: u8 = 1 << 0;
    /// Ring 3 may write.
    pub const USER_WRITE: u8 = 1 << 1;
    /// Rings 0 to 2 may write.
    pub const SUPERVISOR_WRITE: u8 = 1 << 2;
    /// The dirty bit is set in memory.
    pub const DIRTY: u8 = 1 << 3;
}

/// One translation of a page.
#[derive(Clone, Copy, Debug)]
pub struct TlbEntry {
    /// Linear page number and TLB generation; both must match.
    tag: u64,
    /// Physical address of the page.
    pub phys: PhysAddr,
    /// Host address that reads of the page may go to; 0 when they must go over the bus.
    pub read: u64,
    /// Host address that writes may go to; 0 when they must go over the bus.
    pub write: u64,
    /// `rights` bits.
    pub rights: u8,
}

impl TlbEntry {
    const EMPTY: Self = Self { tag: u64::MAX, phys: PhysAddr(0), read: 0, write: 0, rights: 0 };

    /// Whether the page may be accessed so.
    #[inline]
    pub fn allows(&self, write: bool, user: bool) -> bool {
        let needed = match (write, user) {
            (false, false) => return true,
            (false, true) => rights::USER_READ,
            (true, false) => rights::SUPERVISOR_WRITE,
            (true, true) => rights::USER_WRITE,
        };
        self.rights & needed != 0
    }
}

/// The buffer itself.
pub struct Tlb {
    entries: Box<[TlbEntry; ENTRIES]>,
    groups: Groups,
    generation: u32,
}

impl Tlb {
    pub fn new() -> Self {
        let entries = vec![TlbEntry::EMPTY; ENTRIES].into_boxed_slice();
        let entries = entries.try_into().unwrap_or_else(|_| unreachable!("the length is ENTRIES"));
        Self { entries, groups: Groups::new(), generation: 0 }
    }

    #[inline]
    fn tag(&self, page: u32) -> u64 {
        u64::from(self.generation) << 32 | u64::from(page)
    }

    /// The entry of linear page `page`.
    #[inline]
    pub fn lookup(&self, page: u32) -> Option<&TlbEntry> {
        let entry = &self.entries[page as usize % ENTRIES];
        (entry.tag == self.tag(page)).then_some(entry)
    }

    /// Enters a translation.
    pub fn insert(&mut self, la: LinearAddr, mut entry: TlbEntry) {
        entry.tag = self.tag(la.page());
        self.groups.note(la.page(), &entry);
        self.entries[la.page() as usize % ENTRIES] = entry;
    }

    /// An entry without its tag, for [`Tlb::insert`].
    pub fn entry(phys: PhysAddr, rights: u8) -> TlbEntry {
        TlbEntry { phys, rights, ..TlbEntry::EMPTY }
    }

    /// Drops every entry.
    pub fn flush(&mut self) {
        self.groups.clear();
        match self.generation.checked_add(1) {
            Some(next) => self.generation = next,
            None => {
                self.entries.fill(TlbEntry::EMPTY);
                self.generation = 0;
            }
        }
    }

    /// Drops the entry of one linear page.
    pub fn drop_page(&mut self, page: u32) {
        self.groups.drop_page(page);
        let tag = self.tag(page);
        let entry = &mut self.entries[page as usize % ENTRIES];
        if entry.tag == tag {
            *entry = TlbEntry::EMPTY;
        }
    }

    /// Drops the live entries that `doomed` picks and returns how many they were.
    pub fn drop_if(&mut self, doomed: impl Fn(&TlbEntry) -> bool) -> u64 {
        let generation = self.generation;
        let mut dropped = 0;
        self.groups.clear();
        for entry in self.entries.iter_mut() {
            let live = entry.tag != u64::MAX && (entry.tag >> 32) as u32 == generation;
            if live && doomed(entry) {
                *entry = TlbEntry::EMPTY;
                dropped += 1;
            }
        }
        dropped
    }

    /// Takes the inline store away from every entry that writes to host page `host`.
    pub fn close_writes(&mut self, host: u64) -> u64 {
        let mut closed = 0;
        self.groups.close_writes(host);
        for entry in self.entries.iter_mut().filter(|entry| entry.write == host) {
            entry.write = 0;
            closed += 1;
        }
        closed
    }

    /// Last page of the run from `page` on, upwards or downwards and about [`REACH`] pages long at most, that may be
    /// accessed as `intent` says in host memory at `delta + la`. `page` itself is taken to be in the run.
    pub fn run_end(&mut self, page: u32, delta: u64, intent: Intent, upwards: bool) -> u32 {
        let mut end = page;
        while end.abs_diff(page) < REACH {
            let next = if upwards { end.wrapping_add(1) } else { end.wrapping_sub(1) };
            if next > u32::MAX >> base::PAGE_SHIFT {
                break;
            }
            let run = match self.groups.run(next, delta, intent, upwards) {
                0 => u32::from(self.fits(next, delta, intent)),
                run => run,
            };
            if run == 0 {
                break;
            }
            end = if upwards { end + run } else { end - run };
        }
        end
    }

    /// Whether the entry of a page allows an access at `delta + la`; then its group learns of it.
    fn fits(&mut self, page: u32, delta: u64, intent: Intent) -> bool {
        let Some(entry) = self.lookup(page).copied() else { return false };
        let host = if intent.write { entry.write } else { entry.read };
        let fits = host != 0
            && entry.allows(intent.write, intent.user)
            && host == delta.wrapping_add(u64::from(page) << base::PAGE_SHIFT);
        if fits {
            self.groups.note(page, &entry);
        }
        fits
    }

    /// Number of live entries.
    pub fn live(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.tag != u64::MAX && (entry.tag >> 32) as u32 == self.generation)
            .count()
    }
}

/// Loads from host memory of a TLB entry.
#[inline]
pub fn host_load(page: u64, offset: u32, size: AccessSize) -> u64 {
    debug_assert!(page != 0 && u64::from(offset) + size.bytes() <= base::PAGE_SIZE);
    let host = (page + u64::from(offset)) as *const u8;
    // SAFETY: `page` is the host address of a whole guest page of a RAM block that the held flat view keeps
    // alive, the access lies inside it, and unaligned volatile-free reads of plain bytes are always valid.
    unsafe {
        match size {
            AccessSize::B1 => u64::from(host.read()),
            AccessSize::B2 => u64::from(host.cast::<u16>().read_unaligned()),
            AccessSize::B4 => u64::from(host.cast::<u32>().read_unaligned()),
            AccessSize::B8 => host.cast::<u64>().read_unaligned(),
        }
    }
}

/// Stores to host memory of a TLB entry.
#[inline]
pub fn host_store(page: u64, offset: u32, size: AccessSize, value: u64) {
    debug_assert!(page != 0 && u64::from(offset) + size.bytes() <= base::PAGE_SIZE);
    let host = (page + u64::from(offset)) as *mut u8;
    // SAFETY: as in `host_load`; the entry's write side is set only while the page is writable RAM whose
    // write gate is open.
    unsafe {
        match size {
            AccessSize::B1 => host.write(value as u8),
            AccessSize::B2 => host.cast::<u16>().write_unaligned(value as u16),
            AccessSize::B4 => host.cast::<u32>().write_unaligned(value as u32),
            AccessSize::B8 => host.cast::<u64>().write_unaligned(value),
        }
    }
}

/// Copies bytes out of one host page of a TLB entry.
#[inline]
pub fn host_copy(page: u64, offset: u32, bytes: &mut [u8]) {
    debug_assert!(page != 0 && u64::from(offset) + bytes.len() as u64 <= base::PAGE_SIZE);
    // SAFETY: as in `host_load`; the destination is a distinct Rust buffer.
    unsafe {
        std::ptr::copy_nonoverlapping(
            (page + u64::from(offset)) as *const u8,
            bytes.as_mut_ptr(),
            bytes.len(),
        );
    }
}
