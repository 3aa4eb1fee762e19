//! Items 30 to 43: transactions, deltas, listeners.

use std::sync::{Arc, Mutex};

use base::{AccessSize, RegionOffset};
use memory::{
    AccessCx, AddressSpace, BusError, CommitError, Device, MapDelta, MapError, MapListener, MemoryMap,
    MmioDevice, RegionId, RegionSize, RegionSpec, Transparency, Veto,
};

use crate::common::*;

/// 256 MiB of RAM, a ROM over c0000-fffff, and one PAM window of 16 KiB over that.
fn pam() -> (World, RegionId) {
    let world = World::new(ZEROS);
    let ram = world.add(RegionSpec::ram("ram", 0x1000_0000));
    world.put(world.root, 0, 0, RegionSpec::alias("low", ram, 0, 0x1000_0000));
    world.put(world.root, 0xc_0000, 0, RegionSpec::rom("rom", 0x4_0000));
    let window = world.put(world.root, 0xc_0000, 1, RegionSpec::alias("pam", ram, 0xc_0000, 0x4000));
    world.edit(|txn| txn.set_enabled(window, false));
    (world, window)
}

#[test]
fn item_030_nested_transactions_act_once() {
    let world = World::new(ZEROS);
    let (a, b) =
        (world.put(world.root, 0, 0, mmio("a", 0x10)), world.put(world.root, 0x20, 0, mmio("b", 0x10)));
    let generation = world.space.generation();
    let mut outer = world.map.txn();
    outer.move_to(a, 0x100).unwrap();
    let mut inner = outer.child();
    inner.set_enabled(b, false).unwrap();
    assert!(inner.commit().unwrap().deltas.is_empty());
    assert_eq!((world.space.generation(), world.shows()), (generation, "0-f a+0 | 20-2f b+0".into()));
    // One opened through the map on the same thread is inside, too; its rollback is its own.
    let mut dropped = world.map.txn();
    dropped.set_enabled(a, false).unwrap();
    dropped.set_enabled(b, true).unwrap();
    drop(dropped);
    let report = outer.commit().unwrap();
    assert_eq!(world.changed(&report), [range(0, 0xf), range(0x20, 0x2f), range(0x100, 0x10f)]);
    assert_eq!((world.space.generation(), world.shows()), (generation + 1, "100-10f a+0".into()));
}

#[test]
fn item_031_dropped_without_commit_nothing_happened() {
    let (world, window) = pam();
    let container = world.put(world.root, 0x2000_0000, 0, RegionSpec::container("box", 0x100));
    let child = world.put(container, 0, 0, mmio("child", 0x10));
    let alias = world.put(container, 0x20, 0, RegionSpec::alias("alias", child, 0, 0x10));
    let lone = world.add(mmio("lone", 0x10));
    let before = || (world.map.tree_text_all(), world.space.view().flat_text());
    let (was, view) = (before(), world.space.view());
    {
        let mut txn = world.map.txn();
        txn.set_enabled(window, true).unwrap();
        txn.set_readonly(window, true).unwrap();
        txn.set_transparent(window, Transparency::Reads).unwrap();
        txn.move_to(child, 5).unwrap();
        txn.set_size(child, 7).unwrap();
        txn.slide_alias(alias, 3).unwrap();
        txn.attach(world.root, 0x3000_0000, lone, prio(77)).unwrap();
        txn.set_priority(container, -4).unwrap();
        txn.detach(child).unwrap();
        let mut inner = txn.child();
        inner.remove(container).unwrap();
        inner.commit().unwrap();
        assert!(
            matches!(txn.set_enabled(container, true), Err(MapError::NoRegion(gone)) if gone == container)
        );
    }
    assert_eq!(before(), was);
    assert!(Arc::ptr_eq(&view, &world.space.view()));
    assert!(world.map.rendered(&world.space).unwrap().shows_the_same(&view));
    // The graph is whole: the next commit shows its own change only.
    let report = world.edit(|txn| txn.set_enabled(child, false));
    assert_eq!(world.changed(&report), [range(0x2000_0000, 0x2000_000f), range(0x2000_0020, 0x2000_002f)]);
}

#[test]
fn item_031_an_edit_after_an_inner_rollback_is_undone_too() {
    let world = World::new(ZEROS);
    let [a, b] = [0, 0x20].map(|at| world.put(world.root, at, 0, mmio("r", 0x10)));
    let was = world.map.tree_text_all();
    let mut outer = world.map.txn();
    outer.set_enabled(b, false).unwrap();
    let mut inner = outer.child();
    inner.set_enabled(a, false).unwrap();
    drop(inner);
    outer.set_readonly(b, true).unwrap();
    outer.set_size(a, 4).unwrap();
    drop(outer);
    assert_eq!(world.map.tree_text_all(), was);
    assert!(world.map.rendered(&world.space).unwrap().shows_the_same(&world.space.view()));
}

/// What the comparisons with a whole rendering rest on: it tells views apart, and does not ask how they came about.
#[test]
fn item_038_views_show_the_same_when_their_ranges_are_equal() {
    let (world, window) = pam();
    let off = world.space.view();
    world.edit(|txn| txn.set_enabled(window, true));
    let on = world.space.view();
    assert!(!on.shows_the_same(&off) && !off.shows_the_same(&on));
    world.edit(|txn| txn.set_enabled(window, false));
    let again = world.space.view();
    assert!(!Arc::ptr_eq(&again, &off) && again.shows_the_same(&off));
    // One that only shows more is another.
    world.put(world.root, 0x2000_0000, 0, mmio("more", 0x10));
    assert!(!world.space.view().shows_the_same(&off) && !off.shows_the_same(&world.space.view()));
}

#[test]
fn item_032_what_no_space_sees_makes_no_view() {
    let world = World::new(ZEROS);
    world.put(world.root, 0, 1, mmio("front", 0x100));
    let hidden = world.put(world.root, 0x10, 0, mmio("hidden", 0x10));
    let off = world.put(world.root, 0x1000, 0, RegionSpec::container("off", 0x100));
    world.edit(|txn| txn.set_enabled(off, false));
    let lone = world.add(RegionSpec::container("lone", 0x100));
    let (view, listener) = (world.space.view(), Arc::new(Log::default()));
    world.space.listen(0, listener.clone());
    assert_eq!(listener.take(), ["apply  space"], "what is mapped already");
    world.edit(|txn| txn.set_enabled(hidden, false));
    world.edit(|txn| txn.move_to(hidden, 0x20));
    world.put(off, 0, 0, mmio("off", 0x10));
    world.put(lone, 0, 0, mmio("lone", 0x10));
    assert!(Arc::ptr_eq(&view, &world.space.view()));
    assert_eq!((world.space.generation(), listener.take()), (view.generation(), Vec::<String>::new()));
}

#[test]
fn item_033_setting_what_is_set_is_nothing() {
    let (world, window) = pam();
    let generation = world.space.generation();
    let report = world.edit(|txn| {
        txn.set_enabled(window, false)?;
        txn.set_readonly(window, false)?;
        txn.set_transparent(window, Transparency::None)?;
        txn.slide_alias(window, 0xc_0000)?;
        txn.set_size(window, 0x4000)?;
        txn.set_priority(window, 1)?;
        txn.move_to(window, 0xc_0000)
    });
    assert!(report.deltas.is_empty());
    assert!(world.map.txn().commit().unwrap().deltas.is_empty());
    // There and back again, too.
    let report = world.edit(|txn| {
        txn.set_enabled(window, true)?;
        txn.set_enabled(window, false)
    });
    assert!(report.deltas.is_empty());
    assert_eq!(world.space.generation(), generation);
}

#[test]
fn item_034_a_port_change_leaves_the_memory_space_alone() {
    let world = World::new(ZEROS);
    world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x1000));
    let io = world.add(RegionSpec::container("io", 0x1_0000));
    let ports = world.map.space(io, "io", PORTS).unwrap();
    let generation = world.space.generation();
    let region = world.add(mmio("port", 8));
    let report = world.edit(|txn| txn.attach(io, 0x3f8, region, prio(0)));
    assert_eq!((report.deltas.len(), report.deltas[0].space), (1, ports.id()));
    assert_eq!(report.deltas[0].changed, [range(0x3f8, 0x3ff)]);
    assert_eq!((world.space.generation(), ports.generation()), (generation, 2));
}

#[test]
fn item_035_a_pam_toggle_changes_its_window_only() {
    let (world, window) = pam();
    let wanted = [range(0xc_0000, 0xc_3fff)];
    for enabled in [true, false, true] {
        let report = world.edit(|txn| txn.set_enabled(window, enabled));
        assert_eq!(world.changed(&report), wanted);
    }
    let report = world.edit(|txn| txn.set_transparent(window, Transparency::Writes));
    assert_eq!(world.changed(&report), wanted);
    // A window that shows what is there already changes nothing, though it splits nothing either.
    let ram = world.space.view().lookup(0).unwrap().leaf().id();
    let report = world.edit(|txn| txn.set_transparent(window, Transparency::None));
    assert_eq!(world.changed(&report), wanted);
    let same = world.add(RegionSpec::alias("same", ram, 0x10_0000, 0x4000));
    let report = world.edit(|txn| txn.attach(world.root, 0x10_0000, same, prio(1)));
    assert!(report.deltas.is_empty());
}

#[test]
fn item_036_a_moved_bar_changes_the_old_and_the_new_place() {
    let world = World::new(ZEROS);
    let pci = world.add(RegionSpec::container("pci", 0x1_0000_0000));
    world.put(world.root, 0xe000_0000, 0, RegionSpec::alias("hole", pci, 0xe000_0000, 0x2000_0000));
    let bar = world.put(pci, 0xe100_0000, 1, mmio("bar", 0x1000));
    let report = world.edit(|txn| txn.move_to(bar, 0xe200_0000));
    assert_eq!(world.changed(&report), [range(0xe100_0000, 0xe100_0fff), range(0xe200_0000, 0xe200_0fff)]);
    let report = world.edit(|txn| txn.move_to(bar, 0xe200_0800));
    // Every byte of the overlap shows another offset of the region.
    assert_eq!(world.changed(&report), [range(0xe200_0000, 0xe200_17ff)]);
    let report = world.edit(|txn| txn.move_to(bar, 0xd000_0000));
    assert_eq!(world.changed(&report), [range(0xe200_0800, 0xe200_17ff)]);
}

/// Records what it is told, and refuses when asked to.
#[derive(Default)]
struct Log {
    name: &'static str,
    shared: Arc<Mutex<Vec<String>>>,
    veto: bool,
}

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().unwrap())
    }

    fn note(&self, what: &str, delta: &MapDelta) {
        self.shared.lock().unwrap().push(format!("{what} {} {}", self.name, delta.space_name()));
    }
}

impl MapListener for Log {
    fn prepare(&self, delta: &MapDelta) -> Result<(), Veto> {
        self.note("prepare", delta);
        if self.veto { Err(Veto("no".into())) } else { Ok(()) }
    }

    fn apply(&self, delta: &MapDelta) {
        self.note("apply", delta);
    }
}

#[test]
fn item_039_all_prepare_then_all_apply_and_a_veto_stops_it() {
    let world = World::new(ZEROS);
    let region = world.put(world.root, 0, 0, mmio("r", 0x10));
    let log = Arc::new(Mutex::new(Vec::new()));
    let listen = |priority, name, veto| {
        world.space.listen(priority, Arc::new(Log { name, shared: log.clone(), veto }))
    };
    listen(10, "c", false);
    listen(0, "a", false);
    listen(10, "d", false);
    listen(5, "b", false);
    log.lock().unwrap().clear();
    world.edit(|txn| txn.move_to(region, 1));
    let told: Vec<_> = std::mem::take(&mut *log.lock().unwrap());
    let wanted =
        ["prepare a", "prepare b", "prepare c", "prepare d", "apply a", "apply b", "apply c", "apply d"];
    assert_eq!(told, wanted.map(|line| format!("{line} space")));

    let (was, view) = (world.map.tree_text_all(), world.space.view());
    let veto = listen(5, "v", true);
    log.lock().unwrap().clear();
    let mut txn = world.map.txn();
    txn.move_to(region, 2).unwrap();
    let refused = txn.commit();
    assert_eq!(refused.unwrap_err(), CommitError::Vetoed { space: "space".into(), veto: Veto("no".into()) });
    assert_eq!((world.map.tree_text_all(), world.shows()), (was, "1-10 r+0".into()));
    assert!(Arc::ptr_eq(&view, &world.space.view()));
    assert!(log.lock().unwrap().iter().all(|line| line.starts_with("prepare")));
    assert!(world.space.unlisten(veto) && !world.space.unlisten(veto));
    world.edit(|txn| txn.move_to(region, 2));
    assert_eq!(world.shows(), "2-11 r+0");
}

/// Reads the space, and tries to edit the map, from inside of its callbacks.
struct Curious {
    map: MemoryMap,
    space: AddressSpace,
    region: RegionId,
    seen: Mutex<Vec<(Vec<u8>, bool)>>,
}

impl Curious {
    fn look(&self) {
        let mut bytes = vec![0];
        self.space.read(0, &mut bytes, &mut AccessCx::dma());
        let mut txn = self.map.txn();
        let refused = txn.set_enabled(self.region, true).is_err() && txn.commit().is_err();
        self.seen.lock().unwrap().push((bytes, refused));
    }
}

impl MapListener for Curious {
    fn prepare(&self, _: &MapDelta) -> Result<(), Veto> {
        self.look();
        Ok(())
    }

    fn apply(&self, delta: &MapDelta) {
        assert!(Arc::ptr_eq(&delta.view, &self.space.view()));
        assert_eq!(delta.generation(), self.space.generation());
        self.look();
    }
}

#[test]
fn item_041_the_old_view_in_prepare_and_the_new_one_in_apply() {
    let world = World::new(ZEROS);
    world.put(world.root, 0, 0, RegionSpec::ram("low", 0x1000));
    let region = world.put(world.root, 0, 1, RegionSpec::ram("high", 0x1000));
    world.write(0, &[2]);
    world.edit(|txn| txn.set_enabled(region, false));
    world.write(0, &[1]);
    let seen = Mutex::default();
    let curious = Arc::new(Curious { map: world.map.clone(), space: world.space.clone(), region, seen });
    world.space.listen(0, curious.clone());
    world.edit(|txn| txn.set_enabled(region, true));
    let [listened, prepared, applied] = [(vec![1], true), (vec![1], true), (vec![2], true)];
    assert_eq!(*curious.seen.lock().unwrap(), [listened, prepared, applied]);
}

/// A register that moves its own region to the address written.
struct Mover {
    map: MemoryMap,
    region: Option<RegionId>,
}

impl MmioDevice for Mover {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        Ok(0x77)
    }

    fn write(
        &mut self,
        _: RegionOffset,
        value: u64,
        _: AccessSize,
        _: &mut AccessCx,
    ) -> Result<(), BusError> {
        let mut txn = self.map.txn();
        let moved = self.region.is_some_and(|region| txn.move_to(region, value).is_ok());
        if moved && txn.commit().is_ok() { Ok(()) } else { Err(BusError::Device(1)) }
    }

    fn reset(&mut self) {}
}

#[test]
fn item_043_a_device_remaps_itself_from_a_callback() {
    let world = World::new(ZEROS);
    let device = Device::new(Mover { map: world.map.clone(), region: None });
    let region = world.put(world.root, 0, 0, RegionSpec::mmio("mover", 4, device.clone(), ANY));
    device.lock().region = Some(region);
    assert!(world.write(0, &[0, 1, 0, 0]));
    assert_eq!(
        (world.shows(), world.read(0x100, 1), world.read(0, 1)),
        ("100-103 mover+0".into(), vec![0x77], vec![0])
    );
    // Two threads at once: the writer passes from one to the other.
    let space = world.space.clone();
    std::thread::scope(|scope| {
        for n in 1..3_u8 {
            let space = &space;
            scope.spawn(move || {
                for at in 0..50 {
                    let held = space.view();
                    let here = held.ranges().next().unwrap().range.first();
                    held.write_bytes(here, &[n, at, 0, 0], memory::Row::ByteCopy, &mut AccessCx::cpu());
                }
            });
        }
    });
    assert!(world.map.rendered(&world.space).unwrap().shows_the_same(&world.space.view()));
    world.map.clear().unwrap();
}

#[test]
fn a_removed_region_is_gone_for_good() {
    let world = World::new(ZEROS);
    let outer = world.put(world.root, 0, 0, mmio("outer", 0x100));
    let inner = world.put(outer, 0, 0, RegionSpec::ram("inner", 0x10));
    world.put(world.root, 0x1000, 0, RegionSpec::alias("alias", outer, 0, 0x100));
    let report = world.map.remove(outer).unwrap();
    assert_eq!(world.changed(&report), [range(0, 0xff), range(0x1000, 0x10ff)]);
    assert_eq!(world.shows(), "");
    assert!(matches!(world.map.remove(outer), Err(MapError::NoRegion(region)) if region == outer));
    // Its children are whole, and its id is not used again.
    world.edit(|txn| txn.attach(world.root, 0x20, inner, prio(0)));
    assert_eq!(world.shows(), "20-2f inner+0");
    let next = world.add(mmio("next", 0x10));
    assert!(next != outer && world.map.ram_block(inner).is_some());
    assert!(matches!(world.map.txn().attach(world.root, 0, outer, prio(0)), Err(MapError::NoRegion(_))));
    world.map.remove(world.root).unwrap();
    assert!(world.space.view().is_empty());
}

#[test]
fn a_view_beyond_the_limits_is_refused_and_undone() {
    // Each level shows the one below twice: 2^40 paths.
    let world = World::new(ZEROS);
    let mut below = world.add(mmio("leaf", 1));
    for _ in 0..25 {
        let next = world.add(RegionSpec::container("level", RegionSize::WHOLE));
        world.put(next, 0, 0, RegionSpec::alias("one", below, 0, RegionSize::WHOLE));
        world.put(next, 0, 0, RegionSpec::alias("two", below, 0, RegionSize::WHOLE));
        below = next;
    }
    let mut txn = world.map.txn();
    txn.attach(world.root, 0, below, prio(0)).unwrap();
    assert!(matches!(txn.commit(), Err(CommitError::TooComplex(_))));
    assert!(
        world
            .map
            .tree_text_all()
            .starts_with("address-space: space\n  0000000000000000-ffffffffffffffff (prio 0, i/o): root\n\n")
    );
    world.put(world.root, 0, 0, mmio("fine", 1));
    assert_eq!(world.shows(), "0-0 fine+0");
}

#[test]
fn a_listeners_panic_leaves_the_map_usable() {
    struct Bomb;
    impl MapListener for Bomb {
        fn prepare(&self, _: &MapDelta) -> Result<(), Veto> {
            panic!("asked for");
        }
        fn apply(&self, _: &MapDelta) {}
    }
    let world = World::new(ZEROS);
    let region = world.put(world.root, 0, 0, mmio("r", 1));
    let bomb = world.space.listen(0, Arc::new(Bomb));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.edit(|txn| txn.move_to(region, 4));
    }));
    assert!(caught.is_err());
    assert!(world.space.unlisten(bomb));
    assert_eq!(world.shows(), "0-0 r+0");
    world.edit(|txn| txn.move_to(region, 5));
    assert_eq!(world.shows(), "5-5 r+0");
}
