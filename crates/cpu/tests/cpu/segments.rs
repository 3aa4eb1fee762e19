//! Segment checks, segment loads, and the instructions that look at descriptors.

use base::{AccessSize, LinearAddr};
use isa::SegReg;
use marquetry_cpu::{Exception, Trap};

use crate::machine::{Machine, kind, sel};

/// Loads a segment of ring 0 and gives the outcome of one access to it.
fn access(machine: &mut Machine, off: u32, size: AccessSize, write: bool) -> Result<LinearAddr, Exception> {
    machine.cpu.check_segment(SegReg::Es, off, size, write)
}

fn load_free(machine: &mut Machine, base: u32, raw_limit: u32, bits: u32) {
    machine.descriptor(sel::FREE >> 3, base, raw_limit, bits);
    machine.cpu.load_segment(SegReg::Es, sel::FREE).unwrap();
}

#[test]
fn an_access_must_end_at_or_before_the_limit() {
    let mut machine = Machine::new();
    load_free(&mut machine, 0x2000, 0xff, kind::DATA | kind::WIDE);
    let gp = Err(Exception::Gp(0));
    assert_eq!(access(&mut machine, 0xff, AccessSize::B1, true), Ok(LinearAddr(0x20ff)));
    assert_eq!(access(&mut machine, 0xfc, AccessSize::B4, false), Ok(LinearAddr(0x20fc)));
    assert_eq!(access(&mut machine, 0xfd, AccessSize::B4, false), gp);
    assert_eq!(access(&mut machine, 0x100, AccessSize::B1, false), gp);
    assert_eq!(access(&mut machine, 0xffff_fffe, AccessSize::B4, false), gp);
}

#[test]
fn a_page_granular_limit_includes_its_last_page() {
    let mut machine = Machine::new();
    load_free(&mut machine, 0, 1, kind::DATA | kind::WIDE | kind::PAGES);
    assert_eq!(access(&mut machine, 0x1fff, AccessSize::B1, false), Ok(LinearAddr(0x1fff)));
    assert_eq!(access(&mut machine, 0x2000, AccessSize::B1, false), Err(Exception::Gp(0)));
}

#[test]
fn an_expand_down_segment_holds_what_lies_above_the_limit() {
    let mut machine = Machine::new();
    let gp = Err(Exception::Gp(0));
    load_free(&mut machine, 0x10, 0xfff, kind::DOWN);
    assert_eq!(access(&mut machine, 0xfff, AccessSize::B1, true), gp);
    assert_eq!(access(&mut machine, 0x1000, AccessSize::B4, true), Ok(LinearAddr(0x1010)));
    assert_eq!(access(&mut machine, 0xfffe, AccessSize::B2, false), Ok(LinearAddr(0x1_000e)));
    assert_eq!(access(&mut machine, 0xffff, AccessSize::B2, false), gp);
    assert_eq!(access(&mut machine, 0x1_0000, AccessSize::B1, false), gp);
    load_free(&mut machine, 0x10, 0xfff, kind::DOWN | kind::WIDE);
    assert_eq!(access(&mut machine, 0x1_0000, AccessSize::B1, false), Ok(LinearAddr(0x1_0010)));
    assert_eq!(access(&mut machine, 0xffff_ffff, AccessSize::B1, false), Ok(LinearAddr(0xf)));
    assert_eq!(access(&mut machine, 0xffff_ffff, AccessSize::B2, false), gp);
    load_free(&mut machine, 0, 0xf_ffff, kind::DOWN | kind::WIDE | kind::PAGES);
    assert_eq!(
        access(&mut machine, 0x1000, AccessSize::B1, false),
        gp,
        "an expand-down segment of 4 GiB is empty"
    );
}

#[test]
fn the_type_decides_what_may_be_done() {
    let mut machine = Machine::new();
    for (bits, read, write) in [
        (kind::DATA, true, true),
        (kind::READ_ONLY, true, false),
        (kind::CODE, true, false),
        (kind::CODE_CONFORMING, true, false),
    ] {
        load_free(&mut machine, 0, 0xf_ffff, bits | kind::WIDE | kind::PAGES);
        assert_eq!(access(&mut machine, 0, AccessSize::B4, false).is_ok(), read, "{bits:x}");
        assert_eq!(access(&mut machine, 0, AccessSize::B4, true).is_ok(), write, "{bits:x}");
    }
    machine.cpu.load_segment(SegReg::Es, 3).unwrap();
    assert_eq!(machine.cpu.state.segs[SegReg::Es.index()].selector, 3);
    assert_eq!(access(&mut machine, 0, AccessSize::B1, false), Err(Exception::Gp(0)), "null");
    machine.cpu.state.segs[SegReg::Es.index()].attrs = 0x4098;
    machine.cpu.state.segs[SegReg::Es.index()].limit = u32::MAX;
    assert_eq!(access(&mut machine, 0, AccessSize::B1, false), Err(Exception::Gp(0)), "execute-only");
}

#[test]
fn the_stack_segment_faults_with_ss() {
    let mut machine = Machine::new();
    machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::DATA | kind::WIDE);
    machine.cpu.load_segment(SegReg::Ss, sel::FREE).unwrap();
    assert_eq!(machine.cpu.check_segment(SegReg::Ss, 0x100, AccessSize::B1, true), Err(Exception::Ss(0)));
}

#[test]
fn offsets_wrap_at_4_gib_in_a_flat_segment() {
    let mut machine = Machine::new();
    assert_eq!(
        machine.cpu.check_segment(SegReg::Ds, 0xffff_fffe, AccessSize::B4, true),
        Ok(LinearAddr(0xffff_fffe))
    );
}

#[test]
fn a_data_segment_must_be_reachable_for_cpl_and_rpl() {
    for (cpl, rpl, dpl) in (0..64).map(|n| (n & 3, n >> 2 & 3, n >> 4)) {
        let mut machine = Machine::new();
        machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::DATA | kind::dpl(dpl));
        machine.cpu.state.cpl = cpl as u8;
        let outcome = machine.cpu.load_segment(SegReg::Gs, sel::FREE | rpl as u16);
        let wanted = if cpl.max(rpl) <= dpl {
            Ok(())
        } else {
            Err(Trap::Exception(Exception::Gp(u32::from(sel::FREE))))
        };
        assert_eq!(outcome, wanted, "cpl {cpl} rpl {rpl} dpl {dpl}");
        let outcome = machine.cpu.load_segment(SegReg::Ss, sel::FREE | rpl as u16);
        let wanted = if cpl == rpl && rpl == dpl {
            Ok(())
        } else {
            Err(Trap::Exception(Exception::Gp(u32::from(sel::FREE))))
        };
        assert_eq!(outcome, wanted, "ss: cpl {cpl} rpl {rpl} dpl {dpl}");
    }
}

#[test]
fn conforming_code_can_be_loaded_from_every_ring() {
    let mut machine = Machine::new();
    machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::CODE_CONFORMING);
    machine.cpu.state.cpl = 3;
    assert_eq!(machine.cpu.load_segment(SegReg::Ds, sel::FREE | 3), Ok(()));
}

#[test]
fn a_load_checks_in_the_manuals_order() {
    let mut machine = Machine::new();
    let cpu = &mut machine.cpu;
    let gp = |code| Err(Trap::Exception(Exception::Gp(code)));
    assert_eq!(cpu.load_segment(SegReg::Cs, sel::DATA), Err(Trap::Exception(Exception::Ud)));
    assert_eq!(cpu.load_segment(SegReg::Ss, 2), gp(0), "null");
    assert_eq!(cpu.load_segment(SegReg::Ds, 0x403), gp(0x400), "outside the table");
    assert_eq!(cpu.load_segment(SegReg::Ds, sel::DATA | 4), gp(u32::from(sel::DATA | 4)), "no local table");
    assert_eq!(cpu.load_segment(SegReg::Ds, sel::TSS), gp(u32::from(sel::TSS)), "system");
    assert_eq!(cpu.load_segment(SegReg::Ss, sel::CODE), gp(u32::from(sel::CODE)), "code");
    cpu.state.gdtr.limit = 0x36;
    assert_eq!(cpu.load_segment(SegReg::Ds, sel::RING2_DATA), gp(0x30), "partly outside the table");
    cpu.state.gdtr.limit = 0x37;
    assert_eq!(cpu.load_segment(SegReg::Ds, sel::RING2_DATA), Ok(()));
    cpu.state.gdtr.limit = 0x3f;
    let free = u32::from(sel::FREE);
    machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::DATA & !kind::PRESENT);
    assert_eq!(machine.cpu.load_segment(SegReg::Ds, sel::FREE), Err(Trap::Exception(Exception::Np(free))));
    assert_eq!(machine.cpu.load_segment(SegReg::Ss, sel::FREE), Err(Trap::Exception(Exception::Ss(free))));
    machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::CODE & !kind::PRESENT & !0x200);
    assert_eq!(machine.cpu.load_segment(SegReg::Ds, sel::FREE), gp(free), "type before presence");
}

#[test]
fn a_load_sets_the_accessed_bit_in_memory_and_a_failed_one_does_not() {
    let mut machine = Machine::new();
    let place = machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::DATA);
    machine.cpu.state.cpl = 1;
    assert!(machine.cpu.load_segment(SegReg::Es, sel::FREE).is_err());
    assert_eq!(machine.peek(place + 4) & 0x100, 0);
    machine.cpu.state.cpl = 0;
    machine.cpu.load_segment(SegReg::Es, sel::FREE).unwrap();
    assert_eq!(machine.peek(place + 4) & 0x100, 0x100);
    assert_eq!(machine.cpu.state.segs[SegReg::Es.index()].attrs & 1, 1);
}

#[test]
fn ltr_marks_the_tss_busy_and_refuses_a_busy_one() {
    let mut machine = Machine::new();
    assert_eq!(machine.peek(machine.gdt(sel::TSS >> 3) + 4) & 0xf00, 0xb00);
    assert_eq!(machine.cpu.state.tr.base, u64::from(Machine::TSS));
    assert_eq!(machine.cpu.ltr(sel::TSS), Err(Trap::Exception(Exception::Gp(u32::from(sel::TSS)))));
    assert_eq!(machine.cpu.ltr(0), Err(Trap::Exception(Exception::Gp(0))));
    assert_eq!(machine.cpu.ltr(sel::DATA), Err(Trap::Exception(Exception::Gp(u32::from(sel::DATA)))));
    machine.cpu.state.cpl = 3;
    assert_eq!(machine.cpu.ltr(sel::TSS), Err(Trap::Exception(Exception::Gp(0))));
}

#[test]
fn lldt_takes_the_null_selector_only() {
    let mut machine = Machine::new();
    assert_eq!(machine.cpu.lldt(0), Ok(()));
    assert_eq!(machine.cpu.lldt(sel::DATA), Err(Trap::Exception(Exception::Gp(u32::from(sel::DATA)))));
    machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::system(2));
    assert_eq!(machine.cpu.lldt(sel::FREE), Err(Trap::Unsupported("LDT")));
}

#[test]
fn verr_verw_lar_and_lsl_see_what_the_ring_may_reach() {
    let mut machine = Machine::new();
    let cpu = &mut machine.cpu;
    assert_eq!((cpu.verr(sel::DATA), cpu.verw(sel::DATA)), (Ok(true), Ok(true)));
    assert_eq!((cpu.verr(sel::CODE), cpu.verw(sel::CODE)), (Ok(true), Ok(false)));
    assert_eq!((cpu.verr(sel::DATA | 3), cpu.verr(sel::TSS), cpu.verr(0)), (Ok(false), Ok(false), Ok(false)));
    assert_eq!(cpu.lar(sel::CODE), Ok(Some(0x00c0_9a00)));
    assert_eq!((cpu.lsl(sel::CODE), cpu.lsl(sel::TSS)), (Ok(Some(u32::MAX)), Ok(Some(0x2000))));
    assert_eq!((cpu.lar(sel::DATA | 3), cpu.lsl(0x400)), (Ok(None), Ok(None)));
    machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::system(12));
    assert!(machine.cpu.lar(sel::FREE).unwrap().is_some());
    assert_eq!(machine.cpu.lsl(sel::FREE), Ok(None));
    machine.descriptor(sel::FREE >> 3, 0, 0xff, kind::system(14));
    assert_eq!(machine.cpu.lar(sel::FREE), Ok(None));
}

#[test]
fn real_mode_loads_shift_the_selector() {
    let mut machine = Machine::new();
    machine.cpu.reset();
    machine.cpu.load_segment(SegReg::Ds, 0x1234).unwrap();
    let segment = machine.cpu.state.segs[SegReg::Ds.index()];
    assert_eq!((segment.base, segment.limit, segment.selector), (0x1_2340, 0xffff, 0x1234));
    assert_eq!(machine.cpu.verr(8), Err(Trap::Exception(Exception::Ud)));
}
