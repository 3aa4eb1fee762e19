//! `Insn` against iced's own accessors, over all opcodes and over random bytes.
//!
//! What iced lists is read through its general accessors (`memory_segment`, `immediate`, `full_register32`,
//! ...), none of which the decoder uses. The conventions of `isa` that differ from iced's are written out here.

mod sweep;

use std::fmt;

use iced_x86::{Instruction, OpKind, Register};
use marquetry_isa::{
    DecodeError, DecodeMode, Gpr, Insn, Mem, Op, Operand, Reg, Rep, SegReg, Width, decode, decode_run,
};
use proptest::prelude::*;

fn gpr(register: Register) -> Gpr {
    let full = register.full_register32();
    assert!(full.is_gpr32(), "{register:?}");
    // AH to BH have EAX to EBX as full registers, so the number is the full register's.
    Gpr::from_number(full.number() as u8)
}

fn width(bytes: usize) -> Width {
    [Width::B1, Width::B2, Width::B4, Width::B8]
        .into_iter()
        .find(|width| width.bytes() as usize == bytes)
        .unwrap()
}

fn segment(register: Register) -> SegReg {
    match register {
        Register::ES => SegReg::Es,
        Register::CS => SegReg::Cs,
        Register::SS => SegReg::Ss,
        Register::DS => SegReg::Ds,
        Register::FS => SegReg::Fs,
        Register::GS => SegReg::Gs,
        other => panic!("{other:?} is no segment register"),
    }
}

fn expected_register(register: Register) -> Operand {
    if register.is_segment_register() {
        Operand::Seg(segment(register))
    } else if register.is_cr() {
        Operand::Cr(register.number() as u8)
    } else if register.is_dr() {
        Operand::Dr(register.number() as u8)
    } else {
        let high = matches!(register, Register::AH | Register::CH | Register::DH | Register::BH);
        Operand::Reg(Reg { gpr: gpr(register), width: width(register.size()), high })
    }
}

fn expected_memory(raw: &Instruction) -> Operand {
    let (base, index) = (raw.memory_base(), raw.memory_index());
    let short = base.size() == 2 || index.size() == 2 || raw.memory_displ_size() == 2;
    Operand::Mem(Mem {
        seg: segment(raw.memory_segment()),
        base: (base != Register::None).then(|| gpr(base)),
        index: (index != Register::None).then(|| gpr(index)),
        scale: [1, 2, 4, 8].iter().position(|&scale| scale == raw.memory_index_scale()).unwrap() as u8,
        disp: if short {
            i32::from(raw.memory_displacement64() as i16)
        } else {
            raw.memory_displacement64() as i32
        },
        size: raw.memory_size().size() as u8,
    })
}

fn expected_operand(raw: &Instruction, n: u32) -> Operand {
    match raw.op_kind(n) {
        OpKind::Register => expected_register(raw.op_register(n)),
        OpKind::Memory => expected_memory(raw),
        OpKind::NearBranch16 | OpKind::NearBranch32 => Operand::Target(raw.near_branch_target() as u32),
        OpKind::FarBranch16 => {
            Operand::Far { selector: raw.far_branch_selector(), offset: u32::from(raw.far_branch16()) }
        }
        OpKind::FarBranch32 => {
            Operand::Far { selector: raw.far_branch_selector(), offset: raw.far_branch32() }
        }
        OpKind::Immediate8to16 => Operand::Imm(raw.immediate(n) as u32 & 0xffff),
        _ => Operand::Imm(raw.immediate(n) as u32),
    }
}

/// What `operand` is under the conventions of `op`, the `n`-th operand being iced's.
fn under_convention(op: Op, n: u32, operand: Operand) -> Operand {
    let selector = match op {
        Op::Lldt | Op::Ltr | Op::Lmsw | Op::Verr | Op::Verw | Op::Arpl => true,
        Op::Lar | Op::Lsl | Op::MovSeg => n == 1,
        _ => false,
    };
    match operand {
        Operand::Reg(reg) if selector => Operand::Reg(Reg { width: Width::B2, ..reg }),
        Operand::Mem(mem) if matches!(op, Op::Lea | Op::Nop | Op::Invlpg) => {
            Operand::Mem(Mem { size: 0, ..mem })
        }
        Operand::Imm(level) if op == Op::Enter && n == 1 => Operand::Imm(level % 32),
        other => other,
    }
}

fn expected_operands(insn: &Insn, raw: &Instruction, bytes: &[u8]) -> [Operand; 3] {
    let mut expected = [Operand::None; 3];
    let string = matches!(insn.op, Op::Movs | Op::Cmps | Op::Scas | Op::Lods | Op::Stos | Op::Ins | Op::Outs);
    if string || matches!(insn.op, Op::Xlat | Op::Ud | Op::Invalid) {
        return expected;
    }
    if insn.op == Op::Fpu {
        if (0..raw.op_count()).any(|n| raw.op_kind(n) == OpKind::Memory) {
            expected[0] = expected_memory(raw);
        }
        let opcode = after_prefixes(bytes);
        if opcode[0] != 0x9b {
            expected[1] = Operand::Imm(u32::from(opcode[0] - 0xd8) * 256 + u32::from(opcode[1]));
        }
        return expected;
    }
    assert!(raw.op_count() <= 3);
    // The register of a hint NOP's ModRM byte is part of its opcode.
    let count = if insn.op == Op::Nop { raw.op_count().min(1) } else { raw.op_count() };
    for n in 0..count {
        expected[n as usize] = under_convention(insn.op, n, expected_operand(raw, n));
    }
    expected
}

fn is_prefix(byte: &u8) -> bool {
    [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].contains(byte)
}

fn after_prefixes(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.iter().take_while(|byte| is_prefix(byte)).count()..]
}

fn expected_rep(op: Op, prefixes: &[u8]) -> Rep {
    let last = prefixes.iter().rev().find(|byte| matches!(byte, 0xf2 | 0xf3));
    match (op, last) {
        (_, None) => Rep::None,
        (Op::Cmps | Op::Scas, Some(0xf2)) => Rep::Repne,
        (Op::Cmps | Op::Scas | Op::Movs | Op::Lods | Op::Stos | Op::Ins | Op::Outs, Some(_)) => Rep::Repe,
        _ => Rep::None,
    }
}

/// Names the case of a failure.
struct Case<'a>(&'a [u8], DecodeMode, Instruction);

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?} {:?} {:?}", self.0, self.1, self.2)
    }
}

/// Compares everything but the flags, which `flags.rs` has.
fn assert_agrees(insn: &Insn, bytes: &[u8], eip: u32, mode: DecodeMode) {
    let raw = sweep::iced(bytes, eip, mode);
    let prefixes = &bytes[..bytes.len() - after_prefixes(bytes).len()];
    let case = Case(bytes, mode, raw);
    assert_eq!(usize::from(insn.len), raw.len(), "{case}");
    assert_eq!(insn.operands, expected_operands(insn, &raw, bytes), "{case}");
    assert_eq!(insn.lock, insn.op != Op::Invalid && prefixes.contains(&0xf0), "{case}");
    assert_eq!(
        insn.op_size,
        if mode.code32 != prefixes.contains(&0x66) { Width::B4 } else { Width::B2 },
        "{case}"
    );
    assert_eq!(
        insn.addr_size,
        if mode.code32 != prefixes.contains(&0x67) { Width::B4 } else { Width::B2 },
        "{case}"
    );
    assert_eq!(insn.rep, expected_rep(insn.op, prefixes), "{case}");
    if matches!(insn.op, Op::Movs | Op::Cmps | Op::Lods | Op::Outs | Op::Xlat) {
        assert_eq!(insn.string_seg, segment(raw.memory_segment()), "{case}");
        assert_eq!(insn.width.bytes() as usize, raw.memory_size().size(), "{case}");
    } else {
        assert_eq!(insn.string_seg, SegReg::Ds, "{case}");
    }
    if matches!(insn.op, Op::Jcc | Op::Setcc | Op::Cmovcc) {
        let condition = format!("{:?}", raw.condition_code());
        assert_eq!(format!("{:?}", insn.cond).to_lowercase(), condition, "{case}");
    }
    assert_width(insn, &raw, &case);
}

/// The width is that of the first register or memory operand, where the operation has no other rule.
fn assert_width(insn: &Insn, raw: &Instruction, case: &Case) {
    let operation = match insn.op {
        Op::Scas | Op::Stos | Op::Ins => width(raw.memory_size().size()),
        Op::Out => match insn.operand(1) {
            Operand::Reg(reg) => reg.width,
            other => panic!("{case}: {other:?}"),
        },
        Op::Movs | Op::Cmps | Op::Lods | Op::Outs | Op::Xlat => return,
        Op::Lahf | Op::Sahf | Op::Salc | Op::Aaa | Op::Aas | Op::Aam | Op::Aad | Op::Daa | Op::Das => {
            Width::B1
        }
        Op::Push | Op::Pop | Op::Jmp | Op::Call | Op::JmpFar | Op::CallFar | Op::Fpu => insn.op_size,
        _ => match insn.operand(0) {
            Operand::Reg(reg) => reg.width,
            Operand::Mem(mem) if [1, 2, 4, 8].contains(&mem.size) => width(usize::from(mem.size)),
            Operand::Seg(_) => Width::B2,
            Operand::Cr(_) | Operand::Dr(_) => Width::B4,
            _ => insn.op_size,
        },
    };
    assert_eq!(insn.width, operation, "{case}");
}

#[test]
fn all_opcodes_agree_with_iced() {
    // Branches wrap around the end of the address space in both directions.
    let eip = 0xffff_fff8;
    sweep::encodings(|bytes, mode| {
        let insn = decode(bytes, eip, mode).expect("the sample is long enough");
        assert_agrees(&insn, bytes, eip, mode);
    });
}

/// The operations that LOCK is allowed on, with a memory destination (SDM Vol. 2A, "LOCK").
#[test]
fn lock_is_allowed_on_read_modify_write_of_memory_alone() {
    let lockable = [
        Op::Adc,
        Op::Add,
        Op::And,
        Op::Btc,
        Op::Btr,
        Op::Bts,
        Op::Cmpxchg,
        Op::Cmpxchg8b,
        Op::Dec,
        Op::Inc,
        Op::Neg,
        Op::Not,
        Op::Or,
        Op::Sbb,
        Op::Sub,
        Op::Xadd,
        Op::Xchg,
        Op::Xor,
    ];
    let mut allowed = 0;
    sweep::encodings(|bytes, mode| {
        if bytes.iter().take_while(|byte| is_prefix(byte)).any(|&byte| byte == 0xf0) {
            return;
        }
        let plain = decode(bytes, 0, mode).unwrap();
        let Ok(locked) = decode(&[&[0xf0], bytes].concat(), 0, mode) else {
            return assert_eq!(plain.len, 15, "{bytes:02x?}");
        };
        if lockable.contains(&plain.op) && matches!(plain.operand(0), Operand::Mem(_)) {
            assert_eq!(
                (locked.op, locked.lock, locked.operands),
                (plain.op, true, plain.operands),
                "{bytes:02x?}"
            );
            allowed += 1;
        } else {
            assert_eq!((locked.op, locked.lock), (Op::Invalid, false), "{bytes:02x?}");
        }
    });
    assert!(allowed > 0);
}

/// Bytes in which prefixes, two-byte opcodes and sequences of prefixes are likely.
fn code() -> impl Strategy<Value = Vec<u8>> {
    let prefix = proptest::sample::select(vec![0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x64]);
    let start = proptest::collection::vec(prefix, 0..15);
    let escape = proptest::sample::select(vec![None, Some(0x0f), Some(0xc5), Some(0x62)]);
    (start, escape, proptest::collection::vec(any::<u8>(), 16))
        .prop_map(|(start, escape, rest)| start.into_iter().chain(escape).chain(rest).take(15).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_agree_with_iced(bytes in code(), eip: u32, code32: bool) {
        let mode = DecodeMode { code32 };
        match decode(&bytes, eip, mode) {
            Ok(insn) => {
                prop_assert!((1..=15).contains(&insn.len));
                assert_agrees(&insn, &bytes, eip, mode);
            }
            Err(error) => {
                prop_assert_eq!(error, DecodeError::TooLong);
                prop_assert!(sweep::iced(&bytes, eip, mode).is_invalid());
            }
        }
    }

    /// An instruction is found in exactly its bytes, and in no fewer.
    #[test]
    fn a_cut_instruction_is_too_short(bytes in code(), eip: u32, code32: bool) {
        let mode = DecodeMode { code32 };
        if let Ok(insn) = decode(&bytes, eip, mode) && insn.op != Op::Invalid {
            let len = usize::from(insn.len);
            prop_assert_eq!(decode(&bytes[..len], eip, mode), Ok(insn));
            for cut in 0..len {
                prop_assert_eq!(decode(&bytes[..cut], eip, mode), Err(DecodeError::TooShort));
            }
        }
    }

    /// A run is what decoding one instruction after the other gives, up to the first that is none or is cut.
    #[test]
    fn a_run_is_its_instructions(pieces in proptest::collection::vec(code(), 1..6), eip: u32, code32: bool) {
        let (bytes, mode) = (pieces.concat(), DecodeMode { code32 });
        let mut insns = Vec::new();
        let len = decode_run(&bytes, eip, mode, &mut insns, |insn| insn.op != Op::Jmp);
        let mut done = 0;
        for (n, insn) in insns.iter().enumerate() {
            prop_assert_eq!(decode(&bytes[done..], eip.wrapping_add(done as u32), mode), Ok(*insn));
            prop_assert!(insn.op != Op::Jmp || n + 1 == insns.len());
            done += usize::from(insn.len);
        }
        prop_assert_eq!(len, done);
        if insns.last().is_none_or(|insn| insn.op != Op::Jmp) {
            let rest = decode(&bytes[done..], eip.wrapping_add(done as u32), mode);
            prop_assert!(rest.is_err() || rest.is_ok_and(|insn| insn.op == Op::Invalid));
        }
    }

    #[test]
    fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20), eip: u32, code32: bool) {
        let _ = decode(&bytes, eip, DecodeMode { code32 });
    }
}
