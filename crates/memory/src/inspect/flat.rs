//! Flat views as QEMU's `info mtree -f` lists them: one list for all spaces of one root.

use std::fmt::{self, Write};

use super::{MapDump, RegionKind, SpaceInfo};
use crate::RegionId;

impl MapDump {
    /// The flat views of `spaces`. Those that show one root share a list, as in QEMU's listing, whose numbers mean
    /// nothing; here they count the lists.
    #[must_use]
    pub fn flat_text(&self, spaces: &[&SpaceInfo]) -> String {
        let mut roots: Vec<RegionId> = Vec::new();
        for space in spaces {
            if !roots.contains(&space.root) {
                roots.push(space.root);
            }
        }
        let mut text = String::new();
        for (number, root) in roots.into_iter().enumerate() {
            let sharers: Vec<_> = spaces.iter().copied().filter(|space| space.root == root).collect();
            self.write_view(&mut text, number, &sharers).expect("writing to a string does not fail");
        }
        text
    }

    /// Writes the view that `sharers`, at least one, have in common.
    fn write_view(&self, text: &mut String, number: usize, sharers: &[&SpaceInfo]) -> fmt::Result {
        if number != 0 {
            writeln!(text)?;
        }
        writeln!(text, "FlatView #{number}")?;
        for space in sharers {
            write!(text, " AS \"{}\", root: {}", space.name, self.name(space.root))?;
            if let Some(RegionKind::Alias { target, .. }) =
                self.regions.get(&space.root).map(|root| root.kind)
            {
                write!(text, ", alias {}", self.name(target))?;
            }
            writeln!(text)?;
        }
        let view = &sharers[0].view;
        let root = if view.is_empty() { "(none)" } else { self.name(sharers[0].root) };
        writeln!(text, " Root memory region: {root}")?;
        view.write_ranges(text)
    }
}
