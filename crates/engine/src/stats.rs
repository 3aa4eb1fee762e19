//! What a run counts.

use isa::Op;

/// Why a translation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidationCause {
    /// A store hit its code bytes.
    CodeWrite,
    /// It was made anew because an access failed its inline check too often.
    SlowAccess,
    /// Its part of code memory was recycled.
    Eviction,
    /// The RAM range that is baked into it is no longer what it was.
    BakedRange,
    /// Too many translations of one place differed in what its further pages were.
    Variants,
}

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions run by the interpreter between units.
    pub interpreted: u64,
    /// Instructions run by the interpreter for a unit.
    pub delegated: u64,
    /// Units compiled.
    pub units: u64,
    /// Guest instructions in them.
    pub unit_insns: u64,
    /// Host bytes in them.
    pub code_bytes: u64,
    /// Time spent compiling, on whichever thread, without the placing in code memory.
    pub compile_ns: u64,
    /// Units that the code generator refused.
    pub refused: u64,
    /// Compilations dropped because their bytes changed meanwhile.
    pub stale: u64,
    /// Entries into translated code.
    pub entries: u64,
    /// Direct links made.
    pub links: u64,
    /// Jump-cache misses.
    pub lookups: u64,
    /// Exits because the budget was short.
    pub budget_exits: u64,
    /// Exits because a load lay outside the baked range.
    pub range_exits: u64,
    /// Exits because the check of a group failed.
    pub group_exits: u64,
    /// Instructions that belong to no group any more.
    pub ungrouped_insns: u64,
    /// Instructions whose loads went over to windows.
    pub windowed_insns: u64,
    /// Translations dropped because the baked range changed.
    pub dropped_range: u64,
    /// Exits because an inlined access could not be made.
    pub access_exits: u64,
    /// Instructions whose accesses went over to the helper.
    pub slow_insns: u64,
    /// Translations dropped because of a store to their bytes.
    pub dropped_code_write: u64,
    /// Translations made anew because of slow accesses.
    pub dropped_slow: u64,
    /// Translations evicted.
    pub evicted: u64,
    /// Translations made unreachable by a map change.
    pub severed_by_map: u64,
    /// Translations made unreachable because a page table shows other code at one of their pages.
    pub severed_by_paging: u64,
    /// Translations dropped because too many differed in their further pages only.
    pub dropped_variants: u64,
    /// Exits because a page had to be found again.
    pub page_exits: u64,
    /// Map changes applied.
    pub map_changes: u64,
    /// Interrupts delivered.
    pub interrupts: u64,
    /// Exceptions delivered.
    pub exceptions: u64,
    /// Whole flushes of the translation cache.
    pub flushes: u64,
}

/// One live translation, for people and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranslationInfo {
    /// EIP of its entry.
    pub eip: u32,
    /// Physical address ranges of its code, half-open.
    pub covers: Vec<(u64, u64)>,
    /// Guest instructions.
    pub insns: u32,
    /// Host bytes.
    pub bytes: u32,
    /// Host address of the entry.
    pub entry: u64,
    /// Whether anything can enter it without a new lookup.
    pub reachable: bool,
}

/// Executed instructions by operation and by who executed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpCounts {
    /// By translated code.
    pub emitted: Vec<i64>,
    /// By a helper in the middle of translated code.
    pub delegated: Vec<i64>,
    /// By the interpreter between translations.
    pub interpreted: Vec<i64>,
}

impl Default for OpCounts {
    fn default() -> Self {
        let none = || vec![0; Op::ALL.len()];
        Self { emitted: none(), delegated: none(), interpreted: none() }
    }
}

impl OpCounts {
    pub(crate) fn add_block(&mut self, executions: u64, ops: &[(Op, bool)]) {
        self.add(executions as i64, ops);
    }

    /// Takes one execution of each of `ops` back.
    pub(crate) fn cut(&mut self, ops: &[(Op, bool)]) {
        self.add(-1, ops);
    }

    fn add(&mut self, executions: i64, ops: &[(Op, bool)]) {
        for (op, emitted) in ops {
            let table = if *emitted { &mut self.emitted } else { &mut self.delegated };
            table[*op as usize] += executions;
        }
    }
}
