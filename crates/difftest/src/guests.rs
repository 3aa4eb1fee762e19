#![forbid(unsafe_code)]
//! Whole guests on two executors, compared at intervals and, on a difference, narrowed down.
//!
//! Both machines are made anew for every narrowing, so that what is found does not depend on where the run was
//! interrupted before. Compared are the processor's state, a hash of all memory, and how the run ends.

use std::fmt;

use base::LinearAddr;
use engine::{Engine, JitMode, Stop};
use isa::{DecodeMode, SegReg};
use machine::Machine;

use crate::disasm;
use crate::snapshot::{Origin, Snapshot};

/// Parts that an interval with a difference is cut into.
const PARTS: u64 = 32;
/// Instructions shown before a difference.
const SHOWN: u64 = 16;

/// What is compared.
pub struct GuestRun<'a, E> {
    /// Name of the guest, for messages.
    pub name: &'a str,
    /// Makes a machine with the guest loaded.
    pub make: &'a mut dyn FnMut(JitMode) -> Result<Machine, E>,
    /// When the subject compiles.
    pub jit: JitMode,
    /// Instructions between two comparisons.
    pub interval: u64,
    /// Instructions after which the guest is stopped.
    pub limit: u64,
}

/// A guest that was equal on both to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestReport {
    /// Instructions completed.
    pub instructions: u64,
    /// Comparisons made.
    pub comparisons: u64,
    /// How it ended.
    pub stop: Stop,
    /// Counts of the subject.
    pub stats: engine::Stats,
    /// Executions of the subject by operation, if the machine counts them.
    pub ops: engine::OpCounts,
}

/// The first difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestDivergence {
    /// Name of the guest.
    pub name: String,
    /// Both were equal after so many instructions, and differed after the second number.
    pub between: (u64, u64),
    /// What differs: interpreter against translated code.
    pub differences: Vec<String>,
    /// The instructions before it.
    pub trace: Vec<String>,
}

impl fmt::Display for GuestDivergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (equal, different) = self.between;
        writeln!(f, "{} is equal after {equal} instructions and differs after {different}", self.name)?;
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        for line in &self.differences {
            writeln!(f, "  differs: {line}")?;
        }
        writeln!(f, "  replay: marq diff lockstep {}", self.name)
    }
}

/// Why a comparison ended early.
#[derive(Debug)]
pub enum GuestFailure<E> {
    /// A machine could not be made.
    Make(E),
    /// The executors differ.
    Differs(Box<GuestDivergence>),
}

/// Compares a guest on the interpreter and on translated code.
///
/// # Errors
/// [`GuestFailure`].
pub fn compare<E>(run: &mut GuestRun<'_, E>) -> Result<GuestReport, GuestFailure<E>> {
    let mut pair = MachinePair::new(run)?;
    let (mut equal, mut comparisons) = (0u64, 0u64);
    loop {
        let next = equal.saturating_add(run.interval.max(1)).min(run.limit);
        comparisons += 1;
        match pair.run_to(next) {
            Ok(Stop::Limit) if next < run.limit => equal = next,
            Ok(stop) => return Ok(pair.report(stop, comparisons)),
            Err(differences) => {
                return Err(GuestFailure::Differs(Box::new(narrow(run, (equal, next), differences)?)));
            }
        }
    }
}

struct MachinePair {
    reference: Machine,
    subject: Machine,
}

impl MachinePair {
    fn new<E>(run: &mut GuestRun<'_, E>) -> Result<Self, GuestFailure<E>> {
        let reference = (run.make)(JitMode::Off).map_err(GuestFailure::Make)?;
        let subject = (run.make)(run.jit).map_err(GuestFailure::Make)?;
        Ok(Self { reference, subject })
    }

    /// Runs both to `count` and compares.
    fn run_to(&mut self, count: u64) -> Result<Stop, Vec<String>> {
        let stops = (self.reference.run(Some(count)), self.subject.run(Some(count)));
        let reference = Snapshot::take(self.reference.engine_mut(), Origin::default());
        let subject = Snapshot::take(self.subject.engine_mut(), Origin::default());
        let mut differences = reference.differences(&subject);
        if stops.0 != stops.1 {
            differences.push(format!("end: {:?} against {:?}", stops.0, stops.1));
        }
        let hashes = (self.reference.ram_hash(), self.subject.ram_hash());
        if hashes.0 != hashes.1 {
            differences.push(format!("memory hash: {:016x} against {:016x}", hashes.0, hashes.1));
        }
        if differences.is_empty() { Ok(stops.0) } else { Err(differences) }
    }

    fn report(&self, stop: Stop, comparisons: u64) -> GuestReport {
        let engine = self.subject.engine();
        GuestReport {
            instructions: engine.cpu().instructions(),
            comparisons,
            stop,
            stats: engine.stats(),
            ops: engine.op_counts(),
        }
    }
}

/// Narrows a difference down by running anew with more and more comparisons.
fn narrow<E>(
    run: &mut GuestRun<'_, E>,
    mut between: (u64, u64),
    mut differences: Vec<String>,
) -> Result<GuestDivergence, GuestFailure<E>> {
    while between.1 - between.0 > 1 {
        let step = (between.1 - between.0).div_ceil(PARTS);
        let mut pair = MachinePair::new(run)?;
        let Some((found, what)) = first_difference(&mut pair, between, step) else { break };
        (between, differences) = (found, what);
        if step == 1 {
            break;
        }
    }
    let trace = trace(run, between.1)?;
    Ok(GuestDivergence { name: run.name.to_owned(), between, differences, trace })
}

/// The first step of a new run that shows a difference, if it still does.
fn first_difference(
    pair: &mut MachinePair,
    between: (u64, u64),
    step: u64,
) -> Option<((u64, u64), Vec<String>)> {
    let (mut equal, last) = between;
    if equal > 0 && pair.run_to(equal).is_err() {
        return None;
    }
    while equal < last {
        let next = last.min(equal + step);
        match pair.run_to(next) {
            Ok(Stop::Limit) => equal = next,
            Ok(_) => return None,
            Err(differences) => return Some(((equal, next), differences)),
        }
    }
    None
}

/// The last instructions of the reference before `count`.
fn trace<E>(run: &mut GuestRun<'_, E>, count: u64) -> Result<Vec<String>, GuestFailure<E>> {
    let mut machine = (run.make)(JitMode::Off).map_err(GuestFailure::Make)?;
    let first = count.saturating_sub(SHOWN);
    if first > 0 && machine.run(Some(first)) != Stop::Limit {
        return Ok(Vec::new());
    }
    let mut lines = Vec::new();
    for next in first..=count {
        lines.push(next_line(machine.engine_mut(), Origin::default()));
        if next == count || machine.run(Some(next + 1)) != Stop::Limit {
            break;
        }
    }
    Ok(lines)
}

/// The next instruction as a line of text: count, EIP, bytes, mnemonic.
///
/// Fetching may set accessed bits, so the machine must not be compared afterwards.
pub fn next_line(engine: &mut Engine, origin: Origin) -> String {
    let instructions = engine.cpu().instructions() - origin.instructions;
    let cpu = engine.cpu_mut();
    let (eip, cs) = (cpu.state.eip, cpu.state.segs[SegReg::Cs.index()]);
    let code32 = cs.attrs & cpu::attr::DB != 0;
    let mut bytes = [0; 15];
    let la = LinearAddr((cs.base as u32).wrapping_add(eip));
    let Ok((len, _)) = cpu.fetch(la, &mut bytes) else {
        return format!("{instructions:>6} {eip:08x}  (not readable)");
    };
    let bytes = &bytes[..len];
    let decoded = isa::decode(bytes, eip, DecodeMode { code32 });
    let insn_len = decoded.map_or(len, |insn| usize::from(insn.len));
    let (hex, text) = (disasm::hex(&bytes[..insn_len]), disasm::text(bytes, eip, code32));
    format!("{instructions:>6} {eip:08x}  {hex:<24} {text}")
}
