//! The list of operations: every row is reached by some encoding, and by nothing that another row has.

mod sweep;

use std::collections::BTreeSet;

use iced_x86::{Code, Mnemonic};
use marquetry_isa::op::{rows, select};
use marquetry_isa::{Op, decode};

#[test]
fn the_list_the_enum_and_the_rows_have_one_order() {
    assert_eq!(rows().len(), Op::ALL.len());
    for (n, (row, &op)) in rows().iter().zip(Op::ALL).enumerate() {
        assert_eq!(op as usize, n);
        assert_eq!(row.op, op);
        assert_eq!(op.name(), format!("{op:?}"));
        assert!(row.summary.ends_with('.') || row.summary.ends_with("#UD."), "{}", row.summary);
    }
    let names: BTreeSet<&str> = Op::ALL.iter().map(|op| op.name()).collect();
    assert_eq!(names.len(), Op::ALL.len());
}

/// Two rows that select one code would make the order of the list part of its meaning.
#[test]
fn at_most_one_row_selects_a_code() {
    for code in Code::values() {
        let selecting: Vec<Op> = rows().iter().filter(|row| row.selects(code)).map(|row| row.op).collect();
        match selecting[..] {
            [] => assert_eq!(select(code), Op::Invalid, "{code:?}"),
            [op] => assert_eq!(select(code), op, "{code:?}"),
            _ => panic!("{code:?} is selected by {selecting:?}"),
        }
    }
}

/// A mnemonic in the wrong row, or one that no guest byte leads to, is a missing pair.
#[test]
fn every_mnemonic_of_every_row_is_decoded_to_its_operation() {
    let mut reached: BTreeSet<(Op, Mnemonic)> = BTreeSet::new();
    sweep::encodings(|bytes, mode| {
        let insn = decode(bytes, 0, mode).expect("the sample is long enough");
        reached.insert((insn.op, sweep::iced(bytes, 0, mode).mnemonic()));
    });
    for row in rows().iter().filter(|row| row.op != Op::Invalid) {
        for &mnemonic in row.mnemonics {
            assert!(reached.contains(&(row.op, mnemonic)), "{:?} is never decoded to {:?}", mnemonic, row.op);
        }
    }
    assert!(reached.iter().any(|&(op, _)| op == Op::Invalid));
}

/// The instructions of later processors are undefined here.
#[test]
fn later_processors_instructions_have_no_row() {
    use Mnemonic as M;
    let later = [
        M::Popcnt,
        M::Lzcnt,
        M::Tzcnt,
        M::Movbe,
        M::Sysenter,
        M::Sysexit,
        M::Syscall,
        M::Rdtscp,
        M::Fxsave,
        M::Fxrstor,
        M::Clflush,
        M::Monitor,
        M::Mwait,
        M::Xsave,
        M::Xgetbv,
        M::Rdrand,
        M::Crc32,
        M::Fisttp,
        M::Emms,
        M::Movq,
        M::Movd,
        M::Addps,
        M::Movss,
        M::Lfence,
        M::Rsm,
        M::Umov,
        M::Loadall,
        M::Movdiri,
    ];
    for code in Code::values().filter(|code| later.contains(&code.mnemonic())) {
        assert_eq!(select(code), Op::Invalid, "{code:?}");
    }
    // These share their mnemonic with a string instruction.
    for code in [Code::Movsd_xmm_xmmm64, Code::Cmpsd_xmm_xmmm64_imm8, Code::VEX_Vmovsd_xmm_m64] {
        assert_eq!(select(code), Op::Invalid, "{code:?}");
    }
}
