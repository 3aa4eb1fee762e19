//! The graph and the views as text, line for line comparable with QEMU's `info mtree` and `info mtree -f`.

use std::collections::HashSet;
use std::fmt::{self, Write};

use crate::children::Children;
use crate::graph::{Graph, Node, NodeKind};
use crate::region::Backing;
use crate::{FlatRange, FlatView, Leaf, MemoryMap, RegionId, Target, lock};

impl MemoryMap {
    /// The graph below each space's root, and below each target of an alias, without disabled regions.
    #[must_use]
    pub fn tree_text(&self) -> String {
        self.tree(false)
    }

    /// As [`MemoryMap::tree_text`], with disabled regions and what is below them.
    #[must_use]
    pub fn tree_text_all(&self) -> String {
        self.tree(true)
    }

    fn tree(&self, disabled: bool) -> String {
        // The last handle to a space may be among them: it goes when the graph is not locked any more.
        let mut held = Vec::new();
        let state = lock(&self.0.state);
        let graph = &state.graph;
        let mut tree =
            Tree { graph, text: String::new(), disabled, targets: Vec::new(), listed: HashSet::new() };
        let mut roots: Vec<(RegionId, Vec<String>)> = Vec::new();
        for space in graph.spaces().iter().filter_map(|entry| Some((entry.root, entry.space.upgrade()?))) {
            let (root, name) = (space.0, space.1.info.name.to_string());
            held.push(space.1);
            match roots.iter_mut().find(|(other, _)| *other == root) {
                Some((_, names)) => names.push(name),
                None => roots.push((root, vec![name])),
            }
        }
        tree.write_all(roots).expect("writing to a string does not fail");
        tree.text
    }
}

/// A listing in the making.
struct Tree<'g> {
    graph: &'g Graph,
    text: String,
    disabled: bool,
    /// Targets of aliases, in the order met.
    targets: Vec<RegionId>,
    listed: HashSet<RegionId>,
}

impl Tree<'_> {
    fn write_all(&mut self, mut roots: Vec<(RegionId, Vec<String>)>) -> fmt::Result {
        for (_, names) in &mut roots {
            names.sort();
        }
        roots.sort_by(|(_, one), (_, other)| one.cmp(other));
        for (root, names) in roots {
            for name in names {
                writeln!(self.text, "address-space: {name}")?;
            }
            self.node(root, 0, 1)?;
            writeln!(self.text)?;
        }
        let mut next = 0;
        while let Some(target) = self.targets.get(next).copied() {
            next += 1;
            let Some(node) = self.graph.get(target) else { continue };
            writeln!(self.text, "memory-region: {}", node.name)?;
            self.node(target, i128::from(node.at), 1)?;
            writeln!(self.text)?;
        }
        Ok(())
    }

    /// Writes the node at address `base` and what is below it.
    fn node(&mut self, id: RegionId, base: i128, level: usize) -> fmt::Result {
        let Some(node) = self.graph.get(id).filter(|node| node.enabled || self.disabled) else {
            return Ok(());
        };
        let (first, last) = (base as u64, (base + i128::from(node.last)) as u64);
        write!(
            self.text,
            "{:indent$}{first:016x}-{last:016x} (prio {}, ",
            "",
            node.priority,
            indent = level * 2
        )?;
        if node.nonvolatile {
            write!(self.text, "nv-")?;
        }
        match node.kind {
            NodeKind::Alias { target, offset } => self.alias(node, target, offset)?,
            NodeKind::Leaf(_) | NodeKind::Container => {
                write!(self.text, "{}): {}", node_tag(self.graph, node), node.name)?;
            }
        }
        writeln!(self.text, "{}", if node.enabled { "" } else { " [disabled]" })?;
        let mut children = self.graph.children(id).map_or_else(|_| Vec::new(), Children::ordered);
        children.sort_by_key(|child| (child.extent.first(), std::cmp::Reverse(child.priority)));
        for child in children {
            self.node(child.id, base + i128::from(child.extent.first()), level + 1)?;
        }
        Ok(())
    }

    fn alias(&mut self, node: &Node, target: RegionId, offset: u64) -> fmt::Result {
        let name = self.graph.get(target).map_or("(removed)", |target| &*target.name);
        let end = offset.saturating_add(node.last);
        write!(
            self.text,
            "{}): alias {} @{name} {offset:016x}-{end:016x}",
            node_tag(self.graph, node),
            node.name
        )?;
        if self.listed.insert(target) {
            self.targets.push(target);
        }
        Ok(())
    }
}

/// What a listing calls the kind of a node; an alias is called what its target is.
pub(crate) fn node_tag(graph: &Graph, node: &Node) -> &'static str {
    match &node.kind {
        NodeKind::Leaf(leaf) => leaf_tag(leaf, node.readonly, node.romd),
        NodeKind::Container => "i/o",
        NodeKind::Alias { target, .. } => graph.get(*target).map_or("i/o", |target| node_tag(graph, target)),
    }
}

fn leaf_tag(leaf: &Leaf, readonly: bool, romd: bool) -> &'static str {
    match &leaf.backing {
        Backing::Ram(_) if readonly => "rom",
        Backing::Ram(_) => "ram",
        Backing::RomDevice(..) if romd => "romd",
        Backing::RomDevice(..) | Backing::Mmio(_) | Backing::Iommu(_) | Backing::Reservation => "i/o",
    }
}

impl FlatView {
    /// The ranges as text. A range whose writes go elsewhere than its reads says so at the end of its line.
    #[must_use]
    pub fn flat_text(&self) -> String {
        let mut text = String::new();
        self.write_flat(&mut text).expect("writing to a string does not fail");
        text
    }

    fn write_flat(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "FlatView #{}", self.generation())?;
        writeln!(text, " AS \"{}\"", self.space_name())?;
        self.write_ranges(text)
    }

    /// A line for each range, or that there is none.
    pub(crate) fn write_ranges(&self, text: &mut String) -> fmt::Result {
        if self.is_empty() {
            return writeln!(text, "  No rendered FlatView");
        }
        for range in self.ranges() {
            write!(
                text,
                "  {} (prio {}, {}): {}",
                range.range,
                range.leaf().priority(),
                range_tag(range),
                range.name()
            )?;
            if range.offset() != 0 {
                write!(text, " @{:016x}", range.offset())?;
            }
            write_other(text, range)?;
            writeln!(text)?;
        }
        Ok(())
    }
}

/// QEMU calls every range with a read-only path `rom`, whatever its leaf is.
pub(crate) fn range_tag(range: &FlatRange) -> String {
    let attrs = range.attrs();
    let kind = if attrs.readonly || matches!(range.write, Target::Discard) {
        "rom"
    } else {
        leaf_tag(range.leaf(), false, attrs.romd)
    };
    if attrs.nonvolatile { format!("nv-{kind}") } else { kind.to_owned() }
}

/// Names where writes go if they do not go where reads do, or that nothing answers one of the two.
fn write_other(text: &mut String, range: &FlatRange) -> fmt::Result {
    match (&range.reader, &range.writer) {
        (Some(reader), Some(writer))
            if reader.leaf.id() == writer.leaf.id() && reader.offset == writer.offset =>
        {
            Ok(())
        }
        (Some(_), Some(writer)) => write!(text, " [writes: {} @{:016x}]", writer.leaf.name(), writer.offset),
        (Some(_), None) => write!(text, " [writes: none]"),
        (None, _) => write!(text, " [reads: none]"),
    }
}
