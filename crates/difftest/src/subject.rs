#![forbid(unsafe_code)]
//! The two executors as what [`crate::oracle::compare`] compares: one user-mode instruction from state to state.

use std::sync::Arc;

use cpu::layout::{Segment, TableReg};
use cpu::{Cpu, attr, eflags};
use engine::{Engine, EngineConfig, JitMode, NoPlatform, Stop};
use isa::{Insn, Rep, SegReg};
use memory::RamBlock;

use crate::bench::Bench;
use crate::forms::Form;
use crate::native::{NativeState, Place, USER_CODE, USER_DATA};

/// RAM that holds every place that [`crate::native::Native`] may choose.
const RAM_BYTES: u64 = 64 << 20;
/// Address of the descriptor table, and its size: null up to the two user segments.
const GDT: u32 = 0x1000;
const GDT_BYTES: usize = 0x30;

/// What is wrong with the host when a subject cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// The memory map.
    #[error("the bench could not be built")]
    Map(#[from] memory::MapError),
    /// Code memory.
    #[error("the engine could not be started")]
    Engine(#[from] std::io::Error),
}

/// Flat 4 GiB user segments, as Linux has them: code (type 11, accessed) and data (type 3).
fn user_segment(selector: u16) -> Segment {
    let code = if selector == USER_CODE { attr::CODE } else { 0 };
    let attrs = attr::P | attr::S | attr::DPL | attr::RW | attr::ACCESSED | attr::DB | attr::G | code;
    Segment { limit: u32::MAX, attrs, selector, ..Segment::default() }
}

/// The descriptor of a flat segment with these attributes.
fn flat_descriptor(attrs: u32) -> [u8; 8] {
    (u64::from(attrs) << 40 | 0x000f_0000_0000_ffff).to_le_bytes()
}

fn write_gdt(ram: &RamBlock) {
    let mut table = [0; GDT_BYTES];
    for selector in [USER_CODE, USER_DATA] {
        let at = usize::from(selector & !7);
        table[at..at + 8].copy_from_slice(&flat_descriptor(user_segment(selector).attrs));
    }
    ram.write(u64::from(GDT), &table);
}

/// Puts `before` into the processor, in ring 3 with flat segments.
fn put(cpu: &mut Cpu, ram: &RamBlock, place: Place, before: &NativeState) {
    let state = &mut *cpu.state;
    for (register, value) in state.gpr.iter_mut().zip(before.gpr) {
        *register = u64::from(value);
    }
    for seg in [SegReg::Ds, SegReg::Es, SegReg::Ss] {
        state.segs[seg.index()] = user_segment(USER_DATA);
    }
    for seg in [SegReg::Fs, SegReg::Gs] {
        state.segs[seg.index()] = Segment::default();
    }
    state.segs[SegReg::Cs.index()] = user_segment(USER_CODE);
    state.gdtr = TableReg { base: u64::from(GDT), limit: GDT_BYTES as u32 - 1, reserved: 0 };
    (state.cpl, state.halted, state.interrupt_shadow) = (3, false, false);
    state.eip = before.eip;
    state.eflags = before.eflags | eflags::FIXED;
    state.cc_op = cpu::flags::CcOp::EFLAGS;
    ram.write(u64::from(place.window()), &before.memory[..]);
}

/// What the processor holds now.
fn get(cpu: &mut Cpu, ram: &RamBlock, place: Place, fault: Option<u8>) -> NativeState {
    let mut after = NativeState::zero(place);
    after.eflags = cpu.eflags();
    for (value, register) in after.gpr.iter_mut().zip(cpu.state.gpr) {
        *value = register as u32;
    }
    (after.eip, after.fault) = (cpu.state.eip, fault);
    ram.read(u64::from(place.window()), &mut after.memory[..]);
    after
}

/// The interpreter, one `step` at a time.
pub struct InterpSubject {
    cpu: Cpu,
    bench: Bench,
    place: Place,
}

impl InterpSubject {
    /// An interpreter for states at `place`.
    ///
    /// # Errors
    /// [`SubjectError`].
    pub fn new(place: Place) -> Result<Self, SubjectError> {
        let (bench, mut cpu) = Bench::new(RAM_BYTES)?;
        cpu.set_flat_protected(place.code());
        write_gdt(&bench.ram);
        Ok(Self { cpu, bench, place })
    }

    /// Runs one instruction; a repeated one to its end.
    #[must_use]
    pub fn run(&mut self, insn: &Insn, before: &NativeState) -> NativeState {
        put(&mut self.cpu, &self.bench.ram, self.place, before);
        let mut fault = None;
        loop {
            match interp::step(&mut self.cpu, insn) {
                Ok(()) if insn.rep != Rep::None && self.cpu.state.eip == before.eip => {}
                Ok(()) => break,
                Err(cpu::Trap::Exception(exception)) => {
                    fault = Some(exception.vector());
                    break;
                }
                // Neither can come from what is compared; no vector is as large.
                Err(cpu::Trap::Unsupported(_) | cpu::Trap::Shutdown) => {
                    fault = Some(u8::MAX);
                    break;
                }
            }
        }
        get(&mut self.cpu, &self.bench.ram, self.place, fault)
    }
}

/// Translated code: each form is compiled once and run in every state.
pub struct JitSubject {
    engine: Engine,
    bench: Bench,
    place: Place,
    loaded: Vec<u8>,
}

/// Ends the unit behind the instruction: HLT is never translated.
const END_OF_UNIT: u8 = 0xf4;

impl JitSubject {
    /// An engine that compiles at once, for states at `place`.
    ///
    /// # Errors
    /// [`SubjectError`].
    pub fn new(place: Place) -> Result<Self, SubjectError> {
        let (bench, mut cpu) = Bench::new(RAM_BYTES)?;
        cpu.set_flat_protected(place.code());
        write_gdt(&bench.ram);
        bench.ram.write(u64::from(place.code() & !0xfff), &[END_OF_UNIT; 0x1000]);
        let config = EngineConfig {
            jit: JitMode::Sync,
            threshold: 0,
            code_bytes: 16 << 20,
            ..EngineConfig::default()
        };
        let engine = Engine::new(cpu, Arc::new(NoPlatform), config)?;
        Ok(Self { engine, bench, place, loaded: Vec::new() })
    }

    /// Instructions that translated code has run, and those that the interpreter had to.
    #[must_use]
    pub fn stats(&self) -> engine::Stats {
        self.engine.stats()
    }

    /// Runs one instruction; a repeated one to its end.
    #[must_use]
    pub fn run(&mut self, form: &Form, before: &NativeState) -> NativeState {
        if self.loaded != form.code {
            let mut code = [END_OF_UNIT; 0x20];
            code[..form.code.len()].copy_from_slice(&form.code);
            self.bench.ram.write(u64::from(self.place.code()), &code);
            self.loaded.clone_from(&form.code);
        }
        put(self.engine.cpu_mut(), &self.bench.ram, self.place, before);
        let mut fault = None;
        loop {
            let limit = self.engine.cpu().instructions() + 1;
            match self.engine.run(Some(limit)) {
                Stop::Limit if form.insn.rep != Rep::None && self.engine.cpu().state.eip == before.eip => {}
                Stop::Limit => break,
                // Without an IDT every exception ends here.
                Stop::Shutdown(_)
                | Stop::Exit(_)
                | Stop::Unsupported(..)
                | Stop::Halted(_)
                | Stop::Requested
                | Stop::Panicked(_) => {
                    fault = Some(u8::MAX);
                    break;
                }
            }
        }
        get(self.engine.cpu_mut(), &self.bench.ram, self.place, fault)
    }
}
