//! The memory that mappings bounce through, of which a space has a bounded amount.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::lock;

/// Called once, on the thread that gives bounce memory back.
type Wake = Box<dyn FnOnce() + Send>;

struct Waiter {
    id: u64,
    bytes: u64,
    wake: Wake,
}

#[derive(Default)]
struct State {
    used: u64,
    waiters: Vec<Waiter>,
}

/// The budget of one space.
pub(crate) struct BouncePool {
    limit: u64,
    next_waiter: AtomicU64,
    state: Mutex<State>,
}

impl BouncePool {
    pub fn new(limit: u64) -> Self {
        Self { limit, next_waiter: AtomicU64::new(0), state: Mutex::default() }
    }

    /// Bytes that all mappings together may use.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Takes bytes out of the budget; the bytes that are free if these are too many.
    pub fn take(self: &Arc<Self>, bytes: u64) -> Result<BounceShare, u64> {
        let mut state = lock(&self.state);
        let free = self.limit - state.used;
        if bytes > free {
            return Err(free);
        }
        state.used += bytes;
        Ok(BounceShare { pool: Arc::clone(self), bytes })
    }

    /// Calls `wake` once `bytes` are free, at once if they are.
    pub fn when_free(self: &Arc<Self>, bytes: u64, wake: Wake) -> BounceWait {
        let id = self.next_waiter.fetch_add(1, Ordering::Relaxed);
        let now = {
            let mut state = lock(&self.state);
            if bytes <= self.limit - state.used {
                Some(wake)
            } else {
                state.waiters.push(Waiter { id, bytes, wake });
                None
            }
        };
        if let Some(wake) = now {
            wake();
        }
        BounceWait { pool: Arc::clone(self), id }
    }

    /// Gives bytes back and wakes those for whom enough is free now, in the order in which they came.
    fn give(&self, bytes: u64) {
        let woken: Vec<_> = {
            let mut state = lock(&self.state);
            state.used -= bytes;
            let free = self.limit - state.used;
            state.waiters.extract_if(.., |waiter| waiter.bytes <= free).collect()
        };
        woken.into_iter().for_each(|waiter| (waiter.wake)());
    }
}

/// Bytes taken out of a budget; dropped, they are given back.
pub(crate) struct BounceShare {
    pool: Arc<BouncePool>,
    bytes: u64,
}

impl Drop for BounceShare {
    fn drop(&mut self) {
        self.pool.give(self.bytes);
    }
}

/// Who waits for bounce memory. Dropped, it waits no more.
#[must_use = "dropped, nobody is woken"]
pub struct BounceWait {
    pool: Arc<BouncePool>,
    id: u64,
}

impl Drop for BounceWait {
    fn drop(&mut self) {
        let gone: Vec<_> = {
            let mut state = lock(&self.pool.state);
            state.waiters.extract_if(.., |waiter| waiter.id == self.id).collect()
        };
        // What a callback owns is dropped without the lock.
        drop(gone);
    }
}

/// Bounce memory. A host pointer to it may be given away, so it is cells, not bytes.
pub(crate) struct BounceBuffer(Box<[AtomicU8]>);

impl BounceBuffer {
    /// Zero bytes.
    pub fn new(len: usize) -> Self {
        Self((0..len).map(|_| AtomicU8::new(0)).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// Copies bytes out, all of which exist.
    pub fn read(&self, from: usize, bytes: &mut [u8]) {
        for (byte, cell) in bytes.iter_mut().zip(&self.0[from..]) {
            *byte = cell.load(Ordering::Relaxed);
        }
    }

    /// Copies bytes in, all of which exist.
    pub fn write(&self, from: usize, bytes: &[u8]) {
        for (byte, cell) in bytes.iter().zip(&self.0[from..]) {
            cell.store(*byte, Ordering::Relaxed);
        }
    }
}
