//! Map files, views and changes as TOML and JSON. Numbers that may have 64 bits are strings in JSON.

use std::fmt::Write;

use memory::inspect::{Explanation, MapDump, RangeInfo, Side, Verdict, ViewChange};
use memory::{Cutting, FlatRange, Placement, SpaceConfig};
use serde_json::{Map, Value, json};

use super::doc::{MapFile, RegionEntry, RegionEntryKind, SpaceEntry, space_kind, transparent, unassigned};

/// A key and its value, as both languages write it.
type Field = (&'static str, Word);

/// A value.
enum Word {
    Text(String),
    Hex(u128),
    Number(i32),
    Flag(bool),
}

impl Word {
    fn toml(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Hex(number) if *number == 1 << 64 => "\"all\"".to_owned(),
            Self::Hex(number) => format!("{number:#x}"),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }

    fn json(self) -> Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Hex(number) => hex(number),
            Self::Number(number) => number.into(),
            Self::Flag(flag) => flag.into(),
        }
    }
}

impl MapFile {
    /// The file in TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::from("version = 1\n");
        let entries = self.spaces.iter().map(|space| ("space", space_fields(space)));
        let entries = entries.chain(self.regions.iter().map(|region| ("region", region_fields(region))));
        for (kind, fields) in entries {
            let _written = write!(text, "\n[[{kind}]]\n");
            for (key, word) in fields {
                let _written = writeln!(text, "{key} = {}", word.toml());
            }
        }
        text
    }

    /// The file in JSON, with the views of the map that it was taken from. A reader of map files passes those by.
    #[must_use]
    pub fn to_json(&self, dump: &MapDump) -> String {
        let entry = |fields: Vec<Field>| {
            fields.into_iter().map(|(key, word)| (key.to_owned(), word.json())).collect::<Map<_, _>>()
        };
        let view = |space: &memory::inspect::SpaceInfo| {
            let ranges: Vec<_> =
                space.view.ranges().map(|range| range_json(&FlatRange::info(range))).collect();
            json!({ "space": space.name, "ranges": ranges })
        };
        pretty(&json!({
            "version": 1,
            "space": self.spaces.iter().map(space_fields).map(entry).collect::<Vec<_>>(),
            "region": self.regions.iter().map(region_fields).map(entry).collect::<Vec<_>>(),
            "view": dump.spaces.iter().map(view).collect::<Vec<_>>(),
        }))
    }
}

/// The keys of a space; the last ones where they differ from what a file that is silent says.
fn space_fields(space: &SpaceEntry) -> Vec<Field> {
    let mut fields = vec![
        ("name", Word::Text(space.name.clone())),
        ("root", Word::Text(space.root.clone())),
        ("kind", Word::Text(space_kind(space.config.kind).to_owned())),
        ("unassigned", Word::Text(unassigned(space.config.unassigned).to_owned())),
    ];
    if space.config.cutting == Cutting::Qemu72 {
        fields.push(("cutting", Word::Text("qemu72".to_owned())));
    }
    if space.config.bounce_bytes != SpaceConfig::BOUNCE_BYTES {
        fields.push(("bounce", Word::Hex(space.config.bounce_bytes.into())));
    }
    fields
}

/// The keys of a region that differ from what a file that is silent says.
fn region_fields(region: &RegionEntry) -> Vec<Field> {
    let mut fields = Vec::new();
    if region.id != region.name {
        fields.push(("id", Word::Text(region.id.clone())));
    }
    fields.push(("name", Word::Text(region.name.clone())));
    fields.push(("kind", Word::Text(region.kind.word().to_owned())));
    fields.push(("size", Word::Hex(region.size)));
    fields.extend(region.max.map(|max| ("max", Word::Hex(max))));
    if let Some((parent, at, how)) = &region.place {
        fields.push(("parent", Word::Text(parent.clone())));
        fields.push(("at", Word::Hex((*at).into())));
        if let Placement::Overlap { priority } = how {
            fields.push(("priority", Word::Number(*priority)));
        }
    }
    match &region.kind {
        RegionEntryKind::Alias { target, offset } => {
            fields.push(("target", Word::Text(target.clone())));
            fields.push(("offset", Word::Hex((*offset).into())));
        }
        RegionEntryKind::RomDevice { read_mode: false } => fields.push(("mode", Word::Text("io".to_owned()))),
        _ => {}
    }
    fields.extend(region.owner.clone().map(|owner| ("owner", Word::Text(owner))));
    let flags = [
        ("enabled", region.disabled, false),
        ("readonly", region.readonly, true),
        ("nonvolatile", region.nonvolatile, true),
        ("unmergeable", region.unmergeable, true),
    ];
    fields.extend(
        flags.into_iter().filter(|(_, given, _)| *given).map(|(key, _, value)| (key, Word::Flag(value))),
    );
    let direction = transparent(region.transparent);
    fields.extend(direction.map(|direction| ("transparent", Word::Text(direction.to_owned()))));
    fields
}

/// Changes of views, with the names of their spaces.
#[must_use]
pub fn changes_json(changes: &[(&str, Vec<ViewChange>)]) -> String {
    let change = |change: &ViewChange| {
        json!({
            "first": hex(change.range.first().into()),
            "last": hex(change.range.last().into()),
            "old": change.old.as_ref().map(range_json),
            "new": change.new.as_ref().map(range_json),
        })
    };
    let space = |(space, changes): &(&str, Vec<ViewChange>)| json!({ "space": space, "changed": changes.iter().map(change).collect::<Vec<_>>() });
    pretty(&json!({ "spaces": changes.iter().map(space).collect::<Vec<_>>() }))
}

/// An explanation.
#[must_use]
pub fn explanation_json(explanation: &Explanation) -> String {
    let step = |step: &memory::inspect::Step| {
        json!({
            "depth": step.depth,
            "region": step.name,
            "tag": step.tag,
            "priority": step.priority,
            "verdict": verdict(&step.verdict),
            "text": step.to_string().trim_start(),
        })
    };
    pretty(&json!({
        "space": explanation.space,
        "address": hex(explanation.addr.into()),
        "steps": explanation.steps.iter().map(step).collect::<Vec<_>>(),
        "range": explanation.range.as_ref().map(range_json),
    }))
}

fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Entered => "entered",
        Verdict::Hole => "hole",
        Verdict::Follows { .. } => "follows",
        Verdict::Answers { .. } => "answers",
        Verdict::Elsewhere => "elsewhere",
        Verdict::Disabled => "disabled",
        Verdict::Transparent => "transparent",
        Verdict::Behind { .. } => "behind",
        Verdict::Removed => "removed",
    }
}

fn range_json(info: &RangeInfo) -> Value {
    json!({
        "first": hex(info.range.first().into()),
        "last": hex(info.range.last().into()),
        "tag": info.tag,
        "priority": info.priority,
        "read": info.read.as_ref().map(side_json),
        "write": info.write.as_ref().map(side_json),
    })
}

fn side_json(side: &Side) -> Value {
    json!({ "region": side.name, "offset": hex(side.offset.into()), "answer": side.answer.word() })
}

fn hex(number: u128) -> Value {
    format!("{number:#x}").into()
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("strings, numbers and lists can be written");
    text.push('\n');
    text
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _written = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
