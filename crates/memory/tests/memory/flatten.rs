//! Items 9 to 24: what a graph shows.

use memory::{RegionSize, RegionSpec, Transparency};

use crate::common::*;

/// Regions A to E of the document's example; B is a container or registers of its own.
fn a_to_e(b: RegionSpec) -> World {
    let world = World::new(ZEROS);
    let a = world.put(world.root, 0, 0, RegionSpec::container("A", 0x8000));
    let b = world.put(a, 0x2000, 2, b);
    world.put(a, 0, 1, mmio("C", 0x6000));
    world.put(b, 0, 0, mmio("D", 0x1000));
    world.put(b, 0x2000, 0, mmio("E", 0x1000));
    world
}

#[test]
fn item_009_example_with_a_pure_container() {
    let world = a_to_e(RegionSpec::container("B", 0x4000));
    let wanted = "0-1fff C+0 | 2000-2fff D+0 | 3000-3fff C+3000 | 4000-4fff E+0 | 5000-5fff C+5000";
    assert_eq!(world.shows(), wanted);
}

#[test]
fn item_010_example_with_registers_behind_the_children() {
    let world = a_to_e(mmio("B", 0x4000));
    assert_eq!(
        world.shows(),
        "0-1fff C+0 | 2000-2fff D+0 | 3000-3fff B+1000 | 4000-4fff E+0 | 5000-5fff B+3000"
    );
}

/// The PC of the document; returns the VGA window, the PCI container and the frame buffer too.
fn document_pc() -> (World, memory::RegionId, memory::RegionId) {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("ram", 0x1_0000_0000));
    let pci = world.add(RegionSpec::container("pci", 0x1_0000_0000));
    let root = world.root;
    world.put(root, 0, 0, RegionSpec::alias("lomem", ram, 0, 0xe000_0000));
    world.put(root, 0x1_0000_0000, 0, RegionSpec::alias("himem", ram, 0xe000_0000, 0x2000_0000));
    let window = world.put(root, 0xa_0000, 1, RegionSpec::alias("vga-window", pci, 0xa_0000, 0x2_0000));
    world.put(root, 0xe000_0000, 0, RegionSpec::alias("pci-hole", pci, 0xe000_0000, 0x2000_0000));
    let area = world.put(pci, 0xa_0000, 0, RegionSpec::container("vga-area", 0x2_0000));
    let vram = world.put(pci, 0xe100_0000, 0, RegionSpec::ram("vram", 0x100_0000));
    world.put(pci, 0xe200_0000, 0, mmio("vga-mmio", 0x1_0000));
    world.put(area, 0, 0, RegionSpec::alias("bank0", vram, 0x1_0000, 0x8000));
    world.put(area, 0x8000, 0, RegionSpec::alias("bank1", vram, 0x2_0000, 0x8000));
    (world, window, pci)
}

#[test]
fn item_011_the_documents_pc() {
    let (world, _, _) = document_pc();
    // Behind b0000 the window has a hole: it is as large as both banks twice.
    let wanted = "0-9ffff ram+0 | a0000-a7fff vram+10000 | a8000-affff vram+20000 | b0000-dfffffff ram+b0000 \
                  | e1000000-e1ffffff vram+0 | e2000000-e200ffff vga-mmio+0 | 100000000-11fffffff ram+e0000000";
    assert_eq!(world.shows(), wanted);
}

#[test]
fn item_012_the_documents_pc_with_the_window_off() {
    let (world, window, pci) = document_pc();
    world.edit(|txn| txn.set_enabled(window, false));
    let wanted = "0-dfffffff ram+0 | e1000000-e1ffffff vram+0 | e2000000-e200ffff vga-mmio+0 \
                  | 100000000-11fffffff ram+e0000000";
    assert_eq!(world.shows(), wanted);
    world.put(pci, 0xe010_0000, 1, mmio("seen", 0x1000));
    world.put(pci, 0xd000_0000, 1, mmio("hidden", 0x1000));
    assert!(world.shows().contains("e0100000-e0100fff seen+0") && !world.shows().contains("hidden"));
}

#[test]
fn item_013_among_equals_the_last_attached_wins() {
    let world = World::new(ZEROS);
    let first = world.put(world.root, 0, 0, mmio("first", 0x10));
    let second = world.put(world.root, 8, 0, mmio("second", 0x10));
    assert_eq!(world.shows(), "0-7 first+0 | 8-17 second+0");
    world.edit(|txn| txn.move_to(first, 1));
    assert_eq!(world.shows(), "1-10 first+0 | 11-17 second+9");
    // Staying where it is, is no move.
    world.edit(|txn| txn.move_to(second, 8));
    assert_eq!(world.shows(), "1-10 first+0 | 11-17 second+9");
    world.edit(|txn| txn.set_priority(second, 1));
    assert_eq!(world.shows(), "1-7 first+0 | 8-17 second+0");
    world.edit(|txn| txn.detach(second));
    world.edit(|txn| txn.attach(world.root, 8, second, prio(0)));
    assert_eq!(world.shows(), "1-7 first+0 | 8-17 second+0");
}

#[test]
fn item_014_a_background_is_seen_in_holes() {
    let world = World::new(ZEROS);
    world.put(world.root, 0x10, -5, mmio("front", 0x10));
    world.put(world.root, 0, -6, mmio("back", 0x30));
    world.put(world.root, 0x18, i32::MIN, mmio("never", 0x10));
    assert_eq!(world.shows(), "0-f back+0 | 10-1f front+0 | 20-2f back+20");
}

#[test]
fn item_015_priorities_count_among_siblings_only() {
    let world = World::new(ZEROS);
    let inner = world.put(world.root, 0, 0, RegionSpec::container("inner", 0x10));
    world.put(inner, 0, 10, mmio("ten", 0x10));
    world.put(world.root, 0, 5, mmio("five", 0x8));
    assert_eq!(world.shows(), "0-7 five+0 | 8-f ten+8");
}

#[test]
fn item_016_a_disabled_region_reveals_what_is_below() {
    let world = World::new(ZEROS);
    let upper = world.put(world.root, 0, 1, RegionSpec::container("upper", 0x10));
    world.put(upper, 4, 0, mmio("inside", 4));
    world.put(world.root, 0, 0, mmio("lower", 0x10));
    assert_eq!(world.shows(), "0-3 lower+0 | 4-7 inside+0 | 8-f lower+8");
    world.edit(|txn| txn.set_enabled(upper, false));
    assert_eq!(world.shows(), "0-f lower+0");
}

#[test]
fn item_017_children_are_clipped_to_every_ancestor() {
    let world = World::new(ZEROS);
    let outer = world.put(world.root, 0x100, 0, RegionSpec::container("outer", 0x20));
    let inner = world.put(outer, 0x10, 0, RegionSpec::container("inner", 0x40));
    world.put(inner, 8, 0, mmio("past", 0x100));
    let outside = world.put(inner, 0x10, 1, mmio("outside", 0x100));
    assert_eq!(world.shows(), "118-11f past+0");
    // The clipped child comes back when there is room.
    world.edit(|txn| txn.set_size(outer, 0x100));
    assert_eq!(world.shows(), "118-11f past+0 | 120-14f outside+0");
    world.edit(|txn| txn.set_enabled(outside, false));
    assert_eq!(world.shows(), "118-14f past+0");
}

#[test]
fn item_018_a_leaf_behind_its_children_keeps_its_offsets() {
    let leaves = [
        mmio("leaf", 0x1000),
        RegionSpec::ram("leaf", 0x1000),
        RegionSpec::rom("leaf", 0x1000),
        RegionSpec::rom_device("leaf", 0x1000, Recorder::new(1), ANY, true),
    ];
    for leaf in leaves {
        let world = World::new(ZEROS);
        let leaf = world.put(world.root, 0x1000, 0, leaf);
        world.put(leaf, 0x100, -3, mmio("child", 0x100));
        assert_eq!(world.shows(), "1000-10ff leaf+0 | 1100-11ff child+0 | 1200-1fff leaf+200");
    }
}

#[test]
fn item_019_aliases_of_aliases_and_past_the_end() {
    let world = World::new(ZEROS);
    let target = world.add(mmio("t", 0x100));
    let one = world.add(RegionSpec::alias("one", target, 0x80, 0x1000));
    world.put(world.root, 0, 0, RegionSpec::alias("two", one, 0x40, 0x1000));
    world.put(world.root, 0x1000, 0, RegionSpec::alias("past", target, 0x200, 0x10));
    world.put(world.root, 0x2000, 0, RegionSpec::alias("big", target, 0, 0x1000));
    assert_eq!(world.shows(), "0-3f t+c0 | 2000-20ff t+0");
    world.edit(|txn| txn.set_enabled(target, false));
    assert_eq!(world.shows(), "");
}

#[test]
fn item_020_an_alias_ignores_where_its_target_is() {
    let world = World::new(ZEROS);
    let moved = world.put(world.root, 0x5000, 0, RegionSpec::container("m", 0x100));
    world.put(moved, 0x10, 0, mmio("leaf", 0x10));
    world.put(world.root, 0x8000, 0, RegionSpec::alias("a", moved, 0, 0x100));
    assert_eq!(world.shows(), "5010-501f leaf+0 | 8010-801f leaf+0");
    world.edit(|txn| txn.move_to(moved, 0x6000));
    assert_eq!(world.shows(), "6010-601f leaf+0 | 8010-801f leaf+0");
}

/// Which of the bytes are kept by the memory behind them.
fn written(world: &World, at: u64) -> bool {
    let new = world.read(at, 1)[0].wrapping_add(1);
    assert!(world.write(at, &[new]));
    world.read(at, 1) == [new]
}

#[test]
fn item_021_readonly_counts_along_the_path() {
    let world = World::new(ZEROS);
    let locked = world.put(world.root, 0, 0, RegionSpec::container("locked", 0x1000));
    let ram = world.put(locked, 0, 0, RegionSpec::ram("ram", 0x1000));
    world.edit(|txn| txn.set_readonly(locked, true));
    world.put(world.root, 0x1000, 0, RegionSpec::alias("leaf", ram, 0, 0x1000));
    world.put(world.root, 0x2000, 0, RegionSpec::alias("box", locked, 0, 0x1000));
    let alias = world.put(world.root, 0x3000, 0, RegionSpec::alias("ro", ram, 0, 0x1000));
    world.edit(|txn| txn.set_readonly(alias, true));
    assert_eq!([0, 0x1000, 0x2000, 0x3000].map(|at| written(&world, at)), [false, true, false, false]);
    world.edit(|txn| txn.set_readonly(alias, false));
    assert!(written(&world, 0x3000));
    // It acts on plain memory only.
    let device = Recorder::new(4);
    world.put(locked, 0x800, 1, RegionSpec::mmio("mmio", 4, device.clone(), ANY));
    world.write(0x800, &[7]);
    assert_eq!(calls(&device), [('w', 0, 1, 7)]);
}

#[test]
fn item_022_nonvolatile_and_unmergeable_too() {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("ram", 0x2000));
    let low = world.put(world.root, 0, 0, RegionSpec::alias("low", ram, 0, 0x1000));
    world.put(world.root, 0x1000, 0, RegionSpec::alias("high", ram, 0x1000, 0x1000));
    assert_eq!(world.shows(), "0-1fff ram+0");
    world.edit(|txn| txn.set_nonvolatile(low, true));
    let attrs = |at| world.space.view().lookup(at).unwrap().attrs();
    assert!(attrs(0).nonvolatile && !attrs(0x1000).nonvolatile);
    assert_eq!(world.shows(), "0-fff ram+0 | 1000-1fff ram+1000");
    world.edit(|txn| txn.set_nonvolatile(low, false));
    world.edit(|txn| txn.set_unmergeable(low, true));
    assert!(attrs(0).unmergeable && !attrs(0x1000).unmergeable);
    assert_eq!(world.shows(), "0-fff ram+0 | 1000-1fff ram+1000");
    world.edit(|txn| txn.set_unmergeable(low, false));
    world.edit(|txn| txn.set_nonvolatile(world.root, true));
    assert_eq!(world.shows(), "0-1fff ram+0");
}

#[test]
fn item_023_ranges_that_go_on_are_one() {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("ram", 0x10_0000));
    world.put(world.root, 0, 0, RegionSpec::alias("low", ram, 0, 0x10_0000));
    world.put(world.root, 0xc_0000, 0, RegionSpec::rom("rom", 0x4_0000));
    let window = world.put(world.root, 0xc_0000, 1, RegionSpec::alias("pam", ram, 0xc_0000, 0x4000));
    assert_eq!(world.shows(), "0-c3fff ram+0 | c4000-fffff rom+4000");
    world.edit(|txn| txn.set_readonly(window, true));
    assert_eq!(world.shows(), "0-bffff ram+0 | c0000-c3fff ram+c0000 | c4000-fffff rom+4000");
    world.edit(|txn| txn.set_enabled(window, false));
    assert_eq!(world.shows(), "0-bffff ram+0 | c0000-fffff rom+0");
    // The same bytes at another place do not go on.
    world.edit(|txn| txn.set_enabled(window, true));
    world.edit(|txn| txn.set_readonly(window, false));
    world.edit(|txn| txn.slide_alias(window, 0xb_ffff));
    assert_eq!(world.shows(), "0-bffff ram+0 | c0000-c3fff ram+bffff | c4000-fffff rom+4000");
}

#[test]
fn item_024_sorted_disjoint_and_found() {
    let world = World::new(ZEROS);
    for n in 0..200_u64 {
        world.put(world.root, (n * 37 % 200) * 0x20, 0, mmio("some", 0x10 + n % 0x20));
    }
    let view = world.space.view();
    let ranges: Vec<_> = view.ranges().map(|range| range.range).collect();
    assert!(ranges.windows(2).all(|pair| pair[0].last() < pair[1].first()));
    assert_eq!(view.len(), ranges.len());
    for addr in 0..0x1_0000 {
        let found = view.lookup(addr).map(|range| range.range);
        assert_eq!(found, ranges.iter().copied().find(|range| range.contains(addr)), "{addr:x}");
    }
    assert!(view.lookup(u64::MAX).is_none());
}

#[test]
fn item_029_many_ranges() {
    let world = World::new(ZEROS);
    let device = Recorder::new(4);
    let mut txn = world.map.txn();
    for n in 0..70_000_u64 {
        let region = world.add(RegionSpec::mmio("one", 1, device.clone(), ANY));
        txn.attach(world.root, n * 2, region, prio(0)).unwrap();
    }
    txn.commit().unwrap();
    let view = world.space.view();
    assert_eq!(view.len(), 70_000);
    assert!((0..140_000).step_by(777).all(|addr| view.lookup(addr).is_some() == (addr % 2 == 0)));
}

#[test]
fn one_direction_passes_through() {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("ram", 0x1_0000));
    world.put(world.root, 0, 0, RegionSpec::rom("rom", 0x1_0000));
    let window = world.put(world.root, 0x4000, 1, RegionSpec::alias("window", ram, 0x4000, 0x4000));
    let show = |transparent| {
        world.edit(|txn| txn.set_transparent(window, transparent));
        world.shows()
    };
    let around = |middle: &str| format!("0-3fff rom+0 | 4000-7fff {middle} | 8000-ffff rom+8000");
    assert_eq!(show(Transparency::Reads), around("rom+4000 w:ram+4000"));
    assert_eq!(show(Transparency::Writes), around("ram+4000 w:rom+4000"));
    assert_eq!(show(Transparency::None), around("ram+4000"));
    // Nothing below: that direction is unassigned.
    let lone = world.put(world.root, 0x2_0000, 0, mmio("lone", 0x10));
    world.edit(|txn| txn.set_transparent(lone, Transparency::Reads));
    assert!(world.shows().ends_with("20000-2000f lone+0 r:-"));
}

#[test]
fn item_124_a_space_shows_its_root_at_0() {
    let world = World::new(ZEROS);
    let outer = world.put(world.root, 0x1000, 0, RegionSpec::container("outer", 0x1000));
    let bus = world.put(outer, 0x100, 0, RegionSpec::container("bus", 0x100));
    world.put(bus, 0x10, 0, mmio("leaf", 0x10));
    let inner = world.map.space(bus, "inner", ZEROS).unwrap();
    assert_eq!((world.shows(), shown(&inner.view())), ("1110-111f leaf+0".into(), "10-1f leaf+0".into()));
    let report = world.edit(|txn| txn.move_to(bus, 0x200));
    assert_eq!((report.deltas.len(), inner.generation()), (1, 1));
    let report = world.edit(|txn| txn.set_enabled(outer, false));
    assert_eq!((report.deltas.len(), inner.generation(), world.shows()), (1, 1, String::new()));
    let report = world.edit(|txn| txn.set_enabled(bus, false));
    assert_eq!(report.deltas.len(), 1);
    assert!(inner.view().is_empty());
    let whole = world.map.add(RegionSpec::alias("whole", bus, 0, RegionSize::WHOLE)).unwrap();
    world.edit(|txn| txn.set_enabled(bus, true));
    assert_eq!(shown(&world.map.space(whole, "alias", ZEROS).unwrap().view()), "10-1f leaf+0");
}
