#![forbid(unsafe_code)]
//! Compares an executor with the host's processor, form by form.
//!
//! The executor is a closure from state to state, so that the interpreter and translated code are compared
//! alike. Registers, EIP, memory and defined flags must agree; flags and results that the manual leaves
//! undefined are compared too, but counted apart.

use std::collections::BTreeMap;
use std::fmt;

use cpu::eflags;
use isa::{Gpr, Insn, Op, Operand, Width};

use crate::disasm;
use crate::forms::{Form, forms};
use crate::kinds::{Kind, kind};
use crate::native::{Native, NativeState, Unavailable};
use crate::rng::Rng;
use crate::states::harmless_state;
use crate::vet::{Unfit, vet};

/// Differences that are shown in full.
const EXAMPLES: usize = 20;
/// Flags that are compared: all that a user program can change, and those that it must not.
const COMPARED: u32 = eflags::STATUS
    | eflags::DF
    | eflags::IF
    | eflags::TF
    | eflags::ID
    | eflags::AC
    | eflags::NT
    | eflags::IOPL;

/// What a comparison is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OracleConfig {
    /// Seed of forms and states.
    pub seed: u64,
    /// States for each form.
    pub states: u32,
    /// Compare only each n-th form.
    pub every: usize,
}

impl Default for OracleConfig {
    fn default() -> Self {
        Self { seed: 1, states: 200, every: 1 }
    }
}

/// Counts of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct OpCounts {
    /// Forms compared.
    pub forms: u64,
    /// States compared.
    pub states: u64,
    /// States in which something defined differed.
    pub differences: u64,
    /// States in which only something undefined differed.
    pub undefined_differences: u64,
}

/// A state in which the executor and the processor disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The instruction.
    pub code: Vec<u8>,
    /// EIP of the instruction.
    pub eip: u32,
    /// Before.
    pub before: NativeState,
    /// After, on the processor.
    pub native: NativeState,
    /// After, by the executor.
    pub executor: NativeState,
    /// Flags that count here.
    pub flags: u32,
}

/// Outcome of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OracleReport {
    /// Seed that it was made with.
    pub seed: u64,
    /// Counts by operation, in order of their names.
    pub ops: BTreeMap<&'static str, OpCounts>,
    /// Forms that no state was harmless for, with the reason.
    pub unfit: Vec<(Vec<u8>, Unfit)>,
    /// The first differences.
    pub examples: Vec<Difference>,
}

impl OracleReport {
    /// All operations together.
    #[must_use]
    pub fn total(&self) -> OpCounts {
        self.ops.values().fold(OpCounts::default(), |sum, op| OpCounts {
            forms: sum.forms + op.forms,
            states: sum.states + op.states,
            differences: sum.differences + op.differences,
            undefined_differences: sum.undefined_differences + op.undefined_differences,
        })
    }

    /// Whether everything defined agreed and every form was run.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.total().differences == 0 && self.unfit.is_empty()
    }
}

/// What the manual leaves undefined for one instruction in one state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undefined {
    /// Flags.
    pub flags: u32,
    /// Bits of the destination operand.
    pub result: u32,
}

/// What the manual leaves undefined: the decoder's table, sharpened where it depends on the count or the operand.
#[must_use]
pub fn undefined(insn: &Insn, before: &NativeState) -> Undefined {
    let all_if = |condition: bool| if condition { u32::MAX } else { 0 };
    let flags = insn.flags.undefined;
    match kind(insn.op) {
        Ok(Kind::Shift) => shift(insn, count(insn, before)),
        Ok(Kind::DoubleShift) => double_shift(insn, count(insn, before)),
        Ok(Kind::Rotate) => rotate(count(insn, before)),
        Ok(Kind::BitScan) => Undefined { flags, result: all_if(bit_scan_source(insn, before) == Some(0)) },
        // SDM Vol. 2A "BSWAP": of a 16-bit register.
        Ok(Kind::ByteSwap) => Undefined { flags, result: all_if(insn.width == Width::B2) },
        // SDM Vol. 2A "LAR": the descriptor is masked by 00fxff00, where x is undefined.
        Ok(Kind::Describe) if insn.op == Op::Lar => Undefined { flags, result: 0x000f_0000 },
        Ok(_) | Err(_) => Undefined { flags, result: 0 },
    }
}

/// The count of a shift or rotation, masked to five bits.
fn count(insn: &Insn, before: &NativeState) -> u32 {
    let place = if matches!(insn.op, Op::Shld | Op::Shrd) { 2 } else { 1 };
    let count = match insn.operand(place) {
        Operand::Imm(value) => value,
        Operand::None
        | Operand::Reg(_)
        | Operand::Mem(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. } => before.gpr[Gpr::Ecx.index()],
    };
    count & 31
}

/// SDM Vol. 2B "SAL/SAR/SHL/SHR", Flags Affected.
fn shift(insn: &Insn, count: u32) -> Undefined {
    let beyond = insn.op != Op::Sar && count >= insn.width.bits();
    let flags = match count {
        0 => 0,
        1 => eflags::AF,
        _ if beyond => eflags::AF | eflags::OF | eflags::CF,
        _ => eflags::AF | eflags::OF,
    };
    Undefined { flags, result: 0 }
}

/// SDM Vol. 2B "SHLD", "SHRD".
fn double_shift(insn: &Insn, count: u32) -> Undefined {
    let flags = match count {
        0 => 0,
        1 => eflags::AF,
        _ => eflags::AF | eflags::OF,
    };
    match count > insn.width.bits() {
        true => Undefined { flags: eflags::STATUS, result: u32::MAX },
        false => Undefined { flags, result: 0 },
    }
}

/// SDM Vol. 2B "RCL/RCR/ROL/ROR": OF for one position only.
fn rotate(count: u32) -> Undefined {
    Undefined { flags: if count > 1 { eflags::OF } else { 0 }, result: 0 }
}

/// The source of BSF or BSR; `None` when it lies in memory outside the window.
fn bit_scan_source(insn: &Insn, before: &NativeState) -> Option<u32> {
    let mask = insn.width.mask() as u32;
    let place = crate::native::Place::at(before.eip.wrapping_sub(0x100));
    let value = match insn.operand(1) {
        Operand::Reg(reg) => before.gpr[reg.gpr.index()],
        Operand::Mem(mem) => {
            let base = mem.base.map_or(0, |gpr| before.gpr[gpr.index()]);
            let index = mem.index.map_or(0, |gpr| before.gpr[gpr.index()] << mem.scale);
            let la = base.wrapping_add(index).wrapping_add_signed(mem.disp);
            let at = la.wrapping_sub(place.window()) as usize;
            let bytes = before.memory.get(at..at + insn.width.bytes() as usize)?;
            bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
        }
        Operand::None
        | Operand::Imm(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. } => return None,
    };
    Some(value & mask)
}

/// Compares `run` with the host's processor over all forms.
///
/// `run` gets the instruction and the state before it and gives the state after it.
///
/// # Errors
/// [`Unavailable`] when nothing can be run natively here.
pub fn compare(
    config: OracleConfig,
    run: &mut dyn FnMut(&Form, &NativeState) -> NativeState,
) -> Result<OracleReport, Unavailable> {
    let mut native = Native::new()?;
    let mut report = OracleReport { seed: config.seed, ..OracleReport::default() };
    let forms = forms(native.place(), config.seed);
    for (number, form) in forms.iter().enumerate().step_by(config.every.max(1)) {
        native.load(&form.code)?;
        let rng = Rng::part(config.seed, number as u64);
        compare_form(&mut native, form, (config.states, rng), run, &mut report);
    }
    Ok(report)
}

fn compare_form(
    native: &mut Native,
    form: &Form,
    (states, mut rng): (u32, Rng),
    run: &mut dyn FnMut(&Form, &NativeState) -> NativeState,
    report: &mut OracleReport,
) {
    let mut counts = OpCounts { forms: 1, ..OpCounts::default() };
    for _ in 0..states {
        let before = match harmless_state(native.place(), form, &mut rng) {
            Ok(state) => state,
            Err(unfit) => {
                report.unfit.push((form.code.clone(), unfit));
                break;
            }
        };
        let vetted = vet(native.place(), &form.code, &before).expect("a harmless state was vetted");
        let (expected, found) = (native.run(&vetted), run(form, &before));
        let undefined = undefined(&form.insn, &before);
        counts.states += 1;
        if expected == found {
            continue;
        }
        let forgiven = forgive(&form.insn, undefined, &expected, &found);
        if agree(&expected, &forgiven, COMPARED) {
            counts.undefined_differences += u64::from(!agree(&expected, &found, COMPARED));
            continue;
        }
        counts.differences += 1;
        if report.examples.len() < EXAMPLES {
            report.examples.push(Difference {
                code: form.code.clone(),
                eip: before.eip,
                before,
                native: expected,
                executor: found,
                flags: COMPARED & !undefined.flags,
            });
        }
    }
    let total = report.ops.entry(form.insn.op.name()).or_default();
    total.forms += counts.forms;
    total.states += counts.states;
    total.differences += counts.differences;
    total.undefined_differences += counts.undefined_differences;
}

/// Whether two outcomes agree in everything, of EFLAGS in `flags`.
fn agree(expected: &NativeState, found: &NativeState, flags: u32) -> bool {
    (expected.eflags ^ found.eflags) & flags == 0
        && expected.gpr == found.gpr
        && expected.eip == found.eip
        && expected.fault == found.fault
        && expected.memory == found.memory
}

/// `found` with everything undefined as the processor has it.
fn forgive(insn: &Insn, undefined: Undefined, expected: &NativeState, found: &NativeState) -> NativeState {
    let mut forgiven = found.clone();
    forgiven.eflags = found.eflags & !undefined.flags | expected.eflags & undefined.flags;
    match insn.operand(0) {
        Operand::Reg(reg) => {
            let number = reg.gpr.index();
            forgiven.gpr[number] =
                found.gpr[number] & !undefined.result | expected.gpr[number] & undefined.result;
        }
        Operand::Mem(_) if undefined.result != 0 => forgiven.memory = expected.memory.clone(),
        Operand::None
        | Operand::Mem(_)
        | Operand::Imm(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. } => {}
    }
    forgiven
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  {}", disasm::hex(&self.code), disasm::text(&self.code, self.eip, true))?;
        for (name, state) in [("before", &self.before), ("native", &self.native), ("found", &self.executor)] {
            write!(f, "  {name:<7}")?;
            for (register, value) in
                ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"].iter().zip(state.gpr)
            {
                write!(f, " {register}={value:08x}")?;
            }
            write!(f, " eip={:08x} eflags={:08x}", state.eip, state.eflags)?;
            match state.fault {
                Some(vector) => writeln!(f, " exception={vector}")?,
                None => writeln!(f)?,
            }
        }
        writeln!(
            f,
            "  flags   {:08x} differ, of {:08x} that count",
            self.native.eflags ^ self.executor.eflags,
            self.flags
        )?;
        let bytes = self.native.memory.iter().zip(self.executor.memory.iter());
        for (offset, (native, found)) in
            bytes.enumerate().filter(|(_, (native, found))| native != found).take(8)
        {
            writeln!(f, "  memory  window+{offset:#x}: native {native:02x}, found {found:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Display for OracleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:>8} {:>10} {:>12} {:>12}",
            "operation", "forms", "states", "differences", "undefined"
        )?;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, op: &OpCounts| {
            let OpCounts { forms, states, differences, undefined_differences } = op;
            writeln!(f, "{name:<12} {forms:>8} {states:>10} {differences:>12} {undefined_differences:>12}")
        };
        for (name, op) in &self.ops {
            line(f, name, op)?;
        }
        line(f, "all", &self.total())?;
        for (code, unfit) in &self.unfit {
            writeln!(f, "not run: {}  {}: {unfit}", disasm::hex(code), disasm::text(code, 0, true))?;
        }
        for example in &self.examples {
            write!(f, "{example}")?;
        }
        writeln!(f, "seed {}", self.seed)
    }
}
