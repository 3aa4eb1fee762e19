//! Addresses, ranges and access sizes: the words that every other crate shares.
//!
//! Six kinds of address exist and never mix: [`LogicalAddr`] (offset inside a segment), [`LinearAddr`]
//! (after segmentation), [`PhysAddr`] (after paging), [`RegionOffset`] (inside one memory region),
//! [`IoPort`] (port space) and host pointers, which live in the `memory` crate alone.
#![forbid(unsafe_code)]

mod addr;
mod range;
mod size;

pub use addr::{IoPort, LinearAddr, LogicalAddr, PhysAddr, RegionOffset};
pub use range::{AddrRange, RangeError};
pub use size::AccessSize;

/// log2 of a guest page.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a guest page (4 KiB).
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// The bits of an address inside its guest page.
pub const PAGE_MASK: u64 = PAGE_SIZE - 1;
