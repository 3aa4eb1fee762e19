//! 32-bit paging: the page walk with accessed and dirty bits (SDM Vol. 3A 4.3, 4.6 to 4.8). Reserved bits
//! exist only while CR4.PSE is set (4.3).

use base::{AccessSize, LinearAddr, PhysAddr};
use memory::{GATE_NEXT, RamBlock, Target};

use super::Mmu;
use super::fetch::CodePage;
use super::tlb::{Tlb, TlbEntry, rights};
use crate::{Cpu, Exception, cr};

/// The control bits that the walk depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagingMode {
    /// CR0.PG.
    pub on: bool,
    /// CR0.WP: supervisor writes obey read-only pages.
    pub write_protect: bool,
    /// CR4.PSE: 4 MiB pages.
    pub page_size_extension: bool,
    /// Physical address of the page directory.
    pub directory: u32,
}

/// Pages noted one by one before the whole epoch ends.
const MOST_INVALIDATED: usize = 64;

/// Bits of a page-table or page-directory entry.
mod pte {
    pub const P: u32 = 1 << 0;
    pub const RW: u32 = 1 << 1;
    pub const US: u32 = 1 << 2;
    pub const A: u32 = 1 << 5;
    pub const D: u32 = 1 << 6;
    pub const PS: u32 = 1 << 7;
    pub const FRAME: u32 = 0xffff_f000;
    pub const LARGE_FRAME: u32 = 0xffc0_0000;
    /// Bits 12 to 21 of a 4 MiB page's entry: PSE-36 (13 to 21) and PAT (12) are not offered.
    pub const LARGE_RESERVED: u32 = 0x003f_f000;
    /// Bit 7 of a 4 KiB page's entry: PAT's.
    pub const RESERVED: u32 = 1 << 7;
}

/// Bits of a page fault's error code (SDM Vol. 3A 4.7).
mod pf {
    pub const P: u32 = 1 << 0;
    pub const W: u32 = 1 << 1;
    pub const U: u32 = 1 << 2;
    pub const RSVD: u32 = 1 << 3;
}

/// Direction and privilege of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// A write.
    pub write: bool,
    /// Checked with ring 3's rights.
    pub user: bool,
}

impl Intent {
    fn fault(self, la: LinearAddr, code: u32) -> Exception {
        let write = if self.write { pf::W } else { 0 };
        let user = if self.user { pf::U } else { 0 };
        Exception::Pf { la, code: code | write | user }
    }
}

impl Cpu {
    /// The translation of `la` for an access, from the TLB or the page tables.
    ///
    /// Sets A in both levels; D is set when `commit` holds and the access is a write.
    ///
    /// # Errors
    /// #PF.
    #[inline]
    pub(super) fn translate(
        &mut self,
        la: LinearAddr,
        intent: Intent,
        commit: bool,
    ) -> Result<TlbEntry, Exception> {
        if let Some(entry) = self.mmu.tlb.lookup(la.page())
            && entry.allows(intent.write, intent.user)
            && !(intent.write && commit && entry.rights & rights::DIRTY == 0)
        {
            return Ok(*entry);
        }
        let entry = self.mmu.fill(la, intent, commit);
        if std::mem::take(&mut self.mmu.remapped) {
            self.mapping_changed();
        }
        // An accessed or dirty bit may have been set in a line with code.
        self.after_store();
        entry
    }

    /// What the TLB holds for the fetch of an instruction at `la`: block, offset and physical address of the
    /// page. No walk, no accessed bit; `None` when a fetch would have to walk, or the page is not plain memory.
    #[must_use]
    pub fn code_page(&self, la: LinearAddr) -> Option<CodePage> {
        let entry = self.mmu.tlb.lookup(la.page())?;
        if entry.read == 0 || !entry.allows(false, self.is_user()) {
            None
        } else {
            self.mmu.page_of(entry.phys)
        }
    }

    /// What the page tables say about the page of an instruction at `la`, as a debugger sees them.
    #[must_use]
    pub fn code_page_ahead(&self, la: LinearAddr) -> Option<CodePage> {
        let phys = self.mmu.debug_translate(la)?;
        self.mmu.page_of(PhysAddr(phys.0 & !base::PAGE_MASK))
    }
}

impl Mmu {
    /// Host address of the page of `la` when the TLB lets the access go straight there; 0 otherwise.
    #[inline]
    pub(super) fn direct_page(&self, la: LinearAddr, intent: Intent) -> u64 {
        match self.tlb.lookup(la.page()) {
            Some(entry) if !entry.allows(intent.write, intent.user) => 0,
            Some(entry) if intent.write => entry.write,
            Some(entry) => entry.read,
            None => 0,
        }
    }

    /// Walks the tables and enters the result.
    #[cold]
    fn fill(&mut self, la: LinearAddr, intent: Intent, commit: bool) -> Result<TlbEntry, Exception> {
        let (frame, rights) = if self.paging.on {
            self.walk(la, intent, commit)?
        } else {
            let all = rights::USER_READ | rights::USER_WRITE | rights::SUPERVISOR_WRITE | rights::DIRTY;
            (PhysAddr(u64::from(la.0) & !base::PAGE_MASK), all)
        };
        let mut entry = Tlb::entry(frame, rights);
        (entry.read, entry.write) = self.direct(frame);
        if rights & rights::DIRTY == 0 {
            entry.write = 0;
        }
        let other = |old: &TlbEntry| old.phys != frame || old.rights & !rights != 0;
        self.remapped |= self.tlb.lookup(la.page()).is_some_and(other);
        self.tlb.insert(la, entry);
        self.watch.changed();
        Ok(entry)
    }

    /// Host addresses that reads and writes of a physical page may go to; 0 where they may not. Writes to a
    /// page that lies across two pages of its block go over the bus, which asks the gates of both.
    pub(super) fn direct(&self, frame: PhysAddr) -> (u64, u64) {
        let Some(range) = self.view.lookup(frame.0) else { return (0, 0) };
        if range.range.last() < frame.0 | base::PAGE_MASK {
            return (0, 0);
        }
        let inside = frame.0 - range.range.first();
        let read = match &range.read {
            Target::Host(slice) => slice.block.host().address() + slice.offset + inside,
            _ => 0,
        };
        let write = match &range.write {
            Target::Host(slice) if is_open(&slice.block, slice.offset + inside) => {
                slice.block.host().address() + slice.offset + inside
            }
            _ => 0,
        };
        (read, write)
    }

    fn walk(&mut self, la: LinearAddr, intent: Intent, commit: bool) -> Result<(PhysAddr, u8), Exception> {
        self.stats.walks += 1;
        let pde_pa = PhysAddr(u64::from(self.paging.directory & pte::FRAME) + u64::from(la.0 >> 22) * 4);
        let pde = self.read_phys(pde_pa, AccessSize::B4) as u32;
        if pde & pte::P == 0 {
            return Err(intent.fault(la, 0));
        }
        if pde & pte::PS != 0 && self.paging.page_size_extension {
            return self.walk_large(la, intent, commit, (pde_pa, pde));
        }
        let pte_pa = PhysAddr(u64::from(pde & pte::FRAME) + u64::from(la.0 >> 12 & 0x3ff) * 4);
        let pte = self.read_phys(pte_pa, AccessSize::B4) as u32;
        if pte & pte::P == 0 {
            return Err(intent.fault(la, 0));
        }
        if pte & pte::RESERVED != 0 && self.paging.page_size_extension {
            return Err(intent.fault(la, pf::P | pf::RSVD));
        }
        let rights = self.check(la, intent, pde & pte)?;
        self.set_bits(pde_pa, pde, pte::A);
        let dirty = intent.write && commit;
        let pte = self.set_bits(pte_pa, pte, if dirty { pte::A | pte::D } else { pte::A });
        let rights = if pte & pte::D != 0 { rights | rights::DIRTY } else { rights };
        Ok((PhysAddr(u64::from(pte & pte::FRAME)), rights))
    }

    fn walk_large(
        &mut self,
        la: LinearAddr,
        intent: Intent,
        commit: bool,
        (pde_pa, pde): (PhysAddr, u32),
    ) -> Result<(PhysAddr, u8), Exception> {
        if pde & pte::LARGE_RESERVED != 0 {
            return Err(intent.fault(la, pf::P | pf::RSVD));
        }
        let rights = self.check(la, intent, pde)?;
        let dirty = intent.write && commit;
        let pde = self.set_bits(pde_pa, pde, if dirty { pte::A | pte::D } else { pte::A });
        let rights = if pde & pte::D != 0 { rights | rights::DIRTY } else { rights };
        self.large_pages = true;
        let frame = pde & pte::LARGE_FRAME | la.0 & !pte::LARGE_FRAME & pte::FRAME;
        Ok((PhysAddr(u64::from(frame)), rights))
    }

    /// Rights of a page whose entries of both levels, ANDed, are `entries` (SDM Vol. 3A 4.6.1).
    fn check(&self, la: LinearAddr, intent: Intent, entries: u32) -> Result<u8, Exception> {
        let (user, writable) = (entries & pte::US != 0, entries & pte::RW != 0);
        let mut rights = 0;
        if user {
            rights |= rights::USER_READ;
        }
        if user && writable {
            rights |= rights::USER_WRITE;
        }
        if writable || !self.paging.write_protect {
            rights |= rights::SUPERVISOR_WRITE;
        }
        let probe = Tlb::entry(PhysAddr(0), rights);
        if probe.allows(intent.write, intent.user) { Ok(rights) } else { Err(intent.fault(la, pf::P)) }
    }

    fn set_bits(&mut self, at: PhysAddr, entry: u32, bits: u32) -> u32 {
        if entry & bits != bits {
            self.write_phys(at, AccessSize::B4, u64::from(entry | bits));
        }
        entry | bits
    }

    /// Physical page behind `la` as a debugger sees it: no fault, no accessed bit.
    #[must_use]
    pub fn debug_translate(&self, la: LinearAddr) -> Option<PhysAddr> {
        if !self.paging.on {
            return Some(PhysAddr(u64::from(la.0)));
        }
        let pde_pa = PhysAddr(u64::from(self.paging.directory & pte::FRAME) + u64::from(la.0 >> 22) * 4);
        let pde = self.read_phys(pde_pa, AccessSize::B4) as u32;
        if pde & pte::P == 0 {
            return None;
        }
        if pde & pte::PS != 0 && self.paging.page_size_extension {
            return Some(PhysAddr(u64::from(pde & pte::LARGE_FRAME | la.0 & !pte::LARGE_FRAME)));
        }
        let pte_pa = PhysAddr(u64::from(pde & pte::FRAME) + u64::from(la.0 >> 12 & 0x3ff) * 4);
        let pte = self.read_phys(pte_pa, AccessSize::B4) as u32;
        (pte & pte::P != 0).then(|| PhysAddr(u64::from(pte & pte::FRAME | la.page_offset())))
    }
}

impl Cpu {
    /// Takes over CR0, CR3 and CR4 after one of them changed: flushes what the change makes stale
    /// (SDM Vol. 3A 4.10.4.1).
    pub fn paging_changed(&mut self) {
        self.mmu.paging = PagingMode {
            on: self.state.cr0 & cr::CR0_PG != 0,
            write_protect: self.state.cr0 & cr::CR0_WP != 0,
            page_size_extension: self.state.cr4 & cr::CR4_PSE != 0,
            directory: self.state.cr3,
        };
        self.flush_tlb();
    }

    /// Drops every TLB entry.
    pub fn flush_tlb(&mut self) {
        self.mmu.tlb.flush();
        self.mmu.large_pages = false;
        self.mmu.stats.flushes += 1;
        self.mapping_changed();
    }

    /// INVLPG: drops the translation of the page that holds `la`.
    pub fn invlpg(&mut self, la: LinearAddr) {
        if self.mmu.large_pages {
            self.mmu.tlb.flush();
            self.mmu.large_pages = false;
            self.mapping_changed();
        } else {
            self.mmu.tlb.drop_page(la.page());
            if self.mmu.invalidated.len() < MOST_INVALIDATED {
                self.mmu.invalidated.push(la.page());
                self.state.drop_windows(la.page());
                self.state.leave |= crate::leave::MODE;
            } else {
                self.mmu.invalidated.clear();
                self.mapping_changed();
            }
        }
    }

    /// What every change of the mapping of linear addresses has in common.
    fn mapping_changed(&mut self) {
        self.state.epoch += 1;
        self.state.clear_windows();
        self.state.leave |= crate::leave::MODE;
    }
}

/// Whether the page at `offset` of a block is one page of the block, with its write gate open.
fn is_open(block: &RamBlock, offset: u64) -> bool {
    offset & base::PAGE_MASK == 0 && block.gate(offset >> base::PAGE_SHIFT) & !GATE_NEXT == 0
}
