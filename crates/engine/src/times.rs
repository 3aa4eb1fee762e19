//! Where the time of a run goes.
//!
//! The clock is read where a run begins and ends and around what is done for a compilation: seldom. How the rest falls to
//! interpreter, translated code, bus and run loop, [`Engine::activity`] says to whoever looks at it again and again.

use std::time::Instant;

use cpu::{Activity, ActivityNote};

use crate::run::Engine;

/// Times of all runs so far, in nanoseconds of the host's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The runs as a whole.
    pub run_ns: u64,
    /// The part of them that went into compilations: all of each, or, if the worker makes them, copying code for it and
    /// placing what it made.
    pub compiling_ns: u64,
    /// What the worker took for compilations, while the guest went on.
    pub background_ns: u64,
}

/// Nanoseconds since `started`.
pub fn since(started: Instant) -> u64 {
    started.elapsed().as_nanos() as u64
}

impl Engine {
    /// Where the time went so far, as far as the clock is read.
    #[must_use]
    pub fn times(&self) -> Times {
        self.times
    }

    /// The note of what the processor's thread is doing; to be looked at from another thread.
    #[must_use]
    pub fn activity(&self) -> ActivityNote {
        self.owner.cpu.activity().clone()
    }

    /// Does what belongs to a compilation, and counts how long it takes.
    pub(crate) fn compiling<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let started = Instant::now();
        self.note(Activity::Compiling);
        let done = work(self);
        self.note(Activity::RunLoop);
        self.times.compiling_ns += since(started);
        done
    }

    /// Notes what is done from now on.
    #[inline]
    pub(crate) fn note(&self, activity: Activity) {
        self.owner.cpu.activity().set(activity);
    }
}
