//! Far jumps, calls, returns and IRET.

use isa::{Gpr, SegReg, Width};
use marquetry_cpu::{Exception, Trap, eflags};

use crate::machine::{Machine, kind, sel};

fn gp(code: u16) -> Result<(), Trap> {
    Err(Trap::Exception(Exception::Gp(u32::from(code))))
}

fn cs(machine: &Machine) -> u16 {
    machine.cpu.state.segs[SegReg::Cs.index()].selector
}

#[test]
fn a_far_jump_enters_code_of_the_same_ring() {
    let mut machine = Machine::new();
    machine.cpu.far_jump(sel::CODE, 0x1234_5678, Width::B4).unwrap();
    assert_eq!((cs(&machine), machine.cpu.state.eip), (sel::CODE, 0x1234_5678));
    machine.cpu.far_jump(sel::CODE, 0x1234_5678, Width::B2).unwrap();
    assert_eq!(machine.cpu.state.eip, 0x5678);
    assert_eq!(machine.cpu.far_jump(0, 0, Width::B4), gp(0));
    assert_eq!(machine.cpu.far_jump(sel::DATA, 0, Width::B4), gp(sel::DATA));
    assert_eq!(machine.cpu.far_jump(sel::USER_CODE, 0, Width::B4), gp(sel::USER_CODE & !3));
    assert_eq!(machine.cpu.far_jump(sel::CODE | 1, 0, Width::B4), gp(sel::CODE));
}

#[test]
fn a_far_jump_checks_presence_then_the_limit() {
    let mut machine = Machine::new();
    machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::CODE & !kind::PRESENT);
    let free = u32::from(sel::FREE);
    assert_eq!(machine.cpu.far_jump(sel::FREE, 0x100, Width::B4), Err(Trap::Exception(Exception::Np(free))));
    let place = machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::CODE);
    assert_eq!(machine.cpu.far_jump(sel::FREE, 0x100, Width::B4), gp(0));
    assert_eq!(machine.peek(place + 4) & 0x100, 0, "a jump that fails leaves the accessed bit");
    assert_eq!(machine.cpu.far_jump(sel::FREE, 0xff, Width::B4), Ok(()));
    assert_eq!(machine.peek(place + 4) & 0x100, 0x100);
}

#[test]
fn conforming_code_keeps_the_ring() {
    let mut machine = Machine::new();
    machine.descriptor(sel::FREE >> 3, 0, 0xfffff, kind::CODE_CONFORMING | kind::PAGES);
    machine.ring3();
    machine.cpu.far_jump(sel::FREE, 0x40, Width::B4).unwrap();
    assert_eq!((cs(&machine), machine.cpu.state.cpl), (sel::FREE | 3, 3));
}

#[test]
fn gates_and_tasks_end_the_run_only_when_the_guest_may_use_them() {
    let mut machine = Machine::new();
    for (number, what) in [(12, "call gates"), (5, "task switching"), (9, "task switching")] {
        machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::system(number));
        assert_eq!(machine.cpu.far_jump(sel::FREE, 0, Width::B4), Err(Trap::Unsupported(what)));
        machine.cpu.state.cpl = 3;
        assert_eq!(machine.cpu.far_call(sel::FREE | 3, 0, Width::B4, 0), gp(sel::FREE));
        machine.cpu.state.cpl = 0;
    }
    assert_eq!(machine.cpu.far_jump(sel::TSS, 0, Width::B4), gp(sel::TSS), "busy");
}

#[test]
fn a_far_call_pushes_cs_and_the_return_address() {
    let mut machine = Machine::new();
    machine.cpu.set_gpr32(Gpr::Esp, 0x9000);
    machine.cpu.far_call(sel::CODE, 0x100, Width::B4, 0xdead_beef).unwrap();
    assert_eq!((machine.peek(0x8ff8), machine.peek(0x8ffc)), (0xdead_beef, u32::from(sel::CODE)));
    assert_eq!(machine.cpu.gpr32(Gpr::Esp), 0x8ff8);
    machine.cpu.far_call(sel::CODE, 0x100, Width::B2, 0x1234).unwrap();
    assert_eq!(machine.peek(0x8ff4), u32::from(sel::CODE) << 16 | 0x1234);
    machine.cpu.far_ret(0, Width::B2).unwrap();
    assert_eq!((machine.cpu.state.eip, machine.cpu.gpr32(Gpr::Esp)), (0x1234, 0x8ff8));
    machine.cpu.far_ret(8, Width::B4).unwrap();
    assert_eq!((machine.cpu.state.eip, machine.cpu.gpr32(Gpr::Esp)), (0xdead_beef, 0x9008));
}

#[test]
fn a_16_bit_stack_moves_only_sp() {
    let mut machine = Machine::new();
    machine.descriptor(sel::FREE >> 3, 0, 0xffff, kind::DATA);
    machine.cpu.load_segment(SegReg::Ss, sel::FREE).unwrap();
    machine.cpu.set_gpr32(Gpr::Esp, 0xabcd_0002);
    machine.cpu.far_call(sel::CODE, 0x100, Width::B2, 0x1234).unwrap();
    assert_eq!(machine.cpu.gpr32(Gpr::Esp), 0xabcd_fffe);
    assert_eq!((machine.peek(0) & 0xffff, machine.peek(0xfffc) >> 16), (u32::from(sel::CODE), 0x1234));
}

#[test]
fn a_far_call_without_room_changes_nothing() {
    let mut machine = Machine::new();
    machine.descriptor(sel::FREE >> 3, 0x8000, 0xff, kind::DATA | kind::WIDE);
    machine.cpu.load_segment(SegReg::Ss, sel::FREE).unwrap();
    machine.cpu.set_gpr32(Gpr::Esp, 4);
    let eip = machine.cpu.state.eip;
    assert_eq!(
        machine.cpu.far_call(sel::CODE, 0x100, Width::B4, 0x1234),
        Err(Trap::Exception(Exception::Ss(0)))
    );
    assert_eq!((machine.cpu.state.eip, machine.cpu.gpr32(Gpr::Esp), machine.peek(0x8000)), (eip, 4, 0));
}

#[test]
fn iret_to_ring_3_switches_stacks_and_clears_what_ring_3_may_not_use() {
    let mut machine = Machine::new();
    machine.cpu.load_segment(SegReg::Ds, sel::DATA).unwrap();
    machine.cpu.load_segment(SegReg::Es, sel::USER_DATA).unwrap();
    machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::CODE_CONFORMING);
    machine.cpu.load_segment(SegReg::Fs, sel::FREE).unwrap();
    machine.cpu.load_segment(SegReg::Gs, sel::CODE).unwrap();
    machine.frame(0x8f00, &[0x7000, u32::from(sel::USER_CODE), 0x3202, 0x6000, u32::from(sel::USER_DATA)]);
    machine.cpu.iret(Width::B4).unwrap();
    let selector = |seg: SegReg| machine.cpu.state.segs[seg.index()].selector;
    assert_eq!((machine.cpu.state.cpl, machine.cpu.state.eip), (3, 0x7000));
    assert_eq!((selector(SegReg::Cs), selector(SegReg::Ss)), (sel::USER_CODE, sel::USER_DATA));
    assert_eq!(machine.cpu.gpr32(Gpr::Esp), 0x6000);
    assert_eq!(machine.cpu.state.eflags, 0x3202);
    assert_eq!((selector(SegReg::Ds), selector(SegReg::Gs)), (0, 0));
    assert_eq!((selector(SegReg::Es), selector(SegReg::Fs)), (sel::USER_DATA, sel::FREE));
    assert_eq!(machine.cpu.state.segs[SegReg::Ds.index()].attrs, 0);
}

#[test]
fn iret_to_a_16_bit_stack_keeps_the_high_half_of_esp() {
    let mut machine = Machine::new();
    machine.descriptor(sel::FREE >> 3, 0, 0xffff, kind::DATA | kind::dpl(3));
    machine.frame(0x5_8f00, &[0x7000, u32::from(sel::USER_CODE), 2, 0x1111_6000, u32::from(sel::FREE | 3)]);
    machine.cpu.iret(Width::B4).unwrap();
    assert_eq!(machine.cpu.gpr32(Gpr::Esp), 0x5_6000);
}

#[test]
fn iret_checks_code_then_stack_and_changes_nothing_when_it_fails() {
    let user = u32::from(sel::USER_CODE);
    let stack = u32::from(sel::USER_DATA);
    for (frame, wanted) in [
        ([0, 0, 2, 0, stack], 0),
        ([0, 0x400, 2, 0, stack], 0x400),
        ([0, stack, 2, 0, stack], sel::USER_DATA & !3),
        ([0, user & !3, 2, 0, stack], sel::USER_CODE & !3),
        ([0, user, 2, 0, 0], 0),
        ([0, user, 2, 0, stack & !3], sel::USER_DATA & !3),
        ([0, user, 2, 0, u32::from(sel::DATA) | 3], sel::DATA),
        ([0, user, 2, 0, user], sel::USER_CODE & !3),
    ] {
        let mut machine = Machine::new();
        machine.frame(0x8f00, &frame);
        let before = machine.cpu.state.clone();
        assert_eq!(machine.cpu.iret(Width::B4), gp(wanted), "{frame:x?}");
        let after = &machine.cpu.state;
        assert_eq!(
            (after.gpr, after.segs, after.eflags, after.eip),
            (before.gpr, before.segs, before.eflags, before.eip)
        );
    }
}

#[test]
fn iret_in_ring_3_obeys_iopl_and_cannot_go_inwards() {
    let mut machine = Machine::new();
    machine.ring3();
    let user = u32::from(sel::USER_CODE);
    machine.frame(0x5f00, &[0x7000, user, eflags::IOPL | eflags::IF | eflags::CF | eflags::ID | eflags::VM]);
    machine.cpu.iret(Width::B4).unwrap();
    assert_eq!(machine.cpu.state.eflags, eflags::FIXED | eflags::CF | eflags::ID);
    machine.frame(0x5f00, &[0x7000, u32::from(sel::CODE), 2]);
    assert_eq!(machine.cpu.iret(Width::B4), gp(sel::CODE));
}

#[test]
fn iret_of_16_bits_pops_three_words() {
    let mut machine = Machine::new();
    machine.cpu.state.eflags |= eflags::ID;
    machine.frame(0x8f00, &[u32::from(sel::CODE) << 16 | 0x7000, eflags::CF]);
    machine.cpu.iret(Width::B2).unwrap();
    assert_eq!((machine.cpu.state.eip, machine.cpu.gpr32(Gpr::Esp)), (0x7000, 0x8f06));
    assert_eq!(machine.cpu.state.eflags, eflags::FIXED | eflags::CF | eflags::ID);
}

#[test]
fn iret_names_what_it_cannot_do() {
    let mut machine = Machine::new();
    machine.frame(0x8f00, &[0x7000, u32::from(sel::CODE), eflags::VM]);
    assert_eq!(machine.cpu.iret(Width::B4), Err(Trap::Unsupported("virtual-8086 mode")));
    machine.cpu.state.eflags |= eflags::NT;
    assert_eq!(machine.cpu.iret(Width::B4), Err(Trap::Exception(Exception::Ts(0))), "no task to return to");
    machine.poke(Machine::TSS, u32::from(sel::TSS));
    assert_eq!(machine.cpu.iret(Width::B4), Err(Trap::Unsupported("task switching")));
}

#[test]
fn far_ret_to_ring_3_releases_parameters_on_both_stacks() {
    let mut machine = Machine::new();
    machine.frame(
        0x8f00,
        &[0x7000, u32::from(sel::USER_CODE), 0xaaaa, 0xbbbb, 0x6000, u32::from(sel::USER_DATA)],
    );
    machine.cpu.far_ret(8, Width::B4).unwrap();
    assert_eq!((machine.cpu.state.cpl, machine.cpu.state.eip), (3, 0x7000));
    assert_eq!(machine.cpu.gpr32(Gpr::Esp), 0x6008);
}

#[test]
fn returns_check_the_limit_of_the_code_they_lead_to() {
    for outer in [0, 3_u32] {
        let mut machine = Machine::new();
        let place = machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::CODE | kind::dpl(outer));
        let code = u32::from(sel::FREE) | outer;
        machine.frame(0x8f00, &[0x100, code, 2, 0x6000, u32::from(sel::USER_DATA)]);
        assert_eq!(machine.cpu.iret(Width::B4), gp(0));
        if outer == 0 {
            assert_eq!(machine.cpu.far_ret(0, Width::B4), gp(0));
        }
        assert_eq!((machine.cpu.gpr32(Gpr::Esp), machine.peek(place + 4) & 0x100), (0x8f00, 0));
        machine.poke(0x8f00, 0xff);
        assert_eq!(machine.cpu.iret(Width::B4), Ok(()));
        assert_eq!((machine.cpu.state.cpl, machine.cpu.state.eip), (outer as u8, 0xff));
    }
}
