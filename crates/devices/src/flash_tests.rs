//! The chip through an address space, in which direct reads and callbacks are told apart.

use super::*;
use memory::{AddressSpace, Placement, SpaceConfig, UnassignedPolicy};

const BASE: u64 = 0x40_0000;
const LEN: u64 = 4 * BLOCK_LEN;

struct Rig {
    map: MemoryMap,
    space: AddressSpace,
    region: RegionId,
    chip: Arc<Device<Flash>>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.map.clear().unwrap();
    }
}

fn rig() -> Rig {
    let map = MemoryMap::new();
    let root = map.add(RegionSpec::container("system", 0x100_0000)).unwrap();
    let (region, chip) = Flash::add_to(&map, "flash", LEN).unwrap();
    let mut txn = map.txn();
    txn.attach(root, BASE, region, Placement::Exclusive).unwrap();
    txn.commit().unwrap();
    let config = SpaceConfig::memory(UnassignedPolicy::Zeros);
    let space = map.space(root, "system", config).unwrap();
    Rig { map, space, region, chip }
}

impl Rig {
    fn put(&self, off: u64, bytes: &[u8]) {
        assert!(self.space.write(BASE + off, bytes, &mut AccessCx::cpu()).is_ok(), "write at {off:#x}");
    }

    fn get<const N: usize>(&self, off: u64) -> [u8; N] {
        let mut bytes = [0; N];
        assert!(self.space.read(BASE + off, &mut bytes, &mut AccessCx::cpu()).is_ok(), "read at {off:#x}");
        bytes
    }

    fn program(&self, off: u64, bytes: &[u8]) {
        self.put(off, &[command::PROGRAM]);
        self.put(off, bytes);
    }

    fn array(&self) {
        self.put(0, &[command::READ_ARRAY]);
    }

    fn status(&self) -> u8 {
        self.put(0, &[command::READ_STATUS]);
        self.get::<1>(0x1_2345)[0]
    }

    /// Whether reads are direct, by the view; and read callbacks so far.
    fn reads(&self) -> (bool, u64) {
        let direct = self.space.view().lookup(BASE).unwrap().attrs().romd;
        let counts = self.map.callback_counts();
        (direct, counts.iter().find(|count| count.id == self.region).map_or(0, |count| count.reads))
    }
}

#[test]
fn programming_clears_bits_and_sets_none() {
    let rig = rig();
    rig.program(0x100, &[0x5a]);
    rig.put(0x100, &[command::PROGRAM_ALTERNATE]);
    rig.put(0x100, &[0xf0]);
    rig.array();
    assert_eq!(rig.get(0xff), [0xff, 0x50, 0xff]);
    assert_eq!(rig.status(), status::READY);
}

#[test]
fn a_wide_write_programs_all_of_its_bytes() {
    let rig = rig();
    rig.program(0x200, &[1, 2, 3, 4]);
    rig.program(0x206, &[5, 6]);
    rig.array();
    assert_eq!(rig.get(0x1ff), [0xff, 1, 2, 3, 4, 0xff, 0xff, 5, 6, 0xff]);
}

#[test]
fn an_erase_sets_the_bits_of_one_block() {
    let rig = rig();
    for off in [BLOCK_LEN - 1, BLOCK_LEN, 2 * BLOCK_LEN - 1, 2 * BLOCK_LEN] {
        rig.program(off, &[0]);
    }
    rig.put(BLOCK_LEN + 0x1234, &[command::ERASE]);
    rig.put(BLOCK_LEN + 0x1234, &[command::CONFIRM]);
    assert_eq!(rig.get(7), [status::READY]);
    rig.array();
    assert_eq!(rig.get(BLOCK_LEN - 1), [0, 0xff]);
    assert_eq!(rig.get(2 * BLOCK_LEN - 1), [0xff, 0]);
}

#[test]
fn an_erase_that_is_not_confirmed_is_a_sequence_error_until_cleared() {
    let rig = rig();
    rig.program(0, &[0x12]);
    rig.put(0, &[command::ERASE]);
    rig.put(0, &[command::READ_ARRAY]);
    assert_eq!(rig.get(0), [0xb0]);
    rig.program(1, &[0]);
    assert_eq!(rig.status(), 0xb0);
    rig.put(0, &[command::CLEAR_STATUS]);
    assert_eq!(rig.get(0), [0x12, 0]);
    assert_eq!(rig.status(), status::READY);
}

#[test]
fn modes_toggle_what_reads_show_and_whether_they_are_callbacks() {
    let rig = rig();
    rig.program(0, &[0x11, 0x22]);
    rig.array();
    let before = rig.reads();
    assert_eq!((before.0, rig.get(0), rig.reads()), (true, [0x11, 0x22], before));
    rig.put(0, &[command::READ_IDENTIFIER]);
    assert_eq!(rig.get(0), [0x89, 0xa2, 0x89]);
    let (direct, calls) = rig.reads();
    assert!(!direct && calls > before.1);
    rig.put(0, &[command::READ_STATUS, 0, 0, 0]);
    assert_eq!(rig.get(1), [0x80; 7]);
    rig.array();
    let after = rig.reads();
    assert_eq!((after.0, rig.get(0), rig.reads()), (true, [0x11, 0x22], after));
}

#[test]
fn an_unknown_command_changes_nothing() {
    let rig = rig();
    rig.put(3, &[0x98]);
    assert_eq!((rig.reads().0, rig.get(3)), (true, [0xff]));
    rig.put(3, &[command::READ_STATUS]);
    rig.put(3, &[0x98]);
    assert_eq!((rig.reads().0, rig.get(3)), (true, [0xff]));
}

#[test]
fn changed_contents_are_posted_as_code_writes() {
    let rig = rig();
    let block = rig.map.ram_block(rig.region).unwrap();
    block.mark_code(0x1000, 1);
    block.mark_code(BLOCK_LEN, 1);
    rig.program(0x1000, &[0x90]);
    assert_eq!(rig.map.code_writes().take(), [(block.id(), 1, 1)]);
    rig.put(0, &[command::ERASE]);
    rig.put(0, &[command::CONFIRM]);
    assert_eq!(rig.map.code_writes().take(), [(block.id(), 1, 1)]);
}

#[test]
fn reset_shows_the_array_and_keeps_it() {
    let rig = rig();
    rig.program(9, &[0x77]);
    rig.put(9, &[command::ERASE]);
    rig.chip.lock().reset();
    assert_eq!(*rig.chip.lock().state(), FlashState::default());
    assert_eq!((rig.reads().0, rig.get(9)), (true, [0x77]));
}

#[test]
fn the_length_is_whole_blocks() {
    let map = MemoryMap::new();
    for len in [0, 1, BLOCK_LEN - 1, BLOCK_LEN + 1] {
        let error = Flash::add_to(&map, "flash", len).err().unwrap();
        assert!(error.to_string().contains(&format!("{len:#x} bytes")), "{error}");
    }
}
