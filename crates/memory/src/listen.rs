//! Listeners: who wants to know what a commit changes in an address space.

use crate::MapDelta;

/// Why a listener refuses a new map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Veto(pub String);

/// Identity of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) u64);

/// Told about each commit that changes the space which it is registered on, in ascending order of priority.
///
/// A listener must not edit the graph: a transaction that it opens refuses every edit.
pub trait MapListener: Send + Sync {
    /// Asked before the new view is in force; a refusal leaves the old one in force everywhere.
    ///
    /// A later listener may still refuse, so this changes nothing.
    ///
    /// # Errors
    /// The reason for refusing.
    fn prepare(&self, _delta: &MapDelta) -> Result<(), Veto> {
        Ok(())
    }

    /// Told after the new view is in force.
    fn apply(&self, delta: &MapDelta);
}
