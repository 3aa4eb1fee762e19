//! What an access carries and how it ends.

use base::AccessSize;

use crate::IommuFault;

/// Most device callbacks that one access may be inside of at a time.
pub(crate) const MAX_DEPTH: usize = 8;

/// Attributes of an access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemAttrs {
    /// Who makes the access, for IOMMUs.
    pub requester: u16,
    /// Made in system-management mode.
    pub secure: bool,
    /// Made with user privilege.
    pub user: bool,
    /// May reach plain memory only; everything else is denied.
    pub memory_only: bool,
    /// Made by a debugger.
    pub debug: bool,
}

/// What becomes of the rest of an access after a piece of it has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It is carried out, as in QEMU.
    #[default]
    Continue,
    /// It is left out: no further callback is made, nothing further is written, and what was still to be read gives
    /// the policy's value.
    Stop,
}

/// What a debugger's access may reach besides memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DebugReach {
    /// Nothing: an access that would be a callback is denied.
    #[default]
    Memory,
    /// Callbacks, with all that they do to their devices.
    Devices,
}

/// One access on its way: its attributes and the devices that it is inside of.
///
/// A device callback that makes accesses of its own passes the context that it was called with.
#[derive(Clone, Debug, Default)]
pub struct AccessCx {
    attrs: MemAttrs,
    on_error: OnError,
    debug_reach: DebugReach,
    /// The callback entered last belongs to a device that may reach memory only.
    leaf: bool,
    /// Addresses of the handlers whose callbacks the access is inside of; they live while they are here.
    stack: [usize; MAX_DEPTH],
    depth: u8,
}

impl AccessCx {
    /// An access of the processor.
    #[must_use]
    pub const fn cpu() -> Self {
        Self::with_attrs(MemAttrs {
            requester: 0,
            secure: false,
            user: false,
            memory_only: false,
            debug: false,
        })
    }

    /// An access of a bus master outside of any callback.
    #[must_use]
    pub const fn dma() -> Self {
        Self::cpu()
    }

    /// An access with these attributes outside of any callback.
    #[must_use]
    pub const fn with_attrs(attrs: MemAttrs) -> Self {
        Self {
            attrs,
            on_error: OnError::Continue,
            debug_reach: DebugReach::Memory,
            leaf: false,
            stack: [0; MAX_DEPTH],
            depth: 0,
        }
    }

    /// An access of a debugger. It writes the memory behind what reads show, ROM and ROM devices included, and
    /// reaches devices only if `reach` says so.
    #[must_use]
    pub const fn debugger(reach: DebugReach) -> Self {
        let mut cx = Self::cpu();
        (cx.attrs.debug, cx.debug_reach) = (true, reach);
        cx
    }

    /// The same access with another rule for what comes after a failure.
    #[must_use]
    pub const fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Its attributes.
    #[must_use]
    pub const fn attrs(&self) -> MemAttrs {
        self.attrs
    }

    /// How many device callbacks the access is inside of.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth as usize
    }

    /// Whether nothing about the access asks for more than the plain way.
    #[inline]
    pub(crate) const fn is_plain(&self) -> bool {
        !self.attrs.memory_only && !self.attrs.debug && !self.leaf
    }

    /// Whether an access that ended so is not to go on.
    pub(crate) fn stops_after(&self, outcome: &TxOutcome) -> bool {
        self.on_error == OnError::Stop && !outcome.is_ok()
    }

    /// Why the access may not become a callback, if it may not.
    pub(crate) const fn denies_callbacks(&self) -> Option<DenyReason> {
        match self.debug_reach {
            _ if self.leaf => Some(DenyReason::LeafDevice),
            DebugReach::Memory if self.attrs.debug => Some(DenyReason::Debugger),
            DebugReach::Memory | DebugReach::Devices => None,
        }
    }

    /// Says that the callback which is about to run is one of a device that may reach memory only, or no longer is;
    /// returns what held before.
    #[inline]
    pub(crate) fn set_leaf(&mut self, leaf: bool) -> bool {
        std::mem::replace(&mut self.leaf, leaf)
    }

    /// Enters a callback of `device`.
    #[inline]
    pub(crate) fn enter(&mut self, device: usize) -> Result<(), DenyReason> {
        let depth = self.depth();
        if self.stack[..depth].contains(&device) {
            return Err(DenyReason::Reentrant);
        }
        *self.stack.get_mut(depth).ok_or(DenyReason::TooDeep)? = device;
        self.depth += 1;
        Ok(())
    }

    /// Leaves the callback entered last.
    #[inline]
    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}

/// Who cuts an access before dispatch, and how (memory-api.md, 13.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// Loads and stores of the processor: pieces of the largest power of two up to 8 that divides both the address
    /// and what remains.
    Cpu,
    /// Bus masters and debuggers: as wide as the region takes, aligned to its offset.
    ByteCopy,
    /// Port instructions: as `ByteCopy`, but as `Typed` where the space follows QEMU 7.2.
    Port,
    /// One dispatch of exactly that width; what the region rejects is not cut further.
    Typed,
}

/// Why a region refused an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// The region's own check said no.
    NotAccepted,
    /// The offset is no multiple of the width.
    Unaligned,
    /// The width is outside the valid ones.
    Width,
    /// The access is narrower than the device and its rules refuse that.
    Narrow,
    /// The access reaches past the end of the region.
    PastEnd,
    /// The region is a reservation: nobody answers.
    Reserved,
    /// The device refused.
    Device,
}

/// Why an access was denied before it reached a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyReason {
    /// The access is already inside a callback of the device.
    Reentrant,
    /// The access is inside of too many callbacks.
    TooDeep,
    /// The access may reach plain memory only.
    MemoryOnly,
    /// The access comes from a callback of a device that may reach memory only ([`Device::new`](crate::Device::new)).
    LeafDevice,
    /// The access is a debugger's that may reach memory only.
    Debugger,
}

/// Why a piece of an access failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// Nothing is mapped there.
    #[error("unassigned")]
    Unassigned,
    /// The region does not take such an access.
    #[error("rejected: {0:?}")]
    Rejected(RejectReason),
    /// The device answered with an error of its own.
    #[error("device error {0}")]
    Device(u8),
    /// The access was not let through.
    #[error("denied: {0:?}")]
    Denied(DenyReason),
    /// An IOMMU did not let it pass.
    #[error("IOMMU fault: {0}")]
    Fault(IommuFault),
    /// IOMMUs lead to each other without end.
    #[error("translation loop")]
    TranslationLoop,
    /// The access reaches past 2^64.
    #[error("past the end of the address space")]
    PastEnd,
}

impl TxError {
    const fn bit(self) -> u8 {
        match self {
            Self::Unassigned => TxErrorSet::UNASSIGNED.0,
            Self::Rejected(_) => TxErrorSet::REJECTED.0,
            Self::Device(_) => TxErrorSet::DEVICE.0,
            Self::Denied(_) => TxErrorSet::DENIED.0,
            Self::Fault(_) => TxErrorSet::FAULT.0,
            Self::TranslationLoop => TxErrorSet::LOOP.0,
            Self::PastEnd => TxErrorSet::PAST_END.0,
        }
    }
}

/// The kinds of failure that one access met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxErrorSet(u8);

impl TxErrorSet {
    /// A piece was unassigned.
    pub const UNASSIGNED: Self = Self(1 << 0);
    /// A piece was rejected.
    pub const REJECTED: Self = Self(1 << 1);
    /// A device reported an error.
    pub const DEVICE: Self = Self(1 << 2);
    /// A piece was denied.
    pub const DENIED: Self = Self(1 << 3);
    /// An IOMMU faulted.
    pub const FAULT: Self = Self(1 << 4);
    /// IOMMUs led to each other without end.
    pub const LOOP: Self = Self(1 << 5);
    /// A piece lay past 2^64.
    pub const PAST_END: Self = Self(1 << 6);

    /// Whether every kind of `other` is in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no piece failed.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// How an access ended. Pieces after a failed one are still carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxOutcome {
    /// Bytes before the first failure.
    pub done: u64,
    /// Address, in the space that was asked, and reason of the first failure.
    pub first_error: Option<(u64, TxError)>,
    /// Every kind of failure met.
    pub errors: TxErrorSet,
}

impl TxOutcome {
    /// The outcome of `bytes` bytes without failure.
    pub(crate) const fn all(bytes: u64) -> Self {
        Self { done: bytes, first_error: None, errors: TxErrorSet(0) }
    }

    /// Whether every piece succeeded. What a ROM drops counts as success.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.first_error.is_none()
    }

    /// The first failure's reason.
    #[must_use]
    pub fn error(&self) -> Option<TxError> {
        self.first_error.map(|(_, error)| error)
    }

    /// Notes that `bytes` more bytes succeeded.
    pub(crate) fn succeeded(&mut self, bytes: u64) {
        if self.is_ok() {
            self.done = self.done.saturating_add(bytes);
        }
    }

    /// Notes a failure at `addr`.
    pub(crate) fn failed(&mut self, addr: u64, error: TxError) {
        self.errors.0 |= error.bit();
        if self.first_error.is_none() {
            self.first_error = Some((addr, error));
        }
    }

    /// Adds what happened to the part of the access that began at `addr` after `self`.
    pub(crate) fn append(&mut self, next: &Self, addr: u64) {
        self.succeeded(next.done);
        if let Some((_, error)) = next.first_error {
            self.failed(addr.wrapping_add(next.done), error);
        }
        self.errors.0 |= next.errors.0;
    }
}

/// The width that the processor's row gives a piece at `addr` when `left` bytes remain.
pub(crate) fn aligned_piece(addr: u64, left: u64) -> AccessSize {
    let both = addr | left;
    AccessSize::from_bytes(1 << both.trailing_zeros().min(3)).unwrap_or(AccessSize::B1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_entered_once_and_the_stack_is_bounded() {
        let mut cx = AccessCx::cpu();
        for device in 1..=MAX_DEPTH {
            assert_eq!(cx.enter(device), Ok(()));
        }
        assert_eq!(cx.enter(1), Err(DenyReason::Reentrant));
        assert_eq!(cx.enter(99), Err(DenyReason::TooDeep));
        cx.leave();
        assert_eq!((cx.depth(), cx.enter(MAX_DEPTH)), (7, Ok(())));
    }

    #[test]
    fn the_first_failure_counts_and_every_kind_is_kept() {
        let mut whole = TxOutcome::default();
        whole.succeeded(3);
        let mut part = TxOutcome::default();
        part.succeeded(1);
        part.failed(0x900, TxError::Device(7));
        whole.append(&part, 0x103);
        whole.failed(0x108, TxError::Unassigned);
        whole.succeeded(5);
        assert_eq!((whole.done, whole.first_error), (4, Some((0x104, TxError::Device(7)))));
        assert!(whole.errors.contains(TxErrorSet::UNASSIGNED) && whole.errors.contains(TxErrorSet::DEVICE));
        assert!(!whole.errors.contains(TxErrorSet::DENIED) && !whole.is_ok());
    }

    #[test]
    fn the_processors_pieces_divide_address_and_rest() {
        let cut = |mut addr: u64, mut left: u64| {
            let mut widths = Vec::new();
            while left != 0 {
                let width = aligned_piece(addr, left).bytes();
                (addr, left) = (addr + width, left - width);
                widths.push(width);
            }
            widths
        };
        assert_eq!(cut(1, 4), [1, 1, 1, 1]);
        assert_eq!(cut(2, 4), [2, 2]);
        assert_eq!(cut(4, 8), [4, 4]);
        assert_eq!(cut(2, 8), [2, 2, 2, 2]);
        assert_eq!(cut(3, 8), [1; 8]);
        assert_eq!(cut(3, 2), [1, 1]);
        assert_eq!(cut(0x10, 8), [8]);
    }
}
