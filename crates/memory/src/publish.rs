//! The publication cell: holds the view in force; readers take it without waiting, one writer replaces it.
//!
//! Two places, of which one holds the value in force. The writer fills the other place, names it, and then empties
//! the first. A reader takes what the named place holds. Meets it the writer there, the writer has named the other
//! place meanwhile, and the reader looks again: a reader repeats itself only because a new value was published, and
//! never waits for a thread that does not run. The writer waits for readers in the middle of a copy, which is a few
//! instructions. When [`Cell::publish`] returns, the cell holds nothing of the old value.

use crate::sync::{AtomicUsize, Ordering, RwLock, TryLockError, spin};

/// A value that is replaced as a whole: an `Arc` of what readers go on to use.
pub(crate) struct Cell<T> {
    /// The place to read, 0 or 1.
    named: AtomicUsize,
    places: [RwLock<Option<T>>; 2],
}

impl<T: Clone> Cell<T> {
    pub fn new(value: T) -> Self {
        Self { named: AtomicUsize::new(0), places: [RwLock::new(Some(value)), RwLock::new(None)] }
    }

    /// The value in force.
    pub fn get(&self) -> T {
        loop {
            let place = &self.places[self.named.load(Ordering::Acquire)];
            let value = match place.try_read() {
                Ok(value) => value.clone(),
                Err(TryLockError::Poisoned(value)) => value.into_inner().clone(),
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(value) = value {
                return value;
            }
            spin();
        }
    }

    /// Puts `value` in force and returns the one that was. One thread at a time.
    pub fn publish(&self, value: T) -> Option<T> {
        let old = self.named.load(Ordering::Relaxed);
        self.replace(1 - old, Some(value));
        self.named.store(1 - old, Ordering::Release);
        self.replace(old, None)
    }

    fn replace(&self, place: usize, value: Option<T>) -> Option<T> {
        let mut held = self.places[place].write().unwrap_or_else(|poisoned| poisoned.into_inner());
        std::mem::replace(&mut *held, value)
    }
}
