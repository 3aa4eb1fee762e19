//! The run loop and the translation cache: the only crate that knows both executors.
//!
//! `run` drives one processor in slices; `cache` holds translations under keys made of the backing bytes and
//! the mode; `run` decides what is interpreted and what compiled; `invalidate` applies code writes and map
//! changes. Invariant: no reachable translation covers a page whose binding differs from the one it was made
//! under, or bytes that changed since.

mod blocks;
mod cache;
mod cells;
mod compile;
mod config;
mod enter;
mod hopeless;
mod insns;
mod interpret;
mod invalidate;
mod mode;
mod pages;
mod platform;
mod run;
mod stats;
mod times;
mod worker;

pub use config::{EngineConfig, JitMode};
pub use platform::{NoPlatform, Platform};
pub use run::{Engine, Stop};
pub use stats::{InvalidationCause, OpCounts, Stats, TranslationInfo};
pub use times::Times;
