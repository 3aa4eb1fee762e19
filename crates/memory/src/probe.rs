//! What would become of an access, found out without making it.

use crate::dispatch::{is_memory, room};
use crate::walk::walk;
use crate::{Access, AddressSpace, DenyReason, FlatView, MemAttrs, RejectReason, Target, TxError};

impl AddressSpace {
    /// Whether a bus master's access of `len` bytes at `addr` would be taken everywhere: no callback is made and no
    /// memory touched, but IOMMUs are asked. What a ROM drops counts as taken.
    ///
    /// # Errors
    /// The first address that would fail, and why. A device may still fail what its region takes.
    pub fn probe(&self, addr: u64, len: u64, access: Access, attrs: MemAttrs) -> Result<(), (u64, TxError)> {
        self.view().probe(addr, len, access, attrs)
    }
}

impl FlatView {
    /// See [`AddressSpace::probe`].
    pub(crate) fn probe(
        &self,
        addr: u64,
        len: u64,
        access: Access,
        attrs: MemAttrs,
    ) -> Result<(), (u64, TxError)> {
        let mut done = 0;
        while done < len {
            let at = addr.checked_add(done).ok_or((addr.wrapping_add(done), TxError::PastEnd))?;
            done += self.probe_step(at, len - done, access, attrs).map_err(|error| (at, error))?;
        }
        Ok(())
    }

    /// How many of the first bytes would be taken alike.
    fn probe_step(&self, at: u64, left: u64, access: Access, attrs: MemAttrs) -> Result<u64, TxError> {
        let place = walk(self, at, Some(access), attrs).map_err(|blocked| blocked.error)?;
        let write = access == Access::Write;
        let left = left.min(place.rest.saturating_add(1));
        let range = place.view.lookup(place.at).ok_or(TxError::Unassigned)?;
        if attrs.memory_only && !is_memory(range, write) {
            return Err(TxError::Denied(DenyReason::MemoryOnly));
        }
        let here = room(range.range.last(), place.at, left);
        match range.target(write) {
            Target::Host(_) | Target::Discard => Ok(here),
            Target::Call(target) => {
                let offset = target.offset + (place.at - range.range.first());
                let rules = &target.callback().rules;
                let size = rules.copy_width(offset, left, u128::from(target.last - offset) + 1);
                rules.check(offset, size, write).map_err(TxError::Rejected)?;
                Ok(size.bytes())
            }
            Target::Unassigned if range.binding(write).is_some() => {
                Err(TxError::Rejected(RejectReason::Reserved))
            }
            Target::Unassigned => Err(TxError::Unassigned),
            Target::Translate(_) => unreachable!("a walk ends where no IOMMU answers"),
        }
    }
}
