//! Items 115 to 117 as far as they are the graph's: DOT, explanations, disabled regions; and the difference of maps.

use memory::inspect::{MapDump, Verdict, compare};
use memory::{AddressSpace, FlatRange, RegionSpec, Transparency};
use proptest::prelude::*;

use crate::common::*;

/// The regions that the search met at an address, with what came of each.
fn verdicts(dump: &MapDump, addr: u64) -> Vec<(String, Verdict)> {
    let explanation = dump.explain(&dump.spaces[0], addr);
    explanation.steps.into_iter().map(|step| (step.name, step.verdict)).collect()
}

#[test]
fn item_115_the_graph_in_dot_names_every_region_and_edge() {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("pc \"ram\"", 0x1000));
    world.put(world.root, 0x2000, 3, RegionSpec::alias("low", ram, 0x10, 0x100));
    let dot = world.map.dump().dot();
    assert!(dot.starts_with("digraph map {\n") && dot.ends_with("}\n"), "{dot}");
    for line in [
        "space0 -> r0_0;",
        "r0_0 -> r2_0 [label=\"2000 prio 3\"];",
        "r2_0 -> r1_0 [style=dashed, label=\"@10\"];",
        "[label=\"pc \\\"ram\\\"\\nram 0x1000 bytes\"",
    ] {
        assert!(dot.contains(line), "{line} is missing in\n{dot}");
    }
}

#[test]
fn item_116_explain_names_each_skipped_sibling_and_the_reason() {
    let world = World::new(ZEROS);
    let ram = world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x1_0000));
    world.put(world.root, 0x5000, 0, mmio("elsewhere", 0x1000));
    world.put(world.root, 0x1000, 0, mmio("earlier", 0x1000));
    let window = world.put(world.root, 0x1000, 7, RegionSpec::container("window", 0x1000));
    world.put(window, 0x800, 0, mmio("far", 0x10));
    let off = world.put(world.root, 0x1000, 6, mmio("off", 0x1000));
    world.edit(|txn| txn.set_enabled(off, false));
    world.put(world.root, 0x1000, 0, RegionSpec::alias("low", ram, 0x3000, 0x1000));
    let text = world.map.dump().explain(&world.map.dump().spaces[0], 0x1010).text();
    let wanted = "address 0000000000001010 of space \"space\"
  root (prio 0, i/o): holds the address
    window (prio 7, i/o): holds the address, but nothing in it answers; on to what lies below
      far (prio 0, i/o): skipped, lies at 1800 to 180f
    off (prio 6, i/o): skipped, disabled
    low (prio 0, ram): alias, shows ram @0000000000003010
      ram (prio 0, ram): answers reads and writes at offset 0000000000003010
    earlier (prio 0, i/o): skipped, hidden by low: equal priority, attached later
    elsewhere (prio 0, i/o): skipped, lies at 5000 to 5fff
    ram (prio 0, ram): skipped, hidden by low: equal priority, attached later
reads: ram @0000000000003010, memory
writes: ram @0000000000003010, memory
flat range: 0000000000001000-00000000000017ff ram
";
    assert_eq!(text, wanted);
}

#[test]
fn item_116_explain_tells_reads_from_writes() {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("ram", 0x1000));
    world.put(world.root, 0, 0, RegionSpec::rom("rom", 0x1000));
    let pam = world.put(world.root, 0, 1, RegionSpec::alias("pam", ram, 0, 0x1000));
    world.edit(|txn| txn.set_transparent(pam, Transparency::Reads));
    let answers = |offset, reads, writes| Verdict::Answers { offset, reads, writes };
    let wanted = [
        ("root".to_owned(), Verdict::Entered),
        ("pam".to_owned(), Verdict::Follows { target: "ram".to_owned(), offset: 4 }),
        ("ram".to_owned(), answers(4, false, true)),
        ("rom".to_owned(), answers(4, true, false)),
    ];
    assert_eq!(verdicts(&world.map.dump(), 4), wanted);
    let hole = world.map.dump().explain(&world.map.dump().spaces[0], 0x1000).text();
    assert!(hole.ends_with("nobody answers: reads and writes are unassigned\n"), "{hole}");
}

#[test]
fn item_117_disabled_regions_hide_what_is_below_them_unless_asked() {
    let world = World::new(ZEROS);
    let off = world.put(world.root, 0x10, 0, RegionSpec::container("off", 0x10));
    world.put(off, 4, 0, mmio("inside", 4));
    world.edit(|txn| txn.set_enabled(off, false));
    let (shown, all) = (world.map.tree_text(), world.map.tree_text_all());
    assert!(!shown.contains("off") && !shown.contains("inside"), "{shown}");
    assert!(all.contains(": off [disabled]\n") && all.contains(": inside\n"), "{all}");
}

/// Two maps of one name for each region, the second with the device moved.
fn moved(at: u64) -> World {
    let world = World::new(ZEROS);
    world.put(world.root, 0, -1, RegionSpec::ram("ram", 0x8000));
    world.put(world.root, at, 0, mmio("bar", 0x1000));
    world
}

#[test]
fn a_difference_of_maps_is_what_moved_and_nothing_else() {
    let (old, new) = (moved(0x2000), moved(0x5000));
    let changes = compare(&old.space.view(), &new.space.view());
    let shown: Vec<_> = changes
        .iter()
        .map(|change| {
            let name = |info: &Option<memory::inspect::RangeInfo>| {
                let shown = info.as_ref().and_then(|info| info.shown());
                shown.map_or("-".to_owned(), |side| format!("{}+{:x}", side.name, side.offset))
            };
            format!("{:?} {} {}", change.range, name(&change.old), name(&change.new))
        })
        .collect();
    assert_eq!(shown, ["2000-2fff bar+0 ram+2000", "5000-5fff ram+5000 bar+0"]);
    assert_eq!(compare(&old.space.view(), &moved(0x2000).space.view()), []);
}

/// A random map of a few regions, some of them below or showing others.
fn random(regions: &[(u8, u16, u16, i8, bool)]) -> (World, AddressSpace) {
    let world = World::new(ZEROS);
    let mut all = vec![world.root];
    for (number, (pick, at, size, priority, enabled)) in regions.iter().enumerate() {
        let (name, size) = (format!("r{number}"), u64::from(*size % 0x400) + 1);
        let other = all[usize::from(*pick) % all.len()];
        let spec = match pick % 4 {
            0 => mmio(&name, size),
            1 => RegionSpec::ram(&name, size),
            2 => RegionSpec::container(&name, size),
            _ if other != world.root => RegionSpec::alias(&name, other, u64::from(*pick), size),
            _ => RegionSpec::reservation(&name, size),
        };
        let region = world.add(spec);
        let parent = all[usize::from(*at) % all.len()];
        let mut txn = world.map.txn();
        let at = u64::from(*at % 0x500);
        // An alias takes no children, and an edge may close a cycle: then the region stays alone.
        if txn.attach(parent, at, region, prio(i32::from(*priority % 3))).is_ok() {
            txn.set_enabled(region, *enabled).unwrap();
            let directions =
                [Transparency::None, Transparency::None, Transparency::Reads, Transparency::Writes];
            txn.set_transparent(region, directions[usize::from(pick / 4 % 4)]).unwrap();
        }
        txn.commit().unwrap();
        all.push(region);
    }
    let space = world.space.clone();
    (world, space)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// What the search finds is what the painter painted, at the ends of every range and at random addresses.
    #[test]
    fn item_116_explanations_agree_with_the_view(
        regions in prop::collection::vec(any::<(u8, u16, u16, i8, bool)>(), 1..14),
        addresses in prop::collection::vec(0u64..0x900, 8),
    ) {
        let (world, space) = random(&regions);
        let (dump, view) = (world.map.dump(), space.view());
        let ends = view.ranges().flat_map(|range| [range.range.first(), range.range.last()]);
        for addr in ends.chain(addresses).collect::<Vec<_>>() {
            let explanation = dump.explain(&dump.spaces[0], addr);
            let found = |writing: bool| explanation.steps.iter().find_map(|step| match step.verdict {
                Verdict::Answers { offset, reads, writes } if (if writing { writes } else { reads }) => {
                    Some((step.region, offset))
                }
                _ => None,
            });
            let info = view.lookup(addr).map(FlatRange::info);
            let painted = |writing: bool| {
                let info = info.as_ref()?;
                let side = if writing { info.write.as_ref()? } else { info.read.as_ref()? };
                Some((side.region, side.offset + (addr - info.range.first())))
            };
            prop_assert_eq!(found(false), painted(false), "reads at {:x}\n{}", addr, explanation.text());
            prop_assert_eq!(found(true), painted(true), "writes at {:x}\n{}", addr, explanation.text());
        }
    }
}
