//! The mode bits of a translation's key (jit.md, 5).

use cpu::{CpuState, attr, cr, eflags};
use isa::SegReg;
use jit::UnitMode;

/// Everything about the processor's mode that a translation was made under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModeKey {
    /// Base of the code segment.
    pub cs_base: u32,
    /// Limit of the code segment.
    pub cs_limit: u32,
    /// CR0.PG.
    pub paging: bool,
    /// Ring 3.
    pub user: bool,
    /// Data segments are flat.
    pub flat: bool,
    /// Translations can be made at all: 32-bit protected mode, 32-bit stack, no single step.
    pub translatable: bool,
}

impl ModeKey {
    /// The present mode.
    #[must_use]
    pub fn of(state: &CpuState) -> Self {
        let cs = &state.segs[SegReg::Cs.index()];
        let ss = &state.segs[SegReg::Ss.index()];
        let protected = state.cr0 & cr::CR0_PE != 0 && state.eflags & (eflags::VM | eflags::TF) == 0;
        let wide = cs.attrs & attr::DB != 0 && ss.attrs & attr::DB != 0;
        Self {
            cs_base: cs.base as u32,
            cs_limit: cs.limit,
            paging: state.cr0 & cr::CR0_PG != 0,
            user: state.cpl == 3,
            flat: [SegReg::Ds, SegReg::Es, SegReg::Ss].into_iter().all(|seg| is_flat(state, seg)),
            translatable: protected && wide && cs.base == 0 && cs.limit == u32::MAX,
        }
    }

    /// The part that the translator asks for.
    #[must_use]
    pub fn unit_mode(self) -> UnitMode {
        UnitMode { paging: self.paging, flat: self.flat }
    }
}

/// Base 0, limit 4 GiB, present, writable expand-up data.
fn is_flat(state: &CpuState, seg: SegReg) -> bool {
    let segment = &state.segs[seg.index()];
    let wanted = attr::P | attr::S | attr::RW;
    segment.base == 0
        && segment.limit == u32::MAX
        && segment.attrs & (wanted | attr::CODE | attr::DC) == wanted
}
