//! Instructions: the closed list of operations, and decoding of guest bytes into [`Insn`].
//!
//! Decoding is iced-x86's work; this crate turns its instruction into a compact one that the interpreter
//! and the translator both read. It holds no state and knows no processor mode but the code size.
//! The instruction set is that of a P6 without MMX: what [`op::rows`] does not list is [`Op::Invalid`].
#![forbid(unsafe_code)]

mod decode;
mod insn;
pub mod op;
mod registers;
mod shape;

pub use decode::{DecodeError, DecodeMode, decode, decode_run};
pub use insn::{Cond, FlagEffects, Gpr, Insn, Mem, Operand, Reg, Rep, SegReg, Width};
pub use op::Op;
