//! Bit tests and scans, CF and DF.

use cpu::Exception;
use isa::{Gpr, SegReg};

use crate::machine::{DATA, Machine, bytes, case};

#[test]
fn register_offsets_wrap_at_the_width() {
    case("0f a3 d8", "eax=2 ebx=21 ZF OF", "CF ZF OF");
    case("0f a3 d8", "eax=2 ebx=20 CF", "");
    case("66 0f a3 d8", "eax=10002 ebx=11", "CF");
    case("0f ab d8", "eax=0 ebx=ffffffff", "eax=80000000");
    case("0f b3 d8", "eax=ffffffff ebx=40 SF", "eax=fffffffe CF SF");
    case("0f bb d8", "eax=1 ebx=0", "eax=0 CF");
    case("66 0f bb d8", "eax=ffff0000 ebx=1f", "eax=ffff8000");
}

#[test]
fn immediate_offsets_wrap_at_the_width_in_memory_too() {
    case("0f ba 25 00 80 00 00 3f", "m=80000000", "CF");
    case("0f ba 2d 00 80 00 00 21", "m=0", "m=2");
    case("66 0f ba 35 00 80 00 00 1f", "m=80008000", "m=80000000 CF");
    case("0f ba f8 00", "eax=0", "eax=1");
}

#[test]
fn a_register_offset_reaches_outside_the_memory_operand() {
    // Bit -1 of the doubleword at 8004 is bit 31 of the one at 8000.
    case("0f a3 1d 04 80 00 00", "ebx=ffffffff m=80000000", "CF");
    case("0f ab 1d 04 80 00 00", "ebx=ffffffe0", "m=1");
    case("0f bb 1d f8 7f 00 00", "ebx=5f", "m=80000000");
    // 16 bits: a word at a time, and the offset is 16 bits wide.
    case("66 0f ab 1d 02 80 00 00", "ebx=1ffff", "m=8000");
    case("66 0f b3 1d fe 7f 00 00", "ebx=1f m=ffffffff", "m=ffff7fff CF");
}

#[test]
fn a_bit_address_wraps_at_the_address_size() {
    let mut machine = Machine::new();
    machine.set(Gpr::Ebx, 0x7_ffff);
    // bts [67 0x0004], ebx: 0x0004 + 0xfffc wraps to 0.
    machine.run(&bytes("67 0f ab 1e 04 00"));
    assert_eq!(machine.peek32(0), 0x8000_0000);
    assert_eq!(machine.peek32(0x1_0000), 0);
}

#[test]
fn the_limit_is_checked_where_the_bit_is() {
    let mut machine = Machine::new();
    machine.limit(SegReg::Ds, DATA + 3);
    machine.set(Gpr::Ebx, 32);
    assert_eq!(machine.fault(&bytes("0f ab 1d 00 80 00 00")), Exception::Gp(0));
    machine.set(Gpr::Ebx, 31);
    machine.run(&bytes("0f ab 1d 00 80 00 00"));
}

#[test]
fn scans_change_zf_alone() {
    case("0f bc c3", "eax=99 ebx=80000000 CF ZF", "eax=1f CF");
    case("0f bc c3", "eax=99 ebx=18", "eax=3");
    case("0f bd c3", "eax=99 ebx=18 ZF SF", "eax=4 SF");
    case("0f bd c3", "eax=99 ebx=1", "eax=0");
    case("0f bc c3", "eax=99 ebx=0", "ZF");
    case("0f bd c3", "eax=99 ebx=0 OF", "ZF OF");
    case("66 0f bc c3", "eax=12345678 ebx=10000", "ZF");
    case("66 0f bd c3", "eax=12345678 ebx=ffff4000", "eax=1234000e");
}

#[test]
fn single_flags() {
    case("f8", "CF ZF", "ZF");
    case("f9", "ZF", "CF ZF");
    case("f5", "CF OF", "OF");
    case("f5", "OF", "CF OF");
    case("fc", "DF CF", "CF");
    case("fd", "CF", "DF CF");
}
