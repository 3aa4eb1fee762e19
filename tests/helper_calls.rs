//! What an access costs translated code once it is warm: a device, one call of the access helper; RAM, ROM and
//! a flash that shows its array, none.
#![forbid(unsafe_code)]

use machine::{BoardConfig, Machine};
use tests::translated;

/// Row of the helper table: an access over the bus.
const ACCESS: usize = 1;
/// Where the code stands.
const CODE: u32 = 0x10_0000;
/// Page directory of the runs with paging.
const DIRECTORY: u32 = 0x20_0000;
/// Where data lies: RAM, and the board's ROM, flash, test block and IOMMU window.
const RAM: u32 = 0x30_0000;
const ROM: u32 = 0xc_0000;
const FLASH: u32 = 0xfd00_0000;
const BLOCK: u32 = 0xfe00_0000;
const IOMMU: u32 = 0xfc00_0000;
const NOWHERE: u32 = 0x8000_0000;

/// Accesses through EBX.
const READ: &[u8] = &[0x8b, 0x03]; // mov eax, [ebx]
const READ_BYTE: &[u8] = &[0x8a, 0x03]; // mov al, [ebx]
const READ_WORD: &[u8] = &[0x0f, 0xb7, 0x03]; // movzx eax, word [ebx]
const WRITE: &[u8] = &[0x89, 0x03]; // mov [ebx], eax
const WRITE_BYTE: &[u8] = &[0x88, 0x03]; // mov [ebx], al
const WRITE_WORD: &[u8] = &[0x66, 0x89, 0x03]; // mov [ebx], ax
const COMPARE: &[u8] = &[0x3b, 0x03]; // cmp eax, [ebx]
const ADD: &[u8] = &[0x01, 0x03]; // add [ebx], eax
const PUSH: &[u8] = &[0xff, 0x33]; // push dword [ebx]
const POP: &[u8] = &[0x58]; // pop eax

/// `mov byte [ebx], value`.
fn command(value: u8) -> Vec<u8> {
    vec![0xc6, 0x03, value]
}

/// `mov dword [address], value`.
fn set(address: u32, value: u32) -> Vec<u8> {
    [&[0xc7, 0x05][..], &address.to_le_bytes(), &value.to_le_bytes()].concat()
}

/// Turns paging on: 4 MiB pages from [`DIRECTORY`].
fn paging_on() -> Vec<u8> {
    let load = |value: u32, register: u8| {
        [&[0xb8][..], &value.to_le_bytes(), &[0x0f, 0x22, 0xc0 | register << 3]].concat()
    };
    [load(DIRECTORY, 3), load(0x10, 4), load(0x8000_0001, 0)].concat()
}

/// A guest: what it does first, the address in EBX, and what it repeats.
struct Guest {
    before: Vec<u8>,
    address: u32,
    body: Vec<u8>,
}

impl Guest {
    fn new(address: u32, body: &[&[u8]]) -> Self {
        Self { before: Vec::new(), address, body: body.concat() }
    }

    /// The whole code: the body is repeated `times` times.
    fn code(&self, times: u32, paging: bool) -> Vec<u8> {
        let mut code = if paging { paging_on() } else { Vec::new() };
        code.extend(&self.before);
        code.push(0xbb); // mov ebx, address
        code.extend(self.address.to_le_bytes());
        code.push(0xb9); // mov ecx, times
        code.extend(times.to_le_bytes());
        code.extend(&self.body);
        code.extend([0x49, 0x0f, 0x85]); // dec ecx; jnz body
        code.extend((-(self.body.len() as i32 + 7)).to_le_bytes());
        code.push(0xf4); // hlt
        code
    }
}

/// A machine with an identity map for paging, which is off.
fn machine() -> Machine {
    let machine = Machine::new(BoardConfig::default(), translated()).expect("a machine");
    // Present, writable, 4 MiB.
    let directory: Vec<u8> = (0..1024u32).flat_map(|page| (page << 22 | 0x83).to_le_bytes()).collect();
    machine.memory().write_rom(u64::from(DIRECTORY), &directory);
    machine
}

/// Runs the guest, and gives its helper calls by row.
fn calls(machine: &mut Machine, guest: &Guest, times: u32, paging: bool) -> Vec<u64> {
    machine.memory().write_rom(u64::from(CODE), &guest.code(times, paging));
    calls_from(machine, CODE)
}

/// Runs what stands at `start`, and gives its helper calls by row.
fn calls_from(machine: &mut Machine, start: u32) -> Vec<u64> {
    let before = machine.engine().helper_calls();
    let cpu = machine.engine_mut().cpu_mut();
    cpu.set_flat_protected(start);
    cpu.state.gpr[4] = 0x9000;
    let stop = machine.run(None);
    assert!(matches!(stop, engine::Stop::Halted(_)), "{stop:?}");
    assert_eq!(machine.engine().cpu().state.gpr[1], 0, "all repetitions were made");
    let after = machine.engine().helper_calls();
    after.iter().zip(before).map(|(after, before)| after - before).collect()
}

/// Calls of the warm guest for `more` further repetitions, by row; and by how much the instructions interpreted grew.
fn growth(guest: &Guest, more: u32, paging: bool) -> (Vec<u64>, u64) {
    let mut machine = machine();
    calls(&mut machine, guest, 1000, paging);
    let mut interpreted = Vec::new();
    let mut measured = |times| {
        let before = machine.engine().stats().interpreted;
        let calls = calls(&mut machine, guest, times, paging);
        interpreted.push(machine.engine().stats().interpreted - before);
        calls
    };
    let (few, many) = (measured(1000), measured(1000 + more));
    let grown = many.iter().zip(few).map(|(many, few)| many - few).collect();
    (grown, interpreted[1] - interpreted[0])
}

/// Each repetition makes `accesses` calls of the access helper and no other; nothing is interpreted.
#[track_caller]
fn costs(name: &str, guest: &Guest, accesses: u64) {
    for paging in [false, true] {
        let (grown, interpreted) = growth(guest, 500, paging);
        let mut expected = vec![0; grown.len()];
        expected[ACCESS] = 500 * accesses;
        assert_eq!(grown, expected, "{name}, paging {paging}: helper calls by row");
        assert_eq!(interpreted, 0, "{name}, paging {paging}: interpreted instructions");
    }
}

#[test]
fn ram_costs_nothing() {
    let all = [READ, READ_BYTE, READ_WORD, WRITE, WRITE_BYTE, WRITE_WORD, COMPARE, ADD, PUSH, POP];
    costs("RAM", &Guest::new(RAM, &all), 0);
    // An address that is not aligned, and one that crosses into the next page.
    costs("RAM, odd", &Guest::new(RAM + 1, &[READ, WRITE, ADD]), 0);
    costs("RAM, two pages", &Guest::new(RAM + 0xffe, &[READ, WRITE]), 0);
}

#[test]
fn rom_costs_nothing_to_read() {
    costs("ROM", &Guest::new(ROM, &[READ, READ_BYTE, READ_WORD, COMPARE, PUSH, POP]), 0);
}

#[test]
fn a_flash_that_shows_its_array_costs_nothing_to_read() {
    costs("flash", &Guest::new(FLASH, &[READ, READ_BYTE, READ_WORD, COMPARE, PUSH, POP]), 0);
}

#[test]
fn a_device_costs_one_call_for_each_access() {
    for (name, access) in [
        ("read", READ),
        ("byte read", READ_BYTE),
        ("word read", READ_WORD),
        ("write", WRITE),
        ("byte write", WRITE_BYTE),
        ("word write", WRITE_WORD),
        ("comparison", COMPARE),
    ] {
        costs(name, &Guest::new(BLOCK, &[access]), 1);
    }
    costs("read and write", &Guest::new(BLOCK, &[ADD]), 2);
    // An instruction that may have reached a device is never begun anew, so its store to RAM takes the helper too.
    costs("push from a device to RAM", &Guest::new(BLOCK, &[PUSH, POP]), 2);
    costs("many", &Guest::new(BLOCK, &[READ, WRITE, ADD, READ_BYTE]), 5);
}

#[test]
fn a_device_costs_one_call_from_a_page_that_lies_apart_from_the_one_before() {
    // The pages at 0 and 400000 are neighbours in linear memory only: the second one is at 800000.
    const SECOND: (u32, u32) = (0x40_0000, 0x80_0000);
    let mut machine = machine();
    machine.memory().write_rom(u64::from(DIRECTORY) + 4, &(SECOND.1 | 0x83).to_le_bytes());
    let guest = Guest::new(BLOCK, &[&[0x90], READ]); // nop; mov eax, [ebx]
    let mut measured = |times| {
        let code = guest.code(times, true);
        // READ, the end of the loop and HLT stand in the second page.
        let (first, second) = code.split_at(code.len() - READ.len() - 8);
        let start = SECOND.0 - first.len() as u32;
        machine.memory().write_rom(u64::from(start), first);
        machine.memory().write_rom(u64::from(SECOND.1), second);
        let before = machine.engine().stats().interpreted;
        let calls = calls_from(&mut machine, start)[ACCESS];
        (calls, machine.engine().stats().interpreted - before)
    };
    measured(1000);
    let (few, many) = (measured(1000), measured(1500));
    assert_eq!((many.0 - few.0, many.1 - few.1), (500, 0), "helper calls, and instructions interpreted");
}

#[test]
fn the_device_sees_every_access_once() {
    // Register 4 of the block counts its reads, register c is the sum of what was written to 8.
    for paging in [false, true] {
        let mut machine = machine();
        let guest = Guest::new(BLOCK + 4, &[READ, &[0xc7, 0x43, 0x04, 1, 0, 0, 0]]);
        let reached = calls(&mut machine, &guest, 300, paging)[ACCESS];
        assert!((500..600).contains(&reached), "most accesses went through the helper: {reached}");
        let eax = |machine: &Machine| machine.engine().cpu().state.gpr[0] as u32;
        assert_eq!(eax(&machine), 299, "the last of 300 reads");
        calls(&mut machine, &Guest::new(BLOCK + 12, &[READ]), 1, paging);
        assert_eq!(eax(&machine), 300, "the sum of 300 writes of 1");
    }
}

#[test]
fn a_write_that_rom_ignores_costs_one_call() {
    costs("ROM", &Guest::new(ROM, &[WRITE]), 1);
    costs("ROM, reads too", &Guest::new(ROM, &[READ, WRITE_BYTE, COMPARE]), 1);
}

#[test]
fn a_flash_costs_one_call_for_each_write_and_for_reads_of_its_registers() {
    let (status, program, identifier, array) = (command(0x70), command(0x40), command(0x90), command(0xff));
    costs("command in the array mode", &Guest::new(FLASH, &[&array]), 1);
    costs("command in the array mode, array reads", &Guest::new(FLASH, &[READ, &array, READ_BYTE]), 1);
    costs("status", &Guest::new(FLASH, &[&status, READ_BYTE, READ]), 3);
    costs("programming", &Guest::new(FLASH, &[&program, &command(0xf0), READ_BYTE]), 3);
    costs("identifier", &Guest::new(FLASH, &[&identifier, READ_WORD]), 2);
}

#[test]
fn a_flash_that_changes_its_mode_all_the_time_costs_what_is_no_array_read() {
    let (status, array) = (command(0x70), command(0xff));
    let guest = Guest::new(FLASH, &[&status, READ_BYTE, &array, READ]);
    for paging in [false, true] {
        // Windows are made anew after each change, which is another row.
        let (grown, interpreted) = growth(&guest, 500, paging);
        assert_eq!((grown[ACCESS], interpreted), (500 * 3, 0), "paging {paging}: {grown:?}");
    }
}

#[test]
fn an_iommu_costs_one_call_for_each_access() {
    // Entry 0 of the table: the frame of RAM, readable and writable.
    let before = [set(BLOCK + 0x2000, 0), set(BLOCK + 0x2004, RAM | 3)].concat();
    let guest = |body: &[&[u8]]| Guest { before: before.clone(), address: IOMMU + 8, body: body.concat() };
    costs("read", &guest(&[READ]), 1);
    costs("write", &guest(&[WRITE]), 1);
    costs("read and write", &guest(&[ADD]), 2);
    costs("all", &guest(&[READ_BYTE, WRITE_WORD, COMPARE]), 3);
    // It did lead to RAM.
    let mut machine = machine();
    calls(&mut machine, &guest(&[&[0xc7, 0x03, 0x78, 0x56, 0x34, 0x12]]), 100, false);
    calls(&mut machine, &Guest::new(RAM + 8, &[READ]), 1, false);
    assert_eq!(machine.engine().cpu().state.gpr[0] as u32, 0x1234_5678);
}

#[test]
fn memory_that_nobody_answers_costs_one_call_for_each_access() {
    costs("read", &Guest::new(NOWHERE, &[READ]), 1);
    costs("write", &Guest::new(NOWHERE, &[WRITE]), 1);
}

/// With paging off the rights of pages do not exist, so a change of ring leaves the windows in place.
#[test]
fn a_change_of_ring_without_paging_makes_no_window_anew() {
    let guest =
        tests::guests().into_iter().find(|guest| guest.name == "ring3").expect("a guest of that name");
    let filled = |n: u32| {
        let (mut machine, _) = tests::machine(&guest, &format!("n={n}"), translated());
        machine.run(None);
        machine.engine().helper_calls()[0]
    };
    let (few, many) = (filled(4), filled(12));
    assert!(many < few + 8, "{few} windows filled over 4 rounds, {many} over 12");
}
