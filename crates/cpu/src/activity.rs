//! What the processor's thread is doing, for another thread to look at now and then.
//!
//! A look at the clock at each change would cost more than much of what is to be measured. So the thread only notes the
//! change, which is one store; whoever wants to know where the time goes looks at the note again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What the processor's thread does. Numbers count from 0 in the order of [`Activity::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// The run loop: timers, interrupts, look-ups, changes of map and mode, dropping of translations. Also everything
    /// outside of a run.
    RunLoop,
    /// The interpreter between translations.
    Interpreting,
    /// Translated code, the helpers that it calls and the instructions that they delegate.
    Translated,
    /// A translation is made: of its copying, translating and placing, what this thread does.
    Compiling,
    /// An access goes over the bus: to a device, or to memory that has no direct way; a timer's event is run.
    Bus,
}

impl Activity {
    /// Every activity.
    pub const ALL: [Self; 5] =
        [Self::RunLoop, Self::Interpreting, Self::Translated, Self::Compiling, Self::Bus];
}

/// The note; a copy is the same note.
#[derive(Clone, Debug)]
pub struct ActivityNote(Arc<AtomicU8>);

impl Default for ActivityNote {
    fn default() -> Self {
        Self(Arc::new(AtomicU8::new(Activity::RunLoop as u8)))
    }
}

impl ActivityNote {
    /// What is being done.
    #[must_use]
    #[inline]
    pub fn get(&self) -> Activity {
        Activity::ALL[usize::from(self.0.load(Ordering::Relaxed))]
    }

    /// Notes what is done from now on. Only the processor's thread does so.
    #[inline]
    pub fn set(&self, activity: Activity) {
        self.0.store(activity as u8, Ordering::Relaxed);
    }

    /// Notes `activity` for the time of `work`, and then again what was noted before.
    #[inline]
    pub fn during<T>(&self, activity: Activity, work: impl FnOnce() -> T) -> T {
        let before = self.0.load(Ordering::Relaxed);
        self.set(activity);
        let done = work();
        self.0.store(before, Ordering::Relaxed);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_was_noted_last_and_its_copy_too() {
        let note = ActivityNote::default();
        let copy = note.clone();
        assert_eq!(copy.get(), Activity::RunLoop);
        for activity in Activity::ALL {
            note.set(activity);
            assert_eq!(copy.get(), activity);
            assert_eq!(note.during(Activity::Bus, || copy.get()), Activity::Bus);
            assert_eq!(copy.get(), activity, "as before");
        }
    }
}
