//! What comes before an exception: which instructions the trap flag traps after (SDM Vol. 3B 18.3.1.4), and what a
//! division has read.
#![forbid(unsafe_code)]

use engine::{EngineConfig, JitMode, Stop};
use machine::{BoardConfig, Machine};
use tests::translated;

const CODE: u32 = 0x10_0000;
const ON_DEBUG: u32 = CODE + 0x100;
const ON_CALL: u32 = CODE + 0x200;
const GDT: u32 = 0x20_0000;
const IDT: u32 = 0x20_1000;
const POINTERS: u32 = 0x20_2000;
const STACK: u32 = 0x30_0000;

/// An interrupt gate to `handler` in the code segment 8.
fn gate(handler: u32) -> u64 {
    let (low, high) = (u64::from(handler & 0xffff), u64::from(handler >> 16));
    low | 8 << 16 | 0x8e00 << 32 | high << 48
}

/// A pointer for LGDT or LIDT.
fn pointer(limit: u16, base: u32) -> Vec<u8> {
    [&limit.to_le_bytes()[..], &base.to_le_bytes()].concat()
}

fn main_program() -> Vec<u8> {
    let mut code = vec![0x0f, 0x01, 0x15]; // lgdt
    code.extend(POINTERS.to_le_bytes());
    code.extend([0x0f, 0x01, 0x1d]); // lidt
    code.extend((POINTERS + 8).to_le_bytes());
    let on = CODE + code.len() as u32 + 7;
    code.push(0xea); // jmp 8:on
    code.extend(on.to_le_bytes());
    code.extend([8, 0, 0xbc]); // mov esp, STACK
    code.extend(STACK.to_le_bytes());
    code.extend([0x31, 0xc9, 0x31, 0xd2]); // xor ecx, ecx; xor edx, edx
    code.extend([0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d]); // pushfd; or dword [esp], TF; popfd
    code.extend([0xcd, 0x80, 0x90, 0xf4]); // int 80h; nop; hlt
    code
}

/// INT n clears the flag before its end: the first trap is the one after the NOP that its handler returns to.
#[test]
fn a_software_interrupt_is_not_trapped_after() {
    for config in [EngineConfig { jit: JitMode::Off, ..EngineConfig::default() }, translated()] {
        let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
        let put = |at: u32, bytes: &[u8]| {
            assert!(machine.memory().write_rom(u64::from(at), bytes).is_empty());
        };
        put(CODE, &main_program());
        put(ON_DEBUG, &[0x42, 0x81, 0x64, 0x24, 8, 0xff, 0xfe, 0xff, 0xff, 0xcf]); // inc edx; clear TF; iretd
        put(ON_CALL, &[0x41, 0xcf]); // inc ecx; iretd
        for (n, entry) in [0, 0x00cf_9a00_0000_ffff_u64, 0x00cf_9200_0000_ffff].into_iter().enumerate() {
            put(GDT + 8 * n as u32, &entry.to_le_bytes());
        }
        put(IDT + 8, &gate(ON_DEBUG).to_le_bytes());
        put(IDT + 8 * 0x80, &gate(ON_CALL).to_le_bytes());
        put(POINTERS, &pointer(23, GDT));
        put(POINTERS + 8, &pointer(0x7ff, IDT));
        machine.engine_mut().cpu_mut().set_flat_protected(CODE);
        let end = CODE + main_program().len() as u32;
        assert_eq!(machine.run(Some(10_000)), Stop::Halted(end));
        let gpr = machine.engine().cpu().state.gpr;
        assert_eq!((gpr[1], gpr[2]), (1, 1), "calls and traps");
    }
}

/// A division whose divisor a device gives is made where the divisor was read: a second look could see another.
#[test]
fn a_division_that_faults_has_read_its_device_once() {
    // mov ebx, test block; div dword [prefix: ebx]
    for prefix in [0x3e, 0x64] {
        let code = [0xbb, 0, 0, 0, 0xfe, prefix, 0xf7, 0x33];
        for config in [EngineConfig { jit: JitMode::Off, ..EngineConfig::default() }, translated()] {
            let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
            assert!(machine.memory().write_rom(u64::from(CODE), &code).is_empty());
            machine.engine_mut().cpu_mut().set_flat_protected(CODE);
            assert_eq!(machine.run(None), Stop::Shutdown(CODE + 5));
            assert_eq!(machine.engine().cpu().mmu.stats().bus_accesses, 1, "prefix {prefix:#x}");
        }
    }
}
