//! Items 1 to 8: the numeric domain, and what the graph refuses.

use memory::{AccessRules, MapError, MemoryMap, Placement, RegionId, RegionSize, RegionSpec};

use crate::common::*;

#[test]
fn item_001_sizes_up_to_the_whole_space() {
    let world = World::new(ZEROS);
    world.put(world.root, 0, -1, mmio("W", RegionSize::WHOLE));
    assert_eq!(world.shows(), "0-ffffffffffffffff W+0");
    world.put(world.root, 0x1000, 0, RegionSpec::ram("R", 0x1000));
    assert_eq!(world.shows(), "0-fff W+0 | 1000-1fff R+0 | 2000-ffffffffffffffff W+2000");

    let world = World::new(ZEROS);
    world.put(world.root, 0, 0, mmio("almost", u64::MAX));
    assert_eq!(world.shows(), "0-fffffffffffffffe almost+0");
    assert!(
        matches!(world.map.add(RegionSpec::container("none", 0)), Err(MapError::ZeroSize(name)) if name == "none")
    );
    assert!(matches!(world.map.txn().set_size(world.root, 0), Err(MapError::ZeroSize(_))));
}

#[test]
fn item_002_clipped_or_refused_but_never_wrapped() {
    let world = World::new(ZEROS);
    let parent = world.put(world.root, 0x1000, 0, RegionSpec::container("parent", 0x100));
    world.put(parent, 0x80, 0, mmio("past", 0x1000));
    world.put(parent, 0x200, 0, mmio("outside", 0x1000));
    world.put(world.root, u64::MAX - 0xf, 0, mmio("end", 0x1000));
    assert_eq!(world.shows(), "1080-10ff past+0 | fffffffffffffff0-ffffffffffffffff end+0");

    let alias = world.map.add(RegionSpec::alias("a", parent, u64::MAX, 2));
    assert!(matches!(alias, Err(MapError::RangeOverflow { offset: u64::MAX, size: 2 })));
    let alias = world.add(RegionSpec::alias("a", parent, 0, 0x100));
    let mut txn = world.map.txn();
    assert!(matches!(txn.slide_alias(alias, u64::MAX - 0xfe), Err(MapError::RangeOverflow { .. })));
    assert!(txn.slide_alias(alias, u64::MAX - 0xff).is_ok());
    assert!(matches!(txn.set_size(alias, 0x101), Err(MapError::RangeOverflow { .. })));
}

#[test]
fn item_003_a_negative_base_is_exact() {
    let world = World::new(ZEROS);
    let target = world.add(mmio("t", 0x1000));
    let a1 = world.add(RegionSpec::alias("a1", target, 0x800, 0x2000));
    let a2 = world.add(RegionSpec::alias("a2", a1, 0x400, 0x1000));
    world.edit(|txn| txn.attach(world.root, 0x100, a2, prio(0)));
    world.edit(|txn| txn.attach(world.root, 0x4000, a1, prio(0)));
    assert_eq!(world.shows(), "100-4ff t+c00 | 4000-47ff t+800");

    let world = World::new(ZEROS);
    let target = world.add(mmio("t", 0x1000));
    world.put(world.root, 0, 0, RegionSpec::alias("a", target, 0x900, 0x1000));
    assert_eq!(world.shows(), "0-6ff t+900");
}

#[test]
fn item_004_an_attached_region_stays_where_it_is() {
    let world = World::new(ZEROS);
    let child = world.put(world.root, 0x10, 0, mmio("child", 0x10));
    let other = world.put(world.root, 0x100, 0, RegionSpec::container("other", 0x100));
    let (shows, tree) = (world.shows(), world.map.tree_text_all());
    let mut txn = world.map.txn();
    let refused = txn.attach(other, 0, child, prio(9));
    assert!(
        matches!(refused, Err(MapError::AlreadyAttached { child: c, parent }) if c == child && parent == world.root)
    );
    assert!(txn.commit().unwrap().deltas.is_empty());
    assert_eq!((world.shows(), world.map.tree_text_all()), (shows, tree));
    assert!(
        matches!(world.map.txn().detach(world.root), Err(MapError::NotAttached(root)) if root == world.root)
    );
    assert!(matches!(world.map.txn().move_to(world.root, 1), Err(MapError::NotAttached(_))));
}

/// The path that a refused attach names.
fn cycle(world: &World, parent: RegionId, child: RegionId) -> Vec<RegionId> {
    let before = world.map.tree_text_all();
    let refused = world.map.txn().attach(parent, 0, child, prio(0));
    assert_eq!(world.map.tree_text_all(), before);
    match refused {
        Err(MapError::AliasCycle { path, .. }) => path,
        other => panic!("not refused as a cycle: {other:?}"),
    }
}

#[test]
fn item_005_cycles_of_every_length() {
    let world = World::new(ZEROS);
    let container = |name| world.add(RegionSpec::container(name, 0x100));
    let (a, b, c, d) = (container("a"), container("b"), container("c"), container("d"));
    assert_eq!(cycle(&world, a, a), [a]);
    world.edit(|txn| txn.attach(a, 0, b, prio(0)));
    assert_eq!(cycle(&world, b, a), [a, b]);
    let alias = world.add(RegionSpec::alias("alias", a, 0, 0x10));
    assert_eq!(cycle(&world, b, alias), [alias, a, b]);
    world.edit(|txn| txn.attach(c, 0, alias, prio(0)));
    world.edit(|txn| txn.attach(d, 0, c, prio(0)));
    assert_eq!(cycle(&world, b, d), [d, c, alias, a, b]);
    // Through two aliases of one target, of which the shorter way is not a cycle.
    let second = world.add(RegionSpec::alias("second", b, 0, 0x10));
    assert!(world.map.txn().attach(a, 0, second, prio(0)).is_ok());
    assert_eq!(cycle(&world, b, second), [second, b]);
}

#[test]
fn item_006_an_alias_has_no_children() {
    let world = World::new(ZEROS);
    let alias = world.add(RegionSpec::alias("alias", world.root, 0, 0x10));
    let child = world.add(mmio("child", 0x10));
    let refused = world.map.txn().attach(alias, 0, child, prio(0));
    assert!(matches!(refused, Err(MapError::AliasHasChildren(region)) if region == alias));
}

#[test]
fn item_007_exclusive_siblings_do_not_overlap() {
    let world = World::new(ZEROS);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| world.add(mmio(name, 0x10)));
    let mut txn = world.map.txn();
    txn.attach(world.root, 0x10, a, Placement::Exclusive).unwrap();
    txn.set_enabled(a, false).unwrap();
    let overlaps = |refused: Result<(), MapError>, first, last| matches!(refused, Err(MapError::Overlaps { with, range: r }) if with == a && r == range(first, last));
    assert!(overlaps(txn.attach(world.root, 0x1f, b, Placement::Exclusive), 0x1f, 0x1f));
    txn.attach(world.root, 0x20, b, Placement::Exclusive).unwrap();
    assert!(overlaps(txn.move_to(b, 0x1e), 0x1e, 0x1f));
    txn.move_to(b, 0x40).unwrap();
    txn.attach(world.root, 0, c, Placement::Exclusive).unwrap();
    assert!(overlaps(txn.set_size(c, 0x11), 0x10, 0x10));
    assert!(txn.set_size(c, 0x8).is_ok());
    // An overlapping partner in either order.
    txn.attach(world.root, 0x14, d, prio(0)).unwrap();
    txn.detach(a).unwrap();
    assert!(txn.attach(world.root, 0x10, a, Placement::Exclusive).is_ok());
    // What lies past 2^64 overlaps nothing.
    txn.move_to(b, u64::MAX).unwrap();
    assert!(txn.move_to(c, 0x80).is_ok());
}

#[test]
fn item_008_ram_ids_are_unique_while_in_use() {
    let map = MemoryMap::new();
    let rom = |owner| map.add(RegionSpec::rom("rom", 0x1000).owner(owner));
    let (a, b) = (rom("devA").unwrap(), rom("devB").unwrap());
    assert_eq!(
        [a, b].map(|region| map.ram_block(region).unwrap().name().to_owned()),
        ["devA/rom", "devB/rom"]
    );
    map.add(RegionSpec::ram("rom", 0x1000)).unwrap();
    assert!(
        matches!(map.add(RegionSpec::rom("rom", 0x1000)), Err(MapError::DuplicateRamId(id)) if id == "rom")
    );
    let taken = rom("devA");
    assert!(matches!(taken, Err(MapError::DuplicateRamId(id)) if id == "devA/rom"));
    // Not free before the removal is final.
    let mut txn = map.txn();
    txn.remove(a).unwrap();
    assert!(rom("devA").is_err());
    drop(txn);
    map.remove(a).unwrap();
    assert!(rom("devA").is_ok());
}

#[test]
fn contradicting_rules_are_refused() {
    let map = MemoryMap::new();
    let bad = AccessRules::new().valid(4, 2);
    let refused = map.add(RegionSpec::mmio("bad", 4, Recorder::new(4), bad));
    assert!(matches!(refused, Err(MapError::BadAccessRules { region, .. }) if region == "bad"));
}

#[test]
fn paths_are_bounded() {
    let world = World::new(ZEROS);
    let mut top = world.add(RegionSpec::container("leaf", 0x100));
    let mut refused = None;
    for level in 0..100 {
        let next = match level % 2 {
            0 => world.map.add(RegionSpec::alias("alias", top, 0, 0x100)),
            _ => world.map.add(RegionSpec::container("box", 0x100)),
        };
        let attached = next.and_then(|next| {
            if level % 2 == 1 {
                let mut txn = world.map.txn();
                txn.attach(next, 0, top, prio(0))?;
                txn.commit()?;
            }
            Ok(next)
        });
        match attached {
            Ok(next) => top = next,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert!(matches!(refused, Some(MapError::TooDeep { depth: 65, limit: 64 })), "{refused:?}");
}

#[test]
fn a_region_shows_no_more_than_its_block_holds() {
    let world = World::new(ZEROS);
    let ram = world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x1800));
    let mut txn = world.map.txn();
    assert!(matches!(txn.set_size(ram, 0x2001), Err(MapError::TooLarge { size: 0x2001, max: 0x2000 })));
    txn.set_size(ram, 0x2000).unwrap();
    txn.commit().unwrap();
    assert_eq!(world.shows(), "0-1fff ram+0");
    assert!(matches!(world.map.txn().slide_alias(ram, 0), Err(MapError::WrongKind { .. })));
    assert!(matches!(world.map.txn().set_romd(ram, true), Err(MapError::WrongKind { .. })));
}
