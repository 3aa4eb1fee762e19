//! Addition, subtraction, comparison, exchange-and-add.

use base::AccessSize;

use crate::machine::{DATA, Machine, bytes, case};

#[test]
fn add_sets_each_flag_at_its_boundary() {
    case("00 d8", "eax=11223344 ebx=01", "eax=11223345");
    case("00 d8", "eax=112233ff ebx=01", "eax=11223300 CF PF AF ZF");
    case("00 d8", "eax=7f ebx=01", "eax=80 AF SF OF");
    case("00 d8", "eax=80 ebx=80 SF", "eax=0 CF PF ZF OF");
    case("00 d8", "eax=80 ebx=7f", "eax=ff PF SF");
    case("66 01 d8", "eax=ffff7fff ebx=1", "eax=ffff8000 PF AF SF OF");
    case("66 01 d8", "eax=ffff ebx=1", "eax=0 CF PF AF ZF");
    case("01 d8", "eax=7fffffff ebx=1", "eax=80000000 PF AF SF OF");
    case("01 d8", "eax=80000000 ebx=80000000", "eax=0 CF PF ZF OF");
    case("01 d8", "eax=ffffffff ebx=1", "eax=0 CF PF AF ZF");
    case("83 c0 ff", "eax=1", "eax=0 CF PF AF ZF");
}

#[test]
fn parity_is_of_the_low_byte() {
    case("01 d8", "eax=100 ebx=1", "eax=101");
    case("01 d8", "eax=100 ebx=3", "eax=103 PF");
    case("66 01 d8", "eax=ff00 ebx=3", "eax=ff03 PF SF");
}

#[test]
fn high_byte_registers() {
    // add ah, bl; add bl, ah; add ah, ah
    case("00 dc", "eax=1234ff78 ebx=2", "eax=12340178 CF AF");
    case("00 e3", "eax=1234ff78 ebx=aabbcc02", "ebx=aabbcc01 CF AF");
    case("00 e4", "eax=12348078", "eax=12340078 CF PF ZF OF");
}

#[test]
fn adc_takes_the_carry() {
    case("11 d8", "eax=ffffffff ebx=0 CF", "eax=0 CF PF AF ZF");
    case("11 d8", "eax=ffffffff ebx=ffffffff CF", "eax=ffffffff CF PF AF SF");
    case("11 d8", "eax=7fffffff ebx=0 CF", "eax=80000000 PF AF SF OF");
    case("11 d8", "eax=7fffffff ebx=80000000 CF", "eax=0 CF PF AF ZF");
    case("10 d8", "eax=0f ebx=0 CF", "eax=10 AF");
    case("11 d8", "eax=1 ebx=1", "eax=2");
}

#[test]
fn sub_sets_each_flag_at_its_boundary() {
    case("28 d8", "eax=0 ebx=1", "eax=ff CF PF AF SF");
    case("28 d8", "eax=80 ebx=1", "eax=7f AF OF");
    case("28 d8", "eax=7f ebx=80", "eax=ff CF PF SF OF");
    case("28 d8", "eax=10 ebx=10", "eax=0 PF ZF");
    case("66 29 d8", "eax=abcd8000 ebx=1", "eax=abcd7fff PF AF OF");
    case("29 d8", "eax=80000000 ebx=1", "eax=7fffffff PF AF OF");
    case("29 d8", "eax=0 ebx=80000000", "eax=80000000 CF PF SF OF");
    case("2d 01 00 00 00", "eax=1", "eax=0 PF ZF");
}

#[test]
fn sbb_takes_the_borrow() {
    case("19 d8", "eax=0 ebx=0 CF", "eax=ffffffff CF PF AF SF");
    case("19 d8", "eax=0 ebx=ffffffff CF", "eax=0 CF PF AF ZF");
    case("19 d8", "eax=80000000 ebx=7fffffff CF", "eax=0 PF AF ZF OF");
    case("18 d8", "eax=80 ebx=80 CF", "eax=ff CF PF AF SF");
    case("19 c0", "eax=1234 CF", "eax=ffffffff CF PF AF SF");
    case("19 c0", "eax=1234", "eax=0 PF ZF");
}

#[test]
fn cmp_writes_nothing() {
    case("39 d8", "eax=1 ebx=2", "CF PF AF SF");
    case("38 1d 00 80 00 00", "ebx=5 m=11223305", "PF ZF");
    case("83 f8 ff", "eax=ffffffff", "PF ZF");
    case("66 3d 00 80", "eax=7fff", "CF PF SF OF");
}

#[test]
fn inc_and_dec_keep_carry() {
    case("40", "eax=7fffffff CF", "eax=80000000 CF PF AF SF OF");
    case("40", "eax=ffffffff", "eax=0 PF AF ZF");
    case("48", "eax=0", "eax=ffffffff PF AF SF");
    case("48", "eax=80000000 CF", "eax=7fffffff CF PF AF OF");
    case("fe c4", "eax=ff12 CF", "eax=12 CF PF AF ZF");
    case("66 48", "eax=550000", "eax=55ffff PF AF SF");
}

#[test]
fn neg_clears_carry_only_for_zero() {
    case("f7 d8", "eax=0 CF", "eax=0 PF ZF");
    case("f7 d8", "eax=80000000", "eax=80000000 CF PF SF OF");
    case("f6 d8", "eax=1180", "eax=1180 CF SF OF");
    case("66 f7 d8", "eax=aaaa0001", "eax=aaaaffff CF PF AF SF");
}

#[test]
fn memory_operands_are_read_and_written() {
    case("01 05 00 80 00 00", "eax=1 m=ffffffff", "m=0 CF PF AF ZF");
    case("00 05 00 80 00 00", "eax=1 m=aabbccff", "m=aabbcc00 CF PF AF ZF");
    case("66 83 2d 00 80 00 00 01", "m=12340000", "m=1234ffff CF PF AF SF");
    case("03 05 00 80 00 00", "eax=1 m=2", "eax=3 PF");
    case("f0 ff 05 00 80 00 00", "m=f", "m=10 AF");
    case("f7 1d 00 80 00 00", "m=1", "m=ffffffff CF PF AF SF");
}

#[test]
fn xadd_with_one_register_keeps_the_sum() {
    case("0f c1 d8", "eax=1 ebx=2", "eax=3 ebx=1 PF");
    case("0f c1 c0", "eax=80000000", "eax=0 CF PF ZF OF");
    case("0f c0 1d 00 80 00 00", "ebx=ff01 m=2", "ebx=ff02 m=3 PF");
}

#[test]
fn cmpxchg_swaps_or_loads() {
    case("0f b1 1d 00 80 00 00", "eax=5 ebx=9 m=5", "m=9 PF ZF");
    case("0f b1 1d 00 80 00 00", "eax=5 ebx=9 m=6", "eax=6 CF PF AF SF");
    case("0f b0 1d 00 80 00 00", "eax=1105 ebx=9 m=aa06", "eax=1106 CF PF AF SF");
    case("0f b1 c3", "eax=7 ebx=7", "ebx=7 PF ZF");
    // The accumulator as destination always matches.
    case("0f b1 d8", "eax=7 ebx=9", "eax=9 PF ZF");
}

#[test]
fn cmpxchg8b_changes_zf_alone() {
    let mut machine = Machine::new();
    machine.poke(DATA, AccessSize::B8, 0x1111_1111_2222_2222);
    crate::machine::put(&mut machine, "eax=22222222 edx=11111111 ebx=33333333 ecx=44444444 CF SF");
    machine.run(&bytes("0f c7 0d 00 80 00 00"));
    assert_eq!(machine.peek(DATA, AccessSize::B8), 0x4444_4444_3333_3333);
    assert_eq!(machine.flags() & cpu::eflags::STATUS, cpu::eflags::CF | cpu::eflags::SF | cpu::eflags::ZF);
    machine.run(&bytes("0f c7 0d 00 80 00 00"));
    assert_eq!(machine.get(isa::Gpr::Eax), 0x3333_3333);
    assert_eq!(machine.get(isa::Gpr::Edx), 0x4444_4444);
    assert_eq!(machine.flags() & cpu::eflags::STATUS, cpu::eflags::CF | cpu::eflags::SF);
}

#[test]
fn a_read_only_page_stops_a_read_modify_write_before_it_begins() {
    for code in [
        "01 05 00 80 00 00",
        "11 05 00 80 00 00",
        "29 05 00 80 00 00",
        "ff 05 00 80 00 00",
        "f7 15 00 80 00 00",
        "f7 1d 00 80 00 00",
        "21 05 00 80 00 00",
        "d1 25 00 80 00 00",
        "c1 25 00 80 00 00 20",
        "d3 05 00 80 00 00",
        "0f a4 05 00 80 00 00 04",
        "0f ab 05 00 80 00 00",
        "87 05 00 80 00 00",
        "0f c1 05 00 80 00 00",
        "0f b1 05 00 80 00 00",
        "0f c7 0d 00 80 00 00",
        "0f 94 05 00 80 00 00",
    ] {
        let mut machine = Machine::new();
        machine.identity_paging();
        machine.poke32(DATA, 0x1234_5678);
        machine.page(DATA, 5);
        let fault = cpu::Exception::Pf { la: base::LinearAddr(DATA), code: 3 };
        assert_eq!(machine.fault(&bytes(code)), fault, "{code}");
        assert_eq!(machine.peek32(DATA), 0x1234_5678, "{code}");
    }
}
