//! Items 59, 66, 90 to 96: what bus masters and debuggers do with a space.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base::AccessSize;
use memory::{
    Access, AccessCx, CacheError, DebugReach, DenyReason, Endian, MapDmaError, MemAttrs, RegionSpec,
    RejectReason, SpaceSet, TxError,
};

use crate::common::*;

fn cx() -> AccessCx {
    AccessCx::dma()
}

/// Addresses, lengths and whether they bounce.
fn segments(mapping: &memory::DmaMapping) -> Vec<(u64, u64, bool)> {
    mapping.segments().iter().map(|segment| (segment.addr(), segment.len(), segment.is_bounce())).collect()
}

#[test]
fn item_059_secure_accesses_go_to_the_space_of_their_own() {
    let world = World::new(ZEROS);
    let smm_root = world.add(RegionSpec::container("smm", 0x1_0000));
    let smm = world.map.space(smm_root, "smm", ZEROS).unwrap();
    let ram = world.put(world.root, 0xa000, 0, RegionSpec::ram("ram", 0x1000));
    let alias = world.add(RegionSpec::alias("ram", ram, 0, 0x1000_u64));
    let hidden = world.add(RegionSpec::ram("smram", 0x1000));
    world.edit(|txn| txn.attach(smm_root, 0xa000, alias, prio(0)));
    world.edit(|txn| txn.attach(smm_root, 0xa000, hidden, prio(1)));
    let spaces = SpaceSet::new(world.space.clone()).with_secure(smm.clone());
    let secure = || AccessCx::with_attrs(MemAttrs { secure: true, ..MemAttrs::default() });
    assert!(spaces.write(0xa000, &[1], &mut secure()).is_ok());
    assert!(spaces.write(0xa000, &[2], &mut cx()).is_ok());
    let mut byte = [0];
    spaces.read(0xa000, &mut byte, &mut secure());
    assert_eq!(byte, [1]);
    spaces.read(0xa000, &mut byte, &mut cx());
    assert_eq!(byte, [2]);
    // Without a space of their own they see the ordinary one.
    let one = SpaceSet::new(world.space.clone());
    one.read(0xa000, &mut byte, &mut secure());
    assert_eq!((byte, one.select(secure().attrs()).id()), ([2], world.space.id()));
}

#[test]
fn item_066_a_debugger_writes_memory_and_reaches_devices_only_by_flag() {
    let world = World::new(ONES);
    let device = Recorder::new(0x1000);
    let ram = world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x1000));
    let rom = world.put(world.root, 0x1000, 0, RegionSpec::rom("rom", 0x1000));
    world.put(world.root, 0x2000, 0, RegionSpec::mmio("mmio", 0x1000, device.clone(), ANY));
    let romd = RegionSpec::rom_device("flash", 0x1000, device.clone(), ANY, true);
    let flash = world.put(world.root, 0x3000, 0, romd);
    let bytes: Vec<u8> = (0..0x4000).map(|n| (n / 16) as u8 | 1).collect();
    let outcome = world.space.write(0, &bytes, &mut AccessCx::debugger(DebugReach::Memory));
    assert_eq!(outcome.first_error, Some((0x2000, TxError::Denied(DenyReason::Debugger))));
    assert_eq!(calls(&device), []);
    for (region, at) in [(ram, 0), (rom, 0x1000), (flash, 0x3000)] {
        let byte = world.map.ram_block(region).unwrap().load(0x20, AccessSize::B1);
        assert_eq!(byte, Some(u64::from(bytes[at + 0x20])), "{at:x}");
    }
    let mut read = [0; 4];
    let outcome = world.space.read(0x2000, &mut read, &mut AccessCx::debugger(DebugReach::Memory));
    assert_eq!((outcome.error(), read), (Some(TxError::Denied(DenyReason::Debugger)), [0xff; 4]));
    // With the flag the device is written to, as by anybody else; a value goes the same way as bytes.
    let devices = || AccessCx::debugger(DebugReach::Devices);
    assert!(world.space.write(0x2004, &[1, 2, 3, 4], &mut devices()).is_ok());
    assert_eq!(calls(&device), [('w', 4, 4, 0x0403_0201)]);
    let row = memory::Row::Cpu;
    let view = world.space.view();
    assert!(view.dispatch_write(0x1000, AccessSize::B4, 0xaabb, row, &mut devices()).is_ok());
    assert_eq!(view.dispatch_read(0x1000, AccessSize::B4, row, &mut cx()).0, 0xaabb);
    // A ROM device's memory is written even in I/O mode, without a callback.
    world.edit(|txn| txn.set_romd(flash, false));
    assert!(world.space.write(0x3000, &[9], &mut devices()).is_ok());
    assert_eq!(calls(&device), []);
    assert_eq!(world.map.ram_block(flash).unwrap().load(0, AccessSize::B1), Some(9));
}

/// RAM of 8 KiB at 0, an alias of its first page behind it, MMIO behind that.
fn mapped(config: memory::SpaceConfig) -> (World, memory::RegionId, Arc<memory::Device<Recorder>>) {
    let (world, device) = (World::new(config), Recorder::new(0x4000));
    let ram = world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x2000));
    world.put(world.root, 0x2000, 0, RegionSpec::alias("again", ram, 0, 0x1000_u64));
    world.put(world.root, 0x3000, 0, RegionSpec::mmio("mmio", 0x4000, device.clone(), ANY));
    (world, ram, device)
}

#[test]
fn item_090_a_range_is_mapped_whole_as_segments() {
    let (world, ram, device) = mapped(ONES.bounce_bytes(0x2000));
    let block = world.map.ram_block(ram).unwrap();
    for n in 0..0x2000 {
        block.store(n, AccessSize::B1, n >> 4);
    }
    let mapping = world.space.map(0x800, 0x4800, Access::Read, &mut cx()).unwrap();
    assert_eq!(segments(&mapping), [(0x800, 0x1800, false), (0x2000, 0x1000, false), (0x3000, 0x2000, true)]);
    let host: Vec<_> = mapping.segments().iter().map(|segment| segment.host().address()).collect();
    assert_eq!(host[..2], [block.host().address() + 0x800, block.host().address()]);
    // Read through the mapping as through the space.
    let (mut bytes, mut wanted) = (vec![0; 0x4800], vec![0; 0x4800]);
    assert!(mapping.read(0, &mut bytes));
    world.space.read(0x800, &mut wanted, &mut cx());
    assert_eq!(bytes, wanted);
    let mut part = [0; 4];
    assert!(mapping.read(0x17fe, &mut part));
    assert_eq!(part, wanted[0x17fe..0x1802]);
    assert!(!mapping.read(0x47ff, &mut part[..2]) && !mapping.read(u64::MAX, &mut part));
    assert!(mapping.complete(0, &mut cx()).is_ok());
    calls(&device);

    // What the guest stores meanwhile is seen in direct segments; two ranges that go on in one block are one segment.
    let window = world.add(RegionSpec::alias("window", ram, 0x1000, 0x1000_u64));
    world.edit(|txn| txn.attach(world.root, 0x1000, window, prio(1)));
    world.edit(|txn| txn.set_unmergeable(window, true));
    assert_eq!(world.space.view().len(), 4);
    let mapping = world.space.map(0, 0x2000, Access::Read, &mut cx()).unwrap();
    assert_eq!(segments(&mapping), [(0, 0x2000, false)]);
    world.write(0x1234, &[0xee]);
    assert!(mapping.read(0x1234, &mut part[..1]));
    assert_eq!(part[0], 0xee);
    drop(mapping);
    // Holes bounce too, and the outcome says what the reads met.
    let mapping = world.space.map(0x7000, 0x10, Access::Read, &mut cx()).unwrap();
    assert_eq!(mapping.filled().first_error, Some((0x7000, TxError::Unassigned)));
    assert!(mapping.read(0, &mut part));
    assert_eq!(part, [0xff; 4]);
}

#[test]
fn item_090_the_documents_case_with_the_usual_budget() {
    let (world, _, _) = mapped(ONES);
    let error = world.space.map(0x2000, 0x3000, Access::Write, &mut cx()).unwrap_err();
    assert_eq!(error, MapDmaError::Exhausted { wanted: 0x2000, free: 0x1000, limit: 0x1000 });
    let part = world.space.map_part(0x2000, 0x3000, Access::Write, &mut cx()).unwrap();
    assert_eq!(segments(&part), [(0x2000, 0x1000, false), (0x3000, 0x1000, true)]);
    // Nothing is left for a second one that begins in the device, but its memory can be mapped.
    let none = world.space.map_part(0x3000, 1, Access::Read, &mut cx()).unwrap_err();
    assert_eq!(none, MapDmaError::Exhausted { wanted: 1, free: 0, limit: 0x1000 });
    let memory = world.space.map_part(0x2ffe, 0x10, Access::Read, &mut cx()).unwrap();
    assert_eq!(segments(&memory), [(0x2ffe, 2, false)]);
}

#[test]
fn item_091_bounce_memory_runs_out_and_comes_back() {
    let (world, _, device) = mapped(ONES.bounce_bytes(0x100));
    let first = world.space.map(0x3000, 0xc0, Access::Write, &mut cx()).unwrap();
    let second = world.space.map(0x3100, 0x41, Access::Write, &mut cx());
    assert_eq!(second.unwrap_err(), MapDmaError::Exhausted { wanted: 0x41, free: 0x40, limit: 0x100 });
    let woken = Arc::new([AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)]);
    let wait = |bytes, n: usize| {
        let woken = Arc::clone(&woken);
        world.space.when_bounce_free(bytes, move || {
            woken[n].fetch_add(1, Ordering::Relaxed);
        })
    };
    let counts = || [0, 1, 2].map(|n: usize| woken[n].load(Ordering::Relaxed));
    let _enough = wait(0x40, 0);
    assert_eq!(counts(), [1, 0, 0], "what is free already wakes at once");
    let _waiting = wait(0x41, 1);
    let given_up = wait(0x41, 2);
    drop(given_up);
    assert_eq!(counts(), [1, 0, 0]);
    first.complete(0, &mut cx());
    assert_eq!(counts(), [1, 1, 0]);
    let second = world.space.map(0x3100, 0x100, Access::Write, &mut cx()).unwrap();
    drop(second);
    assert_eq!(counts(), [1, 1, 0], "nobody is woken twice");
    // Nothing leaks, however a mapping ends, and a waiter may map in its callback.
    for n in 0..1000_u64 {
        let mapping = world.space.map(0x3000, 0x100, Access::Write, &mut cx()).unwrap();
        if n % 2 == 0 {
            mapping.complete(n % 0x100, &mut cx());
        }
    }
    calls(&device);
    let held = world.space.map(0x3000, 0x100, Access::Write, &mut cx()).unwrap();
    let space = world.space.clone();
    let mapped = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&mapped);
    let _wait = world.space.when_bounce_free(0x100, move || {
        let mapping = space.map(0x3000, 0x100, Access::Read, &mut AccessCx::dma()).unwrap();
        seen.store(mapping.len() as u32, Ordering::Relaxed);
    });
    drop(held);
    assert_eq!(mapped.load(Ordering::Relaxed), 0x100);
}

#[test]
fn item_092_only_what_was_used_is_written() {
    let (world, ram, device) = mapped(ONES);
    let block = world.map.ram_block(ram).unwrap();
    block.mark_code(0, 0x2000);
    let mut mapping = world.space.map(0x2fc0, 0x80, Access::Write, &mut cx()).unwrap();
    assert_eq!(segments(&mapping), [(0x2fc0, 0x40, false), (0x3000, 0x40, true)]);
    assert!(mapping.write(0, &[0xab; 0x80]) && !mapping.write(1, &[0; 0x80]));
    assert_eq!(calls(&device), [], "a device is written to when the mapping is completed");
    drop(world.map.code_writes().take());
    let outcome = mapping.complete(0x46, &mut cx());
    assert_eq!((outcome.done, outcome.is_ok()), (0x46, true));
    assert_eq!(calls(&device), [('w', 0, 4, 0xabab_abab), ('w', 4, 2, 0xabab)]);
    assert_eq!(world.map.code_writes().take(), [(block.id(), 0, 1 << 63)]);
    // Of a direct segment too: only the first line counts as written.
    let mapping = world.space.map(0, 0x1000, Access::Write, &mut cx()).unwrap();
    mapping.complete(1, &mut cx());
    assert_eq!(world.map.code_writes().take(), [(block.id(), 0, 1)]);
    // A used length beyond the mapping is all of it; failures are told.
    let mut mapping = world.space.map(0x6ffc, 8, Access::Write, &mut cx()).unwrap();
    mapping.write(0, &[1; 8]);
    let outcome = mapping.complete(u64::MAX, &mut cx());
    assert_eq!((outcome.done, outcome.first_error), (4, Some((0x7000, TxError::Unassigned))));
    assert_eq!(calls(&device), [('w', 0x3ffc, 4, 0x0101_0101)]);
    // One to be read cannot be written.
    let mut mapping = world.space.map(0, 8, Access::Read, &mut cx()).unwrap();
    assert!(!mapping.write(0, &[1]));
    // ROM bounces for writing, so it stays what it is.
    world.put(world.root, 0x8000, 0, RegionSpec::rom("rom", 0x1000));
    let mut mapping = world.space.map(0x8000, 8, Access::Write, &mut cx()).unwrap();
    assert!(mapping.segments()[0].is_bounce() && mapping.write(0, &[1; 8]));
    assert!(mapping.complete(8, &mut cx()).is_ok());
    assert_eq!((world.read(0x8000, 2), world.space.rejections().rom_writes), (vec![0, 0], 1));
    assert!(!world.space.map(0x8000, 8, Access::Read, &mut cx()).unwrap().segments()[0].is_bounce());
}

#[test]
fn item_093_a_mapping_that_is_dropped() {
    let (world, ram, device) = mapped(ONES);
    let block = world.map.ram_block(ram).unwrap();
    block.mark_code(0, 0x2000);
    drop(world.map.code_writes().take());
    let mut mapping = world.space.map(0x2f80, 0x100, Access::Write, &mut cx()).unwrap();
    mapping.write(0, &[1; 0x100]);
    drop(world.map.code_writes().take());
    drop(mapping);
    assert_eq!(calls(&device), [], "bounce segments are lost");
    assert_eq!(world.map.code_writes().take(), [(block.id(), 0, 0b11 << 62)], "direct ones count as written");
    assert_eq!(world.read(0x2fff, 1), [1]);
    drop(world.space.map(0x2f80, 0x80, Access::Read, &mut cx()).unwrap());
    assert!(!world.map.code_writes().pending(), "what was read was not written");
    // A completed one is not counted a second time.
    world.space.map(0, 0x1000, Access::Write, &mut cx()).unwrap().complete(0, &mut cx());
    assert!(!world.map.code_writes().pending());
}

#[test]
fn item_080_a_mapping_keeps_its_memory() {
    let (world, ram, _) = mapped(ONES);
    let block = Arc::downgrade(&world.map.ram_block(ram).unwrap());
    let mut mapping = world.space.map(0, 0x1000, Access::Write, &mut cx()).unwrap();
    world.map.clear().unwrap();
    assert!(mapping.write(0, &[5; 0x1000]) && mapping.read(0xfff, &mut [0]));
    mapping.complete(0x1000, &mut cx());
    assert!(block.upgrade().is_none());
}

#[test]
fn item_094_a_cache_knows_that_the_map_has_changed() {
    let (world, ram, device) = mapped(ONES);
    let attrs = MemAttrs::default();
    let mut cache = world.space.cache(0x1000, 0x1000, Access::Write, attrs).unwrap();
    assert!(cache.is_direct() && !cache.is_stale());
    cache.store(0xffc, AccessSize::B4, 0x0403_0201, &mut cx()).unwrap();
    assert_eq!(world.read(0x1ffc, 4), [1, 2, 3, 4]);
    assert_eq!(cache.load(0xffe, AccessSize::B2, &mut cx()), Ok(0x0403));
    assert_eq!(cache.load(0xffd, AccessSize::B4, &mut cx()), Err(CacheError::PastEnd));
    assert_eq!(cache.load(u64::MAX, AccessSize::B4, &mut cx()), Err(CacheError::PastEnd));
    assert_eq!(cache.write(0xfff, &[1, 2], &mut cx()), Err(CacheError::PastEnd));
    // Stores through a cache are seen by who translated the bytes.
    let block = world.map.ram_block(ram).unwrap();
    block.mark_code(0x1000, 0x40);
    cache.store(0, AccessSize::B1, 1, &mut cx()).unwrap();
    assert_eq!(world.map.code_writes().take(), [(block.id(), 1, 1)]);
    // Another map: no access until it is renewed.
    let overlay = world.put(world.root, 0x1800, 1, RegionSpec::mmio("over", 0x10, device.clone(), ANY));
    assert!(cache.is_stale());
    assert_eq!(cache.load(0, AccessSize::B1, &mut cx()), Err(CacheError::Stale));
    assert_eq!(cache.store(0, AccessSize::B1, 7, &mut cx()), Err(CacheError::Stale));
    assert_eq!(cache.read(0, &mut [0], &mut cx()), Err(CacheError::Stale));
    assert_eq!(block.load(0x1000, AccessSize::B1), Some(1));
    cache.renew();
    assert!(!cache.is_direct() && cache.generation() == world.space.generation());
    assert_eq!(cache.load(0x800, AccessSize::B4, &mut cx()), Ok(0x1312_1110));
    cache.write(0x804, &[1, 2], &mut cx()).unwrap();
    assert_eq!(calls(&device), [('r', 0, 4, 0), ('w', 4, 2, 0x0201)]);
    let refused = CacheError::Access(TxError::Unassigned);
    world.edit(|txn| txn.set_enabled(overlay, false));
    world.edit(|txn| txn.detach(ram));
    cache.renew();
    assert_eq!(cache.load(0, AccessSize::B1, &mut cx()), Err(refused));
    // One to be read is not written, one that wraps is not made.
    let reader = world.space.cache(0x3000, 0x10, Access::Read, attrs).unwrap();
    assert_eq!(reader.store(0, AccessSize::B1, 0, &mut cx()), Err(CacheError::ReadOnly));
    assert_eq!(reader.load(4, AccessSize::B2, &mut cx()), Ok(0x0201));
    assert!(world.space.cache(u64::MAX, 2, Access::Read, attrs).is_err());
}

#[test]
fn item_094_a_cache_to_be_written_reads_what_reads_show() {
    let world = World::new(ONES);
    world.put(world.root, 0, 0, RegionSpec::ram("ram", 0x1000));
    let rom = world.put(world.root, 0, 1, RegionSpec::rom("rom", 0x1000));
    world.edit(|txn| txn.set_transparent(rom, memory::Transparency::Writes));
    let cache = world.space.cache(0, 0x1000, Access::Write, MemAttrs::default()).unwrap();
    cache.store(0, AccessSize::B1, 9, &mut cx()).unwrap();
    assert_eq!(cache.load(0, AccessSize::B1, &mut cx()), Ok(0));
    world.edit(|txn| txn.set_enabled(rom, false));
    assert_eq!(world.read(0, 1), [9]);
}

#[test]
fn item_095_nothing_wraps() {
    let (world, _, _) = mapped(ONES);
    world.put(world.root, u64::MAX - 0xfff, 0, RegionSpec::ram("top", 0x1000));
    for access in [Access::Read, Access::Write] {
        let map = |addr, len| world.space.map(addr, len, access, &mut cx()).map(|mapping| mapping.len());
        assert_eq!(map(u64::MAX - 7, 8), Ok(8));
        assert_eq!(map(u64::MAX - 7, 9), Err(MapDmaError::PastEnd));
        assert_eq!(
            map(1, u64::MAX),
            Err(MapDmaError::Exhausted { wanted: u64::MAX - 0x3fff, free: 0x1000, limit: 0x1000 })
        );
        assert_eq!(map(2, u64::MAX), Err(MapDmaError::PastEnd));
        assert_eq!(map(0, 0), Err(MapDmaError::Empty));
        assert_eq!(
            world.space.probe(u64::MAX - 7, 9, access, MemAttrs::default()),
            Err((0, TxError::PastEnd))
        );
    }
    let outcome = world.space.write(u64::MAX - 1, &[1; 4], &mut cx());
    assert_eq!((outcome.done, outcome.first_error), (2, Some((0, TxError::PastEnd))));
}

#[test]
fn a_probe_says_what_an_access_would_meet() {
    let (world, _, device) = mapped(ONES);
    let probe = |addr, len, access| world.space.probe(addr, len, access, MemAttrs::default());
    assert_eq!(probe(0x10, 0x6ff0, Access::Write), Ok(()));
    assert_eq!(probe(0x10, 0x7000, Access::Read), Err((0x7000, TxError::Unassigned)));
    assert_eq!(probe(0x10, 0, Access::Read), Ok(()));
    world.put(world.root, 0x4000, 1, RegionSpec::reservation("held", 0x10));
    let reserved = TxError::Rejected(RejectReason::Reserved);
    assert_eq!(probe(0x3ff8, 0x20, Access::Write), Err((0x4000, reserved)));
    let words = memory::AccessRules::new().valid(4, 4);
    world.put(world.root, 0x5000, 1, RegionSpec::mmio("words", 0x10, device.clone(), words));
    assert_eq!(probe(0x5000, 8, Access::Read), Ok(()));
    let width = TxError::Rejected(RejectReason::Width);
    assert_eq!(probe(0x5000, 6, Access::Read), Err((0x5004, width)));
    let only = MemAttrs { memory_only: true, ..MemAttrs::default() };
    let denied = TxError::Denied(DenyReason::MemoryOnly);
    assert_eq!(world.space.probe(0x2ffc, 8, Access::Read, only), Err((0x3000, denied)));
    assert_eq!((calls(&device), world.space.rejections()), (vec![], memory::Rejections::default()));
}

#[test]
fn typed_accesses_are_one_dispatch_in_either_order() {
    let (world, _, device) = mapped(ONES);
    for (size, little, big) in [
        (AccessSize::B1, 0x14, 0x14),
        (AccessSize::B2, 0x1514, 0x1415),
        (AccessSize::B4, 0x1716_1514, 0x1415_1617),
    ] {
        let load = |order| world.space.load(0x3004, size, order, &mut cx()).0;
        assert_eq!((load(Endian::Little), load(Endian::Big)), (little, big));
        assert!(world.space.store(0x10, size, big, Endian::Big, &mut cx()).is_ok());
        let (value, outcome) = world.space.load(0x10, size, Endian::Little, &mut cx());
        assert_eq!((value, outcome.is_ok()), (little, true));
    }
    assert_eq!(calls(&device).len(), 6);
    let (value, outcome) = world.space.load(0x3002, AccessSize::B4, Endian::Big, &mut cx());
    assert_eq!((value, outcome.error()), (0xffff_ffff, Some(TxError::Rejected(RejectReason::Unaligned))));
}

/// Every source of the crate that touches guest memory, with what would make a reference to it.
#[test]
fn item_096_no_reference_to_guest_memory_is_made() {
    let sources = [
        ("host.rs", include_str!("../../src/host.rs")),
        ("host_alloc.rs", include_str!("../../src/host_alloc.rs")),
        ("ram.rs", include_str!("../../src/ram.rs")),
        ("bounce.rs", include_str!("../../src/bounce.rs")),
        ("dma.rs", include_str!("../../src/dma.rs")),
        ("region_cache.rs", include_str!("../../src/region_cache.rs")),
    ];
    let makers = [
        "from_raw_parts",
        "as_ref()",
        "as_mut()",
        "&*host",
        "&mut *",
        "as_slice",
        "as_bytes",
        "-> &[u8]",
        "-> &mut [u8]",
    ];
    for (name, text) in sources {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for maker in makers {
            assert!(!code.contains(maker), "`{maker}` in {name}");
        }
    }
    // Bytes of a mapping that the guest writes meanwhile are copied, never borrowed: this compiles because nothing that
    // a mapping or a block gives away borrows from it.
    let (world, ram, _) = mapped(ONES);
    let mapping = world.space.map(0, 8, Access::Read, &mut cx()).unwrap();
    let pointer = mapping.segments()[0].host();
    drop(mapping);
    assert_eq!(pointer, world.map.ram_block(ram).unwrap().host());
}
