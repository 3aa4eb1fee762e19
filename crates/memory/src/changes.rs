//! The views that a commit makes: which windows are rendered, and which spaces share the result.

use std::sync::Arc;

use base::AddrRange;

use crate::canon::ViewKey;
use crate::delta::difference;
use crate::graph::{Graph, SpaceEntry};
use crate::render::{MAX_RANGES, render};
use crate::space::SpaceInner;
use crate::table::RangeTable;
use crate::{CommitError, FlatView, MapDelta};

/// More windows than this in one space are joined into one.
const MAX_WINDOWS: usize = 32;

/// What was done for the spaces that see a commit's edits.
#[derive(Default)]
pub(crate) struct Rendered {
    /// What the roots of spaces have come down to, where it is not what it was, by place of the space.
    pub keys: Vec<(usize, ViewKey)>,
    /// Number of windows rendered.
    pub windows: usize,
}

/// Makes the views of one commit.
pub(crate) struct Renderer<'g> {
    pub graph: &'g Graph,
    /// Places of the spaces that see an edit, in ascending order: the tables of the others are up to date.
    pub seeing: Vec<usize>,
    /// Tables that are up to date, of spaces that see an edit.
    pub tables: Vec<(ViewKey, Arc<RangeTable>)>,
    pub rendered: Rendered,
}

impl Renderer<'_> {
    /// The change of one space, whose edits can be seen in `windows` only; `None` when no address in them changed.
    pub fn change(
        &mut self,
        place: usize,
        entry: &SpaceEntry,
        space: &SpaceInner,
        windows: &[AddrRange],
    ) -> Result<Option<MapDelta>, CommitError> {
        let (previous, key) = (space.view(), self.graph.view_key(entry.root));
        if key != entry.key {
            self.rendered.keys.push((place, key));
        }
        let mut changed = Vec::new();
        let table = match self.known(key, entry) {
            Some(table) => {
                for window in windows {
                    let (old, new) =
                        (previous.ranges_from(window.first()), table.ranges_from(window.first()));
                    difference(*window, old, new, &mut changed);
                }
                table
            }
            None => {
                let table = self.rendered(key, &previous, windows, &mut changed)?;
                self.tables.push((key, Arc::clone(&table)));
                table
            }
        };
        if changed.is_empty() {
            return Ok(None);
        }
        let view = FlatView::new(Arc::clone(&previous.info), previous.generation() + 1, table);
        Ok(Some(MapDelta { space: space.id, changed, view: Arc::new(view), previous }))
    }

    /// The table of another space with this key. Where the key is not new every space with it sees the edit, so that
    /// looking among those that see none is in vain.
    fn known(&self, key: ViewKey, entry: &SpaceEntry) -> Option<Arc<RangeTable>> {
        let made = self.tables.iter().find(|(other, _)| *other == key).map(|(_, table)| Arc::clone(table));
        let shown = || if key == entry.key { None } else { self.graph.shown_table(key, &self.seeing) };
        made.or_else(shown)
    }

    /// The table of `previous` with the windows rendered anew; the same one when nothing in them changed.
    fn rendered(
        &mut self,
        key: ViewKey,
        previous: &FlatView,
        windows: &[AddrRange],
        changed: &mut Vec<AddrRange>,
    ) -> Result<Arc<RangeTable>, CommitError> {
        let mut patch = Vec::new();
        for window in windows {
            let ranges: Vec<_> = render(self.graph, key, *window)?.into_iter().map(Arc::new).collect();
            let (before, new) = (changed.len(), ranges.iter().map(|range| &**range));
            difference(*window, previous.ranges_from(window.first()), new, changed);
            if changed.len() != before {
                patch.push((*window, ranges));
            }
        }
        self.rendered.windows += windows.len();
        if patch.is_empty() {
            return Ok(Arc::clone(previous.table()));
        }
        let table = previous.table().patched(&patch);
        if table.len() > MAX_RANGES {
            return Err(CommitError::TooManyRanges(MAX_RANGES));
        }
        Ok(Arc::new(table))
    }
}

/// Joins sorted windows that overlap or touch, and all of them when they are many.
pub(crate) fn join(windows: impl Iterator<Item = AddrRange>) -> Vec<AddrRange> {
    let mut joined: Vec<AddrRange> = Vec::new();
    for window in windows {
        match joined.last_mut() {
            Some(before) if before.overlaps(window) || before.touches(window) => {
                *before = hull(*before, window)
            }
            _ => joined.push(window),
        }
    }
    match (joined.first(), joined.last()) {
        (Some(first), Some(last)) if joined.len() > MAX_WINDOWS => vec![hull(*first, *last)],
        _ => joined,
    }
}

fn hull(first: AddrRange, second: AddrRange) -> AddrRange {
    AddrRange::new(first.first(), first.last().max(second.last())).expect("the first one starts first")
}
