//! A map change drops and severs exactly what it must: 10,000 translations and a window of 16 KiB.
#![forbid(unsafe_code)]

use engine::{EngineConfig, JitMode, Stop};
use machine::{BoardConfig, Machine};

/// Functions, each of which adds its number to EAX and returns.
const FUNCTIONS: u32 = 10_000;
/// How many of them fill the PAM window; the others stand above 1 MiB.
const INSIDE: u32 = 0x4000 / SPACING;
const SPACING: u32 = 64;
const OUTSIDE: u32 = 0x20_0000;
/// PAM window of c0000-c3fff, register 5a, low nibble.
const WINDOW: (u32, u32) = (0xc_0000, 0xc_4000);
/// Address of the caller.
const CALLER: u32 = 0x10_0000;

fn machine(jit: JitMode) -> Machine {
    let config = EngineConfig { jit, threshold: 0, unit_limit: 2, ..EngineConfig::default() };
    Machine::new(BoardConfig::default(), config).expect("a machine")
}

fn function_address(number: u32) -> u32 {
    let first = if number < INSIDE { WINDOW.0 } else { OUTSIDE };
    first + number * SPACING
}

/// `add eax, number; ret`.
fn function(number: u32) -> Vec<u8> {
    let mut code = vec![0x05];
    code.extend(number.to_le_bytes());
    code.push(0xc3);
    code
}

/// `mov eax, v; mov edx, 0xcf8; out dx, eax; mov al, pam; mov dx, 0xcfe; out dx, al`: PAM register 5a.
fn set_pam(value: u8) -> Vec<u8> {
    let mut code = vec![0xb8];
    code.extend(0x8000_0058u32.to_le_bytes());
    code.extend([0xba, 0xf8, 0x0c, 0, 0, 0xef, 0xb0, value, 0xba, 0xfe, 0x0c, 0, 0, 0xee]);
    code
}

/// Runs `code` at the caller's address up to its final HLT.
fn run(machine: &mut Machine, code: &[u8]) {
    let mut code = code.to_vec();
    code.push(0xf4);
    machine.memory().write_rom(u64::from(CALLER), &code);
    let cpu = machine.engine_mut().cpu_mut();
    cpu.set_flat_protected(CALLER);
    cpu.state.gpr[4] = 0x3_0000;
    let stop = machine.run(None);
    assert!(matches!(stop, Stop::Halted(_)), "{stop:?}");
}

/// `xor eax, eax`, then a call of each function.
fn call_all(machine: &mut Machine) -> u32 {
    let mut code = vec![0x31, 0xc0];
    for number in 0..FUNCTIONS {
        let next = CALLER + code.len() as u32 + 5;
        code.push(0xe8);
        code.extend(function_address(number).wrapping_sub(next).to_le_bytes());
    }
    run(machine, &code);
    machine.engine().cpu().state.gpr[0] as u32
}

fn is_function(address: u32) -> bool {
    address.is_multiple_of(SPACING) && (in_window(address) || address > OUTSIDE)
}

fn in_window(address: u32) -> bool {
    (WINDOW.0..WINDOW.1).contains(&address)
}

#[test]
fn a_window_of_16_kib_severs_exactly_its_own_translations() {
    let mut machine = machine(JitMode::Sync);
    // All functions into RAM, also behind the ROM of the window.
    run(&mut machine, &set_pam(0x33));
    run(&mut machine, &[]);
    for number in 0..FUNCTIONS {
        let skipped = machine.memory().write_rom(u64::from(function_address(number)), &function(number));
        assert!(skipped.is_empty(), "function {number}");
    }
    let sum = (0..FUNCTIONS).fold(0u32, u32::wrapping_add);
    assert_eq!(call_all(&mut machine), sum);
    let functions = |machine: &Machine, reachable: bool| -> Vec<u32> {
        let mut found: Vec<u32> = machine
            .engine()
            .translations()
            .iter()
            .filter(|unit| unit.reachable == reachable)
            .map(|unit| unit.eip)
            .filter(|eip| is_function(*eip))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    let everywhere: Vec<u32> = (0..FUNCTIONS).map(function_address).collect();
    assert_eq!(functions(&machine, true), everywhere, "one translation for each function");
    let before = machine.engine().stats();

    // The window shows ROM: exactly its functions become unreachable, and nothing is forgotten.
    run(&mut machine, &set_pam(0x30));
    let inside: Vec<u32> = everywhere.iter().copied().filter(|eip| in_window(*eip)).collect();
    let outside: Vec<u32> = everywhere.iter().copied().filter(|eip| !in_window(*eip)).collect();
    assert_eq!(inside.len(), INSIDE as usize);
    assert_eq!(functions(&machine, false), inside);
    assert_eq!(functions(&machine, true), outside);
    let after = machine.engine().stats();
    assert_eq!(after.flushes, 0, "whole flushes");
    assert_eq!(after.evicted, before.evicted);

    // Switched back, the same translations serve again.
    run(&mut machine, &set_pam(0x33));
    assert_eq!(call_all(&mut machine), sum);
    let all = machine.engine().translations();
    let compiled = all.iter().filter(|unit| is_function(unit.eip)).count();
    assert_eq!(compiled, everywhere.len(), "no function was compiled again");
    assert_eq!(functions(&machine, true), everywhere);
}

#[test]
fn tlb_entries_go_exactly_when_their_physical_page_changed() {
    // Interpreted: a window of translated code may hold a whole range, and further pages of it need no entry.
    let mut machine = machine(JitMode::Off);
    // Touches 16 pages below the window, 4 in it and 16 above it, then toggles the window.
    let mut code = Vec::new();
    for page in 0..36u32 {
        code.push(0xa1);
        code.extend((0xb_0000 + 0x1000 * page).to_le_bytes());
    }
    code.extend(set_pam(0x33));
    let before = machine.engine().cpu().mmu.stats().dropped_by_map;
    run(&mut machine, &code);
    let dropped = machine.engine().cpu().mmu.stats().dropped_by_map - before;
    assert_eq!(dropped, 8, "two windows of 16 KiB, of which every page was touched");
}
