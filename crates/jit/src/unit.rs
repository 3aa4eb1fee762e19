//! What a translation is made from and what comes out.

use std::collections::{BTreeMap, BTreeSet};

use cpu::flags::CcOp;
use isa::Op;

/// The part of the processor's mode that a translation depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnitMode {
    /// CR0.PG: pages are compared with where they were.
    pub paging: bool,
    /// CS, DS, ES and SS have base 0, limit 4 GiB and sufficient rights, so data accesses need no check.
    pub flat: bool,
}

/// Linear addresses that are plain RAM side by side in host memory while paging is off (jit.md, 1).
///
/// Baked into translations: when the flat view no longer shows RAM there, they are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RamRange {
    /// First address.
    pub start: u32,
    /// Bytes, at least a page.
    pub len: u32,
}

/// A copy of guest code.
#[derive(Clone, Debug)]
pub struct CodeBytes {
    /// EIP of the first byte.
    pub start: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl CodeBytes {
    /// The bytes from `eip` on; `None` outside the copy.
    #[must_use]
    pub fn at(&self, eip: u32) -> Option<&[u8]> {
        let offset = eip.wrapping_sub(self.start) as usize;
        self.bytes.get(offset..).filter(|bytes| !bytes.is_empty())
    }
}

/// Everything that determines a translation.
#[derive(Clone, Debug)]
pub struct UnitRequest {
    /// EIP of the entry.
    pub entry: u32,
    /// Mode bits.
    pub mode: UnitMode,
    /// The code, copied.
    pub code: CodeBytes,
    /// Number of the unit's first site.
    pub site_base: u32,
    /// The range that loads are checked against, when paging is off and the segments are flat.
    pub range: Option<RamRange>,
    /// Instructions whose loads failed the range check too often: they go through windows.
    pub windowed: BTreeSet<u32>,
    /// Instructions whose accesses failed their inline check too often: they call the helper instead.
    pub slow: BTreeSet<u32>,
    /// Instructions whose access leads or joins no group: the group's check failed too often.
    pub ungrouped: BTreeSet<u32>,
    /// Where indirect jumps and calls have gone, by the EIP of the branch: each target is compared with and, where
    /// possible, part of the unit.
    pub likely: BTreeMap<u32, Vec<u32>>,
    /// Most instructions in the unit.
    pub limit: usize,
    /// Whether each block counts its executions.
    pub counted: bool,
}

/// Why translated code leaves at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteKind {
    /// An inlined access failed its check for good: the interpreter runs the instruction.
    Access,
    /// A load lies outside the baked range: the interpreter runs the instruction.
    Range,
    /// The check of a group failed: the interpreter runs the leader.
    Group,
    /// A helper ended the instruction; the pending trap or `helper_status` says how.
    Helper,
    /// The interpreter must run the instruction.
    Interp,
    /// The budget does not cover the path that follows.
    Budget,
    /// The instruction before is complete and the run loop wants control.
    Leave,
    /// The page at EIP was not looked at since the mapping changed.
    Page,
    /// The page that the instruction at EIP reaches into was not looked at since the mapping changed.
    Crossing,
}

/// A place where translated code can leave, with what restores the exact state there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Why.
    pub kind: SiteKind,
    /// EIP: of the instruction that did not complete, or of the next one.
    pub eip: u32,
    /// Instructions completed since the budget in the state was brought up to date.
    pub executed: u32,
    /// What `cc_op` is, when translated code left the operands only; `None`: the state is complete.
    pub cc_op: Option<CcOp>,
    /// EIP after the instruction (delegation compares it).
    pub next: u32,
    /// Where in the unit it is, for counts by operation: number of the block, and of the first of its
    /// instructions that was not executed (`u16::MAX`: all were).
    pub place: (u16, u16),
}

/// A direct exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// EIP that it leads to.
    pub target: u32,
}

/// Where the address of a cell must be put into the code. The exits' link cells come first, then the
/// counters of the blocks, then the cells of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellPatch {
    /// Offset of the eight bytes in the code.
    pub offset: u32,
    /// Number of the cell.
    pub cell: u32,
}

/// Instructions of a unit by how they are executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitCounts {
    /// Instructions translated.
    pub insns: u32,
    /// Of them, those that the interpreter runs.
    pub delegated: u32,
}

/// A compiled unit, before it has a place in code memory.
#[derive(Clone, Debug)]
pub struct CompiledUnit {
    /// Host code; position-independent but for `patches`.
    pub code: Vec<u8>,
    /// Alignment of the code in bytes.
    pub align: u64,
    /// Link cells in the code.
    pub patches: Vec<CellPatch>,
    /// Direct exits.
    pub exits: Vec<Exit>,
    /// Sites, by number from the unit's base.
    pub sites: Vec<Site>,
    /// EIP ranges of the code that went in, half-open, sorted.
    pub covers: Vec<(u32, u32)>,
    /// Linear numbers of the pages whose cells the code looks at.
    pub pages: Vec<u32>,
    /// Operations of each counted block in order, and whether each is translated (or else run by a helper).
    pub counted: Vec<Vec<(Op, bool)>>,
    /// Instruction counts.
    pub counts: UnitCounts,
    /// Most instructions on a path between two budget checks.
    pub longest: u32,
}

/// Why a unit was not made.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TranslateError {
    /// Not even one instruction could be translated.
    #[error("no instruction at EIP {0:#x} can be translated")]
    NothingToTranslate(u32),
    /// The code generator refused the function.
    #[error("the code generator refused the unit at EIP {eip:#x}: {reason}")]
    Refused {
        /// Entry of the unit.
        eip: u32,
        /// Its words.
        reason: String,
    },
    /// Code memory is exhausted even after eviction.
    #[error("code memory holds no unit of {0} bytes")]
    NoCodeMemory(usize),
}
