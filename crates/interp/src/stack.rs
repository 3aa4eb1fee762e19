//! The stack: PUSH and POP in all their forms, ENTER, LEAVE.
//!
//! The stack-address size (SS.B) chooses ESP or SP; the operand size says how much is moved. ESP changes only
//! after the last access that can fault.

use cpu::{Cpu, Exception, Trap, attr, eflags};
use isa::{Gpr, Operand, Reg, SegReg, Width};

use crate::operand::{self, Place, immediate, truncate};
use crate::view::View;

/// What PUSHF stores of EFLAGS: VM and RF read as 0.
const PUSHED_FLAGS: u32 = 0x00fc_ffff;

/// The general-purpose registers in the order of PUSHA.
const PUSHA_ORDER: [Gpr; 8] = Gpr::ALL;

/// The stack-address size.
fn address_size(cpu: &Cpu) -> Width {
    let attrs = cpu.state.segs[SegReg::Ss.index()].attrs;
    if attrs & attr::DB != 0 { Width::B4 } else { Width::B2 }
}

fn pointer(gpr: Gpr, size: Width) -> Reg {
    Reg { gpr, width: size, high: false }
}

/// ESP or SP.
fn top(cpu: &Cpu) -> u32 {
    cpu.reg(pointer(Gpr::Esp, address_size(cpu)))
}

/// Sets ESP or SP; the upper half of ESP stays on a 16-bit stack.
fn set_top(cpu: &mut Cpu, off: u32) {
    cpu.set_reg(pointer(Gpr::Esp, address_size(cpu)), off);
}

/// The stack offset `bytes` above `off`, wrapped to the stack-address size.
fn above(cpu: &Cpu, off: u32, bytes: u32) -> u32 {
    truncate(off.wrapping_add(bytes), address_size(cpu))
}

/// The stack offset `bytes` below `off`.
fn below(cpu: &Cpu, off: u32, bytes: u32) -> u32 {
    above(cpu, off, bytes.wrapping_neg())
}

fn load(cpu: &mut Cpu, off: u32, width: Width) -> Result<u32, Exception> {
    Ok(cpu.load(SegReg::Ss, off, width.access())? as u32)
}

fn store(cpu: &mut Cpu, off: u32, width: Width, value: u32) -> Result<(), Exception> {
    cpu.store(SegReg::Ss, off, width.access(), u64::from(truncate(value, width)))
}

/// Pushes one value.
///
/// # Errors
/// #SS(0), #PF; nothing has changed then.
pub fn push_value(cpu: &mut Cpu, width: Width, value: u32) -> Result<(), Exception> {
    let new = below(cpu, top(cpu), width.bytes());
    store(cpu, new, width, value)?;
    set_top(cpu, new);
    Ok(())
}

/// The value on top of the stack and the stack pointer above it; nothing is popped yet.
///
/// # Errors
/// #SS(0), #PF.
fn peek(cpu: &mut Cpu, width: Width) -> Result<(u32, u32), Exception> {
    let off = top(cpu);
    Ok((load(cpu, off, width)?, above(cpu, off, width.bytes())))
}

/// PUSH. SDM Vol. 2B "PUSH": PUSH ESP pushes the old value. A segment selector is zero-extended to the operand
/// size (the manual allows either that or a 16-bit store).
#[inline(always)]
pub fn push(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let value = match insn.operand(0) {
        Operand::Seg(seg) => u32::from(cpu.state.segs[seg.index()].selector),
        Operand::None
        | Operand::Reg(_)
        | Operand::Mem(_)
        | Operand::Imm(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. } => operand::read(cpu, insn, 0)?,
    };
    push_value(cpu, insn.op_size(), value)
}

/// POP. SDM Vol. 2B "POP".
///
/// # Errors
/// #SS(0), #PF of the stack; then those of loading the segment register or of the store.
#[inline(always)]
pub fn pop(cpu: &mut Cpu, insn: &impl View) -> Result<(), Trap> {
    let (value, new) = peek(cpu, insn.op_size())?;
    match insn.operand(0) {
        Operand::Seg(seg) => return pop_segment(cpu, seg, value, new),
        Operand::None
        | Operand::Reg(_)
        | Operand::Mem(_)
        | Operand::Imm(_)
        | Operand::Cr(_)
        | Operand::Dr(_)
        | Operand::Target(_)
        | Operand::Far { .. } => {}
    }
    // A memory operand based on ESP uses the incremented ESP; a popped ESP overwrites the incremented one.
    let old = cpu.gpr32(Gpr::Esp);
    set_top(cpu, new);
    let outcome = Place::of(cpu, insn, 0).and_then(|place| place.store(cpu, value));
    if outcome.is_err() {
        cpu.set_gpr32(Gpr::Esp, old);
    }
    Ok(outcome?)
}

/// POP to a segment register; the old SS says how wide the stack pointer is.
fn pop_segment(cpu: &mut Cpu, seg: SegReg, value: u32, new: u32) -> Result<(), Trap> {
    let esp = pointer(Gpr::Esp, address_size(cpu));
    cpu.load_segment(seg, value as u16)?;
    cpu.set_reg(esp, new);
    if seg == SegReg::Ss {
        cpu.state.interrupt_shadow = true;
    }
    Ok(())
}

/// PUSHA, PUSHAD. SDM Vol. 2B "PUSHA/PUSHAD": ESP is pushed as it was before.
///
/// # Errors
/// #GP(0) in real mode for an SP of 7, 9, 11, 13 or 15; #SS(0), #PF.
pub fn pusha(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let start = top(cpu);
    if !cpu.protected_mode() && matches!(start, 7 | 9 | 11 | 13 | 15) {
        return Err(Exception::Gp(0));
    }
    let slot = |cpu: &Cpu, n: usize| below(cpu, start, (n as u32 + 1) * insn.op_size().bytes());
    for n in 0..PUSHA_ORDER.len() {
        let off = slot(cpu, n);
        cpu.probe_write(SegReg::Ss, off, insn.op_size().access())?;
    }
    for (n, gpr) in PUSHA_ORDER.into_iter().enumerate() {
        let (off, value) = (slot(cpu, n), cpu.gpr32(gpr));
        store(cpu, off, insn.op_size(), value)?;
    }
    let end = slot(cpu, PUSHA_ORDER.len() - 1);
    set_top(cpu, end);
    Ok(())
}

/// POPA, POPAD. SDM Vol. 2B "POPA/POPAD": the saved ESP is skipped.
///
/// # Errors
/// #SS(0), #PF.
pub fn popa(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let mut off = top(cpu);
    let mut values = [None; 8];
    for gpr in PUSHA_ORDER.into_iter().rev() {
        if gpr != Gpr::Esp {
            values[gpr.index()] = Some(load(cpu, off, insn.op_size())?);
        }
        off = above(cpu, off, insn.op_size().bytes());
    }
    for gpr in PUSHA_ORDER {
        if let Some(value) = values[gpr.index()] {
            cpu.set_reg(pointer(gpr, insn.op_size()), value);
        }
    }
    set_top(cpu, off);
    Ok(())
}

/// PUSHF, PUSHFD. SDM Vol. 2B "PUSHF/PUSHFD".
pub fn pushf(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let flags = cpu.valid_eflags() & PUSHED_FLAGS | eflags::FIXED;
    push_value(cpu, insn.op_size(), flags)
}

/// POPF, POPFD. SDM Vol. 2B "POPF/POPFD": what CPL and IOPL do not allow to change stays, silently.
pub fn popf(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let (flags, new) = peek(cpu, insn.op_size())?;
    set_top(cpu, new);
    cpu.write_eflags_popf(flags, insn.op_size());
    Ok(())
}

/// ENTER. SDM Vol. 2A "ENTER".
///
/// # Errors
/// #SS(0) and #PF of every push and every frame pointer read, in order; then those of a write at the final
/// stack pointer.
pub fn enter(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let frame = Frame::new(cpu, insn);
    frame.check(cpu)?;
    frame.build(cpu)
}

/// The stack frame that ENTER makes.
struct Frame {
    /// Stack pointer before.
    start: u32,
    /// EBP or BP, by the stack-address size: where the outer frame pointers are read.
    outer: u32,
    /// Nesting level, 0 to 31.
    level: u32,
    /// Stack pointer after.
    end: u32,
    width: Width,
}

impl Frame {
    fn new(cpu: &Cpu, insn: &impl View) -> Self {
        let (alloc, level) = (immediate(insn, 0) & 0xffff, immediate(insn, 1) & 31);
        let width = insn.op_size();
        let start = top(cpu);
        let pushes = if level == 0 { 1 } else { level + 1 };
        let end = below(cpu, start, pushes * width.bytes() + alloc);
        Self { start, outer: cpu.gpr32(Gpr::Ebp), level, end, width }
    }

    /// Offset of push `n`, counted from 1.
    fn slot(&self, cpu: &Cpu, n: u32) -> u32 {
        below(cpu, self.start, n * self.width.bytes())
    }

    /// Offset of outer frame pointer `n`, counted from 1.
    fn display(&self, cpu: &Cpu, n: u32) -> u32 {
        below(cpu, self.outer, n * self.width.bytes())
    }

    fn probe(&self, cpu: &mut Cpu, off: u32) -> Result<(), Exception> {
        cpu.probe_write(SegReg::Ss, off, self.width.access())
    }

    /// Makes every check in the order of the accesses.
    fn check(&self, cpu: &mut Cpu) -> Result<(), Exception> {
        self.probe(cpu, self.slot(cpu, 1))?;
        for n in 1..self.level {
            load(cpu, self.display(cpu, n), self.width)?;
            self.probe(cpu, self.slot(cpu, n + 1))?;
        }
        if self.level > 0 {
            self.probe(cpu, self.slot(cpu, self.level + 1))?;
        }
        self.probe(cpu, self.end)
    }

    fn build(&self, cpu: &mut Cpu) -> Result<(), Exception> {
        let ebp = cpu.gpr32(Gpr::Ebp);
        store(cpu, self.slot(cpu, 1), self.width, ebp)?;
        for n in 1..self.level {
            let pointer = load(cpu, self.display(cpu, n), self.width)?;
            store(cpu, self.slot(cpu, n + 1), self.width, pointer)?;
        }
        set_top(cpu, self.slot(cpu, 1));
        let frame_temp = cpu.gpr32(Gpr::Esp);
        if self.level > 0 {
            store(cpu, self.slot(cpu, self.level + 1), self.width, frame_temp)?;
        }
        cpu.set_reg(pointer(Gpr::Ebp, self.width), frame_temp);
        set_top(cpu, self.end);
        Ok(())
    }
}

/// LEAVE. SDM Vol. 2A "LEAVE": ESP := EBP; EBP := Pop().
pub fn leave(cpu: &mut Cpu, insn: &impl View) -> Result<(), Exception> {
    let off = cpu.reg(pointer(Gpr::Ebp, address_size(cpu)));
    let value = load(cpu, off, insn.op_size())?;
    let new = above(cpu, off, insn.op_size().bytes());
    set_top(cpu, new);
    cpu.set_reg(pointer(Gpr::Ebp, insn.op_size()), value);
    Ok(())
}

/// The return address on top of the stack and the stack pointer after a near return that also releases
/// `release` bytes.
///
/// # Errors
/// #SS(0), #PF.
pub fn return_address(cpu: &mut Cpu, width: Width, release: u32) -> Result<(u32, u32), Exception> {
    let (eip, new) = peek(cpu, width)?;
    Ok((eip, above(cpu, new, release)))
}

/// Sets the stack pointer that [`return_address`] gave.
pub fn set_pointer(cpu: &mut Cpu, off: u32) {
    set_top(cpu, off);
}
