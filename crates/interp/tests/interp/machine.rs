//! A processor with 1 MiB of memory in flat protected mode, a device, and a language for cases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use base::{AccessSize, LinearAddr, RegionOffset};
use cpu::{Cpu, CpuLinks, Exception, Trap, cr, eflags};
use isa::{DecodeMode, Gpr, SegReg};
use memory::{
    AccessCx, AccessRules, BusError, Device, MemoryMap, MmioDevice, MmioHandler, Placement, RegionSize,
    RegionSpec, Row, SpaceConfig, SpaceKind, UnassignedPolicy,
};

/// Where instructions are run.
pub const CODE: u32 = 0x7000;
/// ESP at the start.
pub const STACK: u32 = 0x9000;
/// Memory that cases name `m`.
pub const DATA: u32 = 0x8000;
/// The device, in memory.
pub const MMIO: u32 = 0x20_0000;
/// The device, as a port.
pub const PORT: u16 = 0x60;

/// Selectors of the GDT.
pub mod sel {
    pub const CODE: u16 = 0x08;
    pub const DATA: u16 = 0x10;
    pub const USER_CODE: u16 = 0x1b;
    pub const USER_DATA: u16 = 0x23;
    pub const TSS: u16 = 0x28;
    /// 16-bit data of 64 KiB based at 64 KiB.
    pub const DATA_16: u16 = 0x30;
    pub const READ_ONLY: u16 = 0x38;
}

/// Counts up on reads, keeps writes, and wants the run loop at each access.
#[derive(Default)]
pub struct Recorder {
    pub reads: u32,
    pub written: Vec<u64>,
    attention: Arc<AtomicU32>,
}

impl MmioDevice for Recorder {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        self.reads += 1;
        self.attention.store(1, Ordering::Release);
        Ok(u64::from(self.reads))
    }

    fn write(
        &mut self,
        _: RegionOffset,
        value: u64,
        _: AccessSize,
        _: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.written.push(value);
        self.attention.store(1, Ordering::Release);
        Ok(())
    }

    fn reset(&mut self) {}
}

pub struct Machine {
    pub cpu: Cpu,
    pub device: Arc<Device<Recorder>>,
}

impl Machine {
    const GDT: u32 = 0x1000;
    const IDT: u32 = 0x2000;
    const TSS: u32 = 0x3000;
    const DIRECTORY: u32 = 0x1_0000;
    const TABLE: u32 = 0x1_1000;

    /// Ring 0, flat, interrupts and paging off; every vector has a handler at 0x6000 + 16 * vector.
    pub fn new() -> Self {
        let (mut cpu, device) = processor();
        cpu.set_flat_protected(CODE);
        cpu.set_gpr32(Gpr::Esp, STACK);
        cpu.state.gdtr.base = u64::from(Self::GDT);
        cpu.state.gdtr.limit = 0x47;
        cpu.state.idtr.base = u64::from(Self::IDT);
        cpu.state.idtr.limit = 0x7ff;
        let mut machine = Self { cpu, device };
        let entries: [u64; 9] = [
            0,
            0x00cf_9a00_0000_ffff,
            0x00cf_9200_0000_ffff,
            0x00cf_fa00_0000_ffff,
            0x00cf_f200_0000_ffff,
            0x0000_8900_3000_2000,
            0x0000_9201_0000_ffff,
            0x00cf_9000_0000_ffff,
            0x0000_9a00_0000_ffff,
        ];
        for (n, entry) in entries.into_iter().enumerate() {
            machine.poke(Self::GDT + 8 * n as u32, AccessSize::B8, entry);
        }
        for vector in 0..=255 {
            let offset = u64::from(0x6000 + 16 * vector);
            machine.poke(Self::IDT + 8 * vector, AccessSize::B8, 0xee00_0008_0000 | offset);
        }
        machine.poke(Self::TSS + 4, AccessSize::B4, 0x9800);
        machine.poke(Self::TSS + 8, AccessSize::B4, u64::from(sel::DATA));
        machine.cpu.ltr(sel::TSS).unwrap();
        machine.cpu.state.leave = 0;
        machine
    }

    /// Decodes and runs one instruction at EIP.
    pub fn step(&mut self, bytes: &[u8]) -> Result<(), Trap> {
        let code32 = self.cpu.state.segs[SegReg::Cs.index()].attrs & cpu::attr::DB != 0;
        let insn = isa::decode(bytes, self.cpu.state.eip, DecodeMode { code32 }).unwrap();
        assert_eq!(usize::from(insn.len), bytes.len(), "{bytes:02x?} is {insn:?}");
        marquetry_interp::step(&mut self.cpu, &insn)
    }

    /// Runs one instruction that completes.
    pub fn run(&mut self, bytes: &[u8]) {
        self.step(bytes).unwrap();
    }

    /// Runs one instruction that must raise an exception and change no register, flag or EIP.
    pub fn fault(&mut self, bytes: &[u8]) -> Exception {
        let before = self.cpu.state.clone();
        let Err(Trap::Exception(exception)) = self.step(bytes) else { panic!("{bytes:02x?} raises nothing") };
        let after = &self.cpu.state;
        assert_eq!(before.gpr, after.gpr, "{bytes:02x?}");
        assert_eq!(before.segs, after.segs, "{bytes:02x?}");
        let words = |s: &cpu::CpuState| [s.eip, s.eflags, s.cr0, s.cr3, s.cr4, s.gdtr.limit, s.idtr.limit];
        assert_eq!(words(&before), words(after), "{bytes:02x?}");
        exception
    }

    pub fn poke(&mut self, pa: u32, size: AccessSize, value: u64) {
        let view = Arc::clone(self.cpu.mmu.view());
        view.dispatch_write(u64::from(pa), size, value, Row::Cpu, &mut AccessCx::cpu());
    }

    pub fn poke32(&mut self, pa: u32, value: u32) {
        self.poke(pa, AccessSize::B4, u64::from(value));
    }

    pub fn peek(&self, pa: u32, size: AccessSize) -> u64 {
        self.cpu.mmu.view().dispatch_read(u64::from(pa), size, Row::Cpu, &mut AccessCx::cpu()).0
    }

    pub fn peek32(&self, pa: u32) -> u32 {
        self.peek(pa, AccessSize::B4) as u32
    }

    pub fn peek16(&self, pa: u32) -> u32 {
        self.peek(pa, AccessSize::B2) as u32
    }

    pub fn get(&self, gpr: Gpr) -> u32 {
        self.cpu.gpr32(gpr)
    }

    pub fn set(&mut self, gpr: Gpr, value: u32) {
        self.cpu.set_gpr32(gpr, value);
    }

    pub fn flags(&mut self) -> u32 {
        self.cpu.eflags()
    }

    /// Maps the first 4 MiB to itself, for every ring, and turns paging on.
    pub fn identity_paging(&mut self) {
        self.poke32(Self::DIRECTORY, Self::TABLE | 7);
        for page in 0..0x400 {
            self.poke32(Self::TABLE + page * 4, page << 12 | 7);
        }
        self.cpu.write_cr(3, Self::DIRECTORY).unwrap();
        self.cpu.write_cr(0, cr::CR0_PE | cr::CR0_PG | cr::CR0_WP).unwrap();
        self.cpu.state.leave = 0;
    }

    /// Gives the page of `la` other bits: 0 not present, 5 read-only.
    pub fn page(&mut self, la: u32, bits: u32) {
        self.poke32(Self::TABLE + (la >> 12) * 4, la & !0xfff | bits);
        self.cpu.invlpg(LinearAddr(la));
        self.cpu.state.leave = 0;
    }

    /// Ring 3 with IOPL 0, at the present EIP and ESP.
    pub fn ring3(&mut self) {
        self.cpu.state.cpl = 3;
        for seg in SegReg::ALL {
            let segment = &mut self.cpu.state.segs[seg.index()];
            segment.attrs |= cpu::attr::DPL;
            segment.selector = if seg == SegReg::Cs { sel::USER_CODE } else { sel::USER_DATA };
        }
    }

    /// A 16-bit stack, its segment based at 0.
    pub fn stack16(&mut self, esp: u32) {
        let ss = &mut self.cpu.state.segs[SegReg::Ss.index()];
        ss.attrs &= !cpu::attr::DB;
        ss.limit = 0xffff;
        self.set(Gpr::Esp, esp);
    }

    /// Limits a segment.
    pub fn limit(&mut self, seg: SegReg, limit: u32) {
        self.cpu.state.segs[seg.index()].limit = limit;
    }
}

fn processor() -> (Cpu, Arc<Device<Recorder>>) {
    let attention = Arc::new(AtomicU32::new(0));
    let device = Device::new(Recorder { attention: Arc::clone(&attention), ..Recorder::default() });
    let handler = || Arc::clone(&device) as Arc<dyn MmioHandler>;
    let rules = AccessRules::new().valid(1, 4).implemented(1, 4).little_endian();
    let map = MemoryMap::new();
    let root = map.add(RegionSpec::container("system", RegionSize::WHOLE)).unwrap();
    let ram = map.add(RegionSpec::ram("ram", 0x10_0000_u64)).unwrap();
    let mmio = map.add(RegionSpec::mmio("mmio", 0x1000_u64, handler(), rules)).unwrap();
    let io = map.add(RegionSpec::container("ports", 0x1_0000_u64)).unwrap();
    let port = map.add(RegionSpec::mmio("port", 4_u64, handler(), rules)).unwrap();
    let config = |kind| SpaceConfig::new(kind, UnassignedPolicy::Ones);
    let memory = map.space(root, "memory", config(SpaceKind::Memory)).unwrap();
    let ports = map.space(io, "I/O", config(SpaceKind::Port)).unwrap();
    let mut txn = map.txn();
    txn.attach(root, 0, ram, Placement::Exclusive).unwrap();
    txn.attach(root, u64::from(MMIO), mmio, Placement::Exclusive).unwrap();
    txn.attach(io, u64::from(PORT), port, Placement::Exclusive).unwrap();
    txn.commit().unwrap();
    let time_ns = Arc::new(AtomicU64::new(0));
    let links = CpuLinks { memory, ports, code_writes: map.code_writes(), attention, time_ns };
    (Cpu::new(links), device)
}

/// The bytes of `"11 d8"`.
pub fn bytes(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// Names of flags in cases.
const FLAGS: [(&str, u32); 7] = [
    ("CF", eflags::CF),
    ("PF", eflags::PF),
    ("AF", eflags::AF),
    ("ZF", eflags::ZF),
    ("SF", eflags::SF),
    ("DF", eflags::DF),
    ("OF", eflags::OF),
];

/// Names of registers in cases.
const REGISTERS: [(&str, Gpr); 8] = [
    ("eax", Gpr::Eax),
    ("ecx", Gpr::Ecx),
    ("edx", Gpr::Edx),
    ("ebx", Gpr::Ebx),
    ("esp", Gpr::Esp),
    ("ebp", Gpr::Ebp),
    ("esi", Gpr::Esi),
    ("edi", Gpr::Edi),
];

/// Puts the state that `text` names into `machine`: registers and `m`, the doubleword at [`DATA`], in hexadecimal;
/// flags that are set, all others clear.
pub fn put(machine: &mut Machine, text: &str) {
    let mut flags = 0;
    for word in text.split_whitespace() {
        let Some((name, value)) = word.split_once('=') else {
            flags |= FLAGS.iter().find(|(name, _)| *name == word).unwrap().1;
            continue;
        };
        let value = u32::from_str_radix(value, 16).unwrap();
        match REGISTERS.iter().find(|(register, _)| *register == name) {
            Some((_, gpr)) => machine.set(*gpr, value),
            None if name == "m" => machine.poke32(DATA, value),
            None => panic!("{word}"),
        }
    }
    machine.cpu.set_status(eflags::STATUS | eflags::DF, flags);
}

/// The state in the words of [`put`].
fn shown(machine: &mut Machine) -> String {
    let mut text: Vec<String> =
        REGISTERS.iter().map(|(name, gpr)| format!("{name}={:x}", machine.get(*gpr))).collect();
    text.push(format!("m={:x}", machine.peek32(DATA)));
    let flags = machine.flags();
    text.extend(FLAGS.iter().filter(|(_, flag)| flags & flag != 0).map(|(name, _)| (*name).to_string()));
    text.join(" ")
}

/// Runs one instruction from the state `before`; afterwards everything is as before but what `after` names, and
/// exactly the flags that `after` names are set.
#[track_caller]
pub fn case(code: &str, before: &str, after: &str) {
    let mut expected = Machine::new();
    put(&mut expected, before);
    put(&mut expected, after);
    let mut machine = Machine::new();
    put(&mut machine, before);
    let code = bytes(code);
    machine.step(&code).unwrap();
    assert_eq!(shown(&mut machine), shown(&mut expected), "{code:02x?} from {before}");
    assert_eq!(machine.cpu.state.eip, CODE + code.len() as u32, "{code:02x?}");
}

/// Runs one instruction that must raise `exception` from the state `before` and change nothing.
#[track_caller]
pub fn faults(code: &str, before: &str, exception: Exception) {
    let mut machine = Machine::new();
    put(&mut machine, before);
    let memory = machine.peek32(DATA);
    assert_eq!(machine.fault(&bytes(code)), exception, "{code} from {before}");
    assert_eq!(machine.peek32(DATA), memory, "{code} from {before}");
}
