//! 32-bit paging: rights, accessed and dirty bits, what the TLB may keep.

use base::{AccessSize, LinearAddr, PhysAddr};
use marquetry_cpu::{Exception, cr, leave};

use crate::machine::Machine;

const P: u32 = 1;
const RW: u32 = 2;
const US: u32 = 4;
const A: u32 = 0x20;
const D: u32 = 0x40;
const PS: u32 = 0x80;

/// Error code bits.
const CODE_W: u32 = 2;
const CODE_U: u32 = 4;
const CODE_RSVD: u32 = 8;

/// The page that the tests play with, and its entry.
const LA: u32 = 0x4_0000;
const PTE: u32 = Machine::TABLE + (LA >> 12) * 4;
/// The two pages after it.
const NEXT: u32 = LA + 0x1000;
const NEXT_PTE: u32 = PTE + 4;
const THIRD: u32 = LA + 0x2000;

fn paged() -> Machine {
    let mut machine = Machine::new();
    machine.identity_paging();
    machine
}

fn load(machine: &mut Machine, la: u32, user: bool) -> Result<u32, Exception> {
    machine.cpu.load_linear(LinearAddr(la), AccessSize::B4, user).map(|value| value as u32)
}

fn store(machine: &mut Machine, la: u32, value: u32, user: bool) -> Result<(), Exception> {
    machine.cpu.store_linear(LinearAddr(la), AccessSize::B4, u64::from(value), user)
}

fn fault<T>(la: u32, code: u32) -> Result<T, Exception> {
    Err(Exception::Pf { la: LinearAddr(la), code })
}

#[test]
fn without_paging_addresses_are_physical() {
    let mut machine = Machine::new();
    machine.poke(0x5000, 0x1234_5678);
    assert_eq!(load(&mut machine, 0x5000, true), Ok(0x1234_5678));
    assert_eq!(load(&mut machine, 0x8000_0000, true), Ok(0xffff_ffff), "nothing is mapped there");
}

/// SDM Vol. 3A 4.6.1, as a table over the rights of both entries.
#[test]
fn both_levels_must_allow_an_access() {
    for n in 0..128_u32 {
        let (pde, pte) = (n & 3, n >> 2 & 3);
        let (user, write, protect) = (n & 0x10 != 0, n & 0x20 != 0, n & 0x40 != 0);
        let mut machine = paged();
        machine.poke(Machine::DIRECTORY, Machine::TABLE | P | pde << 1);
        machine.poke(PTE, LA | P | pte << 1);
        let wp = if protect { cr::CR0_WP } else { 0 };
        machine.cpu.write_cr(0, cr::CR0_PE | cr::CR0_PG | wp).unwrap();
        machine.cpu.flush_tlb();
        let both = |bit: u32| (pde & pte) << 1 & bit != 0;
        let allowed = match (user, write) {
            (true, false) => both(US),
            (true, true) => both(US) && both(RW),
            (false, false) => true,
            (false, true) => both(RW) || !protect,
        };
        let outcome =
            if write { store(&mut machine, LA, 1, user) } else { load(&mut machine, LA, user).map(drop) };
        let code = P | if write { CODE_W } else { 0 } | if user { CODE_U } else { 0 };
        assert_eq!(outcome, if allowed { Ok(()) } else { fault(LA, code) }, "case {n:x}");
        let again =
            if write { store(&mut machine, LA, 1, user) } else { load(&mut machine, LA, user).map(drop) };
        assert_eq!(again, outcome, "the TLB remembers the same rights, case {n:x}");
    }
}

#[test]
fn a_tlb_entry_made_by_a_supervisor_does_not_let_ring_3_in() {
    let mut machine = paged();
    machine.poke(PTE, LA | P | RW);
    store(&mut machine, LA, 1, false).unwrap();
    assert_eq!(load(&mut machine, LA, true), fault(LA, P | CODE_U));
    assert_eq!(store(&mut machine, LA, 1, true), fault(LA, P | CODE_U | CODE_W));
}

#[test]
fn a_page_that_is_not_there_says_so_at_either_level() {
    let mut machine = paged();
    machine.poke(PTE, LA | RW | US);
    assert_eq!(load(&mut machine, LA + 8, true), fault(LA + 8, CODE_U));
    assert_eq!(store(&mut machine, LA + 8, 0, false), fault(LA + 8, CODE_W));
    assert_eq!(load(&mut machine, 0x40_0000, false), fault(0x40_0000, 0));
}

#[test]
fn a_read_sets_accessed_in_both_levels_and_a_write_dirty_in_the_last() {
    let mut machine = paged();
    machine.poke(Machine::DIRECTORY, Machine::TABLE | 7);
    machine.poke(PTE, LA | 7);
    machine.cpu.flush_tlb();
    load(&mut machine, LA, true).unwrap();
    assert_eq!((machine.peek(Machine::DIRECTORY), machine.peek(PTE)), (Machine::TABLE | 7 | A, LA | 7 | A));
    store(&mut machine, LA, 1, true).unwrap();
    assert_eq!(
        (machine.peek(Machine::DIRECTORY), machine.peek(PTE)),
        (Machine::TABLE | 7 | A, LA | 7 | A | D)
    );
}

#[test]
fn an_access_that_faults_sets_no_bit() {
    let mut machine = paged();
    machine.poke(Machine::DIRECTORY, Machine::TABLE | 7);
    machine.poke(PTE, LA | P);
    machine.cpu.flush_tlb();
    assert!(store(&mut machine, LA, 1, true).is_err());
    machine.poke(NEXT_PTE, 0);
    assert!(load(&mut machine, NEXT, true).is_err());
    let entries = [Machine::DIRECTORY, PTE, NEXT_PTE].map(|at| machine.peek(at));
    assert_eq!(entries, [Machine::TABLE | 7, LA | P, 0]);
}

#[test]
fn a_probe_sets_no_dirty_bit() {
    let mut machine = paged();
    machine.cpu.probe_linear(LinearAddr(LA), AccessSize::B4, false).unwrap();
    assert_eq!(machine.peek(PTE) & D, 0);
    store(&mut machine, LA, 1, false).unwrap();
    assert_eq!(machine.peek(PTE) & D, D, "the entry that the probe left does not hide the store");
}

#[test]
fn a_write_across_pages_checks_both_before_it_changes_either() {
    let mut machine = paged();
    machine.poke(NEXT_PTE, NEXT | P | US);
    let at = LA + 0xffe;
    assert_eq!(store(&mut machine, at, 0x1234_5678, true), fault(NEXT, P | CODE_W | CODE_U));
    assert_eq!((machine.peek(PTE) & D, machine.peek(LA + 0xffc)), (0, 0));
    machine.poke(NEXT_PTE, NEXT | 7);
    machine.cpu.invlpg(LinearAddr(NEXT));
    store(&mut machine, at, 0x1234_5678, true).unwrap();
    assert_eq!((machine.peek(PTE) & D, machine.peek(NEXT_PTE) & D), (D, D));
    assert_eq!((machine.peek(LA + 0xffc), machine.peek(NEXT)), (0x5678_0000, 0x1234));
    assert_eq!(load(&mut machine, at, true), Ok(0x1234_5678));
}

#[test]
fn a_write_across_pages_leaves_the_second_when_the_first_refuses() {
    let mut machine = paged();
    machine.poke(PTE, LA | P | US);
    let at = LA + 0xffe;
    assert_eq!(store(&mut machine, at, 0x1234_5678, true), fault(at, P | CODE_W | CODE_U));
    assert_eq!((machine.peek(NEXT_PTE) & D, machine.peek(NEXT)), (0, 0));
}

#[test]
fn an_access_across_pages_follows_both_mappings() {
    let mut machine = paged();
    machine.poke(NEXT_PTE, 0x6_0000 | 7);
    machine.poke(LA + 0xffc, 0xaabb_ccdd);
    machine.poke(0x6_0000, 0x1122_3344);
    for back in 1..4 {
        let wide = 0x1122_3344_aabb_ccdd_u64 >> (8 * (4 - back));
        assert_eq!(load(&mut machine, NEXT - back, false), Ok(wide as u32), "{back} bytes in the first");
    }
    let value = machine.cpu.load_linear(LinearAddr(LA + 0xfff), AccessSize::B8, false);
    assert_eq!(value, Ok(0x0011_2233_44aa), "eight bytes, cut at one");
}

#[test]
fn addresses_wrap_at_4_gib() {
    let mut machine = paged();
    machine.poke(Machine::DIRECTORY + 0xffc, Machine::TABLE | 7);
    machine.poke(Machine::TABLE + 0xffc, 0x5_0000 | 7);
    store(&mut machine, 0xffff_fffe, 0x1234_5678, false).unwrap();
    assert_eq!((machine.peek(0x5_0ffc), machine.peek(0)), (0x5678_0000, 0x1234));
}

#[test]
fn invlpg_drops_one_page_and_cr3_every_page() {
    let mut machine = paged();
    let walks = |machine: &mut Machine, la| {
        let before = machine.cpu.mmu.stats().walks;
        load(machine, la, false).unwrap();
        machine.cpu.mmu.stats().walks - before
    };
    machine.poke(THIRD, 7);
    for la in [LA, NEXT] {
        assert_eq!((walks(&mut machine, la), walks(&mut machine, la)), (1, 0));
    }
    machine.poke(PTE, THIRD | 7);
    machine.cpu.invlpg(LinearAddr(LA + 0xfff));
    assert_eq!(walks(&mut machine, NEXT), 0);
    assert_eq!(load(&mut machine, LA, false), Ok(7), "the new frame");
    let epoch = machine.cpu.state.epoch;
    machine.cpu.write_cr(3, Machine::DIRECTORY).unwrap();
    assert!(machine.cpu.state.epoch > epoch);
    assert_eq!((walks(&mut machine, LA), walks(&mut machine, NEXT)), (1, 1));
}

#[test]
fn a_walk_that_finds_another_frame_advances_the_epoch() {
    let mut machine = paged();
    machine.poke(PTE, LA | P | US);
    load(&mut machine, LA, true).unwrap();
    let epoch = machine.cpu.state.epoch;
    machine.poke(PTE, THIRD | 7);
    load(&mut machine, LA, true).unwrap();
    assert_eq!(machine.cpu.state.epoch, epoch, "the TLB still answers");
    store(&mut machine, LA, 7, true).unwrap();
    assert_eq!(machine.peek(THIRD), 7, "the TLB did not allow the store");
    assert!(machine.cpu.state.epoch > epoch);
    let epoch = machine.cpu.state.epoch;
    store(&mut machine, LA, 8, true).unwrap();
    assert_eq!(machine.cpu.state.epoch, epoch, "nothing was replaced");
}

#[test]
fn a_code_page_is_what_the_tlb_holds_and_only_for_who_may_read_it() {
    let mut machine = paged();
    let la = LinearAddr(LA + 0x123);
    assert!(machine.cpu.code_page(la).is_none(), "nothing was fetched");
    let ahead = machine.cpu.code_page_ahead(la).map(|page| page.phys);
    assert_eq!((ahead, machine.peek(PTE) & A), (Some(base::PhysAddr(u64::from(LA))), 0));
    load(&mut machine, LA, false).unwrap();
    machine.poke(PTE, THIRD | P);
    assert_eq!(machine.cpu.code_page(la).map(|page| page.phys.0), Some(u64::from(LA)));
    machine.cpu.invlpg(LinearAddr(LA));
    load(&mut machine, LA, false).unwrap();
    assert_eq!(machine.cpu.code_page(la).map(|page| page.phys.0), Some(u64::from(THIRD)));
    machine.cpu.state.cpl = 3;
    assert!(machine.cpu.code_page(la).is_none(), "a supervisor page");
}

#[test]
fn a_new_page_directory_is_used_at_once() {
    let mut machine = paged();
    load(&mut machine, LA, false).unwrap();
    machine.poke(0x1_2000, 0x1_3000 | 7);
    machine.poke(0x1_3000 + (LA >> 12) * 4, 0x6_0000 | 7);
    machine.poke(0x6_0000, 42);
    machine.cpu.write_cr(3, 0x1_2000).unwrap();
    assert_eq!(load(&mut machine, LA, false), Ok(42));
    assert_eq!(load(&mut machine, NEXT, false), fault(NEXT, 0));
}

fn large(machine: &mut Machine, la: u32, entry: u32) -> u32 {
    let place = Machine::DIRECTORY + (la >> 22) * 4;
    machine.poke(place, entry);
    machine.cpu.write_cr(4, cr::CR4_PSE).unwrap();
    machine.cpu.flush_tlb();
    place
}

#[test]
fn a_4_mib_page_has_one_entry() {
    let mut machine = paged();
    let pde = large(&mut machine, 0x40_0000, P | RW | PS);
    machine.poke(0x5_0120, 42);
    assert_eq!(load(&mut machine, 0x45_0120, false), Ok(42));
    assert_eq!(machine.peek(pde), P | RW | PS | A);
    assert_eq!(load(&mut machine, 0x45_0120, true), fault(0x45_0120, P | CODE_U));
    store(&mut machine, 0x45_0120, 43, false).unwrap();
    assert_eq!((machine.peek(pde), machine.peek(0x5_0120)), (P | RW | PS | A | D, 43));
    machine.poke(pde, 0x0080_0000 | P | PS);
    assert_eq!(machine.cpu.mmu.debug_translate(LinearAddr(0x45_0123)), Some(PhysAddr(0x85_0123)));
    machine.poke(pde, 0);
    machine.cpu.invlpg(LinearAddr(0x40_0000));
    assert_eq!(load(&mut machine, 0x45_0120, false), fault(0x45_0120, 0), "INVLPG drops all of it");
}

#[test]
fn reserved_bits_fault_only_while_pse_is_set() {
    for bit in 12..22 {
        let mut machine = paged();
        large(&mut machine, 0x40_0000, P | RW | US | PS | 1 << bit);
        let wanted = fault(0x40_0000, P | CODE_RSVD | CODE_U | CODE_W);
        assert_eq!(store(&mut machine, 0x40_0000, 0, true), wanted, "bit {bit}");
        assert_eq!(load(&mut machine, 0x40_0000, false), fault(0x40_0000, P | CODE_RSVD), "bit {bit}");
    }
    let mut machine = paged();
    machine.poke(PTE, LA | 7 | PS);
    assert!(load(&mut machine, LA, false).is_ok());
    machine.cpu.write_cr(4, cr::CR4_PSE).unwrap();
    assert_eq!(load(&mut machine, LA, false), fault(LA, P | CODE_RSVD), "PAT's bit");
}

#[test]
fn without_pse_the_ps_bit_means_nothing() {
    let mut machine = paged();
    machine.poke(Machine::DIRECTORY + 4, Machine::TABLE | 7 | PS);
    machine.poke(LA, 42);
    assert_eq!(load(&mut machine, 0x40_0000 + LA, false), Ok(42));
}

#[test]
fn a_window_holds_pages_whose_bits_are_set_and_no_others() {
    let mut machine = paged();
    for page in 0..4 {
        load(&mut machine, LA + page * 0x1000, false).unwrap();
    }
    store(&mut machine, LA, 1, false).unwrap();
    let window = machine.cpu.window(LinearAddr(NEXT), true).unwrap();
    assert!(window.covers(LA, 4) && window.covers(LA + 0x1ffc, 4) && !window.covers(LA + 0x1ffd, 4));
    assert_eq!(machine.peek(NEXT_PTE) & D, D, "the page asked for");
    assert_eq!(machine.peek(NEXT_PTE + 4) & D, 0, "its neighbour");
    let window = machine.cpu.window(LinearAddr(LA), false).unwrap();
    assert!(window.covers(LA + 0x3ffc, 4) && !window.covers(LA + 0x4000, 1));
}

#[test]
fn a_write_window_covers_no_page_that_may_not_be_written() {
    let mut machine = paged();
    machine.poke(NEXT_PTE, NEXT | P | US);
    load(&mut machine, NEXT, true).unwrap();
    store(&mut machine, LA, 1, true).unwrap();
    machine.cpu.state.cpl = 3;
    let window = machine.cpu.window(LinearAddr(LA), true).unwrap();
    assert!(window.covers(LA + 0xffc, 4) && !window.covers(NEXT, 1));
    assert_eq!(machine.cpu.window(LinearAddr(NEXT), true), fault(NEXT, P | CODE_W | CODE_U));
}

#[test]
fn stores_to_memory_askew_of_the_pages_ask_the_gates_of_both_pages_they_may_reach() {
    let mut machine = Machine::new();
    let page = Machine::ASKEW & !0xfff | 0x1000;
    store(&mut machine, page, 1, false).unwrap();
    assert!(machine.cpu.window(LinearAddr(page), false).unwrap().covers(page, 4));
    assert!(!machine.cpu.window(LinearAddr(page), true).unwrap().covers(page, 4));
    let view = machine.cpu.mmu.view();
    let block = view.lookup(u64::from(page)).and_then(|range| range.leaf().ram()).unwrap();
    block.mark_code(0x1000, 64);
    machine.cpu.state.leave = 0;
    store(&mut machine, page, 2, false).unwrap();
    assert_eq!(machine.cpu.state.leave & leave::CODE, 0, "beside the code");
    store(&mut machine, Machine::ASKEW + 0x1000, 3, false).unwrap();
    assert_eq!(machine.cpu.state.leave & leave::CODE, leave::CODE);
    assert_eq!(machine.peek(Machine::ASKEW + 0x1000), 3);
}
