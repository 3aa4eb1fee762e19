//! What a run does with its time: a thread looks again and again at what the processor's thread notes.
//!
//! What is in progress at a look stands for the pause before it. Pauses begin short, so that a short run has looks too,
//! and grow to a length at which the looks cost the host next to nothing.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use cpu::{Activity, ActivityNote};

/// The first pause.
const SHORTEST: Duration = Duration::from_micros(20);
/// None is longer.
const LONGEST: Duration = Duration::from_millis(1);

/// The looks at one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// How many there were.
    pub count: u64,
    /// Nanoseconds that they stand for, in the order of [`Activity::ALL`].
    paused_ns: [u64; Activity::ALL.len()],
}

impl Looks {
    fn add(&mut self, activity: Activity, pause: Duration) {
        self.count += 1;
        self.paused_ns[activity as usize] += pause.as_nanos() as u64;
    }

    /// The share of `activity` in the time that is not spent compiling, 0 to 1; `None` without a look. The shares of all
    /// but [`Activity::Compiling`] add up to 1.
    #[must_use]
    pub fn share(&self, activity: Activity) -> Option<f64> {
        let compiling = self.paused_ns[Activity::Compiling as usize];
        let rest = self.paused_ns.iter().sum::<u64>() - compiling;
        (rest > 0).then(|| self.paused_ns[activity as usize] as f64 / rest as f64)
    }
}

/// The thread that looks.
pub struct Watch {
    done: Sender<()>,
    thread: JoinHandle<Looks>,
}

impl Watch {
    /// Looks at `note` from now on.
    ///
    /// # Errors
    /// What the host says to a new thread.
    pub fn start(note: ActivityNote) -> std::io::Result<Self> {
        let (done, wait) = channel::<()>();
        let thread = std::thread::Builder::new().name("marq-watch".to_owned()).spawn(move || {
            let (mut looks, mut pause) = (Looks::default(), SHORTEST);
            while wait.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                looks.add(note.get(), pause);
                pause = (pause * 2).min(LONGEST);
            }
            looks
        })?;
        Ok(Self { done, thread })
    }

    /// Looks no more; what was seen.
    #[must_use]
    pub fn stop(self) -> Looks {
        drop(self.done);
        // It has nothing that could panic; if it did, nothing was seen.
        self.thread.join().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_stands_for_its_pause_and_shares_leave_compiling_out() {
        let mut looks = Looks::default();
        assert_eq!(looks.share(Activity::Translated), None, "nothing was seen");
        looks.add(Activity::Compiling, LONGEST);
        assert_eq!(looks.share(Activity::Translated), None, "nor beside the compiling");
        looks.add(Activity::Translated, Duration::from_micros(300));
        looks.add(Activity::Bus, Duration::from_micros(50));
        looks.add(Activity::Bus, Duration::from_micros(50));
        assert_eq!(looks.count, 4);
        let shares = Activity::ALL.map(|activity| looks.share(activity).unwrap());
        assert_eq!(shares, [0.0, 0.0, 0.75, 2.5, 0.25]);
    }
}
