//! Wires between chips: interrupt lines, the doorbell of the run loop, byte sinks.
//!
//! Nothing here blocks: a line may be driven while its device's lock is held, from any thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a line ends in: an interrupt controller's inputs, or a recorder in a test.
pub trait IrqSink: Send + Sync {
    /// Input `line` is now high or low. Must not block and must not call back into a device.
    fn set_level(&self, line: u8, high: bool);
}

/// One end of an interrupt line. Clones drive the same input.
#[derive(Clone)]
pub struct IrqLine {
    end: Option<(Arc<dyn IrqSink>, u8)>,
}

impl IrqLine {
    /// The line into input `line` of `sink`.
    #[must_use]
    pub fn new(sink: Arc<dyn IrqSink>, line: u8) -> Self {
        Self { end: Some((sink, line)) }
    }

    /// A line that leads nowhere.
    #[must_use]
    pub fn unconnected() -> Self {
        Self { end: None }
    }

    /// Drives the line high.
    pub fn raise(&self) {
        self.set(true);
    }

    /// Drives the line low.
    pub fn lower(&self) {
        self.set(false);
    }

    /// A short low pulse: one rising edge whatever the level was, after which the line stays high.
    ///
    /// An edge-triggered 8259A drops a request whose line falls before it is acknowledged, so a pulse ends high.
    pub fn pulse(&self) {
        self.set(false);
        self.set(true);
    }

    /// Drives the line to a level.
    pub fn set(&self, high: bool) {
        if let Some((sink, line)) = &self.end {
            sink.set_level(*line, high);
        }
    }
}

impl fmt::Debug for IrqLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            Some((_, line)) => write!(f, "IrqLine({line})"),
            None => f.write_str("IrqLine(unconnected)"),
        }
    }
}

/// Asks the run loop to look at the board before it goes on. Clones share one word.
#[derive(Clone, Debug, Default)]
pub struct Doorbell {
    word: Arc<AtomicU32>,
}

impl Doorbell {
    /// An interrupt line changed.
    pub const IRQ: u32 = 1;
    /// A timer was programmed, so that the next event may lie earlier or later than thought.
    pub const TIMER: u32 = 2;
    /// The guest asked to end the run.
    pub const EXIT: u32 = 4;

    /// A doorbell that nobody has rung.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The word that the run loop polls: nonzero asks for a look; the run loop clears it before it looks.
    #[must_use]
    pub fn word(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.word)
    }

    /// Rings for the given reasons.
    pub fn ring(&self, reasons: u32) {
        self.word.fetch_or(reasons, Ordering::Release);
    }
}

/// Where a device's bytes leave the machine: a terminal, a file, a test's buffer.
pub trait ByteSink: Send + Sync {
    /// Takes one byte. Must not block for long and cannot fail: a host that cannot take it drops it.
    fn put(&self, byte: u8);
}

/// Recorders for unit tests.
#[cfg(test)]
pub(crate) mod fake {
    use super::{ByteSink, IrqLine, IrqSink};
    use std::sync::{Arc, Mutex};

    /// A sink that remembers the level and every rising edge of eight lines.
    #[derive(Default)]
    pub(crate) struct FakeLines {
        state: Mutex<([bool; 8], [u32; 8])>,
    }

    impl FakeLines {
        pub(crate) fn line(self: &Arc<Self>, line: u8) -> IrqLine {
            IrqLine::new(Arc::clone(self) as Arc<dyn IrqSink>, line)
        }

        pub(crate) fn level(&self, line: u8) -> bool {
            self.state.lock().unwrap().0[usize::from(line)]
        }

        pub(crate) fn rises(&self, line: u8) -> u32 {
            self.state.lock().unwrap().1[usize::from(line)]
        }
    }

    impl IrqSink for FakeLines {
        fn set_level(&self, line: u8, high: bool) {
            let mut state = self.state.lock().unwrap();
            let line = usize::from(line);
            if high && !state.0[line] {
                state.1[line] += 1;
            }
            state.0[line] = high;
        }
    }

    /// A byte sink that keeps what it got.
    #[derive(Default)]
    pub(crate) struct Bytes(pub(crate) Mutex<Vec<u8>>);

    impl ByteSink for Bytes {
        fn put(&self, byte: u8) {
            self.0.lock().unwrap().push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::FakeLines;
    use super::*;

    #[test]
    fn a_pulse_is_one_rising_edge_and_ends_high() {
        let lines = Arc::new(FakeLines::default());
        let line = lines.line(3);
        line.raise();
        line.raise();
        line.clone().pulse();
        assert_eq!((lines.level(3), lines.rises(3), lines.rises(2)), (true, 2, 0));
        line.lower();
        assert!(!lines.level(3));
        IrqLine::unconnected().pulse();
    }

    #[test]
    fn the_doorbell_collects_reasons() {
        let bell = Doorbell::new();
        bell.clone().ring(Doorbell::IRQ);
        bell.ring(Doorbell::EXIT);
        assert_eq!(bell.word().swap(0, Ordering::AcqRel), Doorbell::IRQ | Doorbell::EXIT);
        assert_eq!(bell.word().load(Ordering::Relaxed), 0);
    }
}
