//! Rewrites what tests expect: from the host's processor where it can say, else from the interpreter.

use std::path::{Path, PathBuf};

use isa::{DecodeMode, Insn, Op, Operand};

use super::parse::{InsnTest, Mode, ParseError, parse};
use super::run::{Outcome, Runner, files, is_fault};
use super::values::{FLAGS, Flag, Values};
use super::{CODE, PLACE, STACK};
use crate::disasm;
use crate::native::{Native, NativeState, WINDOW};
use crate::oracle::undefined;
use crate::program::Variant;
use crate::vet::vet;

/// A rewritten file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blessed {
    /// Its text.
    pub text: String,
    /// Cases whose outcome is the host processor's.
    pub native: usize,
    /// Cases whose outcome is the interpreter's alone.
    pub interpreted: usize,
    /// Cases in which the two disagree, or that could not be run: line and reason.
    pub problems: Vec<(usize, String)>,
}

/// Rewrites texts, outcomes and host instruction counts of a file of tests.
///
/// # Errors
/// The first line that has no meaning.
pub fn bless(text: &str, runner: &mut Runner, native: Option<&mut Native>) -> Result<Blessed, ParseError> {
    let mut tests = parse(text)?;
    let mut native = native.filter(|native| native.place() == PLACE);
    let mut blessed = Blessed { text: String::new(), native: 0, interpreted: 0, problems: Vec::new() };
    for insn in &mut tests.insns {
        insn.text = disasm::text(&insn.bytes, CODE, true);
        match runner.host_insns(insn) {
            Ok(count) => insn.host_insns = count,
            Err(error) => blessed.problems.push((insn.line, error.to_string())),
        }
        for number in 0..insn.cases.len() {
            let case = &insn.cases[number];
            let (line, input) = (case.line, case.input.clone());
            match outcome(insn, &input, runner, native.as_deref_mut()) {
                Ok((values, by_native)) => {
                    insn.cases[number].output = values;
                    if by_native { blessed.native += 1 } else { blessed.interpreted += 1 }
                }
                Err(problem) => blessed.problems.push((line, problem)),
            }
        }
    }
    blessed.text = tests.to_string();
    Ok(blessed)
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlessedFile {
    /// The file.
    pub path: PathBuf,
    /// Whether its text changed.
    pub written: bool,
    /// Its new contents, and what is wrong with them.
    pub blessed: Blessed,
}

/// Rewrites all `.x86` files in and below `dir`; what became of each.
///
/// # Errors
/// What reading or writing a file says; a file that does not parse is left alone and named in its problems.
pub fn bless_dir(
    dir: &Path,
    runner: &mut Runner,
    mut native: Option<&mut Native>,
) -> std::io::Result<Vec<BlessedFile>> {
    let mut all = Vec::new();
    for path in files(dir)? {
        let text = std::fs::read_to_string(&path)?;
        let blessed = bless(&text, runner, native.as_deref_mut()).unwrap_or_else(|error| Blessed {
            text: text.clone(),
            native: 0,
            interpreted: 0,
            problems: vec![(error.line, error.message)],
        });
        let written = blessed.text != text;
        if written {
            std::fs::write(&path, &blessed.text)?;
        }
        all.push(BlessedFile { path, written, blessed });
    }
    Ok(all)
}

/// What the instruction does to `input`, and whether the host's processor said it.
fn outcome(
    insn: &InsnTest,
    input: &Values,
    runner: &mut Runner,
    native: Option<&mut Native>,
) -> Result<(Values, bool), String> {
    let found = runner.outcome(insn, input)?;
    let before = state(input);
    let decoded =
        isa::decode(&insn.bytes, CODE, DecodeMode { code32: true }).map_err(|error| error.to_string())?;
    let undefined = undefined(&decoded, &before).flags;
    let values = values(insn, input, &found, decoded.flags.written, undefined);
    let Some(native) = native else { return Ok((values, false)) };
    // Memory outside the native window is not there for it.
    let inside = input.memory.iter().all(|(address, bytes)| PLACE.holds(*address, bytes.len() as u32));
    let Ok(vetted) = vet(PLACE, &insn.bytes, &before) else { return Ok((values, false)) };
    if !inside || !is_alike(&decoded, insn.mode) {
        return Ok((values, false));
    }
    native.load(&insn.bytes).map_err(|error| error.to_string())?;
    let after = native.run(&vetted);
    let flags = FLAGS.iter().fold(0, |mask, (_, bit)| mask | bit) & !undefined;
    let agrees = after.gpr == found.gpr
        && after.eip == found.eip
        && (after.eflags ^ found.eflags) & flags == 0
        && found.exception.is_none()
        && window(&before, &found) == after.memory[..];
    if agrees {
        return Ok((values, true));
    }
    let NativeState { gpr, eip, eflags, .. } = after;
    Err(format!("the host's processor says registers {gpr:x?}, eip {eip:x}, eflags {eflags:x}"))
}

/// Whether an instruction does the same under the host's system, which has its own selectors and runs it in
/// ring 3.
fn is_alike(insn: &Insn, mode: Mode) -> bool {
    let names_segment =
        insn.operands.iter().any(|operand| matches!(operand, Operand::Seg(_) | Operand::Far { .. }));
    let about_segments = matches!(
        insn.op,
        Op::JmpFar
            | Op::CallFar
            | Op::RetFar
            | Op::Iret
            | Op::Lds
            | Op::Les
            | Op::Lss
            | Op::Lar
            | Op::Lsl
            | Op::Verr
            | Op::Verw
    );
    let by_ring = insn.op == Op::Popf && mode == Mode::Prot32;
    !names_segment && !about_segments && !by_ring
}

/// The state that `input` describes, for the host's processor.
fn state(input: &Values) -> NativeState {
    let mut state = NativeState::zero(PLACE);
    state.gpr[4] = STACK;
    for (number, value) in &input.gpr {
        state.gpr[*number] = *value;
    }
    state.eflags = input.apply_flags(state.eflags);
    write(&mut state.memory[..], &input.memory);
    state
}

/// The window after `outcome`.
fn window(before: &NativeState, outcome: &Outcome) -> Vec<u8> {
    let mut memory = before.memory.to_vec();
    write(&mut memory, &outcome.memory);
    memory
}

fn write(window: &mut [u8], memory: &[(u32, Vec<u8>)]) {
    for (address, bytes) in memory {
        for (address, byte) in (*address..).zip(bytes) {
            let offset = address.wrapping_sub(PLACE.window()) as usize;
            if offset < WINDOW {
                window[offset] = *byte;
            }
        }
    }
}

/// What is different after the instruction, as an `out` says it.
///
/// Status flags are listed when the instruction gives one of them a value, `undefined` ones as such.
fn values(insn: &InsnTest, input: &Values, found: &Outcome, written: u32, undefined: u32) -> Values {
    let before = state(input);
    let mut values =
        Values { memory: found.memory.clone(), exception: found.exception.clone(), ..Values::default() };
    for (number, (old, new)) in before.gpr.iter().zip(found.gpr).enumerate() {
        if *old != new {
            values.gpr.insert(number, new);
        }
    }
    let selectors = Variant { ring3: insn.mode == Mode::User32, ..Variant::default() }.selectors();
    for (number, (old, new)) in selectors.iter().zip(found.selectors).enumerate() {
        if *old != new {
            values.selectors.insert(number, new);
        }
    }
    let next = if is_fault(found.exception.as_deref()) { CODE } else { CODE + insn.bytes.len() as u32 };
    values.eip = (found.eip != next).then_some(found.eip);
    let (written, undefined) = if found.exception.is_some() { (0, 0) } else { (written, undefined) };
    for (_, bit) in FLAGS {
        let listed = written & bit != 0 || (before.eflags ^ found.eflags) & bit != 0;
        if undefined & bit != 0 {
            values.flags.insert(bit, Flag::Undefined);
        } else if listed {
            values.flags.insert(bit, if found.eflags & bit != 0 { Flag::Set } else { Flag::Clear });
        }
    }
    values
}
