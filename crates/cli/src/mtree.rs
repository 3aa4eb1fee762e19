//! `marq mtree`: the memory map of a board or of a map file: its tree and flat views in the form of QEMU's
//! `info mtree`, as data or as a picture; why an address leads where it leads; what another map shows otherwise.

use std::path::Path;

use machine::mapfile::{self, BuiltMap, MapFile};
use machine::{BOARDS, BareBoard, BoardConfig};
use memory::MemoryMap;
use memory::inspect::{MapDump, RangeInfo, Side, SpaceInfo, ViewChange, compare, svg_of_change};

use crate::args::{MapFormat, MtreeArgs};
use crate::out;
use crate::outcome::Outcome;

/// Most bytes of a map file.
const MAX_BYTES: u64 = 16 << 20;

/// Prints what was asked for.
///
/// # Errors
/// A sentence for people: no such board, file or space; a map file that is wrong, or forms that do not go together.
pub fn run(args: &MtreeArgs) -> Result<Outcome, String> {
    check(args)?;
    let source = match &args.map {
        Some(path) => Source::file(path)?,
        None => Source::board(&args.board)?,
    };
    let text = match (&args.diff, args.explain) {
        (Some(other), _) => diff(args, &source, &Source::named(other)?)?,
        (None, Some(addr)) => explain(args, &source, addr)?,
        (None, None) => show(args, &source)?,
    };
    out::print(&text);
    Ok(Outcome::OK)
}

/// Where a map comes from.
struct Source {
    /// What people call it.
    name: String,
    kept: Kept,
}

/// What keeps a map alive.
enum Kept {
    Board(BareBoard),
    File(BuiltMap),
}

impl Source {
    /// A file if there is one of this name, else a board.
    fn named(name: &str) -> Result<Self, String> {
        let path = Path::new(name);
        match (path.exists(), BOARDS.contains(&name)) {
            (true, _) => Self::file(path),
            (false, true) => Self::board(name),
            (false, false) => Err(format!("there is no map file {name:?}, and no board of that name")),
        }
    }

    fn board(name: &str) -> Result<Self, String> {
        if !BOARDS.contains(&name) {
            return Err(format!("there is no board {name:?}; the only one is \"bare\""));
        }
        let board = BareBoard::new(BoardConfig::default()).map_err(|error| error.to_string())?;
        Ok(Self { name: format!("board {name}"), kept: Kept::Board(board) })
    }

    fn file(path: &Path) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let bytes = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
        if bytes > MAX_BYTES {
            return Err(failed(&format!("{bytes} bytes; a map file has at most {MAX_BYTES}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        let json = path.extension().is_some_and(|extension| extension == "json");
        let file = if json { MapFile::from_json(&text) } else { MapFile::from_toml(&text) };
        let built = file.and_then(|file| file.build());
        let kept = Kept::File(built.map_err(|error| failed(&error))?);
        Ok(Self { name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(), kept })
    }

    fn map(&self) -> &MemoryMap {
        match &self.kept {
            Kept::Board(board) => board.map(),
            Kept::File(built) => &built.map,
        }
    }
}

/// The spaces that the arguments ask for, at least one.
fn spaces<'d>(args: &MtreeArgs, dump: &'d MapDump) -> Result<Vec<&'d SpaceInfo>, String> {
    let wanted: Vec<_> = match &args.space {
        Some(name) => dump.spaces.iter().filter(|space| space.name == *name).collect(),
        None => dump.spaces.iter().collect(),
    };
    if wanted.is_empty() {
        let names: Vec<_> = dump.spaces.iter().map(|space| format!("{:?}", space.name)).collect();
        let name = args.space.as_deref().unwrap_or_default();
        return Err(format!("there is no space {name:?}; there are {}", names.join(", ")));
    }
    Ok(wanted)
}

/// Refuses what does not go together and the parser of arguments lets through.
fn check(args: &MtreeArgs) -> Result<(), String> {
    let is_text = args.format == MapFormat::Text;
    let is_picture = args.format == MapFormat::Svg;
    let is_plain = args.explain.is_none() && args.diff.is_none();
    if args.flat && !is_text {
        return Err("--flat is for text; JSON has the flat views with the tree, and a picture too".into());
    }
    if args.disabled && (!is_text || args.flat || !is_plain) {
        return Err("--disabled is for the tree as text".into());
    }
    if args.space.is_some() && is_plain && !args.flat && !is_picture {
        return Err("--space is for --flat, --explain, --diff and --format svg".into());
    }
    Ok(())
}

fn show(args: &MtreeArgs, source: &Source) -> Result<String, String> {
    let dump = source.map().dump();
    let spaces = spaces(args, &dump)?;
    Ok(match args.format {
        MapFormat::Text if args.flat => dump.flat_text(&spaces),
        MapFormat::Text if args.disabled => source.map().tree_text_all(),
        MapFormat::Text => source.map().tree_text(),
        MapFormat::Json => MapFile::of(&dump).to_json(&dump),
        MapFormat::Toml => MapFile::of(&dump).to_toml(),
        MapFormat::Dot => dump.dot(),
        MapFormat::Svg => dump.svg(spaces[0], &title(spaces[0], source)),
    })
}

fn explain(args: &MtreeArgs, source: &Source, addr: u64) -> Result<String, String> {
    let dump = source.map().dump();
    let explanation = dump.explain(spaces(args, &dump)?[0], addr);
    match args.format {
        MapFormat::Text => Ok(explanation.text()),
        MapFormat::Json => Ok(mapfile::explanation_json(&explanation)),
        MapFormat::Toml | MapFormat::Dot | MapFormat::Svg => {
            Err("--explain prints text or JSON; write --format text or --format json".into())
        }
    }
}

/// What the other map shows otherwise in the spaces that both have, and which spaces only one has.
fn diff(args: &MtreeArgs, source: &Source, other: &Source) -> Result<String, String> {
    let (old, new) = (source.map().dump(), other.map().dump());
    let here = spaces(args, &old)?;
    let both = here.iter().filter_map(|space| Some((*space, new.space(&space.name)?)));
    let both: Vec<(&SpaceInfo, &SpaceInfo)> = both.collect();
    let Some((space, there)) = both.first() else {
        return Err(format!("{} has no space of {}", other.name, source.name));
    };
    let changes = both.iter().map(|(old, new)| (old.name.as_str(), compare(&old.view, &new.view)));
    let changes: Vec<_> = changes.collect();
    match args.format {
        MapFormat::Text => {
            let text: String = changes.iter().map(|(space, changes)| changes_text(space, changes)).collect();
            Ok(text + &only_text(args, source, &old, &new) + &only_text(args, other, &new, &old))
        }
        MapFormat::Json => Ok(mapfile::changes_json(&changes)),
        MapFormat::Svg => {
            let title = format!("{}, then {}", title(space, source), other.name);
            Ok(svg_of_change((&old, space), (&new, there), &[], &title))
        }
        MapFormat::Toml | MapFormat::Dot => {
            Err("--diff prints text, JSON or a picture; write --format text, json or svg".into())
        }
    }
}

/// The spaces that one of two maps has and the other has not, unless one space was asked for.
fn only_text(args: &MtreeArgs, source: &Source, here: &MapDump, there: &MapDump) -> String {
    let only = |space: &&SpaceInfo| args.space.is_none() && there.space(&space.name).is_none();
    let line = |space: &SpaceInfo| format!("space \"{}\": only in {}\n", space.name, source.name);
    here.spaces.iter().filter(only).map(line).collect()
}

fn title(space: &SpaceInfo, source: &Source) -> String {
    format!("space \"{}\" of {}", space.name, source.name)
}

/// The changes of a space, each with what was there and what is.
fn changes_text(space: &str, changes: &[ViewChange]) -> String {
    let mut text = format!("space \"{space}\": ");
    match changes.len() {
        0 => text.push_str("no range changes\n"),
        1 => text.push_str("1 range changes\n"),
        number => text.push_str(&format!("{number} ranges change\n")),
    }
    for change in changes {
        text.push_str(&format!("  {}\n", change.range));
        for (sign, info) in [('-', &change.old), ('+', &change.new)] {
            text.push_str(&format!(
                "    {sign} {}\n",
                info.as_ref().map_or("nothing".to_owned(), range_text)
            ));
        }
    }
    text
}

/// A range as its line in a flat view, without addresses.
fn range_text(info: &RangeInfo) -> String {
    let side = |side: &Side| format!("{} @{:016x}", side.name, side.offset);
    let shown = info.shown().map_or("nothing".to_owned(), side);
    let other = match (&info.read, &info.write) {
        _ if info.is_whole() => String::new(),
        (Some(_), Some(write)) => format!(" [writes: {}]", side(write)),
        (Some(_), None) => " [writes: none]".to_owned(),
        (None, _) => " [reads: none]".to_owned(),
    };
    format!("{}: {shown}{other}", info.tag)
}
