#![forbid(unsafe_code)]
//! Instruction tests as text: `tests/filetests/<family>/<mnemonic>.x86`.
//!
//! ```text
//! ;! mode = "prot32"
//! ;! host_insns = 14
//!
//! 11 d8                 "adc eax, ebx"
//!   in   eax=ffffffff ebx=00000000 cf=1
//!   out  eax=00000000 cf=1 pf=1 af=1 zf=1 sf=0 of=0
//! ```
//!
//! The instruction stands at [`CODE`]. Before it, registers are 0 but for ESP, memory is 0, flags are clear but
//! for IF; `in` changes that, and `mem ADDRESS = BYTES` lines after it fill memory. Behind `out` stands what is
//! different afterwards: registers and flags that are not named there, EIP of the next instruction, and memory
//! but for `mem` lines must be as before. `af=u` is a flag that the manual leaves undefined: the executors must
//! agree, with whatever value. `exception=gp(0)` says that the instruction faults.
//! `mode` holds until the next; `host_insns` belongs to the instruction that follows. Comments begin with `;`.

mod bless;
mod parse;
mod run;
mod values;

pub use bless::{Blessed, BlessedFile, bless, bless_dir};
pub use parse::{FileTest, InsnTest, Mode, ParseError, TestCase, parse};
pub use run::{DirReport, Failure, Runner, run_dir};
pub use values::{Flag, Values};

use crate::native::Place;

/// Where instructions run natively, and so in all tests.
pub const PLACE: Place = Place::at(0x0040_0000);
/// Address of the instruction under test.
pub const CODE: u32 = PLACE.code();
/// ESP before the instruction.
pub const STACK: u32 = PLACE.window() + 0x100;
