//! From a tree of values to a map file: every key is known, given once and of the right type.

use memory::{Cutting, Placement, SpaceConfig, SpaceKind, Transparency, UnassignedPolicy};

use super::doc::{Lines, MapFile, RegionEntry, RegionEntryKind, SpaceEntry};
use super::value::{self, Entry, Item, Value};
use super::{MapFileError, Place};

/// Keys of a file. `view` is what a program writes for other programs; it follows from the rest and is not read.
const FILE_KEYS: [&str; 4] = ["version", "space", "region", "view"];
/// Version of the format.
const VERSION: i128 = 1;
/// Keys of a space.
pub const SPACE_KEYS: [&str; 6] = ["name", "root", "kind", "unassigned", "cutting", "bounce"];
/// Keys of a region.
pub const REGION_KEYS: [&str; 17] = [
    "id",
    "name",
    "kind",
    "size",
    "max",
    "parent",
    "at",
    "priority",
    "target",
    "offset",
    "mode",
    "owner",
    "enabled",
    "readonly",
    "nonvolatile",
    "unmergeable",
    "transparent",
];
/// Values of key `kind`.
const KINDS: [&str; 8] = ["ram", "rom", "romd", "mmio", "iommu", "reservation", "container", "alias"];
/// Most regions in a file.
const MAX_REGIONS: usize = 20_000;
/// Most bytes of RAM, ROM and ROM devices in a file: beyond what a host gives, its tables would be too large too.
const MAX_RAM: u128 = 1 << 40;
/// Most bytes of a space or a region.
const WHOLE: u128 = 1 << 64;

impl MapFile {
    /// Reads a map file in TOML.
    ///
    /// # Errors
    /// The first thing that is wrong, with line and key.
    pub fn from_toml(text: &str) -> Result<Self, MapFileError> {
        read(value::from_toml(text)?)
    }

    /// Reads a map file in JSON.
    ///
    /// # Errors
    /// The first thing that is wrong, with entry and key.
    pub fn from_json(text: &str) -> Result<Self, MapFileError> {
        read(value::from_json(text)?)
    }
}

fn read(item: Item) -> Result<MapFile, MapFileError> {
    let mut fields = Fields::new(item, String::new(), &FILE_KEYS)?;
    if let Some(version) = fields.number("version")?
        && version != VERSION
    {
        return Err(fields.wrong("version", format!("is {version}; this program reads version {VERSION}")));
    }
    let spaces = fields.list("space")?;
    let regions = fields.list("region")?;
    if spaces.is_empty() {
        return Err(MapFileError::new(Place::default(), "no space: a map has at least one `[[space]]`"));
    }
    if regions.len() > MAX_REGIONS {
        let what = format!("has {} entries, the limit is {MAX_REGIONS}", regions.len());
        return Err(fields.wrong("region", what));
    }
    let spaces = spaces.into_iter().map(space).collect::<Result<_, _>>()?;
    let regions: Vec<_> = regions.into_iter().map(region).collect::<Result<_, _>>()?;
    check_ram(&regions)?;
    Ok(MapFile { spaces, regions })
}

fn check_ram(regions: &[RegionEntry]) -> Result<(), MapFileError> {
    let mut bytes: u128 = 0;
    for region in regions.iter().filter(|region| region.kind.has_ram()) {
        bytes += region.max.unwrap_or(region.size);
        if bytes > MAX_RAM {
            let what =
                format!("with it the file has {bytes:#x} bytes of RAM and ROM, the limit is {MAX_RAM:#x}");
            return Err(MapFileError::new(region.at("size"), what));
        }
    }
    Ok(())
}

fn space(item: Item) -> Result<SpaceEntry, MapFileError> {
    let entry = called("space", &item);
    let mut fields = Fields::new(item, entry, &SPACE_KEYS)?;
    let name = fields.needed_text("name")?;
    let root = fields.needed_text("root")?;
    let kind = match fields.word("kind", &["memory", "port"])? {
        Some("port") => SpaceKind::Port,
        _ => SpaceKind::Memory,
    };
    let unassigned = match fields.word("unassigned", &["ones", "zeros"])? {
        Some("zeros") => UnassignedPolicy::Zeros,
        _ => UnassignedPolicy::Ones,
    };
    let cutting = match fields.word("cutting", &["pieces", "qemu72"])? {
        Some("qemu72") => Cutting::Qemu72,
        _ => Cutting::Pieces,
    };
    let bounce = fields.address("bounce")?.unwrap_or(SpaceConfig::BOUNCE_BYTES);
    let config = SpaceConfig::new(kind, unassigned).cutting(cutting).bounce_bytes(bounce);
    Ok(SpaceEntry { name, root, config, lines: fields.lines })
}

fn region(item: Item) -> Result<RegionEntry, MapFileError> {
    let entry = called("region", &item);
    let mut fields = Fields::new(item, entry, &REGION_KEYS)?;
    let name = fields.needed_text("name")?;
    let id = fields.text("id")?.unwrap_or_else(|| name.clone());
    let kind = kind(&mut fields)?;
    let size = fields.bytes("size")?.ok_or_else(|| fields.missing("size"))?;
    let place = place(&mut fields)?;
    let (owner, max) =
        if kind.has_ram() { (fields.text("owner")?, fields.bytes("max")?) } else { (None, None) };
    if let Some(max) = max.filter(|max| *max < size) {
        return Err(fields.wrong("size", format!("{size:#x} is larger than `max`, {max:#x}")));
    }
    let readonly = kind != RegionEntryKind::Rom && fields.flag("readonly")?.unwrap_or(false);
    let transparent = match fields.word("transparent", &["reads", "writes"])? {
        Some("reads") => Transparency::Reads,
        Some(_) => Transparency::Writes,
        None => Transparency::None,
    };
    let disabled = !fields.flag("enabled")?.unwrap_or(true);
    let nonvolatile = fields.flag("nonvolatile")?.unwrap_or(false);
    let unmergeable = fields.flag("unmergeable")?.unwrap_or(false);
    let lines = fields.finish(kind.word(), place.is_some())?;
    Ok(RegionEntry {
        id,
        name,
        kind,
        size,
        max,
        owner,
        place,
        disabled,
        readonly,
        nonvolatile,
        unmergeable,
        transparent,
        lines,
    })
}

/// What messages call an entry: by its id or name, if it has one.
fn called(what: &str, item: &Item) -> String {
    let Value::Table(entries) = &item.value else { return what.to_owned() };
    let text = |key: &str| {
        entries.iter().find(|entry| entry.key == key).and_then(|entry| match &entry.item.value {
            Value::Text(text) if !text.chars().any(char::is_control) => Some(text.as_str()),
            _ => None,
        })
    };
    match text("id").or_else(|| text("name")) {
        Some(name) => format!("{what} `{name}`"),
        None => what.to_owned(),
    }
}

fn kind(fields: &mut Fields) -> Result<RegionEntryKind, MapFileError> {
    let word = fields.word("kind", &KINDS)?;
    Ok(match word.ok_or_else(|| fields.missing("kind"))? {
        "ram" => RegionEntryKind::Ram,
        "rom" => RegionEntryKind::Rom,
        "romd" => {
            let mode = fields.word("mode", &["read", "io"])?;
            RegionEntryKind::RomDevice { read_mode: mode != Some("io") }
        }
        "mmio" => RegionEntryKind::Mmio,
        "iommu" => RegionEntryKind::Iommu,
        "reservation" => RegionEntryKind::Reservation,
        "container" => RegionEntryKind::Container,
        _ => {
            let target = fields.needed_text("target")?;
            RegionEntryKind::Alias { target, offset: fields.address("offset")?.unwrap_or(0) }
        }
    })
}

fn place(fields: &mut Fields) -> Result<Option<(String, u64, Placement)>, MapFileError> {
    let Some(parent) = fields.text("parent")? else { return Ok(None) };
    let at = fields.address("at")?.unwrap_or(0);
    let how = match fields.number("priority")? {
        None => Placement::Exclusive,
        Some(priority) => {
            let fits = i32::try_from(priority);
            let wide = |_| fields.wrong("priority", format!("{priority} does not fit into 32 bits"));
            Placement::Overlap { priority: fits.map_err(wide)? }
        }
    };
    Ok(Some((parent, at, how)))
}

/// The entries of a table that are not yet read.
struct Fields {
    entry: String,
    entries: Vec<Entry>,
    lines: Lines,
}

impl Fields {
    /// Opens a table; no key but those of `known` may be in it.
    fn new(item: Item, entry: String, known: &[&str]) -> Result<Self, MapFileError> {
        let Value::Table(entries) = item.value else {
            let place = Place { line: item.line, entry, key: None };
            return Err(MapFileError::new(place, format!("is {}, not a table", item.value.kind())));
        };
        let keys = entries.iter().filter_map(|entry| Some((entry.key.clone(), entry.item.line?))).collect();
        let lines = Lines { entry: item.line, keys };
        let fields = Self { entry, entries, lines };
        match fields.entries.iter().find(|entry| !known.contains(&entry.key.as_str())) {
            Some(entry) => {
                Err(fields.wrong(&entry.key, format!("unknown; the keys here are {}", known.join(", "))))
            }
            None => Ok(fields),
        }
    }

    fn wrong(&self, key: &str, what: impl Into<String>) -> MapFileError {
        MapFileError::new(self.lines.place(&self.entry, key), what)
    }

    fn missing(&self, key: &str) -> MapFileError {
        self.wrong(key, "is missing")
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.swap_remove(at).item.value)
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, MapFileError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Text(text)) if text.is_empty() => Err(self.wrong(key, "is empty")),
            Some(Value::Text(text)) if text.chars().any(char::is_control) => {
                Err(self.wrong(key, format!("{text:?} holds a control character")))
            }
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, format!("is {}, not a string", other.kind()))),
        }
    }

    fn needed_text(&mut self, key: &str) -> Result<String, MapFileError> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    /// One of the words.
    fn word(&mut self, key: &str, words: &[&'static str]) -> Result<Option<&'static str>, MapFileError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match words.iter().find(|word| **word == text) {
            Some(word) => Ok(Some(word)),
            None => Err(self.wrong(key, format!("is {text:?}; write one of {}", words.join(", ")))),
        }
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>, MapFileError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Flag(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong(key, format!("is {}, not true or false", other.kind()))),
        }
    }

    fn number(&mut self, key: &str) -> Result<Option<i128>, MapFileError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(Value::Text(text)) => match number(&text) {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(key, format!("{text:?} is no number; write 4096, 0x1000 or 4K"))),
            },
            Some(other) => Err(self.wrong(key, format!("is {}, not a number", other.kind()))),
        }
    }

    fn address(&mut self, key: &str) -> Result<Option<u64>, MapFileError> {
        let Some(number) = self.number(key)? else { return Ok(None) };
        match u64::try_from(number) {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err(self.wrong(key, format!("{number} is not between 0 and 2^64 - 1"))),
        }
    }

    /// A number of bytes, from 1 to 2^64.
    fn bytes(&mut self, key: &str) -> Result<Option<u128>, MapFileError> {
        let Some(number) = self.number(key)? else { return Ok(None) };
        match u128::try_from(number) {
            Ok(0) => Err(self.wrong(key, "is 0; a region holds at least one byte")),
            Ok(size) if size <= WHOLE => Ok(Some(size)),
            Ok(_) | Err(_) => Err(self.wrong(key, format!("{number} is not between 1 and 2^64"))),
        }
    }

    fn list(&mut self, key: &str) -> Result<Vec<Item>, MapFileError> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::List(items)) => Ok(items),
            Some(other) => Err(self.wrong(key, format!("is {}; write `[[{key}]]`", other.kind()))),
        }
    }

    /// Nothing may be left: what is does not apply.
    fn finish(self, kind: &str, attached: bool) -> Result<Lines, MapFileError> {
        match self.entries.first() {
            None => Ok(self.lines),
            Some(entry) if !attached && ["at", "priority"].contains(&entry.key.as_str()) => {
                Err(self.wrong(&entry.key, "needs a `parent`"))
            }
            Some(entry) => Err(self.wrong(&entry.key, format!("does not apply to kind {kind}"))),
        }
    }
}

/// A number in decimal, or in hexadecimal after `0x`, with `_` between digits and one of the suffixes K, M, G and T;
/// `all` is 2^64.
#[must_use]
pub fn number(text: &str) -> Option<i128> {
    if text == "all" {
        return i128::try_from(WHOLE).ok();
    }
    let plain = text.replace('_', "");
    let (digits, shift) = match plain.as_bytes().last()? {
        b'K' | b'k' => (&plain[..plain.len() - 1], 10),
        b'M' | b'm' => (&plain[..plain.len() - 1], 20),
        b'G' | b'g' => (&plain[..plain.len() - 1], 30),
        b'T' | b't' => (&plain[..plain.len() - 1], 40),
        _ => (plain.as_str(), 0),
    };
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if hex.starts_with(['+', '-']) => return None,
        Some(hex) => i128::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    number.checked_mul(1 << shift)
}
