//! Boards: what is where.

pub mod bare;

pub use bare::{BareBoard, BoardConfig, BoardError};
