#![forbid(unsafe_code)]
//! Everything of a processor that a guest can see, to be compared and shown.

use cpu::layout::{Segment, TableReg};
use engine::Engine;

/// The state of a processor between two instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// General-purpose registers.
    pub gpr: [u32; 8],
    /// Instruction pointer.
    pub eip: u32,
    /// EFLAGS with every flag.
    pub eflags: u32,
    /// ES, CS, SS, DS, FS, GS, LDTR, TR with their hidden parts.
    pub segments: [Segment; 8],
    /// GDTR and IDTR.
    pub tables: [TableReg; 2],
    /// CR0, CR2, CR3, CR4.
    pub control: [u32; 4],
    /// Debug registers.
    pub debug: [u32; 8],
    /// Privilege level.
    pub cpl: u8,
    /// HLT is in force; interrupts are inhibited for one instruction.
    pub waits: [bool; 2],
    /// Instructions completed.
    pub instructions: u64,
    /// Guest time.
    pub time_ns: u64,
    /// Exceptions and interrupts delivered.
    pub delivered: [u64; 2],
}

/// Counts at the start of what is compared, so that one engine can run many programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Instructions.
    pub instructions: u64,
    /// Guest time.
    pub time_ns: u64,
    /// Exceptions and interrupts.
    pub delivered: [u64; 2],
}

impl Origin {
    /// The counts of `engine` now.
    #[must_use]
    pub fn of(engine: &Engine) -> Self {
        let (cpu, stats) = (engine.cpu(), engine.stats());
        Self {
            instructions: cpu.instructions(),
            time_ns: cpu.now_ns(),
            delivered: [stats.exceptions, stats.interrupts],
        }
    }
}

impl Snapshot {
    /// The state of the engine's processor, counted from `origin` on.
    pub fn take(engine: &mut Engine, origin: Origin) -> Self {
        let now = Origin::of(engine);
        let cpu = engine.cpu_mut();
        let eflags = cpu.eflags();
        let state = &*cpu.state;
        let mut gpr = [0; 8];
        for (value, register) in gpr.iter_mut().zip(state.gpr) {
            *value = register as u32;
        }
        let [es, cs, ss, ds, fs, gs] = state.segs;
        let [exceptions, interrupts] = now.delivered;
        Self {
            gpr,
            eip: state.eip,
            eflags,
            segments: [es, cs, ss, ds, fs, gs, state.ldtr, state.tr],
            tables: [state.gdtr, state.idtr],
            control: [state.cr0, state.cr2, state.cr3, state.cr4],
            debug: state.dr,
            cpl: state.cpl,
            waits: [state.halted, state.interrupt_shadow],
            instructions: now.instructions - origin.instructions,
            time_ns: now.time_ns - origin.time_ns,
            delivered: [exceptions - origin.delivered[0], interrupts - origin.delivered[1]],
        }
    }

    /// What differs from `other`, by name, with both values.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        self.fields()
            .into_iter()
            .zip(other.fields())
            .filter(|((_, mine), (_, theirs))| mine != theirs)
            .map(|((name, mine), (_, theirs))| format!("{name}: {mine} against {theirs}"))
            .collect()
    }

    /// Every part as name and text.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let mut add = |name: &str, text: String| fields.push((name.to_owned(), text));
        let hex = |value: u32| format!("{value:08x}");
        for (name, value) in ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"].iter().zip(self.gpr) {
            add(name, hex(value));
        }
        add("eip", hex(self.eip));
        add("eflags", hex(self.eflags));
        for (name, seg) in ["es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"].iter().zip(&self.segments) {
            add(
                name,
                format!(
                    "{:04x} base {:08x} limit {:08x} attrs {:04x}",
                    seg.selector, seg.base, seg.limit, seg.attrs
                ),
            );
        }
        for (name, table) in ["gdtr", "idtr"].iter().zip(&self.tables) {
            add(name, format!("{:08x}+{:04x}", table.base, table.limit));
        }
        for (name, value) in ["cr0", "cr2", "cr3", "cr4"].iter().zip(self.control) {
            add(name, hex(value));
        }
        for (number, value) in self.debug.iter().enumerate() {
            add(&format!("dr{number}"), hex(*value));
        }
        add("cpl", self.cpl.to_string());
        for (name, value) in ["halted", "interrupt shadow"].iter().zip(self.waits) {
            add(name, value.to_string());
        }
        let counts = [self.instructions, self.time_ns, self.delivered[0], self.delivered[1]];
        for (name, value) in ["instructions", "guest ns", "exceptions", "interrupts"].iter().zip(counts) {
            add(name, value.to_string());
        }
        fields
    }
}
