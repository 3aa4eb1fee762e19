//! The queue of writes to coalesced ranges.
//!
//! Off unless a map turns it on. Writes that it holds are delivered in order before an access to a region that flushes,
//! before a transaction begins, and when asked. They belong to a region, not to a view, so a change of the map does not
//! lead them elsewhere. A thread that is inside of a device's callback does not deliver when it opens a transaction:
//! the device's lock is held there, and a bus master's would come after it. A device that edits the map in a callback
//! lets its regions flush ([`MapTxn::set_flush_coalesced`]).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::call::Call;
use crate::dispatch::Data;
use crate::space::SpaceInfo;
use crate::view::CallTarget;
use crate::{AccessCx, Cutting, DenyReason, MapTxn, MemAttrs, MemoryMap, TxError, TxOutcome, lock, thread};

/// Most writes that wait.
const CAPACITY: usize = 256;

/// A write that waits. It has passed the checks of its region.
pub(crate) struct QueuedWrite {
    /// What is called; its offset is that of the write.
    pub target: CallTarget,
    pub bytes: [u8; 8],
    pub len: usize,
    pub attrs: MemAttrs,
    /// The space that it was made in.
    pub info: Arc<SpaceInfo>,
}

impl QueuedWrite {
    fn deliver(&self) -> TxOutcome {
        let call = Call {
            leaf: &self.target.leaf,
            call: self.target.callback(),
            offset: self.target.offset,
            last: self.target.last,
            fill: self.info.fill(),
            qemu72: self.info.config.cutting == Cutting::Qemu72,
        };
        call.dispatch(&mut Data::Write(&self.bytes[..self.len]), &mut AccessCx::with_attrs(self.attrs))
    }
}

#[derive(Default)]
struct Waiting {
    writes: VecDeque<QueuedWrite>,
    /// Thread that delivers, 0 for none.
    delivering: usize,
}

/// Writes to coalesced ranges, in the order in which they were made.
#[derive(Default)]
pub(crate) struct WriteQueue {
    on: AtomicBool,
    /// Some wait, or are being delivered.
    pending: AtomicBool,
    waiting: Mutex<Waiting>,
    idle: Condvar,
}

impl WriteQueue {
    /// Whether writes are to be queued: one load.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Puts a write at the end; a full queue is delivered first.
    pub fn push(&self, write: QueuedWrite) {
        if lock(&self.waiting).writes.len() >= CAPACITY {
            self.flush(true);
        }
        let mut waiting = lock(&self.waiting);
        waiting.writes.push_back(write);
        self.pending.store(true, Ordering::Release);
    }

    /// Delivers what waits. While another thread does so, `wait` says whether this one waits for it.
    pub fn flush(&self, wait: bool) {
        if !self.pending.load(Ordering::Acquire) {
            return;
        }
        let me = thread::token();
        let mut waiting = lock(&self.waiting);
        while waiting.delivering != 0 {
            if waiting.delivering == me || !wait {
                return;
            }
            waiting = self.idle.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.delivering = me;
        drop(waiting);
        let delivery = Delivery(self);
        while let Some(write) = delivery.next() {
            let outcome = write.deliver();
            if outcome.error() == Some(TxError::Denied(DenyReason::Reentrant)) {
                // This thread is inside of the device: its turn comes when it no longer is.
                lock(&self.waiting).writes.push_front(write);
                return;
            }
            if let Some(error) = outcome.error() {
                // Nobody waits for the outcome, but it is counted.
                write.info.count(Some(error));
            }
        }
    }
}

/// This thread delivers.
struct Delivery<'a>(&'a WriteQueue);

impl Delivery<'_> {
    fn next(&self) -> Option<QueuedWrite> {
        lock(&self.0.waiting).writes.pop_front()
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0.waiting);
        waiting.delivering = 0;
        self.0.pending.store(!waiting.writes.is_empty(), Ordering::Release);
        self.0.idle.notify_all();
    }
}

impl MemoryMap {
    /// Turns the queue of writes to coalesced ranges on or off; what waits is delivered when it is turned off. Off at
    /// first. With it a guest's run depends on when the queue is flushed.
    ///
    /// Not from a callback of a device, nor by a thread that holds the lock of one.
    pub fn queue_writes(&self, on: bool) {
        self.0.queue.on.store(on, Ordering::Relaxed);
        if !on {
            self.flush_writes();
        }
    }

    /// Delivers the writes that wait, as before a picture is taken of what they draw.
    ///
    /// Not from a callback of a device, nor by a thread that holds the lock of one.
    pub fn flush_writes(&self) {
        self.0.queue.flush(true);
    }

    /// How many writes wait.
    #[must_use]
    pub fn queued_writes(&self) -> usize {
        lock(&self.0.queue.waiting).writes.len()
    }
}

impl MapTxn {
    /// Delivers the writes that wait, unless this thread is inside of a device's callback.
    pub(crate) fn flush_writes(&self) {
        if !thread::in_callback() {
            self.shared().queue.flush(false);
        }
    }
}
