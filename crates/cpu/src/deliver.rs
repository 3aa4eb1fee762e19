//! Delivery of exceptions and interrupts through the IDT (SDM Vol. 3A chapter 6; Vol. 2A "INT n").
//!
//! Every check comes before the first change: the pushes are probed as a whole, then made.
//! Not modelled: task gates, virtual-8086 mode, real mode. RF is pushed set for faults and never kept in
//! EFLAGS, because no instruction breakpoint exists that it could suppress.

use base::{AccessSize, LinearAddr};
use isa::{Gpr, SegReg, Width};

use crate::descriptor::{Descriptor, Entry, SYSTEM_32, SystemKind, is_null, rpl, selector_code};
use crate::far::check_eip;
use crate::segmentation::linear;
use crate::stack::Stack;
use crate::{Cpu, Exception, Trap, eflags, leave};

/// Error code bit: the event came from outside the program (SDM Vol. 3A 6.13).
const EXT: u32 = 1 << 0;
/// Error code bit: the index is one of the IDT.
const IDT: u32 = 1 << 1;
/// DR7.GD: an access to a debug register gives #DB.
const DR7_GD: u32 = 1 << 13;

/// The instructions that call an interrupt handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoftwareInterrupt {
    /// INT n.
    Int,
    /// INT3.
    Int3,
    /// INTO, when OF is set.
    Into,
    /// INT1: no check of the gate's DPL, and EXT is set in error codes.
    Int1,
}

/// What is to be delivered.
#[derive(Clone, Copy, Debug)]
struct Event {
    vector: u8,
    /// Error code to push.
    error: Option<u32>,
    /// EXT in the error codes of exceptions raised meanwhile.
    ext: u32,
    /// The gate's DPL must admit the present privilege level.
    check_dpl: bool,
    /// EIP to push.
    return_eip: u32,
    /// RF in the flags to push.
    resume: bool,
}

/// An interrupt or trap gate.
#[derive(Clone, Copy, Debug)]
struct Gate {
    descriptor: Descriptor,
    width: Width,
    trap: bool,
}

impl Gate {
    fn offset(self) -> u32 {
        self.descriptor.gate_offset() & self.width.mask() as u32
    }
}

/// The stack of an inner ring, out of the TSS.
struct InnerStack {
    entry: Entry,
    selector: u16,
    pointer: u32,
}

impl Cpu {
    /// Delivers an exception, and what delivering it raises, down to a double fault.
    ///
    /// # Errors
    /// `Trap::Shutdown` for a triple fault, `Trap::Unsupported` for what is not built.
    pub fn deliver(&mut self, exception: Exception) -> Result<(), Trap> {
        let mut current = exception;
        loop {
            if let Exception::Pf { la, .. } = current {
                self.state.cr2 = la.0;
            }
            let event = Event {
                vector: current.vector(),
                error: current.error_code(),
                ext: EXT,
                check_dpl: false,
                return_eip: self.state.eip,
                resume: is_fault(current),
            };
            match self.deliver_event(event) {
                Ok(()) if current == Exception::Db => {
                    self.state.dr[7] &= !DR7_GD;
                    return Ok(());
                }
                Ok(()) => return Ok(()),
                Err(Trap::Exception(second)) => current = combine(current, second)?,
                Err(other @ (Trap::Unsupported(_) | Trap::Shutdown)) => return Err(other),
            }
        }
    }

    /// Delivers an external interrupt.
    ///
    /// # Errors
    /// As [`Cpu::deliver`], for the exceptions that delivering it raises.
    pub fn interrupt(&mut self, vector: u8) -> Result<(), Trap> {
        let return_eip = self.state.eip;
        let event = Event { vector, error: None, ext: EXT, check_dpl: false, return_eip, resume: false };
        match self.deliver_event(event) {
            Err(Trap::Exception(exception)) => self.deliver(exception),
            outcome => outcome,
        }
    }

    /// Calls the handler of a software interrupt, which returns to `next_eip`.
    ///
    /// # Errors
    /// The exceptions of SDM Vol. 2A "INT n", with the state as before the instruction; `Trap::Unsupported`
    /// for what is not built.
    pub fn software_interrupt(
        &mut self,
        vector: u8,
        kind: SoftwareInterrupt,
        next_eip: u32,
    ) -> Result<(), Trap> {
        let (ext, check_dpl) = match kind {
            SoftwareInterrupt::Int | SoftwareInterrupt::Int3 | SoftwareInterrupt::Into => (0, true),
            SoftwareInterrupt::Int1 => (EXT, false),
        };
        let event = Event { vector, error: None, ext, check_dpl, return_eip: next_eip, resume: false };
        self.deliver_event(event)
    }

    fn deliver_event(&mut self, event: Event) -> Result<(), Trap> {
        if !self.protected_mode() {
            return Err(Trap::Unsupported("real mode"));
        }
        let gate = self.gate(event)?;
        let mut code = self.handler(gate, event.ext)?;
        let cpl = self.state.cpl;
        let inward = !code.descriptor.is_conforming() && code.descriptor.dpl() < cpl;
        let new_cpl = if inward { code.descriptor.dpl() } else { cpl };
        let mut inner = if inward { Some(self.inner_stack(new_cpl, event.ext)?) } else { None };
        let stack = match &inner {
            Some(inner) => Stack {
                segment: inner.entry.descriptor.segment(inner.selector),
                esp: inner.pointer,
                user: false,
                fault_code: selector_code(inner.selector) | event.ext,
            },
            None => Stack { fault_code: event.ext, ..self.stack() },
        };
        let (frame, count) = self.frame(event, inward);
        let frame = &frame[..count];
        stack.check_room(frame.len(), gate.width)?;
        check_eip(&code, gate.offset(), event.ext)?;
        self.probe_pushes(&stack, frame.len(), gate.width)?;
        self.probe_accessed(&code)?;
        if let Some(inner) = &mut inner {
            self.mark_accessed(&mut inner.entry)?;
        }
        self.mark_accessed(&mut code)?;
        let esp = self.push_all(&stack, frame, gate.width)?;
        if let Some(inner) = inner {
            self.set_segment(SegReg::Ss, inner.entry.descriptor.segment(inner.selector));
        }
        self.set_gpr32(Gpr::Esp, esp);
        self.set_code(&code, gate.descriptor.gate_selector(), new_cpl, gate.offset());
        self.enter_handler(gate);
        Ok(())
    }

    /// The gate of a vector.
    fn gate(&mut self, event: Event) -> Result<Gate, Trap> {
        let code = u32::from(event.vector) << 3 | IDT | event.ext;
        let offset = u32::from(event.vector) * 8;
        if offset + 7 > self.state.idtr.limit {
            return Err(Exception::Gp(code).into());
        }
        let la = LinearAddr((self.state.idtr.base as u32).wrapping_add(offset));
        let descriptor = Descriptor(self.load_linear(la, AccessSize::B8, false)?);
        let gate = match descriptor.system() {
            Some(SystemKind::Gate { width, trap }) => Some(Gate { descriptor, width, trap }),
            Some(SystemKind::TaskGate) => None,
            Some(SystemKind::Reserved | SystemKind::Ldt | SystemKind::Tss { .. } | SystemKind::CallGate)
            | None => {
                return Err(Exception::Gp(code).into());
            }
        };
        if event.check_dpl && descriptor.dpl() < self.state.cpl {
            return Err(Exception::Gp(code).into());
        }
        if !descriptor.is_present() {
            return Err(Exception::Np(code).into());
        }
        gate.ok_or(Trap::Unsupported("task gates"))
    }

    /// The code segment of the handler.
    fn handler(&mut self, gate: Gate, ext: u32) -> Result<Entry, Exception> {
        let selector = gate.descriptor.gate_selector();
        if is_null(selector) {
            return Err(Exception::Gp(ext));
        }
        let code = selector_code(selector) | ext;
        let entry = self.descriptor(selector)?.ok_or(Exception::Gp(code))?;
        if !entry.descriptor.is_code() || entry.descriptor.dpl() > self.state.cpl {
            return Err(Exception::Gp(code));
        }
        if entry.descriptor.is_present() { Ok(entry) } else { Err(Exception::Np(code)) }
    }

    /// The stack for ring `dpl`, from the TSS (SDM Vol. 3A 7.2.1, 7.6).
    fn inner_stack(&mut self, dpl: u8, ext: u32) -> Result<InnerStack, Exception> {
        let tr = self.state.tr;
        let wide = tr.attrs & SYSTEM_32 != 0;
        let width = if wide { Width::B4 } else { Width::B2 };
        let offset = if wide { 4 + 8 * u32::from(dpl) } else { 2 + 4 * u32::from(dpl) };
        if offset + width.bytes() + 1 > tr.limit {
            return Err(Exception::Ts(selector_code(tr.selector) | ext));
        }
        let pointer = self.load_linear(linear(&tr, offset), width.access(), false)? as u32;
        let selector = self.load_linear(linear(&tr, offset + width.bytes()), AccessSize::B2, false)? as u16;
        if is_null(selector) {
            return Err(Exception::Ts(ext));
        }
        let code = selector_code(selector) | ext;
        let entry = self.descriptor(selector)?.ok_or(Exception::Ts(code))?;
        let descriptor = entry.descriptor;
        if rpl(selector) != dpl || descriptor.dpl() != dpl || !descriptor.is_writable() {
            return Err(Exception::Ts(code));
        }
        if descriptor.is_present() {
            Ok(InnerStack { entry, selector, pointer })
        } else {
            Err(Exception::Ss(code))
        }
    }

    /// What is pushed, in order, and how many values that are.
    fn frame(&mut self, event: Event, inward: bool) -> ([u32; 6], usize) {
        let flags = self.eflags() & !eflags::RF | if event.resume { eflags::RF } else { 0 };
        let (ss, cs) =
            (self.state.segs[SegReg::Ss.index()].selector, self.state.segs[SegReg::Cs.index()].selector);
        let mut frame = [u32::from(ss), self.gpr32(Gpr::Esp), flags, u32::from(cs), event.return_eip, 0];
        let mut count = 5;
        if let Some(error) = event.error {
            frame[5] = error;
            count = 6;
        }
        if !inward {
            frame.rotate_left(2);
            count -= 2;
        }
        (frame, count)
    }

    /// The flags and the rest of the state that a handler starts with (SDM Vol. 3A 6.12.1.2).
    fn enter_handler(&mut self, gate: Gate) {
        let mut cleared = eflags::TF | eflags::NT | eflags::RF | eflags::VM;
        if !gate.trap {
            cleared |= eflags::IF;
        }
        self.state.eflags &= !cleared;
        self.state.halted = false;
        self.state.interrupt_shadow = false;
        self.state.leave |= leave::MODE;
    }
}

/// What a second exception while the first is delivered makes (SDM Vol. 3A table 6-5).
fn combine(first: Exception, second: Exception) -> Result<Exception, Trap> {
    let page_fault = |exception| matches!(exception, Exception::Pf { .. });
    let serious = second.is_contributory() || page_fault(second);
    if first == Exception::Df && serious {
        return Err(Trap::Shutdown);
    }
    let double = first.is_contributory() && second.is_contributory() || page_fault(first) && serious;
    Ok(if double { Exception::Df } else { second })
}

/// Whether the exception is a fault, so that RF is pushed set (SDM Vol. 3A 17.3.1.1). #DB comes here as a
/// trap only: from single steps.
const fn is_fault(exception: Exception) -> bool {
    match exception {
        Exception::De
        | Exception::Br
        | Exception::Ud
        | Exception::Nm
        | Exception::Ts(_)
        | Exception::Np(_)
        | Exception::Ss(_)
        | Exception::Gp(_)
        | Exception::Pf { .. }
        | Exception::Mf
        | Exception::Ac(_)
        | Exception::Xm => true,
        Exception::Db | Exception::Bp | Exception::Of | Exception::Df | Exception::Mc => false,
    }
}
