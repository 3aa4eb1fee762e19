//! NOR flash with Intel's command set, in the style of the 28F008SA: bytes, blocks of 64 KiB.
//!
//! Modelled: read array (ffh), read identifier (90h), read status (70h), clear status (50h), program (40h, 10h), block
//! erase (20h, d0h). Programming clears bits and sets none; erasing sets every bit of a block. Both are complete when
//! the second write returns, and leave the status to be read. A wrong second write of an erase sets the two bits of
//! a sequence error. Clearing the status returns to the array. In the array mode reads are direct, as from ROM; in every other mode they are callbacks.
//! A word or dword write programs all of its bytes; as a command its low byte counts. Reads of status and identifier
//! answer each byte alike: status everywhere, maker at even offsets, device at odd ones.
//! Not modelled: CFI query, suspend and resume, VPP, block locks, write timing. An unknown command reads the array.
//! Source: Intel 28F008SA data sheet, "Command Definitions", "Status Register Definition".

use std::sync::Arc;

use base::{AccessSize, RegionOffset};
use memory::{
    AccessCx, AccessRules, BusError, Device, MapError, MemoryMap, MmioDevice, RamBlock, RegionId, RegionSpec,
};

/// One to four bytes, which are that many chips' worth of data.
pub const RULES: AccessRules = AccessRules::new().valid(1, 4).implemented(1, 4).little_endian();
/// Bytes that an erase sets.
pub const BLOCK_LEN: u64 = 0x1_0000;
/// Manufacturer code: Intel.
pub const MAKER: u8 = 0x89;
/// Device code: 28F008SA.
pub const DEVICE: u8 = 0xa2;

/// Commands, by the data sheet's names.
pub mod command {
    /// Read array.
    pub const READ_ARRAY: u8 = 0xff;
    /// Read identifier codes.
    pub const READ_IDENTIFIER: u8 = 0x90;
    /// Read status register.
    pub const READ_STATUS: u8 = 0x70;
    /// Clear status register.
    pub const CLEAR_STATUS: u8 = 0x50;
    /// Byte write setup.
    pub const PROGRAM: u8 = 0x40;
    /// Byte write setup, alternate code.
    pub const PROGRAM_ALTERNATE: u8 = 0x10;
    /// Erase setup.
    pub const ERASE: u8 = 0x20;
    /// Erase confirm.
    pub const CONFIRM: u8 = 0xd0;
}

/// Status register bits.
pub mod status {
    /// SR.7: the write state machine is ready.
    pub const READY: u8 = 0x80;
    /// SR.5: an erase failed.
    pub const ERASE_ERROR: u8 = 0x20;
    /// SR.4: a byte write failed. With SR.5: a command sequence was wrong.
    pub const PROGRAM_ERROR: u8 = 0x10;
}

const ERASED: u8 = 0xff;
const ERASE_PIECE: u64 = 0x1000;

/// What reads show and what the next write means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Reads show the contents; the next write is a command.
    #[default]
    Array,
    /// Reads show the status; the next write is a command.
    Status,
    /// Reads show the identifier; the next write is a command.
    Identifier,
    /// Reads show the status; the next write is data to program.
    Program,
    /// Reads show the status; the next write confirms an erase.
    Erase,
}

/// The chip's state without its contents, which are the region's RAM block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlashState {
    /// What reads show and what the next write means.
    pub mode: Mode,
    /// The status register.
    pub status: u8,
}

impl Default for FlashState {
    fn default() -> Self {
        Self { mode: Mode::Array, status: status::READY }
    }
}

/// The region that shows the chip, and its contents.
struct Array {
    map: MemoryMap,
    region: RegionId,
    block: Arc<RamBlock>,
}

/// Why a chip could not be made.
#[derive(Debug)]
pub enum FlashError {
    /// The length is not a whole number of blocks.
    Length(u64),
    /// The map refused the region.
    Map(MapError),
}

impl std::fmt::Display for FlashError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length(len) => {
                write!(
                    f,
                    "a flash of {len:#x} bytes; its length must be a multiple of {BLOCK_LEN:#x}, and not 0"
                )
            }
            Self::Map(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FlashError {}

/// The chip.
pub struct Flash {
    state: FlashState,
    /// Invariant: [`Flash::add_to`], the only maker, connects it before anyone can call the chip.
    array: Option<Array>,
}

impl Flash {
    /// Adds an erased chip of `len` bytes to `map`, for the board to attach.
    ///
    /// # Errors
    /// A length that is no multiple of [`BLOCK_LEN`]; what [`MemoryMap::add`] says.
    pub fn add_to(
        map: &MemoryMap,
        name: &str,
        len: u64,
    ) -> Result<(RegionId, Arc<Device<Self>>), FlashError> {
        if len == 0 || !len.is_multiple_of(BLOCK_LEN) {
            return Err(FlashError::Length(len));
        }
        let chip = Device::new(Self { state: FlashState::default(), array: None });
        let spec = RegionSpec::rom_device(name, len, Arc::clone(&chip) as _, RULES, true);
        let region = map.add(spec).map_err(FlashError::Map)?;
        let block = map.ram_block(region).expect("a ROM device has a RAM block");
        for at in (0..len).step_by(BLOCK_LEN as usize) {
            erase(&block, at);
        }
        chip.lock().array = Some(Array { map: map.clone(), region, block });
        Ok((region, chip))
    }

    /// The state, to compare and save.
    #[must_use]
    pub fn state(&self) -> &FlashState {
        &self.state
    }

    fn array(&self) -> &Array {
        self.array.as_ref().expect("a chip is connected when it is made")
    }

    /// Changes the mode, and the region's with it. On failure the mode stays.
    fn enter(&mut self, mode: Mode) -> Result<(), BusError> {
        let (was, will) = (self.state.mode == Mode::Array, mode == Mode::Array);
        if was != will
            && let Err(reason) = self.array().set_romd(will)
        {
            tracing::warn!(target: "dev::flash", %reason, "mode change refused");
            return Err(BusError::Device(1));
        }
        self.state.mode = mode;
        Ok(())
    }

    fn command(&mut self, value: u8) -> Result<(), BusError> {
        let mode = match value {
            command::READ_ARRAY => Mode::Array,
            command::READ_STATUS => Mode::Status,
            command::READ_IDENTIFIER => Mode::Identifier,
            command::PROGRAM | command::PROGRAM_ALTERNATE => Mode::Program,
            command::ERASE => Mode::Erase,
            command::CLEAR_STATUS => {
                self.state.status = status::READY;
                Mode::Array
            }
            other => {
                guest_error!("flash", "unknown command {other:#04x}");
                Mode::Array
            }
        };
        self.enter(mode)
    }

    /// Programming can only clear bits.
    fn program(&mut self, off: u64, size: AccessSize, value: u64) -> Result<(), BusError> {
        let block = &self.array().block;
        let old = block.load(off, size).unwrap_or(0);
        if !block.store(off, size, old & value) {
            self.state.status |= status::PROGRAM_ERROR;
        }
        self.enter(Mode::Status)
    }

    fn confirm_erase(&mut self, off: u64, value: u8) -> Result<(), BusError> {
        if value == command::CONFIRM {
            if !erase(&self.array().block, off & !(BLOCK_LEN - 1)) {
                self.state.status |= status::ERASE_ERROR;
            }
        } else {
            guest_error!("flash", "erase setup followed by {value:#04x}");
            self.state.status |= status::ERASE_ERROR | status::PROGRAM_ERROR;
        }
        self.enter(Mode::Status)
    }

    /// The byte at `off` outside of the array mode.
    fn register(&self, off: u64) -> u8 {
        match self.state.mode {
            Mode::Identifier if off & 1 == 0 => MAKER,
            Mode::Identifier => DEVICE,
            Mode::Array | Mode::Status | Mode::Program | Mode::Erase => self.state.status,
        }
    }
}

impl Array {
    fn set_romd(&self, romd: bool) -> Result<(), String> {
        let mut txn = self.map.txn();
        txn.set_romd(self.region, romd).map_err(|e| e.to_string())?;
        txn.commit().map(drop).map_err(|e| e.to_string())
    }
}

/// Sets every bit of the block at `at`; whether the block exists.
fn erase(block: &RamBlock, at: u64) -> bool {
    const ONES: [u8; ERASE_PIECE as usize] = [ERASED; ERASE_PIECE as usize];
    (at..at + BLOCK_LEN).step_by(ERASE_PIECE as usize).all(|piece| block.write(piece, &ONES))
}

impl MmioDevice for Flash {
    fn read(&mut self, off: RegionOffset, size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        // A view from before the switch to the array mode may still lead here.
        if self.state.mode == Mode::Array {
            return self.array().block.load(off.0, size).ok_or(BusError::Rejected);
        }
        Ok((0..size.bytes())
            .fold(0, |value, lane| value | u64::from(self.register(off.0 + lane)) << (8 * lane)))
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        match self.state.mode {
            Mode::Array | Mode::Status | Mode::Identifier => self.command((value & 0xff) as u8),
            Mode::Program => self.program(off.0, size, value),
            Mode::Erase => self.confirm_erase(off.0, (value & 0xff) as u8),
        }
    }

    fn reset(&mut self) {
        // A refusal leaves the mode in the chip and in the region alike.
        let _refused = self.enter(Mode::Array);
        self.state.status = status::READY;
    }
}

#[cfg(test)]
#[path = "flash_tests.rs"]
mod tests;
