//! Far jumps, calls and returns, and IRET in protected mode (SDM Vol. 3A 5.8, 6.12; Vol. 2 "JMP", "CALL",
//! "RET", "IRET").
//!
//! Not modelled: call gates, task switches, virtual-8086 mode, real mode apart from JMP; each ends the run
//! with `Trap::Unsupported`, after every check that would have given the guest an exception instead.

use base::AccessSize;
use isa::{Gpr, SegReg, Width};

use crate::descriptor::{Entry, SystemKind, is_null, rpl, selector_code};
use crate::layout::Segment;
use crate::segmentation::within_limit;
use crate::stack::Stack;
use crate::{Cpu, Exception, Trap, attr, eflags, leave};

/// Where a return leads: what it popped, before any check.
struct Return {
    selector: u16,
    eip: u32,
    /// The stack above what was popped, the immediate of RET included.
    rest: u32,
    /// The immediate of RET: also released from the outer stack.
    release: u32,
    width: Width,
}

impl Cpu {
    /// JMP to a far pointer.
    ///
    /// # Errors
    /// #GP(0), #GP(selector), #NP(selector), #PF, or what is not built.
    pub fn far_jump(&mut self, selector: u16, offset: u32, op_size: Width) -> Result<(), Trap> {
        let eip = offset & op_size.mask() as u32;
        if !self.protected_mode() {
            return self.real_jump(selector, eip);
        }
        let mut entry = self.code_target(selector)?;
        check_eip(&entry, eip, 0)?;
        self.mark_accessed(&mut entry)?;
        let cpl = self.state.cpl;
        self.set_code(&entry, selector, cpl, eip);
        Ok(())
    }

    /// CALL to a far pointer, returning to `next_eip`.
    ///
    /// # Errors
    /// #GP(0), #GP(selector), #NP(selector), #SS(0), #PF, or what is not built.
    pub fn far_call(
        &mut self,
        selector: u16,
        offset: u32,
        op_size: Width,
        next_eip: u32,
    ) -> Result<(), Trap> {
        self.check_far_mode()?;
        let eip = offset & op_size.mask() as u32;
        let mut entry = self.code_target(selector)?;
        let stack = self.stack();
        stack.check_room(2, op_size)?;
        check_eip(&entry, eip, 0)?;
        self.probe_pushes(&stack, 2, op_size)?;
        self.mark_accessed(&mut entry)?;
        let old = self.state.segs[SegReg::Cs.index()].selector;
        let esp = self.push_all(&stack, &[u32::from(old), next_eip], op_size)?;
        self.set_gpr32(Gpr::Esp, esp);
        let cpl = self.state.cpl;
        self.set_code(&entry, selector, cpl, eip);
        Ok(())
    }

    /// RET to a far pointer, releasing `imm` bytes of parameters.
    ///
    /// # Errors
    /// #SS(0), #GP(0), #GP(selector), #NP(selector), #SS(selector), #PF, or what is not built.
    pub fn far_ret(&mut self, imm: u16, op_size: Width) -> Result<(), Trap> {
        self.check_far_mode()?;
        let stack = self.stack();
        let eip = self.peek(&stack, 0, op_size)?;
        let selector = self.peek(&stack, op_size.bytes(), op_size)? as u16;
        let release = u32::from(imm);
        let rest = 2 * op_size.bytes() + release;
        self.return_far(&stack, Return { selector, eip, rest, release, width: op_size }, None)
    }

    /// IRET.
    ///
    /// # Errors
    /// #TS(selector) for a bad nested task, #SS(0), #GP(0), #GP(selector), #NP(selector), #SS(selector), #PF,
    /// or what is not built.
    pub fn iret(&mut self, op_size: Width) -> Result<(), Trap> {
        self.check_far_mode()?;
        let flags = self.eflags();
        if flags & eflags::NT != 0 {
            return self.return_from_task();
        }
        let stack = self.stack();
        let eip = self.peek(&stack, 0, op_size)?;
        let selector = self.peek(&stack, op_size.bytes(), op_size)? as u16;
        let popped = self.peek(&stack, 2 * op_size.bytes(), op_size)?;
        if popped & eflags::VM != 0 && self.state.cpl == 0 {
            return Err(Trap::Unsupported("virtual-8086 mode"));
        }
        let target = Return { selector, eip, rest: 3 * op_size.bytes(), release: 0, width: op_size };
        self.return_far(&stack, target, Some(popped))
    }

    fn check_far_mode(&self) -> Result<(), Trap> {
        if self.protected_mode() { Ok(()) } else { Err(Trap::Unsupported("real mode")) }
    }

    fn real_jump(&mut self, selector: u16, eip: u32) -> Result<(), Trap> {
        let code = self.state.segs[SegReg::Cs.index()];
        if !within_limit(&code, eip, 1) {
            return Err(Exception::Gp(0).into());
        }
        self.set_segment(SegReg::Cs, Segment { base: u64::from(selector) << 4, selector, ..code });
        self.state.eip = eip;
        Ok(())
    }

    /// The code segment that a far jump or call may enter (SDM Vol. 3A 5.8.1).
    fn code_target(&mut self, selector: u16) -> Result<Entry, Trap> {
        if is_null(selector) {
            return Err(Exception::Gp(0).into());
        }
        let code = selector_code(selector);
        let entry = self.descriptor(selector)?.ok_or(Exception::Gp(code))?;
        let descriptor = entry.descriptor;
        if let Some(kind) = descriptor.system() {
            return Err(self.system_target(&entry, selector, kind));
        }
        let cpl = self.state.cpl;
        let allowed = if descriptor.is_conforming() {
            descriptor.dpl() <= cpl
        } else {
            rpl(selector) <= cpl && descriptor.dpl() == cpl
        };
        if !descriptor.is_code() || !allowed {
            return Err(Exception::Gp(code).into());
        }
        if !descriptor.is_present() {
            return Err(Exception::Np(code).into());
        }
        Ok(entry)
    }

    /// What a far jump or call to a system descriptor ends in.
    fn system_target(&self, entry: &Entry, selector: u16, kind: SystemKind) -> Trap {
        let code = selector_code(selector);
        let what = match kind {
            SystemKind::CallGate => "call gates",
            SystemKind::TaskGate | SystemKind::Tss { busy: false, .. } => "task switching",
            SystemKind::Tss { busy: true, .. }
            | SystemKind::Reserved
            | SystemKind::Ldt
            | SystemKind::Gate { .. } => return Exception::Gp(code).into(),
        };
        if entry.descriptor.dpl() < self.state.cpl.max(rpl(selector)) {
            return Exception::Gp(code).into();
        }
        if !entry.descriptor.is_present() {
            return Exception::Np(code).into();
        }
        Trap::Unsupported(what)
    }

    /// IRET with NT set: the checks of a return to the task that the current one is nested in.
    fn return_from_task(&mut self) -> Result<(), Trap> {
        let link = crate::segmentation::linear(&self.state.tr, 0);
        let selector = self.load_linear(link, AccessSize::B2, false)? as u16;
        let code = selector_code(selector);
        let entry = self.descriptor(selector)?.ok_or(Exception::Ts(code))?;
        let Some(SystemKind::Tss { busy: true, .. }) = entry.descriptor.system() else {
            return Err(Exception::Ts(code).into());
        };
        if !entry.descriptor.is_present() {
            return Err(Exception::Np(code).into());
        }
        Err(Trap::Unsupported("task switching"))
    }

    /// The common part of RET and IRET; `flags` are those that IRET popped.
    fn return_far(&mut self, stack: &Stack, target: Return, flags: Option<u32>) -> Result<(), Trap> {
        let mut code = self.return_code(target.selector)?;
        let cpl = rpl(target.selector);
        let outer = if cpl > self.state.cpl { Some(self.outer_stack(stack, &target)?) } else { None };
        check_eip(&code, target.eip, 0)?;
        self.probe_accessed(&code)?;
        let esp = match outer {
            Some((mut entry, selector, pointer)) => {
                self.mark_accessed(&mut entry)?;
                self.mark_accessed(&mut code)?;
                let segment = entry.descriptor.segment(selector);
                self.set_segment(SegReg::Ss, segment);
                Stack { segment, ..*stack }.with_pointer(pointer.wrapping_add(target.release))
            }
            None => {
                self.mark_accessed(&mut code)?;
                stack.moved(target.rest)
            }
        };
        self.set_gpr32(Gpr::Esp, esp);
        if let Some(flags) = flags {
            self.write_eflags_popf(flags, target.width);
        }
        let leaves_ring = cpl != self.state.cpl;
        self.set_code(&code, target.selector, cpl, target.eip);
        if leaves_ring {
            self.clear_inaccessible();
        }
        Ok(())
    }

    /// The code segment that a return may lead to.
    fn return_code(&mut self, selector: u16) -> Result<Entry, Exception> {
        if is_null(selector) {
            return Err(Exception::Gp(0));
        }
        let code = selector_code(selector);
        let entry = self.descriptor(selector)?.ok_or(Exception::Gp(code))?;
        let (descriptor, rpl) = (entry.descriptor, rpl(selector));
        let level =
            if descriptor.is_conforming() { descriptor.dpl() <= rpl } else { descriptor.dpl() == rpl };
        if !descriptor.is_code() || rpl < self.state.cpl || !level {
            return Err(Exception::Gp(code));
        }
        if descriptor.is_present() { Ok(entry) } else { Err(Exception::Np(code)) }
    }

    /// The stack of an outer ring, popped above the return address: descriptor, selector, pointer.
    fn outer_stack(&mut self, stack: &Stack, target: &Return) -> Result<(Entry, u16, u32), Exception> {
        let pointer = self.peek(stack, target.rest, target.width)?;
        let selector = self.peek(stack, target.rest + target.width.bytes(), target.width)? as u16;
        if is_null(selector) {
            return Err(Exception::Gp(0));
        }
        let (code, cpl) = (selector_code(selector), rpl(target.selector));
        let entry = self.descriptor(selector)?.ok_or(Exception::Gp(code))?;
        let descriptor = entry.descriptor;
        if rpl(selector) != cpl || !descriptor.is_writable() || descriptor.dpl() != cpl {
            return Err(Exception::Gp(code));
        }
        if descriptor.is_present() { Ok((entry, selector, pointer)) } else { Err(Exception::Ss(code)) }
    }

    /// Enters a code segment with privilege `cpl`.
    pub(crate) fn set_code(&mut self, entry: &Entry, selector: u16, cpl: u8, eip: u32) {
        let segment = entry.descriptor.segment(selector & !3 | u16::from(cpl));
        self.set_segment(SegReg::Cs, segment);
        if self.state.cpl != cpl {
            self.state.cpl = cpl;
            self.state.leave |= leave::MODE;
        }
        self.state.eip = eip;
    }

    /// Empties the data segment registers that the new privilege level may not use (SDM Vol. 3A 5.8.6).
    fn clear_inaccessible(&mut self) {
        for seg in [SegReg::Es, SegReg::Fs, SegReg::Gs, SegReg::Ds] {
            let segment = self.state.segs[seg.index()];
            let dpl = (segment.attrs & attr::DPL) >> attr::DPL_SHIFT;
            let conforming = segment.attrs & (attr::CODE | attr::DC) == attr::CODE | attr::DC;
            if segment.attrs != 0 && !conforming && dpl < u32::from(self.state.cpl) {
                self.set_segment(seg, Segment::default());
            }
        }
    }
}

/// Checks that `eip` lies inside the code segment.
///
/// # Errors
/// #GP(`code`).
pub(crate) fn check_eip(entry: &Entry, eip: u32, code: u32) -> Result<(), Exception> {
    if eip <= entry.descriptor.limit() { Ok(()) } else { Err(Exception::Gp(code)) }
}
