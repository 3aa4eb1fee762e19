//! Item 114 and the tree: the texts, line for line.

use memory::{RegionSpec, Transparency};

use crate::common::*;

#[test]
fn item_114_flat_lines_are_those_of_info_mtree() {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("pc.ram", 0x400_0000));
    world.put(world.root, 0, 0, RegionSpec::alias("ram-below-4g", ram, 0, 0x400_0000));
    let bios = world.put(world.root, 0xfffc_0000, 0, RegionSpec::rom("pc.bios", 0x4_0000));
    world.put(world.root, 0xe_0000, 1, RegionSpec::alias("isa-bios", bios, 0x2_0000, 0x2_0000));
    world.put(world.root, 0xfee0_0000, 4096, mmio("apic-msi", 0x10_0000));
    world.put(
        world.root,
        0xff00_0000,
        0,
        RegionSpec::rom_device("flash", 0x1000, Recorder::new(1), ANY, true),
    );
    let pam = world.put(world.root, 0xf_0000, 2, RegionSpec::alias("pam", ram, 0xf_0000, 0x1_0000));
    world.edit(|txn| txn.set_transparent(pam, Transparency::Reads));
    let text = world.space.view().flat_text();
    let lines: Vec<_> = text.lines().skip(1).collect();
    let wanted = [
        " AS \"space\"",
        "  0000000000000000-00000000000dffff (prio 0, ram): pc.ram",
        "  00000000000e0000-00000000000effff (prio 0, rom): pc.bios @0000000000020000",
        "  00000000000f0000-00000000000fffff (prio 0, rom): pc.bios @0000000000030000 [writes: pc.ram @00000000000f0000]",
        "  0000000000100000-0000000003ffffff (prio 0, ram): pc.ram @0000000000100000",
        "  00000000fee00000-00000000feefffff (prio 4096, i/o): apic-msi",
        "  00000000ff000000-00000000ff000fff (prio 0, romd): flash",
        "  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios",
    ];
    assert_eq!(lines, wanted);
    let empty = World::new(ZEROS);
    assert!(empty.space.view().flat_text().ends_with("\n  No rendered FlatView\n"));
}

#[test]
fn the_tree_is_that_of_info_mtree() {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("pc.ram", 0x400_0000));
    world.put(world.root, 0, 0, RegionSpec::alias("low", ram, 0, 0x1000));
    let pci = world.put(world.root, 0x1000, -1, RegionSpec::container("pci", 0x1000));
    let off = world.put(pci, 0x10, 1, RegionSpec::container("off", 0x10));
    world.put(off, 4, 0, mmio("inside", 4));
    world.put(pci, 0x10, 2, mmio("bar", 0x10));
    world.edit(|txn| txn.set_enabled(off, false));
    let _other = world.map.space(world.root, "alpha", ZEROS).unwrap();
    let tree = "address-space: alpha
address-space: space
  0000000000000000-ffffffffffffffff (prio 0, i/o): root
    0000000000000000-0000000000000fff (prio 0, ram): alias low @pc.ram 0000000000000000-0000000000000fff
    0000000000001000-0000000000001fff (prio -1, i/o): pci
      0000000000001010-000000000000101f (prio 2, i/o): bar

memory-region: pc.ram
  0000000000000000-0000000003ffffff (prio 0, ram): pc.ram

";
    assert_eq!(world.map.tree_text(), tree);
    let all = world.map.tree_text_all();
    assert!(all.contains("      0000000000001010-000000000000101f (prio 1, i/o): off [disabled]\n"));
    assert!(all.contains("        0000000000001014-0000000000001017 (prio 0, i/o): inside\n"));
}

#[test]
fn callbacks_are_counted() {
    let world = World::new(ZEROS);
    let region = world.put(world.root, 0, 0, mmio("dev", 8));
    world.put(world.root, 8, 0, mmio("idle", 8));
    world.read(0, 8);
    world.write(0, &[0; 4]);
    let counts = world.map.callback_counts();
    assert_eq!(counts.len(), 1);
    assert_eq!(
        (counts[0].id, counts[0].name.as_str(), counts[0].reads, counts[0].writes),
        (region, "dev", 2, 1)
    );
    assert_eq!(world.space.view().callback_counts(), [("dev".to_owned(), 2, 1), ("idle".to_owned(), 0, 0)]);
}
