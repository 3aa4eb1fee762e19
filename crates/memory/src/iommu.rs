//! IOMMUs: regions that translate an access and pass it on to another address space.

use base::AddrRange;

use crate::{AddressSpace, IommuNotifiers, MemAttrs, NotifyKinds};

/// Most IOMMUs in a row that one access may pass.
pub(crate) const MAX_CHAIN: u8 = 8;

/// Bytes that a translation fault covers when the model gives no entry: the smallest page.
pub(crate) const FAULT_LEN: u64 = base::PAGE_SIZE;

/// What an access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Read,
    /// Write.
    Write,
}

/// Who asks for a translation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IommuCtx {
    /// The access's attributes.
    pub attrs: MemAttrs,
    /// Which of the IOMMU's sets of mappings they select ([`Iommu::index_of`]).
    pub index: u32,
}

/// A translation that an IOMMU has in force.
///
/// It covers the addresses that differ from `iova` in the bits of `mask` only.
#[derive(Clone, Debug)]
pub struct IotlbEntry {
    /// Where the access goes on.
    pub target: AddressSpace,
    /// An address that the entry covers.
    pub iova: u64,
    /// Its translation; the bits of `mask` are those of the access.
    pub translated: u64,
    /// The address bits that pass unchanged: page size minus 1.
    pub mask: u64,
    /// Reads may pass.
    pub read: bool,
    /// Writes may pass.
    pub write: bool,
}

/// Why an IOMMU has no translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IommuFault {
    /// The address is not mapped.
    #[error("not mapped")]
    Unmapped,
    /// The mapping does not permit the access.
    #[error("not permitted")]
    Permission,
    /// The tables are broken.
    #[error("invalid table entry")]
    InvalidEntry,
}

impl IotlbEntry {
    /// Whether an access may pass.
    #[must_use]
    pub const fn permits(&self, access: Access) -> bool {
        match access {
            Access::Read => self.read,
            Access::Write => self.write,
        }
    }
}

/// An access that an IOMMU did not let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRecord {
    /// Its address, an offset in the IOMMU's region.
    pub iova: u64,
    /// What it wanted to do.
    pub access: Access,
    /// Who made it.
    pub ctx: IommuCtx,
    /// Why it did not pass.
    pub reason: IommuFault,
}

/// An IOMMU as a region calls it.
///
/// `translate` takes no lock of a device: it reads a published table, so that a bus master's access never waits
/// for the registers of its IOMMU. The other callbacks only record or post, for the same reason.
pub trait Iommu: Send + Sync {
    /// The translation of `iova`, which is an offset in the IOMMU's region.
    ///
    /// `access` is a hint; `None` asks for everything that the entry permits. The result may depend on the address
    /// and on the index in `ctx` alone.
    ///
    /// # Errors
    /// The reason why nothing passes there.
    fn translate(&self, iova: u64, access: Option<Access>, ctx: &IommuCtx) -> Result<IotlbEntry, IommuFault>;

    /// How many sets of mappings there are, numbered from 0.
    fn indexes(&self) -> u32 {
        1
    }

    /// The set of mappings that an access with these attributes uses.
    fn index_of(&self, _attrs: MemAttrs) -> u32 {
        0
    }

    /// Bytes of the smallest page, a power of two: mappings begin and end at multiples of it.
    fn min_page_size(&self) -> u64 {
        base::PAGE_SIZE
    }

    /// The mappings of one set that lie in `range` or reach into it, in ascending order. Without an implementation of
    /// its own, every page of the range is asked for.
    fn mappings(&self, range: AddrRange, index: u32) -> Box<dyn Iterator<Item = IotlbEntry> + '_> {
        let ctx = IommuCtx { attrs: MemAttrs::default(), index };
        let page = self.min_page_size();
        let mut next = Some(range.first() & !(page - 1));
        Box::new(std::iter::from_fn(move || {
            loop {
                let at = next.filter(|at| *at <= range.last())?;
                let entry = self.translate(at, None, &ctx).ok().filter(|entry| entry.read || entry.write);
                // Only a mask of low bits says where the entry ends.
                let covered = entry.as_ref().map_or(0, |entry| entry.mask);
                let low = covered & covered.wrapping_add(1) == 0;
                let last = if low { at | covered | (page - 1) } else { at | (page - 1) };
                next = last.checked_add(1);
                if entry.is_some() {
                    return entry;
                }
            }
        }))
    }

    /// Told about an access that did not pass, on the thread that made it.
    fn fault(&self, _record: &FaultRecord) {}

    /// Who is to be told when mappings change. Without, changes are never announced, so translations must not be
    /// remembered.
    fn notifiers(&self) -> Option<&IommuNotifiers> {
        None
    }

    /// Asked when the kinds of change that anybody wants to hear of go from `from` to `to`. It does not use the list of
    /// notifiers, which is locked meanwhile.
    ///
    /// # Errors
    /// A reason for not having it: the new notifier is then refused.
    fn notifiers_changed(&self, _from: NotifyKinds, _to: NotifyKinds) -> Result<(), String> {
        Ok(())
    }
}

/// Asks for the translation of one access: its mask, and the entry if the access may pass. With `record`, a fault is
/// reported to the model.
pub(crate) fn ask(
    iommu: &dyn Iommu,
    iova: u64,
    access: Option<Access>,
    attrs: MemAttrs,
    record: bool,
) -> (u64, Result<IotlbEntry, IommuFault>) {
    let ctx = IommuCtx { attrs, index: iommu.index_of(attrs) };
    let (mask, result) = match iommu.translate(iova, access, &ctx) {
        Ok(entry) => {
            let permitted = access.map_or(entry.read || entry.write, |access| entry.permits(access));
            (entry.mask, if permitted { Ok(entry) } else { Err(IommuFault::Permission) })
        }
        Err(fault) => (FAULT_LEN - 1, Err(fault)),
    };
    if let (Err(reason), Some(access), true) = (&result, access, record) {
        iommu.fault(&FaultRecord { iova, access, ctx, reason: *reason });
    }
    (mask, result)
}
