//! Time as devices see it: guest nanoseconds that never run backwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of guest time.
pub trait Clock: Send + Sync {
    /// Guest nanoseconds since power-on. Never decreases.
    fn now_ns(&self) -> u64;
}

/// Guest time that somebody else moves: the run loop on a board, the test in a test.
///
/// Clones and [`GuestClock::cell`] share one cell. Invariant kept by the one writer: the value never decreases.
#[derive(Clone, Debug, Default)]
pub struct GuestClock {
    ns: Arc<AtomicU64>,
}

impl GuestClock {
    /// A clock at 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The cell that the writer stores guest nanoseconds into.
    #[must_use]
    pub fn cell(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.ns)
    }

    /// Sets the time to `now_ns`.
    pub fn set_ns(&self, now_ns: u64) {
        self.ns.store(now_ns, Ordering::Release);
    }

    /// Moves the time on by `delta_ns`.
    pub fn advance_ns(&self, delta_ns: u64) {
        self.ns.fetch_add(delta_ns, Ordering::AcqRel);
    }
}

impl Clock for GuestClock {
    fn now_ns(&self) -> u64 {
        self.ns.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_and_the_cell_share_one_time() {
        let clock = GuestClock::new();
        let twin = clock.clone();
        clock.set_ns(5);
        clock.cell().fetch_add(2, Ordering::Relaxed);
        twin.advance_ns(3);
        assert_eq!((clock.now_ns(), twin.now_ns()), (10, 10));
    }
}
