//! Which region of a tree is seen in each piece.
//!
//! The flat view says what is seen. One byte may be shown on several ways, by aliases: then the first way that an
//! access meets is the one that is seen, and the others are hidden.

use base::AddrRange;

use super::columns::Columns;
use super::place::Placed;
use crate::FlatView;
use crate::inspect::{RangeInfo, Side};

/// Numbers of the regions that answer reads and writes in each piece.
#[derive(Debug, Default)]
pub struct Winners(Vec<[Option<usize>; 2]>);

impl Winners {
    pub fn of(tree: &Placed, columns: &Columns, view: &FlatView) -> Self {
        let shown = |range: AddrRange| {
            let found = view.lookup(range.first()).map(|found| found.info());
            found.map(|info| (range.first(), info))
        };
        let shown: Vec<_> = columns.columns.iter().map(|column| shown(column.range)).collect();
        let mut winners = Self(vec![[None; 2]; shown.len()]);
        winners.visit(tree, columns, &shown);
        winners
    }

    /// Whether a region answers anything in a piece.
    pub fn shows(&self, placed: &Placed, column: usize) -> bool {
        self.0[column].contains(&Some(placed.number))
    }

    /// Goes through the tree in the order in which an access meets it.
    fn visit(&mut self, placed: &Placed, columns: &Columns, shown: &[Option<(u64, RangeInfo)>]) {
        placed.children.iter().for_each(|child| self.visit(child, columns, shown));
        for column in columns.beginning_in(placed.range) {
            let Some((first, info)) = &shown[column] else { continue };
            for (winner, side) in self.0[column].iter_mut().zip([&info.read, &info.write]) {
                let leads_here = side.as_ref().is_some_and(|side| reaches(placed, side, *first, info));
                if winner.is_none() && leads_here {
                    *winner = Some(placed.number);
                }
            }
        }
    }
}

/// Whether a side of a flat range reaches the byte of a region that the region has at address `first`.
fn reaches(placed: &Placed, side: &Side, first: u64, info: &RangeInfo) -> bool {
    let offset = i128::from(side.offset) + i128::from(first - info.range.first());
    Some(side.region) == placed.leaf && offset == i128::from(first) - placed.base
}
