//! Devices as the memory model sees them: callbacks, and the lock around a device's state.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base::{AccessSize, RegionOffset};

use crate::{AccessCx, lock, thread};

/// A failed access to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The device answers with an error; the code is its own.
    #[error("device error {0}")]
    Device(u8),
    /// The device does not take such an access.
    #[error("rejected by the device")]
    Rejected,
    /// The device is in the middle of an access of the same thread.
    #[error("the device is busy with an access of the same thread")]
    Reentrant,
}

/// A device: what a board places into the memory map.
///
/// Widths, alignment and byte order are settled by the region's [`AccessRules`](crate::AccessRules) before a call.
/// An access that a callback makes itself passes `cx` on.
pub trait MmioDevice: Send {
    /// Reads `size` bytes at `off`.
    ///
    /// # Errors
    /// The device's own.
    fn read(&mut self, off: RegionOffset, size: AccessSize, cx: &mut AccessCx) -> Result<u64, BusError>;

    /// Writes the low `size` bytes of `value` at `off`.
    ///
    /// # Errors
    /// The device's own.
    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        size: AccessSize,
        cx: &mut AccessCx,
    ) -> Result<(), BusError>;

    /// Restores the state after power-on.
    fn reset(&mut self);
}

/// What a region calls. [`Device`] is the usual one; a handler of another kind keeps its own locks, and holds none
/// of them while it makes an access that may reach a callback.
pub trait MmioHandler: Send + Sync {
    /// See [`MmioDevice::read`].
    ///
    /// # Errors
    /// The device's own.
    fn read(&self, off: RegionOffset, size: AccessSize, cx: &mut AccessCx) -> Result<u64, BusError>;

    /// See [`MmioDevice::write`].
    ///
    /// # Errors
    /// The device's own.
    fn write(
        &self,
        off: RegionOffset,
        value: u64,
        size: AccessSize,
        cx: &mut AccessCx,
    ) -> Result<(), BusError>;

    /// See [`MmioDevice::reset`].
    fn reset(&self);
}

/// The identity of a handler on an access's stack: its address.
#[inline]
pub(crate) fn identity(handler: &Arc<dyn MmioHandler>) -> usize {
    Arc::as_ptr(handler).cast::<()>() as usize
}

/// The lock that the bus masters of a board take before their own.
///
/// A master whose callback reaches another device waits for that device's lock while it holds its own. Since all such
/// masters hold the domain's lock then, no two of them can wait for each other. Order: domain, device, map writer.
#[derive(Debug, Default)]
pub struct BusDomain {
    /// Thread that holds the lock, 0 for none.
    owner: AtomicUsize,
    lock: Mutex<()>,
}

impl BusDomain {
    /// A domain without masters.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes the lock, unless thread `me` holds it already.
    fn enter(&self, me: usize) -> Option<DomainGuard<'_>> {
        if self.owner.load(Ordering::Relaxed) == me {
            return None;
        }
        let locked = lock(&self.lock);
        self.owner.store(me, Ordering::Relaxed);
        Some(DomainGuard { domain: self, _locked: locked })
    }
}

/// The lock of a domain, held.
struct DomainGuard<'a> {
    domain: &'a BusDomain,
    _locked: MutexGuard<'a, ()>,
}

impl Drop for DomainGuard<'_> {
    fn drop(&mut self) {
        self.domain.owner.store(0, Ordering::Relaxed);
    }
}

/// A device behind its lock.
#[derive(Debug, Default)]
pub struct Device<T> {
    /// Thread that is inside a callback, 0 for none: an access of its that comes back is refused, not deadlocked.
    inside: AtomicUsize,
    /// Of a bus master that may reach the callbacks of other devices.
    domain: Option<Arc<BusDomain>>,
    state: Mutex<T>,
}

impl<T: MmioDevice> Device<T> {
    /// Wraps a device whose callbacks access memory at most: those of its accesses that would reach a callback are
    /// denied ([`DenyReason::LeafDevice`](crate::DenyReason::LeafDevice)), so it never waits for another device.
    #[must_use]
    pub fn new(device: T) -> Arc<Self> {
        Arc::new(Self { inside: AtomicUsize::new(0), domain: None, state: Mutex::new(device) })
    }

    /// Wraps a bus master whose callbacks may reach those of other devices.
    #[must_use]
    pub fn master(device: T, domain: &Arc<BusDomain>) -> Arc<Self> {
        let domain = Some(Arc::clone(domain));
        Arc::new(Self { inside: AtomicUsize::new(0), domain, state: Mutex::new(device) })
    }

    /// Locks the device, for its wires and its board. Not from inside one of its own callbacks; who holds it makes no
    /// access that may reach a callback.
    pub fn lock(&self) -> DeviceGuard<'_, T> {
        DeviceGuard { locked: lock(&self.state) }
    }

    /// Runs a callback with the device locked.
    #[inline]
    fn call<R>(
        &self,
        cx: &mut AccessCx,
        callback: impl FnOnce(&mut T, &mut AccessCx) -> Result<R, BusError>,
    ) -> Result<R, BusError> {
        let me = thread::token();
        if self.inside.load(Ordering::Relaxed) == me {
            return Err(BusError::Reentrant);
        }
        let domain = self.domain.as_ref().and_then(|domain| domain.enter(me));
        let mut state = lock(&self.state);
        self.inside.store(me, Ordering::Relaxed);
        let inside = (Inside(&self.inside), thread::Callback::enter());
        let outer = cx.set_leaf(self.domain.is_none());
        let result = callback(&mut state, cx);
        cx.set_leaf(outer);
        drop(inside);
        drop(state);
        drop(domain);
        result
    }
}

/// Forgets the thread inside when the callback ends, by a panic too.
struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl<T: MmioDevice> MmioHandler for Device<T> {
    fn read(&self, off: RegionOffset, size: AccessSize, cx: &mut AccessCx) -> Result<u64, BusError> {
        self.call(cx, |device, cx| device.read(off, size, cx))
    }

    fn write(
        &self,
        off: RegionOffset,
        value: u64,
        size: AccessSize,
        cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.call(cx, |device, cx| device.write(off, value, size, cx))
    }

    fn reset(&self) {
        self.lock().reset();
    }
}

/// A locked device.
pub struct DeviceGuard<'a, T> {
    locked: MutexGuard<'a, T>,
}

impl<T> Deref for DeviceGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.locked
    }
}

impl<T> DerefMut for DeviceGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.locked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    struct Fragile(u64);

    impl MmioDevice for Fragile {
        fn read(&mut self, off: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
            assert!(off.0 != 1, "asked for");
            Ok(self.0)
        }

        fn write(
            &mut self,
            _: RegionOffset,
            value: u64,
            _: AccessSize,
            _: &mut AccessCx,
        ) -> Result<(), BusError> {
            self.0 = value;
            Ok(())
        }

        fn reset(&mut self) {
            self.0 = 0;
        }
    }

    #[test]
    fn a_panic_in_a_callback_does_not_spread() {
        let device = Device::new(Fragile(7));
        let read = |off| MmioHandler::read(&*device, RegionOffset(off), AccessSize::B1, &mut AccessCx::cpu());
        assert!(catch_unwind(AssertUnwindSafe(|| read(1))).is_err());
        assert_eq!(read(0), Ok(7));
        device.lock().0 = 8;
        assert_eq!(read(0), Ok(8));
        MmioHandler::reset(&*device);
        assert_eq!(read(0), Ok(0));
    }
}
