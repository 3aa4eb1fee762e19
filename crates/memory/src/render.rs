//! Rendering: from the graph to the flat ranges of one window of a space.
//!
//! The painter walks the graph in the order of visibility, so the first leaf to reach an address keeps it
//! (memory.rst, "Visibility"). Reads and writes are two layers, since a node may let one direction through.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::AddrRange;

use crate::canon::ViewKey;
use crate::graph::{Graph, Node, NodeKind};
use crate::view::{Binding, FlatRange};
use crate::{CommitError, Leaf, RangeAttrs, RegionId, Transparency};

/// Most ranges in one view.
pub(crate) const MAX_RANGES: usize = 1 << 20;
/// Most nodes visited for one view: aliases of aliases could multiply without bound.
const MAX_VISITS: usize = 1 << 24;

/// The ranges that a space with this key shows in `window`, neighbours not yet joined.
pub(crate) fn render(graph: &Graph, key: ViewKey, window: AddrRange) -> Result<Vec<FlatRange>, CommitError> {
    match key {
        ViewKey::Empty => Ok(Vec::new()),
        ViewKey::Region(root, attrs) => render_region(graph, root, attrs, window),
    }
}

fn render_region(
    graph: &Graph,
    root: RegionId,
    attrs: RangeAttrs,
    window: AddrRange,
) -> Result<Vec<FlatRange>, CommitError> {
    let mut painter = Painter { graph, reads: Layer::default(), writes: Layer::default(), visits: 0 };
    let walk = Walk { base: 0, clip: window, span: AddrRange::ALL, attrs, reads: true, writes: true };
    painter.paint(root, walk)?;
    let ranges = combine(&painter.reads.painted, &painter.writes.painted);
    if ranges.len() > MAX_RANGES { Err(CommitError::TooManyRanges(MAX_RANGES)) } else { Ok(ranges) }
}

/// The way to a node.
#[derive(Clone, Copy)]
struct Walk {
    /// Address of the node's offset 0. Negative where an alias shows a later part only.
    base: i128,
    /// The addresses still inside of every node on the way.
    clip: AddrRange,
    /// The same without regard to the window that is rendered.
    span: AddrRange,
    attrs: RangeAttrs,
    /// The directions that no node on the way lets through.
    reads: bool,
    writes: bool,
}

struct Painter<'g> {
    graph: &'g Graph,
    reads: Layer<'g>,
    writes: Layer<'g>,
    visits: usize,
}

impl<'g> Painter<'g> {
    fn paint(&mut self, id: RegionId, mut walk: Walk) -> Result<(), CommitError> {
        self.visits += 1;
        if self.visits > MAX_VISITS {
            return Err(CommitError::TooComplex(MAX_VISITS));
        }
        let graph = self.graph;
        // The target of an alias may have been removed.
        let Some(node) = graph.get(id).filter(|node| node.enabled) else { return Ok(()) };
        walk.reads &= node.transparent != Transparency::Reads;
        walk.writes &= node.transparent != Transparency::Writes;
        let clips = (clip_to(walk.clip, walk.base, node.last), clip_to(walk.span, walk.base, node.last));
        let (Some(clip), Some(span)) = clips else { return Ok(()) };
        if !walk.reads && !walk.writes {
            return Ok(());
        }
        (walk.clip, walk.span) = (clip, span);
        walk.attrs.readonly |= node.readonly;
        walk.attrs.nonvolatile |= node.nonvolatile;
        walk.attrs.unmergeable |= node.unmergeable;
        if let NodeKind::Alias { target, offset } = node.kind {
            walk.base -= i128::from(offset);
            return self.paint(target, walk);
        }
        self.paint_children(id, walk)?;
        match &node.kind {
            NodeKind::Leaf(leaf) => self.fill(leaf, node, walk),
            NodeKind::Container | NodeKind::Alias { .. } => Ok(()),
        }
    }

    fn paint_children(&mut self, id: RegionId, walk: Walk) -> Result<(), CommitError> {
        let Some(children) = self.graph.children(id).ok().filter(|children| !children.is_empty()) else {
            return Ok(());
        };
        let offset = |addr: u64| u64::try_from(i128::from(addr) - walk.base).ok();
        let seen = offset(walk.clip.first()).zip(offset(walk.clip.last()));
        let seen = seen.and_then(|(first, last)| AddrRange::new(first, last));
        for child in children.visited(seen.expect("the clip lies inside the node")) {
            let base = walk.base + i128::from(child.extent.first());
            self.paint(child.id, Walk { base, ..walk })?;
        }
        Ok(())
    }

    fn fill(&mut self, leaf: &'g Arc<Leaf>, node: &Node, mut walk: Walk) -> Result<(), CommitError> {
        walk.attrs.romd = node.romd;
        let span = walk.attrs.unmergeable.then_some(walk.span);
        let paint = Paint { last: 0, leaf, base: walk.base, leaf_last: node.last, attrs: walk.attrs, span };
        if walk.reads {
            self.reads.fill(walk.clip, paint);
        }
        if walk.writes {
            self.writes.fill(walk.clip, paint);
        }
        let most = self.reads.painted.len().max(self.writes.painted.len());
        if most > MAX_RANGES { Err(CommitError::TooManyRanges(MAX_RANGES)) } else { Ok(()) }
    }
}

/// What `clip` has in common with the addresses from `base` to `base + last`.
fn clip_to(clip: AddrRange, base: i128, last: u64) -> Option<AddrRange> {
    let first = base.max(i128::from(clip.first()));
    let last = (base + i128::from(last)).min(i128::from(clip.last()));
    AddrRange::new(u64::try_from(first).ok()?, u64::try_from(last).ok()?)
}

/// A painted run, keyed by its first address.
#[derive(Clone, Copy)]
struct Paint<'g> {
    last: u64,
    leaf: &'g Arc<Leaf>,
    base: i128,
    leaf_last: u64,
    attrs: RangeAttrs,
    span: Option<AddrRange>,
}

impl Paint<'_> {
    fn bind(&self, first: u64) -> Binding {
        let offset = u64::try_from(i128::from(first) - self.base);
        let offset = offset.expect("the clip lies inside the leaf");
        Binding {
            leaf: Arc::clone(self.leaf),
            offset,
            last: self.leaf_last,
            attrs: self.attrs,
            span: self.span,
        }
    }
}

/// What one direction shows so far.
#[derive(Default)]
struct Layer<'g> {
    painted: BTreeMap<u64, Paint<'g>>,
}

impl<'g> Layer<'g> {
    /// Paints the addresses of `clip` that are still empty.
    fn fill(&mut self, clip: AddrRange, paint: Paint<'g>) {
        let mut at = clip.first();
        if let Some((_, before)) = self.painted.range(..=at).next_back()
            && before.last >= at
        {
            match before.last.checked_add(1) {
                Some(next) if next <= clip.last() => at = next,
                Some(_) | None => return,
            }
        }
        loop {
            let next = self.painted.range(at..=clip.last()).next().map(|(first, paint)| (*first, paint.last));
            let Some((first, last)) = next else {
                self.painted.insert(at, Paint { last: clip.last(), ..paint });
                return;
            };
            if first > at {
                self.painted.insert(at, Paint { last: first - 1, ..paint });
            }
            if last >= clip.last() {
                return;
            }
            at = last + 1;
        }
    }
}

/// Joins the two layers into ranges at whose ends either changes.
fn combine(reads: &BTreeMap<u64, Paint<'_>>, writes: &BTreeMap<u64, Paint<'_>>) -> Vec<FlatRange> {
    let mut ranges = Vec::with_capacity(reads.len().max(writes.len()));
    let (mut reads, mut writes) = (reads.iter().peekable(), writes.iter().peekable());
    let mut at = 0;
    loop {
        let (read, write) = (reads.peek().copied(), writes.peek().copied());
        let Some(first) = [read, write].into_iter().flatten().map(|(first, _)| *first).min() else {
            return ranges;
        };
        let first = first.max(at);
        let covers = |(from, _): &(&u64, &Paint<'_>)| **from <= first;
        let starts = [read, write].into_iter().flatten().map(|(from, _)| *from).filter(|from| *from > first);
        let ends = [read, write].into_iter().flatten().filter(covers).map(|(_, paint)| paint.last);
        let last = ends.chain(starts.map(|from| from - 1)).min().expect("one layer covers the first address");
        let bind = |side: Option<(&u64, &Paint<'_>)>| side.filter(covers).map(|(_, paint)| paint.bind(first));
        let range = AddrRange::new(first, last).expect("both layers end at or after the first address");
        ranges.push(FlatRange::new(range, bind(read), bind(write)));
        if read.is_some_and(|(_, paint)| paint.last == last) {
            reads.next();
        }
        if write.is_some_and(|(_, paint)| paint.last == last) {
            writes.next();
        }
        match last.checked_add(1) {
            Some(next) => at = next,
            None => return ranges,
        }
    }
}
