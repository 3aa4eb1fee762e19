//! Segmentation: the checks of an access, loading segment registers, and the instructions that look at
//! descriptors (SDM Vol. 3A chapters 3 and 5).
//!
//! Not modelled: local descriptor tables. Offsets past 4 GiB wrap in a segment whose limit is 4 GiB
//! (SDM Vol. 3A 5.3 leaves it to the processor).

use base::{AccessSize, LinearAddr};
use isa::SegReg;

use crate::descriptor::{Descriptor, Entry, SystemKind, is_null, rpl, selector_code};
use crate::layout::Segment;
use crate::{Cpu, Exception, Trap, attr, cr, leave};

/// Whether the segment's type allows the access at all; a null segment allows none.
const fn permits(segment: &Segment, write: bool) -> bool {
    let attrs = segment.attrs;
    if attrs & (attr::P | attr::S) != attr::P | attr::S {
        return false;
    }
    let code = attrs & attr::CODE != 0;
    let rw = attrs & attr::RW != 0;
    if write { rw && !code } else { rw || !code }
}

/// Whether `bytes` bytes from `off` on lie inside the segment (SDM Vol. 3A 5.3).
pub(crate) const fn within_limit(segment: &Segment, off: u32, bytes: u32) -> bool {
    if segment.attrs & (attr::CODE | attr::DC) == attr::DC {
        let top = if segment.attrs & attr::DB != 0 { u32::MAX } else { 0xffff };
        return off > segment.limit && off <= top && bytes - 1 <= top - off;
    }
    segment.limit == u32::MAX || off <= segment.limit && bytes - 1 <= segment.limit - off
}

/// Linear address of `off` in `segment`.
#[inline]
pub(crate) const fn linear(segment: &Segment, off: u32) -> LinearAddr {
    LinearAddr(segment.base as u32).wrapping_add(off)
}

impl Cpu {
    /// Checks an access of `size` bytes at `off` in a segment, and gives its linear address.
    ///
    /// # Errors
    /// #GP(0), for SS #SS(0): null selector, type, limit.
    #[inline]
    pub fn check_segment(
        &mut self,
        seg: SegReg,
        off: u32,
        size: AccessSize,
        write: bool,
    ) -> Result<LinearAddr, Exception> {
        const KIND: u32 = attr::P | attr::S | attr::RW | attr::CODE | attr::DC;
        const WRITABLE: u32 = attr::P | attr::S | attr::RW;
        let segment = &self.state.segs[seg.index()];
        let flat = segment.limit == u32::MAX && segment.attrs & KIND == WRITABLE;
        if flat { Ok(linear(segment, off)) } else { self.check_closely(seg, off, size, write) }
    }

    /// As [`Cpu::check_segment`], of any segment.
    #[inline(never)]
    fn check_closely(
        &self,
        seg: SegReg,
        off: u32,
        size: AccessSize,
        write: bool,
    ) -> Result<LinearAddr, Exception> {
        let segment = &self.state.segs[seg.index()];
        if permits(segment, write) && within_limit(segment, off, size.bytes() as u32) {
            return Ok(linear(segment, off));
        }
        Err(if seg == SegReg::Ss { Exception::Ss(0) } else { Exception::Gp(0) })
    }

    /// Whether the processor is in protected mode (CR0.PE; virtual-8086 mode is not offered).
    #[must_use]
    pub fn protected_mode(&self) -> bool {
        self.state.cr0 & cr::CR0_PE != 0
    }

    /// Checks that the privileged instruction may run.
    ///
    /// # Errors
    /// #GP(0) outside ring 0.
    pub fn check_privileged(&self) -> Result<(), Exception> {
        if self.state.cpl == 0 { Ok(()) } else { Err(Exception::Gp(0)) }
    }

    /// Puts a new content into a segment register.
    pub(crate) fn set_segment(&mut self, seg: SegReg, new: Segment) {
        let old = &mut self.state.segs[seg.index()];
        if (old.base, old.limit, old.attrs) != (new.base, new.limit, new.attrs) {
            self.state.leave |= leave::MODE;
        }
        self.state.segs[seg.index()] = new;
    }

    /// Loads ES, SS, DS, FS or GS (SDM Vol. 2B "MOV").
    ///
    /// # Errors
    /// #UD for CS; #GP(0), #GP(selector), then #NP(selector) or #SS(selector); #PF on the table.
    pub fn load_segment(&mut self, seg: SegReg, selector: u16) -> Result<(), Trap> {
        if seg == SegReg::Cs {
            return Err(Exception::Ud.into());
        }
        if !self.protected_mode() {
            let segment = self.state.segs[seg.index()];
            self.set_segment(seg, Segment { base: u64::from(selector) << 4, selector, ..segment });
            return Ok(());
        }
        let mut entry = match seg {
            SegReg::Ss => self.stack_descriptor(selector)?,
            SegReg::Es | SegReg::Cs | SegReg::Ds | SegReg::Fs | SegReg::Gs => {
                if is_null(selector) {
                    self.set_segment(seg, Segment { selector, ..Segment::default() });
                    return Ok(());
                }
                self.data_descriptor(selector)?
            }
        };
        self.mark_accessed(&mut entry)?;
        self.set_segment(seg, entry.descriptor.segment(selector));
        Ok(())
    }

    /// The descriptor for SS, checked against the present privilege level.
    fn stack_descriptor(&mut self, selector: u16) -> Result<Entry, Exception> {
        if is_null(selector) {
            return Err(Exception::Gp(0));
        }
        let code = selector_code(selector);
        let entry = self.descriptor(selector)?.ok_or(Exception::Gp(code))?;
        let cpl = self.state.cpl;
        if rpl(selector) != cpl || !entry.descriptor.is_writable() || entry.descriptor.dpl() != cpl {
            return Err(Exception::Gp(code));
        }
        if entry.descriptor.is_present() { Ok(entry) } else { Err(Exception::Ss(code)) }
    }

    /// The descriptor for ES, DS, FS or GS.
    fn data_descriptor(&mut self, selector: u16) -> Result<Entry, Exception> {
        let code = selector_code(selector);
        let entry = self.descriptor(selector)?.ok_or(Exception::Gp(code))?;
        if !entry.descriptor.is_readable() || !self.reachable(entry.descriptor, selector) {
            return Err(Exception::Gp(code));
        }
        if entry.descriptor.is_present() { Ok(entry) } else { Err(Exception::Np(code)) }
    }

    /// Whether CPL and RPL may reach the descriptor (SDM Vol. 3A 5.5); conforming code always.
    fn reachable(&self, descriptor: Descriptor, selector: u16) -> bool {
        descriptor.is_conforming() || self.state.cpl.max(rpl(selector)) <= descriptor.dpl()
    }

    /// LTR (SDM Vol. 2A "LTR").
    ///
    /// # Errors
    /// #UD in real mode, #GP(0), #GP(selector), #NP(selector), #PF on the table.
    pub fn ltr(&mut self, selector: u16) -> Result<(), Trap> {
        self.check_protected()?;
        self.check_privileged()?;
        if is_null(selector) {
            return Err(Exception::Gp(0).into());
        }
        let code = selector_code(selector);
        let mut entry = self.descriptor(selector)?.ok_or(Exception::Gp(code))?;
        let Some(SystemKind::Tss { busy: false, .. }) = entry.descriptor.system() else {
            return Err(Exception::Gp(code).into());
        };
        if !entry.descriptor.is_present() {
            return Err(Exception::Np(code).into());
        }
        self.set_type_bit(&mut entry, 2)?;
        self.state.tr = entry.descriptor.segment(selector);
        Ok(())
    }

    /// LLDT (SDM Vol. 2A "LLDT"): only the null selector, which makes the table unusable.
    ///
    /// # Errors
    /// #UD in real mode, #GP(0), #GP(selector), #NP(selector), #PF on the table, then
    /// `Trap::Unsupported("LDT")`.
    pub fn lldt(&mut self, selector: u16) -> Result<(), Trap> {
        self.check_protected()?;
        self.check_privileged()?;
        if is_null(selector) {
            self.state.ldtr = Segment { selector, ..Segment::default() };
            return Ok(());
        }
        let code = selector_code(selector);
        let entry = self.descriptor(selector)?.ok_or(Exception::Gp(code))?;
        if entry.descriptor.system() != Some(SystemKind::Ldt) {
            return Err(Exception::Gp(code).into());
        }
        if !entry.descriptor.is_present() {
            return Err(Exception::Np(code).into());
        }
        Err(Trap::Unsupported("LDT"))
    }

    /// VERR (SDM Vol. 2B "VERR/VERW"): whether the segment may be read; the new ZF.
    ///
    /// # Errors
    /// #UD in real mode, #PF on the table.
    pub fn verr(&mut self, selector: u16) -> Result<bool, Trap> {
        Ok(self.visible(selector)?.is_some_and(Descriptor::is_readable))
    }

    /// VERW: whether the segment may be written; the new ZF.
    ///
    /// # Errors
    /// As [`Cpu::verr`].
    pub fn verw(&mut self, selector: u16) -> Result<bool, Trap> {
        Ok(self.visible(selector)?.is_some_and(Descriptor::is_writable))
    }

    /// LAR (SDM Vol. 2A "LAR"): access rights at bits 8-15 and 20-23; `None` clears ZF.
    ///
    /// # Errors
    /// As [`Cpu::verr`].
    pub fn lar(&mut self, selector: u16) -> Result<Option<u32>, Trap> {
        let Some(descriptor) = self.visible(selector)? else { return Ok(None) };
        let valid = match descriptor.system() {
            None => true,
            Some(SystemKind::Ldt | SystemKind::Tss { .. } | SystemKind::CallGate | SystemKind::TaskGate) => {
                true
            }
            Some(SystemKind::Reserved | SystemKind::Gate { .. }) => false,
        };
        Ok(valid.then_some((descriptor.0 >> 32) as u32 & 0x00f0_ff00))
    }

    /// LSL (SDM Vol. 2A "LSL"): effective limit in bytes; `None` clears ZF.
    ///
    /// # Errors
    /// As [`Cpu::verr`].
    pub fn lsl(&mut self, selector: u16) -> Result<Option<u32>, Trap> {
        let Some(descriptor) = self.visible(selector)? else { return Ok(None) };
        let valid = match descriptor.system() {
            None | Some(SystemKind::Ldt | SystemKind::Tss { .. }) => true,
            Some(
                SystemKind::Reserved | SystemKind::CallGate | SystemKind::TaskGate | SystemKind::Gate { .. },
            ) => false,
        };
        Ok(valid.then_some(descriptor.limit()))
    }

    /// The descriptor, if CPL and RPL may see it.
    fn visible(&mut self, selector: u16) -> Result<Option<Descriptor>, Exception> {
        self.check_protected()?;
        if is_null(selector) {
            return Ok(None);
        }
        let descriptor = self.descriptor(selector)?.map(|entry| entry.descriptor);
        Ok(descriptor.filter(|descriptor| self.reachable(*descriptor, selector)))
    }

    /// Checks that an instruction which real mode does not know may run.
    ///
    /// # Errors
    /// #UD in real mode.
    pub fn check_protected(&self) -> Result<(), Exception> {
        if self.protected_mode() { Ok(()) } else { Err(Exception::Ud) }
    }
}
