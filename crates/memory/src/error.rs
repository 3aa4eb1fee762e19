//! What can go wrong when the graph is edited.

use base::AddrRange;

use crate::{IoEvent, OwnerId, RegionId, Veto};

/// Why an edit of the graph was refused. The graph is as it was before the call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// A region holds at least one byte.
    #[error("region `{0}` has size 0")]
    ZeroSize(String),
    /// An extent reaches past 2^64.
    #[error("offset {offset:#x} with size {size:#x} reaches past 2^64")]
    RangeOverflow {
        /// Where it begins.
        offset: u64,
        /// Its size in bytes.
        size: u128,
    },
    /// The edge would close a cycle over child and alias edges.
    #[error("cycle in the region graph: {names}")]
    AliasCycle {
        /// The regions on the cycle, from the child that was to be attached to its would-be parent.
        path: Vec<RegionId>,
        /// Their names.
        names: String,
    },
    /// Paths through child and alias edges are bounded.
    #[error("the region graph would be {depth} levels deep, the limit is {limit}")]
    TooDeep {
        /// Levels of the longest path.
        depth: usize,
        /// Levels allowed.
        limit: usize,
    },
    /// An alias shows its target and nothing of its own.
    #[error("alias {0} cannot have children")]
    AliasHasChildren(RegionId),
    /// A region has at most one parent; use an alias.
    #[error("region {child} is already attached to {parent}")]
    AlreadyAttached {
        /// The region that was to be attached.
        child: RegionId,
        /// Its parent.
        parent: RegionId,
    },
    /// The region has no parent.
    #[error("region {0} is not attached")]
    NotAttached(RegionId),
    /// Two exclusive siblings would overlap.
    #[error("exclusive siblings overlap at {range:?} with region {with}")]
    Overlaps {
        /// The sibling.
        with: RegionId,
        /// The bytes in common, as offsets in the parent.
        range: AddrRange,
    },
    /// RAM blocks are known by their id.
    #[error("a RAM block with id `{0}` exists")]
    DuplicateRamId(String),
    /// A region cannot show more than its memory holds.
    #[error("size {size:#x} is larger than the {max:#x} bytes of the RAM block")]
    TooLarge {
        /// Size asked for.
        size: u128,
        /// Bytes of the block.
        max: u64,
    },
    /// The access rules contradict themselves.
    #[error("access rules of `{region}`: {reason}")]
    BadAccessRules {
        /// Name of the region.
        region: String,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// No such region: the id is another map's or the region was removed.
    #[error("no region {0}")]
    NoRegion(RegionId),
    /// No such owner: the id is another map's or the owner was dropped.
    #[error("no owner {}", .0.0)]
    NoOwner(OwnerId),
    /// The operation does not apply to this kind of region.
    #[error("region {region} is not {wanted}")]
    WrongKind {
        /// The region.
        region: RegionId,
        /// What the operation needs.
        wanted: &'static str,
    },
    /// An equal I/O event is there.
    #[error("region {region} has {event:?} already")]
    DuplicateIoEvent {
        /// The region.
        region: RegionId,
        /// The event.
        event: IoEvent,
    },
    /// An I/O event is taken away by all that it consists of.
    #[error("region {region} has no {event:?}")]
    NoIoEvent {
        /// The region.
        region: RegionId,
        /// The event.
        event: IoEvent,
    },
    /// The number of regions is bounded.
    #[error("the map holds {0} regions, which is the limit")]
    TooManyRegions(usize),
    /// A listener tried to edit the graph, an operation that publishes was called inside a transaction, or something
    /// that an edit would take away is in use.
    #[error("not while {0}")]
    Busy(&'static str),
    /// The host has no memory for the block, or no room for its guards.
    #[error("host memory for RAM block `{id}` of {len:#x} bytes")]
    Host {
        /// Id of the block.
        id: String,
        /// Its length.
        len: u64,
        /// What the host said.
        #[source]
        source: std::io::Error,
    },
    /// The first view of a space, or an operation that commits at once, could not be published.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a transaction was not committed. Graph and views are as they were before the transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A listener refused.
    #[error("listener refused the new map of `{space}`: {veto}")]
    Vetoed {
        /// Name of the address space.
        space: String,
        /// The listener's reason.
        veto: Veto,
    },
    /// The number of flat ranges in one view is bounded.
    #[error("more than {0} flat ranges in one view")]
    TooManyRanges(usize),
    /// Aliases multiply the graph beyond the work that one commit may take.
    #[error("more than {0} regions visited while rendering one view")]
    TooComplex(usize),
    /// A listener tried to edit the graph.
    #[error("a commit is under way")]
    Committing,
}
