//! One vector for each convention that the interpreter and the translator rely on.
//!
//! `show` writes an instruction as `operation.width operands`, then ` o2` and ` a2` where the operand or
//! address size is 16 bits, and the repeat prefix and source segment of string instructions.

use marquetry_isa::{Cond, DecodeError, DecodeMode, Insn, Mem, Op, Operand, Rep, SegReg, Width, decode};

fn show_mem(mem: &Mem) -> String {
    let base = mem.base.map(|gpr| format!("{gpr:?}"));
    let index = mem.index.map(|gpr| format!("{gpr:?}*{}", 1 << mem.scale));
    let disp = (mem.disp != 0 || (base.is_none() && index.is_none())).then(|| mem.disp.to_string());
    let terms: Vec<String> = base.into_iter().chain(index).chain(disp).collect();
    format!("{:?}:[{}]:{}", mem.seg, terms.join("+"), mem.size)
}

fn show_operand(operand: &Operand) -> Option<String> {
    Some(match operand {
        Operand::None => return None,
        Operand::Reg(reg) => {
            format!("{:?}.{}{}", reg.gpr, reg.width.bytes(), if reg.high { "h" } else { "" })
        }
        Operand::Mem(mem) => show_mem(mem),
        Operand::Imm(value) => format!("{value:#x}"),
        Operand::Seg(segment) => format!("{segment:?}"),
        Operand::Cr(n) => format!("cr{n}"),
        Operand::Dr(n) => format!("dr{n}"),
        Operand::Target(eip) => format!("->{eip:#x}"),
        Operand::Far { selector, offset } => format!("{selector:#x}:{offset:#x}"),
    })
}

fn show(insn: &Insn) -> String {
    let mut text = if insn.lock { "lock " } else { "" }.to_string();
    text += insn.op.name();
    if insn.cond != Cond::O {
        text += &format!("({:?})", insn.cond);
    }
    text += &format!(".{}", insn.width.bytes());
    let operands: Vec<String> = insn.operands.iter().filter_map(show_operand).collect();
    if !operands.is_empty() {
        text += &format!(" {}", operands.join(", "));
    }
    for (size, mark) in [(insn.op_size, " o2"), (insn.addr_size, " a2")] {
        text += if size == Width::B2 { mark } else { "" };
    }
    if insn.rep != Rep::None {
        text += &format!(" {:?}", insn.rep);
    }
    if insn.string_seg != SegReg::Ds {
        text += &format!(" from {:?}", insn.string_seg);
    }
    text
}

/// Decodes `hex` at 0x1000 and compares; the bytes must all be used.
fn check(code32: bool, vectors: &[(&str, &str)]) {
    for (hex, expected) in vectors {
        let bytes: Vec<u8> = hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let insn = decode(&bytes, 0x1000, DecodeMode { code32 }).expect(hex);
        assert_eq!(show(&insn), *expected, "{hex}");
        assert_eq!(usize::from(insn.len), bytes.len(), "{hex}");
    }
}

fn check32(vectors: &[(&str, &str)]) {
    check(true, vectors);
}

fn check16(vectors: &[(&str, &str)]) {
    check(false, vectors);
}

#[test]
fn data_transfer() {
    check32(&[
        ("89 d8", "Mov.4 Eax.4, Ebx.4"),
        ("66 89 d8", "Mov.2 Eax.2, Ebx.2 o2"),
        ("88 e7", "Mov.1 Ebx.1h, Eax.1h"),
        ("b0 ff", "Mov.1 Eax.1, 0xff"),
        ("b8 ff ff ff ff", "Mov.4 Eax.4, 0xffffffff"),
        ("66 c7 00 fe ff", "Mov.2 Ds:[Eax]:2, 0xfffe o2"),
        ("a0 78 56 34 f2", "Mov.1 Eax.1, Ds:[-231451016]:1"),
        ("67 a1 00 80", "Mov.4 Eax.4, Ds:[-32768]:4 a2"),
        ("64 a3 10 00 00 00", "Mov.4 Fs:[16]:4, Eax.4"),
        ("0f b6 45 fc", "Movzx.4 Eax.4, Ss:[Ebp+-4]:1"),
        ("66 0f be c4", "Movsx.2 Eax.2, Eax.1h o2"),
        ("0f bf c9", "Movsx.4 Ecx.4, Ecx.2"),
        ("8d 44 24 08", "Lea.4 Eax.4, Ss:[Esp+8]:0"),
        ("66 8d 04 4a", "Lea.2 Eax.2, Ds:[Edx+Ecx*2]:0 o2"),
        ("87 0a", "Xchg.4 Ds:[Edx]:4, Ecx.4"),
        ("91", "Xchg.4 Ecx.4, Eax.4"),
        ("0f c9", "Bswap.4 Ecx.4"),
        ("66 0f c9", "Bswap.2 Ecx.2 o2"),
        ("d7", "Xlat.1"),
        ("65 d7", "Xlat.1 from Gs"),
        ("9f", "Lahf.1"),
        ("d6", "Salc.1"),
        ("0f 95 c4", "Setcc(Ne).1 Eax.1h"),
        ("0f 4f c1", "Cmovcc(G).4 Eax.4, Ecx.4"),
        ("98", "Cbw.4"),
        ("66 98", "Cbw.2 o2"),
        ("99", "Cwd.4"),
        ("66 99", "Cwd.2 o2"),
    ]);
}

#[test]
fn stack() {
    check32(&[
        ("55", "Push.4 Ebp.4"),
        ("66 55", "Push.2 Ebp.2 o2"),
        ("6a ff", "Push.4 0xffffffff"),
        ("66 6a ff", "Push.2 0xffff o2"),
        ("68 01 00 00 80", "Push.4 0x80000001"),
        ("0e", "Push.4 Cs"),
        ("66 0f a8", "Push.2 Gs o2"),
        ("ff 34 24", "Push.4 Ss:[Esp]:4"),
        ("8f 44 24 04", "Pop.4 Ss:[Esp+4]:4"),
        ("1f", "Pop.4 Ds"),
        ("66 60", "Pusha.2 o2"),
        ("61", "Popa.4"),
        ("66 9c", "Pushf.2 o2"),
        ("9d", "Popf.4"),
        ("c8 34 12 21", "Enter.4 0x1234, 0x1"),
        ("66 c9", "Leave.2 o2"),
    ]);
}

#[test]
fn arithmetic() {
    check32(&[
        ("04 80", "Add.1 Eax.1, 0x80"),
        ("83 c0 80", "Add.4 Eax.4, 0xffffff80"),
        ("66 83 c0 80", "Add.2 Eax.2, 0xff80 o2"),
        ("82 c1 05", "Add.1 Ecx.1, 0x5"),
        ("f0 11 03", "lock Adc.4 Ds:[Ebx]:4, Eax.4"),
        ("3d 00 00 00 80", "Cmp.4 Eax.4, 0x80000000"),
        ("84 28", "Test.1 Ds:[Eax]:1, Ecx.1h"),
        ("f6 c9 0f", "Test.1 Ecx.1, 0xf"),
        ("f7 0b 01 00 00 00", "Test.4 Ds:[Ebx]:4, 0x1"),
        ("fe 0f", "Dec.1 Ds:[Edi]:1"),
        ("0f b0 0b", "Cmpxchg.1 Ds:[Ebx]:1, Ecx.1"),
        ("f0 0f c7 0e", "lock Cmpxchg8b.8 Ds:[Esi]:8"),
        ("66 f7 e1", "Mul.2 Ecx.2 o2"),
        ("f6 2f", "Imul1.1 Ds:[Edi]:1"),
        ("0f af c2", "Imul.4 Eax.4, Edx.4"),
        ("6b c2 f0", "Imul.4 Eax.4, Edx.4, 0xfffffff0"),
        ("66 69 00 00 80", "Imul.2 Eax.2, Ds:[Eax]:2, 0x8000 o2"),
        ("f7 f9", "Idiv.4 Ecx.4"),
        ("d4 0a", "Aam.1 0xa"),
    ]);
}

#[test]
fn shifts_and_bits() {
    check32(&[
        ("d1 e0", "Shl.4 Eax.4, 0x1"),
        ("d0 38", "Sar.1 Ds:[Eax]:1, 0x1"),
        ("c1 f0 05", "Shl.4 Eax.4, 0x5"),
        ("c1 e8 23", "Shr.4 Eax.4, 0x23"),
        ("66 d3 d1", "Rcl.2 Ecx.2, Ecx.1 o2"),
        ("0f a4 d0 07", "Shld.4 Eax.4, Edx.4, 0x7"),
        ("66 0f ad d0", "Shrd.2 Eax.2, Edx.2, Ecx.1 o2"),
        ("0f ab 0b", "Bts.4 Ds:[Ebx]:4, Ecx.4"),
        ("0f ba f8 21", "Btc.4 Eax.4, 0x21"),
        ("f3 0f bc c1", "Bsf.4 Eax.4, Ecx.4"),
        ("f3 0f bd c1", "Bsr.4 Eax.4, Ecx.4"),
    ]);
}

#[test]
fn strings_and_ports() {
    check32(&[
        ("f3 a4", "Movs.1 Repe"),
        ("f2 66 64 a5", "Movs.2 o2 Repe from Fs"),
        ("f2 a7", "Cmps.4 Repne"),
        ("f3 ae", "Scas.1 Repe"),
        ("2e f2 af", "Scas.4 Repne"),
        ("67 ad", "Lods.4 a2"),
        ("f2 ab", "Stos.4 Repe"),
        ("f3 6d", "Ins.4 Repe"),
        ("66 36 6f", "Outs.2 o2 from Ss"),
        ("e4 60", "In.1 Eax.1, 0x60"),
        ("66 ed", "In.2 Eax.2, Edx.2 o2"),
        ("e7 f0", "Out.4 0xf0, Eax.4"),
        ("ee", "Out.1 Edx.2, Eax.1"),
    ]);
}

#[test]
fn branches() {
    check32(&[
        ("eb fe", "Jmp.4 ->0x1000"),
        ("66 e9 fc ef", "Jmp.2 ->0x0 o2"),
        ("66 e9 fb ef", "Jmp.2 ->0xffff o2"),
        ("e8 fb ef ff ff", "Call.4 ->0x0"),
        ("e8 fa ef ff ff", "Call.4 ->0xffffffff"),
        ("2e 74 00", "Jcc(E).4 ->0x1003"),
        ("0f 8c 00 01 00 00", "Jcc(L).4 ->0x1106"),
        ("ff e0", "Jmp.4 Eax.4"),
        ("66 ff 10", "Call.2 Ds:[Eax]:2 o2"),
        ("c3", "Ret.4"),
        ("66 c2 08 00", "Ret.2 0x8 o2"),
        ("ca 04 00", "RetFar.4 0x4"),
        ("67 e2 fd", "Loop.4 ->0x1000 a2"),
        ("e1 00", "Loope.4 ->0x1002"),
        ("66 e0 00", "Loopne.2 ->0x1003 o2"),
        ("67 e3 00", "Jcxz.4 ->0x1003 a2"),
        ("ea 78 56 34 12 08 00", "JmpFar.4 0x8:0x12345678"),
        ("66 9a 34 12 10 00", "CallFar.2 0x10:0x1234 o2"),
        ("ff 28", "JmpFar.4 Ds:[Eax]:6"),
        ("66 ff 18", "CallFar.2 Ds:[Eax]:4 o2"),
        ("cd 80", "Int.4 0x80"),
        ("f1", "Int1.4"),
        ("cc", "Int3.4"),
        ("66 cf", "Iret.2 o2"),
        ("62 08", "Bound.4 Ecx.4, Ds:[Eax]:8"),
        ("66 62 08", "Bound.2 Ecx.2, Ds:[Eax]:4 o2"),
    ]);
    check16(&[
        ("eb fe", "Jmp.2 ->0x1000 o2 a2"),
        ("e9 00 f0", "Jmp.2 ->0x3 o2 a2"),
        ("66 e8 00 f0 ff ff", "Call.4 ->0x6 a2"),
        ("66 ea 78 56 34 12 08 00", "JmpFar.4 0x8:0x12345678 a2"),
    ]);
}

#[test]
fn segments_and_system() {
    check32(&[
        ("8e d8", "MovSeg.2 Ds, Eax.2"),
        ("8e 10", "MovSeg.2 Ss, Ds:[Eax]:2"),
        ("8c d8", "MovSeg.4 Eax.4, Ds"),
        ("66 8c e0", "MovSeg.2 Eax.2, Fs o2"),
        ("8c 08", "MovSeg.2 Ds:[Eax]:2, Cs"),
        ("8e c8", "Invalid.4"),
        ("8e f0", "Invalid.4"),
        ("8c f8", "Invalid.4"),
        ("c5 08", "Lds.4 Ecx.4, Ds:[Eax]:6"),
        ("66 0f b2 08", "Lss.2 Ecx.2, Ds:[Eax]:4 o2"),
        ("0f 20 c0", "MovCr.4 Eax.4, cr0"),
        ("0f 22 1b", "MovCr.4 cr3, Ebx.4"),
        ("0f 22 c8", "Invalid.4"),
        ("0f 20 e8", "Invalid.4"),
        ("0f 23 f8", "MovDr.4 dr7, Eax.4"),
        ("66 0f 21 d1", "MovDr.4 Ecx.4, dr2 o2"),
        ("0f 01 10", "Lgdt.4 Ds:[Eax]:6"),
        ("66 0f 01 08", "Sidt.2 Ds:[Eax]:6 o2"),
        ("0f 01 38", "Invlpg.4 Ds:[Eax]:0"),
        ("0f 00 d0", "Lldt.2 Eax.2"),
        ("0f 00 c0", "Sldt.4 Eax.4"),
        ("66 0f 00 c8", "Str.2 Eax.2 o2"),
        ("0f 00 08", "Str.2 Ds:[Eax]:2"),
        ("0f 01 e0", "Smsw.4 Eax.4"),
        ("0f 01 f1", "Lmsw.2 Ecx.2"),
        ("0f 00 e1", "Verr.2 Ecx.2"),
        ("0f 02 c1", "Lar.4 Eax.4, Ecx.2"),
        ("66 0f 03 00", "Lsl.2 Eax.2, Ds:[Eax]:2 o2"),
        ("63 c8", "Arpl.2 Eax.2, Ecx.2"),
        ("66 63 08", "Arpl.2 Ds:[Eax]:2, Ecx.2 o2"),
    ]);
}

#[test]
fn nothing_undefined_and_x87() {
    check32(&[
        ("90", "Nop.4"),
        ("f3 90", "Nop.4"),
        ("66 90", "Nop.2 o2"),
        ("0f 1f 44 00 00", "Nop.4 Ds:[Eax+Eax*1]:0"),
        ("f3 0f 1e fa", "Nop.4 Edx.4"),
        ("0f 18 08", "Nop.4 Ds:[Eax]:0"),
        ("0f 0d 08", "Nop.4 Ds:[Eax]:0"),
        ("f3 0f 1a 00", "Nop.4 Ds:[Eax]:0"),
        ("f3 0f 09", "Wbinvd.4"),
        ("0f 0b", "Ud.4"),
        ("0f b9 c0", "Ud.4"),
        ("0f ff 00", "Ud.4"),
        ("f3 0f b8 c1", "Invalid.4"),
        ("f0 90", "Invalid.4"),
        ("f0 01 c0", "Invalid.4"),
        ("f0 39 00", "Invalid.4"),
        ("0f ae 38", "Invalid.4"),
        ("0f 58 c1", "Invalid.4"),
        ("9b", "Fpu.4"),
        ("d9 e8", "Fpu.4 0x1e8"),
        ("dd 45 08", "Fpu.4 Ss:[Ebp+8]:8, 0x545"),
        ("db 28", "Fpu.4 Ds:[Eax]:10, 0x328"),
        ("66 d9 30", "Fpu.2 Ds:[Eax]:14, 0x130 o2"),
        ("dd 30", "Fpu.4 Ds:[Eax]:108, 0x530"),
        ("df e0", "Fpu.4 0x7e0"),
        ("d9 d1", "Invalid.4"),
        ("dd 08", "Invalid.4"),
    ]);
}

#[test]
fn addresses() {
    check32(&[
        ("8b 05 00 00 00 80", "Mov.4 Eax.4, Ds:[-2147483648]:4"),
        ("8b 04 8d 10 00 00 00", "Mov.4 Eax.4, Ds:[Ecx*4+16]:4"),
        ("8b 04 25 10 00 00 00", "Mov.4 Eax.4, Ds:[16]:4"),
        ("8b 44 ad 00", "Mov.4 Eax.4, Ss:[Ebp+Ebp*4]:4"),
        ("8b 04 28", "Mov.4 Eax.4, Ds:[Eax+Ebp*1]:4"),
        ("3e 8b 45 00", "Mov.4 Eax.4, Ds:[Ebp]:4"),
        ("2e 36 8b 00", "Mov.4 Eax.4, Ss:[Eax]:4"),
        ("67 8b 00", "Mov.4 Eax.4, Ds:[Ebx+Esi*1]:4 a2"),
    ]);
    check16(&[
        ("8b 00", "Mov.2 Eax.2, Ds:[Ebx+Esi*1]:2 o2 a2"),
        ("8b 02", "Mov.2 Eax.2, Ss:[Ebp+Esi*1]:2 o2 a2"),
        ("8b 43 ff", "Mov.2 Eax.2, Ss:[Ebp+Edi*1+-1]:2 o2 a2"),
        ("8b 85 fe ff", "Mov.2 Eax.2, Ds:[Edi+-2]:2 o2 a2"),
        ("8b 46 80", "Mov.2 Eax.2, Ss:[Ebp+-128]:2 o2 a2"),
        ("8b 06 00 80", "Mov.2 Eax.2, Ds:[-32768]:2 o2 a2"),
        ("66 8b 07", "Mov.4 Eax.4, Ds:[Ebx]:4 a2"),
        ("67 8b 44 24 fe", "Mov.2 Eax.2, Ss:[Esp+-2]:2 o2"),
        ("26 a0 34 12", "Mov.1 Eax.1, Es:[4660]:1 o2 a2"),
    ]);
}

fn error(bytes: &[u8], code32: bool) -> Option<DecodeError> {
    decode(bytes, 0, DecodeMode { code32 }).err()
}

#[test]
fn sixteen_bytes_are_too_long_and_fifteen_are_not() {
    let padded = |count: usize, rest: &[u8]| [&vec![0x66; count], rest, &[0; 16]].concat();
    let mode = DecodeMode { code32: true };
    assert_eq!(decode(&padded(14, &[0x40]), 0, mode).map(|insn| (insn.op, insn.len)), Ok((Op::Inc, 15)));
    assert_eq!(error(&padded(15, &[0x40]), true), Some(DecodeError::TooLong));
    assert_eq!(error(&padded(14, &[0x8b]), true), Some(DecodeError::TooLong));
    assert_eq!(error(&padded(14, &[0x0f]), true), Some(DecodeError::TooLong));
    // An undefined instruction of 15 bytes is undefined, not too long.
    let undefined = |bytes: &[u8]| decode(bytes, 0, mode).map(|insn| (insn.op, insn.len));
    assert_eq!(undefined(&padded(12, &[0x0f, 0x04, 0xc0])), Ok((Op::Invalid, 15)));
    assert_eq!(undefined(&padded(12, &[0xf0, 0x89, 0xc0])), Ok((Op::Invalid, 15)));
    // One prefix of each group before the longest instruction of 16-bit code: 16 bytes.
    let longest = [0xf0, 0xf3, 0x2e, 0x66, 0x67, 0x81, 0x84, 0x98, 1, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(error(&longest, false), Some(DecodeError::TooLong));
    assert_eq!(decode(&longest[1..], 0, DecodeMode { code32: false }).map(|insn| insn.len), Ok(15));
}

#[test]
fn fewer_bytes_than_the_instruction_has_are_too_short() {
    assert_eq!(error(&[], true), Some(DecodeError::TooShort));
    assert_eq!(error(&[0x66; 14], true), Some(DecodeError::TooShort));
    assert_eq!(error(&[0xb8, 1, 2, 3], true), Some(DecodeError::TooShort));
    assert_eq!(error(&[0xb8, 1, 2], false), None);
    assert_eq!(error(&[0x8b, 0x04], true), Some(DecodeError::TooShort));
}
