//! The PAM windows through an address space: DRAM holds one value, what lies below another.

use super::*;
use memory::{AccessCx, AddressSpace, Placement, RegionSpec, SpaceConfig, UnassignedPolicy};

const DRAM: u8 = 0x11;
const BELOW: u8 = 0x22;
const WRITTEN: u8 = 0x33;

struct Rig {
    map: MemoryMap,
    space: AddressSpace,
    dram: RegionId,
    bridge: I440fx,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.map.clear().unwrap();
    }
}

/// 1 MiB of DRAM that only the overlays show, over ROM.
fn rig() -> Rig {
    let map = MemoryMap::new();
    let root = map.add(RegionSpec::container("system", 0x10_0000)).unwrap();
    let dram = map.add(RegionSpec::ram("dram", 0x10_0000)).unwrap();
    let rom = map.add(RegionSpec::rom("rom", 0x4_0000)).unwrap();
    assert!(map.ram_block(dram).unwrap().write(PAM_BASE, &[DRAM; 0x4_0000]));
    assert!(map.ram_block(rom).unwrap().write(0, &[BELOW; 0x4_0000]));
    let mut txn = map.txn();
    txn.attach(root, PAM_BASE, rom, Placement::Overlap { priority: 0 }).unwrap();
    let windows = std::array::from_fn(|index| {
        let (at, len) = pam_window(index);
        let window = map.add(RegionSpec::alias(&format!("pam{index}"), dram, at, len)).unwrap();
        txn.attach(root, at, window, Placement::Overlap { priority: 1 }).unwrap();
        txn.set_enabled(window, false).unwrap();
        window
    });
    txn.commit().unwrap();
    let config = SpaceConfig::memory(UnassignedPolicy::Ones);
    let space = map.space(root, "system", config).unwrap();
    let bridge = I440fx::new(PamOverlays { map: map.clone(), windows });
    Rig { map, space, dram, bridge }
}

impl Rig {
    /// Writes the attributes of one window, as the register and nibble of the data sheet's table.
    fn set(&mut self, index: usize, attributes: u8) {
        let (register, shift) = match index {
            12 => (0x59, 4),
            _ => (0x5a + (index / 2) as u8, 4 * (index % 2)),
        };
        let old = self.bridge.config_read(register, AccessSize::B1) as u8;
        let value = (old & !(0xf << shift)) | (attributes << shift);
        self.bridge.config_write(register, AccessSize::B1, value.into());
    }

    fn read(&self, addr: u64) -> u8 {
        let mut byte = [0];
        self.space.read(addr, &mut byte, &mut AccessCx::cpu());
        byte[0]
    }

    /// What DRAM holds at `addr` after a write there; the old value is put back.
    fn written(&self, addr: u64) -> u8 {
        let block = self.map.ram_block(self.dram).unwrap();
        self.space.write(addr, &[WRITTEN], &mut AccessCx::cpu());
        let mut byte = [0];
        assert!(block.read(addr, &mut byte) && block.write(addr, &[DRAM]));
        byte[0]
    }

    /// What a read of the first and last byte gives, and what a write leaves in DRAM.
    fn probe(&self, index: usize) -> [(u8, u8); 2] {
        let (at, len) = pam_window(index);
        [at, at + len - 1].map(|addr| (self.read(addr), self.written(addr)))
    }
}

#[test]
fn every_window_switches_each_direction_alone() {
    let mut rig = rig();
    for index in 0..PAM_WINDOWS {
        for (attributes, wanted) in [
            (0, (BELOW, DRAM)),
            (PAM_RE, (DRAM, DRAM)),
            (PAM_WE, (BELOW, WRITTEN)),
            (PAM_RE | PAM_WE, (DRAM, WRITTEN)),
            (PAM_WE, (BELOW, WRITTEN)),
            (PAM_RE, (DRAM, DRAM)),
            (0, (BELOW, DRAM)),
        ] {
            rig.set(index, attributes);
            for other in 0..PAM_WINDOWS {
                let wanted = if other == index { wanted } else { (BELOW, DRAM) };
                assert_eq!(
                    rig.probe(other),
                    [wanted; 2],
                    "window {index} set to {attributes}, window {other}"
                );
            }
        }
    }
}

#[test]
fn what_is_written_while_only_writable_is_read_when_readable() {
    let mut rig = rig();
    rig.set(12, PAM_WE);
    rig.space.write(0xf_0123, &[WRITTEN], &mut AccessCx::cpu());
    assert_eq!(rig.read(0xf_0123), BELOW);
    rig.set(12, PAM_RE);
    rig.space.write(0xf_0123, &[0], &mut AccessCx::cpu());
    assert_eq!(rig.read(0xf_0123), WRITTEN);
}

#[test]
fn a_dword_write_is_one_change_of_the_map() {
    let mut rig = rig();
    let before = rig.space.generation();
    rig.bridge.config_write(0x58, AccessSize::B4, 0xffff_ffff);
    assert_eq!(rig.space.generation(), before + 1);
    assert_eq!(rig.bridge.state().pam(), [0x30, 0x33, 0x33, 0, 0, 0, 0]);
    assert_eq!([0, 3, 4, 12].map(|index| rig.probe(index)[0].0), [DRAM, DRAM, BELOW, DRAM]);
    rig.bridge.config_write(0x58, AccessSize::B4, 0xcccc_cccc | 0x3333_3333);
    assert_eq!(rig.space.generation(), before + 1);
}

#[test]
fn a_refused_change_leaves_the_registers_as_the_map() {
    struct Refuse;
    impl memory::MapListener for Refuse {
        fn prepare(&self, _delta: &memory::MapDelta) -> Result<(), memory::Veto> {
            Err(memory::Veto("no".to_owned()))
        }
        fn apply(&self, _delta: &memory::MapDelta) {}
    }
    let mut rig = rig();
    rig.set(2, PAM_RE);
    let listener = rig.space.listen(0, std::sync::Arc::new(Refuse));
    rig.set(2, PAM_WE);
    assert_eq!((rig.bridge.state().pam()[2], rig.probe(2)), (PAM_RE, [(DRAM, DRAM); 2]));
    rig.bridge.reset();
    assert_eq!((rig.bridge.state().pam()[2], rig.probe(2)), (PAM_RE, [(DRAM, DRAM); 2]));
    assert!(rig.space.unlisten(listener));
    rig.bridge.reset();
    assert_eq!((*rig.bridge.state() == I440fxState::default(), rig.probe(2)), (true, [(BELOW, DRAM); 2]));
}

#[test]
fn identification_is_read_only() {
    let mut rig = rig();
    rig.bridge.config_write(0, AccessSize::B4, 0);
    rig.bridge.config_write(4, AccessSize::B4, 0xffff_ffff);
    rig.bridge.config_write(0x72, AccessSize::B1, 0xff);
    assert_eq!(rig.bridge.config_read(0, AccessSize::B4), 0x1237_8086);
    assert_eq!(rig.bridge.config_read(4, AccessSize::B4), 0x0280_0106);
    assert_eq!(rig.bridge.config_read(0x0b, AccessSize::B1), 0x06);
    assert_eq!(rig.bridge.config_read(0x72, AccessSize::B2), 0x02);
}
