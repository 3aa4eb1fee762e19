//! Branches, software interrupts, BOUND.

use base::{AccessSize, LinearAddr};
use cpu::{Exception, Trap, eflags};
use isa::{Gpr, SegReg};

use crate::machine::{CODE, DATA, Machine, STACK, bytes, put, sel};

/// EIP after one instruction from the state `before`.
fn lands(code: &str, before: &str) -> u32 {
    let mut machine = Machine::new();
    put(&mut machine, before);
    machine.run(&bytes(code));
    machine.cpu.state.eip
}

#[test]
fn near_jumps() {
    assert_eq!(lands("eb fe", ""), CODE);
    assert_eq!(lands("e9 fb 0f 00 00", ""), 0x8000);
    assert_eq!(lands("ff e0", "eax=12345678"), 0x1234_5678);
    assert_eq!(lands("ff 25 00 80 00 00", "m=4321"), 0x4321);
    assert_eq!(lands("66 ff e0", "eax=12345678"), 0x5678);
    assert_eq!(lands("66 e9 00 90", ""), 0x4);
}

#[test]
fn a_target_past_the_limit_faults_before_anything_changes() {
    let mut machine = Machine::new();
    machine.limit(SegReg::Cs, 0x7fff);
    put(&mut machine, "eax=8000 ecx=5 ZF m=8000");
    machine.poke32(STACK, 0x8000);
    for code in [
        "e9 fb 0f 00 00",
        "0f 84 fa 0f 00 00",
        "ff e0",
        "ff 25 00 80 00 00",
        "e8 fb 0f 00 00",
        "ff d0",
        "c3",
        "c2 08 00",
    ] {
        assert_eq!(machine.fault(&bytes(code)), Exception::Gp(0), "{code}");
    }
    machine.run(&bytes("0f 85 fa 0f 00 00"));
    machine.cpu.state.eip = 0x7ff0;
    assert_eq!(machine.fault(&bytes("e2 0e")), Exception::Gp(0));
    assert_eq!(machine.fault(&bytes("e1 0e")), Exception::Gp(0));
    assert_eq!(machine.get(Gpr::Ecx), 5);
    machine.set(Gpr::Ecx, 0);
    assert_eq!(machine.fault(&bytes("e3 0e")), Exception::Gp(0));
    machine.run(&bytes("e2 0d"));
}

#[test]
fn call_pushes_the_next_instruction() {
    let mut machine = Machine::new();
    machine.run(&bytes("e8 fb 0f 00 00"));
    assert_eq!((machine.cpu.state.eip, machine.get(Gpr::Esp)), (0x8000, STACK - 4));
    assert_eq!(machine.peek32(STACK - 4), CODE + 5);
    machine.run(&bytes("c3"));
    assert_eq!((machine.cpu.state.eip, machine.get(Gpr::Esp)), (CODE + 5, STACK));
}

#[test]
fn call_reads_its_target_before_it_pushes() {
    let mut machine = Machine::new();
    // call [esp]; call esp
    machine.poke32(STACK, 0x1234);
    machine.run(&bytes("ff 14 24"));
    assert_eq!(machine.cpu.state.eip, 0x1234);
    machine.run(&bytes("ff d4"));
    assert_eq!(machine.cpu.state.eip, STACK - 4);
    assert_eq!(machine.peek32(STACK - 8), 0x1236);
}

#[test]
fn a_call_that_cannot_push_goes_nowhere() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(STACK - 4, 5);
    let fault = Exception::Pf { la: LinearAddr(STACK - 4), code: 3 };
    assert_eq!(machine.fault(&bytes("e8 00 00 00 00")), fault);
    machine.limit(SegReg::Ss, 0x8000);
    assert_eq!(machine.fault(&bytes("e8 00 00 00 00")), Exception::Ss(0));
}

#[test]
fn narrow_call_and_return() {
    let mut machine = Machine::new();
    machine.cpu.state.eip = 0x1_7000;
    machine.run(&bytes("66 e8 00 10"));
    assert_eq!((machine.cpu.state.eip, machine.get(Gpr::Esp)), (0x8004, STACK - 2));
    assert_eq!(machine.peek16(STACK - 2), 0x7004);
    machine.run(&bytes("66 c3"));
    assert_eq!((machine.cpu.state.eip, machine.get(Gpr::Esp)), (0x7004, STACK));
}

#[test]
fn return_releases_parameters() {
    let mut machine = Machine::new();
    machine.poke32(STACK, 0x1234);
    machine.run(&bytes("c2 10 00"));
    assert_eq!((machine.cpu.state.eip, machine.get(Gpr::Esp)), (0x1234, STACK + 0x14));
    machine.stack16(0x1234_fff0);
    machine.poke32(0xfff0, 0x4321);
    machine.run(&bytes("c2 20 00"));
    assert_eq!((machine.cpu.state.eip, machine.get(Gpr::Esp)), (0x4321, 0x1234_0014));
}

#[test]
fn loops_count_without_flags() {
    let ran = |code: &str, before: &str| {
        let mut machine = Machine::new();
        put(&mut machine, before);
        let flags = machine.flags();
        machine.run(&bytes(code));
        assert_eq!(machine.flags(), flags);
        (machine.cpu.state.eip - CODE, machine.get(Gpr::Ecx))
    };
    assert_eq!(ran("e2 10", "ecx=2"), (0x12, 1));
    assert_eq!(ran("e2 10", "ecx=1"), (2, 0));
    assert_eq!(ran("e2 10", "ecx=0"), (0x12, 0xffff_ffff));
    assert_eq!(ran("67 e2 10", "ecx=50000"), (0x13, 0x5_ffff));
    assert_eq!(ran("67 e2 10", "ecx=50001"), (3, 0x5_0000));
    assert_eq!(ran("e1 10", "ecx=2 ZF"), (0x12, 1));
    assert_eq!(ran("e1 10", "ecx=2"), (2, 1));
    assert_eq!(ran("e1 10", "ecx=1 ZF"), (2, 0));
    assert_eq!(ran("e0 10", "ecx=2"), (0x12, 1));
    assert_eq!(ran("e0 10", "ecx=2 ZF"), (2, 1));
    assert_eq!(ran("e3 10", "ecx=0"), (0x12, 0));
    assert_eq!(ran("e3 10", "ecx=10000"), (2, 0x1_0000));
    assert_eq!(ran("67 e3 10", "ecx=10000"), (0x13, 0x1_0000));
}

#[test]
fn far_transfers() {
    let mut machine = Machine::new();
    machine.run(&bytes("ea 78 56 34 12 08 00"));
    assert_eq!(machine.cpu.state.eip, 0x1234_5678);
    machine.poke32(DATA, 0x7000);
    machine.poke32(DATA + 4, u32::from(sel::CODE));
    machine.run(&bytes("ff 2d 00 80 00 00"));
    assert_eq!(machine.cpu.state.eip, CODE);
    machine.run(&bytes("ff 1d 00 80 00 00"));
    assert_eq!((machine.peek32(STACK - 8), machine.peek32(STACK - 4)), (CODE + 6, 8));
    machine.run(&bytes("cb"));
    assert_eq!((machine.cpu.state.eip, machine.get(Gpr::Esp)), (CODE + 6, STACK));
    // jmp far [mem16:16]
    machine.poke32(DATA, 0x0008_4321);
    machine.run(&bytes("66 ff 2d 00 80 00 00"));
    assert_eq!(machine.cpu.state.eip, 0x4321);
    assert_eq!(machine.fault(&bytes("ea 00 00 00 00 10 00")), Exception::Gp(0x10));
}

#[test]
fn a_far_jump_changes_the_code_size() {
    let mut machine = Machine::new();
    machine.run(&bytes("ea 34 12 00 00 40 00"));
    assert_eq!(machine.cpu.state.eip, 0x1234);
    assert_ne!(machine.cpu.state.leave & cpu::leave::MODE, 0);
    machine.set(Gpr::Eax, 0x1111_ffff);
    machine.run(&bytes("40"));
    assert_eq!(machine.get(Gpr::Eax), 0x1111_0000);
    machine.run(&bytes("66 40"));
    assert_eq!(machine.get(Gpr::Eax), 0x1111_0001);
}

#[test]
fn software_interrupts_return_behind_themselves() {
    for (code, vector) in [("cd 80", 0x80), ("cc", 3), ("f1", 1), ("ce", 4)] {
        let mut machine = Machine::new();
        put(&mut machine, "OF CF");
        machine.run(&bytes(code));
        assert_eq!(machine.cpu.state.eip, 0x6000 + 16 * vector);
        assert_eq!(machine.get(Gpr::Esp), STACK - 12);
        assert_eq!(machine.peek32(STACK - 12), CODE + bytes(code).len() as u32);
        assert_eq!(machine.peek32(STACK - 4), eflags::OF | eflags::CF | eflags::FIXED);
        machine.run(&bytes("cf"));
        assert_eq!(machine.cpu.state.eip, CODE + bytes(code).len() as u32);
        assert_eq!(machine.get(Gpr::Esp), STACK);
    }
    assert_eq!(lands("ce", "CF ZF"), CODE + 1);
}

#[test]
fn bound_is_signed() {
    let bounds = |lower: u32, upper: u32| u64::from(upper) << 32 | u64::from(lower);
    let mut machine = Machine::new();
    machine.poke(DATA, AccessSize::B8, bounds(0xffff_fffe, 3));
    for index in [0xffff_fffe, 0, 3] {
        machine.set(Gpr::Eax, index);
        machine.run(&bytes("62 05 00 80 00 00"));
    }
    for index in [0xffff_fffd, 4, 0x8000_0000] {
        machine.set(Gpr::Eax, index);
        assert_eq!(machine.fault(&bytes("62 05 00 80 00 00")), Exception::Br);
    }
    machine.poke32(DATA, 0x0003_fffe);
    machine.set(Gpr::Eax, 0x1234_fffe);
    machine.run(&bytes("66 62 05 00 80 00 00"));
    machine.set(Gpr::Eax, 4);
    assert_eq!(machine.fault(&bytes("66 62 05 00 80 00 00")), Exception::Br);
}

#[test]
fn what_is_not_built_is_passed_on() {
    let mut machine = Machine::new();
    // A jump to the busy TSS is an exception; to an available one a task switch.
    machine.poke(0x1000 + 0x28, AccessSize::B8, 0x0000_8900_3000_2000);
    let outcome = machine.step(&bytes("ea 00 00 00 00 28 00"));
    assert!(matches!(outcome, Err(Trap::Unsupported(_))), "{outcome:?}");
    assert_eq!(machine.cpu.state.eip, CODE);
}
