//! IOMMUs: regions that translate an access and pass it on to another address space.

use crate::{AddressSpace, MemAttrs};

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

/// An IOMMU as a region calls it.
///
/// `translate` takes no lock of a device: it reads a published table, so that a bus master's access never waits
/// for the registers of its IOMMU.
pub trait Iommu: Send + Sync {
    /// The translation of `iova`, which is an offset in the IOMMU's region.
    ///
    /// `access` is a hint; `None` asks for everything that the entry permits. The result may depend on the address
    /// and on `ctx` alone.
    ///
    /// # Errors
    /// The reason why nothing passes there.
    fn translate(&self, iova: u64, access: Option<Access>, ctx: &IommuCtx) -> Result<IotlbEntry, IommuFault>;
}
