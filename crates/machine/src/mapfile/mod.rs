//! Map files: a memory map as a text that people and programs can write. `docs/MAPS.md` describes the format.
//!
//! A file is read into a [`MapFile`], which is data, and built into a [`BuiltMap`], which is a live map of stubs:
//! devices read as 0 and ignore writes. The same data comes from a live map ([`MapFile::of`]) and goes out as TOML
//! or JSON, so that a board can be saved, edited and compared.

mod build;
mod doc;
mod read;
mod value;
mod write;

pub use build::BuiltMap;
pub use doc::{MapFile, RegionEntry, RegionEntryKind, SpaceEntry};
pub use read::{REGION_KEYS, SPACE_KEYS, number};
pub use write::{changes_json, explanation_json};

use std::fmt;

/// What is wrong with a map file: where, and why.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub struct MapFileError {
    place: Place,
    what: String,
}

impl MapFileError {
    fn new(place: Place, what: impl Into<String>) -> Self {
        Self { place, what: what.into() }
    }

    /// The line of the file, counted from 1, where the reader knows it: JSON has none.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.place.line
    }

    /// The key, if one is to blame.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.place.key.as_deref()
    }
}

/// A place in a map file.
#[derive(Clone, Debug, Default)]
struct Place {
    line: Option<usize>,
    /// The entry: "region `x`".
    entry: String,
    key: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map(|line| format!("line {line}"));
        let entry = Some(self.entry.clone()).filter(|entry| !entry.is_empty());
        let key = self.key.as_ref().map(|key| format!("key `{key}`"));
        let parts: Vec<_> = [line, entry, key].into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "file".into() } else { parts.join(", ") }.as_str())
    }
}

#[cfg(test)]
mod tests;
