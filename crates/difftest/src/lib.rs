//! Tests of the executors against each other and against the host's processor, as a library.
//!
//! * [`lockstep`] runs random programs ([`generate`]) on the interpreter and on translated code and compares
//!   everything that a guest can see at exact instruction counts; [`guests`] does so for whole guest images.
//! * [`oracle`] compares an executor with the host's processor over every integer instruction form
//!   ([`forms`]) in random states ([`states`]); [`native`] runs them, after [`vet`] found them harmless.
//! * [`filetest`] reads, runs and rewrites the instruction tests of `tests/filetests`.
//!
//! Everything random is a pure function of a seed. `unsafe` is confined to `native.rs`.

pub mod bench;
pub mod code;
pub mod disasm;
pub mod filetest;
pub mod forms;
pub mod generate;
pub mod guests;
mod kinds;
pub mod lockstep;
pub mod native;
pub mod oracle;
pub mod program;
mod rng;
pub mod snapshot;
pub mod states;
pub mod subject;
pub mod vet;

pub use rng::Rng;
