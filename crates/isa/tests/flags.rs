//! What instructions do to the flags, against the manual's "Flags Affected" (SDM Vol. 1 appendix A).

use marquetry_isa::{DecodeMode, FlagEffects, Op, decode};

/// EFLAGS mask of flag letters: c, p, a, z, s, o and d.
fn mask(letters: &str) -> u32 {
    letters.chars().fold(0, |mask, letter| {
        mask | match letter {
            'c' => 0x001,
            'p' => 0x004,
            'a' => 0x010,
            'z' => 0x040,
            's' => 0x080,
            'd' => 0x400,
            'o' => 0x800,
            other => panic!("{other} is no flag"),
        }
    })
}

/// Each line: bytes, operation, flags read, written, undefined.
fn check(lines: &[(&[u8], Op, &str, &str, &str)]) {
    for &(bytes, op, read, written, undefined) in lines {
        let insn = decode(bytes, 0, DecodeMode { code32: true }).unwrap();
        let expected = FlagEffects { read: mask(read), written: mask(written), undefined: mask(undefined) };
        assert_eq!(insn.op, op, "{bytes:02x?}");
        assert_eq!(insn.flags, expected, "{op:?} {bytes:02x?}");
    }
}

#[test]
fn arithmetic() {
    check(&[
        (&[0x01, 0xd8], Op::Add, "", "cpazso", ""),
        (&[0x11, 0xd8], Op::Adc, "c", "cpazso", ""),
        (&[0x29, 0xd8], Op::Sub, "", "cpazso", ""),
        (&[0x29, 0xc0], Op::Sub, "", "cpazso", ""),
        (&[0x19, 0xd8], Op::Sbb, "c", "cpazso", ""),
        (&[0x19, 0xc0], Op::Sbb, "c", "cpazso", ""),
        (&[0x39, 0xd8], Op::Cmp, "", "cpazso", ""),
        (&[0x39, 0xc0], Op::Cmp, "", "cpazso", ""),
        (&[0x40], Op::Inc, "", "pazso", ""),
        (&[0x48], Op::Dec, "", "pazso", ""),
        (&[0xf7, 0xd8], Op::Neg, "", "cpazso", ""),
        (&[0xf7, 0xd0], Op::Not, "", "", ""),
        (&[0x0f, 0xc1, 0xd8], Op::Xadd, "", "cpazso", ""),
        (&[0x0f, 0xb1, 0xd8], Op::Cmpxchg, "", "cpazso", ""),
        (&[0x0f, 0xc7, 0x08], Op::Cmpxchg8b, "", "z", ""),
        (&[0xf7, 0xe0], Op::Mul, "", "co", "pazs"),
        (&[0xf7, 0xe8], Op::Imul1, "", "co", "pazs"),
        (&[0x0f, 0xaf, 0xc2], Op::Imul, "", "co", "pazs"),
        (&[0xf7, 0xf0], Op::Div, "", "", "cpazso"),
        (&[0xf7, 0xf8], Op::Idiv, "", "", "cpazso"),
    ]);
}

#[test]
fn logic_and_bits() {
    check(&[
        (&[0x21, 0xd8], Op::And, "", "cpzso", "a"),
        (&[0x09, 0xd8], Op::Or, "", "cpzso", "a"),
        (&[0x31, 0xd8], Op::Xor, "", "cpzso", "a"),
        (&[0x31, 0xc0], Op::Xor, "", "cpzso", "a"),
        (&[0x85, 0xc0], Op::Test, "", "cpzso", "a"),
        (&[0x0f, 0xa3, 0xc8], Op::Bt, "", "c", "paso"),
        (&[0x0f, 0xab, 0xc8], Op::Bts, "", "c", "paso"),
        (&[0x0f, 0xb3, 0xc8], Op::Btr, "", "c", "paso"),
        (&[0x0f, 0xbb, 0xc8], Op::Btc, "", "c", "paso"),
        (&[0x0f, 0xbc, 0xc8], Op::Bsf, "", "z", "cpaso"),
        (&[0x0f, 0xbd, 0xc8], Op::Bsr, "", "z", "cpaso"),
    ]);
}

/// By an immediate the count is known; by CL every flag may stay as it was.
#[test]
fn shifts_and_rotations() {
    check(&[
        (&[0xd1, 0xe0], Op::Shl, "", "cpzso", "a"),
        (&[0xc1, 0xe0, 0x01], Op::Shl, "", "cpzso", "a"),
        (&[0xc1, 0xe0, 0x05], Op::Shl, "", "cpzs", "ao"),
        (&[0xc1, 0xe0, 0x20], Op::Shl, "", "", ""),
        (&[0xd3, 0xe0], Op::Shl, "cpazso", "cpzs", "ao"),
        (&[0xc1, 0xe8, 0x05], Op::Shr, "", "cpzs", "ao"),
        (&[0xd3, 0xe8], Op::Shr, "cpazso", "cpzs", "ao"),
        (&[0xd1, 0xf8], Op::Sar, "", "cpzso", "a"),
        (&[0xd3, 0xf8], Op::Sar, "cpazso", "cpzs", "ao"),
        (&[0x0f, 0xa4, 0xd0, 0x05], Op::Shld, "", "cpzs", "ao"),
        (&[0x0f, 0xa4, 0xd0, 0x20], Op::Shld, "", "", ""),
        (&[0x0f, 0xa5, 0xd0], Op::Shld, "cpazso", "cpzs", "ao"),
        (&[0x0f, 0xad, 0xd0], Op::Shrd, "cpazso", "cpzs", "ao"),
        (&[0xd1, 0xc0], Op::Rol, "", "co", ""),
        (&[0xc1, 0xc0, 0x05], Op::Rol, "", "c", "o"),
        (&[0xc0, 0xc0, 0x08], Op::Rol, "", "c", "o"),
        (&[0xd3, 0xc0], Op::Rol, "co", "c", "o"),
        (&[0xd3, 0xc8], Op::Ror, "co", "c", "o"),
        (&[0xd1, 0xd0], Op::Rcl, "c", "co", ""),
        (&[0xc1, 0xd0, 0x05], Op::Rcl, "c", "c", "o"),
        (&[0xc0, 0xd0, 0x09], Op::Rcl, "", "", ""),
        (&[0xd3, 0xd0], Op::Rcl, "co", "c", "o"),
        (&[0xd3, 0xd8], Op::Rcr, "co", "c", "o"),
    ]);
}

#[test]
fn decimal_adjustment() {
    check(&[
        (&[0x37], Op::Aaa, "a", "ca", "pzso"),
        (&[0x3f], Op::Aas, "a", "ca", "pzso"),
        (&[0xd4, 0x0a], Op::Aam, "", "pzs", "cao"),
        (&[0xd5, 0x0a], Op::Aad, "", "pzs", "cao"),
        (&[0x27], Op::Daa, "ca", "cpazs", "o"),
        (&[0x2f], Op::Das, "ca", "cpazs", "o"),
    ]);
}

#[test]
fn flags_as_operands() {
    check(&[
        (&[0xf8], Op::Clc, "", "c", ""),
        (&[0xf9], Op::Stc, "", "c", ""),
        (&[0xf5], Op::Cmc, "c", "c", ""),
        (&[0xfc], Op::Cld, "", "d", ""),
        (&[0xfd], Op::Std, "", "d", ""),
        (&[0xfa], Op::Cli, "", "", ""),
        (&[0x9f], Op::Lahf, "cpazs", "", ""),
        (&[0x9e], Op::Sahf, "", "cpazs", ""),
        (&[0xd6], Op::Salc, "c", "", ""),
        (&[0x9c], Op::Pushf, "cpazsod", "", ""),
        (&[0x9d], Op::Popf, "", "cpazsod", ""),
        (&[0xcf], Op::Iret, "", "cpazsod", ""),
        (&[0xce], Op::Into, "o", "", ""),
        (&[0xe2, 0x00], Op::Loop, "", "", ""),
        (&[0xe1, 0x00], Op::Loope, "z", "", ""),
        (&[0xe0, 0x00], Op::Loopne, "z", "", ""),
        (&[0x0f, 0x00, 0xe0], Op::Verr, "", "z", ""),
        (&[0x0f, 0x02, 0xc0], Op::Lar, "", "z", ""),
        (&[0x0f, 0x03, 0xc0], Op::Lsl, "", "z", ""),
        (&[0x63, 0xc0], Op::Arpl, "", "z", ""),
        (&[0xdb, 0xf0], Op::Fpu, "", "cpzaso", ""),
    ]);
}

/// The sixteen conditions, in encoding order, for Jcc, SETcc and CMOVcc.
#[test]
fn conditions() {
    let reads = ["o", "o", "c", "c", "z", "z", "cz", "cz", "s", "s", "p", "p", "so", "so", "zso", "zso"];
    for (cond, read) in (0..).zip(reads) {
        check(&[
            (&[0x70 + cond, 0x00], Op::Jcc, read, "", ""),
            (&[0x0f, 0x90 + cond, 0xc0], Op::Setcc, read, "", ""),
            (&[0x0f, 0x40 + cond, 0xc0], Op::Cmovcc, read, "", ""),
        ]);
    }
}

/// A repeated comparison with a count of zero leaves the flags as they are.
#[test]
fn strings() {
    check(&[
        (&[0xa4], Op::Movs, "d", "", ""),
        (&[0xf3, 0xab], Op::Stos, "d", "", ""),
        (&[0xac], Op::Lods, "d", "", ""),
        (&[0x6c], Op::Ins, "d", "", ""),
        (&[0x6e], Op::Outs, "d", "", ""),
        (&[0xa7], Op::Cmps, "d", "cpazso", ""),
        (&[0xf3, 0xa7], Op::Cmps, "cpazsod", "cpazso", ""),
        (&[0xaf], Op::Scas, "d", "cpazso", ""),
        (&[0xf2, 0xaf], Op::Scas, "cpazsod", "cpazso", ""),
    ]);
}

#[test]
fn moves_leave_the_flags_alone() {
    let moves: [&[u8]; 8] = [
        &[0x89, 0xd8],
        &[0x0f, 0xb6, 0xc0],
        &[0x8d, 0x00],
        &[0x87, 0xd8],
        &[0x55],
        &[0x5d],
        &[0xe8, 0, 0, 0, 0],
        &[0x90],
    ];
    for bytes in moves {
        let insn = decode(bytes, 0, DecodeMode { code32: true }).unwrap();
        assert_eq!(insn.flags, FlagEffects::default(), "{:?}", insn.op);
    }
}
