//! Boards and loaders: the only place that knows addresses, port numbers and interrupt numbers.
//!
//! [`BareBoard`] is the one board: memory map, devices and their wires. [`loader`] puts an image into its RAM.
//! [`Machine`] joins a board with an engine: make, load, run. [`mapfile`] reads and writes memory maps as texts.
#![forbid(unsafe_code)]

pub mod board;
mod hash;
pub mod loader;
mod machine;
pub mod mapfile;
mod platform;

pub use board::{BOARDS, BareBoard, BoardConfig, BoardError};
/// What the front end implements to get a guest's output; it does not see the other chips.
pub use devices::ByteSink;
pub use loader::{LoadError, LoadErrorKind, Loaded};
pub use machine::{Machine, MachineError};
pub use platform::{BoardPlatform, NoSink};
