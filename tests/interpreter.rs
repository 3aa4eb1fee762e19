//! Code that the interpreter has decoded is decoded anew when it, or the segment that it is in, has changed.
#![forbid(unsafe_code)]

use engine::{EngineConfig, JitMode, Stop};
use isa::SegReg;
use machine::{BoardConfig, Machine};

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
