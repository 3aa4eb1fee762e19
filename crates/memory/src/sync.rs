//! What the publication cell is made of: the standard library's locks and atomics, or those of loom, which runs a
//! model of the cell through every order in which its threads can meet.

#[cfg(not(all(loom, test)))]
pub(crate) use std::{
    hint::spin_loop as spin,
    sync::{
        RwLock, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
};

#[cfg(all(loom, test))]
pub(crate) use loom::{
    sync::{
        RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::yield_now as spin,
};
#[cfg(all(loom, test))]
pub(crate) use std::sync::TryLockError;
