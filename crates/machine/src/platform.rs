//! Between a board's chips and the engine's run loop: interrupts, timer events, the end of a run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use devices::debug_exit::ExitSink;
use devices::i8254::I8254;
use devices::i8259::{Expect, I8259Pair};
use devices::{ByteSink, Doorbell};
use engine::Platform;
use memory::Device;

use crate::board::bare::PIT_IRQ;

/// A sink that drops everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

impl ByteSink for NoSink {
    fn put(&self, _byte: u8) {}
}

/// Keeps the exit status that the guest asked for; the first request counts.
#[derive(Debug)]
pub(crate) struct ExitLatch {
    status: OnceLock<i32>,
    bell: Doorbell,
}

impl ExitLatch {
    pub(crate) fn new(bell: Doorbell) -> Arc<Self> {
        Arc::new(Self { status: OnceLock::new(), bell })
    }
}

impl ExitSink for ExitLatch {
    fn exit(&self, status: i32) {
        self.status.get_or_init(|| status);
        self.bell.ring(Doorbell::EXIT);
    }
}

/// What the run loop needs of a PC-like board: an 8259A pair, an 8254, the exit port, a stop flag.
pub struct BoardPlatform {
    pub(crate) pic: Arc<Device<I8259Pair>>,
    pub(crate) pit: Arc<Device<I8254>>,
    pub(crate) exit: Arc<ExitLatch>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Platform for BoardPlatform {
    fn interrupt_pending(&self) -> bool {
        self.pic.lock().pending()
    }

    fn acknowledge_interrupt(&self) -> u8 {
        self.pic.lock().acknowledge()
    }

    /// Before ICW1 the pair asks for nothing, so the timer, which runs from power-on, is no event yet.
    fn next_event_ns(&self) -> Option<u64> {
        let silent = self.pic.lock().state().master.expect == Expect::Icw1;
        if silent { None } else { self.pit.lock().next_event_ns() }
    }

    /// The timer's events wake the processor if the pair would pass IRQ 0 on: it is not masked, and nothing of its
    /// priority or above is in service. A halted processor cannot change that.
    fn next_wake_ns(&self) -> Option<u64> {
        let heard = self.pic.lock().would_interrupt(PIT_IRQ);
        if heard { self.next_event_ns() } else { None }
    }

    fn run_events(&self, now_ns: u64) {
        self.pit.lock().advance(now_ns);
    }

    fn exit_status(&self) -> Option<i32> {
        self.exit.status.get().copied()
    }

    fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
