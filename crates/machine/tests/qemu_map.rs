//! The map file of QEMU's `pc` against QEMU itself: what `info mtree -f` lists, line for line, as the machine starts and
//! after what firmware does to the memory map.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Stdio;

use marquetry_machine::mapfile::{BuiltMap, MapFile};
use memory::{MapTxn, Placement, RegionId};
use serde_json::{Value, json};

mod tools;

/// The lines of each space's flat view, by the space's name.
type Views = BTreeMap<String, BTreeSet<String>>;

/// Something that the guest does to the map.
struct Step {
    what: &'static str,
    /// What it writes to PCI configuration registers: bus, device and function as in CF8, register, bytes, value.
    writes: &'static [(u32, u32, u32, u32)],
    edit: fn(&mut Edit),
}

const HOST_BRIDGE: u32 = 0x8000_0000;
const POWER: u32 = 0x8000_0b00;
const DISPLAY: u32 = 0x8000_1000;

const STEPS: [Step; 7] = [
    Step { what: "as the machine starts", writes: &[], edit: |_| {} },
    Step {
        what: "PAM: f0000 RAM, c0000 writes only, d8000 RAM, dc000 reads only",
        writes: &[(HOST_BRIDGE, 0x59, 1, 0x30), (HOST_BRIDGE, 0x5a, 1, 0x02), (HOST_BRIDGE, 0x5d, 1, 0x13)],
        edit: |edit| {
            edit.pam("f0000", "pam-ram");
            edit.pam("c0000", "pam-write");
            edit.pam("d8000", "pam-ram");
            edit.pam("dc000", "pam-rom");
        },
    },
    Step {
        what: "the display's BARs mapped, bus mastering on",
        writes: &[
            (DISPLAY, 0x10, 4, 0xe000_0000),
            (DISPLAY, 0x18, 4, 0xfebf_0000),
            (DISPLAY, 0x30, 4, 0xfebe_0001),
            (DISPLAY, 0x04, 2, 0x7),
        ],
        edit: |edit| {
            edit.bar("vga.vram", Some(0xe000_0000));
            edit.bar("vga.mmio", Some(0xfebf_0000));
            edit.bar("vga.rom", Some(0xfebe_0000));
            edit.enable("bus master.VGA", true);
        },
    },
    Step {
        what: "a BAR moved, PAM back to ROM but for one window, which is read-only now",
        writes: &[
            (DISPLAY, 0x10, 4, 0xd000_0000),
            (HOST_BRIDGE, 0x59, 1, 0x10),
            (HOST_BRIDGE, 0x5a, 1, 0),
            (HOST_BRIDGE, 0x5d, 1, 0),
        ],
        edit: |edit| {
            edit.bar("vga.vram", Some(0xd000_0000));
            edit.pam("f0000", "pam-rom");
            for window in ["c0000", "d8000", "dc000"] {
                edit.pam(window, "pam-pci");
            }
        },
    },
    Step {
        what: "a BAR behind RAM, another across its end, SMRAM open",
        writes: &[
            (DISPLAY, 0x10, 4, 0x300_0000),
            (DISPLAY, 0x18, 4, 0x3ff_f000),
            (DISPLAY, 0x30, 4, 0x400_0001),
            (HOST_BRIDGE, 0x72, 1, 0x4a),
        ],
        edit: |edit| {
            edit.bar("vga.vram", Some(0x300_0000));
            edit.bar("vga.mmio", Some(0x3ff_f000));
            edit.bar("vga.rom", Some(0x400_0000));
            edit.enable("smram-region", false);
            edit.enable("smram", true);
        },
    },
    Step {
        what: "SMRAM closed, the display's memory off",
        writes: &[(HOST_BRIDGE, 0x72, 1, 0x0a), (DISPLAY, 0x04, 2, 0x4)],
        edit: |edit| {
            edit.enable("smram-region", true);
            for bar in ["vga.vram", "vga.mmio", "vga.rom"] {
                edit.bar(bar, None);
            }
        },
    },
    Step {
        what: "power management registers at port b000",
        writes: &[(POWER, 0x40, 4, 0xb001), (POWER, 0x80, 1, 1)],
        edit: |edit| {
            let power = edit.region("piix4-pm");
            edit.txn.move_to(power, 0xb000).unwrap();
            edit.enable("piix4-pm", true);
        },
    },
];

/// A transaction on the map of the file.
struct Edit<'m> {
    built: &'m BuiltMap,
    txn: MapTxn,
}

impl Edit<'_> {
    fn region(&self, id: &str) -> RegionId {
        self.built.region(id).unwrap_or_else(|| panic!("the file has no region {id}"))
    }

    fn enable(&mut self, id: &str, enabled: bool) {
        self.txn.set_enabled(self.region(id), enabled).unwrap();
    }

    /// Shows a PAM window in one of its four ways.
    fn pam(&mut self, window: &str, wanted: &str) {
        for way in ["pam-ram", "pam-write", "pam-rom", "pam-pci"] {
            self.enable(&format!("{way}.{window}"), way == wanted);
        }
    }

    /// Attaches a BAR at an address, or nowhere.
    fn bar(&mut self, id: &str, at: Option<u64>) {
        let (pci, bar) = (self.region("pci"), self.region(id));
        // It is not attached when it is mapped for the first time.
        let _detached = self.txn.detach(bar);
        if let Some(at) = at {
            self.txn.attach(pci, at, bar, Placement::Overlap { priority: 1 }).unwrap();
        }
    }
}

/// The lines under each `AS` of a listing.
fn views(listing: &str) -> Views {
    let mut views = Views::new();
    for list in listing.split("FlatView #").skip(1) {
        let ranges = list.lines().filter(|line| line.starts_with("  ")).map(|line| line.trim().to_owned());
        let ranges: BTreeSet<_> = ranges.collect();
        for line in list.lines().filter_map(|line| line.strip_prefix(" AS \"")) {
            let name = line.split('"').next().unwrap();
            views.insert(name.to_owned(), ranges.clone());
        }
    }
    views
}

/// What QEMU says to monitor commands, one answer each.
fn ask(mut qemu: std::process::Command, commands: &[String]) -> Vec<String> {
    qemu.args(["-M", "pc", "-m", "64", "-nodefaults", "-device", "VGA,addr=2", "-S", "-display", "none"]);
    let mut qemu = qemu.args(["-qmp", "stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = qemu.stdin.take().unwrap();
    writeln!(input, "{}", json!({ "execute": "qmp_capabilities" })).unwrap();
    for command in commands {
        let arguments = json!({ "command-line": command });
        writeln!(input, "{}", json!({ "execute": "human-monitor-command", "arguments": arguments })).unwrap();
    }
    writeln!(input, "{}", json!({ "execute": "quit" })).unwrap();
    let output = qemu.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let answers = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    answers.filter_map(|answer| Some(answer["return"].as_str()?.to_owned())).collect()
}

#[test]
fn item_114_flat_text_of_qemus_pc_is_what_qemu_lists() {
    let Some(qemu) = tools::find("qemu-system-i386", "--version") else { return };
    let mut commands = Vec::new();
    for step in &STEPS {
        for (function, register, bytes, value) in step.writes {
            commands.push(format!("o/w 0xcf8 {:#x}", function | (register & !3)));
            let unit = if *bytes == 4 {
                'w'
            } else if *bytes == 2 {
                'h'
            } else {
                'b'
            };
            commands.push(format!("o/{unit} {:#x} {value:#x}", 0xcfc + (register & 3)));
        }
        commands.push("info mtree -f".to_owned());
    }
    let answers = ask(qemu, &commands);
    let mut listings = answers.iter().filter(|answer| !answer.is_empty());
    let built = MapFile::from_toml(include_str!("../maps/qemu-pc.toml")).unwrap().build().unwrap();
    for step in &STEPS {
        let mut edit = Edit { built: &built, txn: built.map.txn() };
        (step.edit)(&mut edit);
        edit.txn.commit().unwrap();
        let dump = built.map.dump();
        let ours = views(&dump.flat_text(&dump.spaces.iter().collect::<Vec<_>>()));
        let theirs = views(listings.next().expect("QEMU answers every command"));
        assert!(theirs["memory"].len() > 7 && theirs["I/O"].len() > 50, "{}: {theirs:?}", step.what);
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (space, lines) in &theirs {
            let only = |here: &BTreeSet<String>, there: &BTreeSet<String>| {
                here.difference(there).cloned().collect::<Vec<_>>().join("\n  ")
            };
            let (missing, more) = (only(lines, &ours[space]), only(&ours[space], lines));
            assert!(
                missing.is_empty() && more.is_empty(),
                "{}, space {space}\nQEMU alone:\n  {missing}\nours alone:\n  {more}",
                step.what
            );
        }
    }
}
