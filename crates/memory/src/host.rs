//! Host memory behind RAM blocks, between guard areas that nothing can access.
//!
//! Ownership: [`HostMemory`] owns its mapping; a [`HostPtr`] is valid while the `RamBlock` that gave it lives,
//! which every flat range that shows the block ensures. No Rust reference to guest memory is ever made: bytes are
//! copied in and out through raw pointers, and the guest and bus masters may change them meanwhile.

use std::io;

use base::AccessSize;
#[cfg(not(miri))]
use memmap2::{MmapOptions, MmapRaw as Mapping};
#[cfg(not(miri))]
use rustix::mm::{MprotectFlags, mprotect};

#[cfg(miri)]
use crate::host_alloc::Allocation as Mapping;

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// Guard bytes before and after a block, in the order in which they are tried (reliability.md, 3: a folded
/// 32-bit index reaches up to 34 GiB past its base).
const GUARDS: [(u64, u64); 2] = [(2 * GIB, 36 * GIB), (64 * KIB, 4 * GIB)];

/// Address of host memory, for code that is made to access it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostPtr(u64);

impl HostPtr {
    /// The pointer with this address.
    pub(crate) const fn new(address: u64) -> Self {
        Self(address)
    }

    /// The pointer `bytes` further on.
    pub(crate) const fn offset(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// The address as a number.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0
    }
}

/// A zeroed mapping with guards.
#[derive(Debug)]
pub(crate) struct HostMemory {
    /// The whole mapping, guards included. Invariant: `front + len` bytes at least, the `len` bytes from `front`
    /// on readable and writable for as long as this lives.
    map: Mapping,
    front: usize,
    len: u64,
}

impl HostMemory {
    /// `len` zero bytes; `len` is a whole number of pages.
    ///
    /// # Errors
    /// What the host says when even the smaller guards find no room.
    pub fn new(len: u64) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::OutOfMemory);
        for (front, back) in GUARDS {
            match Self::guarded(len, front, back) {
                Ok(memory) => return Ok(memory),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    #[cfg(not(miri))]
    fn guarded(len: u64, front: u64, back: u64) -> io::Result<Self> {
        let whole = front.checked_add(len).and_then(|sum| sum.checked_add(back));
        let whole = whole.and_then(|whole| usize::try_from(whole).ok()).ok_or(io::ErrorKind::OutOfMemory)?;
        let map = Mapping::from(MmapOptions::new().len(whole).no_reserve_swap().map_anon()?);
        let memory = Self { map, front: front as usize, len };
        memory.protect(0, front)?;
        memory.protect(front + len, back)?;
        Ok(memory)
    }

    /// Without guards.
    #[cfg(miri)]
    fn guarded(len: u64, _front: u64, _back: u64) -> io::Result<Self> {
        Ok(Self { map: Mapping::new(len as usize), front: 0, len })
    }

    /// Takes every right to `len` bytes of the mapping away.
    #[cfg(not(miri))]
    fn protect(&self, from: u64, len: u64) -> io::Result<()> {
        let start = self.map.as_mut_ptr().wrapping_add(from as usize);
        // SAFETY: the range lies inside the mapping that `self.map` owns, and nothing has been given out yet.
        unsafe { mprotect(start.cast(), len as usize, MprotectFlags::empty()) }?;
        Ok(())
    }

    /// Bytes between the guards.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Address of the first byte.
    pub fn pointer(&self) -> HostPtr {
        HostPtr(self.map.as_mut_ptr().wrapping_add(self.front) as u64)
    }

    /// The one place where an offset becomes a host pointer: `len` bytes at `offset`, or `None` outside.
    fn bytes(&self, offset: u64, len: u64) -> Option<*mut u8> {
        let end = offset.checked_add(len)?;
        (end <= self.len)
            .then(|| self.map.as_mut_ptr().wrapping_add(self.front).wrapping_add(offset as usize))
    }

    /// Copies bytes out; `false` and nothing done when they do not all exist.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> bool {
        let Some(host) = self.bytes(offset, bytes.len() as u64) else { return false };
        // SAFETY: `bytes` checked that the source is inside the mapping; the destination is a Rust buffer, which
        // never overlaps guest memory since no reference to that exists.
        unsafe { host.cast_const().copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        true
    }

    /// Copies bytes in, see [`HostMemory::read`].
    pub fn write(&self, offset: u64, bytes: &[u8]) -> bool {
        let Some(host) = self.bytes(offset, bytes.len() as u64) else { return false };
        // SAFETY: as in `read`, with the roles exchanged.
        unsafe { host.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        true
    }

    /// Loads a little-endian value.
    pub fn load(&self, offset: u64, size: AccessSize) -> Option<u64> {
        let host = self.bytes(offset, size.bytes())?.cast_const();
        // SAFETY: `bytes` checked the bounds; unaligned reads of plain bytes are always valid.
        Some(unsafe {
            match size {
                AccessSize::B1 => u64::from(host.read()),
                AccessSize::B2 => u64::from(u16::from_le(host.cast::<u16>().read_unaligned())),
                AccessSize::B4 => u64::from(u32::from_le(host.cast::<u32>().read_unaligned())),
                AccessSize::B8 => u64::from_le(host.cast::<u64>().read_unaligned()),
            }
        })
    }

    /// Stores a little-endian value.
    pub fn store(&self, offset: u64, size: AccessSize, value: u64) -> bool {
        let Some(host) = self.bytes(offset, size.bytes()) else { return false };
        // SAFETY: as in `load`; the memory between the guards is writable.
        unsafe {
            match size {
                AccessSize::B1 => host.write(value as u8),
                AccessSize::B2 => host.cast::<u16>().write_unaligned((value as u16).to_le()),
                AccessSize::B4 => host.cast::<u32>().write_unaligned((value as u32).to_le()),
                AccessSize::B8 => host.cast::<u64>().write_unaligned(value.to_le()),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_values_agree_and_stay_inside() {
        let memory = HostMemory::new(0x2000).unwrap();
        assert!(memory.store(0x1ff8, AccessSize::B8, 0x8877_6655_4433_2211));
        assert_eq!(memory.load(0x1ffb, AccessSize::B4), Some(0x7766_5544));
        let mut bytes = [0; 3];
        assert!(memory.read(0x1ffd, &mut bytes));
        assert_eq!(bytes, [0x66, 0x77, 0x88]);
        assert!(!memory.read(0x1ffe, &mut bytes) && !memory.write(u64::MAX, &bytes));
        assert_eq!(memory.load(0x1ffd, AccessSize::B4), None);
        assert!(!memory.store(0x2000, AccessSize::B1, 0) && !memory.store(u64::MAX, AccessSize::B8, 0));
    }

    #[cfg(not(miri))]
    #[test]
    fn the_guards_are_mapped_without_rights() {
        let memory = HostMemory::new(0x1000).unwrap();
        let address = memory.pointer().address();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let rights_of = |address: u64| {
            maps.lines().find_map(|line| {
                let (range, rest) = line.split_once(' ')?;
                let (first, end) = range.split_once('-')?;
                let first = u64::from_str_radix(first, 16).ok()?;
                let end = u64::from_str_radix(end, 16).ok()?;
                (first <= address && address < end).then(|| rest[..4].to_owned())
            })
        };
        assert_eq!(rights_of(address).as_deref(), Some("rw-p"));
        for guard in [address - 1, address - 60 * KIB, address + 0x1000, address + 0x1000 + 4 * GIB - 1] {
            assert_eq!(rights_of(guard).as_deref(), Some("---p"), "{guard:#x}");
        }
    }
}
