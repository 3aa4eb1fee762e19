//! Exceptions and interrupts through the IDT.

use base::LinearAddr;
use isa::{Gpr, SegReg, Width};
use marquetry_cpu::{Exception, SoftwareInterrupt, Trap, eflags, leave};

use crate::machine::{Machine, gate, kind, sel};

/// A machine whose handlers of all vectors are 32-bit interrupt gates to ring 0, at 0xf000 + vector.
fn machine() -> Machine {
    let mut machine = Machine::new();
    for vector in 0..=255 {
        machine.gate(vector, sel::CODE, 0xf000 + u32::from(vector), gate::INTERRUPT);
    }
    machine.cpu.state.eip = 0x7000;
    machine.cpu.set_gpr32(Gpr::Esp, 0x9000);
    machine
}

fn words<const N: usize>(machine: &Machine, from: u32) -> [u32; N] {
    std::array::from_fn(|n| machine.peek(from + 4 * n as u32))
}

#[test]
fn a_fault_in_the_same_ring_pushes_error_eip_cs_and_flags_with_rf() {
    let mut machine = machine();
    machine.cpu.state.eflags = eflags::FIXED | eflags::IF | eflags::TF | eflags::NT | eflags::CF;
    machine.cpu.state.halted = true;
    machine.cpu.state.leave = 0;
    machine.cpu.deliver(Exception::Gp(0x1234)).unwrap();
    let pushed = eflags::FIXED | eflags::IF | eflags::TF | eflags::NT | eflags::CF | eflags::RF;
    assert_eq!(words(&machine, 0x8ff0), [0x1234, 0x7000, u32::from(sel::CODE), pushed]);
    let state = &machine.cpu.state;
    assert_eq!((machine.cpu.gpr32(Gpr::Esp), state.eip), (0x8ff0, 0xf00d));
    assert_eq!(state.eflags, eflags::FIXED | eflags::CF);
    assert!(!state.halted && state.leave & leave::MODE != 0);
}

#[test]
fn an_interrupt_has_no_error_code_and_leaves_rf_clear() {
    let mut machine = machine();
    machine.cpu.state.eflags |= eflags::IF;
    machine.cpu.interrupt(0x20).unwrap();
    assert_eq!(words(&machine, 0x8ff4), [0x7000, u32::from(sel::CODE), eflags::FIXED | eflags::IF]);
    assert_eq!(machine.cpu.state.eip, 0xf020);
    assert_eq!(machine.cpu.state.eflags, eflags::FIXED);
}

#[test]
fn lazy_flags_are_pushed_as_they_are() {
    let mut machine = machine();
    machine.cpu.state.cc_op = marquetry_cpu::flags::CcOp::new(marquetry_cpu::flags::CcKind::Logic, 4);
    machine.cpu.state.cc_a = 0;
    machine.cpu.interrupt(0x20).unwrap();
    assert_eq!(machine.peek(0x8ffc), eflags::FIXED | eflags::ZF | eflags::PF);
}

#[test]
fn a_trap_gate_leaves_if() {
    let mut machine = machine();
    machine.gate(0x20, sel::CODE, 0xf020, gate::TRAP);
    machine.cpu.state.eflags |= eflags::IF | eflags::TF;
    machine.cpu.interrupt(0x20).unwrap();
    assert_eq!(machine.cpu.state.eflags, eflags::FIXED | eflags::IF);
}

#[test]
fn a_16_bit_gate_pushes_words() {
    let mut machine = machine();
    machine.gate(13, sel::CODE, 0xffff_f00d, gate::INTERRUPT_16);
    machine.cpu.state.eip = 0x1_7000;
    machine.cpu.deliver(Exception::Gp(0x8)).unwrap();
    assert_eq!(machine.cpu.gpr32(Gpr::Esp), 0x8ff8);
    assert_eq!(
        words(&machine, 0x8ff8),
        [0x7000_0008, u32::from(eflags::FIXED as u16) << 16 | u32::from(sel::CODE)]
    );
    assert_eq!(machine.cpu.state.eip, 0xf00d);
}

#[test]
fn a_handler_in_an_inner_ring_gets_the_stack_of_the_tss() {
    let mut machine = machine();
    machine.ring3();
    machine.cpu.set_gpr32(Gpr::Esp, 0x5f00);
    machine.cpu.state.eip = 0x7000;
    machine.cpu.deliver(Exception::Pf { la: LinearAddr(0xcafe), code: 6 }).unwrap();
    let flags = eflags::FIXED | eflags::RF;
    let (ss, cs) = (u32::from(sel::USER_DATA), u32::from(sel::USER_CODE));
    assert_eq!(words(&machine, Machine::STACK_0 - 24), [6, 0x7000, cs, flags, 0x5f00, ss]);
    let state = &machine.cpu.state;
    assert_eq!((machine.cpu.gpr32(Gpr::Esp), state.eip, state.cr2), (Machine::STACK_0 - 24, 0xf00e, 0xcafe));
    assert_eq!((state.cpl, state.segs[SegReg::Cs.index()].selector), (0, sel::CODE));
    assert_eq!(state.segs[SegReg::Ss.index()].selector, sel::DATA);
    assert_eq!(
        machine.cpu.far_ret(0, Width::B4),
        Err(Trap::Exception(Exception::Gp(0x7000))),
        "not a frame of RET"
    );
    machine.cpu.set_gpr32(Gpr::Esp, Machine::STACK_0 - 20);
    machine.cpu.iret(Width::B4).unwrap();
    assert_eq!((machine.cpu.state.cpl, machine.cpu.gpr32(Gpr::Esp)), (3, 0x5f00));
}

#[test]
fn a_16_bit_tss_gives_16_bit_stack_pointers() {
    let mut machine = machine();
    machine.ring3();
    machine.cpu.state.tr.attrs &= !8;
    machine.poke(Machine::TSS, 0xabcd_0000);
    machine.poke(Machine::TSS + 4, u32::from(sel::DATA));
    machine.cpu.interrupt(0x20).unwrap();
    assert_eq!(machine.cpu.gpr32(Gpr::Esp), 0xabcd - 20);
}

#[test]
fn a_conforming_handler_stays_in_the_ring() {
    let mut machine = machine();
    machine.descriptor(sel::FREE >> 3, 0, 0xf_ffff, kind::CODE_CONFORMING | kind::WIDE | kind::PAGES);
    machine.gate(0x20, sel::FREE, 0xf020, gate::INTERRUPT);
    machine.ring3();
    machine.cpu.set_gpr32(Gpr::Esp, 0x5f00);
    machine.cpu.interrupt(0x20).unwrap();
    let state = &machine.cpu.state;
    assert_eq!((state.cpl, state.segs[SegReg::Cs.index()].selector), (3, sel::FREE | 3));
    assert_eq!(machine.cpu.gpr32(Gpr::Esp), 0x5f00 - 12);
}

#[test]
fn int_n_obeys_the_gates_dpl_and_int1_does_not() {
    let mut machine = machine();
    machine.ring3();
    let before = machine.cpu.state.clone();
    let refused = machine.cpu.software_interrupt(0x80, SoftwareInterrupt::Int, 0x7002);
    assert_eq!(refused, Err(Trap::Exception(Exception::Gp(0x80 * 8 + 2))));
    let refused = machine.cpu.software_interrupt(3, SoftwareInterrupt::Int3, 0x7001);
    assert_eq!(refused, Err(Trap::Exception(Exception::Gp(3 * 8 + 2))));
    let after = &machine.cpu.state;
    assert_eq!((after.gpr, after.segs, after.eip), (before.gpr, before.segs, before.eip));
    machine.cpu.software_interrupt(1, SoftwareInterrupt::Int1, 0x7001).unwrap();
    assert_eq!(machine.peek(Machine::STACK_0 - 20), 0x7001);
    machine.ring3();
    machine.gate(0x80, sel::CODE, 0xf080, gate::TRAP | kind::dpl(3));
    machine.cpu.software_interrupt(0x80, SoftwareInterrupt::Int, 0x7002).unwrap();
    assert_eq!((machine.peek(Machine::STACK_0 - 20), machine.cpu.state.eip), (0x7002, 0xf080));
}

#[test]
fn int_n_reports_the_gate_in_the_manuals_order() {
    let mut machine = machine();
    let int =
        |machine: &mut Machine, vector| machine.cpu.software_interrupt(vector, SoftwareInterrupt::Int, 0);
    machine.gate(0x30, sel::CODE, 0, gate::INTERRUPT & !kind::PRESENT);
    assert_eq!(int(&mut machine, 0x30), Err(Trap::Exception(Exception::Np(0x30 * 8 + 2))));
    machine.gate(0x30, sel::CODE, 0, kind::system(12));
    assert_eq!(int(&mut machine, 0x30), Err(Trap::Exception(Exception::Gp(0x30 * 8 + 2))), "call gate");
    machine.gate(0x30, sel::TSS, 0, kind::system(5));
    assert_eq!(int(&mut machine, 0x30), Err(Trap::Unsupported("task gates")));
    machine.gate(0x30, 0, 0, gate::INTERRUPT);
    assert_eq!(int(&mut machine, 0x30), Err(Trap::Exception(Exception::Gp(0))), "null code segment");
    machine.gate(0x30, sel::DATA, 0, gate::INTERRUPT);
    assert_eq!(int(&mut machine, 0x30), Err(Trap::Exception(Exception::Gp(u32::from(sel::DATA)))));
    machine.gate(0x30, sel::USER_CODE, 0, gate::INTERRUPT);
    let outer = Exception::Gp(u32::from(sel::USER_CODE & !3));
    assert_eq!(int(&mut machine, 0x30), Err(Trap::Exception(outer)), "a handler in an outer ring");
    machine.cpu.state.idtr.limit = 0x30 * 8 + 6;
    assert_eq!(int(&mut machine, 0x30), Err(Trap::Exception(Exception::Gp(0x30 * 8 + 2))), "past the limit");
}

#[test]
fn a_bad_inner_stack_is_ts_or_ss_with_its_selector() {
    for (ss, esp, wanted) in [
        (0, 0x9000, Exception::Ts(0)),
        (0x400, 0x9000, Exception::Ts(0x400)),
        (u32::from(sel::USER_DATA), 0x9000, Exception::Ts(u32::from(sel::USER_DATA & !3))),
        (u32::from(sel::CODE), 0x9000, Exception::Ts(u32::from(sel::CODE))),
        (u32::from(sel::DATA | 1), 0x9000, Exception::Ts(u32::from(sel::DATA))),
        (u32::from(sel::FREE), 0x14, Exception::Ss(u32::from(sel::FREE))),
    ] {
        let mut machine = machine();
        machine.descriptor(sel::FREE >> 3, 0x8000, 0xff, kind::DATA | kind::WIDE | 0x100);
        machine.gate(0x80, sel::CODE, 0, gate::TRAP | kind::dpl(3));
        machine.ring3();
        machine.poke(Machine::TSS + 4, esp);
        machine.poke(Machine::TSS + 8, ss);
        let outcome = machine.cpu.software_interrupt(0x80, SoftwareInterrupt::Int, 0);
        if ss == u32::from(sel::FREE) {
            assert_eq!(outcome, Ok(()), "room for exactly five values");
            machine.ring3();
            machine.poke(Machine::TSS + 4, esp - 4);
            let outcome = machine.cpu.software_interrupt(0x80, SoftwareInterrupt::Int, 0);
            assert_eq!(outcome, Err(Trap::Exception(wanted)));
        } else {
            assert_eq!(outcome, Err(Trap::Exception(wanted)));
        }
        assert_eq!(machine.cpu.state.cpl, 3);
    }
    let mut machine = machine();
    machine.ring3();
    machine.cpu.state.tr.limit = 8;
    machine.gate(0x80, sel::CODE, 0, gate::TRAP | kind::dpl(3));
    let outcome = machine.cpu.software_interrupt(0x80, SoftwareInterrupt::Int, 0);
    assert_eq!(outcome, Err(Trap::Exception(Exception::Ts(u32::from(sel::TSS)))));
}

#[test]
fn what_a_benign_exception_raises_is_delivered_with_ext() {
    let mut machine = machine();
    machine.gate(6, sel::CODE, 0, gate::INTERRUPT & !kind::PRESENT);
    machine.cpu.deliver(Exception::Ud).unwrap();
    assert_eq!((machine.cpu.state.eip, machine.peek(0x8ff0)), (0xf00b, 6 * 8 + 2 + 1));
    machine.gate(0x20, sel::DATA, 0, gate::INTERRUPT);
    machine.cpu.interrupt(0x20).unwrap();
    assert_eq!((machine.cpu.state.eip, machine.peek(0x8fe0)), (0xf00d, u32::from(sel::DATA) + 1));
}

#[test]
fn two_contributory_exceptions_make_a_double_fault() {
    for first in [Exception::De, Exception::Ts(8), Exception::Np(8), Exception::Ss(8), Exception::Gp(8)] {
        let mut machine = machine();
        machine.gate(first.vector(), sel::CODE, 0, gate::INTERRUPT & !kind::PRESENT);
        machine.cpu.deliver(first).unwrap();
        assert_eq!((machine.cpu.state.eip, machine.peek(0x8ff0)), (0xf008, 0), "{first:?}");
        assert_eq!(machine.peek(0x8ffc) & eflags::RF, 0, "an abort, no fault");
    }
}

#[test]
fn a_page_fault_and_another_exception_make_a_double_fault() {
    let mut machine = machine();
    machine.gate(14, sel::CODE, 0, gate::INTERRUPT & !kind::PRESENT);
    machine.cpu.deliver(Exception::Pf { la: LinearAddr(0x123), code: 0 }).unwrap();
    assert_eq!((machine.cpu.state.eip, machine.cpu.state.cr2), (0xf008, 0x123));
}

#[test]
fn a_page_fault_after_a_contributory_exception_is_delivered() {
    let mut machine = machine();
    machine.identity_paging();
    machine.unmap(0xa000);
    machine.ring3();
    machine.poke(Machine::TSS + 0x18, u32::from(sel::RING2_DATA));
    machine.descriptor(sel::FREE >> 3, 0, 0xf_ffff, kind::CODE | kind::WIDE | kind::PAGES | kind::dpl(2));
    machine.poke(Machine::TSS + 0x14, 0xa800);
    machine.gate(13, sel::FREE | 2, 0xf00d, gate::INTERRUPT);
    machine.cpu.deliver(Exception::Gp(0)).unwrap();
    assert_eq!((machine.cpu.state.eip, machine.cpu.state.cr2, machine.cpu.state.cpl), (0xf00e, 0xa7fc, 0));
    assert_eq!(machine.peek(Machine::STACK_0 - 24), 2, "a supervisor's write to a page that is not there");
}

#[test]
fn a_page_fault_while_a_page_fault_is_delivered_is_double_and_the_next_ends_it() {
    let mut machine = machine();
    machine.identity_paging();
    machine.unmap(0x8000);
    machine.cpu.state.eip = 0x7000;
    machine.cpu.set_gpr32(Gpr::Esp, 0x8800);
    let outcome = machine.cpu.deliver(Exception::Pf { la: LinearAddr(0x123), code: 0 });
    assert_eq!(outcome, Err(Trap::Shutdown));
    assert_eq!((machine.cpu.state.eip, machine.cpu.gpr32(Gpr::Esp)), (0x7000, 0x8800));
}

#[test]
fn a_double_fault_without_handler_is_a_shutdown() {
    let mut machine = machine();
    machine.cpu.state.idtr.limit = 0;
    assert_eq!(machine.cpu.deliver(Exception::Ud), Err(Trap::Shutdown));
    assert_eq!(machine.cpu.interrupt(0x20), Err(Trap::Shutdown));
}

#[test]
fn pushes_that_fault_leave_no_trace() {
    let mut machine = machine();
    machine.identity_paging();
    machine.unmap(0x8000);
    machine.cpu.set_gpr32(Gpr::Esp, 0x9008);
    let eip = machine.cpu.state.eip;
    let outcome = machine.cpu.software_interrupt(0x30, SoftwareInterrupt::Int, 0);
    assert_eq!(outcome, Err(Trap::Exception(Exception::Pf { la: LinearAddr(0x8ffc), code: 2 })));
    assert_eq!((machine.cpu.state.eip, machine.cpu.gpr32(Gpr::Esp)), (eip, 0x9008));
    assert_eq!((machine.peek(0x9000), machine.peek(0x9004)), (0, 0));
}

#[test]
fn a_debug_exception_clears_gd() {
    let mut machine = machine();
    machine.cpu.write_dr(7, 1 << 13).unwrap();
    assert_eq!(machine.cpu.read_dr(0), Err(Trap::Exception(Exception::Db)));
    assert_eq!(machine.cpu.state.dr[6] & 1 << 13, 1 << 13);
    machine.cpu.deliver(Exception::Db).unwrap();
    assert_eq!(machine.cpu.read_dr(7), Ok(0x400));
}

#[test]
fn real_mode_is_named() {
    let mut machine = machine();
    machine.cpu.reset();
    assert_eq!(machine.cpu.deliver(Exception::Ud), Err(Trap::Unsupported("real mode")));
}

#[test]
fn the_handler_must_lie_inside_its_code_segment() {
    let mut machine = machine();
    machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::CODE | kind::WIDE);
    machine.gate(0x30, sel::FREE, 0x100, gate::INTERRUPT);
    let refused = machine.cpu.software_interrupt(0x30, SoftwareInterrupt::Int, 0);
    assert_eq!(refused, Err(Trap::Exception(Exception::Gp(0))));
    machine.cpu.interrupt(0x30).unwrap();
    assert_eq!((machine.cpu.state.eip, machine.peek(0x8ff0)), (0xf00d, 1), "EXT");
}
