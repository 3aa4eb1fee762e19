//! The spaces that one processor or bus master sees, of which the attributes of an access select one.

use crate::{AccessCx, AddressSpace, MemAttrs, TxOutcome};

/// A space for ordinary accesses, and another for those made in system-management mode if it differs.
#[derive(Clone, Debug)]
pub struct SpaceSet {
    normal: AddressSpace,
    secure: Option<AddressSpace>,
}

impl SpaceSet {
    /// One space for every access.
    #[must_use]
    pub const fn new(normal: AddressSpace) -> Self {
        Self { normal, secure: None }
    }

    /// Accesses whose attributes say `secure` go to `secure`.
    #[must_use]
    pub fn with_secure(mut self, secure: AddressSpace) -> Self {
        self.secure = Some(secure);
        self
    }

    /// The space that an access with these attributes goes to.
    #[must_use]
    pub fn select(&self, attrs: MemAttrs) -> &AddressSpace {
        self.secure.as_ref().filter(|_| attrs.secure).unwrap_or(&self.normal)
    }

    /// Reads bytes through the space that `cx` selects, see [`AddressSpace::read`].
    pub fn read(&self, addr: u64, bytes: &mut [u8], cx: &mut AccessCx) -> TxOutcome {
        self.select(cx.attrs()).read(addr, bytes, cx)
    }

    /// Writes bytes through the space that `cx` selects, see [`AddressSpace::write`].
    pub fn write(&self, addr: u64, bytes: &[u8], cx: &mut AccessCx) -> TxOutcome {
        self.select(cx.attrs()).write(addr, bytes, cx)
    }
}
