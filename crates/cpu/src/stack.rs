//! The stack of a far transfer: several values checked as a whole before the first is written.

use isa::{Gpr, SegReg, Width};

use crate::layout::Segment;
use crate::segmentation::{linear, within_limit};
use crate::{Cpu, Exception, attr};

/// A stack and how accesses to it are checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack {
    /// The stack segment.
    pub segment: Segment,
    /// Stack pointer; of a 16-bit stack the low half counts.
    pub esp: u32,
    /// Paging rights of ring 3.
    pub user: bool,
    /// Error code of #SS when a value lies outside.
    pub fault_code: u32,
}

impl Stack {
    fn mask(&self) -> u32 {
        if self.segment.attrs & attr::DB != 0 { u32::MAX } else { 0xffff }
    }

    /// The stack pointer after it moved up by `bytes` (wrapping; negated, down).
    pub fn moved(&self, bytes: u32) -> u32 {
        self.with_pointer(self.esp.wrapping_add(bytes))
    }

    /// ESP after its significant part became that of `pointer`.
    pub fn with_pointer(&self, pointer: u32) -> u32 {
        self.esp & !self.mask() | pointer & self.mask()
    }

    /// Offset of the place `bytes` above the stack pointer.
    fn offset(&self, bytes: u32) -> u32 {
        self.esp.wrapping_add(bytes) & self.mask()
    }

    /// Offset of the `n`th value pushed, counted from 0.
    fn pushed(&self, n: usize, width: Width) -> u32 {
        self.offset((n as u32 + 1).wrapping_mul(width.bytes()).wrapping_neg())
    }

    /// Checks that `count` values can be pushed inside the segment's limit.
    ///
    /// # Errors
    /// #SS.
    pub fn check_room(&self, count: usize, width: Width) -> Result<(), Exception> {
        let inside = |n| within_limit(&self.segment, self.pushed(n, width), width.bytes());
        if (0..count).all(inside) { Ok(()) } else { Err(Exception::Ss(self.fault_code)) }
    }
}

impl Cpu {
    /// The present stack.
    pub(crate) fn stack(&self) -> Stack {
        Stack {
            segment: self.state.segs[SegReg::Ss.index()],
            esp: self.gpr32(Gpr::Esp),
            user: self.is_user(),
            fault_code: 0,
        }
    }

    /// Reads the value `bytes` above the stack pointer.
    ///
    /// # Errors
    /// #SS, #PF.
    pub(crate) fn peek(&mut self, stack: &Stack, bytes: u32, width: Width) -> Result<u32, Exception> {
        let off = stack.offset(bytes);
        if !within_limit(&stack.segment, off, width.bytes()) {
            return Err(Exception::Ss(stack.fault_code));
        }
        Ok(self.load_linear(linear(&stack.segment, off), width.access(), stack.user)? as u32)
    }

    /// Makes the paging checks of pushing `count` values.
    ///
    /// # Errors
    /// #PF.
    pub(crate) fn probe_pushes(
        &mut self,
        stack: &Stack,
        count: usize,
        width: Width,
    ) -> Result<(), Exception> {
        for n in 0..count {
            let la = linear(&stack.segment, stack.pushed(n, width));
            self.probe_linear(la, width.access(), stack.user)?;
        }
        Ok(())
    }

    /// Pushes values that were checked and probed; the new ESP.
    ///
    /// # Errors
    /// #PF, when the pushes themselves change the page tables.
    pub(crate) fn push_all(&mut self, stack: &Stack, values: &[u32], width: Width) -> Result<u32, Exception> {
        for (n, value) in values.iter().enumerate() {
            let la = linear(&stack.segment, stack.pushed(n, width));
            self.store_linear(la, width.access(), u64::from(*value) & width.mask(), stack.user)?;
        }
        Ok(stack.moved((values.len() as u32).wrapping_mul(width.bytes()).wrapping_neg()))
    }
}
