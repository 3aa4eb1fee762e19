//! What the run loop needs from the board.

/// The board as the run loop sees it. All calls come from the processor's thread, between instructions.
pub trait Platform: Send + Sync {
    /// Whether the interrupt controller's INTR output is high.
    fn interrupt_pending(&self) -> bool;
    /// Acknowledges the interrupt and returns its vector.
    fn acknowledge_interrupt(&self) -> u8;
    /// Guest time of the next timer event, if one is due at all.
    fn next_event_ns(&self) -> Option<u64>;
    /// Guest time of the next timer event, if such events can still raise INTR while the processor is halted and
    /// nothing but timers changes anything.
    fn next_wake_ns(&self) -> Option<u64> {
        self.next_event_ns()
    }
    /// Lets timers run up to the present guest time.
    fn run_events(&self, now_ns: u64);
    /// Exit status that the guest asked for.
    fn exit_status(&self) -> Option<i32>;
    /// Whether someone outside asked to stop.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// A board without interrupts, timers or exits.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPlatform;

impl Platform for NoPlatform {
    fn interrupt_pending(&self) -> bool {
        false
    }

    /// The spurious vector of a PC: nothing is ever pending.
    fn acknowledge_interrupt(&self) -> u8 {
        0x27
    }

    fn next_event_ns(&self) -> Option<u64> {
        None
    }

    fn run_events(&self, _now_ns: u64) {}

    fn exit_status(&self) -> Option<i32> {
        None
    }
}
