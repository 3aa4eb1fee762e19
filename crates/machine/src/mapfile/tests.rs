//! Map files: what they say, and what is said of wrong ones.

use memory::inspect::SpaceInfo;

use super::{BuiltMap, MapFile, REGION_KEYS, SPACE_KEYS, number};

/// The maps that are shipped.
const SHIPPED: [(&str, &str); 5] = [
    ("document-pure", include_str!("../../maps/document-pure.toml")),
    ("document-mmio", include_str!("../../maps/document-mmio.toml")),
    ("document-pc", include_str!("../../maps/document-pc.toml")),
    ("kinds", include_str!("../../maps/kinds.toml")),
    ("qemu-pc", include_str!("../../maps/qemu-pc.toml")),
];

fn built(toml: &str) -> BuiltMap {
    MapFile::from_toml(toml).and_then(|file| file.build()).unwrap()
}

/// Everything that listings show of a map.
fn listed(built: &BuiltMap) -> String {
    let dump = built.map.dump();
    let spaces: Vec<&SpaceInfo> = dump.spaces.iter().collect();
    built.map.tree_text_all() + &dump.flat_text(&spaces)
}

/// The first space's ranges: first and last address, name and offset.
fn shown(built: &BuiltMap) -> Vec<String> {
    let view = built.spaces[0].view();
    let range =
        |range: &memory::FlatRange| format!("{:?} {}+{:x}", range.range, range.name(), range.offset());
    view.ranges().map(range).collect()
}

/// What is said of a file with one space `s` that shows region `r`, which comes first and is a container of 2^64
/// bytes, and these further lines; the first of them is line 3.
fn refused(lines: &str) -> String {
    let text = format!(
        "space = [{{ name = \"s\", root = \"r\" }}]\n[[region]]\nname = \"r\"\nkind = \"container\"\nsize = \"all\"\n\
         [[region]]\n{lines}"
    );
    match MapFile::from_toml(&text).and_then(|file| file.build()) {
        Ok(_) => format!("nothing is said of {lines}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn item_009_the_documents_overlap_as_a_map_file() {
    let ranges = ["0-1fff C+0", "2000-2fff D+0", "3000-3fff C+3000", "4000-4fff E+0", "5000-5fff C+5000"];
    assert_eq!(shown(&built(SHIPPED[0].1)), ranges);
}

#[test]
fn item_010_the_documents_overlap_with_a_device_as_a_map_file() {
    let ranges = ["0-1fff C+0", "2000-2fff D+0", "3000-3fff B+1000", "4000-4fff E+0", "5000-5fff B+3000"];
    assert_eq!(shown(&built(SHIPPED[1].1)), ranges);
}

#[test]
fn item_011_the_documents_pc_as_a_map_file() {
    let ranges = [
        "0-9ffff ram+0",
        "a0000-a7fff vram+10000",
        "a8000-affff vram+20000",
        "b0000-dfffffff ram+b0000",
        "e1000000-e1ffffff vram+0",
        "e2000000-e200ffff vga-mmio+0",
        "100000000-11fffffff ram+e0000000",
    ];
    assert_eq!(shown(&built(SHIPPED[2].1)), ranges);
}

#[test]
fn item_115_a_map_goes_through_json_and_toml_unchanged() {
    for (name, toml) in SHIPPED {
        let built = built(toml);
        let dump = built.map.dump();
        let (json, toml) = (MapFile::of(&dump).to_json(&dump), MapFile::of(&dump).to_toml());
        for (language, file) in [("JSON", MapFile::from_json(&json)), ("TOML", MapFile::from_toml(&toml))] {
            let again = file.and_then(|file| file.build()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(listed(&again), listed(&built), "{name} through {language}");
            let dump = again.map.dump();
            assert_eq!(MapFile::of(&dump).to_json(&dump), json, "{name} through {language}");
            assert_eq!(MapFile::of(&dump).to_toml(), toml, "{name} through {language}");
        }
    }
}

#[test]
fn json_holds_the_flat_views_for_programs() {
    let dump = built(SHIPPED[3].1).map.dump();
    let json: serde_json::Value = serde_json::from_str(&MapFile::of(&dump).to_json(&dump)).unwrap();
    let ranges = json["view"][0]["ranges"].as_array().unwrap();
    assert_eq!(ranges.len(), dump.spaces[0].view.ranges().count());
    let shadow = ranges.iter().find(|range| range["first"] == "0xf0000").unwrap();
    let wanted = serde_json::json!({
        "first": "0xf0000",
        "last": "0xfffff",
        "tag": "rom",
        "priority": 1,
        "read": { "region": "rom", "offset": "0x10000", "answer": "memory" },
        "write": { "region": "ram", "offset": "0xf0000", "answer": "memory" },
    });
    assert_eq!(*shadow, wanted);
}

#[test]
fn names_that_need_escapes_come_back() {
    let toml = "space = [{ name = '\"\\', root = 'ä \"quoted\"' }]\n\
                region = [{ name = 'ä \"quoted\"', kind = 'mmio', size = 1 }]";
    let dump = built(toml).map.dump();
    for file in [
        MapFile::from_toml(&MapFile::of(&dump).to_toml()),
        MapFile::from_json(&MapFile::of(&dump).to_json(&dump)),
    ] {
        let file = file.unwrap();
        assert_eq!((file.spaces[0].name.as_str(), file.regions[0].name.as_str()), ("\"\\", "ä \"quoted\""));
    }
}

#[test]
fn a_region_that_can_grow_keeps_its_limit() {
    let text = "space = [{ name = 's', root = 'r' }]\n\
                region = [{ name = 'r', kind = 'ram', size = 0x1800, max = 0x4000 }]";
    let built = built(text);
    let region = built.region("r").unwrap();
    assert_eq!(shown(&built), ["0-17ff r+0"]);
    assert_eq!(MapFile::of(&built.map.dump()).regions[0].max, Some(0x4000));
    let resize = |size: u64| {
        let mut txn = built.map.txn();
        txn.set_size(region, size).map_err(|error| error.to_string())?;
        txn.commit().map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(resize(0x4000), Ok(()));
    assert_eq!(shown(&built), ["0-3fff r+0"]);
    assert!(resize(0x4001).unwrap_err().contains("0x4001"));
}

#[test]
fn what_a_file_alone_can_get_wrong_is_said_with_line_and_key() {
    let cases = [
        (
            "name = 'x'\nkind = 'ram'\nsize = 0",
            "line 9, region `x`, key `size`: is 0; a region holds at least one byte",
        ),
        (
            "name = 'x'\nkind = 'ram'\nsize = -1",
            "line 9, region `x`, key `size`: -1 is not between 1 and 2^64",
        ),
        (
            "name = 'x'\nkind = 'ram'\nsize = '16X'",
            "line 9, region `x`, key `size`: \"16X\" is no number; write 4096, 0x1000 or 4K",
        ),
        (
            "name = 'x'\nkind = 'ram'\nsize = 0x10000000000000001",
            "line 9, region `x`, key `size`: 18446744073709551617 is not between 1 and 2^64",
        ),
        (
            "name = 'x'\nkind = 'ram'\nsize = 8192\nmax = '4K'",
            "line 9, region `x`, key `size`: 0x2000 is larger than `max`, 0x1000",
        ),
        (
            "name = 'x'\nkind = 'ram'\nsize = '1T'\n[[region]]\nname = 'y'\nkind = 'rom'\nsize = 1",
            "line 13, region `y`, key `size`: with it the file has 0x10000000001 bytes of RAM and ROM, the limit is 0x10000000000",
        ),
        (
            "name = 'x'\nkind = 'mmio'\nsize = 1\nmax = 2",
            "line 10, region `x`, key `max`: does not apply to kind mmio",
        ),
        (
            "name = 'x'\nkind = 'ram'\nsize = 1.5",
            "line 9, region `x`, key `size`: is a number with a fraction, not a number",
        ),
        (
            "name = 'x'\nkind = 'disk'\nsize = 1",
            "line 8, region `x`, key `kind`: is \"disk\"; write one of ram, rom, romd, mmio, iommu, reservation, container, alias",
        ),
        ("name = 'x'\nsize = 1", "line 6, region `x`, key `kind`: is missing"),
        ("name = 'x'\nkind = 'ram'", "line 6, region `x`, key `size`: is missing"),
        ("kind = 'ram'\nsize = 1", "line 6, region, key `name`: is missing"),
        (
            "name = 'x'\nkind = 'ram'\nsize = 1\nsiez = 2",
            "line 10, region `x`, key `siez`: unknown; the keys here are id, name, kind, size, max, parent, at, priority, target, offset, mode, owner, enabled, readonly, nonvolatile, unmergeable, transparent",
        ),
        ("name = 'x'\nkind = 'ram'\nsize = 1\nat = 2", "line 10, region `x`, key `at`: needs a `parent`"),
        (
            "name = 'x'\nkind = 'ram'\nsize = 1\ntarget = 'r'",
            "line 10, region `x`, key `target`: does not apply to kind ram",
        ),
        ("name = 'x'\nkind = 'alias'\nsize = 1", "line 6, region `x`, key `target`: is missing"),
        (
            "name = 'x'\nkind = 'ram'\nsize = 1\nparent = 'r'\npriority = 2147483648",
            "line 11, region `x`, key `priority`: 2147483648 does not fit into 32 bits",
        ),
        (
            "name = 'x'\nkind = 'ram'\nsize = 1\nparent = 'r'\nat = '16E'",
            "line 11, region `x`, key `at`: \"16E\" is no number; write 4096, 0x1000 or 4K",
        ),
        (
            "name = 'x'\nkind = 'ram'\nsize = 1\nenabled = 1",
            "line 10, region `x`, key `enabled`: is a number, not true or false",
        ),
        ("name = ''\nkind = 'ram'\nsize = 1", "line 7, region ``, key `name`: is empty"),
        (
            "name = \"a\\nb\"\nkind = 'ram'\nsize = 1",
            "line 7, region, key `name`: \"a\\nb\" holds a control character",
        ),
        ("name = 'x'\nname = 'y'", "line 8: duplicate key"),
        ("name = 'x", "line 7: invalid literal string, expected `'`"),
        (
            "name = 'x'\nkind = 'ram'\nsize = 1\n[[regions]]",
            "line 10, key `regions`: unknown; the keys here are version, space, region, view",
        ),
    ];
    let wrong: Vec<_> = cases.iter().filter(|(lines, message)| refused(lines) != *message).collect();
    let wrong = wrong.iter().map(|(lines, message)| format!("wanted {message}\ngot    {}", refused(lines)));
    assert_eq!(wrong.collect::<Vec<_>>().join("\n"), "");
}

#[test]
fn what_regions_do_to_each_other_is_said_with_line_and_key() {
    let exclusive = "name = 'x'\nkind = 'ram'\nsize = '4K'\nparent = 'r'\nat = 0x1000\n[[region]]\n\
                     name = 'y'\nkind = 'mmio'\nsize = 0x1000\nparent = 'r'\nat = 0x1fff";
    let cases = [
        (
            exclusive,
            "line 17, region `y`, key `at`: overlaps `x` at 1fff-1fff of the parent; give one of them a `priority`",
        ),
        (
            "name = 'x'\nkind = 'alias'\nsize = 1\ntarget = 'x'",
            "line 10, region `x`, key `target`: cycle in the region graph: x > x",
        ),
        (
            "name = 'x'\nkind = 'alias'\nsize = 1\ntarget = 'y'\n[[region]]\nname = 'y'\nkind = 'alias'\nsize = 1\ntarget = 'x'",
            "line 15, region `y`, key `target`: cycle in the region graph: x > y > x",
        ),
        (
            "name = 'x'\nkind = 'alias'\nsize = 1\nparent = 'r'\ntarget = 'r'",
            "line 10, region `x`, key `parent`: cycle in the region graph: x > r > x",
        ),
        (
            "name = 'x'\nkind = 'container'\nsize = 1\nparent = 'x'",
            "line 10, region `x`, key `parent`: cycle in the region graph: x > x",
        ),
        (
            "name = 'x'\nkind = 'alias'\nsize = 0x10\noffset = 0xfffffffffffffff1\ntarget = 'r'",
            "line 10, region `x`, key `offset`: offset 0xfffffffffffffff1 with size 0x10 reaches past 2^64",
        ),
        (
            "name = 'x'\nkind = 'alias'\nsize = 1\ntarget = 'z'",
            "line 10, region `x`, key `target`: there is no region `z`",
        ),
        (
            "name = 'x'\nkind = 'ram'\nsize = 1\nparent = 'z'",
            "line 10, region `x`, key `parent`: there is no region `z`",
        ),
        (
            "name = 'x'\nkind = 'alias'\nsize = 1\ntarget = 'r'\n[[region]]\nname = 'y'\nkind = 'mmio'\nsize = 1\nparent = 'x'",
            "line 15, region `y`, key `parent`: `x` is an alias, which has no children",
        ),
        (
            "name = 'x'\nkind = 'mmio'\nsize = 1\n[[region]]\nname = 'x'\nkind = 'mmio'\nsize = 1",
            "line 11, region `x`, key `name`: the region of line 6 has this id too; give one of them another `id`",
        ),
        (
            "name = 'x'\nkind = 'ram'\nsize = 1\n[[region]]\nid = 'y'\nname = 'x'\nkind = 'ram'\nsize = 1",
            "line 12, region `y`, key `name`: another RAM block has the id `x`; give one of them an `owner`",
        ),
    ];
    let wrong: Vec<_> = cases.iter().filter(|(lines, message)| refused(lines) != *message).collect();
    let wrong = wrong.iter().map(|(lines, message)| format!("wanted {message}\ngot    {}", refused(lines)));
    assert_eq!(wrong.collect::<Vec<_>>().join("\n"), "");
}

#[test]
fn what_a_file_as_a_whole_can_get_wrong() {
    let said = |text: &str| MapFile::from_toml(text).and_then(|file| file.build()).err().unwrap().to_string();
    assert_eq!(said(""), "file: no space: a map has at least one `[[space]]`");
    assert_eq!(said("version = 2"), "line 1, key `version`: is 2; this program reads version 1");
    assert_eq!(said("\nspace = 1"), "line 2, key `space`: is a number; write `[[space]]`");
    assert_eq!(said("space = [1]"), "line 1, space: is a number, not a table");
    let twice = "[[space]]\nname = 's'\nroot = 'r'\n[[space]]\nname = 's'\nroot = 'r'";
    assert_eq!(said(twice), "line 5, space `s`, key `name`: another space has this name");
    let rootless = "[[space]]\nname = 's'\nroot = 'r'";
    assert_eq!(said(rootless), "line 3, space `s`, key `root`: there is no region `r`");
    let json = MapFile::from_json("{ \"space\": [\n").err().unwrap();
    assert_eq!(json.to_string(), "line 2: EOF while parsing a list");
    let json = MapFile::from_json("{ \"space\": [{ \"name\": \"s\", \"rot\": 1 }] }").err().unwrap();
    assert_eq!(
        json.to_string(),
        "space `s`, key `rot`: unknown; the keys here are name, root, kind, unassigned, cutting, bounce"
    );
    assert_eq!((json.line(), json.key()), (None, Some("rot")));
    let deep = format!("space = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(MapFile::from_toml(&deep).is_err() && MapFile::from_json(&deep.replace("space = ", "")).is_err());
}

#[test]
fn numbers() {
    for (text, value) in [
        ("0", 0),
        ("4096", 4096),
        ("0x1_0000", 0x1_0000),
        ("4K", 4096),
        ("0x10k", 0x4000),
        ("3T", 3 << 40),
        ("-1", -1),
        ("all", 1 << 64),
    ] {
        assert_eq!(number(text), Some(value), "{text}");
    }
    for text in ["", "K", "0x", "0x-1", "1.5", "1 K", "4KK", "99999999999999999999999999999999999999999"] {
        assert_eq!(number(text), None, "{text}");
    }
}

#[test]
fn the_document_names_every_key_and_word() {
    let document = include_str!("../../../../docs/MAPS.md");
    let words = "ram rom romd mmio iommu reservation container alias memory port ones zeros pieces qemu72 read io reads writes all";
    let keys = SPACE_KEYS.iter().chain(&REGION_KEYS).copied();
    for word in keys.chain(words.split(' ')) {
        assert!(document.contains(&format!("`{word}`")), "docs/MAPS.md does not say what `{word}` is");
    }
}
