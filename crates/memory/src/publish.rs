//! The publication cell: holds the view in force; readers take it without waiting, one writer replaces it.
//!
//! Two places, of which one holds the value in force. The writer fills the other place, names it, and then empties
//! the first. A reader copies what the named place holds and looks whether the place is still named. If it is not, or
//! if the reader meets the writer there, the writer has named the other place meanwhile, and the reader begins again:
//! it repeats itself only because a new value was published, and never waits for a thread that does not run. The
//! writer waits for readers in the middle of a copy, which is a few instructions. When [`Cell::publish`] returns, the
//! cell holds nothing of the old value.

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
            let named = self.named.load(Ordering::Acquire);
            let value = match self.places[named].try_read() {
                Ok(value) => value.clone(),
                Err(TryLockError::Poisoned(value)) => value.into_inner().clone(),
                Err(TryLockError::WouldBlock) => None,
            };
            // A reader that was late finds a value in the place that is not in force before the place is named.
            if let Some(value) = value
                && self.named.load(Ordering::Acquire) == named
            {
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_cell_holds_the_last_value_alone() {
        let first = Arc::new(1);
        let cell = Cell::new(Arc::clone(&first));
        for value in 2..6 {
            let before = cell.get();
            let old = cell.publish(Arc::new(value)).unwrap();
            assert!(Arc::ptr_eq(&before, &old) && *cell.get() == value);
            drop(before);
            assert_eq!(Arc::strong_count(&old), if Arc::ptr_eq(&old, &first) { 2 } else { 1 });
        }
    }
}

/// Every order in which a writer and readers can meet, as far as the bounds go: CONTRIBUTING.md has the command.
#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    use super::*;

    /// A view as far as the cell is concerned: its number, and a count of those that are gone.
    struct View {
        number: usize,
        gone: Arc<AtomicUsize>,
    }

    impl Drop for View {
        fn drop(&mut self) {
            self.gone.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn model(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    /// Readers see one value or the other, and never an older one than before.
    #[test]
    fn readers_see_values_in_order() {
        model(|| {
            let cell = Arc::new(Cell::new(Arc::new(0)));
            let reader = |cell: Arc<Cell<Arc<usize>>>| {
                move || {
                    let (first, second) = (*cell.get(), *cell.get());
                    assert!(first <= second && second <= 2, "{first} and then {second}");
                }
            };
            let readers = [thread::spawn(reader(cell.clone())), thread::spawn(reader(cell.clone()))];
            for number in 1..=2 {
                let old = cell.publish(Arc::new(number));
                assert_eq!(old.as_deref(), Some(&(number - 1)));
            }
            assert_eq!(*cell.get(), 2);
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
    }

    /// What is replaced lives as long as a reader holds it, no longer, and is dropped once.
    #[test]
    fn the_last_holder_drops_a_value() {
        model(|| {
            let gone = Arc::new(AtomicUsize::new(0));
            let view = |number| Arc::new(View { number, gone: gone.clone() });
            let cell = Arc::new(Cell::new(view(0)));
            let reader = {
                let (cell, gone) = (cell.clone(), gone.clone());
                thread::spawn(move || {
                    let held = cell.get();
                    assert!(held.number <= 1);
                    // The other one may be gone, the one that is held is not.
                    assert!(gone.load(Ordering::SeqCst) <= held.number);
                    drop(held);
                })
            };
            drop(cell.publish(view(1)));
            reader.join().unwrap();
            assert_eq!(gone.load(Ordering::SeqCst), 1, "the cell keeps nothing of the old value");
            drop(cell);
            assert_eq!(gone.load(Ordering::SeqCst), 2);
        });
    }

    /// As a space publishes: who has seen the new generation gets the new view.
    #[test]
    fn a_generation_never_runs_ahead_of_its_view() {
        model(|| {
            let cell = Arc::new(Cell::new(Arc::new(0)));
            let generation = Arc::new(AtomicUsize::new(0));
            let reader = {
                let (cell, generation) = (cell.clone(), generation.clone());
                thread::spawn(move || {
                    let seen = generation.load(Ordering::Acquire);
                    assert!(*cell.get() >= seen);
                })
            };
            for number in 1..=2 {
                drop(cell.publish(Arc::new(number)));
                generation.store(number, Ordering::Release);
            }
            reader.join().unwrap();
        });
    }
}
