//! Decoding: guest bytes to [`Insn`], by way of iced-x86's instruction.
//!
//! What depends on the instruction code alone stands in the table of `shape.rs`; the rest is copied from
//! iced's accessors for each instruction. The options make iced read shared encodings as a P6 does.

use std::fmt;

use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction, OpKind};

use crate::insn::{Cond, FlagEffects, Gpr, Insn, Mem, Operand, Reg, Rep, SegReg, Width};
use crate::op::Op;
use crate::registers;
use crate::shape::{Entry, Shape, flag_effects};

/// Longest instruction in bytes (SDM Vol. 2A 2.3.11).
const MAX_LEN: usize = 15;

/// REP BSF is BSF and not TZCNT, REP NOP is NOP, and hint NOPs have no later meaning.
const OPTIONS: u32 = DecoderOptions::NO_MPFX_0FBC
    | DecoderOptions::NO_MPFX_0FBD
    | DecoderOptions::NO_PAUSE
    | DecoderOptions::NO_WBNOINVD
    | DecoderOptions::FORCE_RESERVED_NOP;

/// What decoding needs to know of the processor's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecodeMode {
    /// The D bit of CS: operands and addresses are 32 bits wide by default, 16 otherwise.
    pub code32: bool,
}

/// Why bytes hold no instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The instruction needs more bytes than were given.
    TooShort,
    /// The instruction is longer than 15 bytes.
    TooLong,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "the instruction needs more bytes than were given",
            Self::TooLong => "the instruction is longer than 15 bytes",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Decodes the instruction at the start of `bytes`, which stand at `eip`.
///
/// Bytes that are no instruction of this processor decode to [`Op::Invalid`]; its length counts what iced read
/// to find that out, as a rule the opcode and a ModRM byte.
///
/// # Errors
/// `TooLong` if the first 15 bytes are not the whole instruction, `TooShort` if fewer are given and they are
/// not.
pub fn decode(bytes: &[u8], eip: u32, mode: DecodeMode) -> Result<Insn, DecodeError> {
    let window = &bytes[..bytes.len().min(MAX_LEN)];
    let bitness = if mode.code32 { 32 } else { 16 };
    // Used where it stands: the decoder is large, and moving it out of the result costs as much as decoding.
    let mut decoder = Decoder::try_with_ip(bitness, window, u64::from(eip), OPTIONS);
    let decoder = decoder.as_mut().expect("the bitness is 16 or 32, and a slice does not wrap");
    let mut raw = Instruction::default();
    decoder.decode_out(&mut raw);
    if decoder.last_error() == DecoderError::NoMoreBytes {
        return Err(DecodeError::TooShort);
    }
    if raw.len() == MAX_LEN && raw.is_invalid() && runs_past_the_end(window, bitness) {
        return Err(DecodeError::TooLong);
    }
    let mut insn = BLANK;
    compact(&mut insn, &raw, &Prefixes::scan(window, mode), window);
    Ok(insn)
}

/// Appends the instructions that follow one another from the start of `bytes`, which stand at `eip`, to `insns`, up
/// to the first of which `goes_on` is false. Returns their length in bytes.
///
/// Ends before what is no instruction of this processor or is not wholly there; [`decode`] says which.
pub fn decode_run(
    bytes: &[u8],
    eip: u32,
    mode: DecodeMode,
    insns: &mut Vec<Insn>,
    goes_on: impl Fn(&Insn) -> bool,
) -> usize {
    let bitness = if mode.code32 { 32 } else { 16 };
    let mut decoder = Decoder::try_with_ip(bitness, bytes, u64::from(eip), OPTIONS);
    let decoder = decoder.as_mut().expect("the bitness is 16 or 32, and a slice does not wrap");
    let mut raw = Instruction::default();
    let mut done = 0;
    loop {
        decoder.decode_out(&mut raw);
        if raw.is_invalid() {
            return done;
        }
        let window = &bytes[done..done + raw.len()];
        done += raw.len();
        // Made where it stays: a copy of what was just written in small parts is slow.
        insns.push(BLANK);
        let Some(insn) = insns.last_mut() else { return done };
        compact(insn, &raw, &Prefixes::scan(window, mode), window);
        if !goes_on(insn) {
            return done;
        }
    }
}

/// Whether an instruction that fills the window is longer than it, rather than 15 bytes of an undefined one.
///
/// iced reports both alike. Without one of its superfluous prefixes the former does not fit 14 bytes either.
/// Superfluous for the length are segment prefixes, and those before another of their group. With none of them
/// there are at most four prefixes before at most eleven bytes, or before a VEX or EVEX prefix, which is #UD at
/// its second byte.
#[cold]
fn runs_past_the_end(window: &[u8], bitness: u32) -> bool {
    let prefixes = window.iter().position(|&byte| PrefixGroup::of(byte).is_none()).unwrap_or(window.len());
    let superfluous = (0..prefixes).find(|&n| {
        let group = PrefixGroup::of(window[n]);
        group == Some(PrefixGroup::Segment)
            || window[n + 1..prefixes].iter().any(|&later| same_group(window[n], later))
    });
    superfluous.is_some_and(|n| {
        let shorter = [&window[..n], &window[n + 1..]].concat();
        let mut decoder = Decoder::new(bitness, &shorter, OPTIONS);
        let _ = decoder.decode();
        decoder.last_error() == DecoderError::NoMoreBytes
    })
}

/// The prefix groups (SDM Vol. 2A 2.1.1); of several prefixes of one group the last counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PrefixGroup {
    Lock,
    Repeat(Rep),
    Segment,
    OperandSize,
    AddressSize,
}

impl PrefixGroup {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            0x66 => Some(Self::OperandSize),
            0x67 => Some(Self::AddressSize),
            0xf0 => Some(Self::Lock),
            0xf2 => Some(Self::Repeat(Rep::Repne)),
            0xf3 => Some(Self::Repeat(Rep::Repe)),
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 => Some(Self::Segment),
            _ => None,
        }
    }
}

fn same_group(first: u8, second: u8) -> bool {
    match (PrefixGroup::of(first), PrefixGroup::of(second)) {
        (Some(PrefixGroup::Repeat(_)), Some(PrefixGroup::Repeat(_))) => true,
        (first, second) => first == second,
    }
}

/// What the prefixes say that iced's instruction does not keep.
struct Prefixes {
    /// Their number.
    len: usize,
    op_size: Width,
    addr_size: Width,
    rep: Rep,
}

impl Prefixes {
    fn scan(window: &[u8], mode: DecodeMode) -> Self {
        let (default, other) = if mode.code32 { (Width::B4, Width::B2) } else { (Width::B2, Width::B4) };
        let mut found = Self { len: 0, op_size: default, addr_size: default, rep: Rep::None };
        for &byte in window {
            match PrefixGroup::of(byte) {
                Some(PrefixGroup::OperandSize) => found.op_size = other,
                Some(PrefixGroup::AddressSize) => found.addr_size = other,
                Some(PrefixGroup::Repeat(rep)) => found.rep = rep,
                Some(PrefixGroup::Lock | PrefixGroup::Segment) => {}
                None => break,
            }
            found.len += 1;
        }
        found
    }
}

/// What decoding begins with.
const BLANK: Insn = Insn {
    op: Op::Invalid,
    len: 0,
    cond: Cond::O,
    width: Width::B4,
    op_size: Width::B4,
    addr_size: Width::B4,
    rep: Rep::None,
    lock: false,
    string_seg: SegReg::Ds,
    operands: [Operand::None; 3],
    flags: FlagEffects { read: 0, written: 0, undefined: 0 },
};

/// Makes of `insn`, which is blank, the instruction that iced decoded from `window`.
fn compact(insn: &mut Insn, raw: &Instruction, prefixes: &Prefixes, window: &[u8]) {
    let entry = Entry::of(raw.code());
    insn.op = entry.op;
    insn.len = raw.len() as u8;
    insn.cond = entry.cond;
    insn.width = prefixes.op_size;
    insn.op_size = prefixes.op_size;
    insn.addr_size = prefixes.addr_size;
    insn.lock = raw.has_lock_prefix();
    insn.flags = entry.flags;
    match entry.shape {
        Shape::First | Shape::NoAccess => list(insn, raw, entry),
        Shape::Second => {
            list(insn, raw, entry);
            insn.width = width(insn.operands[1]).unwrap_or(insn.op_size);
        }
        Shape::OpSize => {
            list(insn, raw, entry);
            insn.width = insn.op_size;
        }
        Shape::Bytes => {
            list(insn, raw, entry);
            insn.width = Width::B1;
        }
        Shape::Selectors => {
            list(insn, raw, entry);
            insn.operands = insn.operands.map(low16);
            insn.width = Width::B2;
        }
        Shape::SelectorSource => {
            list(insn, raw, entry);
            insn.operands[1] = low16(insn.operands[1]);
        }
        Shape::Shift => {
            list(insn, raw, entry);
            shift_flags(insn, raw);
        }
        Shape::Control => control(insn, raw, entry),
        Shape::Hint => {
            list(insn, raw, entry);
            insn.operands[1] = Operand::None;
        }
        Shape::Hidden => insn.lock = false,
        Shape::String => string(insn, raw, entry, prefixes),
        Shape::Enter => {
            insn.operands[0] = Operand::Imm(u32::from(raw.immediate16()));
            insn.operands[1] = Operand::Imm(u32::from(raw.immediate8_2nd() & 31));
        }
        Shape::Fpu => fpu(insn, raw, entry, &window[prefixes.len..]),
    }
}

/// Fills in the operands that iced lists, and the first one's width.
///
/// Where iced lists none it has a register operand without register.
fn list(insn: &mut Insn, raw: &Instruction, entry: &Entry) {
    for (n, place) in (0..).zip(&mut insn.operands) {
        *place = operand(raw, n, entry.mem_size, insn.addr_size);
        if *place == Operand::None {
            break;
        }
    }
    insn.width = width(insn.operands[0]).unwrap_or(insn.op_size);
}

/// Flags of a shift or rotation, whose count is the last operand.
fn shift_flags(insn: &mut Insn, raw: &Instruction) {
    if insn.operands.iter().any(|operand| matches!(operand, Operand::Imm(_))) {
        insn.flags = flag_effects(raw);
    } else {
        // A count of zero in CL leaves the flags as they are.
        insn.flags.read |= insn.flags.written | insn.flags.undefined;
    }
}

/// MOV to or from a control register; there are CR0, CR2, CR3 and CR4.
fn control(insn: &mut Insn, raw: &Instruction, entry: &Entry) {
    list(insn, raw, entry);
    if insn.operands.iter().any(|operand| matches!(operand, Operand::Cr(1 | 5..))) {
        insn.op = Op::Invalid;
        insn.width = insn.op_size;
        insn.operands = [Operand::None; 3];
        insn.flags = FlagEffects::default();
    }
}

/// Element width, segment and repeat prefix of a string instruction or XLAT.
fn string(insn: &mut Insn, raw: &Instruction, entry: &Entry, prefixes: &Prefixes) {
    insn.width = width_of_bytes(entry.mem_size).unwrap_or(insn.op_size);
    if matches!(insn.op, Op::Movs | Op::Cmps | Op::Lods | Op::Outs | Op::Xlat) {
        insn.string_seg = registers::segment(raw.segment_prefix()).unwrap_or(SegReg::Ds);
    }
    let compares = matches!(insn.op, Op::Cmps | Op::Scas);
    insn.rep = match prefixes.rep {
        _ if insn.op == Op::Xlat => Rep::None,
        Rep::Repne if !compares => Rep::Repe,
        rep => rep,
    };
    if compares && insn.rep != Rep::None {
        // A count of zero leaves the flags as they are.
        insn.flags.read |= insn.flags.written;
    }
}

/// The memory operand of an x87 instruction, and its opcode: the low 3 bits of the first byte, then the
/// second (SDM Vol. 1 8.1.9). WAIT has neither.
fn fpu(insn: &mut Insn, raw: &Instruction, entry: &Entry, code: &[u8]) {
    if let [escape @ 0xd8..=0xdf, modrm, ..] = *code {
        insn.operands[1] = Operand::Imm(u32::from(escape & 7) << 8 | u32::from(modrm));
    }
    if raw.op0_kind() == OpKind::Memory || raw.op1_kind() == OpKind::Memory {
        insn.operands[0] = Operand::Mem(memory(raw, entry.mem_size, insn.addr_size));
    }
}

/// Operand `n` of iced's instruction; memory is accessed in `mem_size` bytes.
fn operand(raw: &Instruction, n: u32, mem_size: u8, addr_size: Width) -> Operand {
    match raw.op_kind(n) {
        OpKind::Register => registers::operand(raw.op_register(n)),
        OpKind::Memory => Operand::Mem(memory(raw, mem_size, addr_size)),
        OpKind::Immediate8 => Operand::Imm(u32::from(raw.immediate8())),
        OpKind::Immediate16 => Operand::Imm(u32::from(raw.immediate16())),
        OpKind::Immediate32 => Operand::Imm(raw.immediate32()),
        OpKind::Immediate8to16 => Operand::Imm(u32::from(raw.immediate8to16() as u16)),
        OpKind::Immediate8to32 => Operand::Imm(raw.immediate8to32() as u32),
        OpKind::NearBranch16 => Operand::Target(u32::from(raw.near_branch16())),
        OpKind::NearBranch32 => Operand::Target(raw.near_branch32()),
        OpKind::FarBranch16 => far(raw, u32::from(raw.far_branch16())),
        OpKind::FarBranch32 => far(raw, raw.far_branch32()),
        // Implied memory of string instructions, and what only 64-bit code has.
        _ => Operand::None,
    }
}

fn far(raw: &Instruction, offset: u32) -> Operand {
    Operand::Far { selector: raw.far_branch_selector(), offset }
}

/// The memory operand.
fn memory(raw: &Instruction, size: u8, addr_size: Width) -> Mem {
    let base = registers::gpr(raw.memory_base());
    let disp = raw.memory_displacement32();
    Mem {
        seg: registers::segment(raw.segment_prefix()).unwrap_or(default_segment(base)),
        base,
        index: registers::gpr(raw.memory_index()),
        scale: raw.memory_index_scale().trailing_zeros() as u8,
        disp: if addr_size == Width::B2 { i32::from(disp as u16 as i16) } else { disp as i32 },
        size,
    }
}

/// Addresses from the stack or frame pointer are in the stack segment (SDM Vol. 1 3.7.4).
fn default_segment(base: Option<Gpr>) -> SegReg {
    if matches!(base, Some(Gpr::Ebp | Gpr::Esp)) { SegReg::Ss } else { SegReg::Ds }
}

/// The same operand, a register cut to 16 bits.
fn low16(operand: Operand) -> Operand {
    match operand {
        Operand::Reg(reg) => Operand::Reg(Reg { width: Width::B2, ..reg }),
        Operand::None
        | Operand::Mem(_)
        | Operand::Imm(_)
        | Operand::Seg(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. } => operand,
    }
}

/// Width of what an operand names, if it is one of the widths.
fn width(operand: Operand) -> Option<Width> {
    match operand {
        Operand::Reg(reg) => Some(reg.width),
        Operand::Mem(mem) => width_of_bytes(mem.size),
        Operand::Seg(_) => Some(Width::B2),
        Operand::Cr(_) | Operand::Dr(_) => Some(Width::B4),
        Operand::None | Operand::Imm(_) | Operand::Target(_) | Operand::Far { .. } => None,
    }
}

fn width_of_bytes(bytes: u8) -> Option<Width> {
    match bytes {
        1 => Some(Width::B1),
        2 => Some(Width::B2),
        4 => Some(Width::B4),
        8 => Some(Width::B8),
        _ => None,
    }
}
