//! Item 70: what is written down of refused accesses.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use memory::{AccessCx, RegionSpec, TxError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::common::*;

/// Keeps the messages of the events with target `mem::mmio`.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").unwrap();
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "mem::mmio"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The lines that `run` makes.
fn lines(run: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), run);
    std::mem::take(&mut *lines.0.lock().unwrap())
}

#[test]
fn item_070_a_refused_access_gives_one_line() {
    let world = World::new(ONES);
    world.put(world.root, 0x1000, 0, RegionSpec::ram("low", 0x1000));
    world.put(world.root, 0x4000, 0, RegionSpec::reservation("held", 0x10));
    world.put(world.root, 0x8000, 0, RegionSpec::rom("bios", 0x1000));
    let write = |addr| world.space.write(addr, &[1; 2], &mut AccessCx::dma());
    let made = lines(|| {
        write(0x4004);
        write(0x3000);
        write(0x8000);
        world.space.read(0x9000, &mut [0; 4], &mut AccessCx::dma());
    });
    assert_eq!(
        made,
        [
            "space: write of 2 at 0x4004 in `held`: rejected: Reserved; below: 1000-1fff low; above: 8000-8fff bios; count 1",
            "space: write of 2 at 0x3000, where nothing is mapped: unassigned; below: 1000-1fff low; above: 4000-400f held; count 1",
            "space: write of 2 at 0x8000 in `bios`: dropped by ROM; below: 4000-400f held; above: nothing; count 1",
            "space: read of 4 at 0x9000, where nothing is mapped: unassigned; below: 8000-8fff bios; above: nothing; count 2",
        ]
    );
    let last = world.space.last_rejection().unwrap();
    assert_eq!((last.addr, last.reason, last.region), (0x9000, Some(TxError::Unassigned), None));
}

#[test]
fn item_070_a_storm_is_counted_and_does_not_flood_the_log() {
    let world = World::new(ONES);
    let made = lines(|| {
        for _ in 0..100_000 {
            world.space.read(0x10, &mut [0], &mut AccessCx::dma());
        }
    });
    // Sixteen, then 32, 64 and so on up to 65536.
    assert_eq!(made.len(), 16 + 12);
    assert!(made.last().unwrap().ends_with("count 65536"));
    assert_eq!(world.space.rejections().unassigned, 100_000);
    // Another kind is not silenced by it.
    world.put(world.root, 0, 0, RegionSpec::reservation("held", 0x10));
    assert_eq!(lines(|| assert!(!world.write(4, &[1]))).len(), 1);
}
