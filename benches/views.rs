//! Flat views: making one, changing one, and finding an address in one.
//!
//! The tree is a root with RAM, with a number of sibling devices a page apart, and with a 16 KiB alias that is shown
//! in front of the RAM or hidden: that switch is the change.

use std::hint::black_box;
use std::sync::Arc;

use base::{AccessSize, RegionOffset};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use memory::{
    AccessCx, AccessRules, AddressSpace, BusError, MemoryMap, MmioHandler, Placement, RegionId, RegionSpec,
    SpaceConfig, UnassignedPolicy,
};

/// Siblings of the tree's sizes.
const SIBLINGS: [u64; 4] = [16, 64, 256, 1024];
const RULES: AccessRules = AccessRules::new().valid(1, 4).implemented(1, 4).little_endian();
/// Bytes of RAM.
const RAM: u64 = 1 << 20;
/// Where the alias is shown, and how much of the RAM it shows.
const ALIAS: (u64, u64) = (0xc_0000, 0x4000);
/// Where the siblings begin; every other page is one.
const DEVICES: u64 = 0x8000_0000;
const PAGE: u64 = 0x1000;

/// A device without a state.
struct Nothing;

impl MmioHandler for Nothing {
    fn read(&self, _off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        Ok(0)
    }

    fn write(
        &self,
        _off: RegionOffset,
        _value: u64,
        _size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        Ok(())
    }

    fn reset(&self) {}
}

/// A map, its space, and the alias.
struct Tree {
    map: MemoryMap,
    space: AddressSpace,
    alias: RegionId,
}

impl Tree {
    fn new(siblings: u64) -> Self {
        let map = MemoryMap::new();
        let add = |spec| map.add(spec).expect("a region");
        let root = add(RegionSpec::container("memory", 1u64 << 32));
        let ram = add(RegionSpec::ram("ram", RAM));
        let alias = add(RegionSpec::alias("alias", ram, 0, ALIAS.1));
        let mut txn = map.txn();
        txn.attach(root, 0, ram, Placement::Exclusive).expect("room");
        txn.attach(root, ALIAS.0, alias, Placement::Overlap { priority: 1 }).expect("room");
        for n in 0..siblings {
            let device = map
                .add(RegionSpec::mmio(&format!("device{n}"), PAGE, Arc::new(Nothing), RULES))
                .expect("a region");
            txn.attach(root, DEVICES + n * 2 * PAGE, device, Placement::Exclusive).expect("room");
        }
        txn.commit().expect("nobody refuses");
        let config = SpaceConfig::memory(UnassignedPolicy::Ones);
        let space = map.space(root, "memory", config).expect("a space");
        Self { map, space, alias }
    }

    fn show_alias(&self, shown: bool) {
        let mut txn = self.map.txn();
        txn.set_enabled(self.alias, shown).expect("the alias exists");
        let report = txn.commit().expect("nobody refuses");
        assert_eq!(report.deltas.len(), 1, "the space has changed");
    }
}

/// The whole view, rendered anew.
fn render(c: &mut Criterion) {
    let mut group = c.benchmark_group("full render");
    for siblings in SIBLINGS {
        let tree = Tree::new(siblings);
        group.bench_function(BenchmarkId::from_parameter(siblings), |b| {
            b.iter(|| tree.map.rendered(&tree.space).expect("a view"));
        });
    }
    group.finish();
}

/// A commit that shows or hides the alias.
fn commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit of a 16 KiB switch");
    for siblings in SIBLINGS {
        let tree = Tree::new(siblings);
        let mut shown = true;
        group.bench_function(BenchmarkId::from_parameter(siblings), |b| {
            b.iter(|| {
                shown = !shown;
                tree.show_alias(shown);
            });
        });
    }
    group.finish();
}

/// Finding the range of an address among 1,024.
fn lookup(c: &mut Criterion) {
    let tree = Tree::new(1024 - 3);
    let view = tree.space.view();
    assert_eq!(view.len(), 1024, "RAM in two parts, the alias, the devices");
    let device = |n: u64| DEVICES + n % 1021 * 2 * PAGE;
    let mut group = c.benchmark_group("lookup among 1024 ranges");
    group.bench_function("the same range", |b| b.iter(|| view.lookup(black_box(device(500))).is_some()));
    let mut n = 0;
    group.bench_function("another range each time", |b| {
        b.iter(|| {
            n += 331;
            view.lookup(black_box(device(n))).is_some()
        });
    });
    group.bench_function("between two ranges", |b| {
        b.iter(|| view.lookup(black_box(device(500) + PAGE)).is_some());
    });
    group.finish();
}

criterion_group!(benches, render, commit, lookup);
criterion_main!(benches);
