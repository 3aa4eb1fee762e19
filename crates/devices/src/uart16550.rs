//! National Semiconductor PC16550D: serial port with FIFOs.
//!
//! Modelled: all registers, both FIFOs, the four interrupt causes with their priorities, modem control lines in
//! loopback, overrun in loopback. Transmission takes no time: the transmitter is empty again at once.
//! Not modelled: the line itself (baud rate, parity, framing and break never go wrong, bits that set them read
//! back); the four character times before the character timeout interrupt, which comes at once; the IRQ pin is
//! not gated by OUT2, as in QEMU. Host input beyond the receive FIFO waits in a bounded queue, it is not an overrun.
//! Source: PC16550D data sheet; register and bit names are its names.

use std::collections::VecDeque;
use std::sync::Arc;

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, MmioDevice};

use crate::{ByteSink, IrqLine};

/// Byte registers.
pub const RULES: AccessRules = AccessRules::new().valid(1, 1).implemented(1, 1).little_endian();
/// Bytes of the register block.
pub const LEN: u64 = 8;
/// Bytes that each FIFO holds.
pub const FIFO_LEN: usize = 16;
/// Host bytes that may wait for room in the receive FIFO.
pub const BACKLOG_LEN: usize = 64 * 1024;

/// Register offsets.
pub mod reg {
    /// Receiver buffer (read), transmitter holding (write), divisor latch low (DLAB).
    pub const RBR_THR_DLL: u64 = 0;
    /// Interrupt enable, divisor latch high (DLAB).
    pub const IER_DLM: u64 = 1;
    /// Interrupt identification (read), FIFO control (write).
    pub const IIR_FCR: u64 = 2;
    /// Line control.
    pub const LCR: u64 = 3;
    /// Modem control.
    pub const MCR: u64 = 4;
    /// Line status.
    pub const LSR: u64 = 5;
    /// Modem status.
    pub const MSR: u64 = 6;
    /// Scratch.
    pub const SCR: u64 = 7;
}

/// Interrupt enable bits.
pub mod ier {
    /// Received data available.
    pub const ERBFI: u8 = 1;
    /// Transmitter holding register empty.
    pub const ETBEI: u8 = 2;
    /// Receiver line status.
    pub const ELSI: u8 = 4;
    /// Modem status.
    pub const EDSSI: u8 = 8;
}

/// Interrupt identification values, highest priority first in the data sheet's table.
pub mod iir {
    /// No interrupt pending.
    pub const NONE: u8 = 0x1;
    /// Receiver line status.
    pub const LINE_STATUS: u8 = 0x6;
    /// Received data available or trigger level reached.
    pub const DATA: u8 = 0x4;
    /// Character timeout.
    pub const TIMEOUT: u8 = 0xc;
    /// Transmitter holding register empty.
    pub const THRE: u8 = 0x2;
    /// Modem status.
    pub const MODEM: u8 = 0x0;
    /// Both bits set: FIFOs enabled.
    pub const FIFOS: u8 = 0xc0;
}

/// Line status bits.
pub mod lsr {
    /// Data ready.
    pub const DR: u8 = 0x01;
    /// Overrun error.
    pub const OE: u8 = 0x02;
    /// Parity, framing, break: never set here.
    pub const PE_FE_BI: u8 = 0x1c;
    /// Transmitter holding register empty.
    pub const THRE: u8 = 0x20;
    /// Transmitter empty.
    pub const TEMT: u8 = 0x40;
}

const LCR_DLAB: u8 = 0x80;
const FCR_ENABLE: u8 = 0x01;
const FCR_CLEAR_RX: u8 = 0x02;
const MCR_DTR: u8 = 0x01;
const MCR_RTS: u8 = 0x02;
const MCR_OUT1: u8 = 0x04;
const MCR_OUT2: u8 = 0x08;
const MCR_LOOP: u8 = 0x10;
const MSR_CTS: u8 = 0x10;
const MSR_DSR: u8 = 0x20;
const MSR_RI: u8 = 0x40;
const MSR_DCD: u8 = 0x80;
const MSR_DELTAS: u8 = 0x0f;
/// Modem inputs outside loopback: a peer that is always there.
const MODEM_IDLE: u8 = MSR_CTS | MSR_DSR | MSR_DCD;

/// The chip's guest-visible state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UartState {
    /// Divisor latch; the baud rate has no effect.
    pub divisor: u16,
    /// Interrupt enable register.
    pub ier: u8,
    /// FIFO control register: enable and trigger bits.
    pub fcr: u8,
    /// Line control register.
    pub lcr: u8,
    /// Modem control register.
    pub mcr: u8,
    /// Overrun error, until LSR is read.
    pub overrun: bool,
    /// Modem status register with its delta bits.
    pub msr: u8,
    /// Scratch register.
    pub scr: u8,
    /// The THRE interrupt is pending.
    pub thre_pending: bool,
    /// Received bytes: at most [`FIFO_LEN`], or one without FIFOs.
    pub rx: VecDeque<u8>,
    /// Host bytes that wait for room, at most [`BACKLOG_LEN`].
    pub backlog: VecDeque<u8>,
}

impl Default for UartState {
    fn default() -> Self {
        Self {
            divisor: 0x0c,
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: MCR_OUT2,
            overrun: false,
            msr: MODEM_IDLE,
            scr: 0,
            thre_pending: false,
            rx: VecDeque::new(),
            backlog: VecDeque::new(),
        }
    }
}

/// The serial port with its wires.
pub struct Uart16550 {
    state: UartState,
    irq: IrqLine,
    sink: Arc<dyn ByteSink>,
}

impl Uart16550 {
    /// A port after reset that prints to `sink` and interrupts through `irq`.
    #[must_use]
    pub fn new(irq: IrqLine, sink: Arc<dyn ByteSink>) -> Self {
        Self { state: UartState::default(), irq, sink }
    }

    /// The state, to compare and save.
    #[must_use]
    pub fn state(&self) -> &UartState {
        &self.state
    }

    /// Bytes from the host; returns how many were taken, the rest finds the queue full and is the caller's.
    pub fn push_input(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(BACKLOG_LEN - self.state.backlog.len());
        self.state.backlog.extend(&bytes[..taken]);
        self.refill();
        self.update_irq();
        taken
    }

    /// Moves waiting host bytes into the receiver while it has room. A receiver in loopback takes none.
    fn refill(&mut self) {
        let state = &mut self.state;
        let room = state.rx_capacity().saturating_sub(state.rx.len());
        if state.mcr & MCR_LOOP == 0 && room > 0 {
            let count = room.min(state.backlog.len());
            state.rx.extend(state.backlog.drain(..count));
        }
    }

    fn update_irq(&self) {
        self.irq.set(self.state.cause() != iir::NONE);
    }

    fn transmit(&mut self, byte: u8) {
        if self.state.mcr & MCR_LOOP == 0 {
            self.sink.put(byte);
        } else {
            self.state.receive_looped(byte);
        }
        // The byte left at once, so the holding register became empty again.
        self.state.thre_pending = true;
    }

    fn read_iir(&mut self) -> u8 {
        let cause = self.state.cause();
        if cause == iir::THRE {
            self.state.thre_pending = false;
        }
        let fifos = if self.state.fifos_enabled() { iir::FIFOS } else { 0 };
        cause | fifos
    }

    fn read_lsr(&mut self) -> u8 {
        let value = self.state.lsr();
        self.state.overrun = false;
        value
    }

    fn read_msr(&mut self) -> u8 {
        let value = self.state.msr;
        self.state.msr &= !MSR_DELTAS;
        value
    }

    fn write_ier(&mut self, value: u8) {
        // Enabling the THRE interrupt while the transmitter is empty, which it always is, raises it.
        if value & !self.state.ier & ier::ETBEI != 0 {
            self.state.thre_pending = true;
        }
        self.state.ier = value & 0x0f;
    }

    fn write_fcr(&mut self, value: u8) {
        let state = &mut self.state;
        let toggled = (value ^ state.fcr) & FCR_ENABLE != 0;
        if toggled || (value & FCR_ENABLE != 0 && value & FCR_CLEAR_RX != 0) {
            state.rx.clear();
        }
        // Without the enable bit the other bits are not programmed (data sheet, FCR0).
        state.fcr = if value & FCR_ENABLE != 0 { value & 0xc9 } else { 0 };
        self.refill();
    }

    fn write_mcr(&mut self, value: u8) {
        self.state.mcr = value & 0x1f;
        self.state.update_modem_inputs();
        self.refill();
    }
}

impl UartState {
    fn fifos_enabled(&self) -> bool {
        self.fcr & FCR_ENABLE != 0
    }

    fn rx_capacity(&self) -> usize {
        if self.fifos_enabled() { FIFO_LEN } else { 1 }
    }

    /// Received bytes that raise the data interrupt.
    fn trigger_level(&self) -> usize {
        if self.fifos_enabled() { [1, 4, 8, 14][usize::from(self.fcr >> 6)] } else { 1 }
    }

    fn dlab(&self) -> bool {
        self.lcr & LCR_DLAB != 0
    }

    fn lsr(&self) -> u8 {
        let mut value = lsr::THRE | lsr::TEMT;
        if !self.rx.is_empty() {
            value |= lsr::DR;
        }
        if self.overrun {
            value |= lsr::OE;
        }
        value
    }

    /// The pending interrupt of the highest priority (data sheet, table "Interrupt Control Functions").
    fn cause(&self) -> u8 {
        if self.ier & ier::ELSI != 0 && self.overrun {
            iir::LINE_STATUS
        } else if self.ier & ier::ERBFI != 0 && self.rx.len() >= self.trigger_level() {
            iir::DATA
        } else if self.ier & ier::ERBFI != 0 && !self.rx.is_empty() {
            iir::TIMEOUT
        } else if self.ier & ier::ETBEI != 0 && self.thre_pending {
            iir::THRE
        } else if self.ier & ier::EDSSI != 0 && self.msr & MSR_DELTAS != 0 {
            iir::MODEM
        } else {
            iir::NONE
        }
    }

    /// A byte that came back through loopback. A full receiver keeps its FIFO and loses the byte in the shift
    /// register; without FIFOs the new byte replaces the old one (data sheet, LSR1).
    fn receive_looped(&mut self, byte: u8) {
        if self.rx.len() < self.rx_capacity() {
            self.rx.push_back(byte);
            return;
        }
        self.overrun = true;
        if !self.fifos_enabled() {
            self.rx.clear();
            self.rx.push_back(byte);
        }
    }

    /// Recomputes CTS, DSR, RI and DCD and sets the delta bits of those that changed.
    fn update_modem_inputs(&mut self) {
        let old = self.msr;
        let inputs = if self.mcr & MCR_LOOP == 0 { MODEM_IDLE } else { looped_inputs(self.mcr) };
        let changed = old ^ inputs;
        let mut deltas = (changed >> 4) & 0x0b;
        // TERI: only the trailing edge of the ring indicator counts.
        if old & MSR_RI != 0 && inputs & MSR_RI == 0 {
            deltas |= 0x04;
        }
        self.msr = inputs | (old & MSR_DELTAS) | deltas;
    }
}

/// Modem inputs in loopback: DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD.
const fn looped_inputs(mcr: u8) -> u8 {
    let mut inputs = 0;
    if mcr & MCR_DTR != 0 {
        inputs |= MSR_DSR;
    }
    if mcr & MCR_RTS != 0 {
        inputs |= MSR_CTS;
    }
    if mcr & MCR_OUT1 != 0 {
        inputs |= MSR_RI;
    }
    if mcr & MCR_OUT2 != 0 {
        inputs |= MSR_DCD;
    }
    inputs
}

impl MmioDevice for Uart16550 {
    fn read(&mut self, off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        let [low, high] = self.state.divisor.to_le_bytes();
        let value = match off.0 {
            reg::RBR_THR_DLL if self.state.dlab() => low,
            reg::RBR_THR_DLL => {
                let byte = self.state.rx.pop_front().unwrap_or(0);
                self.refill();
                byte
            }
            reg::IER_DLM if self.state.dlab() => high,
            reg::IER_DLM => self.state.ier,
            reg::IIR_FCR => self.read_iir(),
            reg::LCR => self.state.lcr,
            reg::MCR => self.state.mcr,
            reg::LSR => self.read_lsr(),
            reg::MSR => self.read_msr(),
            _ => self.state.scr,
        };
        self.update_irq();
        Ok(u64::from(value))
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        _size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        let value = (value & 0xff) as u8;
        let [low, high] = self.state.divisor.to_le_bytes();
        match off.0 {
            reg::RBR_THR_DLL if self.state.dlab() => self.state.divisor = u16::from_le_bytes([value, high]),
            reg::RBR_THR_DLL => self.transmit(value),
            reg::IER_DLM if self.state.dlab() => self.state.divisor = u16::from_le_bytes([low, value]),
            reg::IER_DLM => self.write_ier(value),
            reg::IIR_FCR => self.write_fcr(value),
            reg::LCR => self.state.lcr = value,
            reg::MCR => self.write_mcr(value),
            reg::LSR => guest_error!("uart16550", "write of {value:#04x} to the line status register"),
            reg::MSR => guest_error!("uart16550", "write of {value:#04x} to the modem status register"),
            _ => self.state.scr = value,
        }
        self.update_irq();
        Ok(())
    }

    fn reset(&mut self) {
        self.state = UartState::default();
        self.update_irq();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::fake::{Bytes, FakeLines};

    struct Rig {
        uart: Uart16550,
        lines: Arc<FakeLines>,
        out: Arc<Bytes>,
    }

    fn rig() -> Rig {
        let lines = Arc::new(FakeLines::default());
        let out = Arc::new(Bytes::default());
        Rig { uart: Uart16550::new(lines.line(4), out.clone()), lines, out }
    }

    impl Rig {
        fn get(&mut self, reg: u64) -> u8 {
            self.uart.read(RegionOffset(reg), AccessSize::B1, &mut AccessCx::cpu()).unwrap() as u8
        }
        fn put(&mut self, reg: u64, value: u8) {
            self.uart.write(RegionOffset(reg), value.into(), AccessSize::B1, &mut AccessCx::cpu()).unwrap();
        }
    }

    #[test]
    fn bytes_written_are_sent_and_the_transmitter_is_empty_again() {
        let mut rig = rig();
        for byte in *b"ok" {
            rig.put(reg::RBR_THR_DLL, byte);
        }
        assert_eq!(*rig.out.0.lock().unwrap(), b"ok");
        assert_eq!(rig.get(reg::LSR), lsr::THRE | lsr::TEMT);
        assert!(!rig.lines.level(4));
    }

    #[test]
    fn the_divisor_latch_hides_data_and_ier() {
        let mut rig = rig();
        rig.put(reg::LCR, 0x83);
        rig.put(reg::RBR_THR_DLL, 0x34);
        rig.put(reg::IER_DLM, 0x12);
        assert_eq!((rig.get(0), rig.get(1), rig.uart.state().divisor), (0x34, 0x12, 0x1234));
        rig.put(reg::LCR, 0x03);
        assert_eq!((rig.get(1), rig.out.0.lock().unwrap().len()), (0, 0));
    }

    #[test]
    fn thre_interrupt_is_raised_by_enabling_and_cleared_by_reading_iir() {
        let mut rig = rig();
        rig.put(reg::IER_DLM, ier::ETBEI);
        assert!(rig.lines.level(4));
        assert_eq!(rig.get(reg::IIR_FCR), iir::THRE);
        assert!(!rig.lines.level(4));
        assert_eq!(rig.get(reg::IIR_FCR), iir::NONE);
        rig.put(reg::RBR_THR_DLL, b'x');
        assert_eq!(rig.lines.rises(4), 2);
    }

    #[test]
    fn received_data_interrupts_at_the_trigger_level_then_by_timeout() {
        let mut rig = rig();
        rig.put(reg::IIR_FCR, FCR_ENABLE | 0x40);
        rig.put(reg::IER_DLM, ier::ERBFI);
        assert_eq!(rig.uart.push_input(b"abcde"), 5);
        assert_eq!(rig.get(reg::IIR_FCR), iir::DATA | iir::FIFOS);
        assert_eq!((rig.get(0), rig.get(0)), (b'a', b'b'));
        assert_eq!(rig.get(reg::IIR_FCR), iir::TIMEOUT | iir::FIFOS);
        assert_eq!([rig.get(0), rig.get(0), rig.get(0)], *b"cde");
        assert!(!rig.lines.level(4));
        assert_eq!(rig.get(0), 0);
    }

    #[test]
    fn input_beyond_the_fifo_waits_and_is_bounded() {
        let mut rig = rig();
        let input: Vec<u8> = (0..40).collect();
        rig.put(reg::IIR_FCR, FCR_ENABLE);
        assert_eq!(rig.uart.push_input(&input), 40);
        assert_eq!(rig.uart.state().rx.len(), FIFO_LEN);
        let got: Vec<u8> = (0..40).map(|_| rig.get(0)).collect();
        assert_eq!(got, input);
        assert_eq!(rig.get(reg::LSR) & (lsr::DR | lsr::OE), 0);
        assert_eq!(rig.uart.push_input(&vec![0; 2 * BACKLOG_LEN]), BACKLOG_LEN);
    }

    #[test]
    fn loopback_returns_data_and_modem_lines_and_overruns() {
        let mut rig = rig();
        rig.put(reg::MCR, MCR_LOOP | MCR_DTR | MCR_OUT1);
        assert_eq!(rig.get(reg::MSR) & 0xf0, MSR_DSR | MSR_RI);
        rig.put(reg::MCR, MCR_LOOP | MCR_RTS);
        assert_eq!(rig.get(reg::MSR), MSR_CTS | 0x07);
        assert_eq!(rig.get(reg::MSR), MSR_CTS);
        rig.put(reg::IER_DLM, ier::ELSI);
        rig.put(reg::RBR_THR_DLL, b'1');
        rig.put(reg::RBR_THR_DLL, b'2');
        assert_eq!(rig.get(reg::IIR_FCR), iir::LINE_STATUS);
        assert_eq!(rig.get(reg::LSR) & (lsr::OE | lsr::DR), lsr::OE | lsr::DR);
        assert_eq!((rig.get(reg::LSR) & lsr::OE, rig.get(0)), (0, b'2'));
        assert!(rig.out.0.lock().unwrap().is_empty());
    }

    #[test]
    fn reset_restores_the_reset_values() {
        let mut rig = rig();
        rig.put(reg::IER_DLM, 0xff);
        rig.put(reg::SCR, 0x5a);
        assert_eq!((rig.get(reg::IER_DLM), rig.get(reg::SCR)), (0x0f, 0x5a));
        rig.uart.push_input(b"z");
        rig.uart.reset();
        assert_eq!(*rig.uart.state(), UartState::default());
        assert!(!rig.lines.level(4));
    }
}
