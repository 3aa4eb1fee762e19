//! What regions have besides a binding: I/O events and coalesced ranges.
//!
//! They are set on a region, kept while it cannot be seen, and belong to a view as soon as it shows the region: each
//! view lists them by its own addresses, and what changes from one view to the next is what listeners are told.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{AccessSize, AddrRange};

use crate::graph::{Graph, Node};
use crate::ioevent::IoEvent;
use crate::map::State;
use crate::txn::Change;
use crate::{FlatRange, FlatView, MapDelta, MapError, MapTxn, RegionId};

/// What one region has.
#[derive(Clone, Default)]
pub(crate) struct NodeExtras {
    /// In the order in which they are tried.
    events: Vec<IoEvent>,
    /// Offsets, sorted and disjoint.
    coalesced: Vec<AddrRange>,
    /// Other accesses to the region flush the queue of writes.
    flush: bool,
}

impl NodeExtras {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.coalesced.is_empty() && !self.flush
    }

    fn flushes(&self) -> bool {
        self.flush || !self.coalesced.is_empty()
    }
}

/// An I/O event as a view shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedIoEvent {
    /// Address in the space.
    pub addr: u64,
    /// The event.
    pub event: IoEvent,
    region: RegionId,
}

impl PlacedIoEvent {
    fn key(&self) -> impl Ord + use<> {
        (self.addr, self.event.key())
    }
}

/// What a view shows besides ranges.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Extras {
    /// In ascending order of address.
    events: Vec<PlacedIoEvent>,
    /// Sorted and disjoint, each inside of one flat range.
    coalesced: Vec<AddrRange>,
    /// Flat ranges, accesses to which flush the queue of writes; sorted and disjoint.
    flushing: Vec<AddrRange>,
}

impl Extras {
    /// The first event that a write to a region at `addr` matches.
    pub fn event(&self, addr: u64, region: RegionId, size: AccessSize, value: u64) -> Option<&IoEvent> {
        let from = self.events.partition_point(|placed| placed.addr < addr);
        let here = self.events[from..].iter().take_while(|placed| placed.addr == addr);
        let mut found = here.filter(|placed| placed.region == region && placed.event.matches(size, value));
        found.next().map(|placed| &placed.event)
    }

    /// Whether all of `len` bytes at `addr`, which do not wrap, lie in one coalesced range.
    pub fn coalesces(&self, addr: u64, len: u64) -> bool {
        containing(&self.coalesced, addr).is_some_and(|range| range.last() - addr >= len - 1)
    }

    /// Whether an access at `addr` flushes the queue of writes.
    pub fn flushes(&self, addr: u64) -> bool {
        containing(&self.flushing, addr).is_some()
    }

    /// Adds what the regions behind a flat range have there.
    fn add(&mut self, graph: &Graph, range: &FlatRange) {
        let of = |write| {
            let binding = range.binding(write)?;
            Some((binding, graph.get(binding.leaf.id())?.extras.as_ref()?))
        };
        let (reads, writes) = (of(false), of(true));
        if [&reads, &writes].into_iter().flatten().any(|(_, extras)| extras.flushes()) {
            self.flushing.push(range.range);
        }
        let Some((binding, extras)) = writes else { return };
        let last = binding.offset.saturating_add(range.range.last() - range.range.first());
        let Some(shown) = AddrRange::new(binding.offset, last) else { return };
        let place = |offset: u64| range.range.first().wrapping_add(offset.wrapping_sub(binding.offset));
        for part in extras.coalesced.iter().filter_map(|part| part.intersection(shown)) {
            self.coalesced.extend(AddrRange::new(place(part.first()), place(part.last())));
        }
        for event in &extras.events {
            if AddrRange::new(event.at(), event.last()).is_some_and(|bytes| bytes.overlaps(shown)) {
                let (addr, region) = (place(event.at()), binding.leaf.id());
                self.events.push(PlacedIoEvent { addr, event: event.clone(), region });
            }
        }
    }
}

fn containing(ranges: &[AddrRange], addr: u64) -> Option<AddrRange> {
    let at = ranges.partition_point(|range| range.last() < addr);
    ranges.get(at).copied().filter(|range| range.contains(addr))
}

/// What `view` shows of the regions that can be seen in `windows`, if it is anything.
pub(crate) fn extras_in(
    graph: &Graph,
    view: &FlatView,
    windows: impl Iterator<Item = AddrRange>,
) -> Option<Box<Extras>> {
    let (mut extras, mut seen) = (Extras::default(), BTreeSet::new());
    for window in windows {
        for range in view.ranges_from(window.first()).take_while(|range| range.range.first() <= window.last())
        {
            if seen.insert(range.range.first()) {
                extras.add(graph, range);
            }
        }
    }
    extras.events.sort_by_key(PlacedIoEvent::key);
    extras.events.dedup_by_key(|placed| placed.key());
    extras.coalesced.sort_unstable_by_key(|range| range.first());
    extras.flushing.sort_unstable_by_key(|range| range.first());
    // What is coalesced flushes too.
    let empty = extras.events.is_empty() && extras.flushing.is_empty();
    if empty { None } else { Some(Box::new(extras)) }
}

impl State {
    /// Gives the new views what their regions have besides bindings, and adds the spaces in which nothing but that
    /// changes.
    pub(crate) fn place_extras(&mut self, changes: &mut Vec<Change>) {
        let edited = std::mem::take(&mut self.pending.extras_edited);
        let mut windows = Vec::new();
        for region in &self.graph.with_extras {
            self.graph.windows_of(*region, &mut windows);
        }
        if !windows.is_empty() {
            self.place_in(changes, &windows, edited);
        }
    }

    fn place_in(&self, changes: &mut Vec<Change>, windows: &[(usize, AddrRange)], edited: bool) {
        for (index, entry) in self.graph.spaces().iter().enumerate() {
            let mut here = windows.iter().filter(|(space, _)| *space == index).map(|(_, window)| *window);
            let changed = changes.iter_mut().find(|(space, _)| space.id == entry.id);
            match (changed, entry.space.upgrade()) {
                (Some((_, delta)), _) => {
                    let extras = extras_in(&self.graph, &delta.view, here);
                    let view = Arc::get_mut(&mut delta.view);
                    view.expect("a view that is not yet published has one owner").extras = extras;
                }
                (None, Some(space)) if edited && here.next().is_some() => {
                    let here = windows.iter().filter(|(space, _)| *space == index);
                    let previous = space.view();
                    let extras = extras_in(&self.graph, &previous, here.map(|(_, window)| *window));
                    if extras != previous.extras {
                        let (info, table) = (Arc::clone(&previous.info), Arc::clone(previous.table()));
                        let mut view = FlatView::new(info, previous.generation() + 1, table);
                        view.extras = extras;
                        let delta =
                            MapDelta { space: entry.id, changed: Vec::new(), view: Arc::new(view), previous };
                        changes.push((space, delta));
                    }
                }
                (None, _) => {}
            }
        }
        changes.sort_by_key(|(space, _)| space.id);
    }
}

/// An I/O event or coalesced range comes into force or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appearance {
    /// It is there no longer.
    Gone,
    /// It is there from now on.
    Appeared,
}

impl FlatView {
    /// The I/O events of the regions that it shows, in ascending order of address.
    #[must_use]
    pub fn io_events(&self) -> &[PlacedIoEvent] {
        self.extras.as_ref().map_or(&[], |extras| &extras.events)
    }

    /// The addresses of the coalesced ranges that it shows, sorted and disjoint, each inside of one flat range.
    #[must_use]
    pub fn coalesced(&self) -> &[AddrRange] {
        self.extras.as_ref().map_or(&[], |extras| &extras.coalesced)
    }
}

impl MapDelta {
    /// The I/O events that are no longer there, then those that are new, each in ascending order of address.
    #[must_use]
    pub fn io_events(&self) -> Vec<(Appearance, PlacedIoEvent)> {
        appearances(self.previous.io_events(), self.view.io_events(), PlacedIoEvent::key)
    }

    /// The coalesced ranges that are no longer there, then those that are new, each in ascending order.
    #[must_use]
    pub fn coalesced(&self) -> Vec<(Appearance, AddrRange)> {
        let key = |range: &AddrRange| (range.first(), range.last());
        appearances(self.previous.coalesced(), self.view.coalesced(), key)
    }
}

fn appearances<T: Clone, K: Ord>(old: &[T], new: &[T], key: impl Fn(&T) -> K) -> Vec<(Appearance, T)> {
    let keys = |items: &[T]| items.iter().map(&key).collect::<BTreeSet<_>>();
    let (before, after) = (keys(old), keys(new));
    let gone = old.iter().filter(|item| !after.contains(&key(item)));
    let appeared = new.iter().filter(|item| !before.contains(&key(item)));
    let tagged = |how| move |item: &T| (how, item.clone());
    gone.map(tagged(Appearance::Gone)).chain(appeared.map(tagged(Appearance::Appeared))).collect()
}

impl MapTxn {
    /// Lets writes to a region signal instead of calling its device. In force wherever and as long as the region is
    /// shown.
    ///
    /// # Errors
    /// No such region, or one without callbacks; an equal event is there.
    pub fn add_io_event(&mut self, region: RegionId, event: IoEvent) -> Result<(), MapError> {
        self.edit_extras(region, |extras| {
            let place = extras.events.partition_point(|other| other.key() < event.key());
            if extras.events.get(place) == Some(&event) {
                return Err(MapError::DuplicateIoEvent { region, event });
            }
            extras.events.insert(place, event);
            Ok(())
        })
    }

    /// Takes an I/O event away from a region. It is found by all that it consists of.
    ///
    /// # Errors
    /// No such region, or one without callbacks; no such event.
    pub fn remove_io_event(&mut self, region: RegionId, event: &IoEvent) -> Result<(), MapError> {
        self.edit_extras(region, |extras| match extras.events.iter().position(|other| other == event) {
            Some(place) => {
                extras.events.remove(place);
                Ok(())
            }
            None => Err(MapError::NoIoEvent { region, event: event.clone() }),
        })
    }

    /// Lets writes to some bytes of a region be queued, if the map has a queue of writes. Every other access to the
    /// region flushes it. What overlaps or touches what is coalesced already joins with it.
    ///
    /// # Errors
    /// No such region, or one without callbacks.
    pub fn add_coalesced(&mut self, region: RegionId, range: AddrRange) -> Result<(), MapError> {
        self.edit_extras(region, |extras| {
            let joins =
                |other: &AddrRange| other.overlaps(range) || other.touches(range) || range.touches(*other);
            let joined: Vec<_> = extras.coalesced.extract_if(.., |other| joins(other)).collect();
            let first = joined.iter().map(|other| other.first()).fold(range.first(), u64::min);
            let last = joined.iter().map(|other| other.last()).fold(range.last(), u64::max);
            let place = extras.coalesced.partition_point(|other| other.first() < first);
            extras.coalesced.insert(place, AddrRange::new(first, last).expect("the hull of ranges"));
            Ok(())
        })
    }

    /// Lets no writes to a region be queued any more. What is queued is delivered first, unless this thread is inside
    /// of a device's callback.
    ///
    /// # Errors
    /// No such region, or one without callbacks.
    pub fn clear_coalesced(&mut self, region: RegionId) -> Result<(), MapError> {
        self.flush_writes();
        self.edit_extras(region, |extras| {
            extras.coalesced.clear();
            Ok(())
        })
    }

    /// Lets every access to a region flush the queue of writes: a device whose other region is coalesced sees what
    /// was written there before.
    ///
    /// # Errors
    /// No such region, or one without callbacks; it is not taken away from a region with coalesced ranges.
    pub fn set_flush_coalesced(&mut self, region: RegionId, flush: bool) -> Result<(), MapError> {
        self.edit_extras(region, |extras| {
            if !flush && !extras.coalesced.is_empty() {
                return Err(MapError::Busy("the region has coalesced ranges"));
            }
            extras.flush = flush;
            Ok(())
        })
    }

    fn edit_extras(
        &mut self,
        region: RegionId,
        edit: impl FnOnce(&mut NodeExtras) -> Result<(), MapError>,
    ) -> Result<(), MapError> {
        let mut state = self.edit()?;
        let node = state.graph.node(region)?;
        if !node.leaf().is_some_and(|leaf| leaf.has_callbacks()) {
            return Err(MapError::WrongKind { region, wanted: "a region with callbacks" });
        }
        let mut extras = node.extras.as_deref().cloned().unwrap_or_default();
        edit(&mut extras)?;
        state.save(region)?;
        state.graph.with_extras.insert(region);
        state.pending.extras_edited = true;
        let extras = if extras.is_empty() { None } else { Some(Arc::new(extras)) };
        state.graph.node_mut(region)?.extras = extras;
        Ok(())
    }
}

impl Graph {
    /// Forgets which regions had I/O events or coalesced ranges and have none now.
    pub(crate) fn tidy_extras(&mut self) {
        let mut with_extras = std::mem::take(&mut self.with_extras);
        with_extras.retain(|id| self.get(*id).is_some_and(|node: &Node| node.extras.is_some()));
        self.with_extras = with_extras;
    }
}
