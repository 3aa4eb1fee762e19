//! The ranges of a flat view: a tree of three levels whose parts successive tables share.
//!
//! A table never changes. A commit makes the chunks anew that its windows touch, the groups that hold those, and the
//! short list of groups; all the rest is shared with the table before. A range that no window touches is not looked
//! at.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use base::{AddrRange, PAGE_SHIFT};

use crate::SpaceKind;
use crate::view::FlatRange;

/// Most ranges in one chunk, and most chunks in one group.
const WIDTH: usize = 16;
/// A rebuilt run of fewer ranges or chunks takes its neighbour in, so that chunks and groups do not crumble.
const FEW: usize = 4;
/// Remembered places of ranges, a power of two.
const HINTS: usize = 1024;
/// Binary logarithm of the ports that share a hint: devices lie closely there.
const PORT_HINT_SHIFT: u32 = 5;

/// Windows of a table, sorted, disjoint and not touching, with the ranges to be put there.
pub(crate) type Patch = [(AddrRange, Vec<Arc<FlatRange>>)];

/// Some neighbouring ranges.
struct Chunk {
    /// Last address of each range: what a lookup searches.
    lasts: Box<[u64]>,
    ranges: Box<[Arc<FlatRange>]>,
}

/// Some neighbouring chunks.
struct Group {
    /// Last address of each chunk.
    lasts: Box<[u64]>,
    chunks: Box<[Arc<Chunk>]>,
    /// Number of ranges.
    len: usize,
}

impl Chunk {
    fn new(ranges: &[Arc<FlatRange>]) -> Self {
        debug_assert!(!ranges.is_empty(), "a chunk holds a range at least");
        Self { lasts: ranges.iter().map(|range| range.range.last()).collect(), ranges: ranges.into() }
    }

    fn first(&self) -> u64 {
        self.ranges[0].range.first()
    }

    fn last(&self) -> u64 {
        self.lasts[self.lasts.len() - 1]
    }
}

impl Group {
    fn new(chunks: &[Arc<Chunk>]) -> Self {
        debug_assert!(!chunks.is_empty(), "a group holds a chunk at least");
        let lasts = chunks.iter().map(|chunk| chunk.last()).collect();
        let len = chunks.iter().map(|chunk| chunk.ranges.len()).sum();
        Self { lasts, chunks: chunks.into(), len }
    }

    fn first(&self) -> u64 {
        self.chunks[0].first()
    }

    fn last(&self) -> u64 {
        self.lasts[self.lasts.len() - 1]
    }
}

/// Sorted, disjoint, maximal ranges.
pub(crate) struct RangeTable {
    /// Last address of each group.
    lasts: Vec<u64>,
    groups: Vec<Arc<Group>>,
    len: usize,
    /// Binary logarithm of the addresses that share a hint.
    hint_shift: u32,
    /// By page, or by a few ports, direct-mapped: where the last lookup there found its range, as group, chunk and
    /// place in the chunk, and 1 added to tell it from nothing. A cache only: what it names is checked. Made by the
    /// first lookup: many a table is replaced before there is one.
    hints: OnceLock<Box<[AtomicU32; HINTS]>>,
}

impl RangeTable {
    /// A table of `ranges`, which are sorted and disjoint; those that go on are joined.
    pub fn new(kind: SpaceKind, ranges: Vec<FlatRange>) -> Self {
        let mut runs = Runs::default();
        ranges.into_iter().for_each(|range| runs.push(Arc::new(range)));
        let mut maker = Maker::default();
        maker.push_run(&runs.done);
        maker.finish(hint_shift(kind))
    }

    /// The range that holds `addr`; `None` where nothing is mapped in either direction.
    #[inline]
    pub fn lookup(&self, addr: u64) -> Option<&FlatRange> {
        let hints = self.hints.get_or_init(|| Box::new([const { AtomicU32::new(0) }; HINTS]));
        let hint = &hints[(addr >> self.hint_shift) as usize % HINTS];
        let place = (hint.load(Ordering::Relaxed) as usize).wrapping_sub(1);
        match self.at(place) {
            Some(range) if range.range.contains(addr) => Some(range),
            Some(_) | None => self.search(addr, hint),
        }
    }

    /// The range at a place, as hints name it.
    #[inline]
    fn at(&self, place: usize) -> Option<&FlatRange> {
        let group = self.groups.get(place / (WIDTH * WIDTH))?;
        let chunk = group.chunks.get(place / WIDTH % WIDTH)?;
        chunk.ranges.get(place % WIDTH).map(|range| &**range)
    }

    /// The lookup without a hint, which leaves one.
    fn search(&self, addr: u64, hint: &AtomicU32) -> Option<&FlatRange> {
        let (group, chunk, place) = self.place(addr)?;
        let range = &*self.groups[group].chunks[chunk].ranges[place];
        if range.range.first() > addr {
            return None;
        }
        if let Ok(place) = u32::try_from((group * WIDTH + chunk) * WIDTH + place + 1) {
            hint.store(place, Ordering::Relaxed);
        }
        Some(range)
    }

    /// Where the first range stands that ends at or after `addr`: group, chunk and place in the chunk.
    fn place(&self, addr: u64) -> Option<(usize, usize, usize)> {
        let group = self.lasts.partition_point(|last| *last < addr);
        let chunks = self.groups.get(group)?;
        let chunk = chunks.lasts.partition_point(|last| *last < addr);
        let place = chunks.chunks[chunk].lasts.partition_point(|last| *last < addr);
        Some((group, chunk, place))
    }

    /// The ranges in ascending order.
    pub fn ranges(&self) -> impl Iterator<Item = &FlatRange> {
        self.shared_ranges().map(|range| &**range)
    }

    fn shared_ranges(&self) -> impl Iterator<Item = &Arc<FlatRange>> {
        let chunks = self.groups.iter().flat_map(|group| group.chunks.iter());
        chunks.flat_map(|chunk| chunk.ranges.iter())
    }

    /// The ranges in ascending order from the one that holds or follows `addr` on.
    pub fn ranges_from(&self, addr: u64) -> impl Iterator<Item = &FlatRange> {
        let (group, chunk, place) = self.place(addr).unwrap_or((self.groups.len(), 0, 0));
        let here = self.groups.get(group).map_or(&[][..], |group| &group.chunks[chunk..]);
        let after = self.groups.get(group + 1..).unwrap_or(&[]);
        let chunks = here.iter().chain(after.iter().flat_map(|group| group.chunks.iter()));
        chunks.flat_map(|chunk| chunk.ranges.iter()).map(|range| &**range).skip(place)
    }

    /// The last range that ends below `addr`.
    pub fn range_before(&self, addr: u64) -> Option<&FlatRange> {
        let below = |lasts: &[u64]| lasts.partition_point(|last| *last < addr);
        let at = below(&self.lasts);
        let here = self.groups.get(at).and_then(|group| {
            let chunk = below(&group.lasts);
            let before = chunk.checked_sub(1).and_then(|before| group.chunks[before].ranges.last());
            let place = group.chunks.get(chunk).and_then(|here| below(&here.lasts).checked_sub(1));
            place.map(|place| &group.chunks[chunk].ranges[place]).or(before)
        });
        let before = || self.groups.get(at.checked_sub(1)?)?.chunks.last()?.ranges.last();
        here.or_else(before).map(|range| &**range)
    }

    /// Number of ranges.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The table that shows `patch` in its windows and everything else as this one does.
    pub fn patched(&self, patch: &Patch) -> Self {
        let mut maker = Maker::default();
        let (mut cursor, mut patch) = (Cursor::default(), patch);
        while !patch.is_empty() {
            let first = patch[0].0.first().saturating_sub(1);
            // What comes after all ranges joins the last chunk.
            let from = match self.place(first) {
                Some((group, chunk, _)) => Cursor { group, chunk },
                None => self.last_chunk().max(cursor),
            };
            self.share(&mut maker, cursor, from);
            let (chunks, windows) = self.touched(from, patch);
            maker.push_run(&splice(&chunks, &patch[..windows]));
            cursor = self.skip(from, chunks.len());
            patch = &patch[windows..];
        }
        self.share(&mut maker, cursor, Cursor { group: self.groups.len(), chunk: 0 });
        maker.finish(self.hint_shift)
    }

    /// The place of the last chunk, or the first place if there is none.
    fn last_chunk(&self) -> Cursor {
        let last =
            |group: &Arc<Group>| Cursor { group: self.groups.len() - 1, chunk: group.chunks.len() - 1 };
        self.groups.last().map_or(Cursor::default(), last)
    }

    /// The chunks from `from` on that the first window touches, and how many windows touch these, the first one
    /// included.
    fn touched(&self, from: Cursor, patch: &Patch) -> (Vec<&Arc<Chunk>>, usize) {
        let mut rest = self.chunks_from(from).peekable();
        let (mut touched, mut windows, mut ranges) = (Vec::new(), 0, 0);
        loop {
            while let Some((window, new)) = patch.get(windows) {
                let reached = |chunk: &&Arc<Chunk>| window.first().saturating_sub(1) <= chunk.last();
                if windows != 0 && !touched.last().map_or(rest.peek().is_none(), reached) {
                    break;
                }
                let beyond = window.last().saturating_add(1);
                while let Some(chunk) = rest.next_if(|chunk| chunk.first() <= beyond) {
                    ranges += chunk.ranges.len();
                    touched.push(chunk);
                }
                ranges += new.len();
                windows += 1;
            }
            match rest.next() {
                Some(chunk) if ranges < FEW => {
                    ranges += chunk.ranges.len();
                    touched.push(chunk);
                }
                Some(_) | None => return (touched, windows),
            }
        }
    }

    fn chunks_from(&self, from: Cursor) -> impl Iterator<Item = &Arc<Chunk>> {
        let groups = self.groups.get(from.group..).unwrap_or(&[]);
        groups.iter().flat_map(|group| group.chunks.iter()).skip(from.chunk)
    }

    /// The place `count` chunks after `from`.
    fn skip(&self, from: Cursor, count: usize) -> Cursor {
        let mut to = Cursor { chunk: from.chunk + count, ..from };
        while let Some(group) = self.groups.get(to.group).filter(|group| group.chunks.len() <= to.chunk) {
            to = Cursor { group: to.group + 1, chunk: to.chunk - group.chunks.len() };
        }
        to
    }

    /// Hands the chunks between two places on, whole groups where that is possible.
    fn share(&self, maker: &mut Maker, from: Cursor, to: Cursor) {
        let mut at = from;
        while at < to {
            let group = &self.groups[at.group];
            let end = if at.group == to.group { to.chunk } else { group.chunks.len() };
            if at.chunk == 0 && end == group.chunks.len() {
                maker.push_group(group);
            } else {
                group.chunks[at.chunk..end].iter().for_each(|chunk| maker.push_chunk(Arc::clone(chunk)));
            }
            at = if end == group.chunks.len() { Cursor { group: at.group + 1, chunk: 0 } } else { to };
        }
    }
}

fn hint_shift(kind: SpaceKind) -> u32 {
    match kind {
        SpaceKind::Memory => PAGE_SHIFT,
        SpaceKind::Port => PORT_HINT_SHIFT,
    }
}

/// The place of a chunk.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    group: usize,
    chunk: usize,
}

/// A table in the making.
#[derive(Default)]
struct Maker {
    groups: Vec<Arc<Group>>,
    /// Chunks that are not yet in a group.
    open: Vec<Arc<Chunk>>,
}

impl Maker {
    /// Adds ranges as new chunks.
    fn push_run(&mut self, run: &[Arc<FlatRange>]) {
        for piece in even_pieces(run) {
            self.push_chunk(Arc::new(Chunk::new(piece)));
        }
    }

    fn push_chunk(&mut self, chunk: Arc<Chunk>) {
        debug_assert!(self.open.last().is_none_or(|before| before.last() < chunk.first()), "chunks ascend");
        self.open.push(chunk);
    }

    /// Adds a group, shared if what is open makes groups of its own.
    fn push_group(&mut self, group: &Arc<Group>) {
        if !self.open.is_empty() && self.open.len() < FEW {
            self.open.extend(group.chunks.iter().cloned());
            return;
        }
        self.close();
        debug_assert!(self.groups.last().is_none_or(|before| before.last() < group.first()), "groups ascend");
        self.groups.push(Arc::clone(group));
    }

    /// Makes groups of what is open.
    fn close(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.groups.extend(even_pieces(&open).map(|piece| Arc::new(Group::new(piece))));
    }

    fn finish(mut self, hint_shift: u32) -> RangeTable {
        self.close();
        let lasts = self.groups.iter().map(|group| group.last()).collect();
        let len = self.groups.iter().map(|group| group.len).sum();
        RangeTable { lasts, groups: self.groups, len, hint_shift, hints: OnceLock::new() }
    }
}

/// Cuts `items` into the fewest pieces of at most [`WIDTH`], all about as long.
fn even_pieces<T>(items: &[T]) -> impl Iterator<Item = &[T]> {
    let pieces = items.len().div_ceil(WIDTH).max(1);
    items.chunks(items.len().div_ceil(pieces).max(1))
}

/// Ranges in the making: neighbours that go on join.
#[derive(Default)]
struct Runs {
    done: Vec<Arc<FlatRange>>,
}

impl Runs {
    fn push(&mut self, range: Arc<FlatRange>) {
        if let Some(before) = self.done.last_mut()
            && before.joins(&range)
        {
            *before = Arc::new(before.joined(&range));
            return;
        }
        self.done.push(range);
    }

    /// Pushes the part of `range` in `first..=last`, if there is one.
    fn push_part(&mut self, range: &Arc<FlatRange>, first: u64, last: u64) {
        let Some(part) = AddrRange::new(first, last).and_then(|part| part.intersection(range.range)) else {
            return;
        };
        self.push(if part == range.range { Arc::clone(range) } else { Arc::new(range.cut(part)) });
    }
}

/// The ranges of `chunks` with the windows of `patch` put over them.
fn splice(chunks: &[&Arc<Chunk>], patch: &Patch) -> Vec<Arc<FlatRange>> {
    let old: usize = chunks.iter().map(|chunk| chunk.ranges.len()).sum();
    let new: usize = patch.iter().map(|(_, new)| new.len() + 1).sum();
    let mut runs = Runs { done: Vec::with_capacity(old + new) };
    let mut windows = patch.iter().peekable();
    // First address that is not yet decided; `None` past the last one.
    let mut from = Some(0);
    for range in chunks.iter().flat_map(|chunk| chunk.ranges.iter()) {
        while let Some((window, new)) = windows.next_if(|(window, _)| window.first() <= range.range.last()) {
            if let (Some(from), Some(before)) = (from, window.first().checked_sub(1)) {
                runs.push_part(range, from, before);
            }
            new.iter().for_each(|range| runs.push(Arc::clone(range)));
            from = window.last().checked_add(1);
        }
        if let Some(from) = from {
            runs.push_part(range, from, u64::MAX);
        }
    }
    for (_, new) in windows {
        new.iter().for_each(|range| runs.push(Arc::clone(range)));
    }
    runs.done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::Backing;
    use crate::view::Binding;
    use crate::{Leaf, RangeAttrs, RegionId};

    fn range(first: u64, last: u64) -> AddrRange {
        AddrRange::new(first, last).unwrap()
    }

    /// The table with `bytes` of a leaf at `first`, or with a hole of that size.
    fn put(table: &RangeTable, leaf: Option<&Arc<Leaf>>, first: u64, bytes: u64) -> RangeTable {
        let window = range(first, first + bytes - 1);
        let bind = |leaf: &Arc<Leaf>| {
            let (leaf, attrs) = (Arc::clone(leaf), RangeAttrs::default());
            let binding = Binding { leaf, offset: first, last: u64::MAX, attrs, span: None };
            Arc::new(FlatRange::new(window, Some(binding), None))
        };
        table.patched(&[(window, leaf.into_iter().map(bind).collect())])
    }

    fn leaf(index: u32) -> Arc<Leaf> {
        let id = RegionId { index, serial: 0 };
        Arc::new(Leaf::new(id, "leaf".into(), Backing::Reservation, None))
    }

    /// Chunks and groups are filled enough that the number of either stays in proportion.
    fn check_form(table: &RangeTable) {
        let chunks: usize = table.groups.iter().map(|group| group.chunks.len()).sum();
        assert_eq!(table.ranges().count(), table.len());
        assert!(chunks <= table.len() * 2 / FEW + 2, "{chunks} chunks of {} ranges", table.len());
        assert!(table.groups.len() <= chunks * 2 / FEW + 2, "{} groups of {chunks}", table.groups.len());
        let full = |group: &Arc<Group>| {
            group.chunks.len() <= WIDTH && group.chunks.iter().all(|chunk| chunk.ranges.len() <= WIDTH)
        };
        assert!(table.groups.iter().all(full));
        assert!(table.groups.iter().map(|group| group.last()).eq(table.lasts.iter().copied()));
    }

    #[test]
    fn a_table_keeps_its_form_whatever_the_order() {
        const COUNT: u64 = 2000;
        let leaf = leaf(0);
        let orders: [fn(u64) -> u64; 3] = [|n| n, |n| COUNT - 1 - n, |n| n * 1237 % COUNT];
        for order in orders {
            let mut table = RangeTable::new(SpaceKind::Memory, Vec::new());
            for n in 0..COUNT {
                table = put(&table, Some(&leaf), order(n) * 16, 8);
                if n % 100 == 99 {
                    check_form(&table);
                }
            }
            assert_eq!(table.len() as u64, COUNT);
            assert!(
                (0..COUNT).all(|n| table.lookup(n * 16 + 7).is_some() && table.lookup(n * 16 + 8).is_none())
            );
            for n in 0..COUNT - 10 {
                table = put(&table, None, order(n) * 16, 8);
                if n % 100 == 99 {
                    check_form(&table);
                }
            }
            assert_eq!(table.len(), 10);
        }
    }

    #[test]
    fn what_a_window_does_not_touch_is_shared() {
        let leaf = leaf(0);
        let mut table = RangeTable::new(SpaceKind::Memory, Vec::new());
        for n in 0..4096 {
            table = put(&table, Some(&leaf), n * 16, 8);
        }
        let next = put(&table, None, 2000 * 16, 8);
        let same = |group: &&Arc<Group>| next.groups.iter().any(|other| Arc::ptr_eq(group, other));
        assert!(table.groups.iter().filter(same).count() + 2 >= table.groups.len());
        let olds: std::collections::HashSet<_> = table.shared_ranges().map(Arc::as_ptr).collect();
        assert!(
            next.shared_ranges().all(|range| olds.contains(&Arc::as_ptr(range))),
            "no range is made anew"
        );
    }

    /// Many windows at once, anywhere, against a plain list of which address is whose.
    #[test]
    fn many_windows_are_patched_as_a_list_is() {
        let leaves = [leaf(0), leaf(1)];
        let mut seed = 7_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        let (mut table, mut list) = (RangeTable::new(SpaceKind::Port, Vec::new()), vec![None; 2000]);
        for _ in 0..2000 {
            let (mut patch, mut at) = (Vec::new(), next(300));
            while at < 1900 && patch.len() < 6 {
                let (window, whose) = (range(at, at + next(40)), next(3) as usize);
                let bind = |leaf: &Arc<Leaf>| {
                    let (leaf, attrs) = (Arc::clone(leaf), RangeAttrs::default());
                    let binding = Binding { leaf, offset: window.first(), last: 4000, attrs, span: None };
                    Arc::new(FlatRange::new(window, Some(binding), None))
                };
                patch.push((window, leaves.get(whose).map(bind).into_iter().collect()));
                list[window.first() as usize..=window.last() as usize]
                    .fill((whose < 2).then_some(whose as u32));
                at = window.last() + 2 + next(600);
            }
            table = table.patched(&patch);
            for (addr, whose) in list.iter().enumerate() {
                let found = table.lookup(addr as u64).map(|range| range.leaf().id().index);
                assert_eq!(found, *whose, "{addr}");
            }
            let ranges: Vec<_> = table.ranges().collect();
            assert!(ranges.windows(2).all(|pair| !pair[0].joins(pair[1]) && pair[0].range < pair[1].range));
        }
        check_form(&table);
    }
}
