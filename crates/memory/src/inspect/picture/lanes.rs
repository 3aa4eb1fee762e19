//! Siblings in lanes: one lane below another, in the order in which an access meets them.

use std::ops::Range;

use super::columns::Columns;
use super::place::Placed;

/// Height of a box with two lines.
pub const BOX: f64 = 32.0;
/// Height of a frame's caption.
pub const CAPTION: f64 = 15.0;
/// Between lanes, and between a frame and what is in it.
pub const GAP: f64 = 4.0;

/// Siblings of one priority that do not overlap.
pub struct Lane<'p> {
    pub priority: i32,
    pub boxes: Vec<&'p Placed>,
    pub height: f64,
}

/// The lanes of siblings in one band: of two that overlap, the one that hides the other lies above it.
pub fn lanes<'p>(siblings: &'p [Placed], columns: &Columns, band: &Range<usize>) -> Vec<Lane<'p>> {
    let mut lanes: Vec<Lane<'p>> = Vec::new();
    // Where the lanes of the present priority begin.
    let mut start = 0;
    for placed in siblings.iter().filter(|placed| !part(placed, columns, band).is_empty()) {
        if lanes.last().is_some_and(|lane| lane.priority != placed.priority) {
            start = lanes.len();
        }
        let hides = |lane: &Lane<'p>| lane.boxes.iter().any(|other| other.range.overlaps(placed.range));
        let at = lanes.iter().rposition(hides).map_or(start, |above| (above + 1).max(start));
        if at == lanes.len() {
            lanes.push(Lane { priority: placed.priority, boxes: Vec::new(), height: 0.0 });
        }
        let height = height(placed, columns, band);
        lanes[at].boxes.push(placed);
        lanes[at].height = lanes[at].height.max(height);
    }
    lanes
}

/// Height of a region with all that is in it.
pub fn height(placed: &Placed, columns: &Columns, band: &Range<usize>) -> f64 {
    let lanes = lanes(&placed.children, columns, band);
    if lanes.is_empty() {
        return BOX;
    }
    let inside: f64 = lanes.iter().map(|lane| lane.height + GAP).sum();
    let own = if placed.leaf.is_some() { BOX + GAP } else { 0.0 };
    CAPTION + inside + own
}

/// The pieces of a band that a region takes.
pub fn part(placed: &Placed, columns: &Columns, band: &Range<usize>) -> Range<usize> {
    let span = columns.span(placed.range);
    span.start.max(band.start)..span.end.min(band.end)
}
