//! Pictures of maps in SVG: the tree's lanes by priority, the highest on top, and under them the flat view, which is
//! what one sees from above.
//!
//! Addresses run from left to right. They are cut wherever something begins or ends, and each piece is as wide as what
//! is written in it needs, not as its length: maps have bytes and exabytes side by side. What is too wide for the page
//! goes on in the next band. A picture of a change shows the map before and after, the changed ranges between them, and
//! leaves out what is far from any change.

mod canvas;
mod columns;
mod draw;
mod lanes;
mod place;
mod winners;

use base::AddrRange;

use self::columns::Columns;
pub(super) use self::place::Fill;

use self::place::Placed;
use super::{MapDump, SpaceInfo, ViewChange, compare};
use crate::FlatView;

/// Addresses that a picture of a change names: translated code that the change made unreachable, for example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The addresses.
    pub range: AddrRange,
    /// What they are.
    pub label: String,
}

/// What a picture shows.
struct Sheet<'d> {
    title: &'d str,
    /// The map, or the maps before and after.
    states: Vec<State<'d>>,
    changes: Vec<ViewChange>,
    marks: &'d [Mark],
}

/// A map at one moment.
struct State<'d> {
    /// Nothing for a map that is shown alone.
    caption: &'static str,
    tree: Option<Placed>,
    view: &'d FlatView,
    /// The tree is too large; part of it is left out.
    cut: bool,
}

impl<'d> State<'d> {
    fn new(caption: &'static str, dump: &MapDump, space: &'d SpaceInfo) -> Self {
        let (tree, cut) = place::tree(dump, space.root);
        Self { caption, tree, view: &space.view, cut }
    }
}

impl MapDump {
    /// A picture of a space: its tree's lanes by priority, and the flat view under them.
    #[must_use]
    pub fn svg(&self, space: &SpaceInfo, title: &str) -> String {
        let states = vec![State::new("", self, space)];
        Sheet { title, states, changes: Vec::new(), marks: &[] }.svg()
    }
}

/// A picture of what differs between a space of one map and a space of another, which may be the same map later.
#[must_use]
pub fn svg_of_change(
    old: (&MapDump, &SpaceInfo),
    new: (&MapDump, &SpaceInfo),
    marks: &[Mark],
    title: &str,
) -> String {
    let states = vec![State::new("before", old.0, old.1), State::new("after", new.0, new.1)];
    let changes = compare(&old.1.view, &new.1.view);
    Sheet { title, states, changes, marks }.svg()
}

impl Sheet<'_> {
    fn svg(&self) -> String {
        draw::sheet(self, &Columns::of(self))
    }
}
