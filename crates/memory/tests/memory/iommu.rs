//! Items 97 to 99: accesses through IOMMUs.

use std::sync::{Arc, Mutex};

use base::AccessSize;
use memory::{
    Access, AccessCx, AddressSpace, Iommu, IommuCtx, IommuFault, IotlbEntry, MemAttrs, RegionSpec, Row,
    TxError,
};

use crate::common::*;

/// Translates by a list of (iova, mask, translated, read, write).
#[derive(Default)]
struct Table {
    target: Mutex<Option<AddressSpace>>,
    entries: Vec<(u64, u64, u64, bool, bool)>,
    asked: Mutex<Vec<(u64, Option<Access>, u16)>>,
}

impl Iommu for Table {
    fn translate(&self, iova: u64, access: Option<Access>, ctx: &IommuCtx) -> Result<IotlbEntry, IommuFault> {
        self.asked.lock().unwrap().push((iova, access, ctx.attrs.requester));
        let target = self.target.lock().unwrap().clone().ok_or(IommuFault::InvalidEntry)?;
        let entry =
            self.entries.iter().find(|(base, mask, ..)| iova & !mask == *base).ok_or(IommuFault::Unmapped)?;
        let (base, mask, translated, read, write) = *entry;
        Ok(IotlbEntry { target, iova: base, translated, mask, read, write })
    }
}

/// A system with 64 KiB of RAM, and a bus behind an IOMMU with `entries`.
fn bus(entries: Vec<(u64, u64, u64, bool, bool)>) -> (World, World, Arc<Table>) {
    let (system, behind) = (World::new(ONES), World::new(ONES));
    system.put(system.root, 0, 0, RegionSpec::ram("ram", 0x1_0000));
    let target = Mutex::new(Some(system.space.clone()));
    let table = Arc::new(Table { target, entries, asked: Mutex::default() });
    behind.put(behind.root, 0, 0, RegionSpec::iommu("iommu", 0x10_0000, table.clone()));
    (system, behind, table)
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
    let table = Table { target: Mutex::new(Some(middle.space.clone())), entries, asked: Mutex::default() };
    outer.put(outer.root, 0, 0, RegionSpec::iommu("outer", 0x1000, Arc::new(table)));
    system.write(0x8fe, &[1, 2]);
    system.write(0, &[3, 4]);
    assert_eq!(outer.read(0xfe, 4), [1, 2, 3, 4]);
    // A failure inside is reported at the address asked.
    let outcome = outer.space.read(0x1fe, &mut [0; 4], &mut AccessCx::dma());
    assert_eq!(outcome.first_error, Some((0x200, TxError::Fault(IommuFault::Unmapped))));
}

#[test]
fn item_099_a_loop_ends() {
    let (_, behind, table) = bus(vec![(0, u64::MAX, 0, true, true)]);
    *table.target.lock().unwrap() = Some(behind.space.clone());
    let outcome = behind.space.read(0x100, &mut [0; 4], &mut AccessCx::dma());
    assert_eq!(outcome.first_error, Some((0x100, TxError::TranslationLoop)));
    assert!(table.asked.lock().unwrap().len() <= 8);
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
