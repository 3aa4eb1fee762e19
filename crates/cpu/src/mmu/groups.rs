//! Summary of the TLB by groups of 64 pages, so that a window grows by whole groups.
//!
//! Invariant: a set bit means that the page may be accessed so at host address `delta + la`, exactly as if
//! its entry were in the TLB; whatever drops or narrows a translation clears the bit, entry or no entry.

use super::paging::Intent;
use super::tlb::{TlbEntry, rights};

const GROUPS: usize = 512;
const SHIFT: u32 = 6;
const INSIDE: u32 = (1 << SHIFT) - 1;

/// Pages of a group that may be read and written, by supervisor and user.
#[derive(Clone, Copy, Default)]
struct Group {
    /// Group number plus one; 0 is empty.
    tag: u32,
    /// Host address minus linear address, wrapping.
    delta: u64,
    read: [u64; 2],
    write: [u64; 2],
}

impl Group {
    fn mask(&self, intent: Intent) -> u64 {
        let class = usize::from(intent.user);
        if intent.write { self.write[class] } else { self.read[class] }
    }

    fn clear(&mut self, keep: u64) {
        for mask in self.read.iter_mut().chain(&mut self.write) {
            *mask &= keep;
        }
    }
}

/// The summary.
pub struct Groups(Box<[Group]>);

impl Groups {
    pub fn new() -> Self {
        Self(vec![Group::default(); GROUPS].into_boxed_slice())
    }

    fn slot(&mut self, page: u32) -> &mut Group {
        &mut self.0[(page >> SHIFT) as usize % GROUPS]
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.fill(Group::default());
    }

    /// Takes over what a TLB entry of `page` says.
    pub fn note(&mut self, page: u32, entry: &TlbEntry) {
        let tag = (page >> SHIFT) + 1;
        let delta = entry.read.wrapping_sub(u64::from(page) << base::PAGE_SHIFT);
        let bit = 1u64 << (page & INSIDE);
        let group = self.slot(page);
        if entry.read == 0 {
            if group.tag == tag {
                group.clear(!bit);
            }
            return;
        }
        if group.tag != tag || group.delta != delta {
            *group = Group { tag, delta, ..Group::default() };
        }
        group.clear(!bit);
        let writable = |right| entry.write == entry.read && entry.rights & right != 0;
        let bit_if = |allowed| if allowed { bit } else { 0 };
        group.read[0] |= bit;
        group.read[1] |= bit_if(entry.rights & rights::USER_READ != 0);
        group.write[0] |= bit_if(writable(rights::SUPERVISOR_WRITE));
        group.write[1] |= bit_if(writable(rights::USER_WRITE));
    }

    /// Forgets one page.
    pub fn drop_page(&mut self, page: u32) {
        let tag = (page >> SHIFT) + 1;
        let group = self.slot(page);
        if group.tag == tag {
            group.clear(!(1 << (page & INSIDE)));
        }
    }

    /// Takes the stores to host page `host` away.
    pub fn close_writes(&mut self, host: u64) {
        for group in self.0.iter_mut().filter(|group| group.tag != 0) {
            let page = host.wrapping_sub(group.delta) >> base::PAGE_SHIFT;
            if page >> SHIFT == u64::from(group.tag - 1) {
                let keep = !(1u64 << (page & u64::from(INSIDE)));
                group.write[0] &= keep;
                group.write[1] &= keep;
            }
        }
    }

    /// How many pages from `page` on, upwards or downwards inside its group, may be accessed so at `delta`.
    pub fn run(&mut self, page: u32, delta: u64, intent: Intent, upwards: bool) -> u32 {
        let group = *self.slot(page);
        if group.tag != (page >> SHIFT) + 1 || group.delta != delta {
            return 0;
        }
        let (mask, inside) = (group.mask(intent), page & INSIDE);
        if upwards {
            (mask >> inside).trailing_ones().min(INSIDE + 1 - inside)
        } else {
            (mask << (INSIDE - inside)).leading_ones().min(inside + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tlb::Tlb;
    use super::*;
    use base::PhysAddr;

    const READ: Intent = Intent { write: false, user: false };
    const WRITE: Intent = Intent { write: true, user: false };

    fn entry(host: u64, writable: bool) -> TlbEntry {
        let mut entry = Tlb::entry(PhysAddr(0), rights::SUPERVISOR_WRITE);
        entry.read = host;
        entry.write = if writable { host } else { 0 };
        entry
    }

    #[test]
    fn runs_end_at_gaps_groups_and_rights() {
        let mut groups = Groups::new();
        let delta = 0x7000_0000;
        for page in [62, 63, 64, 65, 67] {
            groups.note(page, &entry(delta + (u64::from(page) << 12), page != 65));
        }
        assert_eq!(groups.run(62, delta, READ, true), 2, "the group ends");
        assert_eq!(groups.run(64, delta, READ, true), 2, "page 66 is missing");
        assert_eq!(groups.run(64, delta, WRITE, true), 1);
        assert_eq!(groups.run(65, delta, READ, false), 2);
        assert_eq!(groups.run(64, delta + 1, READ, true), 0, "another frame");
        assert_eq!(groups.run(64, delta, Intent { write: false, user: true }, true), 0);
        groups.close_writes(delta + (64 << 12));
        assert_eq!((groups.run(64, delta, WRITE, true), groups.run(64, delta, READ, true)), (0, 2));
        groups.drop_page(64);
        assert_eq!(groups.run(64, delta, READ, true), 0);
        groups.note(67, &entry(0, false));
        assert_eq!(groups.run(67, delta, READ, true), 0, "a page that goes over the bus");
    }
}
