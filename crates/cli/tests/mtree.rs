//! `marq mtree`: what it prints, and one message and status 2 for what is wrong.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Status, standard output, standard error.
type Ending = (Option<i32>, String, String);

fn mtree(args: &[&str]) -> Ending {
    let output =
        Command::new(env!("CARGO_BIN_EXE_marq")).arg("mtree").args(args).output().expect("marq starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What is printed where nothing is wrong.
fn printed(args: &[&str]) -> String {
    let (status, stdout, stderr) = mtree(args);
    assert_eq!((status, stderr.as_str()), (Some(0), ""), "{args:?}");
    stdout
}

/// A shipped map file.
fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../machine/maps/{name}.toml"));
    path.to_str().expect("the path is text").to_owned()
}

/// A file of this name for one test alone.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("the tests' own directory can be written");
    path
}

/// One space that shows a container of 2^64 bytes, and further lines; the first of them is line 8.
fn map_with(name: &str, lines: &str) -> PathBuf {
    let head = "[[space]]\nname = \"memory\"\nroot = \"system\"\n[[region]]\nname = \"system\"\nkind = \"container\"\n\
                size = \"all\"\n";
    file(name, &format!("{head}{lines}"))
}

#[test]
fn wrong_maps_are_refused_in_one_line() {
    let cases = [
        (
            "cycle",
            "[[region]]\nname = \"a\"\nkind = \"alias\"\nsize = 16\ntarget = \"b\"\n\
             [[region]]\nname = \"b\"\nkind = \"alias\"\nsize = 16\ntarget = \"a\"\n",
            "line 17, region `b`, key `target`: cycle in the region graph: a > b > a",
        ),
        (
            "overlap",
            "[[region]]\nname = \"a\"\nkind = \"ram\"\nsize = 0x1000\nparent = \"system\"\n\
             [[region]]\nname = \"b\"\nkind = \"mmio\"\nsize = 16\nparent = \"system\"\nat = 0xff8\n",
            "line 18, region `b`, key `at`: overlaps `a` at ff8-fff of the parent; give one of them a `priority`",
        ),
        (
            "zero",
            "[[region]]\nname = \"a\"\nkind = \"ram\"\nsize = 0\n",
            "line 11, region `a`, key `size`: is 0; a region holds at least one byte",
        ),
        (
            "overflow",
            "[[region]]\nname = \"a\"\nkind = \"alias\"\nsize = \"4K\"\ntarget = \"system\"\noffset = 0xffff_ffff_ffff_f001\n",
            "line 13, region `a`, key `offset`: offset 0xfffffffffffff001 with size 0x1000 reaches past 2^64",
        ),
        (
            "unknown",
            "[[region]]\nname = \"a\"\nkind = \"ram\"\nsize = \"4K\"\nbase = 0\n",
            "line 12, region `a`, key `base`: unknown; the keys here are id, name, kind, size, max, parent, at, priority, \
             target, offset, mode, owner, enabled, readonly, nonvolatile, unmergeable, transparent",
        ),
        (
            "resize",
            "[[region]]\nname = \"a\"\nkind = \"ram\"\nmax = \"4K\"\nsize = \"8K\"\n",
            "line 12, region `a`, key `size`: 0x2000 is larger than `max`, 0x1000",
        ),
        ("syntax", "[[region\n", "line 8: unclosed array table, expected `]]`"),
    ];
    for (name, lines, message) in cases {
        let path = map_with(&format!("{name}.toml"), lines);
        let path = path.to_str().expect("the path is text");
        for args in [
            &[path][..],
            &[path, "--flat"],
            &[path, "--format", "svg"],
            &["--diff", path],
            &[path, "--explain", "0"],
        ] {
            let wanted = (Some(2), String::new(), format!("marq: {path}: {message}\n"));
            assert_eq!(mtree(args), wanted, "{args:?}");
        }
    }
}

#[test]
fn wrong_arguments_are_refused_in_one_line() {
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("binary.toml");
    fs::write(&binary, [0xff, 0xfe]).expect("the tests' own directory can be written");
    let binary = binary.to_str().expect("the path is text");
    let cases = [
        (&["--board", "pc"][..], "there is no board \"pc\"; the only one is \"bare\"".to_owned()),
        (&["/nowhere.toml"], "/nowhere.toml: No such file or directory (os error 2)".to_owned()),
        (&["--diff", "nothing"], "there is no map file \"nothing\", and no board of that name".to_owned()),
        (&[binary], format!("{binary}: stream did not contain valid UTF-8")),
        (
            &["--flat", "--space", "x"],
            "there is no space \"x\"; there are \"memory\", \"I/O\", \"iommu-bus\"".to_owned(),
        ),
        (&["--space", "memory"], "--space is for --flat, --explain, --diff and --format svg".to_owned()),
        (
            &["--explain", "0", "--format", "svg"],
            "--explain prints text or JSON; write --format text or --format json".to_owned(),
        ),
    ];
    for (args, message) in cases {
        assert_eq!(mtree(args), (Some(2), String::new(), format!("marq: {message}\n")), "{args:?}");
    }
    let (status, stdout, stderr) = mtree(&["--explain", "12Q"]);
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("\"12Q\" is no address; write 1048576, 0x100000 or 1M"), "{stderr}");
}

#[test]
fn an_address_is_explained() {
    let text = printed(&[&shipped("document-pc"), "--explain", "0xa8010"]);
    let wanted = "address 00000000000a8010 of space \"memory\"
  system (prio 0, i/o): holds the address
    vga-window (prio 1, i/o): alias, shows pci @00000000000a8010
      pci (prio 0, i/o): holds the address
        vga-mmio (prio 0, i/o): skipped, lies at e2000000 to e200ffff
        vram (prio 0, ram): skipped, lies at e1000000 to e1ffffff
        vga-area (prio 0, i/o): holds the address
          vga-bank-1 (prio 0, ram): alias, shows vram @0000000000020010
            vram (prio 0, ram): answers reads and writes at offset 0000000000020010
          vga-bank-0 (prio 0, ram): skipped, lies at a0000 to a7fff
    pci-hole (prio 0, i/o): skipped, lies at e0000000 to ffffffff
    himem (prio 0, ram): skipped, lies at 100000000 to 11fffffff
    lomem (prio 0, ram): skipped, hidden by vga-window: priority 1 comes before 0
reads: vram @0000000000020010, memory
writes: vram @0000000000020010, memory
flat range: 00000000000a8000-00000000000affff ram
";
    assert_eq!(text, wanted);
    let json = printed(&["--explain", "0xb8000", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!((&json["address"], &json["range"]), (&"0xb8000".into(), &serde_json::Value::Null));
    assert_eq!(json["steps"][0]["verdict"], "hole");
}

#[test]
fn two_maps_are_compared() {
    let text = printed(&[&shipped("document-pure"), "--diff", &shipped("document-mmio")]);
    let wanted = "space \"memory\": 2 ranges change
  0000000000003000-0000000000003fff
    - i/o: C @0000000000003000
    + i/o: B @0000000000001000
  0000000000005000-0000000000005fff
    - i/o: C @0000000000005000
    + i/o: B @0000000000003000
";
    assert_eq!(text, wanted);
    assert_eq!(
        printed(&[&shipped("kinds"), "--diff", &shipped("kinds"), "--space", "I/O"]),
        "space \"I/O\": no range changes\n"
    );
    let text = printed(&["--board", "bare", "--diff", &shipped("kinds")]);
    assert!(text.ends_with("space \"iommu-bus\": only in board bare\n"), "{text}");
    let json = printed(&[&shipped("document-pure"), "--diff", &shipped("document-mmio"), "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let change = &json["spaces"][0]["changed"][1];
    assert_eq!((&change["first"], &change["last"]), (&"0x5000".into(), &"0x5fff".into()));
    assert_eq!(
        (&change["old"]["read"]["region"], &change["new"]["read"]["region"]),
        (&"C".into(), &"B".into())
    );
}

#[test]
fn item_115_what_is_written_as_json_and_toml_is_read_back() {
    let shown = |args: &[&str]| printed(args) + &printed(&[args, &["--flat"]].concat());
    for (name, args) in
        [("kinds", vec![shipped("kinds")]), ("bare", vec!["--board".to_owned(), "bare".to_owned()])]
    {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        for format in ["json", "toml"] {
            let text = printed(&[&args[..], &["--format", format]].concat());
            let path = file(&format!("again-{name}.{format}"), &text);
            let path = path.to_str().expect("the path is text");
            assert_eq!(shown(&[path]), shown(&args), "{name} as {format}");
            assert_eq!(printed(&[path, "--format", format]), text, "{name} as {format}");
        }
    }
}

#[test]
fn pictures_name_their_map() {
    let svg = printed(&["--format", "svg", "--space", "I/O"]);
    assert!(svg.starts_with("<svg ") && svg.contains(">space \"I/O\" of board bare</text>"), "{svg}");
    let svg = printed(&[&shipped("document-pure"), "--diff", &shipped("document-mmio"), "--format", "svg"]);
    assert!(svg.contains(">space \"memory\" of document-pure.toml, then document-mmio.toml</text>"), "{svg}");
    assert!(printed(&["--format", "dot"]).starts_with("digraph map {\n"));
}

#[test]
fn disabled_regions_are_shown_when_asked() {
    let (shown, all) = (printed(&[&shipped("kinds")]), printed(&[&shipped("kinds"), "--disabled"]));
    assert!(!shown.contains("hidden") && !shown.contains("inside"), "{shown}");
    assert!(all.contains("i/o): hidden [disabled]\n") && all.contains(": inside\n"), "{all}");
}
