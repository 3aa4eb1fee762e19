//! Control and debug registers, EFLAGS, MSRs, CPUID, reset.

use isa::{Gpr, SegReg, Width};
use marquetry_cpu::{Exception, Trap, cr, eflags, leave};

use crate::machine::Machine;

const GP: Exception = Exception::Gp(0);

fn gp<T>() -> Result<T, Trap> {
    Err(Trap::Exception(GP))
}

#[test]
fn cr0_refuses_impossible_combinations() {
    let mut machine = Machine::new();
    assert_eq!(machine.cpu.write_cr(0, cr::CR0_PG), gp(), "paging without protection");
    assert_eq!(machine.cpu.write_cr(0, cr::CR0_PE | cr::CR0_NW), gp(), "NW without CD");
    assert_eq!(machine.cpu.write_cr(0, 0), Err(Trap::Unsupported("real mode")));
    machine.cpu.state.leave = 0;
    machine.cpu.write_cr(0, cr::CR0_PE | cr::CR0_WP | 0x0ff0_0000).unwrap();
    assert_eq!(
        machine.cpu.read_cr(0),
        Ok(cr::CR0_PE | cr::CR0_WP | cr::CR0_ET),
        "reserved bits stay 0, ET 1"
    );
    assert_ne!(machine.cpu.state.leave & leave::MODE, 0);
    assert_eq!(machine.cpu.read_cr(1), Err(Trap::Exception(Exception::Ud)));
    machine.cpu.state.cpl = 1;
    assert_eq!(machine.cpu.write_cr(0, cr::CR0_PE), gp());
    assert_eq!(machine.cpu.read_cr(3), gp());
}

#[test]
fn cr4_takes_the_features_that_cpuid_names() {
    let mut machine = Machine::new();
    for bit in 0..32 {
        let offered = [2, 3, 4].contains(&bit);
        assert_eq!(machine.cpu.write_cr(4, 1 << bit).is_ok(), offered, "bit {bit}");
    }
}

#[test]
fn lmsw_sets_pe_but_cannot_clear_it() {
    let mut machine = Machine::new();
    machine.cpu.reset();
    machine.cpu.lmsw(0xffff).unwrap();
    assert_eq!(machine.cpu.smsw() & 0xffff, 0x1f);
    machine.cpu.lmsw(0).unwrap();
    assert_eq!(machine.cpu.smsw() & 0xffff, 0x11);
    machine.cpu.lmsw(8).unwrap();
    machine.cpu.clts().unwrap();
    assert_eq!(machine.cpu.smsw() & 0xffff, 0x11);
    machine.cpu.state.cpl = 3;
    assert_eq!((machine.cpu.clts(), machine.cpu.lmsw(0)), (gp(), gp()));
}

#[test]
fn debug_registers_4_and_5_are_aliases_until_de() {
    let mut machine = Machine::new();
    machine.cpu.write_dr(4, 0xffff_ffff).unwrap();
    assert_eq!(machine.cpu.read_dr(6), Ok(0xffff_efff));
    machine.cpu.write_dr(5, 0x55).unwrap();
    assert_eq!(machine.cpu.read_dr(7), Ok(0x455));
    machine.cpu.write_cr(4, cr::CR4_DE).unwrap();
    assert_eq!(machine.cpu.read_dr(4), Err(Trap::Exception(Exception::Ud)));
    assert_eq!(machine.cpu.write_dr(0, 0x1234), Ok(()));
    machine.cpu.state.cpl = 3;
    assert_eq!(machine.cpu.read_dr(0), gp());
}

#[test]
fn popf_obeys_cpl_and_iopl() {
    let all = u32::MAX;
    for (cpl, iopl) in (0..16).map(|n| (n & 3, n >> 2)) {
        let mut machine = Machine::new();
        machine.cpu.state.cpl = cpl as u8;
        machine.cpu.state.eflags = eflags::FIXED | iopl << 12 | eflags::RF;
        machine.cpu.write_eflags_popf(all, Width::B4);
        let mut wanted =
            eflags::FIXED | eflags::STATUS | eflags::TF | eflags::DF | eflags::NT | eflags::AC | eflags::ID;
        wanted |= if cpl == 0 { eflags::IOPL } else { iopl << 12 };
        wanted |= if cpl <= iopl { eflags::IF } else { 0 };
        assert_eq!(machine.cpu.state.eflags, wanted, "cpl {cpl} iopl {iopl}");
        machine.cpu.write_eflags_popf(0, Width::B2);
        let left = machine.cpu.state.eflags & !eflags::IOPL;
        assert_eq!(left, eflags::FIXED | eflags::AC | eflags::ID, "16 bits leave the high half");
    }
}

#[test]
fn popf_that_opens_interrupts_leaves_translated_code() {
    let mut machine = Machine::new();
    machine.cpu.state.leave = 0;
    machine.cpu.write_eflags_popf(eflags::CF, Width::B4);
    assert_eq!(machine.cpu.state.leave, 0);
    machine.cpu.write_eflags_popf(eflags::IF, Width::B4);
    assert_eq!(machine.cpu.state.leave, leave::MODE);
}

#[test]
fn the_time_stamp_counter_follows_guest_time() {
    let mut machine = Machine::new();
    assert_eq!(machine.cpu.rdtsc(), Ok(0));
    machine.cpu.sleep_until(1000);
    assert_eq!((machine.cpu.rdtsc(), machine.cpu.rdmsr(0x10)), (Ok(1000), Ok(1000)));
    machine.cpu.wrmsr(0x10, 5).unwrap();
    machine.cpu.sleep_until(1007);
    assert_eq!(machine.cpu.rdtsc(), Ok(12));
    assert_eq!((machine.cpu.rdmsr(0x1b), machine.cpu.wrmsr(0x8b, 0)), (Err(GP), Err(GP)));
    machine.cpu.write_cr(4, cr::CR4_TSD).unwrap();
    machine.cpu.state.cpl = 3;
    assert_eq!((machine.cpu.rdtsc(), machine.cpu.rdmsr(0x10)), (Err(GP), Err(GP)));
    machine.cpu.reset();
    assert_eq!(machine.cpu.rdtsc(), Ok(0), "reset starts it again");
}

#[test]
fn cpuid_names_what_exists() {
    let machine = Machine::new();
    let text = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let [last, b, c, d] = machine.cpu.cpuid(0, 0);
    assert_eq!((last, text(&[b, d, c])), (1, b"GenuineIntel".to_vec()));
    let [signature, _, ecx, edx] = machine.cpu.cpuid(1, 0);
    assert_eq!((signature >> 8 & 0xf, ecx), (6, 0));
    assert_eq!(edx, 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 15);
    assert_eq!(machine.cpu.cpuid(7, 0), machine.cpu.cpuid(1, 0), "past the last leaf");
    assert_eq!(machine.cpu.cpuid(0x8000_0000, 0)[0], 0x8000_0004);
    let brand = (2..5).flat_map(|n| text(&machine.cpu.cpuid(0x8000_0000 + n, 0))).collect::<Vec<_>>();
    assert!(
        brand.starts_with(b"marquetry\0") && brand.len() == 48 && brand[9..].iter().all(|byte| *byte == 0)
    );
}

#[test]
fn reset_is_that_of_the_manual() {
    let mut machine = Machine::new();
    machine.cpu.write_cr(4, cr::CR4_PSE).unwrap();
    machine.cpu.set_gpr32(Gpr::Eax, 7);
    machine.ring3();
    machine.cpu.reset();
    let state = &machine.cpu.state;
    let code = state.segs[SegReg::Cs.index()];
    assert_eq!((code.selector, code.base, code.limit, state.eip), (0xf000, 0xffff_0000, 0xffff, 0xfff0));
    assert_eq!((state.cr0, state.cr2, state.cr3, state.cr4), (0x6000_0010, 0, 0, 0));
    assert_eq!((state.eflags, state.cpl, machine.cpu.gpr32(Gpr::Eax)), (2, 0, 0));
    assert_eq!(machine.cpu.gpr32(Gpr::Edx), machine.cpu.cpuid(1, 0)[0]);
    assert_eq!((state.idtr.base, state.idtr.limit), (0, 0xffff));
}

#[test]
fn a_loaded_kernel_starts_flat() {
    let mut machine = Machine::new();
    machine.cpu.set_flat_protected(0x10_0020);
    let state = &machine.cpu.state;
    assert_eq!((state.eip, state.cpl, state.eflags, state.cr0 & 0x8000_0001), (0x10_0020, 0, 2, 1));
    for seg in SegReg::ALL {
        let segment = state.segs[seg.index()];
        assert_eq!((segment.base, segment.limit, segment.attrs & 0x4000), (0, u32::MAX, 0x4000), "{seg:?}");
    }
    assert!(!machine.cpu.mmu.paging_on());
}
