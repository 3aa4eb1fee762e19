//! How a command ends.

/// Exit status of a command that did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome(i32);

/// Exit statuses of `marq run` besides the guest's own, which are always odd (value * 2 + 1).
pub mod status {
    /// Wrong option, unreadable or unsuitable input.
    pub const USAGE: i32 = 2;
    /// Triple fault.
    pub const SHUTDOWN: i32 = 4;
    /// HLT with interrupts off, or with nothing that could end it.
    pub const HALTED: i32 = 6;
    /// `--max-instructions` was reached.
    pub const LIMIT: i32 = 8;
    /// The guest needs a part of the processor that is not built.
    pub const UNSUPPORTED: i32 = 10;
    /// A bug in marquetry.
    pub const BUG: i32 = 70;
    /// Stopped by Ctrl-C.
    pub const INTERRUPTED: i32 = 130;
}

impl Outcome {
    /// Everything is well.
    pub const OK: Self = Self(0);

    /// An exit status.
    #[must_use]
    pub const fn status(status: i32) -> Self {
        Self(status)
    }

    /// The process's exit code: the low byte, as the host sees it.
    #[must_use]
    pub const fn code(self) -> u8 {
        (self.0 & 0xff) as u8
    }
}
