//! The stack instructions.

use base::LinearAddr;
use cpu::{Exception, eflags};
use isa::{Gpr, SegReg};

use crate::machine::{CODE, DATA, Machine, STACK, bytes, put, sel};

#[test]
fn push_stores_below() {
    let mut machine = Machine::new();
    put(&mut machine, "eax=11223344 m=55667788");
    machine.run(&bytes("50"));
    assert_eq!((machine.get(Gpr::Esp), machine.peek32(STACK - 4)), (STACK - 4, 0x1122_3344));
    machine.run(&bytes("66 50"));
    assert_eq!((machine.get(Gpr::Esp), machine.peek16(STACK - 6)), (STACK - 6, 0x3344));
    machine.set(Gpr::Esp, STACK);
    machine.run(&bytes("6a ff"));
    assert_eq!(machine.peek32(STACK - 4), 0xffff_ffff);
    machine.run(&bytes("ff 35 00 80 00 00"));
    assert_eq!(machine.peek32(STACK - 8), 0x5566_7788);
    machine.run(&bytes("66 6a 80"));
    assert_eq!((machine.get(Gpr::Esp), machine.peek16(STACK - 10)), (STACK - 10, 0xff80));
}

#[test]
fn esp_is_pushed_as_it_was_and_popped_over_the_increment() {
    let mut machine = Machine::new();
    machine.run(&bytes("54"));
    assert_eq!(machine.peek32(STACK - 4), STACK);
    // push [esp]
    machine.run(&bytes("ff 34 24"));
    assert_eq!(machine.peek32(STACK - 8), STACK);
    machine.poke32(STACK - 8, 0x4321);
    machine.run(&bytes("5c"));
    assert_eq!(machine.get(Gpr::Esp), 0x4321);
    machine.set(Gpr::Esp, 0xa_9000);
    machine.poke32(0xa_9000, 0x4321);
    machine.run(&bytes("66 5c"));
    assert_eq!(machine.get(Gpr::Esp), 0xa_4321);
}

#[test]
fn pop_to_memory_uses_the_incremented_esp() {
    let mut machine = Machine::new();
    machine.poke32(STACK, 0x1111);
    // pop [esp]
    machine.run(&bytes("8f 04 24"));
    assert_eq!((machine.get(Gpr::Esp), machine.peek32(STACK + 4)), (STACK + 4, 0x1111));
    // pop [esp+8], 16 bits
    machine.run(&bytes("66 8f 44 24 08"));
    assert_eq!((machine.get(Gpr::Esp), machine.peek16(STACK + 14)), (STACK + 6, 0x1111));
}

#[test]
fn pop_to_memory_that_faults_leaves_esp() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(DATA, 5);
    assert_eq!(machine.fault(&bytes("8f 05 00 80 00 00")), Exception::Pf { la: LinearAddr(DATA), code: 3 });
    machine.page(STACK, 0);
    assert_eq!(
        machine.fault(&bytes("8f 05 00 80 00 00")),
        Exception::Pf { la: LinearAddr(STACK), code: 0 },
        "the stack comes first"
    );
}

#[test]
fn a_16_bit_stack_wraps_and_keeps_the_upper_half() {
    let mut machine = Machine::new();
    machine.stack16(0x1234_0000);
    machine.set(Gpr::Eax, 0x1122_3344);
    machine.run(&bytes("50"));
    assert_eq!((machine.get(Gpr::Esp), machine.peek32(0xfffc)), (0x1234_fffc, 0x1122_3344));
    machine.run(&bytes("5b"));
    assert_eq!((machine.get(Gpr::Esp), machine.get(Gpr::Ebx)), (0x1234_0000, 0x1122_3344));
    machine.set(Gpr::Esp, 0x1234_0002);
    assert_eq!(machine.fault(&bytes("50")), Exception::Ss(0), "the doubleword would straddle the limit");
    assert_eq!(machine.get(Gpr::Esp), 0x1234_0002);
}

#[test]
fn segment_registers_on_the_stack() {
    let mut machine = Machine::new();
    machine.run(&bytes("1e"));
    assert_eq!((machine.get(Gpr::Esp), machine.peek32(STACK - 4)), (STACK - 4, u32::from(sel::DATA)));
    machine.poke32(STACK - 4, 0xffff_0000 | u32::from(sel::DATA_16));
    machine.run(&bytes("07"));
    let es = machine.cpu.state.segs[SegReg::Es.index()];
    assert_eq!((es.selector, es.base, es.limit), (sel::DATA_16, 0x1_0000, 0xffff));
    assert_eq!(machine.get(Gpr::Esp), STACK);
    machine.run(&bytes("66 0f a0"));
    assert_eq!((machine.get(Gpr::Esp), machine.peek16(STACK - 2)), (STACK - 2, u32::from(sel::DATA)));
}

#[test]
fn pop_of_a_bad_selector_pops_nothing() {
    let mut machine = Machine::new();
    machine.poke32(STACK, 0x100);
    assert_eq!(machine.fault(&bytes("1f")), Exception::Gp(0x100));
    machine.poke32(STACK, 0);
    assert_eq!(machine.fault(&bytes("17")), Exception::Gp(0));
    machine.poke32(STACK, u32::from(sel::READ_ONLY));
    assert_eq!(machine.fault(&bytes("17")), Exception::Gp(u32::from(sel::READ_ONLY)));
}

#[test]
fn pop_ss_inhibits_interrupts_and_moves_the_old_stack_pointer() {
    let mut machine = Machine::new();
    machine.set(Gpr::Esp, 0x5_fffc);
    machine.poke32(0x5_fffc, u32::from(sel::DATA_16));
    machine.run(&bytes("17"));
    assert!(machine.cpu.state.interrupt_shadow);
    assert_eq!(machine.get(Gpr::Esp), 0x6_0000, "the old stack was a 32-bit one");
}

#[test]
fn pusha_and_popa() {
    let mut machine = Machine::new();
    put(&mut machine, "eax=1 ecx=2 edx=3 ebx=4 ebp=5 esi=6 edi=7");
    machine.run(&bytes("60"));
    let pushed: Vec<u32> = (1..=8).map(|n| machine.peek32(STACK - 4 * n)).collect();
    assert_eq!(pushed, [1, 2, 3, 4, STACK, 5, 6, 7]);
    assert_eq!(machine.get(Gpr::Esp), STACK - 32);
    for n in 1..=8 {
        machine.poke32(STACK - 4 * n, 0x100 + n);
    }
    machine.run(&bytes("61"));
    let popped: Vec<u32> = Gpr::ALL.into_iter().map(|gpr| machine.get(gpr)).collect();
    assert_eq!(popped, [0x101, 0x102, 0x103, 0x104, STACK, 0x106, 0x107, 0x108]);
}

#[test]
fn narrow_pusha_and_popa_keep_upper_halves() {
    let mut machine = Machine::new();
    put(&mut machine, "eax=aaaa0001 ecx=aaaa0002 ebx=bbbb0004");
    machine.run(&bytes("66 60"));
    assert_eq!((machine.get(Gpr::Esp), machine.peek16(STACK - 2)), (STACK - 16, 1));
    assert_eq!(machine.peek16(STACK - 10), STACK);
    machine.poke32(STACK - 4, 0x1111_2222);
    machine.run(&bytes("66 61"));
    assert_eq!((machine.get(Gpr::Eax), machine.get(Gpr::Ecx)), (0xaaaa_1111, 0xaaaa_2222));
    assert_eq!(machine.get(Gpr::Ebx), 0xbbbb_0004);
}

#[test]
fn pusha_and_popa_are_all_or_nothing() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(0xa000, 0);
    machine.set(Gpr::Esp, 0xb010);
    machine.poke32(0xb00c, 0x55);
    assert_eq!(machine.fault(&bytes("60")), Exception::Pf { la: LinearAddr(0xaffc), code: 2 });
    assert_eq!(machine.peek32(0xb00c), 0x55);
    machine.set(Gpr::Esp, 0x9ff0);
    assert_eq!(machine.fault(&bytes("61")), Exception::Pf { la: LinearAddr(0xa000), code: 0 });
}

#[test]
fn flags_on_the_stack() {
    let mut machine = Machine::new();
    put(&mut machine, "CF ZF");
    machine.cpu.state.eflags |= eflags::RF | eflags::ID | eflags::AC | eflags::IF;
    machine.run(&bytes("9c"));
    let pushed = eflags::CF | eflags::ZF | eflags::ID | eflags::AC | eflags::IF | eflags::FIXED;
    assert_eq!(machine.peek32(STACK - 4), pushed);
    machine.poke32(STACK - 4, 0xffff_ffff);
    machine.run(&bytes("9d"));
    let all = eflags::STATUS | eflags::TF | eflags::IF | eflags::DF | eflags::IOPL | eflags::NT;
    assert_eq!(machine.flags(), all | eflags::AC | eflags::ID | eflags::FIXED);
    assert_eq!(machine.get(Gpr::Esp), STACK);
    machine.poke32(STACK, 0);
    machine.run(&bytes("66 9d"));
    assert_eq!(machine.flags(), eflags::AC | eflags::ID | eflags::FIXED);
    assert_eq!(machine.get(Gpr::Esp), STACK + 2);
}

#[test]
fn popf_in_ring_3_keeps_if_and_iopl_silently() {
    let mut machine = Machine::new();
    machine.ring3();
    machine.cpu.state.eflags |= eflags::IF;
    machine.poke32(STACK, eflags::IOPL | eflags::CF);
    machine.run(&bytes("9d"));
    assert_eq!(machine.flags(), eflags::IF | eflags::CF | eflags::FIXED);
}

#[test]
fn enter_without_nesting() {
    let mut machine = Machine::new();
    machine.set(Gpr::Ebp, 0x1234);
    machine.run(&bytes("c8 20 00 00"));
    assert_eq!(machine.peek32(STACK - 4), 0x1234);
    assert_eq!((machine.get(Gpr::Ebp), machine.get(Gpr::Esp)), (STACK - 4, STACK - 0x24));
    machine.run(&bytes("c9"));
    assert_eq!((machine.get(Gpr::Ebp), machine.get(Gpr::Esp)), (0x1234, STACK));
}

#[test]
fn enter_copies_outer_frame_pointers() {
    let mut machine = Machine::new();
    machine.set(Gpr::Ebp, DATA);
    machine.poke32(DATA - 4, 0xaaaa);
    machine.poke32(DATA - 8, 0xbbbb);
    machine.run(&bytes("c8 10 00 03"));
    let frame: Vec<u32> = (1..=4).map(|n| machine.peek32(STACK - 4 * n)).collect();
    assert_eq!(frame, [DATA, 0xaaaa, 0xbbbb, STACK - 4]);
    assert_eq!((machine.get(Gpr::Ebp), machine.get(Gpr::Esp)), (STACK - 4, STACK - 0x20));
}

#[test]
fn enter_of_level_1_pushes_its_own_frame_pointer_and_levels_wrap_at_32() {
    for level in ["01", "21"] {
        let mut machine = Machine::new();
        machine.run(&bytes(&format!("c8 00 00 {level}")));
        assert_eq!(machine.peek32(STACK - 8), STACK - 4);
        assert_eq!((machine.get(Gpr::Ebp), machine.get(Gpr::Esp)), (STACK - 4, STACK - 8));
    }
}

#[test]
fn enter_reads_what_it_has_just_pushed() {
    let mut machine = Machine::new();
    // EBP - 4 is the first slot, which holds EBP by then.
    machine.set(Gpr::Ebp, STACK);
    machine.run(&bytes("c8 00 00 02"));
    assert_eq!((machine.peek32(STACK - 4), machine.peek32(STACK - 8)), (STACK, STACK));
}

#[test]
fn narrow_enter_and_leave() {
    let mut machine = Machine::new();
    machine.set(Gpr::Ebp, 0xaaaa_1234);
    machine.run(&bytes("66 c8 04 00 00"));
    assert_eq!(machine.peek16(STACK - 2), 0x1234);
    assert_eq!((machine.get(Gpr::Ebp), machine.get(Gpr::Esp)), (0xaaaa_0000 | (STACK - 2), STACK - 6));
    let mut machine = Machine::new();
    machine.stack16(0x7777_0100);
    machine.set(Gpr::Ebp, 0x5555_0200);
    machine.poke32(0x200, 0x1122_3344);
    machine.run(&bytes("c9"));
    assert_eq!((machine.get(Gpr::Ebp), machine.get(Gpr::Esp)), (0x1122_3344, 0x7777_0204));
    machine.set(Gpr::Ebp, 0x5555_0200);
    machine.run(&bytes("66 c9"));
    assert_eq!((machine.get(Gpr::Ebp), machine.get(Gpr::Esp)), (0x5555_3344, 0x7777_0202));
}

#[test]
fn enter_faults_when_the_final_stack_pointer_could_not_be_written() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(0x8000, 5);
    machine.poke32(0x97fc, 0x55);
    machine.set(Gpr::Esp, 0x9800);
    assert_eq!(
        machine.fault(&bytes("c8 00 09 00")),
        Exception::Pf { la: LinearAddr(0x8efc), code: 3 },
        "nothing is stored there, but it must be possible"
    );
    machine.page(0xa000, 0);
    machine.set(Gpr::Ebp, 0xa004);
    assert_eq!(machine.fault(&bytes("c8 00 00 02")), Exception::Pf { la: LinearAddr(0xa000), code: 0 });
    assert_eq!(machine.peek32(0x97fc), 0x55);
}

#[test]
fn leave_that_faults_leaves_esp() {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine.page(0xa000, 0);
    machine.set(Gpr::Ebp, 0xa000);
    assert_eq!(machine.fault(&bytes("c9")), Exception::Pf { la: LinearAddr(0xa000), code: 0 });
}

#[test]
fn real_mode_pusha_refuses_odd_stack_pointers() {
    let mut machine = Machine::new();
    machine.cpu.state.cr0 &= !cpu::cr::CR0_PE;
    for sp in [7, 9, 11, 13, 15] {
        machine.stack16(sp);
        assert_eq!(machine.fault(&bytes("66 60")), Exception::Gp(0));
    }
    machine.stack16(16);
    machine.run(&bytes("66 60"));
    assert_eq!((machine.get(Gpr::Esp), machine.cpu.state.eip), (0, CODE + 2));
}
