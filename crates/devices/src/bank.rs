//! Bank switch: a register that chooses which bank of a larger block a window shows.
//!
//! Modelled: one byte register; writing it slides the window's alias, so that the memory behind it changes and
//! nothing else does. Bits above the number of banks are ignored and read as 0.
//! Source: this project's `bare` board; the scheme is that of EMS boards and cartridge mappers.

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, MemoryMap, MmioDevice, RegionId};

/// One byte.
pub const RULES: AccessRules = AccessRules::new().valid(1, 1).implemented(1, 1).little_endian();

/// What the register moves.
pub struct BankWindow {
    /// The map that holds the window.
    pub map: MemoryMap,
    /// The alias that shows one bank.
    pub alias: RegionId,
    /// Bytes of a bank.
    pub bank_len: u64,
    /// Number of banks, a power of two up to 256.
    pub banks: u16,
}

/// The register's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BankState {
    /// The bank shown.
    pub bank: u8,
}

/// The register and its window.
pub struct BankSwitch {
    state: BankState,
    window: BankWindow,
}

impl BankSwitch {
    /// The register at bank 0, which the alias must show already.
    #[must_use]
    pub fn new(window: BankWindow) -> Self {
        debug_assert!(
            window.banks.is_power_of_two() && window.banks <= 256,
            "banks are selected by a bit mask"
        );
        Self { state: BankState::default(), window }
    }

    /// The state, to compare and save.
    #[must_use]
    pub fn state(&self) -> &BankState {
        &self.state
    }

    fn select(&mut self, bank: u8) -> Result<(), BusError> {
        if bank == self.state.bank {
            return Ok(());
        }
        let mut txn = self.window.map.txn();
        let slid = txn.slide_alias(self.window.alias, u64::from(bank) * self.window.bank_len);
        if slid.is_err() || txn.commit().is_err() {
            tracing::warn!(target: "dev::bank", bank, "bank change refused");
            return Err(BusError::Device(1));
        }
        self.state.bank = bank;
        Ok(())
    }
}

impl MmioDevice for BankSwitch {
    fn read(&mut self, _off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        Ok(u64::from(self.state.bank))
    }

    fn write(
        &mut self,
        _off: RegionOffset,
        value: u64,
        _size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.select((value & u64::from(self.window.banks - 1)) as u8)
    }

    fn reset(&mut self) {
        // A refusal leaves the old bank in the register and in the window alike.
        let _refused = self.select(0);
    }
}
