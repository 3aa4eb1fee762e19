//! A machine as far as it goes without running: what loading leaves in processor and RAM.

use super::*;
use base::AccessSize;

/// A multiboot image of one page by the addresses of its header; it would start behind them.
fn image() -> Vec<u8> {
    let flags = 0x1_0000u32;
    let words =
        [0x1bad_b002, flags, 0u32.wrapping_sub(0x1bad_b002 + flags), 0x20_0000, 0x20_0000, 0, 0, 0x20_0020];
    let mut bytes = words.map(u32::to_le_bytes).concat();
    bytes.resize(0x1000, 0xf4);
    bytes
}

fn machine() -> Machine {
    Machine::new(BoardConfig::default(), EngineConfig::default()).unwrap()
}

#[test]
fn loading_sets_the_start_state() {
    let mut machine = machine();
    let loaded = machine.load_bytes("image", &image(), "").unwrap();
    let state = &machine.engine().cpu().state;
    assert_eq!((state.eip, state.gpr[EAX], state.gpr[EBX]), (0x20_0020, 0x2bad_b002, loaded.ebx.into()));
    let (value, outcome) = machine.memory().view().dispatch_read(
        0x20_0fff,
        AccessSize::B1,
        memory::Row::Cpu,
        &mut memory::AccessCx::cpu(),
    );
    assert_eq!((value, outcome.is_ok()), (0xf4, true));
}

#[test]
fn a_refused_image_changes_nothing() {
    let mut machine = machine();
    let hash = machine.ram_hash();
    let eip = machine.engine().cpu().state.eip;
    assert!(machine.load_bytes("image", &image()[..20], "").is_err());
    assert!(machine.load(Path::new("/"), "").is_err());
    assert_eq!((machine.ram_hash(), machine.engine().cpu().state.eip), (hash, eip));
}

#[test]
fn the_hash_is_of_contents_alone_and_covers_every_block() {
    let (one, mut two) = (machine(), machine());
    let mut hash = one.ram_hash();
    assert_eq!(hash, two.ram_hash());
    for block in two.board().blocks() {
        assert!(block.write(block.len() - 1, &[0x3c]));
        let changed = two.ram_hash();
        assert_ne!(hash, changed, "{}", block.name());
        hash = changed;
    }
    two.load_bytes("image", &image(), "").unwrap();
    assert_ne!(hash, two.ram_hash());
}

#[test]
fn a_board_that_cannot_be_made_is_an_error() {
    let config = BoardConfig { ram_bytes: 1, ..BoardConfig::default() };
    let error = Machine::new(config, EngineConfig::default()).err().unwrap();
    assert!(matches!(error, MachineError::Board(BoardError::RamSize { bytes: 1 })), "{error}");
}
