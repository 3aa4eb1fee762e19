//! A line on standard error that says what is going on, once that takes more than two seconds.

use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long nothing is shown.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at the clock.
const PERIOD: Duration = Duration::from_millis(500);
/// Goes to the start of the line and empties it.
const EMPTY: &str = "\r\x1b[K";

/// The line; silent where standard error is no terminal.
pub struct Progress {
    line: Arc<Mutex<Line>>,
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the line says.
struct Line {
    what: String,
    started: Instant,
    shown: bool,
}

impl Line {
    fn text(&self) -> String {
        format!("{} {} s", self.what, self.started.elapsed().as_secs())
    }

    fn show(&mut self) {
        eprint!("{EMPTY}{}", self.text());
        self.shown = true;
    }

    fn hide(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("{EMPTY}");
        }
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    /// A line that says `what` and how many seconds have passed since `started`.
    #[must_use]
    pub fn start(what: &str, started: Instant) -> Self {
        let line = Arc::new(Mutex::new(Line { what: what.to_owned(), started, shown: false }));
        if !std::io::stderr().is_terminal() {
            return Self { line, done: None, thread: None };
        }
        let (done, wait) = channel::<()>();
        let shared = Arc::clone(&line);
        let thread = std::thread::spawn(move || {
            let mut patience = PATIENCE;
            while wait.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                lock(&shared).show();
                patience = PERIOD;
            }
            lock(&shared).hide();
        });
        Self { line, done: Some(done), thread: Some(thread) }
    }

    /// Changes what the line says from its next look at the clock on.
    pub fn say(&self, what: String) {
        lock(&self.line).what = what;
    }

    /// Takes the line away while something else is printed.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        let mut line = lock(&self.line);
        line.hide();
        print()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done = None;
        if let Some(thread) = self.thread.take() {
            // It prints only; whether it ended well does not matter.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_was_said_last() {
        let ago = Duration::from_secs(7);
        let progress = Progress::start("first", Instant::now().checked_sub(ago).unwrap());
        assert_eq!(lock(&progress.line).text(), "first 7 s");
        progress.say("second".to_owned());
        assert_eq!(lock(&progress.line).text(), "second 7 s");
        assert!(!lock(&progress.line).shown, "nothing is shown at once");
    }
}
