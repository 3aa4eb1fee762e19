//! The processor's state and everything of it that is no single instruction: segmentation, paging, TLB,
//! exceptions, interrupts, model-specific registers, CPUID.
//!
//! Both executors, the interpreter and translated code, work on one [`Cpu`]. What they share through this
//! crate is outside the sight of comparing them; `docs/ARCHITECTURE.md` names its outside oracles.
#![deny(unsafe_code)]

mod activity;
mod control;
mod cpuid;
mod deliver;
mod descriptor;
mod exception;
mod far;
pub mod flags;
mod io_permission;
pub mod layout;
mod mmu;
mod msr;
mod registers;
mod reset;
mod segmentation;
mod stack;

pub use activity::{Activity, ActivityNote};
pub use deliver::SoftwareInterrupt;
pub use descriptor::{Descriptor, SystemKind};
pub use exception::{Exception, Trap};
pub use layout::{CpuState, attr, cr, eflags, leave};
pub use mmu::{CodePage, CodeSource, Mmu, MmuStats, Seen};
pub use msr::Msrs;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memory::{AddressSpace, CodeWrites};

/// Most elements that one execution of a repeated string instruction handles before it lets interrupts in.
///
/// Part of the machine's definition: both executors count one instruction for each such run.
pub const REP_CHUNK: u32 = 4096;

/// Guest nanoseconds that one instruction takes on the guest's clock.
pub const NS_PER_INSN: u64 = 1;

/// What a processor is connected to.
pub struct CpuLinks {
    /// Physical address space.
    pub memory: AddressSpace,
    /// I/O port space.
    pub ports: AddressSpace,
    /// Where stores to translated code are posted.
    pub code_writes: Arc<CodeWrites>,
    /// Set by devices that want the run loop's attention.
    pub attention: Arc<AtomicU32>,
    /// Guest time in nanoseconds, for the devices' clock.
    pub time_ns: Arc<AtomicU64>,
}

/// One processor.
pub struct Cpu {
    /// What translated code sees.
    pub state: Box<CpuState>,
    /// Address translation and the buses behind it.
    pub mmu: Mmu,
    /// Model-specific registers.
    pub msrs: Msrs,
    /// Instruction count at which `state.budget` reaches 0.
    slice_end: u64,
    /// Nanoseconds that the guest slept in HLT, beyond its instructions.
    slept_ns: u64,
    attention: Arc<AtomicU32>,
    time_ns: Arc<AtomicU64>,
    activity: ActivityNote,
}

impl Cpu {
    /// A processor in its reset state (SDM Vol. 3A 9.1.1), connected to `links`.
    #[must_use]
    pub fn new(links: CpuLinks) -> Self {
        let mut cpu = Self {
            state: CpuState::new_boxed(),
            mmu: Mmu::new(links.memory, links.ports, links.code_writes),
            msrs: Msrs::default(),
            slice_end: 0,
            slept_ns: 0,
            attention: links.attention,
            time_ns: links.time_ns,
            activity: ActivityNote::default(),
        };
        cpu.reset();
        cpu
    }

    /// Instructions completed since reset.
    #[must_use]
    #[inline]
    pub fn instructions(&self) -> u64 {
        self.slice_end.wrapping_add_signed(-i64::from(self.state.budget))
    }

    /// Grants `instructions` more instructions before the run loop wants control.
    pub fn start_slice(&mut self, instructions: u32) {
        let now = self.instructions();
        let budget = i32::try_from(instructions).unwrap_or(i32::MAX);
        self.state.budget = budget;
        self.slice_end = now.wrapping_add_signed(i64::from(budget));
    }

    /// Guest time: instructions executed, and time slept in HLT.
    #[must_use]
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.instructions().wrapping_mul(NS_PER_INSN).wrapping_add(self.slept_ns)
    }

    /// The note of what this processor's thread is doing.
    #[must_use]
    #[inline]
    pub fn activity(&self) -> &ActivityNote {
        &self.activity
    }

    /// Lets guest time pass while the processor is halted.
    pub fn sleep_until(&mut self, time_ns: u64) {
        let now = self.now_ns();
        self.slept_ns = self.slept_ns.wrapping_add(time_ns.saturating_sub(now));
        self.publish_time();
    }

    /// Tells the devices' clock the present guest time.
    #[inline]
    pub fn publish_time(&self) {
        self.time_ns.store(self.now_ns(), Ordering::Relaxed);
    }

    /// Notes what a device callback may have changed, so that both executors leave after this instruction.
    #[inline]
    pub fn after_callback(&mut self) {
        if self.attention.load(Ordering::Acquire) != 0 {
            self.state.leave |= leave::DEVICE;
        }
        if self.mmu.map_changed() {
            self.state.leave |= leave::MAP;
        }
        self.after_store();
    }

    /// Notes whether a store hit translated code.
    #[inline]
    pub fn after_store(&mut self) {
        if self.mmu.code_written() {
            self.state.leave |= leave::CODE;
        }
    }

    /// Clears and returns the attention of devices.
    pub fn take_attention(&mut self) -> u32 {
        // What is rung later is seen later; a look at a quiet bell costs no more than that.
        if self.attention.load(Ordering::Acquire) == 0 { 0 } else { self.attention.swap(0, Ordering::AcqRel) }
    }

    /// Whether memory accesses are checked with user rights now.
    #[must_use]
    #[inline]
    pub fn is_user(&self) -> bool {
        self.state.cpl == 3
    }
}
