//! A cheap name for the running thread, and whether it is inside of a device's callback.

use std::cell::Cell;

thread_local! {
    static ANCHOR: u8 = const { 0 };
    /// Callbacks of devices that the thread is inside of.
    static CALLBACKS: Cell<u32> = const { Cell::new(0) };
}

/// A number that no other living thread has; never 0.
#[inline]
pub(crate) fn token() -> usize {
    ANCHOR.with(|anchor| std::ptr::from_ref(anchor) as usize)
}

/// Whether the thread is inside of a device's callback.
pub(crate) fn in_callback() -> bool {
    CALLBACKS.get() != 0
}

/// A callback of a device, from here until it is dropped.
pub(crate) struct Callback(());

impl Callback {
    #[inline]
    pub(crate) fn enter() -> Self {
        CALLBACKS.set(CALLBACKS.get() + 1);
        Self(())
    }
}

impl Drop for Callback {
    #[inline]
    fn drop(&mut self) {
        CALLBACKS.set(CALLBACKS.get() - 1);
    }
}
