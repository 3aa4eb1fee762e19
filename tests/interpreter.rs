//! Code that the interpreter has decoded is decoded anew when it, or the segment that it is in, has changed.
#![forbid(unsafe_code)]

use std::sync::Arc;

use difftest::bench::Bench;
use engine::{Engine, EngineConfig, JitMode, Platform, Stop};
use isa::SegReg;
use machine::{BoardConfig, Machine};
use memory::RamBlock;

const CODE: u32 = 0x10_0000;

/// A machine without translator, in flat protected mode at `code`.
fn machine(code: &[u8]) -> Machine {
    let config = EngineConfig { jit: JitMode::Off, ..EngineConfig::default() };
    let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
    assert!(machine.memory().write_rom(u64::from(CODE), code).is_empty());
    machine.engine_mut().cpu_mut().set_flat_protected(CODE);
    machine
}

/// Three times: `inc ecx; mov [CODE + 12], cl; mov al, imm; add bl, al; cmp ecx, 3; jne`, where the store goes to
/// the immediate.
const PATCHES_ITSELF: [u8; 21] = [
    0x31, 0xc9, 0x31, 0xdb, 0x41, 0x88, 0x0d, 12, 0, 0x10, 0, 0xb0, 0, 0x00, 0xc3, 0x83, 0xf9, 3, 0x75, 0xf0,
    0xf4,
];

#[test]
fn a_store_to_the_next_instruction_shows_there() {
    let mut machine = machine(&PATCHES_ITSELF);
    assert_eq!(machine.run(None), Stop::Halted(CODE + 21));
    assert_eq!(machine.engine().cpu().state.gpr[3], 1 + 2 + 3);
}

#[test]
fn a_store_to_the_next_instruction_shows_when_each_is_run_alone() {
    let mut machine = machine(&PATCHES_ITSELF);
    let mut limit = 1;
    while machine.run(Some(limit)) == Stop::Limit {
        limit += 1;
    }
    assert_eq!(machine.engine().cpu().state.gpr[3], 1 + 2 + 3);
}

#[test]
fn code_written_between_runs_shows() {
    let mut machine = machine(&[0xb0, 1, 0xf4]);
    assert_eq!(machine.run(None), Stop::Halted(CODE + 3));
    machine.memory().write_rom(u64::from(CODE), &[0xb0, 2]);
    machine.engine_mut().cpu_mut().set_flat_protected(CODE);
    assert_eq!(machine.run(None), Stop::Halted(CODE + 3));
    assert_eq!(machine.engine().cpu().state.gpr[0] & 0xff, 2);
}

/// The limit of CS cuts an instruction that has been run before: #GP, which nothing can handle here.
#[test]
fn a_smaller_code_segment_cuts_known_instructions() {
    for limit in [None, Some(1)] {
        let mut machine = machine(&[0xb8, 1, 2, 3, 4, 0x90, 0xf4]);
        machine.run(limit);
        let cpu = machine.engine_mut().cpu_mut();
        cpu.set_flat_protected(CODE);
        cpu.state.segs[SegReg::Cs.index()].limit = CODE + 3;
        assert_eq!(machine.run(limit.map(|limit| limit + 1)), Stop::Shutdown(CODE), "{limit:?}");
    }
}

/// A board whose timer, at its one event, writes a byte of memory.
struct WritesAt {
    ns: u64,
    ram: Arc<RamBlock>,
    place: u64,
    value: u8,
}

impl Platform for WritesAt {
    fn interrupt_pending(&self) -> bool {
        false
    }

    fn acknowledge_interrupt(&self) -> u8 {
        unreachable!("no interrupt is ever pending")
    }

    fn next_event_ns(&self) -> Option<u64> {
        let mut now = [0];
        self.ram.read(self.place, &mut now);
        (now[0] != self.value).then_some(self.ns)
    }

    fn run_events(&self, now_ns: u64) {
        if now_ns >= self.ns {
            self.ram.write(self.place, &[self.value]);
        }
    }

    fn exit_status(&self) -> Option<i32> {
        None
    }
}

/// `mov al, 1; cmp al, 2; jne; hlt`: ends once the immediate has become 2.
#[test]
fn code_written_by_a_timer_event_shows_at_once() {
    const PLACE: u64 = 0x1000;
    let (bench, mut cpu) = Bench::new(1 << 20).expect("a board");
    bench.ram.write(PLACE, &[0xb0, 1, 0x3c, 2, 0x75, 0xfa, 0xf4]);
    cpu.set_flat_protected(PLACE as u32);
    let platform = WritesAt { ns: 301, ram: Arc::clone(&bench.ram), place: PLACE + 1, value: 2 };
    let config = EngineConfig { jit: JitMode::Off, ..EngineConfig::default() };
    let mut engine = Engine::new(cpu, Arc::new(platform), config).expect("an engine");
    assert_eq!(engine.run(Some(10_000)), Stop::Halted(PLACE as u32 + 7));
    // 100 turns, the one that the event finds half done, the last, and HLT.
    assert_eq!(engine.cpu().instructions(), 300 + 3 + 3 + 1);
}

/// `mov ecx, 100; dec ecx; jnz; hlt`: the loop is run as often as the threshold says, and then translated.
#[test]
fn code_is_interpreted_as_often_as_the_threshold_says() {
    for threshold in [0, 1, 7, 98, 99] {
        let config = EngineConfig { jit: JitMode::Sync, threshold, ..EngineConfig::default() };
        let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
        let code = [0xb9, 100, 0, 0, 0, 0x49, 0x75, 0xfd, 0xf4];
        assert!(machine.memory().write_rom(u64::from(CODE), &code).is_empty());
        machine.engine_mut().cpu_mut().set_flat_protected(CODE);
        assert_eq!(machine.run(None), Stop::Halted(CODE + 9));
        let stats = machine.engine().stats();
        // The first turn belongs to the block of MOV. HLT is in no translation.
        let interpreted = if threshold == 0 { 1 } else { 3 + 2 * u64::from(threshold) + 1 };
        assert_eq!(stats.interpreted, interpreted, "{threshold}");
    }
}

/// Entered by turns at 0 and, inside of the first instruction, at 1.
#[test]
fn blocks_that_overlap_are_kept_apart() {
    let code = [
        0xb8, 0x90, 0x90, 0x41, 0x90, // 00: mov eax, 90419090; from 01: nop; nop; inc ecx; nop
        0x42, // 05: inc edx
        0x83, 0xf9, 50, // 06: cmp ecx, 50
        0x72, 1,    // 09: jb 0c
        0xf4, // 0b: hlt
        0xf6, 0xc2, 1, // 0c: test dl, 1
        0x74, 0xef, // 0f: jz 00
        0xeb, 0xee, // 11: jmp 01
    ];
    let mut machine = machine(&code);
    machine.engine_mut().cpu_mut().state.gpr[2] = 0;
    assert_eq!(machine.run(None), Stop::Halted(CODE + 0xc));
    let gpr = machine.engine().cpu().state.gpr;
    assert_eq!((gpr[1], gpr[2]), (50, 100));
}

/// Translated code writes the immediate of code that is interpreted, in a page that holds translated code and in one
/// that does not.
#[test]
fn a_store_of_translated_code_shows_in_interpreted_code() {
    for there in [0x100, 0x2000] {
        let config = EngineConfig { jit: JitMode::Sync, threshold: 20, ..EngineConfig::default() };
        let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
        // inc ecx; mov [there + 1], cl; test cl, 7; jnz; push esi; ret: so the reader is no part of the writer's unit
        let mut writer = vec![0x41, 0x88, 0x0d, 0, 0, 0, 0, 0xf6, 0xc1, 7, 0x75, 0xf4, 0x56, 0xc3];
        writer[3..7].copy_from_slice(&(CODE + there + 1).to_le_bytes());
        // mov al, imm; add bl, al; cmp ecx, 80; jae; jmp edi; hlt
        let reader = [0xb0, 0, 0x00, 0xc3, 0x83, 0xf9, 80, 0x73, 2, 0xff, 0xe7, 0xf4];
        assert!(machine.memory().write_rom(u64::from(CODE), &writer).is_empty());
        assert!(machine.memory().write_rom(u64::from(CODE + there), &reader).is_empty());
        let cpu = machine.engine_mut().cpu_mut();
        cpu.set_flat_protected(CODE);
        (cpu.state.gpr[1], cpu.state.gpr[3], cpu.state.gpr[4]) = (0, 0, 0x20_0000);
        (cpu.state.gpr[6], cpu.state.gpr[7]) = (u64::from(CODE + there), u64::from(CODE));
        assert_eq!(machine.run(None), Stop::Halted(CODE + there + 12));
        let engine = machine.engine();
        assert_eq!(engine.cpu().state.gpr[3], (1..=10u64).map(|n| 8 * n).sum::<u64>() & 0xff);
        let begins: Vec<u32> = engine.translations().iter().map(|translation| translation.eip).collect();
        assert!(begins.contains(&CODE) && begins.iter().all(|eip| *eip < CODE + there), "{begins:x?}");
    }
}

/// A repeated string instruction is worth more executions, also of the place that leads to it without a branch.
#[test]
fn repeated_string_instructions_make_code_hot_soon() {
    let config = EngineConfig { jit: JitMode::Sync, threshold: 100, ..EngineConfig::default() };
    let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
    let code = [
        0xba, 10, 0, 0, 0, // 00: mov edx, 10
        0x9c, 0x9d, // 05: pushf; popf
        0xb9, 4, 0, 0, 0, 0xbf, 0, 0, 0x20, 0, // 07: mov ecx, 4; mov edi, 200000
        0xf3, 0xaa, // 11: rep stosb
        0x4a, 0x75, 0xef, // 13: dec edx; jnz 05
        0xf4, // 16: hlt
    ];
    assert!(machine.memory().write_rom(u64::from(CODE), &code).is_empty());
    let cpu = machine.engine_mut().cpu_mut();
    cpu.set_flat_protected(CODE);
    cpu.state.gpr[4] = 0x8000;
    assert_eq!(machine.run(None), Stop::Halted(CODE + 0x17));
    let begins: Vec<u32> =
        machine.engine().translations().iter().map(|translation| translation.eip).collect();
    assert!(begins.contains(&(CODE + 5)), "{begins:x?}");
}
