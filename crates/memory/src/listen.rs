//! Listeners: who wants to know what a commit changes in an address space.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::{MapDelta, lock};

/// Why a listener refuses a new map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Veto(pub String);

/// Identity of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) u64);

/// Told about each commit that changes the space which it is registered on, in ascending order of priority.
///
/// A listener must not edit the graph: a transaction that it opens refuses every edit. What it is told between its
/// registration and its end adds up: the deltas lead from nothing to each view in turn, and back to nothing.
pub trait MapListener: Send + Sync {
    /// Asked before the new view is in force; a refusal leaves the old one in force everywhere.
    ///
    /// A later listener may still refuse, so this changes nothing. Not asked when the listener comes or goes.
    ///
    /// # Errors
    /// The reason for refusing.
    fn prepare(&self, _delta: &MapDelta) -> Result<(), Veto> {
        Ok(())
    }

    /// Told after the new view is in force.
    fn apply(&self, delta: &MapDelta);
}

/// A listener on a space.
pub(crate) struct Registration {
    pub id: ListenerId,
    priority: u32,
    /// Generation of the last view that it was told of; the greatest number when it is told nothing any more. So one
    /// that is registered by another in the middle of a commit is told of each view exactly once.
    told: AtomicU64,
    listener: Arc<dyn MapListener>,
}

impl Registration {
    fn knows(&self, delta: &MapDelta) -> bool {
        self.told.load(Ordering::Relaxed) >= delta.generation()
    }

    /// Asks about a commit.
    pub fn prepare(&self, delta: &MapDelta) -> Result<(), Veto> {
        if self.knows(delta) { Ok(()) } else { self.listener.prepare(delta) }
    }

    /// Tells of a commit.
    pub fn apply(&self, delta: &MapDelta) {
        if !self.knows(delta) {
            self.told.store(delta.generation(), Ordering::Relaxed);
            self.listener.apply(delta);
        }
    }

    /// Tells what was mapped when the listener came.
    pub fn replay(&self, delta: &MapDelta) {
        self.listener.apply(delta);
    }

    /// Tells that everything goes, and nothing after that.
    pub fn leave(&self, delta: &MapDelta) {
        self.silence();
        self.listener.apply(delta);
    }

    /// Tells nothing any more.
    pub fn silence(&self) {
        self.told.store(u64::MAX, Ordering::Relaxed);
    }
}

/// The listeners of a space.
#[derive(Default)]
pub(crate) struct Listeners {
    next: AtomicU64,
    /// In ascending order of priority. A change makes a new list: whoever walks one keeps it.
    list: Mutex<Arc<[Arc<Registration>]>>,
}

impl Listeners {
    /// All of them in ascending order of priority.
    pub fn all(&self) -> Arc<[Arc<Registration>]> {
        Arc::clone(&lock(&self.list))
    }

    /// Adds a listener that knows of the view `generation`.
    pub fn add(&self, priority: u32, generation: u64, listener: Arc<dyn MapListener>) -> Arc<Registration> {
        let id = ListenerId(self.next.fetch_add(1, Ordering::Relaxed));
        let told = AtomicU64::new(generation);
        let registration = Arc::new(Registration { id, priority, told, listener });
        let mut list = lock(&self.list);
        let (before, after) = list.split_at(list.partition_point(|other| other.priority <= priority));
        *list = before.iter().chain([&registration]).chain(after).cloned().collect();
        registration
    }

    /// Takes one out.
    pub fn remove(&self, id: ListenerId) -> Option<Arc<Registration>> {
        let mut list = lock(&self.list);
        let found = list.iter().find(|registration| registration.id == id).cloned()?;
        *list = list.iter().filter(|registration| registration.id != id).cloned().collect();
        Some(found)
    }
}
