//! Intel 82093AA I/O APIC: the register file only.
//!
//! Modelled: IOREGSEL, IOWIN, the identification, version and arbitration registers, and the 24 redirection entries
//! as storage, with the read-only bits of the data sheet. Not modelled: delivery. No interrupt ever comes from here:
//! there is no local APIC to take it, and interrupts go through the 8259A pair.
//! Source: 82093AA data sheet; register names are its names.

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, MmioDevice};

/// Dword registers; narrower reads see their lane.
pub const RULES: AccessRules = AccessRules::new().valid(1, 4).implemented(4, 4).little_endian();
/// Bytes of the register block.
pub const LEN: u64 = 0x1000;

/// Register offsets.
pub mod reg {
    /// Index register.
    pub const IOREGSEL: u64 = 0x00;
    /// Data window.
    pub const IOWIN: u64 = 0x10;
}

const ENTRIES: usize = 24;
const IOAPICID: u8 = 0x00;
const IOAPICVER: u8 = 0x01;
const IOAPICARB: u8 = 0x02;
const IOREDTBL: u8 = 0x10;
/// Version 11h, 24 entries.
const VERSION: u32 = 0x0017_0011;
const ID_MASK: u32 = 0x0f00_0000;
/// The low dword of an entry without delivery status and remote IRR, which are read-only.
const LOW_WRITABLE: u32 = 0x0001_afff;
const HIGH_WRITABLE: u32 = 0xff00_0000;
const MASKED: u32 = 1 << 16;

/// The register file, which is its own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// The register that IOWIN shows.
    pub select: u8,
    /// Identification, in its register's place.
    pub id: u32,
    /// Redirection table: low and high dword of each entry.
    pub table: [[u32; 2]; ENTRIES],
}

impl Default for IoApic {
    fn default() -> Self {
        Self { select: 0, id: 0, table: [[MASKED, 0]; ENTRIES] }
    }
}

impl IoApic {
    /// Entry and half that the selected register means.
    fn entry(&self) -> Option<(usize, usize)> {
        let index = usize::from(self.select.checked_sub(IOREDTBL)?);
        (index < 2 * ENTRIES).then_some((index / 2, index % 2))
    }

    fn read_window(&self) -> u32 {
        match self.select {
            IOAPICID | IOAPICARB => self.id,
            IOAPICVER => VERSION,
            _ => self.entry().map_or(0, |(entry, half)| self.table[entry][half]),
        }
    }

    fn write_window(&mut self, value: u32) {
        if self.select == IOAPICID {
            self.id = value & ID_MASK;
        } else if let Some((entry, half)) = self.entry() {
            self.table[entry][half] = value & [LOW_WRITABLE, HIGH_WRITABLE][half];
            if half == 0 && value & MASKED == 0 {
                unimplemented_feature!("ioapic", "entry {entry} unmasked: nothing delivers it");
            }
        }
    }
}

impl MmioDevice for IoApic {
    fn read(&mut self, off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        Ok(match off.0 {
            reg::IOREGSEL => u64::from(self.select),
            reg::IOWIN => u64::from(self.read_window()),
            _ => 0,
        })
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        _size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        match off.0 {
            reg::IOREGSEL => self.select = (value & 0xff) as u8,
            reg::IOWIN => self.write_window((value & 0xffff_ffff) as u32),
            other => guest_error!("ioapic", "write of {value:#x} to offset {other:#x}"),
        }
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(apic: &mut IoApic, select: u64, value: Option<u64>) -> u64 {
        let cx = &mut AccessCx::cpu();
        apic.write(RegionOffset(reg::IOREGSEL), select, AccessSize::B4, cx).unwrap();
        if let Some(value) = value {
            apic.write(RegionOffset(reg::IOWIN), value, AccessSize::B4, cx).unwrap();
        }
        apic.read(RegionOffset(reg::IOWIN), AccessSize::B4, cx).unwrap()
    }

    #[test]
    fn registers_hold_their_writable_bits() {
        let mut apic = IoApic::default();
        assert_eq!(window(&mut apic, 1, Some(0)), 0x0017_0011);
        assert_eq!(window(&mut apic, 0, Some(0xffff_ffff)), 0x0f00_0000);
        assert_eq!(window(&mut apic, 2, None), 0x0f00_0000);
        assert_eq!(window(&mut apic, 0x10, None), 0x1_0000);
        assert_eq!(window(&mut apic, 0x3e, Some(0xffff_ffff)), 0x0001_afff);
        assert_eq!(window(&mut apic, 0x3f, Some(0xffff_ffff)), 0xff00_0000);
        for beyond in [0x03, 0x0f, 0x40, 0xff] {
            assert_eq!(window(&mut apic, beyond, Some(1)), 0, "register {beyond:#x}");
        }
        apic.reset();
        assert_eq!(apic, IoApic::default());
    }
}
