//! What a root comes down to: spaces with one key show the same and share one table of ranges.
//!
//! A root that is an alias of a whole region shows what that region does, and a container whose only child begins
//! where it does and fits shows what the child does. The flags of the nodes that are passed count, or the key would
//! show something else than the root.

use crate::RangeAttrs;
use crate::RegionId;
use crate::Transparency;
use crate::graph::{Graph, Node, NodeKind};

/// Children looked at to find the only enabled one; a container with more is its own root.
const MAX_CHILDREN: usize = 16;

/// What a space shows in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ViewKey {
    /// Nothing.
    Empty,
    /// A region at address 0, through nodes with these flags.
    Region(RegionId, RangeAttrs),
}

impl Graph {
    /// The key of what a space with root `root` shows. The way is as long as a path of the graph at most.
    pub fn view_key(&self, root: RegionId) -> ViewKey {
        let (mut id, mut attrs) = (root, RangeAttrs::default());
        loop {
            // The target of an alias may have been removed.
            let Some(node) = self.get(id).filter(|node| node.enabled) else { return ViewKey::Empty };
            let here = ViewKey::Region(id, attrs);
            let next = match self.whole(id, node) {
                Whole::Itself => return here,
                Whole::Nothing => return ViewKey::Empty,
                Whole::Of(next) => next,
            };
            attrs.readonly |= node.readonly;
            attrs.nonvolatile |= node.nonvolatile;
            attrs.unmergeable |= node.unmergeable;
            id = next;
        }
    }

    /// Whether an enabled node shows the whole of one other node and nothing else.
    fn whole(&self, id: RegionId, node: &Node) -> Whole {
        if node.transparent != Transparency::None {
            return Whole::Itself;
        }
        match node.kind {
            NodeKind::Leaf(_) => Whole::Itself,
            NodeKind::Alias { target, offset } => match self.get(target) {
                Some(shown) if offset == 0 && shown.last <= node.last => Whole::Of(target),
                Some(_) => Whole::Itself,
                None => Whole::Nothing,
            },
            NodeKind::Container => self.only_child(id, node),
        }
    }

    fn only_child(&self, id: RegionId, node: &Node) -> Whole {
        let Ok(children) = self.children(id) else { return Whole::Itself };
        let mut only = None;
        for (count, child) in children.iter().enumerate() {
            if count == MAX_CHILDREN {
                return Whole::Itself;
            }
            if self.get(child.id).is_some_and(|child| child.enabled) && only.replace(child).is_some() {
                return Whole::Itself;
            }
        }
        match only {
            Some(child) if child.extent.first() == 0 && child.extent.last() <= node.last => {
                Whole::Of(child.id)
            }
            Some(_) => Whole::Itself,
            None => Whole::Nothing,
        }
    }
}

/// What a node shows.
enum Whole {
    Itself,
    Nothing,
    Of(RegionId),
}
