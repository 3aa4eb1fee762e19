//! Items 87 to 89, and of item 120 what concerns them: coalesced ranges and I/O events.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use base::{AccessSize, AddrRange, RegionOffset};
use memory::{
    AccessCx, AccessRules, Appearance, BusError, Device, IoEvent, IoEventSink, MapDelta, MapError,
    MapListener, MemoryMap, MmioDevice, RegionId, RegionSpec, Row, TxError, Veto,
};

use crate::common::*;

/// Counts.
#[derive(Default)]
struct Bell(AtomicU32);

impl IoEventSink for Bell {
    fn signal(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Writes down what comes and goes.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    deltas: AtomicU32,
}

impl MapListener for Log {
    fn prepare(&self, _: &MapDelta) -> Result<(), Veto> {
        Ok(())
    }

    fn apply(&self, delta: &MapDelta) {
        self.deltas.fetch_add(1, Ordering::Relaxed);
        let sign = |how| if how == Appearance::Appeared { '+' } else { '-' };
        let events = delta.io_events();
        let events = events.iter().map(|(how, placed)| format!("{}event {:x}", sign(*how), placed.addr));
        let ranges = delta.coalesced();
        let ranges = ranges.iter().map(|(how, range)| format!("{}{range:?}", sign(*how)));
        self.lines.lock().unwrap().extend(events.chain(ranges));
    }
}

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

/// A device of 4 KiB at 10000h, with a listener.
fn world() -> (World, RegionId, Arc<Device<Recorder>>, Arc<Log>) {
    let (world, device, log) = (World::new(ZEROS), Recorder::new(0x1000), Arc::new(Log::default()));
    let rules = AccessRules::new().valid(1, 8).implemented(1, 8);
    let region = world.put(world.root, 0x1_0000, 0, RegionSpec::mmio("dev", 0x1000, device.clone(), rules));
    world.space.listen(0, log.clone());
    log.take();
    (world, region, device, log)
}

fn store(world: &World, addr: u64, size: AccessSize, value: u64) {
    let view = world.space.view();
    assert!(view.dispatch_write(addr, size, value, Row::Cpu, &mut AccessCx::cpu()).is_ok());
}

fn load(world: &World, addr: u64) -> u64 {
    world.space.view().dispatch_read(addr, AccessSize::B4, Row::Cpu, &mut AccessCx::cpu()).0
}

use AccessSize::{B1, B2, B4, B8};

#[test]
fn item_087_queued_writes_keep_their_order_and_come_before_what_flushes() {
    let (world, region, device, _) = world();
    let (plain, flushing, other) = (Recorder::new(0x1000), Recorder::new(0x1000), Recorder::new(0x1000));
    world.put(world.root, 0x2_0000, 0, RegionSpec::mmio("plain", 0x1000, plain.clone(), ANY));
    let flush = world.put(world.root, 0x3_0000, 0, RegionSpec::mmio("flush", 0x1000, flushing.clone(), ANY));
    world.put(world.root, 0x4_0000, 0, RegionSpec::mmio("other", 0x1000, other, ANY));
    world.edit(|txn| txn.add_coalesced(region, range(0, 0xff)));
    world.edit(|txn| txn.set_flush_coalesced(flush, true));
    // Off: at once.
    store(&world, 0x1_0000, B4, 1);
    assert_eq!((calls(&device), world.map.queued_writes()), (vec![('w', 0, 4, 1)], 0));
    world.map.queue_writes(true);
    let queue = || {
        store(&world, 0x1_0000, B4, 2);
        store(&world, 0x1_0004, B1, 3);
        assert!(world.write(0x1_0008, &[4, 0]));
        assert_eq!((calls(&device), world.map.queued_writes()), (vec![], 3));
    };
    let queued = [('w', 0, 4, 2), ('w', 4, 1, 3), ('w', 8, 2, 4)];
    // A read of the region comes after them.
    queue();
    assert_eq!(load(&world, 0x1_0000), 2);
    assert_eq!(calls(&device), [queued[0], queued[1], queued[2], ('r', 0, 4, 0)]);
    // So does a write to what is not coalesced, one that only begins in the range too.
    queue();
    store(&world, 0x1_0100, B8, 5);
    assert_eq!(calls(&device), [queued[0], queued[1], queued[2], ('w', 0x100, 8, 5)]);
    // An access to a region that does not flush leaves them; to one that does, it does not.
    queue();
    load(&world, 0x2_0000);
    assert_eq!((calls(&device), calls(&plain).len()), (vec![], 1));
    load(&world, 0x3_0000);
    assert_eq!((calls(&device), calls(&flushing).len()), (queued.to_vec(), 1));
    // A transaction, clearing the range, turning the queue off, and being asked.
    queue();
    let txn = world.map.txn();
    assert_eq!(calls(&device), queued);
    drop(txn);
    queue();
    world.map.flush_writes();
    assert_eq!(calls(&device), queued);
    queue();
    world.map.queue_writes(false);
    assert_eq!(calls(&device), queued);
    world.map.queue_writes(true);
    let mut txn = world.map.txn();
    queue();
    txn.clear_coalesced(region).unwrap();
    assert_eq!(calls(&device), queued);
    txn.commit().unwrap();
    store(&world, 0x1_0000, B4, 1);
    assert_eq!(calls(&device), [('w', 0, 4, 1)]);
}

#[test]
fn item_087_a_full_queue_and_writes_that_are_refused() {
    let (world, region, device, _) = world();
    world.edit(|txn| txn.add_coalesced(region, AddrRange::ALL));
    world.map.queue_writes(true);
    for n in 0..1000 {
        store(&world, 0x1_0000, B4, n);
    }
    assert!(world.map.queued_writes() <= 256);
    world.map.flush_writes();
    assert!(calls(&device).iter().map(|call| call.3).eq(0..1000));
    // What the region refuses is refused at once, and what the guest asks a debugger for is not put off.
    let words = Recorder::new(0x10);
    let rules = AccessRules::new().valid(4, 4);
    let second = world.put(world.root, 0, 0, RegionSpec::mmio("words", 0x10, words.clone(), rules));
    world.edit(|txn| txn.add_coalesced(second, range(0, 0xf)));
    assert!(!world.write(0, &[1]));
    assert_eq!(world.map.queued_writes(), 0);
    let debugger = &mut AccessCx::debugger(memory::DebugReach::Devices);
    assert!(world.space.write(0, &[1; 4], debugger).is_ok());
    assert_eq!(calls(&words).len(), 1);
    // They belong to the region: a change of the map between does not lead them elsewhere.
    store(&world, 0, B4, 7);
    world.edit(|txn| txn.move_to(second, 0x8000));
    assert_eq!(calls(&words), [('w', 0, 4, 7)]);
}

#[test]
fn item_087_listeners_get_the_ranges_as_they_are_shown() {
    let (world, region, _, log) = world();
    world.edit(|txn| txn.add_coalesced(region, range(0x100, 0x2ff)));
    assert_eq!(log.take(), ["+10100-102ff"]);
    // What touches joins.
    world.edit(|txn| txn.add_coalesced(region, range(0x300, 0x3ff)));
    assert_eq!(log.take(), ["-10100-102ff", "+10100-103ff"]);
    let over = world.put(world.root, 0x1_0180, 1, mmio("over", 0x80));
    assert_eq!(log.take(), ["-10100-103ff", "+10100-1017f", "+10200-103ff"]);
    world.edit(|txn| txn.set_enabled(over, false));
    assert_eq!(log.take(), ["-10100-1017f", "-10200-103ff", "+10100-103ff"]);
    world.edit(|txn| txn.move_to(region, 0x2_0000));
    assert_eq!(log.take(), ["-10100-103ff", "+20100-203ff"]);
    // An alias shows its part too.
    world.put(world.root, 0x5000, 0, RegionSpec::alias("window", region, 0x200, 0x1000_u64));
    assert_eq!(log.take(), ["+5000-51ff"]);
    assert!(matches!(
        world.map.txn().set_flush_coalesced(region, false),
        Err(MapError::Busy("the region has coalesced ranges"))
    ));
    world.edit(|txn| txn.clear_coalesced(region));
    assert_eq!(log.take(), ["-5000-51ff", "-20100-203ff"]);
    let plain = world.add(RegionSpec::ram("ram", 0x1000));
    let refused = world.map.txn().add_coalesced(plain, range(0, 1));
    assert!(matches!(refused, Err(MapError::WrongKind { .. })));
}

/// Opens a transaction when it is read.
struct Editor(MemoryMap);

impl MmioDevice for Editor {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        self.0.txn().commit().unwrap();
        Ok(self.0.queued_writes() as u64)
    }

    fn write(&mut self, _: RegionOffset, _: u64, _: AccessSize, _: &mut AccessCx) -> Result<(), BusError> {
        Ok(())
    }

    fn reset(&mut self) {}
}

#[test]
fn item_087_a_transaction_in_a_callback_does_not_deliver_under_the_devices_lock() {
    let (world, region, device, _) = world();
    let editor = Device::new(Editor(world.map.clone()));
    let editor = world.put(world.root, 0, 0, RegionSpec::mmio("editor", 4, editor, ANY));
    world.edit(|txn| txn.add_coalesced(region, range(0, 0xff)));
    world.map.queue_writes(true);
    store(&world, 0x1_0000, B4, 2);
    assert_eq!((load(&world, 0), calls(&device)), (1, vec![]));
    // Its region may flush: then nothing waits when it runs.
    world.edit(|txn| txn.set_flush_coalesced(editor, true));
    store(&world, 0x1_0000, B4, 3);
    assert_eq!((load(&world, 0), calls(&device).len()), (0, 2));
    world.map.clear().unwrap();
}

#[test]
fn item_088_a_write_that_matches_signals_and_calls_nobody() {
    let (world, region, device, log) = world();
    let (bell, other) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    world.edit(|txn| txn.add_io_event(region, IoEvent::sized(0x10, B2, bell.clone()).matching(5)));
    assert_eq!(log.take(), ["+event 10010"]);
    let at = |size, value| {
        store(&world, 0x1_0010, size, value);
        (bell.take(), calls(&device).len())
    };
    assert_eq!(at(B2, 5), (1, 0));
    assert_eq!([at(B2, 6), at(B1, 5), at(B4, 5)], [(0, 1); 3]);
    store(&world, 0x1_0012, B2, 5);
    assert_eq!((bell.take(), calls(&device).len()), (0, 1));
    // Reads call; a bus master's write signals.
    assert_eq!((load(&world, 0x1_0010), calls(&device).len(), bell.take()), (0x0005_0005, 1, 0));
    assert!(world.write(0x1_0010, &[5, 0]));
    assert_eq!((bell.take(), calls(&device)), (1, vec![]));
    // Any width, for which the value means nothing; it comes before the others at its offset.
    world.edit(|txn| txn.add_io_event(region, IoEvent::any(0x10, other.clone()).matching(9)));
    assert_eq!((at(B4, 1), at(B2, 5)), ((0, 0), (0, 0)));
    assert_eq!(other.take(), 2);
    // The events of a region move with it, and another region at their old place is not affected.
    log.take();
    world.edit(|txn| txn.move_to(region, 0x2_0000));
    assert_eq!(log.take(), ["-event 10010", "-event 10010", "+event 20010", "+event 20010"]);
    let there = Recorder::new(0x1000);
    world.put(world.root, 0x1_0000, 0, RegionSpec::mmio("there", 0x1000, there.clone(), ANY));
    store(&world, 0x1_0010, B4, 1);
    store(&world, 0x2_0010, B4, 1);
    assert_eq!((calls(&there).len(), calls(&device).len(), other.take()), (1, 0, 1));
    // An event whose first byte is hidden is told to listeners, but no write reaches it.
    let over = Recorder::new(0x1000);
    world.put(world.root, 0x2_0010, 1, RegionSpec::mmio("over", 1, over.clone(), ANY));
    store(&world, 0x2_0010, B1, 5);
    assert_eq!((calls(&over).len(), other.take(), bell.take()), (1, 0, 0));
    // What a region rejects does not signal.
    let rules = AccessRules::new().valid(4, 4);
    let words = world.put(world.root, 0, 0, RegionSpec::mmio("words", 0x10, there.clone(), rules));
    world.edit(|txn| txn.add_io_event(words, IoEvent::any(0, bell.clone())));
    assert!(!world.write(0, &[1]) && world.write(0, &[1; 4]));
    assert_eq!((bell.take(), calls(&there)), (1, vec![]));
}

#[test]
fn item_088_the_value_is_the_guests_whatever_the_devices_order() {
    let world = World::new(ZEROS);
    let (bell, device) = (Arc::new(Bell::default()), Device::new(Recorder::plain(0x10, true)));
    let rules = AccessRules::new().big_endian();
    let region = world.put(world.root, 0, 0, RegionSpec::mmio("big", 0x10, device.clone(), rules));
    world.edit(|txn| txn.add_io_event(region, IoEvent::sized(0, B4, bell.clone()).matching(0xaabb_ccdd)));
    store(&world, 0, B4, 0xaabb_ccdd);
    store(&world, 0, B4, 0xddcc_bbaa);
    assert_eq!((bell.take(), calls(&device)), (1, vec![('w', 0, 4, 0xaabb_ccdd)]));
}

#[test]
fn item_089_an_event_is_taken_away_by_all_that_it_consists_of() {
    let (world, region, device, log) = world();
    let (bell, other) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    let event = |width, data| IoEvent::sized(0x10, width, bell.clone()).matching(data);
    let any = IoEvent::any(0x10, bell.clone());
    let mut txn = world.map.txn();
    txn.add_io_event(region, event(B2, 5)).unwrap();
    txn.add_io_event(region, any.clone()).unwrap();
    assert!(matches!(txn.add_io_event(region, event(B2, 5)), Err(MapError::DuplicateIoEvent { .. })));
    let absent = [
        event(B4, 5),
        event(B2, 6),
        IoEvent::sized(0x10, B2, bell.clone()),
        IoEvent::sized(0x11, B2, bell.clone()).matching(5),
        IoEvent::sized(0x10, B2, other.clone()).matching(5),
        IoEvent::any(0x10, other.clone()),
    ];
    for event in &absent {
        assert!(matches!(txn.remove_io_event(region, event), Err(MapError::NoIoEvent { .. })), "{event:?}");
    }
    // Removing the sized one leaves the one of any width.
    txn.remove_io_event(region, &event(B2, 5)).unwrap();
    txn.commit().unwrap();
    assert_eq!(log.take(), ["+event 10010"]);
    store(&world, 0x1_0010, B2, 5);
    assert_eq!((bell.take(), calls(&device)), (1, vec![]));
    world.edit(|txn| txn.remove_io_event(region, &any));
    store(&world, 0x1_0010, B2, 5);
    assert_eq!((bell.take(), calls(&device).len(), log.take()), (0, 1, vec!["-event 10010".to_owned()]));
    let ram = world.add(RegionSpec::ram("ram", 0x1000));
    assert!(matches!(world.map.txn().add_io_event(ram, any.clone()), Err(MapError::WrongKind { .. })));
}

#[test]
fn item_120_events_and_ranges_of_what_is_not_shown() {
    let (world, _, _, log) = world();
    let (bell, device) = (Arc::new(Bell::default()), Recorder::new(0x100));
    let region = world.add(RegionSpec::mmio("late", 0x100, device.clone(), ANY));
    let generation = world.space.generation();
    log.deltas.store(0, Ordering::Relaxed);
    let set = world.edit(|txn| {
        txn.add_io_event(region, IoEvent::any(0x10, bell.clone()))?;
        txn.add_coalesced(region, range(0x20, 0x2f))
    });
    assert!(set.deltas.is_empty());
    assert_eq!((world.space.generation(), log.deltas.load(Ordering::Relaxed)), (generation, 0));
    // In force in the very commit that shows the region, and gone with it.
    world.edit(|txn| txn.attach(world.root, 0x1000, region, prio(0)));
    assert_eq!(log.take(), ["+event 1010", "+1020-102f"]);
    store(&world, 0x1010, B4, 0);
    assert_eq!(bell.take(), 1);
    world.edit(|txn| txn.set_enabled(region, false));
    assert_eq!(log.take(), ["-event 1010", "-1020-102f"]);
    log.deltas.store(0, Ordering::Relaxed);
    world.edit(|txn| txn.clear_coalesced(region));
    assert_eq!(log.deltas.load(Ordering::Relaxed), 0);
    world.edit(|txn| txn.set_enabled(region, true));
    assert_eq!(log.take(), ["+event 1010"]);
    // Nothing is done twice, and what is rolled back never was.
    let generation = world.space.generation();
    let mut txn = world.map.txn();
    txn.add_coalesced(region, range(0, 0xff)).unwrap();
    txn.remove_io_event(region, &IoEvent::any(0x10, bell.clone())).unwrap();
    drop(txn);
    world.edit(|txn| txn.set_flush_coalesced(region, false));
    assert_eq!((world.space.generation(), log.take()), (generation, vec![]));
    // A space that is made later shows them from the start; a removed region takes them along.
    let second = world.map.space(world.root, "second", ZEROS).unwrap();
    assert_eq!(second.view().io_events()[0].addr, 0x1010);
    assert_eq!(world.edit(|txn| txn.remove(region)).deltas.len(), 2);
    assert_eq!(log.take(), ["-event 1010"]);
    assert!(second.view().io_events().is_empty() && !world.write(0x1010, &[1]));
    assert_eq!(world.space.last_rejection().unwrap().reason, Some(TxError::Unassigned));
}

/// Refuses every commit.
struct Never;

impl MapListener for Never {
    fn prepare(&self, _: &MapDelta) -> Result<(), Veto> {
        Err(Veto("never".to_owned()))
    }

    fn apply(&self, _: &MapDelta) {}
}

#[test]
fn item_120_a_refused_commit_leaves_events_as_they_were() {
    let (world, region, device, log) = world();
    let bell = Arc::new(Bell::default());
    let event = IoEvent::any(0, bell.clone());
    world.edit(|txn| txn.add_io_event(region, event.clone()));
    log.take();
    let never = world.space.listen(9, Arc::new(Never));
    let mut txn = world.map.txn();
    txn.remove_io_event(region, &event).unwrap();
    assert!(txn.commit().is_err());
    store(&world, 0x1_0000, B4, 1);
    assert_eq!((bell.take(), calls(&device), log.take()), (1, vec![], vec![]));
    world.space.unlisten(never);
    world.edit(|txn| txn.move_to(region, 0x3_0000));
    store(&world, 0x3_0000, B4, 1);
    assert_eq!((bell.take(), log.take()), (1, vec!["-event 10000".to_owned(), "+event 30000".to_owned()]));
}
