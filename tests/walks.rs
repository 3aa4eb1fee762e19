//! Page walks that write to code.
#![forbid(unsafe_code)]

use engine::{EngineConfig, JitMode, Stop};
use machine::{BoardConfig, Machine};
use tests::translated;

/// A page that is code and page table at once.
const PAGE: u32 = 0x10_0000;
/// Its entry that the code's immediate lies in, and the address that this maps.
const ENTRY: u32 = 0x200;
const MAPPED: u32 = 0x40_0000 + ENTRY * 0x1000;
const DIRECTORY: u32 = 0x20_0000;
const DATA: u32 = 0x30_0000;

/// `mov ebx, [MAPPED]; mov eax, entry; hlt`, with the immediate at the entry's place.
fn code() -> (u32, Vec<u8>) {
    let mut code = vec![0x8b, 0x1d];
    code.extend(MAPPED.to_le_bytes());
    code.push(0xb8);
    let begin = PAGE + 4 * ENTRY - code.len() as u32;
    code.extend((DATA | 7).to_le_bytes());
    code.push(0xf4);
    (begin, code)
}

/// The walk sets the accessed bit in the immediate of the next instruction, which has it then.
#[test]
fn an_accessed_bit_in_code_shows_in_the_next_instruction() {
    for config in [EngineConfig { jit: JitMode::Off, ..EngineConfig::default() }, translated()] {
        let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
        let (begin, code) = code();
        let put = |at: u32, bytes: &[u8]| {
            assert!(machine.memory().write_rom(u64::from(at), bytes).is_empty());
        };
        put(begin, &code);
        put(DIRECTORY, &0x83u32.to_le_bytes());
        put(DIRECTORY + 4, &(PAGE | 7).to_le_bytes());
        // mov eax, DIRECTORY; mov cr3, eax; mov eax, PSE; mov cr4, eax; mov eax, PG | PE; mov cr0, eax; jmp esi
        let mut start = vec![0xb8];
        start.extend(DIRECTORY.to_le_bytes());
        start.extend([0x0f, 0x22, 0xd8, 0xb8, 0x10, 0, 0, 0, 0x0f, 0x22, 0xe0]);
        start.extend([0xb8, 1, 0, 0, 0x80, 0x0f, 0x22, 0xc0, 0xff, 0xe6]);
        put(DATA + 0x1000, &start);
        let cpu = machine.engine_mut().cpu_mut();
        cpu.set_flat_protected(DATA + 0x1000);
        cpu.state.gpr[6] = u64::from(begin);
        assert_eq!(machine.run(None), Stop::Halted(begin + code.len() as u32));
        assert_eq!(machine.engine().cpu().state.gpr[0] as u32, DATA | 0x27);
    }
}
