//! Intel 82441FX (440FX PMC) host bridge: PCI function 0 of device 0, with the PAM registers.
//!
//! Modelled: identification, PAM0 to PAM6 (59h to 5fh): read enable and write enable of the thirteen windows
//! between c0000h and fffffh, each direction on its own, as one memory map change per configuration write.
//! Not modelled: DRAM timing, error reporting, the cache bits of PAM, SMRAM (72h reads back its reset value); other
//! registers are read-only. Source: 82441FX data sheet, 3.2; register names are its names.

use base::AccessSize;
use memory::{MemoryMap, RegionId, Transparency};

use crate::pci::PciFunction;

/// Windows that the PAM registers control.
pub const PAM_WINDOWS: usize = 13;
/// Read enable: reads go to DRAM.
pub const PAM_RE: u8 = 1;
/// Write enable: writes go to DRAM.
pub const PAM_WE: u8 = 2;

const PAM0: usize = 0x59;
const PAM6: usize = 0x5f;
const PCICMD: usize = 0x04;
/// Size of the lower windows; the last one is [`PAM_TOP_LEN`] long.
const PAM_LEN: u64 = 0x4000;
const PAM_TOP_LEN: u64 = 0x1_0000;
const PAM_BASE: u64 = 0xc_0000;

/// First address and length of PAM window `index` in the chip's memory space (data sheet, table "PAM Registers").
///
/// Window 12 is the 64 KiB below 1 MiB, PAM0's upper nibble; the others follow PAM1 to PAM6, low nibble first.
#[must_use]
pub const fn pam_window(index: usize) -> (u64, u64) {
    if index + 1 == PAM_WINDOWS {
        (0xf_0000, PAM_TOP_LEN)
    } else {
        (PAM_BASE + index as u64 * PAM_LEN, PAM_LEN)
    }
}

/// The attributes ([`PAM_RE`], [`PAM_WE`]) of window `index` in the seven PAM registers.
#[must_use]
pub const fn pam_attributes(pam: &[u8; 7], index: usize) -> u8 {
    let nibble = if index + 1 == PAM_WINDOWS {
        pam[0] >> 4
    } else if index.is_multiple_of(2) {
        pam[1 + index / 2] & 0xf
    } else {
        pam[1 + index / 2] >> 4
    };
    nibble & (PAM_RE | PAM_WE)
}

/// The overlays that show DRAM in the PAM windows, in front of whatever lies below (ROM, PCI).
pub struct PamOverlays {
    /// The map that holds them.
    pub map: MemoryMap,
    /// One region for each window, in the order of [`pam_window`].
    pub windows: [RegionId; PAM_WINDOWS],
}

impl PamOverlays {
    /// Switches the windows whose attributes differ, in one transaction. On failure nothing has changed.
    fn apply(&self, old: &[u8; 7], new: &[u8; 7]) -> Result<(), String> {
        let mut txn = self.map.txn();
        for (index, &window) in self.windows.iter().enumerate() {
            let attributes = pam_attributes(new, index);
            if attributes == pam_attributes(old, index) {
                continue;
            }
            txn.set_enabled(window, attributes != 0).map_err(|e| e.to_string())?;
            txn.set_transparent(window, transparency(attributes)).map_err(|e| e.to_string())?;
        }
        txn.commit().map(drop).map_err(|e| e.to_string())
    }
}

/// The direction that passes through the overlay to what lies below.
const fn transparency(attributes: u8) -> Transparency {
    match attributes {
        PAM_RE => Transparency::Writes,
        PAM_WE => Transparency::Reads,
        _ => Transparency::None,
    }
}

/// Configuration space: the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct I440fxState {
    /// The 256 bytes.
    pub config: [u8; 256],
}

impl Default for I440fxState {
    fn default() -> Self {
        let mut config = [0; 256];
        for (at, bytes) in RESET_VALUES {
            config[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        Self { config }
    }
}

/// Registers that are not 0 after reset (data sheet, table "PCI Configuration Space").
const RESET_VALUES: &[(usize, &[u8])] = &[
    (0x00, &[0x86, 0x80, 0x37, 0x12]), // VID, DID.
    (0x04, &[0x06, 0x00, 0x80, 0x02]), // PCICMD, PCISTS.
    (0x08, &[0x02, 0x00, 0x00, 0x06]), // RID, CLASSC: host bridge.
    (0x72, &[0x02]),                   // SMRAM.
];

impl I440fxState {
    /// The seven PAM registers.
    #[must_use]
    pub fn pam(&self) -> [u8; 7] {
        let mut pam = [0; 7];
        pam.copy_from_slice(&self.config[PAM0..=PAM6]);
        pam
    }

    /// The writable bits of one configuration byte.
    const fn writable(register: usize) -> u8 {
        match register {
            PAM0 => 0x30,
            _ if register > PAM0 && register <= PAM6 => 0x33,
            // SERRE, bit 8 of PCICMD.
            _ if register == PCICMD + 1 => 0x01,
            _ => 0,
        }
    }
}

/// The bridge.
pub struct I440fx {
    state: I440fxState,
    overlays: PamOverlays,
}

impl I440fx {
    /// A bridge after reset. The overlays must be disabled, which is what the reset values say.
    #[must_use]
    pub fn new(overlays: PamOverlays) -> Self {
        Self { state: I440fxState::default(), overlays }
    }

    /// The state, to compare and save.
    #[must_use]
    pub fn state(&self) -> &I440fxState {
        &self.state
    }

    /// Makes `new` the state if the memory map follows.
    fn switch_to(&mut self, new: I440fxState) {
        let (old_pam, new_pam) = (self.state.pam(), new.pam());
        if old_pam != new_pam
            && let Err(reason) = self.overlays.apply(&old_pam, &new_pam)
        {
            // The registers keep saying what the map shows.
            tracing::warn!(target: "dev::i440fx", %reason, "PAM change refused");
            return;
        }
        self.state = new;
    }
}

impl PciFunction for I440fx {
    fn config_read(&self, register: u8, size: AccessSize) -> u32 {
        let mut value = [0; 4];
        for (lane, byte) in value.iter_mut().enumerate().take(size.bytes() as usize) {
            *byte = self.state.config[usize::from(register.wrapping_add(lane as u8))];
        }
        u32::from_le_bytes(value)
    }

    fn config_write(&mut self, register: u8, size: AccessSize, value: u32) {
        let mut new = self.state.clone();
        for (lane, byte) in value.to_le_bytes().into_iter().enumerate().take(size.bytes() as usize) {
            let at = usize::from(register.wrapping_add(lane as u8));
            let writable = I440fxState::writable(at);
            new.config[at] = (new.config[at] & !writable) | (byte & writable);
        }
        if new != self.state {
            self.switch_to(new);
        }
    }

    fn reset(&mut self) {
        self.switch_to(I440fxState::default());
    }
}

#[cfg(test)]
#[path = "i440fx_tests.rs"]
mod tests;
