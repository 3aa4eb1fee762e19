//! Items 27, 28: spaces that come down to one region share what they show.

use memory::{AddressSpace, RegionSpec};

use crate::common::*;

fn space(world: &World, name: &str, spec: RegionSpec) -> AddressSpace {
    let root = world.add(spec);
    world.map.space(root, name, ZEROS).unwrap()
}

fn shared(one: &AddressSpace, other: &AddressSpace) -> bool {
    one.view().shares_ranges_with(&other.view())
}

#[test]
fn item_027_flags_and_places_on_the_way_count() {
    let world = World::new(ZEROS);
    let ram = world.put(world.root, 0x8000, 0, RegionSpec::ram("ram", 0x1000));
    let whole = RegionSpec::alias("whole", ram, 0, 0x1000);
    let larger = space(&world, "larger", RegionSpec::alias("larger", ram, 0, 0x2000));
    let alias = world.add(whole.clone());
    let plain = world.map.space(alias, "plain", ZEROS).unwrap();
    let readonly = world.add(whole);
    world.edit(|txn| txn.set_readonly(readonly, true));
    let rom = world.map.space(readonly, "rom", ZEROS).unwrap();
    assert!(shared(&larger, &plain) && !shared(&plain, &rom));
    assert_eq!(shown(&plain.view()), "0-fff ram+0", "wherever the target is attached");
    assert!(
        rom.view().lookup(0).unwrap().attrs().readonly && !plain.view().lookup(0).unwrap().attrs().readonly
    );
    // A part, a later part and a place other than 0 are not the whole.
    let smaller = space(&world, "smaller", RegionSpec::alias("smaller", ram, 0, 0xfff));
    let later = space(&world, "later", RegionSpec::alias("later", ram, 1, 0x1000));
    let bus = world.add(RegionSpec::container("bus", 0x4000));
    let beside = world.map.space(bus, "beside", ZEROS).unwrap();
    world.edit(|txn| txn.attach(bus, 1, alias, prio(0)));
    let texts = [&smaller, &later, &beside].map(|space| shown(&space.view()));
    assert_eq!(texts, ["0-ffe ram+0", "0-ffe ram+1", "1-1000 ram+0"]);
    world.edit(|txn| txn.move_to(alias, 0));
    assert!(shared(&plain, &beside), "the only child, in its place");
}

#[test]
fn item_028_one_table_for_one_region() {
    let world = World::new(ZEROS);
    let system = world.add(RegionSpec::container("system", 0x1_0000));
    let ram = world.put(system, 0, 0, RegionSpec::ram("ram", 0x1000));
    let memory = world.map.space(system, "memory", ZEROS).unwrap();
    let alias = world.add(RegionSpec::alias("mastering", system, 0, 0x1_0000));
    let bus = world.add(RegionSpec::container("bus", 0x1_0000));
    world.edit(|txn| txn.attach(bus, 0, alias, prio(0)));
    let device = world.map.space(bus, "device", ZEROS).unwrap();
    let other = space(&world, "other", RegionSpec::alias("other", system, 0, 0x1_0000));
    assert!(shared(&memory, &device) && shared(&memory, &other));

    // Three spaces see the change, one window is rendered.
    let report = world.edit(|txn| txn.move_to(ram, 0x100));
    let seen: Vec<_> = report.deltas.iter().map(|delta| delta.space).collect();
    assert_eq!((seen, report.windows_rendered), (vec![memory.id(), device.id(), other.id()], 1));
    assert!(shared(&memory, &device) && shared(&memory, &other));

    // Bus mastering off: the empty view, which the world's empty space has too. On: nothing has to be rendered.
    let report = world.edit(|txn| txn.set_enabled(alias, false));
    assert_eq!((report.deltas.len(), report.windows_rendered), (1, 0));
    assert!(device.view().is_empty() && shared(&device, &world.space));
    let view = memory.view();
    let report = world.edit(|txn| txn.set_enabled(alias, true));
    assert_eq!((report.deltas.len(), report.windows_rendered), (1, 0));
    assert_eq!(world.changed(&report), []);
    assert_eq!(report.deltas[0].changed, [range(0x100, 0x10ff)]);
    assert!(shared(&memory, &device) && std::sync::Arc::ptr_eq(&view, &memory.view()));

    // A change of one root is not rendered for the other.
    let report = world.edit(|txn| txn.set_readonly(alias, true));
    assert_eq!((report.deltas.len(), report.deltas[0].space), (1, device.id()));
    assert!(!shared(&memory, &device) && std::sync::Arc::ptr_eq(&view, &memory.view()));
}

#[test]
fn item_028_a_refused_commit_leaves_the_sharing_alone() {
    struct No;
    impl memory::MapListener for No {
        fn prepare(&self, _: &memory::MapDelta) -> Result<(), memory::Veto> {
            Err(memory::Veto("no".into()))
        }

        fn apply(&self, _: &memory::MapDelta) {}
    }
    let world = World::new(ZEROS);
    let system = world.add(RegionSpec::container("system", 0x1000));
    let device = world.put(system, 0, 0, mmio("dev", 0x10));
    let alias = world.add(RegionSpec::alias("alias", system, 0, 0x1000));
    let (memory, other) =
        (world.map.space(system, "a", ZEROS).unwrap(), world.map.space(alias, "b", ZEROS).unwrap());
    let refuses = other.listen(0, std::sync::Arc::new(No));
    let mut txn = world.map.txn();
    txn.set_enabled(alias, false).unwrap();
    assert!(txn.commit().is_err());
    assert!(shared(&memory, &other));
    assert!(other.unlisten(refuses));
    // Had the refused key stayed, the table of the other space would be taken for that of nothing.
    let empty = space(&world, "empty", RegionSpec::container("empty", 1));
    assert!(empty.view().is_empty());
    let report = world.edit(|txn| txn.move_to(device, 0x20));
    assert_eq!((report.deltas.len(), report.windows_rendered), (2, 2), "the old place and the new one, once");
    assert!(shared(&memory, &other) && shown(&other.view()) == "20-2f dev+0");
}
