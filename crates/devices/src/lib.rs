//! The chips: one per file, each with its data sheet's name, what is modelled and what is not.
//!
//! A device knows neither its address nor its board nor a processor. Interrupt lines ([`IrqLine`]), time
//! ([`Clock`], guest nanoseconds) and bus mastering (an address space) come in through its constructor; access
//! sizes, alignment and byte order are the `RULES` constant beside it, which the `memory` crate applies.
//! A device's guest-visible state is one plain struct that can be compared, cloned and saved.
#![forbid(unsafe_code)]

#[macro_use]
mod report;

pub mod bank;
pub mod clock;
pub mod debug_exit;
pub mod debugcon;
pub mod flash;
pub mod i440fx;
pub mod i8254;
pub mod i8259;
pub mod ioapic;
pub mod iommu;
pub mod lines;
pub mod pci;
pub mod port61;
pub mod scratch;
pub mod test_block;
pub mod test_dma;
pub mod uart16550;

pub use clock::{Clock, GuestClock};
pub use lines::{ByteSink, Doorbell, IrqLine, IrqSink};
