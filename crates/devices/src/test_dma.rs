//! Test bus master: copies memory when told to.
//!
//! Modelled: one copy at a time, complete when the control write returns; source and destination in system memory,
//! or both behind the IOMMU. Not modelled: overlap is not treated specially (pieces of 4 KiB, ascending).
//! Registers (little-endian dwords): 0 source, 4 destination, 8 length in bytes, c control and status: a write with
//! bit 0 copies, bit 1 takes the addresses as bus addresses behind the IOMMU; a read gives [`status`].
//! A copy is at most 1 MiB long; a longer one ends with an error before it starts.
//! Source: this project's `bare` board.

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, AddressSpace, BusError, MmioDevice};

/// Dword registers.
pub const RULES: AccessRules = AccessRules::new().valid(4, 4).implemented(4, 4).little_endian();
/// Bytes of the register block.
pub const LEN: u64 = 0x1000;
/// Bytes of the longest copy: a bound on the time of one register write.
pub const MAX_COPY: u32 = 1 << 20;

const PIECE: usize = 4096;
const START: u32 = 1;
const THROUGH_IOMMU: u32 = 2;

/// Register offsets.
pub mod reg {
    /// Source address.
    pub const SRC: u64 = 0x0;
    /// Destination address.
    pub const DST: u64 = 0x4;
    /// Length in bytes.
    pub const LEN: u64 = 0x8;
    /// Control and status.
    pub const CONTROL: u64 = 0xc;
}

/// Values of the status register.
pub mod status {
    /// No copy yet.
    pub const IDLE: u32 = 0;
    /// The last copy arrived whole.
    pub const DONE: u32 = 1;
    /// The last copy met an error; a part may have arrived.
    pub const ERROR: u32 = 2;
}

/// The registers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DmaState {
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
    /// Length in bytes.
    pub len: u32,
    /// Status of the last copy.
    pub status: u32,
}

/// The bus master with its two views of memory.
pub struct TestDma {
    state: DmaState,
    system: AddressSpace,
    translated: AddressSpace,
}

impl TestDma {
    /// A bus master on `system` memory that reaches the IOMMU's bus addresses as `translated`.
    #[must_use]
    pub fn new(system: AddressSpace, translated: AddressSpace) -> Self {
        Self { state: DmaState::default(), system, translated }
    }

    /// The state, to compare and save.
    #[must_use]
    pub fn state(&self) -> &DmaState {
        &self.state
    }

    fn start(&mut self, control: u32, cx: &mut AccessCx) {
        let space = if control & THROUGH_IOMMU != 0 { &self.translated } else { &self.system };
        let copied = self.state.len <= MAX_COPY && copy(space, &self.state, cx);
        self.state.status = if copied { status::DONE } else { status::ERROR };
    }
}

/// Copies piece by piece, the piece in hand being the only buffer; stops at the first error.
fn copy(space: &AddressSpace, job: &DmaState, cx: &mut AccessCx) -> bool {
    let mut buffer = [0; PIECE];
    let (src, dst, len) = (u64::from(job.src), u64::from(job.dst), u64::from(job.len));
    let mut done = 0;
    while done < len {
        let piece = usize::try_from(len - done).unwrap_or(PIECE).min(PIECE);
        let bytes = &mut buffer[..piece];
        if !space.read(src + done, bytes, cx).is_ok() || !space.write(dst + done, bytes, cx).is_ok() {
            return false;
        }
        done += piece as u64;
    }
    true
}

impl MmioDevice for TestDma {
    fn read(&mut self, off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        Ok(u64::from(match off.0 {
            reg::SRC => self.state.src,
            reg::DST => self.state.dst,
            reg::LEN => self.state.len,
            reg::CONTROL => self.state.status,
            _ => 0,
        }))
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        _size: AccessSize,
        cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        let value = (value & 0xffff_ffff) as u32;
        match off.0 {
            reg::SRC => self.state.src = value,
            reg::DST => self.state.dst = value,
            reg::LEN => self.state.len = value,
            reg::CONTROL if value & START != 0 => self.start(value, cx),
            reg::CONTROL => {}
            other => guest_error!("test_dma", "write of {value:#x} to offset {other:#x}"),
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.state = DmaState::default();
    }
}
