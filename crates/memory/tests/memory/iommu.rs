//! Items 97 to 103: accesses through IOMMUs, and who hears of their changes.

use std::sync::{Arc, Mutex};

use base::{AccessSize, AddrRange};
use memory::{
    Access, AccessCx, AddressSpace, FaultRecord, Iommu, IommuChange, IommuCtx, IommuEvent, IommuFault,
    IommuNotifiers, IommuSink, IommuSubscription, IommuWatch, Iotlb, IotlbEntry, MapError, MemAttrs,
    NotifyError, NotifyKinds, RegionSpec, Row, TxError, WatchError,
};

use crate::common::*;

/// One mapping: iova, mask, translated, read, write.
type Mapping = (u64, u64, u64, bool, bool);

/// Translates by lists of mappings, one list for each index; the low bits of the requester are the index.
#[derive(Default)]
struct Table {
    target: Mutex<Option<AddressSpace>>,
    sets: Mutex<Vec<Vec<Mapping>>>,
    asked: Mutex<Vec<(u64, Option<Access>, u16)>>,
    faults: Mutex<Vec<FaultRecord>>,
    notifiers: IommuNotifiers,
    /// Kinds that nobody may want to hear of, and every union that it was told.
    unwanted: Mutex<(Option<NotifyKinds>, Vec<NotifyKinds>)>,
    /// Gives its mappings away without being asked page by page.
    lists: bool,
}

impl Table {
    fn entry(&self, (base, mask, translated, read, write): Mapping) -> Option<IotlbEntry> {
        let target = self.target.lock().unwrap().clone()?;
        Some(IotlbEntry { target, iova: base, translated, mask, read, write })
    }
}

impl Iommu for Table {
    fn translate(&self, iova: u64, access: Option<Access>, ctx: &IommuCtx) -> Result<IotlbEntry, IommuFault> {
        self.asked.lock().unwrap().push((iova, access, ctx.attrs.requester));
        let sets = self.sets.lock().unwrap();
        let set = sets.get(ctx.index as usize).ok_or(IommuFault::InvalidEntry)?;
        let found = set.iter().find(|(base, mask, ..)| iova & !mask == *base).ok_or(IommuFault::Unmapped)?;
        self.entry(*found).ok_or(IommuFault::InvalidEntry)
    }

    fn indexes(&self) -> u32 {
        self.sets.lock().unwrap().len() as u32
    }

    fn index_of(&self, attrs: MemAttrs) -> u32 {
        u32::from(attrs.requester) % self.indexes().max(1)
    }

    fn mappings(&self, range: AddrRange, index: u32) -> Box<dyn Iterator<Item = IotlbEntry> + '_> {
        if !self.lists {
            return Box::new(Paged(self).every(range, index).into_iter());
        }
        let mut set = self.sets.lock().unwrap()[index as usize].clone();
        set.sort_unstable();
        let there = move |(base, mask, _, read, write): &Mapping| {
            (*read || *write) && AddrRange::new(*base, base | mask).unwrap().overlaps(range)
        };
        Box::new(set.into_iter().filter(there).filter_map(|mapping| self.entry(mapping)))
    }

    fn fault(&self, record: &FaultRecord) {
        self.faults.lock().unwrap().push(*record);
    }

    fn notifiers(&self) -> Option<&IommuNotifiers> {
        Some(&self.notifiers)
    }

    fn notifiers_changed(&self, _from: NotifyKinds, to: NotifyKinds) -> Result<(), String> {
        let mut unwanted = self.unwanted.lock().unwrap();
        if unwanted.0.is_some_and(|kind| to.contains(kind)) {
            return Err("not announced".to_owned());
        }
        unwanted.1.push(to);
        Ok(())
    }
}

/// A table whose mappings are found page by page, as by an IOMMU that keeps no list.
struct Paged<'a>(&'a Table);

impl Paged<'_> {
    fn every(&self, range: AddrRange, index: u32) -> Vec<IotlbEntry> {
        Iommu::mappings(self, range, index).collect()
    }
}

impl Iommu for Paged<'_> {
    fn translate(&self, iova: u64, access: Option<Access>, ctx: &IommuCtx) -> Result<IotlbEntry, IommuFault> {
        self.0.translate(iova, access, ctx)
    }
}

/// A system with 64 KiB of RAM, and a bus behind an IOMMU with `entries`.
fn bus(entries: Vec<Mapping>) -> (World, World, Arc<Table>) {
    let (system, behind) = (World::new(ONES), World::new(ONES));
    system.put(system.root, 0, 0, RegionSpec::ram("ram", 0x1_0000));
    let table = table(&system, vec![entries]);
    behind.put(behind.root, 0, 0, RegionSpec::iommu("iommu", 0x10_0000, table.clone()));
    (system, behind, table)
}

/// An IOMMU that leads to `system`.
fn table(system: &World, sets: Vec<Vec<Mapping>>) -> Arc<Table> {
    let target = Mutex::new(Some(system.space.clone()));
    Arc::new(Table { target, sets: Mutex::new(sets), ..Table::default() })
}

const PAGE: u64 = 0xfff;

#[test]
fn item_097_permissions_and_faults() {
    let (system, behind, table) = bus(vec![
        (0x1000, PAGE, 0x5000, true, false),
        (0x2000, PAGE, 0x9000, true, true),
        (0x3000, PAGE, 0xa000, false, true),
    ]);
    system.write(0x5ffc, &[1, 2, 3, 4]);
    system.write(0x9000, &[5, 6, 7, 8]);
    assert_eq!(behind.read(0x1ffc, 8), [1, 2, 3, 4, 5, 6, 7, 8]);
    let permission = TxError::Fault(IommuFault::Permission);
    let outcome = behind.space.write(0x1ffc, &[9; 8], &mut AccessCx::dma());
    assert_eq!((outcome.done, outcome.first_error), (0, Some((0x1ffc, permission))));
    assert_eq!((system.read(0x5ffc, 4), system.read(0x9000, 4)), (vec![1, 2, 3, 4], vec![9; 4]));
    let mut bytes = [0; 4];
    assert_eq!(behind.space.read(0x3000, &mut bytes, &mut AccessCx::dma()).error(), Some(permission));
    assert_eq!(bytes, [0xff; 4]);
    let outcome = behind.space.read(0x2ffe, &mut bytes, &mut AccessCx::dma());
    assert_eq!((outcome.done, outcome.first_error), (2, Some((0x3000, permission))));
    let unmapped = behind.space.write(0x3_0000, &[0; 2], &mut AccessCx::dma());
    assert_eq!(unmapped.error(), Some(TxError::Fault(IommuFault::Unmapped)));
    assert_eq!(behind.space.rejections().fault, 4);
    // The model hears of each, with who made the access.
    let faults = std::mem::take(&mut *table.faults.lock().unwrap());
    let places: Vec<_> = faults.iter().map(|fault| (fault.iova, fault.access, fault.reason)).collect();
    assert_eq!(
        places,
        [
            (0x1ffc, Access::Write, IommuFault::Permission),
            (0x3000, Access::Read, IommuFault::Permission),
            (0x3000, Access::Read, IommuFault::Permission),
            (0x3_0000, Access::Write, IommuFault::Unmapped),
        ]
    );
    // A look at what an access would meet is no access.
    let probe = behind.space.probe(0x1ffc, 8, Access::Write, MemAttrs::default());
    assert_eq!(probe, Err((0x1ffc, permission)));
    assert!(table.faults.lock().unwrap().is_empty());
    // The same for a processor; the attributes get there.
    let mut cx = AccessCx::with_attrs(MemAttrs { requester: 0x42, memory_only: true, ..MemAttrs::default() });
    let (value, _) = behind.space.view().dispatch_read(0x1ffc, AccessSize::B4, Row::Cpu, &mut cx);
    assert_eq!(value, 0x0403_0201);
    assert_eq!(table.asked.lock().unwrap().last(), Some(&(0x1ffc, Some(Access::Read), 0x42)));
}

#[test]
fn item_098_two_levels_and_entries_of_different_size() {
    let (system, middle, _) = bus(vec![(0x1_0000, 0xffff, 0, true, true)]);
    let outer = World::new(ONES);
    let entries = vec![(0, 0xff, 0x1_0800, true, true), (0x100, PAGE >> 4, 0x1_0000, true, true)];
    outer.put(outer.root, 0, 0, RegionSpec::iommu("outer", 0x1000, table(&middle, vec![entries])));
    system.write(0x8fe, &[1, 2]);
    system.write(0, &[3, 4]);
    assert_eq!(outer.read(0xfe, 4), [1, 2, 3, 4]);
    // A failure inside is reported at the address asked.
    let outcome = outer.space.read(0x1fe, &mut [0; 4], &mut AccessCx::dma());
    assert_eq!(outcome.first_error, Some((0x200, TxError::Fault(IommuFault::Unmapped))));
    // What passes both unchanged is what passes each, and so are the permissions.
    let attrs = MemAttrs::default();
    let translation = outer.space.translate(0xfe, Some(Access::Write), attrs).unwrap();
    assert_eq!((translation.target.id(), translation.addr), (system.space.id(), 0x8fe));
    assert_eq!((translation.mask, translation.read, translation.write), (0xff, true, true));
    let unmapped = Err(TxError::Fault(IommuFault::Unmapped));
    assert_eq!(outer.space.translate(0x200, None, attrs).map(|_| ()), unmapped);
    let here = system.space.translate(0x123, None, attrs).unwrap();
    assert_eq!((here.target.id(), here.addr, here.mask), (system.space.id(), 0x123, u64::MAX));
    // A mapping for a bus master is clipped in the same places, and direct all the same.
    let mapping = outer.space.map(0xf0, 0x20, Access::Read, &mut AccessCx::dma()).unwrap();
    let parts: Vec<_> = mapping.segments().iter().map(|part| (part.len(), part.is_bounce())).collect();
    assert_eq!(parts, [(0x10, false), (0x10, false)]);
    // Through an IOMMU nothing is cached but the view: a change of its tables is seen.
    assert!(!outer.space.cache(0, 0x10, Access::Read, attrs).unwrap().is_direct());
}

#[test]
fn item_098_permissions_of_both_levels_count() {
    let (_, middle, _) = bus(vec![(0, 0xffff, 0, true, false)]);
    let outer = World::new(ONES);
    let upper = table(&middle, vec![vec![(0, PAGE, 0, true, true)]]);
    outer.put(outer.root, 0, 0, RegionSpec::iommu("outer", 0x1000, upper));
    let translation = outer.space.translate(0x10, None, MemAttrs::default()).unwrap();
    assert_eq!((translation.read, translation.write), (true, false));
    let refused = Err(TxError::Fault(IommuFault::Permission));
    assert_eq!(outer.space.translate(0, Some(Access::Write), MemAttrs::default()).map(|_| ()), refused);
}

#[test]
fn item_099_a_loop_ends() {
    let (_, behind, table) = bus(vec![(0, u64::MAX, 0, true, true)]);
    *table.target.lock().unwrap() = Some(behind.space.clone());
    let outcome = behind.space.read(0x100, &mut [0; 4], &mut AccessCx::dma());
    assert_eq!(outcome.first_error, Some((0x100, TxError::TranslationLoop)));
    assert!(table.asked.lock().unwrap().len() <= 8);
    let looped = Err(TxError::TranslationLoop);
    assert_eq!(behind.space.translate(0x100, None, MemAttrs::default()).map(|_| ()), looped);
    assert_eq!(
        behind.space.probe(0x100, 4, Access::Read, MemAttrs::default()),
        Err((0x100, TxError::TranslationLoop))
    );
    *table.target.lock().unwrap() = None;
}

#[test]
fn item_099_the_mask_may_be_anything() {
    for mask in [0, 1, 3, 0x8000_0000_0000_0fff] {
        let (system, behind, _) = bus(vec![(0x10 & !mask, mask, 0x40 & !mask, true, true)]);
        system.write(0x40, &[1, 2, 3, 4]);
        let outcome = behind.space.read(0x10, &mut [0; 4], &mut AccessCx::dma());
        assert!(outcome.done >= 1, "{mask:x}");
    }
}

fn requester(requester: u16) -> MemAttrs {
    MemAttrs { requester, ..MemAttrs::default() }
}

#[test]
fn item_100_attributes_select_the_mappings() {
    let (system, behind) = (World::new(ONES), World::new(ONES));
    system.put(system.root, 0, 0, RegionSpec::ram("ram", 0x1_0000));
    let sets = vec![vec![(0x1000, PAGE, 0x5000, true, true)], vec![(0x1000, PAGE, 0x6000, true, false)]];
    let table = table(&system, sets);
    behind.put(behind.root, 0, 0, RegionSpec::iommu("iommu", 0x10_0000, table.clone()));
    let write =
        |who, byte| behind.space.write(0x1000, &[byte], &mut AccessCx::with_attrs(requester(who))).error();
    assert_eq!(write(0, 1), None);
    assert_eq!(write(1, 2), Some(TxError::Fault(IommuFault::Permission)));
    assert_eq!(write(2, 3), None);
    assert_eq!((system.read(0x5000, 1), system.read(0x6000, 1)), (vec![3], vec![0]));
    let at = |who| behind.space.translate(0x1000, None, requester(who)).unwrap().addr;
    assert_eq!([0, 1, 2].map(at), [0x5000, 0x6000, 0x5000]);
    let fault = table.faults.lock().unwrap()[0];
    assert_eq!((fault.ctx.index, fault.ctx.attrs.requester), (1, 1));
}

/// Keeps the events.
#[derive(Default)]
struct Heard(Mutex<Vec<IommuEvent>>);

impl Heard {
    fn take(&self) -> Vec<IommuEvent> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl IommuSink for Heard {
    fn notify(&self, event: &IommuEvent) {
        self.0.lock().unwrap().push(*event);
    }
}

fn watch(kinds: NotifyKinds, first: u64, last: u64, index: u32) -> IommuWatch {
    IommuWatch { kinds, range: range(first, last), index }
}

#[test]
fn item_101_notifiers_hear_their_part() {
    let (system, behind) = (World::new(ONES), World::new(ONES));
    let table = table(&system, vec![Vec::new(), Vec::new()]);
    let region = behind.put(behind.root, 0, 0, RegionSpec::iommu("iommu", 0x10_0000, table.clone()));
    let alias = behind.add(RegionSpec::alias("window", region, 0x1000, 0x1000_u64));
    let all = NotifyKinds::MAP | NotifyKinds::UNMAP;
    let subscribe = |region, watch| {
        let heard = Arc::new(Heard::default());
        behind.map.watch_iommu(region, watch, heard.clone()).map(|subscription| (heard, subscription))
    };
    let (part, _part) = subscribe(region, watch(all, 0x1800, 0x27ff, 0)).unwrap();
    let (unmaps, second) = subscribe(alias, watch(NotifyKinds::UNMAP, 0, u64::MAX, 0)).unwrap();
    let (other, _other) = subscribe(region, watch(all, 0, u64::MAX, 1)).unwrap();
    let map = IommuEvent {
        change: IommuChange::Map,
        range: range(0x1000, 0x1fff),
        translated: 0x5000,
        read: true,
        write: false,
    };
    assert_eq!(table.notifiers.notify(0, &map), Ok(1));
    let cropped = IommuEvent { range: range(0x1800, 0x1fff), translated: 0x5800, ..map };
    assert_eq!((part.take(), unmaps.take(), other.take()), (vec![cropped], vec![], vec![]));
    // A length that is no power of two; disjoint ones are not told; another index is.
    assert_eq!(table.notifiers.notify(0, &IommuEvent::unmap(range(0x2700, 0x5fff))), Ok(2));
    assert_eq!(part.take(), [IommuEvent::unmap(range(0x2700, 0x27ff))]);
    assert_eq!(unmaps.take(), [IommuEvent::unmap(range(0x2700, 0x5fff))]);
    assert_eq!(table.notifiers.notify(0, &IommuEvent::unmap(range(0x2800, 0x2fff))), Ok(1));
    assert_eq!(table.notifiers.notify(1, &IommuEvent::unmap(range(0x2800, 0x2fff))), Ok(1));
    assert_eq!((part.take().len(), unmaps.take().len(), other.take().len()), (0, 1, 1));
    assert_eq!(table.notifiers.notify(0, &IommuEvent::device_unmap(range(0, PAGE))), Ok(0));
    // An unmapping permits nothing.
    for (read, write) in [(true, false), (false, true)] {
        let event = IommuEvent { read, write, ..IommuEvent::unmap(range(0x1000, 0x1fff)) };
        assert_eq!(table.notifiers.notify(0, &event), Err(NotifyError::UnmapWithPermission));
    }
    assert_eq!((part.take(), unmaps.take()), (vec![], vec![]));
    // A change in place is both, in this order.
    let entry = table.entry((0x2000, PAGE, 0x7000, true, true)).unwrap();
    table.notifiers.notify_changed(0, &entry);
    let changes: Vec<_> = part.take().iter().map(|event| (event.change, event.translated)).collect();
    assert_eq!(changes, [(IommuChange::Unmap, 0), (IommuChange::Map, 0x7000)]);
    assert_eq!(unmaps.take(), [IommuEvent::unmap(range(0x2000, 0x2fff))]);
    drop(second);
    assert_eq!(table.notifiers.notify(0, &IommuEvent::unmap(range(0x8000, 0x8fff))), Ok(0));
}

#[test]
fn item_101_a_notifier_may_be_refused() {
    let (system, behind) = (World::new(ONES), World::new(ONES));
    let table = table(&system, vec![Vec::new()]);
    let region = behind.put(behind.root, 0, 0, RegionSpec::iommu("iommu", 0x10_0000, table.clone()));
    let subscribe = |region, kinds, index| {
        behind.map.watch_iommu(region, watch(kinds, 0, PAGE, index), Arc::new(Heard::default()))
    };
    let told = || std::mem::take(&mut table.unwanted.lock().unwrap().1);
    assert!(matches!(subscribe(region, NotifyKinds::NONE, 0), Err(WatchError::NoKinds)));
    assert!(matches!(
        subscribe(region, NotifyKinds::MAP, 1),
        Err(WatchError::Index { index: 1, indexes: 1 })
    ));
    let wrong = subscribe(behind.root, NotifyKinds::MAP, 0);
    assert!(matches!(wrong, Err(WatchError::Region(MapError::WrongKind { .. }))));
    table.unwanted.lock().unwrap().0 = Some(NotifyKinds::MAP);
    let unmaps = subscribe(region, NotifyKinds::UNMAP, 0).unwrap();
    assert!(matches!(subscribe(region, NotifyKinds::MAP, 0), Err(WatchError::Refused(_))));
    assert_eq!((told(), table.notifiers.kinds()), (vec![NotifyKinds::UNMAP], NotifyKinds::UNMAP));
    // The union stays as it is with a second one, and shrinks with the last.
    let again = subscribe(region, NotifyKinds::UNMAP, 0).unwrap();
    drop(unmaps);
    assert_eq!(told(), []);
    drop(again);
    assert_eq!((told(), table.notifiers.kinds()), (vec![NotifyKinds::NONE], NotifyKinds::NONE));
}

/// Some mappings of several sizes in 1 MiB, from a seed; they do not overlap.
fn random_mappings(mut seed: u64) -> Vec<Mapping> {
    let mut next = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let (mut at, mut mappings) = (0, Vec::new());
    while at < 0x10_0000 {
        let len = 0x1000 << next(4);
        if at % len == 0 {
            let (read, write) = (next(3) != 0, next(3) != 0);
            if next(3) != 0 {
                mappings.push((at, len - 1, next(0x100) << 16, read, write));
            }
            at += len;
        } else {
            at += 0x1000;
        }
    }
    mappings
}

#[test]
fn item_102_a_list_of_mappings_replays_as_every_page_does() {
    let system = World::new(ONES);
    for seed in 1..200 {
        let mut table = table(&system, vec![Vec::new(), random_mappings(seed)]);
        Arc::get_mut(&mut table).unwrap().lists = true;
        let (first, last) = ((seed * 0x3777) % 0x8_0000, 0x8_0000 + (seed * 0x5777) % 0x8_0000);
        // By page: what each page of the range is mapped to.
        let by_page = |events: &[IommuEvent]| {
            let mut pages = std::collections::BTreeMap::new();
            for event in events {
                assert_eq!(event.change, IommuChange::Map);
                assert!(first <= event.range.first() && event.range.last() <= last, "cropped");
                let mut at = event.range.first();
                while at <= event.range.last() {
                    let to = event.translated + (at - event.range.first());
                    assert_eq!(pages.insert(at, (to, event.read, event.write)), None, "told once");
                    at = (at | PAGE) + 1;
                }
            }
            pages
        };
        let replayed = |iommu: Arc<dyn Iommu>| {
            let heard = Arc::new(Heard::default());
            let watch = watch(NotifyKinds::MAP, first, last, 1);
            IommuSubscription::new(&iommu, watch, heard.clone()).unwrap().replay();
            heard.take()
        };
        let listed = replayed(table.clone());
        Arc::get_mut(&mut table).unwrap().lists = false;
        let paged = replayed(table.clone());
        assert_eq!(by_page(&listed), by_page(&paged), "seed {seed}");
        // Brute force, from the translations themselves.
        let ctx = IommuCtx { attrs: MemAttrs::default(), index: 1 };
        let mut brute = std::collections::BTreeMap::new();
        let mut at = first;
        while at <= last {
            if let Ok(entry) = table.translate(at, None, &ctx)
                && (entry.read || entry.write)
            {
                brute.insert(at, (entry.translated & !entry.mask | at & entry.mask, entry.read, entry.write));
            }
            at = (at | PAGE) + 1;
        }
        assert_eq!(by_page(&listed), brute, "seed {seed}");
    }
}

#[test]
fn item_102_a_sparse_list_of_the_whole_space_is_replayed_at_once() {
    let system = World::new(ONES);
    let mut table = table(&system, vec![vec![(1 << 60, PAGE, 0, true, true), (0x1000, PAGE, 0, true, true)]]);
    Arc::get_mut(&mut table).unwrap().lists = true;
    let heard = Arc::new(Heard::default());
    let iommu: Arc<dyn Iommu> = table.clone();
    IommuSubscription::new(&iommu, watch(NotifyKinds::MAP, 0, u64::MAX, 0), heard.clone()).unwrap().replay();
    let firsts: Vec<_> = heard.take().iter().map(|event| event.range.first()).collect();
    assert_eq!((firsts, table.asked.lock().unwrap().len()), (vec![0x1000, 1 << 60], 0));
}

#[test]
fn item_103_an_invalidation_reaches_the_processor_that_used_the_mapping_on_its_own_thread() {
    let (system, behind) = (World::new(ONES), World::new(ONES));
    system.put(system.root, 0, 0, RegionSpec::ram("ram", 0x1_0000));
    let set = |to| vec![(0x1000, PAGE, to, true, true), (0x2000, PAGE, to + 0x1000, true, true)];
    let table = table(&system, vec![set(0x4000), set(0x8000)]);
    behind.put(behind.root, 0, 0, RegionSpec::iommu("iommu", 0x10_0000, table.clone()));
    // Two processors, each with what it remembers, each on a thread of its own.
    let (to_first, first) = std::sync::mpsc::channel::<()>();
    let (to_second, second) = std::sync::mpsc::channel::<()>();
    let (to_main, main) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for (who, go) in [(0, first), (1, second)] {
            let (space, to_main) = (behind.space.clone(), to_main.clone());
            scope.spawn(move || {
                let mut iotlb = Iotlb::new(space);
                while go.recv().is_ok() {
                    let (pending, held) = (iotlb.pending(), iotlb.len());
                    let at = |iotlb: &mut Iotlb, addr| {
                        iotlb.translate(addr, Some(Access::Read), requester(who)).map(|to| to.addr)
                    };
                    let found = [at(&mut iotlb, 0x1004), at(&mut iotlb, 0x2004)];
                    to_main.send((pending, held, found, iotlb.stats())).unwrap();
                }
            });
        }
        let step = |to: &std::sync::mpsc::Sender<()>| {
            to.send(()).unwrap();
            main.recv().unwrap()
        };
        let unmapped = Err(TxError::Fault(IommuFault::Unmapped));
        assert_eq!(step(&to_first).2, [Ok(0x4004), Ok(0x5004)]);
        assert_eq!(step(&to_second).2, [Ok(0x8004), Ok(0x9004)]);
        // Nobody asks again while nothing changes.
        let asked = table.asked.lock().unwrap().len();
        assert_eq!((step(&to_first).3.hits, step(&to_second).3.hits), (2, 2));
        assert_eq!(table.asked.lock().unwrap().len(), asked);
        // The second set loses a page. This thread only posts: the entry is still there when its owner comes to it.
        table.sets.lock().unwrap()[1].remove(0);
        assert_eq!(table.notifiers.notify(1, &IommuEvent::unmap(range(0x1000, 0x1fff))), Ok(1));
        let (pending, held, found, stats) = step(&to_first);
        assert_eq!((pending, held, found, stats.invalidated), (false, 2, [Ok(0x4004), Ok(0x5004)], 0));
        let (pending, held, found, stats) = step(&to_second);
        assert_eq!((pending, held, found), (true, 2, [unmapped, Ok(0x9004)]));
        assert_eq!(stats.invalidated, 1, "the other page stays");
        // A change of the map is seen without a notification.
        system.put(system.root, 0x2_0000, 0, RegionSpec::ram("more", 0x1000));
        let (_, _, found, stats) = step(&to_first);
        assert_eq!((found, stats.flushed), ([Ok(0x4004), Ok(0x5004)], 2));
        drop((to_first, to_second));
    });
    assert_eq!(table.notifiers.kinds(), NotifyKinds::NONE);
}

#[test]
fn what_is_remembered_stays_within_bounds_and_is_never_stale() {
    let (system, behind, table) = bus(vec![(0x1000, PAGE, 0x5000, true, false)]);
    let mut iotlb = Iotlb::new(behind.space.clone());
    let mut at = |access| iotlb.translate(0x1010, access, MemAttrs::default()).map(|to| to.addr);
    assert_eq!(at(None), Ok(0x5010));
    // What an entry does not permit is asked for, not taken from it.
    assert_eq!(at(Some(Access::Write)), Err(TxError::Fault(IommuFault::Permission)));
    table.sets.lock().unwrap()[0][0] = (0x1000, PAGE, 0x7000, true, true);
    assert_eq!(at(Some(Access::Write)), Ok(0x7010));
    // More events than fit become one that covers everything.
    for _ in 0..1000 {
        table.notifiers.notify(0, &IommuEvent::unmap(range(0x9000, 0x9fff))).unwrap();
    }
    assert!(iotlb.pending() && iotlb.service() == 1 && iotlb.is_empty());
    drop(system);
}
