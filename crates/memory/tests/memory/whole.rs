//! The short way of an access that is one call or one piece of memory, against the long way of the same bytes.

use std::sync::Arc;

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, Device, MmioDevice, NarrowPolicy, RegionSpec, Row, TxOutcome};

use crate::common::*;

const ROWS: [Row; 3] = [Row::Cpu, Row::ByteCopy, Row::Typed];
const SIZES: [AccessSize; 4] = [AccessSize::B1, AccessSize::B2, AccessSize::B4, AccessSize::B8];
/// Bytes of the device; no power of two, so that wide accesses run over its end.
const LEN: u64 = 0x1b;

/// Records its calls, answers with more bits than it is asked for, and fails at offsets 8 to 11.
struct Odd(Vec<Call>);

impl MmioDevice for Odd {
    fn read(&mut self, off: RegionOffset, size: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        self.0.push(('r', off.0, size.bytes(), 0));
        if off.0 & !3 == 8 { Err(BusError::Device(3)) } else { Ok(0x8877_6655_4433_2211 ^ off.0) }
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        size: AccessSize,
        _: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.0.push(('w', off.0, size.bytes(), value));
        if off.0 & !3 == 8 { Err(BusError::Rejected) } else { Ok(()) }
    }

    fn reset(&mut self) {}
}

/// A world that shows the device at `at`, twice: as it is with memory over its middle, and from offset 2 on at 40h.
fn world(at: u64, device: Arc<Device<Odd>>, rules: AccessRules) -> World {
    let world = World::new(ONES);
    let region = world.put(world.root, at, 0, RegionSpec::mmio("odd", LEN, device, rules));
    world.put(world.root, at + 0x14, 1, RegionSpec::ram("over", 2));
    world.put(world.root, 0x40, 0, RegionSpec::alias("again", region, 2, LEN - 2));
    world
}

fn rules() -> Vec<AccessRules> {
    let mut all = Vec::new();
    for (least, most) in [(0, 0), (1, 1), (1, 2), (1, 4), (1, 8), (2, 4), (2, 8), (4, 4), (8, 8)] {
        for (narrowest, widest) in [(0, 0), (1, 1), (1, 2), (1, 8), (2, 4), (4, 4), (4, 8), (8, 8)] {
            let plain = AccessRules::new().valid(least, most).implemented(narrowest, widest);
            all.extend([
                plain,
                plain.big_endian(),
                plain.valid_unaligned(),
                plain.valid_unaligned().impl_unaligned(),
                plain.narrow(NarrowPolicy::Reject, NarrowPolicy::ReadModifyWrite),
                plain.accepts(|off, size, write| off != 4 && !(write && size == AccessSize::B2)),
            ]);
        }
    }
    all
}

type Seen = (u64, TxOutcome, Vec<Call>, u64);

#[test]
fn the_short_way_makes_the_same_calls_and_gives_the_same_answers() {
    const VALUE: u64 = 0xf1e2_d3c4_b5a6_9788;
    let mut whole = 0;
    for (rules, at) in rules().into_iter().flat_map(|rules| [(rules, 0), (rules, 3)]) {
        let device = Device::new(Odd(Vec::new()));
        let world = world(at, Arc::clone(&device), rules);
        let view = world.space.view();
        let seen = |value, outcome| -> Seen {
            let rejections = world.space.rejections();
            let counted = rejections.rejected + rejections.unassigned + rejections.device;
            (value, outcome, std::mem::take(&mut device.lock().0), counted)
        };
        for (row, size) in ROWS.into_iter().flat_map(|row| SIZES.map(|size| (row, size))) {
            let len = size.bytes() as usize;
            for addr in (0..LEN + 6).chain(0x3e..0x40 + LEN) {
                let case = format!("{rules:?} at {at}, {row:?} {size:?} {addr:#x}");
                let before = seen(0, TxOutcome::default()).3;
                let (value, outcome) = view.dispatch_read(addr, size, row, &mut AccessCx::cpu());
                let short = seen(value, outcome);
                let mut bytes = [0; 8];
                let outcome = view.read_bytes(addr, &mut bytes[..len], row, &mut AccessCx::cpu());
                let long = seen(u64::from_le_bytes(bytes), outcome);
                assert_eq!((&short.0, &short.1, &short.2), (&long.0, &long.1, &long.2), "read, {case}");
                assert_eq!(short.3 - before, long.3 - short.3, "counted reads, {case}");
                whole += u64::from(short.2.len() == 1 && short.2[0].2 == size.bytes());

                let before = long.3;
                let outcome = view.dispatch_write(addr, size, VALUE, row, &mut AccessCx::cpu());
                let short = seen(0, outcome);
                let outcome = view.write_bytes(addr, &VALUE.to_le_bytes()[..len], row, &mut AccessCx::cpu());
                let long = seen(0, outcome);
                assert_eq!((&short.1, &short.2), (&long.1, &long.2), "write, {case}");
                assert_eq!(short.3 - before, long.3 - short.3, "counted writes, {case}");
            }
        }
        drop(view);
        world.map.clear().unwrap();
    }
    assert!(whole > 10_000, "the short way was taken {whole} times");
}
