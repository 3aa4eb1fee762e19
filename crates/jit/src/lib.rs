//! The translator: guest blocks to host code through Cranelift.
//!
//! `discover` finds the blocks of a unit in copied bytes, `translate` and `emit` make one function of them,
//! `compile` runs Cranelift, `code` places the result. Nothing here knows the translation cache or the
//! interpreter; `engine` joins them.

pub mod abi;
mod code;
mod compile;
mod delegate;
mod discover;
mod emit;
mod exits;
mod flags;
mod flagstate;
mod groups;
mod guards;
mod helpers;
mod liveness;
mod mem;
mod operand;
mod peel;
mod strings;
mod thunk;
mod translate;
mod unit;
mod windows;

pub use code::{CodeArena, GENERATIONS, Placed};
pub use compile::{Compiler, Listing, OptLevel};
pub use delegate::{Handling, handling};
pub use helpers::{Delegate, Delegated, Owner};
pub use thunk::{enter, lookup_stub, unlinked_stub};
pub use unit::{
    CellPatch, CodeBytes, CompiledUnit, Exit, RamRange, Site, SiteKind, TranslateError, UnitCounts, UnitMode,
    UnitRequest,
};
