//! Boards: what is where.

pub mod bare;

pub use bare::{BareBoard, BoardConfig, BoardError};

/// Names of the boards.
pub const BOARDS: [&str; 1] = ["bare"];
