//! A processor with 1 MiB of memory, a GDT, an IDT and a TSS; 16 KiB more lie askew of the pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use base::AccessSize;
use isa::{Gpr, Width};
use marquetry_cpu::{Cpu, CpuLinks, cr};
use memory::{
    AccessCx, MemoryMap, Placement, RegionSize, RegionSpec, Row, SpaceConfig, SpaceKind, UnassignedPolicy,
};

/// Selectors of the GDT.
pub mod sel {
    pub const CODE: u16 = 0x08;
    pub const DATA: u16 = 0x10;
    pub const USER_CODE: u16 = 0x1b;
    pub const USER_DATA: u16 = 0x23;
    pub const TSS: u16 = 0x28;
    pub const RING2_DATA: u16 = 0x32;
    /// An entry for the test.
    pub const FREE: u16 = 0x38;
}

/// The upper doubleword of descriptors, without base and limit.
pub mod kind {
    pub const PRESENT: u32 = 0x8000;
    pub const DATA: u32 = 0x9200;
    pub const READ_ONLY: u32 = 0x9000;
    pub const DOWN: u32 = 0x9600;
    pub const CODE: u32 = 0x9a00;
    pub const CODE_CONFORMING: u32 = 0x9e00;
    /// D/B.
    pub const WIDE: u32 = 1 << 22;
    /// G.
    pub const PAGES: u32 = 1 << 23;

    pub const fn dpl(level: u32) -> u32 {
        level << 13
    }

    /// A present system descriptor.
    pub const fn system(number: u32) -> u32 {
        PRESENT | number << 8
    }
}

/// The upper doubleword of gates, without the offset.
pub mod gate {
    pub const INTERRUPT: u32 = super::kind::system(14);
    pub const TRAP: u32 = super::kind::system(15);
    pub const INTERRUPT_16: u32 = super::kind::system(6);
}

pub struct Machine {
    pub cpu: Cpu,
}

impl Machine {
    pub const GDT: u32 = 0x1000;
    pub const IDT: u32 = 0x2000;
    pub const TSS: u32 = 0x3000;
    /// ESP0 in the TSS.
    pub const STACK_0: u32 = 0x9800;
    /// Memory whose pages are not those of the address space.
    pub const ASKEW: u32 = 0x20_0800;
    pub const DIRECTORY: u32 = 0x1_0000;
    pub const TABLE: u32 = 0x1_1000;

    /// Ring 0, flat, interrupts and paging off; EIP 0x7000, ESP 0x9000.
    pub fn new() -> Self {
        let mut machine = Self { cpu: processor() };
        machine.cpu.set_flat_protected(0x7000);
        machine.cpu.set_gpr32(Gpr::Esp, 0x9000);
        machine.cpu.state.gdtr.base = u64::from(Self::GDT);
        machine.cpu.state.gdtr.limit = 0x3f;
        machine.cpu.state.idtr.base = u64::from(Self::IDT);
        machine.cpu.state.idtr.limit = 0x7ff;
        let flat = kind::WIDE | kind::PAGES;
        machine.descriptor(sel::CODE >> 3, 0, 0xf_ffff, kind::CODE | flat);
        machine.descriptor(sel::DATA >> 3, 0, 0xf_ffff, kind::DATA | flat);
        machine.descriptor(sel::USER_CODE >> 3, 0, 0xf_ffff, kind::CODE | flat | kind::dpl(3));
        machine.descriptor(sel::USER_DATA >> 3, 0, 0xf_ffff, kind::DATA | flat | kind::dpl(3));
        machine.descriptor(sel::RING2_DATA >> 3, 0, 0xf_ffff, kind::DATA | flat | kind::dpl(2));
        machine.descriptor(sel::TSS >> 3, Self::TSS, 0x2000, kind::system(9));
        machine.poke(Self::TSS + 4, Self::STACK_0);
        machine.poke(Self::TSS + 8, u32::from(sel::DATA));
        machine.cpu.ltr(sel::TSS).unwrap();
        machine
    }

    /// Writes physical memory.
    pub fn poke(&mut self, pa: u32, value: u32) {
        let view = Arc::clone(self.cpu.mmu.view());
        view.dispatch_write(u64::from(pa), AccessSize::B4, u64::from(value), Row::Cpu, &mut AccessCx::cpu());
    }

    /// Reads physical memory.
    pub fn peek(&self, pa: u32) -> u32 {
        let view = self.cpu.mmu.view();
        view.dispatch_read(u64::from(pa), AccessSize::B4, Row::Cpu, &mut AccessCx::cpu()).0 as u32
    }

    /// Address of a GDT entry.
    pub fn gdt(&self, index: u16) -> u32 {
        Self::GDT + u32::from(index) * 8
    }

    /// Writes a GDT entry and gives its address.
    pub fn descriptor(&mut self, index: u16, base: u32, raw_limit: u32, bits: u32) -> u32 {
        let place = self.gdt(index);
        self.poke(place, base << 16 | raw_limit & 0xffff);
        self.poke(place + 4, base & 0xff00_0000 | base >> 16 & 0xff | raw_limit & 0xf_0000 | bits);
        place
    }

    /// Writes an IDT entry.
    pub fn gate(&mut self, vector: u8, selector: u16, offset: u32, bits: u32) {
        let place = Self::IDT + u32::from(vector) * 8;
        self.poke(place, u32::from(selector) << 16 | offset & 0xffff);
        self.poke(place + 4, offset & 0xffff_0000 | bits);
    }

    /// Puts values in memory and points ESP at the first.
    pub fn frame(&mut self, esp: u32, values: &[u32]) {
        for (n, value) in values.iter().enumerate() {
            self.poke(esp + 4 * n as u32, *value);
        }
        self.cpu.set_gpr32(Gpr::Esp, esp);
    }

    /// Goes to ring 3 by IRET: EIP 0x7000, ESP 0x6000, flags clear.
    pub fn ring3(&mut self) {
        self.cpu.set_flat_ring0();
        let (code, stack) = (u32::from(sel::USER_CODE), u32::from(sel::USER_DATA));
        self.frame(0x9f00, &[0x7000, code, 2, 0x6000, stack]);
        self.cpu.iret(Width::B4).unwrap();
        assert_eq!(self.cpu.state.cpl, 3);
    }

    /// Maps the first 4 MiB to itself, for every ring, and turns paging on.
    pub fn identity_paging(&mut self) {
        self.poke(Self::DIRECTORY, Self::TABLE | 7);
        for page in 0..0x400 {
            self.poke(Self::TABLE + page * 4, page << 12 | 7);
        }
        self.cpu.write_cr(3, Self::DIRECTORY).unwrap();
        self.cpu.write_cr(0, cr::CR0_PE | cr::CR0_PG).unwrap();
    }

    /// Clears the entry of a page.
    pub fn unmap(&mut self, la: u32) {
        self.poke(Self::TABLE + (la >> 12) * 4, 0);
        self.cpu.invlpg(base::LinearAddr(la));
    }
}

/// What puts a test back into ring 0.
trait Ring0 {
    fn set_flat_ring0(&mut self);
}

impl Ring0 for Cpu {
    fn set_flat_ring0(&mut self) {
        self.state.cpl = 0;
        self.load_segment(isa::SegReg::Ss, sel::DATA).unwrap();
        self.far_jump(sel::CODE, 0x7000, Width::B4).unwrap();
    }
}

fn processor() -> Cpu {
    let map = MemoryMap::new();
    let root = map.add(RegionSpec::container("system", RegionSize::WHOLE)).unwrap();
    let ram = map.add(RegionSpec::ram("ram", 0x10_0000_u64)).unwrap();
    let askew = map.add(RegionSpec::ram("askew", 0x4000_u64)).unwrap();
    let ports = map.add(RegionSpec::container("ports", 0x1_0000_u64)).unwrap();
    let config = |kind| SpaceConfig::new(kind, UnassignedPolicy::Ones);
    let memory = map.space(root, "memory", config(SpaceKind::Memory)).unwrap();
    let ports = map.space(ports, "I/O", config(SpaceKind::Port)).unwrap();
    let mut txn = map.txn();
    txn.attach(root, 0, ram, Placement::Exclusive).unwrap();
    txn.attach(root, u64::from(Machine::ASKEW), askew, Placement::Exclusive).unwrap();
    txn.commit().unwrap();
    Cpu::new(CpuLinks {
        memory,
        ports,
        code_writes: map.code_writes(),
        attention: Arc::new(AtomicU32::new(0)),
        time_ns: Arc::new(AtomicU64::new(0)),
    })
}
