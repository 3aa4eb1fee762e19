//! An interrupt that waits is taken at the very instruction that lets it through.
#![forbid(unsafe_code)]

use base::AccessSize;
use engine::{EngineConfig, JitMode, Stop};
use machine::{BoardConfig, Machine};
use memory::{AccessCx, Row};

const CODE: u32 = 0x10_0000;
const GDT: u32 = 0x5000;
const IDT: u32 = 0x6000;
const HANDLER: u32 = 0x7000;
/// IRQ 4, the serial port, with the master's vectors at 20.
const VECTOR: u32 = 0x24;
/// INC EAX after the instruction that is looked at.
const INCS: usize = 40;

/// A machine with an interrupt of the serial port pending, and `code`, which begins with LGDT and LIDT, at `CODE`.
fn machine(jit: JitMode, code: &[u8]) -> Machine {
    let config = EngineConfig { jit, threshold: 0, ..EngineConfig::default() };
    let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
    let rom = |at: u32, bytes: &[u8]| machine.memory().write_rom(at.into(), bytes);
    // Descriptor 8: code, 4 GiB, readable.
    rom(GDT + 8, &[0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0]);
    // Gate: offset, selector 8, present 32-bit interrupt gate.
    let [low, high, ..] = HANDLER.to_le_bytes();
    rom(IDT + 8 * VECTOR, &[low, high, 8, 0, 0, 0x8e, 0, 0]);
    // Pseudo-descriptors of both tables.
    rom(GDT - 16, &[&[0x0f, 0][..], &GDT.to_le_bytes()].concat());
    rom(GDT - 8, &[&[0xff, 0x07][..], &IDT.to_le_bytes()].concat());
    // pop eax; hlt
    rom(HANDLER, &[0x58, 0xf4]);
    rom(CODE, code);
    let ports = machine.board().ports().view();
    // ICW1 to ICW4 and an empty mask; the receiver's interrupt enable.
    for (port, value) in [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0), (0x3f9, 1)] {
        let _outcome = ports.dispatch_write(port, AccessSize::B1, value, Row::ByteCopy, &mut AccessCx::cpu());
    }
    assert_eq!(machine.board().serial_input(b"x"), 1);
    let cpu = machine.engine_mut().cpu_mut();
    cpu.set_flat_protected(CODE);
    cpu.state.gpr[4] = 0x3_0000;
    machine
}

/// `lgdt`, `lidt`, `xor eax, eax`, 30 times `mov cr3, eax`, the instructions given, INC EAX, HLT; the address of the
/// first INC EAX.
fn program(opening: &[u8]) -> (Vec<u8>, u32) {
    let mut code = vec![0x0f, 0x01, 0x15];
    code.extend((GDT - 16).to_le_bytes());
    code.extend([0x0f, 0x01, 0x1d]);
    code.extend((GDT - 8).to_le_bytes());
    code.extend([0x31, 0xc0]);
    code.extend([0x0f, 0x22, 0xd8].repeat(30));
    code.extend(opening);
    let after = CODE + code.len() as u32;
    code.extend([0x40].repeat(INCS));
    code.push(0xf4);
    (code, after)
}

fn interrupted_at(opening: &[u8]) -> u64 {
    let (code, after) = program(opening);
    let at = [JitMode::Off, JitMode::Sync].map(|jit| {
        let mut machine = machine(jit, &code);
        let stop = machine.run(Some(100_000));
        assert!(matches!(stop, Stop::Halted(_)), "{stop:?}");
        assert_eq!(machine.engine().stats().interrupts, 1);
        machine.engine().cpu().state.gpr[0]
    });
    assert_eq!(at[0], at[1]);
    at[0].wrapping_sub(u64::from(after))
}

#[test]
fn an_interrupt_comes_after_the_popf_that_lets_it_through() {
    // push 202h; popfd
    assert_eq!(interrupted_at(&[0x68, 0x02, 0x02, 0, 0, 0x9d]), 0);
}

#[test]
fn an_interrupt_comes_one_instruction_after_sti() {
    assert_eq!(interrupted_at(&[0xfb]), 1);
    // sti; mov cr3, eax
    assert_eq!(interrupted_at(&[0xfb, 0x0f, 0x22, 0xd8]), 0);
}
