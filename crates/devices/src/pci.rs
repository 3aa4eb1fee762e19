//! PCI host: configuration mechanism 1 (CONFADD and CONFDATA).
//!
//! Modelled: the address register (dword access only), byte, word and dword access to the data register, bus 0.
//! Not modelled: mechanism 2, other buses. CONFADD's bytes are not registers: byte and word accesses there pass
//! the host by, so that a board can place a reset control register at the second of them.
//! Source: PCI Local Bus Specification 2.1, 3.7.4.1; 82441FX data sheet, CONFADD and CONFDATA.

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, MmioDevice};

/// Both registers are dwords; the data register also takes narrower accesses, each inside its dword.
pub const RULES: AccessRules = AccessRules::new().valid(1, 4).implemented(1, 4).little_endian();

/// Offsets of the two register windows, for the board to place; each is four bytes long.
pub mod window {
    /// CONFADD.
    pub const ADDRESS: u64 = 0;
    /// CONFDATA.
    pub const DATA: u64 = 4;
    /// Bytes of each window.
    pub const LEN: u64 = 4;
}

const ENABLE: u32 = 1 << 31;
/// Bits of CONFADD that hold something: enable, bus, device, function, register.
const ADDRESS_MASK: u32 = ENABLE | 0x00ff_fffc;

/// One function's configuration space.
pub trait PciFunction: Send {
    /// Reads `size` bytes at `register`; the access lies inside one dword.
    fn config_read(&self, register: u8, size: AccessSize) -> u32;
    /// Writes `size` bytes at `register`; the access lies inside one dword.
    fn config_write(&mut self, register: u8, size: AccessSize, value: u32);
    /// The reset values.
    fn reset(&mut self);
}

/// Device and function number on bus 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DevFn {
    /// Device, 0 to 31.
    pub device: u8,
    /// Function, 0 to 7.
    pub function: u8,
}

impl DevFn {
    const fn of_address(address: u32) -> Self {
        Self { device: (address >> 11 & 0x1f) as u8, function: (address >> 8 & 7) as u8 }
    }
}

/// The host's own state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PciHostState {
    /// CONFADD.
    pub address: u32,
}

/// The host and the functions of bus 0.
pub struct PciHost {
    state: PciHostState,
    functions: Vec<(DevFn, Box<dyn PciFunction>)>,
}

impl PciHost {
    /// A host with the given functions on bus 0.
    #[must_use]
    pub fn new(functions: Vec<(DevFn, Box<dyn PciFunction>)>) -> Self {
        Self { state: PciHostState::default(), functions }
    }

    /// The state, to compare and save.
    #[must_use]
    pub fn state(&self) -> &PciHostState {
        &self.state
    }

    /// The function that CONFADD selects and the register that an access at `lane` of CONFDATA means.
    fn selected(&mut self, lane: u64) -> Option<(&mut Box<dyn PciFunction>, u8)> {
        let address = self.state.address;
        if address & ENABLE == 0 || address & 0x00ff_0000 != 0 {
            return None;
        }
        let devfn = DevFn::of_address(address);
        let register = (address & 0xfc) as u8 | (lane & 3) as u8;
        let (_, function) = self.functions.iter_mut().find(|(at, _)| *at == devfn)?;
        Some((function, register))
    }
}

impl MmioDevice for PciHost {
    fn read(&mut self, off: RegionOffset, size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        if off.0 < window::DATA {
            let whole = size == AccessSize::B4;
            return Ok(if whole { u64::from(self.state.address) } else { size.mask() });
        }
        // Nobody there: the master abort reads as all ones.
        Ok(match self.selected(off.0) {
            Some((function, register)) => u64::from(function.config_read(register, size)) & size.mask(),
            None => size.mask(),
        })
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        let value = (value & size.mask() & 0xffff_ffff) as u32;
        if off.0 < window::DATA {
            if size == AccessSize::B4 {
                self.state.address = value & ADDRESS_MASK;
            } else {
                guest_error!("pci", "narrow write of {value:#x} to CONFADD");
            }
        } else if let Some((function, register)) = self.selected(off.0) {
            function.config_write(register, size, value);
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.state = PciHostState::default();
        for (_, function) in &mut self.functions {
            function.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes([u8; 256]);
    impl PciFunction for Bytes {
        fn config_read(&self, register: u8, size: AccessSize) -> u32 {
            (0..size.bytes() as u8)
                .fold(0, |v, i| v | u32::from(self.0[usize::from(register + i)]) << (8 * i))
        }
        fn config_write(&mut self, register: u8, size: AccessSize, value: u32) {
            for i in 0..size.bytes() as u8 {
                self.0[usize::from(register + i)] = (value >> (8 * i)) as u8;
            }
        }
        fn reset(&mut self) {
            self.0 = [0; 256];
        }
    }

    fn host() -> PciHost {
        let mut config = [0; 256];
        config[..4].copy_from_slice(&[0x86, 0x80, 0x37, 0x12]);
        PciHost::new(vec![(DevFn { device: 3, function: 1 }, Box::new(Bytes(config)))])
    }

    fn get(host: &mut PciHost, off: u64, size: AccessSize) -> u64 {
        host.read(RegionOffset(off), size, &mut AccessCx::cpu()).unwrap()
    }

    fn put(host: &mut PciHost, off: u64, size: AccessSize, value: u64) {
        host.write(RegionOffset(off), value, size, &mut AccessCx::cpu()).unwrap();
    }

    #[test]
    fn the_selected_function_answers_at_every_width() {
        let mut host = host();
        put(&mut host, 0, AccessSize::B4, 0x8000_1900);
        assert_eq!(get(&mut host, 4, AccessSize::B4), 0x1237_8086);
        assert_eq!(get(&mut host, 6, AccessSize::B2), 0x1237);
        assert_eq!(get(&mut host, 5, AccessSize::B1), 0x80);
        put(&mut host, 0, AccessSize::B4, 0x8000_1941);
        put(&mut host, 7, AccessSize::B1, 0x5a);
        assert_eq!(get(&mut host, 4, AccessSize::B4), 0x5a00_0000);
        host.reset();
        assert_eq!(*host.state(), PciHostState::default());
    }

    #[test]
    fn nobody_reads_as_ones() {
        let mut host = host();
        for address in [0x0000_1900, 0x8000_1800, 0x8001_1900, 0x8000_2100] {
            put(&mut host, 0, AccessSize::B4, address);
            assert_eq!(get(&mut host, 4, AccessSize::B4), 0xffff_ffff, "{address:#x}");
            put(&mut host, 4, AccessSize::B4, 0);
        }
    }

    #[test]
    fn the_address_register_is_a_dword() {
        let mut host = host();
        put(&mut host, 0, AccessSize::B4, 0xffff_ffff);
        put(&mut host, 0, AccessSize::B1, 0);
        put(&mut host, 1, AccessSize::B1, 0x06);
        assert_eq!(get(&mut host, 0, AccessSize::B4), 0x80ff_fffc);
        assert_eq!(get(&mut host, 1, AccessSize::B1), 0xff);
    }
}
