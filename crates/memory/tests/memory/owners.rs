//! Items 122, 123: owners that are dropped, and regions that come and go while others read.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use base::{AccessSize, RegionOffset};
use memory::{
    Access, AccessCx, BusError, Device, MapDelta, MapError, MapListener, MemoryMap, MmioDevice, OwnerId,
    RegionSpec, Row, Veto,
};

use crate::common::*;

/// Says when it is dropped.
struct Canary(Arc<AtomicBool>);

impl Drop for Canary {
    fn drop(&mut self) {
        assert!(!self.0.swap(true, Ordering::SeqCst), "dropped twice");
    }
}

fn canary() -> (Arc<Canary>, Arc<AtomicBool>) {
    let gone = Arc::new(AtomicBool::new(false));
    (Arc::new(Canary(gone.clone())), gone)
}

#[test]
fn item_122_the_regions_of_an_owner_leave_in_one_commit() {
    let world = World::new(ZEROS);
    let second = world.map.space(world.root, "second", ZEROS).unwrap();
    let (data, gone) = canary();
    let card = world.map.add_owner("card", data);
    let own = |spec: RegionSpec| spec.owned_by(card);
    let bar = world.put(world.root, 0x1000, 0, own(RegionSpec::container("bar", 0x1000)));
    let vram = world.put(bar, 0, 0, own(RegionSpec::ram("vram", 0x400)));
    world.put(bar, 0x400, 0, own(mmio("registers", 0x100)));
    let foreign = world.put(bar, 0x800, 0, mmio("foreign", 0x100));
    let window = world.put(world.root, 0x8000, 0, RegionSpec::alias("window", vram, 0, 0x100));
    assert_eq!(world.map.ram_block(vram).unwrap().name(), "card/vram");
    let view = second.view();

    let report = world.map.drop_owner(card).unwrap();
    assert_eq!(report.deltas.len(), 2, "both spaces, in one commit");
    assert_eq!(world.changed(&report), [range(0x1000, 0x14ff), range(0x1800, 0x18ff), range(0x8000, 0x80ff)]);
    assert!(world.space.view().is_empty() && second.view().is_empty());
    drop(report);
    // The alias is there and empty; the foreign child is detached, not removed.
    world.edit(|txn| txn.slide_alias(window, 1));
    world.edit(|txn| txn.attach(world.root, 0, foreign, prio(0)));
    assert_eq!(world.shows(), "0-ff foreign+0");
    assert!(matches!(world.map.remove(bar), Err(MapError::NoRegion(id)) if id == bar));
    assert!(matches!(world.map.drop_owner(card), Err(MapError::NoOwner(id)) if id == card));
    assert!(matches!(world.map.add(own(mmio("more", 1))), Err(MapError::NoOwner(_))));
    world.add(RegionSpec::ram("vram", 0x400).owner("card"));

    // An old view keeps what it shows, and what that needs.
    assert!(!gone.load(Ordering::SeqCst));
    let (value, outcome) = view.dispatch_read(0x1400, AccessSize::B1, Row::Cpu, &mut AccessCx::cpu());
    assert!(value == 0x10 && outcome.is_ok());
    drop(view);
    assert!(gone.load(Ordering::SeqCst));
}

#[test]
fn item_122_the_owner_outlives_a_mapping() {
    let world = World::new(ZEROS);
    let (data, gone) = canary();
    let card = world.map.add_owner("card", data);
    world.put(world.root, 0, 0, RegionSpec::ram("vram", 0x1000).owned_by(card));
    world.put(world.root, 0x1000, 0, RegionSpec::ram("other", 0x1000));
    let mut mapping = world.space.map(0xf00, 0x200, Access::Write, &mut AccessCx::dma()).unwrap();
    let other = world.space.map(0x1000, 0x10, Access::Write, &mut AccessCx::dma()).unwrap();
    world.map.drop_owner(card).unwrap();
    assert!(mapping.write(0, &[7; 0x200]) && !gone.load(Ordering::SeqCst));
    assert!(mapping.complete(0x200, &mut AccessCx::dma()).is_ok());
    assert!(gone.load(Ordering::SeqCst), "the last use is over");
    drop(other);
}

#[test]
fn item_122_a_refused_or_dropped_transaction_keeps_the_owner() {
    struct No;
    impl MapListener for No {
        fn prepare(&self, _: &MapDelta) -> Result<(), Veto> {
            Err(Veto("no".into()))
        }

        fn apply(&self, _: &MapDelta) {}
    }
    let world = World::new(ZEROS);
    let (data, gone) = canary();
    let card = world.map.add_owner("card", data);
    let bar = world.put(world.root, 0, 0, RegionSpec::container("bar", 0x1000).owned_by(card));
    world.put(bar, 0, 0, mmio("foreign", 0x10));
    world.put(bar, 0x10, 0, mmio("registers", 0x10).owned_by(card));
    let (tree, shows) = (world.map.tree_text_all(), world.shows());
    let no = world.space.listen(0, Arc::new(No));
    assert!(world.map.drop_owner(card).is_err());
    assert!(world.space.unlisten(no));
    let mut txn = world.map.txn();
    txn.drop_owner(card).unwrap();
    assert!(matches!(txn.drop_owner(card), Err(MapError::NoOwner(_))));
    drop(txn);
    assert_eq!((world.map.tree_text_all(), world.shows()), (tree, shows));
    world.add(mmio("more", 0x10).owned_by(card));
    assert!(!gone.load(Ordering::SeqCst));
    world.map.drop_owner(card).unwrap();
    assert!(gone.load(Ordering::SeqCst), "no view shows it");
    assert_eq!(world.map.tree_text_all().lines().count(), 3, "the space, its root, and an empty line");
}

/// A device that has its own regions taken out of the map from inside of a callback.
struct Ejects {
    map: MemoryMap,
    owner: Arc<OnceLock<OwnerId>>,
    gone: Arc<AtomicBool>,
    _canary: Arc<Canary>,
}

impl MmioDevice for Ejects {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        self.map.drop_owner(*self.owner.get().unwrap()).unwrap();
        Ok(if self.gone.load(Ordering::SeqCst) { 0xdead } else { 0x600d })
    }

    fn write(&mut self, _: RegionOffset, _: u64, _: AccessSize, _: &mut AccessCx) -> Result<(), BusError> {
        Ok(())
    }

    fn reset(&mut self) {}
}

#[test]
fn item_122_the_owner_outlives_a_running_callback() {
    let world = World::new(ZEROS);
    let (data, gone) = canary();
    let owner = Arc::new(OnceLock::new());
    // The device is what the owner keeps alive, so it goes with it.
    let device = Device::new(Ejects {
        map: world.map.clone(),
        owner: owner.clone(),
        gone: gone.clone(),
        _canary: data,
    });
    let id = world.map.add_owner("card", device.clone());
    owner.set(id).unwrap();
    world.put(world.root, 0, 0, RegionSpec::mmio("registers", 4, device.clone(), ANY).owned_by(id));
    drop(device);
    let mut bytes = [0; 2];
    assert!(world.space.read(0, &mut bytes, &mut AccessCx::dma()).is_ok());
    assert_eq!((bytes, world.shows()), ([0x0d, 0x60], String::new()));
    assert!(gone.load(Ordering::SeqCst), "dropped when the access was over");
}

#[test]
fn item_123_regions_come_slide_and_go_while_others_read() {
    const PAGES: u64 = 8;
    let world = World::new(ONES);
    let pool = world.add(RegionSpec::ram("pool", PAGES * 0x1000));
    for page in 0..PAGES {
        world.map.ram_block(pool).unwrap().write(page * 0x1000, &[page as u8 + 1; 0x1000]);
    }
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Bytes of one page or, where nothing is, of none.
            while !stop.load(Ordering::Relaxed) {
                let bytes = world.read(0x10_0000 + 0x7c0, 64);
                assert!(bytes.iter().all(|byte| *byte == bytes[0]), "{bytes:x?}");
                assert!(bytes[0] == 0xff || (1..=PAGES as u8).contains(&bytes[0]), "{bytes:x?}");
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut used = HashSet::new();
        let mut turn = 0_u64;
        while turn < 4000 || reads.load(Ordering::Relaxed) < 1000 {
            turn += 1;
            let page = |n: u64| n % PAGES * 0x1000;
            let holder = world.add(RegionSpec::container("holder", 0x2000));
            let target = world.add(RegionSpec::alias("target", pool, page(turn), 0x1000));
            let alias = world.add(RegionSpec::alias("alias", target, 0, 0x1000));
            assert!(used.insert(holder) && used.insert(target) && used.insert(alias), "an id is used again");
            world.edit(|txn| {
                txn.attach(holder, 0, alias, prio(0))?;
                txn.attach(world.root, 0x10_0000, holder, prio(0))
            });
            assert_eq!(world.read(0x10_0000, 1), [(turn % PAGES) as u8 + 1]);
            world.edit(|txn| txn.slide_alias(target, page(turn + 1)));
            assert_eq!(world.read(0x10_0fff, 1), [((turn + 1) % PAGES) as u8 + 1]);
            // The target goes: its alias shows nothing, and the id leads nowhere.
            world.map.remove(target).unwrap();
            assert!(world.space.view().is_empty());
            let mut txn = world.map.txn();
            assert!(matches!(txn.slide_alias(target, 0), Err(MapError::NoRegion(id)) if id == target));
            assert!(matches!(txn.attach(holder, 0, target, prio(0)), Err(MapError::NoRegion(_))));
            drop(txn);
            assert!(matches!(
                world.map.add(RegionSpec::alias("late", target, 0, 1)),
                Err(MapError::NoRegion(_))
            ));
            world.edit(|txn| txn.remove(holder).and(txn.remove(alias)));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(world.map.rendered(&world.space).unwrap().len(), 0);
}
