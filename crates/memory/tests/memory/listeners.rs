//! Items 40, 120: listeners that come late and leave, and flags set before a region is seen.

use std::sync::{Arc, Mutex, OnceLock};

use base::AccessSize;
use memory::{
    AccessCx, AddressSpace, ListenerId, MapDelta, MapListener, RegionSpec, Row, Target, Transparency, Veto,
};

use crate::common::*;

/// Records what it is told: what goes and what comes.
#[derive(Default)]
struct Told(Mutex<Vec<(String, String)>>);

impl Told {
    fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl MapListener for Told {
    fn apply(&self, delta: &MapDelta) {
        let text = |ranges: &mut dyn Iterator<Item = memory::FlatRange>| {
            ranges.map(|range| format!("{range:?}")).collect::<Vec<_>>().join(" | ")
        };
        let told = (text(&mut delta.removed()), text(&mut delta.added()));
        self.0.lock().unwrap().push(told);
    }
}

fn pair(removed: &str, added: &str) -> (String, String) {
    (removed.to_owned(), added.to_owned())
}

#[test]
fn item_040_the_first_delta_is_the_map_and_the_last_its_end() {
    let world = World::new(ZEROS);
    let told = Arc::new(Told::default());
    let early = world.space.listen(0, told.clone());
    assert!(told.take().is_empty(), "nothing is mapped");
    let ram = world.put(world.root, 0x1000, 0, RegionSpec::ram("ram", 0x1000));
    assert_eq!(told.take(), [pair("", "1000-1fff ram+0")]);
    world.put(world.root, 0x1800, 1, mmio("dev", 0x10));
    assert_eq!(told.take(), [pair("1800-180f ram+800", "1800-180f dev+0")]);

    let late = Arc::new(Told::default());
    let id = world.space.listen(0, late.clone());
    let map = "1000-17ff ram+0 | 1800-180f dev+0 | 1810-1fff ram+810";
    assert_eq!(late.take(), [pair("", map)]);
    assert!(world.space.unlisten(id) && !world.space.unlisten(id));
    assert_eq!(late.take(), [pair(map, "")]);
    world.map.remove(ram).unwrap();
    assert!(late.take().is_empty(), "told nothing after its end");
    told.take();

    // The end of the space is that of its listeners.
    let weak = Arc::downgrade(&told);
    drop(world);
    assert_eq!(told.take(), [pair("1800-180f dev+0", "")]);
    drop(told);
    assert!(weak.upgrade().is_none());
    let _ = early;
}

/// Registers another listener on a space as soon as it is called for the first time.
struct Registers {
    on: AddressSpace,
    at_prepare: bool,
    what: Arc<Told>,
    done: OnceLock<ListenerId>,
}

impl Registers {
    fn register(&self) {
        self.done.get_or_init(|| self.on.listen(20, self.what.clone()));
    }
}

impl MapListener for Registers {
    fn prepare(&self, _: &MapDelta) -> Result<(), Veto> {
        if self.at_prepare {
            self.register();
        }
        Ok(())
    }

    fn apply(&self, delta: &MapDelta) {
        // Not when it is told what is mapped itself.
        if delta.previous.generation() != 0 {
            self.register();
        }
    }
}

#[test]
fn item_040_a_listener_that_comes_in_the_middle_of_a_commit_is_told_each_view_once() {
    // What has moved by one byte is bound differently at every byte.
    let moved = pair("0-f r+0", "1-10 r+0");
    for (at_prepare, wanted) in
        [(true, vec![pair("", "0-f r+0"), moved]), (false, vec![pair("", "1-10 r+0")])]
    {
        let world = World::new(ZEROS);
        let region = world.put(world.root, 0, 0, mmio("r", 0x10));
        let second = world.map.space(world.root, "second", ZEROS).unwrap();
        let what = Arc::new(Told::default());
        // It stands on the first space, so the second one's listeners are not told yet when it is.
        let registers = Registers { on: second, at_prepare, what: what.clone(), done: OnceLock::new() };
        world.space.listen(0, Arc::new(registers));
        world.edit(|txn| txn.move_to(region, 1));
        assert_eq!(what.take(), wanted, "at prepare: {at_prepare}");
    }
}

/// Takes itself off its space when it is called.
struct Leaves {
    space: AddressSpace,
    id: OnceLock<ListenerId>,
    calls: Mutex<u32>,
}

impl MapListener for Leaves {
    fn apply(&self, _: &MapDelta) {
        *self.calls.lock().unwrap() += 1;
        if let Some(id) = self.id.get() {
            self.space.unlisten(*id);
        }
    }
}

#[test]
fn a_listener_may_take_itself_off() {
    let world = World::new(ZEROS);
    let leaves = Arc::new(Leaves { space: world.space.clone(), id: OnceLock::new(), calls: Mutex::new(0) });
    leaves.id.set(world.space.listen(0, leaves.clone())).unwrap();
    world.put(world.root, 0, 0, mmio("r", 0x10));
    assert_eq!(*leaves.calls.lock().unwrap(), 2, "the change, and that everything goes");
    world.put(world.root, 0x10, 0, mmio("s", 0x10));
    assert_eq!(*leaves.calls.lock().unwrap(), 2);
}

/// How a region is kept out of sight, and how it is shown.
#[derive(Clone, Copy, Debug)]
enum Hidden {
    Detached,
    Disabled,
    Unreachable,
}

#[test]
fn item_120_flags_set_out_of_sight_are_in_force_when_the_region_is_seen() {
    for how in [Hidden::Detached, Hidden::Disabled, Hidden::Unreachable] {
        let world = World::new(ZEROS);
        let device = Recorder::new(0x100);
        let ram = world.add(RegionSpec::ram("ram", 0x100));
        let flash = world.add(RegionSpec::rom_device("flash", 0x100, device.clone(), ANY, true));
        let holder = world.add(RegionSpec::container("holder", 0x200));
        let in_sight = |seen: bool| match how {
            Hidden::Detached if seen => world.edit(|txn| {
                txn.attach(holder, 0, ram, prio(0))?;
                txn.attach(holder, 0x100, flash, prio(0))
            }),
            Hidden::Detached => world.edit(|txn| txn.detach(ram).and(txn.detach(flash))),
            Hidden::Disabled => {
                world.edit(|txn| txn.set_enabled(ram, seen).and(txn.set_enabled(flash, seen)))
            }
            Hidden::Unreachable if seen => world.edit(|txn| txn.attach(world.root, 0, holder, prio(0))),
            Hidden::Unreachable => world.edit(|txn| txn.detach(holder)),
        };
        if !matches!(how, Hidden::Detached) {
            world.edit(|txn| txn.attach(holder, 0, ram, prio(0)));
            world.edit(|txn| txn.attach(holder, 0x100, flash, prio(0)));
        }
        if !matches!(how, Hidden::Unreachable) {
            world.edit(|txn| txn.attach(world.root, 0, holder, prio(0)));
        }
        if matches!(how, Hidden::Disabled) {
            in_sight(false);
        }
        let told = Arc::new(Told::default());
        world.space.listen(0, told.clone());
        let generation = world.space.generation();

        let quiet = [
            world.edit(|txn| txn.set_readonly(ram, true)),
            world.edit(|txn| txn.set_nonvolatile(ram, true)),
            world.edit(|txn| txn.set_unmergeable(ram, true)),
            world.edit(|txn| txn.set_romd(flash, false)),
        ];
        assert!(quiet.iter().all(|report| report.deltas.is_empty()), "{how:?}");
        assert!(told.take().is_empty() && world.space.generation() == generation, "{how:?}");

        // In force in the very commit.
        let report = in_sight(true);
        assert_eq!(world.changed(&report), [range(0, 0x1ff)], "{how:?}");
        let added: Vec<_> = report.deltas[0].added().collect();
        let attrs = added[0].attrs();
        assert!(attrs.readonly && attrs.nonvolatile && attrs.unmergeable, "{how:?}");
        assert!(matches!(added[0].write, Target::Discard) && matches!(added[1].read, Target::Call(_)));
        assert!(!added[1].attrs().romd);
        assert_eq!(told.take(), [pair("", "0-ff ram+0 | 100-1ff flash+0")]);
        let read =
            |at| world.space.view().dispatch_read(at, AccessSize::B1, Row::Cpu, &mut AccessCx::cpu()).0;
        assert_eq!((read(0x104), calls(&device)), (0x14, vec![('r', 4, 1, 0)]), "{how:?}");

        // Gone when it is hidden, and what is changed meanwhile is in force the next time.
        in_sight(false);
        assert_eq!(told.take(), [pair("0-ff ram+0 | 100-1ff flash+0", "")]);
        world.edit(|txn| txn.set_readonly(ram, false));
        world.edit(|txn| txn.set_romd(flash, true));
        world.edit(|txn| txn.set_transparent(flash, Transparency::Writes));
        assert!(told.take().is_empty());
        let report = in_sight(true);
        let added: Vec<_> = report.deltas[0].added().collect();
        assert!(matches!(added[0].write, Target::Host(_)), "{how:?}");
        assert!(
            matches!((&added[1].read, &added[1].write), (Target::Host(_), Target::Unassigned)),
            "{how:?}"
        );
    }
}
