//! The memory model: a graph of regions, flattened for each address space into sorted, disjoint ranges.
//!
//! The semantics are those of QEMU's memory API: containers, aliases, priorities among siblings, holes that show
//! what lies below, read-only paths, ROM devices, IOMMUs, transactions and listeners. Beyond it, each flat range
//! has its own target for reads and for writes, and a commit tells its listeners exactly the bytes that changed.
//!
//! [`MemoryMap`] holds the graph, [`MapTxn`] edits it, [`AddressSpace`] publishes one immutable [`FlatView`] after
//! the other, and [`FlatView::dispatch_read`] and [`FlatView::dispatch_write`] carry out accesses: every access of
//! a processor, a port instruction or a bus master is cut by the one splitting function in `dispatch.rs`.
//!
//! The README beside this crate walks through the two examples of QEMU's document.
//!
//! Locks, outermost first: the bus masters' domain, a device's own lock, then the map's writer, then its graph.
//! Reading a view takes none.
//! `unsafe` is confined to `host.rs` and `ram.rs`.
#![deny(unsafe_code)]

mod access;
mod bounce;
mod call;
mod canon;
mod changes;
mod children;
mod code_writes;
mod delta;
mod device;
mod dispatch;
mod dma;
mod error;
mod extras;
mod graph;
#[expect(unsafe_code, reason = "the only place that touches guest memory through host pointers")]
mod host;
#[cfg(any(test, miri))]
mod host_alloc;
pub mod inspect;
mod ioevent;
mod iommu;
mod iotlb;
mod listen;
mod map;
mod notifiers;
mod owner;
mod probe;
mod publish;
mod qemu72;
#[expect(unsafe_code, reason = "tables of atomics that come zeroed from the host without being touched")]
mod ram;
mod region;
mod region_cache;
mod render;
mod report;
mod rules;
mod space;
mod space_set;
mod sync;
mod table;
mod text;
mod thread;
mod txn;
mod view;
mod walk;
mod write_queue;

pub use access::{
    AccessCx, DebugReach, DenyReason, MemAttrs, OnError, RejectReason, Row, TxError, TxErrorSet, TxOutcome,
};
pub use bounce::BounceWait;
pub use code_writes::CodeWrites;
pub use delta::MapDelta;
pub use device::{BusDomain, BusError, Device, DeviceGuard, MmioDevice, MmioHandler};
pub use dma::{DmaMapping, DmaSegment, MapDmaError};
pub use error::{CommitError, MapError};
pub use extras::{Appearance, PlacedIoEvent};
pub use host::HostPtr;
pub use ioevent::{IoEvent, IoEventSink};
pub use iommu::{Access, FaultRecord, Iommu, IommuCtx, IommuFault, IotlbEntry};
pub use iotlb::{Iotlb, IotlbStats};
pub use listen::{ListenerId, MapListener, Veto};
pub use map::{MemoryMap, RegionCount};
pub use notifiers::{
    IommuChange, IommuEvent, IommuNotifiers, IommuSink, IommuSubscription, IommuWatch, NotifyError,
    NotifyKinds, WatchError,
};
pub use owner::OwnerId;
pub use ram::{GATE_CODE, GATE_DIRTY, GATE_NEXT, RamBlock, RamId};
pub use region::{Leaf, Placement, RegionId, RegionSize, RegionSpec, Transparency};
pub use region_cache::{CacheError, RegionCache};
pub use report::Rejection;
pub use rules::{AccessRules, Endian, NarrowPolicy};
pub use space::{AddressSpace, Cutting, Rejections, SpaceConfig, SpaceId, SpaceKind, UnassignedPolicy};
pub use space_set::SpaceSet;
pub use txn::{CommitReport, MapTxn};
pub use view::{CallTarget, FlatRange, FlatView, HostSlice, RangeAttrs, Target, TranslateTarget};
pub use walk::Translation;

/// What addresses, offsets and widths are made of.
pub use base::{AccessSize, AddrRange, RegionOffset};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`; a panic of an earlier holder does not spread.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The examples of the README are tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
