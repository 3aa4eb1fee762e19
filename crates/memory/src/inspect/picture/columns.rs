//! The pieces that the addresses are cut into, and how wide each is drawn.

use std::collections::BTreeSet;
use std::ops::Range;

use base::AddrRange;

use super::place::Placed;
use super::{Sheet, canvas, draw};

/// Width of the page without the lanes' names.
const PAGE: f64 = 1480.0;
/// Most width that a text is given.
const MAX_TEXT: f64 = 230.0;

/// A piece of the addresses.
#[derive(Clone, Debug)]
pub struct Column {
    pub range: AddrRange,
    /// Pieces far from any change that this one stands for, if it does.
    pub skipped: usize,
    pub width: f64,
}

/// The pieces, and the bands of them that fit onto the page.
#[derive(Debug)]
pub struct Columns {
    pub columns: Vec<Column>,
    pub bands: Vec<Range<usize>>,
}

impl Columns {
    pub fn of(sheet: &Sheet<'_>) -> Self {
        let ranges = pieces(sheet);
        let mut columns = if sheet.states.len() == 1 {
            ranges.into_iter().map(|range| Column::new(range, 0)).collect()
        } else {
            near_changes(&ranges, sheet)
        };
        widen(&mut columns, sheet);
        let bands = bands(&mut columns);
        Self { columns, bands }
    }

    /// Width of a band.
    pub fn width(&self, band: &Range<usize>) -> f64 {
        self.columns[band.clone()].iter().map(|column| column.width).sum()
    }

    /// The pieces whose first address lies inside `range`.
    pub fn beginning_in(&self, range: AddrRange) -> Range<usize> {
        let first = self.columns.partition_point(|column| column.range.first() < range.first());
        first..self.columns.partition_point(|column| column.range.first() <= range.last())
    }

    /// The pieces that lie wholly inside `range`: all that it consists of, but for parts of skipped ones.
    pub fn span(&self, range: AddrRange) -> Range<usize> {
        span(&self.columns, range)
    }
}

impl Column {
    fn new(range: AddrRange, skipped: usize) -> Self {
        let width = if skipped == 0 { canvas::width(&draw::address(range.first())) + 12.0 } else { 110.0 };
        Self { range, skipped, width }
    }
}

fn span(columns: &[Column], range: AddrRange) -> Range<usize> {
    let first = columns.partition_point(|column| column.range.first() < range.first());
    let end = columns.partition_point(|column| column.range.last() <= range.last());
    first..end.max(first)
}

/// The space cut wherever something begins or ends.
fn pieces(sheet: &Sheet<'_>) -> Vec<AddrRange> {
    let mut starts = BTreeSet::from([0]);
    for state in &sheet.states {
        state.tree.iter().for_each(|tree| cut_tree(tree, &mut starts));
        state.view.ranges().for_each(|range| cut(range.range, &mut starts));
    }
    let lasts = starts.iter().skip(1).map(|start| start - 1).chain([u64::MAX]);
    starts.iter().zip(lasts).filter_map(|(first, last)| AddrRange::new(*first, last)).collect()
}

fn cut_tree(placed: &Placed, starts: &mut BTreeSet<u64>) {
    cut(placed.range, starts);
    placed.children.iter().for_each(|child| cut_tree(child, starts));
}

fn cut(range: AddrRange, starts: &mut BTreeSet<u64>) {
    starts.insert(range.first());
    starts.extend(range.last().checked_add(1));
}

/// Joins the pieces that are neither changed nor beside a changed one.
fn near_changes(pieces: &[AddrRange], sheet: &Sheet<'_>) -> Vec<Column> {
    let changed = |at: usize| {
        pieces.get(at).is_some_and(|piece| {
            let later = sheet.changes.partition_point(|change| change.range.last() < piece.first());
            sheet.changes.get(later).is_some_and(|change| change.range.overlaps(*piece))
        })
    };
    let mut columns: Vec<Column> = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let near = changed(at) || changed(at + 1) || at.checked_sub(1).is_some_and(changed);
        match columns.last_mut() {
            Some(before) if !near && before.skipped != 0 => {
                *before = Column::new(joined(before.range, *piece), before.skipped + 1);
            }
            _ => columns.push(Column::new(*piece, usize::from(!near))),
        }
    }
    columns
}

fn joined(before: AddrRange, next: AddrRange) -> AddrRange {
    AddrRange::new(before.first(), next.last()).expect("the pieces ascend")
}

/// Makes the pieces wide enough for the texts of what lies in them, the shortest boxes first.
fn widen(columns: &mut [Column], sheet: &Sheet<'_>) {
    let mut wishes: Vec<(Range<usize>, f64)> = Vec::new();
    for state in &sheet.states {
        state.tree.iter().for_each(|tree| wishes_of(tree, columns, &mut wishes));
        for range in state.view.ranges() {
            let (name, detail) = draw::range_texts(&range.info());
            wishes.push((span(columns, range.range), text(&name, &detail)));
        }
    }
    wishes.sort_by_key(|(span, _)| span.len());
    for (span, width) in wishes.into_iter().filter(|(span, _)| !span.is_empty()) {
        let number = span.len();
        let have: f64 = columns[span.clone()].iter().map(|column| column.width).sum();
        let more = ((width - have) / number as f64).max(0.0);
        columns[span].iter_mut().for_each(|column| column.width += more);
    }
}

fn wishes_of(placed: &Placed, columns: &[Column], wishes: &mut Vec<(Range<usize>, f64)>) {
    let width = if placed.children.is_empty() {
        text(&placed.caption, &placed.detail)
    } else {
        text("", &placed.frame_text())
    };
    wishes.push((span(columns, placed.range), width));
    placed.children.iter().for_each(|child| wishes_of(child, columns, wishes));
}

/// Width of a box with two lines.
fn text(name: &str, detail: &str) -> f64 {
    (canvas::width(name).max(canvas::small_width(detail)) + 12.0).min(MAX_TEXT)
}

/// Breaks the pieces into bands; all but the last are made as wide as the page.
fn bands(columns: &mut [Column]) -> Vec<Range<usize>> {
    let mut bands = Vec::new();
    let (mut start, mut width) = (0, 0.0);
    for at in 0..columns.len() {
        if width + columns[at].width > PAGE && at > start {
            let stretch = PAGE / width;
            columns[start..at].iter_mut().for_each(|column| column.width *= stretch);
            bands.push(start..at);
            (start, width) = (at, 0.0);
        }
        width += columns[at].width;
    }
    bands.push(start..columns.len());
    bands
}
