//! System instructions.

use base::{AccessSize, LinearAddr};
use cpu::{Exception, cr, eflags, leave};
use isa::Gpr;

use crate::machine::{CODE, DATA, Machine, bytes, put};

#[test]
fn hlt_halts_behind_itself() {
    let mut machine = Machine::new();
    machine.run(&bytes("f4"));
    assert!(machine.cpu.state.halted);
    assert_eq!(machine.cpu.state.eip, CODE + 1);
}

#[test]
fn sti_has_a_shadow_only_when_interrupts_were_off() {
    let mut machine = Machine::new();
    machine.run(&bytes("fb"));
    assert!(machine.cpu.state.interrupt_shadow);
    assert_ne!(machine.flags() & eflags::IF, 0);
    assert_ne!(machine.cpu.state.leave & leave::MODE, 0);
    machine.cpu.state.interrupt_shadow = false;
    machine.run(&bytes("fb"));
    assert!(!machine.cpu.state.interrupt_shadow);
    machine.run(&bytes("fa"));
    assert_eq!(machine.flags() & eflags::IF, 0);
}

#[test]
fn the_interrupt_flag_needs_iopl() {
    let mut machine = Machine::new();
    machine.ring3();
    assert_eq!(machine.fault(&bytes("fa")), Exception::Gp(0));
    assert_eq!(machine.fault(&bytes("fb")), Exception::Gp(0));
    machine.cpu.state.eflags |= eflags::IOPL;
    machine.run(&bytes("fb"));
    machine.run(&bytes("fa"));
}

#[test]
fn ring_3_may_not() {
    for code in [
        "f4",
        "0f 20 c0",
        "0f 22 d8",
        "0f 21 c0",
        "0f 23 f8",
        "0f 01 15 00 80 00 00",
        "0f 01 1d 00 80 00 00",
        "0f 01 f0",
        "0f 06",
        "0f 01 3d 00 80 00 00",
        "0f 08",
        "0f 09",
        "0f 32",
        "0f 30",
        "0f 33",
    ] {
        let mut machine = Machine::new();
        // Operands that would fault come after the privilege.
        machine.identity_paging();
        machine.page(DATA, 0);
        machine.set(Gpr::Ecx, 0x10);
        machine.ring3();
        assert_eq!(machine.fault(&bytes(code)), Exception::Gp(0), "{code}");
    }
}

#[test]
fn control_registers() {
    let mut machine = Machine::new();
    machine.set(Gpr::Eax, 0x1_0000);
    machine.run(&bytes("0f 22 d8"));
    assert_eq!(machine.cpu.state.cr3, 0x1_0000);
    machine.run(&bytes("0f 20 db"));
    assert_eq!(machine.get(Gpr::Ebx), 0x1_0000);
    machine.set(Gpr::Eax, cr::CR0_PG);
    assert_eq!(machine.fault(&bytes("0f 22 c0")), Exception::Gp(0));
    machine.set(Gpr::Eax, 1 << 30);
    assert_eq!(machine.fault(&bytes("0f 22 e0")), Exception::Gp(0));
    assert_eq!(machine.fault(&bytes("0f 20 c8")), Exception::Ud, "CR1");
    machine.set(Gpr::Eax, 0x1234);
    machine.run(&bytes("0f 23 c0"));
    machine.run(&bytes("0f 21 c3"));
    assert_eq!(machine.get(Gpr::Ebx), 0x1234);
}

#[test]
fn task_switched() {
    let mut machine = Machine::new();
    machine.set(Gpr::Eax, 0xa);
    machine.run(&bytes("0f 01 f0"));
    assert_eq!(machine.cpu.state.cr0 & 0xf, 0xb, "LMSW does not clear PE");
    machine.run(&bytes("0f 01 e3"));
    assert_eq!(machine.get(Gpr::Ebx), machine.cpu.state.cr0);
    machine.poke32(DATA, 0xffff_ffff);
    machine.run(&bytes("0f 01 25 00 80 00 00"));
    assert_eq!(machine.peek32(DATA), 0xffff_0000 | machine.cpu.state.cr0 & 0xffff);
    machine.run(&bytes("0f 06"));
    assert_eq!(machine.cpu.state.cr0 & cr::CR0_TS, 0);
}

#[test]
fn descriptor_tables() {
    let mut machine = Machine::new();
    machine.poke(DATA, AccessSize::B8, 0xaaaa_1234_5678_0fff);
    machine.run(&bytes("0f 01 15 00 80 00 00"));
    assert_eq!((machine.cpu.state.gdtr.base, machine.cpu.state.gdtr.limit), (0x1234_5678, 0xfff));
    machine.run(&bytes("66 0f 01 1d 00 80 00 00"));
    assert_eq!((machine.cpu.state.idtr.base, machine.cpu.state.idtr.limit), (0x0034_5678, 0xfff));
    machine.poke(DATA, AccessSize::B8, u64::MAX);
    machine.run(&bytes("66 0f 01 05 00 80 00 00"));
    assert_eq!(machine.peek(DATA, AccessSize::B8), 0xffff_1234_5678_0fff);
    machine.run(&bytes("0f 01 0d 00 80 00 00"));
    assert_eq!(machine.peek(DATA, AccessSize::B8), 0xffff_0034_5678_0fff);
}

#[test]
fn storing_a_descriptor_table_is_all_or_nothing() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(0xb000, 0);
    machine.poke32(0xaffc, 0x1122_3344);
    let fault = Exception::Pf { la: LinearAddr(0xb000), code: 2 };
    assert_eq!(machine.fault(&bytes("0f 01 05 fc af 00 00")), fault);
    assert_eq!(machine.peek32(0xaffc), 0x1122_3344);
}

#[test]
fn invlpg_drops_a_translation() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.run(&bytes("a1 00 80 00 00"));
    machine.poke32(0x1_1000 + 8 * 4, 0);
    machine.run(&bytes("a1 00 80 00 00"));
    machine.run(&bytes("0f 01 3d 00 80 00 00"));
    assert_eq!(machine.fault(&bytes("a1 00 80 00 00")), Exception::Pf { la: LinearAddr(DATA), code: 0 });
}

#[test]
fn model_information() {
    let mut machine = Machine::new();
    put(&mut machine, "eax=0 ebx=1 ecx=2 edx=3");
    machine.run(&bytes("0f a2"));
    let expected = machine.cpu.cpuid(0, 2);
    assert_eq!([Gpr::Eax, Gpr::Ebx, Gpr::Ecx, Gpr::Edx].map(|gpr| machine.get(gpr)), expected);
    put(&mut machine, "eax=9abcdef0 edx=12345678 ecx=10");
    machine.run(&bytes("0f 30"));
    put(&mut machine, "eax=0 edx=0 ecx=10");
    machine.run(&bytes("0f 32"));
    assert_eq!((machine.get(Gpr::Edx), machine.get(Gpr::Eax)), (0x1234_5678, 0x9abc_def0));
    put(&mut machine, "eax=0 edx=0");
    machine.run(&bytes("0f 31"));
    assert_eq!((machine.get(Gpr::Edx), machine.get(Gpr::Eax)), (0x1234_5678, 0x9abc_def0));
    assert_eq!(machine.fault(&bytes("0f 33")), Exception::Gp(0));
    machine.set(Gpr::Ecx, 0x7777);
    assert_eq!(machine.fault(&bytes("0f 32")), Exception::Gp(0));
    machine.ring3();
    machine.run(&bytes("0f 31"));
    machine.cpu.state.cr4 |= cr::CR4_TSD;
    assert_eq!(machine.fault(&bytes("0f 31")), Exception::Gp(0));
}

#[test]
fn no_floating_point_unit() {
    let outcome = |cr0: u32, code: &str| {
        let mut machine = Machine::new();
        machine.cpu.state.cr0 |= cr0;
        machine.step(&bytes(code))
    };
    for code in ["d9 e8", "db e3", "d8 05 00 80 00 00", "66 d9 e8"] {
        assert_eq!(outcome(0, code), Err(Exception::Ud.into()));
        assert_eq!(outcome(cr::CR0_EM, code), Err(Exception::Nm.into()));
        assert_eq!(outcome(cr::CR0_TS, code), Err(Exception::Nm.into()));
    }
    for code in ["9b", "66 9b"] {
        assert_eq!(outcome(0, code), Ok(()));
        assert_eq!(outcome(cr::CR0_EM, code), Ok(()));
        assert_eq!(outcome(cr::CR0_TS, code), Ok(()));
        assert_eq!(outcome(cr::CR0_TS | cr::CR0_MP, code), Err(Exception::Nm.into()));
    }
}

#[test]
fn undefined_opcodes() {
    let mut machine = Machine::new();
    for code in ["0f 0b", "0f b9 c0", "f0 90", "f0 01 d8", "8d c0", "0f c7 c8"] {
        assert_eq!(machine.fault(&bytes(code)), Exception::Ud, "{code}");
    }
}
