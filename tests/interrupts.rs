//! An interrupt that waits is taken at the very instruction that lets it through, and HLT lasts until one comes that can
//! get through: if none can, the run ends.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use base::AccessSize;
use engine::{EngineConfig, JitMode, Stop};
use machine::{BoardConfig, Machine};
use memory::{AccessCx, Row};

const CODE: u32 = 0x10_0000;
const GDT: u32 = 0x5000;
const IDT: u32 = 0x6000;
const HANDLER: u32 = 0x7000;
/// IRQ 0, the timer, with the master's vectors at 20.
const TIMER: u32 = 0x20;
/// IRQ 4, the serial port.
const SERIAL: u32 = 0x24;
/// `mov al, 20h; out 20h, al; iret`: ends the interrupt.
const END: [u8; 5] = [0xb0, 0x20, 0xe6, 0x20, 0xcf];
/// INC EAX after the instruction that is looked at.
const INCS: usize = 40;

/// A machine with `code`, which begins with LGDT and LIDT, at `CODE`, `handler` for the interrupt `vector`, and the master
/// interrupt controller ready with the mask `mask`.
fn machine(jit: JitMode, code: &[u8], vector: u32, handler: &[u8], mask: u8) -> Machine {
    let config = EngineConfig { jit, threshold: 0, ..EngineConfig::default() };
    let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
    let rom = |at: u32, bytes: &[u8]| machine.memory().write_rom(at.into(), bytes);
    // Descriptor 8: code, 4 GiB, readable.
    rom(GDT + 8, &[0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0]);
    // Gate: offset, selector 8, present 32-bit interrupt gate.
    let [low, high, ..] = HANDLER.to_le_bytes();
    rom(IDT + 8 * vector, &[low, high, 8, 0, 0, 0x8e, 0, 0]);
    // Pseudo-descriptors of both tables.
    rom(GDT - 16, &[&[0x0f, 0][..], &GDT.to_le_bytes()].concat());
    rom(GDT - 8, &[&[0xff, 0x07][..], &IDT.to_le_bytes()].concat());
    rom(HANDLER, handler);
    rom(CODE, code);
    // ICW1 to ICW4 and the mask.
    for (port, value) in [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, mask)] {
        out(&machine, port, value.into());
    }
    let cpu = machine.engine_mut().cpu_mut();
    cpu.set_flat_protected(CODE);
    cpu.state.gpr[4] = 0x3_0000;
    machine
}

fn out(machine: &Machine, port: u64, value: u64) {
    let ports = machine.board().ports().view();
    let outcome = ports.dispatch_write(port, AccessSize::B1, value, Row::ByteCopy, &mut AccessCx::cpu());
    assert!(outcome.is_ok(), "a device is at port {port:#x}");
}

/// LGDT and LIDT of the tables that [`machine`] makes.
fn tables() -> Vec<u8> {
    let mut code = vec![0x0f, 0x01, 0x15];
    code.extend((GDT - 16).to_le_bytes());
    code.extend([0x0f, 0x01, 0x1d]);
    code.extend((GDT - 8).to_le_bytes());
    code
}

/// `lgdt`, `lidt`, `xor eax, eax`, 30 times `mov cr3, eax`, the instructions given, INC EAX, HLT; the address of the
/// first INC EAX.
fn program(opening: &[u8]) -> (Vec<u8>, u32) {
    let mut code = tables();
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
        // pop eax; hlt
        let mut machine = machine(jit, &code, SERIAL, &[0x58, 0xf4], 0);
        // The receiver's interrupt enable.
        out(&machine, 0x3f9, 1);
        assert_eq!(machine.board().serial_input(b"x"), 1);
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

/// Runs `sti`, then `hlt; jmp` back to it for ever, with the timer's interrupts going to `handler`; how the first 1000
/// instructions ended, and with how many interrupts. A run that does not end by itself is stopped.
fn idle(jit: JitMode, control: u64, handler: &[u8], mask: u8) -> (Stop, u64) {
    let code = [tables(), vec![0xfb, 0xf4, 0xeb, 0xfd]].concat();
    let mut machine = machine(jit, &code, TIMER, handler, mask);
    // The control word for counter 0, and 2000 ticks.
    for (port, value) in [(0x43, control), (0x40, 0xd0), (0x40, 7)] {
        out(&machine, port, value);
    }
    let flag = machine.stop_flag();
    let (ended, wait) = channel::<()>();
    let watch = std::thread::spawn(move || {
        if wait.recv_timeout(Duration::from_secs(20)) == Err(RecvTimeoutError::Timeout) {
            flag.store(true, Ordering::Relaxed);
        }
    });
    let stop = machine.run(Some(1000));
    drop(ended);
    watch.join().expect("it only waits");
    (stop, machine.engine().stats().interrupts)
}

/// Control words for counter 0, both bytes: modes 0, 2 and 3.
const ONCE: u64 = 0x30;
const RATE: u64 = 0x34;
const SQUARE: u64 = 0x36;
/// After `lgdt`, `lidt`, `sti` and `hlt`.
const AFTER_HLT: u32 = CODE + 16;

#[test]
fn a_timer_whose_interrupt_gets_through_ends_every_hlt() {
    for jit in [JitMode::Off, JitMode::Sync] {
        for control in [RATE, SQUARE] {
            let (stop, interrupts) = idle(jit, control, &END, 0xfe);
            assert_eq!(stop, Stop::Limit);
            // Five instructions for each.
            assert!((198..=200).contains(&interrupts), "{interrupts}");
        }
    }
}

#[test]
fn hlt_with_every_line_masked_is_for_good() {
    for jit in [JitMode::Off, JitMode::Sync] {
        for control in [ONCE, RATE, SQUARE] {
            assert_eq!(idle(jit, control, &END, 0xff), (Stop::Halted(AFTER_HLT), 0));
            // The serial port alone may interrupt, and nothing arrives there.
            assert_eq!(idle(jit, control, &END, 0xef), (Stop::Halted(AFTER_HLT), 0));
        }
    }
}

#[test]
fn hlt_in_the_service_of_the_timer_is_for_good() {
    for jit in [JitMode::Off, JitMode::Sync] {
        // sti; hlt, with no end of interrupt before.
        let stop = idle(jit, RATE, &[0xfb, 0xf4], 0xfe);
        assert_eq!(stop, (Stop::Halted(HANDLER + 2), 1));
    }
}

#[test]
fn hlt_after_the_only_interrupt_of_a_timer_is_for_good() {
    for jit in [JitMode::Off, JitMode::Sync] {
        assert_eq!(idle(jit, ONCE, &END, 0xfe), (Stop::Halted(AFTER_HLT), 1));
    }
}
