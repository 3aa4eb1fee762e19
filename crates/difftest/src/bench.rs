#![forbid(unsafe_code)]
//! The bench: the smallest board that random programs and single instructions need.
//!
//! RAM from address 0; in front of it, in [`ROM`] and [`BLOCK`], a page of ROM and a register block whose reads
//! and writes leave traces, so that RAM, ROM and a device are neighbours. The same register block answers
//! at the I/O ports [`PORTS`]. Interrupts come at the instruction counts that a program names.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{AccessSize, RegionOffset};
use cpu::{Cpu, CpuLinks};
use memory::{
    AccessCx, AccessRules, AddressSpace, BusError, Device, MapError, MemoryMap, MmioDevice, MmioHandler,
    Placement, RamBlock, RegionSpec, SpaceConfig, UnassignedPolicy,
};

/// Address of the ROM page.
pub const ROM: u32 = 0x2_0000;
/// Address of the register block.
pub const BLOCK: u32 = 0x2_1000;
/// Bytes of ROM, and of the register block.
pub const PAGE: u64 = 0x1000;
/// First port of the register block, and how many there are.
pub const PORTS: (u16, u16) = (0x300, 0x10);

/// A register block whose every access leaves a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceBlock {
    /// A hash over all accesses so far.
    pub trace: u64,
    /// Accesses so far.
    pub accesses: u64,
    /// What the registers hold: 16 bytes, repeated over the block.
    pub registers: [u8; 16],
}

impl TraceBlock {
    fn note(&mut self, what: u64) {
        self.accesses += 1;
        self.trace = (self.trace ^ what).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    }
}

impl MmioDevice for TraceBlock {
    /// The registers, with the count of accesses in the low byte: reading twice gives two values.
    fn read(&mut self, off: RegionOffset, size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        self.note(off.0 << 8 | size.bytes());
        let first = off.0 as usize;
        let value = (0..size.bytes() as usize)
            .rev()
            .fold(0, |value, number| value << 8 | u64::from(self.registers[(first + number) % 16]));
        Ok((value ^ self.accesses & 0xff) & size.mask())
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.note(1 << 60 | value << 16 | off.0 << 4 | size.bytes());
        let first = off.0 as usize;
        for number in 0..size.bytes() as usize {
            self.registers[(first + number) % 16] = (value >> (8 * number)) as u8;
        }
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Interrupts at exact instruction counts.
#[derive(Debug, Default)]
pub struct Injector {
    /// Guest times still to come, the next one last.
    times_ns: Mutex<Vec<u64>>,
    pending: AtomicBool,
    vector: AtomicU8,
}

/// Vectors of injected interrupts, in turn.
pub const VECTORS: [u8; 4] = [0x20, 0x21, 0x22, 0x23];

impl Injector {
    fn times(&self) -> MutexGuard<'_, Vec<u64>> {
        self.times_ns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything and plans interrupts at `times_ns`, which must be sorted.
    pub fn plan(&self, times_ns: impl DoubleEndedIterator<Item = u64>) {
        *self.times() = times_ns.rev().collect();
        self.pending.store(false, Ordering::Relaxed);
        self.vector.store(0, Ordering::Relaxed);
    }
}

impl engine::Platform for Injector {
    fn interrupt_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }

    fn acknowledge_interrupt(&self) -> u8 {
        self.pending.store(false, Ordering::Relaxed);
        let turn = self.vector.fetch_add(1, Ordering::Relaxed);
        VECTORS[usize::from(turn) % VECTORS.len()]
    }

    fn next_event_ns(&self) -> Option<u64> {
        self.times().last().copied()
    }

    fn run_events(&self, now_ns: u64) {
        let mut times = self.times();
        while times.last().is_some_and(|time| *time <= now_ns) {
            times.pop();
            self.pending.store(true, Ordering::Relaxed);
        }
    }

    fn exit_status(&self) -> Option<i32> {
        None
    }
}

/// The board without a run loop.
pub struct Bench {
    /// Guest RAM.
    pub ram: Arc<RamBlock>,
    /// The register block.
    pub block: Arc<Device<TraceBlock>>,
    map: MemoryMap,
}

const RULES: AccessRules = AccessRules::new().valid(1, 4).implemented(1, 4).little_endian();

impl Bench {
    /// A board with `ram_bytes` of RAM, and its processor after reset.
    ///
    /// # Errors
    /// What the memory map says.
    pub fn new(ram_bytes: u64) -> Result<(Self, Cpu), MapError> {
        let map = MemoryMap::new();
        let block = Device::new(TraceBlock::default());
        let (memory, ram) = memory_space(&map, ram_bytes, &block)?;
        let ports = port_space(&map, &block)?;
        let links = CpuLinks {
            memory,
            ports,
            code_writes: map.code_writes(),
            attention: Arc::default(),
            time_ns: Arc::default(),
        };
        Ok((Self { ram, block, map }, Cpu::new(links)))
    }

    /// The memory map, for those who look at it.
    #[must_use]
    pub fn map(&self) -> &MemoryMap {
        &self.map
    }
}

fn memory_space(
    map: &MemoryMap,
    ram_bytes: u64,
    block: &Arc<Device<TraceBlock>>,
) -> Result<(AddressSpace, Arc<RamBlock>), MapError> {
    let root = map.add(RegionSpec::container("memory", 1u64 << 32))?;
    let ram = map.add(RegionSpec::ram("ram", ram_bytes))?;
    let rom = map.add(RegionSpec::rom("rom", PAGE))?;
    let handler = Arc::clone(block) as Arc<dyn MmioHandler>;
    let registers = map.add(RegionSpec::mmio("block", PAGE, handler, RULES))?;
    let mut txn = map.txn();
    txn.attach(root, 0, ram, Placement::Overlap { priority: 0 })?;
    txn.attach(root, u64::from(ROM), rom, Placement::Overlap { priority: 1 })?;
    txn.attach(root, u64::from(BLOCK), registers, Placement::Overlap { priority: 1 })?;
    txn.commit()?;
    let config = SpaceConfig::memory(UnassignedPolicy::Ones);
    let space = map.space(root, "memory", config)?;
    let contents: Vec<u8> = (0..PAGE as u32).map(|at| (at.wrapping_mul(0x9d) >> 3 ^ at) as u8).collect();
    space.write_rom(u64::from(ROM), &contents);
    let ram = map.ram_block(ram).expect("a RAM region has a block");
    Ok((space, ram))
}

fn port_space(map: &MemoryMap, block: &Arc<Device<TraceBlock>>) -> Result<AddressSpace, MapError> {
    let root = map.add(RegionSpec::container("ports", 1u64 << 16))?;
    let handler = Arc::clone(block) as Arc<dyn MmioHandler>;
    let registers = map.add(RegionSpec::mmio("block ports", u64::from(PORTS.1), handler, RULES))?;
    let mut txn = map.txn();
    txn.attach(root, u64::from(PORTS.0), registers, Placement::Exclusive)?;
    txn.commit()?;
    map.space(root, "ports", SpaceConfig::ports(UnassignedPolicy::Ones))
}
