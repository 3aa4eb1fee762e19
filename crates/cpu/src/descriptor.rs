//! Segment and gate descriptors in memory (SDM Vol. 3A 3.4.5, 3.5, 6.11).

use base::{AccessSize, LinearAddr};
use isa::Width;

use crate::layout::Segment;
use crate::{Cpu, Exception, attr};

/// The eight bytes of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor(pub u64);

/// Type bit that tells 32-bit system descriptors from 16-bit ones.
pub(crate) const SYSTEM_32: u32 = 1 << 3;

/// What a system descriptor is (SDM Vol. 3A table 3-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemKind {
    /// None of the below.
    Reserved,
    /// A local descriptor table.
    Ldt,
    /// A task-state segment.
    Tss {
        /// 16- or 32-bit.
        width: Width,
        /// The task is running or waits for one that it called.
        busy: bool,
    },
    /// A call gate.
    CallGate,
    /// A task gate.
    TaskGate,
    /// An interrupt gate or a trap gate.
    Gate {
        /// 16- or 32-bit.
        width: Width,
        /// Trap gate: leaves IF alone.
        trap: bool,
    },
}

impl Descriptor {
    /// Linear base address.
    #[must_use]
    pub const fn base(self) -> u32 {
        (self.0 >> 16 & 0x00ff_ffff | self.0 >> 32 & 0xff00_0000) as u32
    }

    /// Effective limit in bytes, granularity applied.
    #[must_use]
    pub const fn limit(self) -> u32 {
        let raw = (self.0 & 0xffff | self.0 >> 32 & 0x000f_0000) as u32;
        if self.attrs() & attr::G != 0 { raw << 12 | 0xfff } else { raw }
    }

    /// Bits as in [`Segment::attrs`].
    #[must_use]
    pub const fn attrs(self) -> u32 {
        (self.0 >> 40) as u32 & 0xf0ff
    }

    /// Descriptor privilege level.
    #[must_use]
    pub const fn dpl(self) -> u8 {
        ((self.attrs() & attr::DPL) >> attr::DPL_SHIFT) as u8
    }

    /// Whether the segment is present.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.attrs() & attr::P != 0
    }

    /// Whether it is a code segment.
    #[must_use]
    pub const fn is_code(self) -> bool {
        self.attrs() & (attr::S | attr::CODE) == attr::S | attr::CODE
    }

    /// Whether it is a conforming code segment.
    #[must_use]
    pub const fn is_conforming(self) -> bool {
        self.is_code() && self.attrs() & attr::DC != 0
    }

    /// Whether it is a data segment that may be written.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.attrs() & (attr::S | attr::CODE | attr::RW) == attr::S | attr::RW
    }

    /// Whether it is a data segment or a code segment that may be read.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.attrs() & attr::S != 0 && self.attrs() & (attr::CODE | attr::RW) != attr::CODE
    }

    /// What a system descriptor is; `None` for code and data segments.
    #[must_use]
    pub const fn system(self) -> Option<SystemKind> {
        if self.attrs() & attr::S != 0 {
            return None;
        }
        let width = if self.attrs() & SYSTEM_32 != 0 { Width::B4 } else { Width::B2 };
        Some(match self.attrs() & 0xf {
            1 | 9 => SystemKind::Tss { width, busy: false },
            3 | 11 => SystemKind::Tss { width, busy: true },
            2 => SystemKind::Ldt,
            4 | 12 => SystemKind::CallGate,
            5 => SystemKind::TaskGate,
            6 | 14 => SystemKind::Gate { width, trap: false },
            7 | 15 => SystemKind::Gate { width, trap: true },
            _ => SystemKind::Reserved,
        })
    }

    /// Selector that a gate leads to.
    #[must_use]
    pub const fn gate_selector(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Offset that a gate leads to, all 32 bits.
    #[must_use]
    pub const fn gate_offset(self) -> u32 {
        (self.0 & 0xffff | self.0 >> 32 & 0xffff_0000) as u32
    }

    /// The segment register's content when it is loaded with this descriptor through `selector`.
    #[must_use]
    pub fn segment(self, selector: u16) -> Segment {
        Segment {
            base: u64::from(self.base()),
            limit: self.limit(),
            attrs: self.attrs(),
            selector,
            reserved: [0; 3],
        }
    }
}

/// A descriptor and where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    la: LinearAddr,
    /// Its content.
    pub descriptor: Descriptor,
}

/// Whether `selector` is null (SDM Vol. 3A 3.4.2).
pub(crate) const fn is_null(selector: u16) -> bool {
    selector & !3 == 0
}

/// Requested privilege level of a selector.
pub(crate) const fn rpl(selector: u16) -> u8 {
    (selector & 3) as u8
}

/// Error code that names a selector (SDM Vol. 3A 6.13), EXT clear.
pub(crate) const fn selector_code(selector: u16) -> u32 {
    (selector & !3) as u32
}

impl Cpu {
    /// The descriptor that `selector` names; `None` outside its table. No local table can be loaded, so a
    /// selector of one is outside.
    ///
    /// # Errors
    /// #PF on the table.
    pub(crate) fn descriptor(&mut self, selector: u16) -> Result<Option<Entry>, Exception> {
        let offset = u32::from(selector & !7);
        if selector & 4 != 0 || offset + 7 > self.state.gdtr.limit {
            return Ok(None);
        }
        let la = LinearAddr((self.state.gdtr.base as u32).wrapping_add(offset));
        let descriptor = Descriptor(self.load_linear(la, AccessSize::B8, false)?);
        Ok(Some(Entry { la, descriptor }))
    }

    /// Makes the checks of [`Cpu::mark_accessed`] and changes nothing.
    ///
    /// # Errors
    /// #PF on the table.
    pub(crate) fn probe_accessed(&mut self, entry: &Entry) -> Result<(), Exception> {
        if entry.descriptor.attrs() & attr::ACCESSED != 0 {
            return Ok(());
        }
        self.probe_linear(entry.access_byte(), AccessSize::B1, false)
    }

    /// Sets the accessed bit of a segment's descriptor, in memory and in `entry` (SDM Vol. 3A 3.4.5.1).
    ///
    /// # Errors
    /// #PF on the table.
    pub(crate) fn mark_accessed(&mut self, entry: &mut Entry) -> Result<(), Exception> {
        if entry.descriptor.attrs() & attr::ACCESSED != 0 {
            return Ok(());
        }
        self.set_type_bit(entry, attr::ACCESSED)
    }

    /// Sets one bit of a descriptor's type.
    ///
    /// # Errors
    /// #PF on the table.
    pub(crate) fn set_type_bit(&mut self, entry: &mut Entry, bit: u32) -> Result<(), Exception> {
        let byte = u64::from(entry.descriptor.attrs() & 0xff | bit);
        self.store_linear(entry.access_byte(), AccessSize::B1, byte, false)?;
        entry.descriptor.0 |= u64::from(bit) << 40;
        Ok(())
    }
}

impl Entry {
    /// Where the byte with P, DPL, S and the type lies.
    fn access_byte(&self) -> LinearAddr {
        self.la.wrapping_add(5)
    }
}
