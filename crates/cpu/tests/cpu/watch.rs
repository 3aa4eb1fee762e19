//! The watch over code that is being interpreted.

use std::sync::Arc;

use base::{AccessSize, LinearAddr};
use marquetry_cpu::{Cpu, Seen};
use memory::RamBlock;

use crate::machine::Machine;

const CODE: LinearAddr = LinearAddr(0x7010);

fn seen(cpu: &mut Cpu) -> Seen {
    let (len, seen) = cpu.watch_code(CODE, &mut [0; 16]).unwrap();
    assert_eq!(len, 16);
    seen
}

/// The block that holds [`CODE`], at the same offsets.
fn block(cpu: &Cpu) -> Arc<RamBlock> {
    let range = cpu.mmu.view().lookup(u64::from(CODE.0));
    Arc::clone(range.and_then(|range| range.leaf().ram()).unwrap())
}

#[test]
fn translated_code_is_out_of_sight_unless_the_page_holds_code() {
    let mut cpu = Machine::new().cpu;
    let block = block(&cpu);
    let open = seen(&mut cpu);
    assert!(!cpu.may_have_changed(open));
    cpu.translated_code_ran();
    assert!(cpu.may_have_changed(open));

    block.mark_code(0x7100, 1);
    cpu.close_writes(&block, 7);
    let closed = seen(&mut cpu);
    cpu.translated_code_ran();
    assert!(!cpu.may_have_changed(closed));
    cpu.store_linear(CODE, AccessSize::B1, 1, false).unwrap();
    assert!(cpu.may_have_changed(closed), "what it stores there goes through the processor");
}

#[test]
fn a_page_that_ceases_to_hold_code_is_looked_at_again() {
    let mut cpu = Machine::new().cpu;
    let block = block(&cpu);
    block.mark_code(0x7100, 1);
    cpu.close_writes(&block, 7);
    let closed = seen(&mut cpu);
    block.clear_code(7, u64::MAX);
    cpu.reopen_writes(&block, 7);
    assert!(cpu.may_have_changed(closed));
}

#[test]
fn stores_to_other_pages_do_not_disturb() {
    let mut cpu = Machine::new().cpu;
    cpu.store_linear(LinearAddr(0x8000), AccessSize::B4, 1, false).unwrap();
    let before = seen(&mut cpu);
    cpu.store_linear(LinearAddr(0x8000), AccessSize::B4, 2, false).unwrap();
    assert!(!cpu.may_have_changed(before));
    cpu.store_linear(LinearAddr(0x7ffc), AccessSize::B4, 3, false).unwrap();
    assert!(cpu.may_have_changed(before));
}
