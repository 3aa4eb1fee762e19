//! The graph in the language of Graphviz.

use std::fmt::{self, Write};

use super::picture::Fill;
use super::{MapDump, RegionInfo, RegionKind};
use crate::RegionId;

impl MapDump {
    /// The graph for `dot`: regions as boxes, spaces as ellipses, children by solid and aliases by dashed arrows.
    #[must_use]
    pub fn dot(&self) -> String {
        let mut text = String::new();
        self.write_dot(&mut text).expect("writing to a string does not fail");
        text
    }

    fn write_dot(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "digraph map {{")?;
        writeln!(text, "  rankdir=LR;")?;
        writeln!(
            text,
            "  node [shape=box, style=filled, fillcolor=white, fontname=\"monospace\", fontsize=10];"
        )?;
        writeln!(text, "  edge [fontname=\"monospace\", fontsize=9];")?;
        for (number, space) in self.spaces.iter().enumerate() {
            let label = quoted(&format!("space {}", space.name));
            writeln!(text, "  space{number} [shape=ellipse, label={label}];")?;
            writeln!(text, "  space{number} -> {};", node(space.root))?;
        }
        for region in self.regions.values() {
            self.write_region(text, region)?;
        }
        writeln!(text, "}}")
    }

    fn write_region(&self, text: &mut String, region: &RegionInfo) -> fmt::Result {
        let label =
            quoted(&format!("{}\n{} {:#x} bytes", region.name, region.tag, u128::from(region.last) + 1));
        let (fill, line) = (Fill::of(region).colour(), if region.enabled { "solid" } else { "dotted" });
        let style = format!("style=\"filled,{line}\", fillcolor=\"{fill}\"");
        writeln!(text, "  {} [label={label}, {style}];", node(region.id))?;
        for child in region.children.iter().filter_map(|child| self.regions.get(child)) {
            let label = quoted(&format!("{:x} prio {}", child.at, child.priority));
            writeln!(text, "  {} -> {} [label={label}];", node(region.id), node(child.id))?;
        }
        match region.kind {
            RegionKind::Alias { target, offset } if self.regions.contains_key(&target) => {
                let label = quoted(&format!("@{offset:x}"));
                writeln!(text, "  {} -> {} [style=dashed, label={label}];", node(region.id), node(target))
            }
            _ => Ok(()),
        }
    }
}

fn node(id: RegionId) -> String {
    format!("r{}_{}", id.index, id.serial)
}

/// A string of the language: quotes and backslashes are escaped, line ends become its own.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            letter if letter.is_control() => quoted.push(' '),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
