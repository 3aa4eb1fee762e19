//! Segment registers and descriptors.

use cpu::{Exception, eflags, leave};
use isa::{Gpr, SegReg};

use crate::machine::{DATA, Machine, bytes, case, put, sel};

#[test]
fn selectors_are_read_zero_extended_into_registers_and_16_bits_into_memory() {
    case("8c d8", "eax=ffffffff", "eax=10");
    case("66 8c d8", "eax=ffffffff", "eax=ffff0010");
    case("8c 0d 00 80 00 00", "m=ffffffff", "m=ffff0008");
}

#[test]
fn loading_a_segment_register() {
    let mut machine = Machine::new();
    machine.set(Gpr::Eax, 0xffff_0000 | u32::from(sel::DATA_16));
    machine.run(&bytes("8e e0"));
    let fs = machine.cpu.state.segs[SegReg::Fs.index()];
    assert_eq!((fs.selector, fs.base, fs.limit), (sel::DATA_16, 0x1_0000, 0xffff));
    assert_ne!(machine.cpu.state.leave & leave::MODE, 0);
    assert!(!machine.cpu.state.interrupt_shadow);
    machine.set(Gpr::Eax, 0);
    machine.run(&bytes("8e e0"));
    assert_eq!(machine.fault(&bytes("64 a1 00 80 00 00")), Exception::Gp(0), "null");
    machine.set(Gpr::Eax, 0x100);
    assert_eq!(machine.fault(&bytes("8e e0")), Exception::Gp(0x100));
    assert_eq!(machine.fault(&bytes("8e c8")), Exception::Ud, "CS");
}

#[test]
fn mov_ss_inhibits_interrupts() {
    let mut machine = Machine::new();
    machine.set(Gpr::Eax, u32::from(sel::DATA));
    machine.run(&bytes("8e d0"));
    assert!(machine.cpu.state.interrupt_shadow);
    machine.set(Gpr::Eax, 0);
    machine.cpu.state.interrupt_shadow = false;
    assert_eq!(machine.fault(&bytes("8e d0")), Exception::Gp(0));
    assert!(!machine.cpu.state.interrupt_shadow);
}

#[test]
fn far_pointers_load_both_or_neither() {
    let mut machine = Machine::new();
    machine.poke32(DATA, 0x1234_5678);
    machine.poke32(DATA + 4, u32::from(sel::DATA_16));
    for (code, seg) in [
        ("c4 05 00 80 00 00", SegReg::Es),
        ("0f b4 05 00 80 00 00", SegReg::Fs),
        ("0f b5 05 00 80 00 00", SegReg::Gs),
        ("0f b2 05 00 80 00 00", SegReg::Ss),
        ("c5 05 00 80 00 00", SegReg::Ds),
    ] {
        machine.set(Gpr::Eax, 0);
        machine.run(&bytes(code));
        assert_eq!(machine.get(Gpr::Eax), 0x1234_5678);
        assert_eq!(machine.cpu.state.segs[seg.index()].selector, sel::DATA_16);
    }
    let mut machine = Machine::new();
    machine.poke32(DATA, 0x1234_5678);
    machine.poke32(DATA + 4, 0x100);
    assert_eq!(machine.fault(&bytes("c4 05 00 80 00 00")), Exception::Gp(0x100));
    machine.poke32(DATA, u32::from(sel::DATA_16) << 16 | 0x4321);
    machine.set(Gpr::Eax, 0xffff_ffff);
    machine.run(&bytes("66 c4 05 00 80 00 00"));
    assert_eq!(machine.get(Gpr::Eax), 0xffff_4321);
}

#[test]
fn looking_at_descriptors_sets_zf() {
    let looked = |code: &str, before: &str| {
        let mut machine = Machine::new();
        put(&mut machine, before);
        machine.run(&bytes(code));
        (machine.get(Gpr::Ecx), machine.flags() & eflags::STATUS)
    };
    let found = eflags::ZF | eflags::CF;
    assert_eq!(looked("0f 02 c8", "eax=10 ecx=77 CF"), (0x00c0_9200, found));
    assert_eq!(looked("66 0f 02 c8", "eax=38 ecx=77777777 CF"), (0x7777_9000, found));
    assert_eq!(looked("0f 03 c8", "eax=10 ecx=77 CF"), (0xffff_ffff, found));
    assert_eq!(looked("0f 03 c8", "eax=30 ecx=77 CF"), (0xffff, found));
    assert_eq!(looked("0f 02 c8", "eax=100 ecx=77 ZF CF"), (0x77, eflags::CF));
    assert_eq!(looked("0f 03 c8", "eax=0 ecx=77 ZF CF"), (0x77, eflags::CF));
    assert_eq!(looked("0f 00 e0", "eax=38 CF"), (0, found));
    assert_eq!(looked("0f 00 e8", "eax=38 ZF CF"), (0, eflags::CF));
    assert_eq!(looked("0f 00 e8", "eax=10 CF"), (0, found));
    assert_eq!(looked("0f 00 e0", "eax=0 ZF"), (0, 0));
}

#[test]
fn arpl_raises_the_requested_privilege_level() {
    case("63 d8", "eax=aaaa0010 ebx=3 CF", "eax=aaaa0013 CF ZF");
    case("63 d8", "eax=13 ebx=2 ZF", "");
    case("63 1d 00 80 00 00", "ebx=1 m=ffff0020", "m=ffff0021 ZF");
}

#[test]
fn table_registers() {
    let mut machine = Machine::new();
    machine.run(&bytes("0f 00 c8"));
    assert_eq!(machine.get(Gpr::Eax), u32::from(sel::TSS));
    machine.run(&bytes("0f 00 c0"));
    assert_eq!(machine.get(Gpr::Eax), 0);
    machine.poke32(DATA, 0xffff_ffff);
    machine.run(&bytes("0f 00 0d 00 80 00 00"));
    assert_eq!(machine.peek32(DATA), 0xffff_0000 | u32::from(sel::TSS));
    machine.set(Gpr::Eax, 0);
    machine.run(&bytes("0f 00 d0"));
    machine.set(Gpr::Eax, u32::from(sel::TSS));
    assert_eq!(machine.fault(&bytes("0f 00 d8")), Exception::Gp(u32::from(sel::TSS)), "busy");
    machine.ring3();
    assert_eq!(machine.fault(&bytes("0f 00 d8")), Exception::Gp(0));
    assert_eq!(machine.fault(&bytes("0f 00 d0")), Exception::Gp(0));
    machine.run(&bytes("0f 00 c8"));
}

#[test]
fn real_mode_does_not_know_them() {
    let mut machine = Machine::new();
    machine.cpu.state.cr0 &= !cpu::cr::CR0_PE;
    for code in [
        "0f 00 c0", "0f 00 c8", "0f 00 d0", "0f 00 d8", "0f 00 e0", "0f 00 e8", "0f 02 c8", "0f 03 c8",
        "63 d8",
    ] {
        assert_eq!(machine.fault(&bytes(code)), Exception::Ud, "{code}");
    }
}
