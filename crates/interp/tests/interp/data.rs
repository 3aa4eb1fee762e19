//! Moves, extensions, exchanges, conditions.

use base::{AccessSize, LinearAddr};
use cpu::{Exception, eflags};
use isa::{Gpr, SegReg};

use crate::machine::{DATA, Machine, bytes, case};

#[test]
fn parts_of_registers() {
    case("b0 aa", "eax=11223344", "eax=112233aa");
    case("b4 aa", "eax=11223344", "eax=1122aa44");
    case("66 b8 aa bb", "eax=11223344", "eax=1122bbaa");
    case("88 e0", "eax=1122aa44", "eax=1122aaaa");
    case("8a 25 00 80 00 00", "eax=11223344 m=99", "eax=11229944");
    case("88 25 00 80 00 00", "eax=11223344 m=99999999", "m=99999933");
    case("66 a3 00 80 00 00", "eax=11223344 m=99999999", "m=99993344");
    case("c7 05 00 80 00 00 78 56 34 12", "CF OF", "m=12345678 CF OF");
}

#[test]
fn extensions() {
    case("0f b6 c4", "eax=1122f044", "eax=f0");
    case("0f be c4", "eax=1122f044", "eax=fffffff0");
    case("66 0f be c3", "eax=11223344 ebx=80", "eax=1122ff80");
    case("66 0f b6 c3", "eax=11223344 ebx=80", "eax=11220080");
    case("0f b7 05 00 80 00 00", "eax=1 m=1234f000", "eax=f000");
    case("0f bf 05 00 80 00 00", "eax=1 m=1234f000", "eax=fffff000");
    case("0f bf c3", "ebx=77ff", "eax=77ff");
}

#[test]
fn lea_wraps_at_the_address_size_and_cuts_to_the_operand_size() {
    case("8d 44 58 ff", "eax=ffffffff ebx=80000001", "eax=0");
    case("8d 04 dd 00 00 00 80", "ebx=30000001", "eax=8");
    case("66 8d 44 18 01", "eax=aaaaffff ebx=10001", "eax=aaaa0001");
    // lea eax, [bx+si+0x10]
    case("67 8d 40 10", "ebx=1fff8 esi=20001 eax=55", "eax=9");
}

#[test]
fn xchg() {
    case("87 d8", "eax=1 ebx=2", "eax=2 ebx=1");
    case("86 e0", "eax=1234", "eax=3412");
    case("66 93", "eax=aaaa1111 ebx=bbbb2222", "eax=aaaa2222 ebx=bbbb1111");
    case("87 05 00 80 00 00", "eax=1 m=2", "eax=2 m=1");
}

#[test]
fn bswap() {
    case("0f c8", "eax=11223344 CF", "eax=44332211 CF");
    case("66 0f c8", "eax=11223344", "eax=11220000");
}

#[test]
fn xlat_wraps_at_the_address_size() {
    case("d7", "eax=aabbcc02 ebx=7fff m=9955", "eax=aabbcc99");
    case("67 d7", "eax=ff ebx=12347f01 m=77", "eax=77");
    case("67 d7", "eax=ff ebx=ffff", "eax=0");
    let mut machine = Machine::new();
    machine.limit(SegReg::Ds, 0xff);
    machine.set(Gpr::Ebx, 0x100);
    assert_eq!(machine.fault(&bytes("d7")), Exception::Gp(0));
    machine.run(&bytes("26 d7"));
}

#[test]
fn flags_by_way_of_ah() {
    case("9f", "eax=0 CF AF SF OF", "eax=9300 CF AF SF OF");
    case("9f", "eax=ffffffff PF ZF", "eax=ffff46ff PF ZF");
    case("9e", "eax=ff00 OF", "CF PF AF ZF SF OF");
    case("9e", "eax=2a00 CF PF AF ZF SF DF OF", "DF OF");
    case("d6", "eax=1234 CF ZF", "eax=12ff CF ZF");
    case("d6", "eax=1234", "eax=1200");
}

/// Whether condition `number` holds, by the names in SDM Vol. 1 table B-1.
fn holds(number: u8, flags: u32) -> bool {
    let set = |flag| flags & flag != 0;
    let base = match number >> 1 {
        0 => set(eflags::OF),
        1 => set(eflags::CF),
        2 => set(eflags::ZF),
        3 => set(eflags::CF | eflags::ZF),
        4 => set(eflags::SF),
        5 => set(eflags::PF),
        6 => set(eflags::SF) ^ set(eflags::OF),
        _ => set(eflags::ZF) || set(eflags::SF) ^ set(eflags::OF),
    };
    base ^ (number & 1 == 1)
}

#[test]
fn every_condition_under_every_set_of_flags() {
    let mut machine = Machine::new();
    for set in 0..64 {
        let places = [0, 2, 4, 6, 7, 11];
        let flags = (0..6).filter(|n| set >> n & 1 == 1).fold(0, |flags, n| flags | 1 << places[n]);
        for number in 0..16 {
            let expected = holds(number, flags);
            machine.cpu.set_status(eflags::STATUS, flags);
            machine.set(Gpr::Eax, 0x5555_5555);
            machine.set(Gpr::Ebx, 0xaaaa_aaaa);
            machine.run(&[0x0f, 0x90 + number, 0xc4]);
            assert_eq!(machine.get(Gpr::Eax), 0x5555_0055 | u32::from(expected) << 8, "{number} {flags:x}");
            machine.run(&[0x0f, 0x40 + number, 0xd8]);
            let moved = if expected { 0x5555_0155 } else { 0xaaaa_aaaa };
            assert_eq!(machine.get(Gpr::Ebx), moved, "{number} {flags:x}");
            let eip = machine.cpu.state.eip;
            machine.run(&[0x70 + number, 0x10]);
            assert_eq!(machine.cpu.state.eip, eip + 2 + if expected { 0x10 } else { 0 });
            assert_eq!(machine.flags() & eflags::STATUS, flags);
            machine.cpu.state.eip = 0x7000;
        }
    }
}

#[test]
fn cmov_keeps_the_upper_half_and_reads_memory_always() {
    case("66 0f 42 c3", "eax=11112222 ebx=33334444 CF", "eax=11114444 CF");
    case("66 0f 42 c3", "eax=11112222 ebx=33334444", "");
    let mut machine = Machine::new();
    machine.limit(SegReg::Ds, DATA - 1);
    assert_eq!(machine.fault(&bytes("0f 42 05 00 80 00 00")), Exception::Gp(0));
}

#[test]
fn sign_extensions_of_the_accumulator() {
    case("66 98", "eax=11223380", "eax=1122ff80");
    case("98", "eax=11228000", "eax=ffff8000");
    case("98", "eax=ffff7fff", "eax=7fff");
    case("66 99", "eax=8000 edx=11112222", "edx=1111ffff");
    case("99", "eax=80000000", "edx=ffffffff");
    case("99", "eax=7fffffff edx=5", "edx=0");
}

#[test]
fn a_store_across_pages_is_all_or_nothing() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(0xb000, 0);
    machine.poke32(0xaffc, 0x1122_3344);
    machine.set(Gpr::Eax, 0xaabb_ccdd);
    let fault = Exception::Pf { la: LinearAddr(0xb000), code: 2 };
    for code in ["a3 fe af 00 00", "87 05 fe af 00 00", "01 05 fd af 00 00", "0f c1 05 ff af 00 00"] {
        assert_eq!(machine.fault(&bytes(code)), fault, "{code}");
        assert_eq!(machine.peek32(0xaffc), 0x1122_3344, "{code}");
    }
    let fault = Exception::Pf { la: LinearAddr(0xb000), code: 0 };
    assert_eq!(machine.fault(&bytes("8b 05 fe af 00 00")), fault);
    machine.page(0xb000, 7);
    machine.run(&bytes("a3 fe af 00 00"));
    assert_eq!(machine.peek(0xaffe, AccessSize::B4), 0xaabb_ccdd);
}

#[test]
fn a_load_past_the_limit_names_its_segment() {
    let mut machine = Machine::new();
    machine.limit(SegReg::Ds, DATA + 2);
    machine.limit(SegReg::Ss, 0x8fff);
    assert_eq!(machine.fault(&bytes("a1 00 80 00 00")), Exception::Gp(0));
    assert_eq!(machine.fault(&bytes("8b 04 24")), Exception::Ss(0));
    assert_eq!(machine.fault(&bytes("8b 85 00 90 00 00")), Exception::Ss(0));
    machine.run(&bytes("3e 8b 05 00 70 00 00"));
}
