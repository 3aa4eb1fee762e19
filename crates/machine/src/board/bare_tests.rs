//! The board through its spaces and its platform.

use super::*;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, Weak};

use base::AccessSize;
use engine::Platform;
use memory::{AccessCx, Row};

#[derive(Default)]
struct Bytes(Mutex<Vec<u8>>);

impl ByteSink for Bytes {
    fn put(&self, byte: u8) {
        self.0.lock().unwrap().push(byte);
    }
}

fn board() -> BareBoard {
    BareBoard::new(BoardConfig::default()).unwrap()
}

fn read(space: &AddressSpace, addr: u64, size: AccessSize) -> u64 {
    space.view().dispatch_read(addr, size, Row::Cpu, &mut AccessCx::cpu()).0
}

fn write(space: &AddressSpace, addr: u64, size: AccessSize, value: u64) {
    space.view().dispatch_write(addr, size, value, Row::Cpu, &mut AccessCx::cpu());
}

fn peek(board: &BareBoard, addr: u64) -> u64 {
    read(board.memory(), addr, AccessSize::B4)
}

fn poke(board: &BareBoard, addr: u64, value: u64) {
    write(board.memory(), addr, AccessSize::B4, value);
}

fn outb(board: &BareBoard, port: u64, value: u64) {
    write(board.ports(), port, AccessSize::B1, value);
}

fn inb(board: &BareBoard, port: u64) -> u64 {
    read(board.ports(), port, AccessSize::B1)
}

/// Writes a PAM register by configuration mechanism 1.
fn pam(board: &BareBoard, register: u64, value: u64) {
    write(board.ports(), PCI_ADDRESS, AccessSize::B4, 0x8000_0000 | (register & !3));
    outb(board, PCI_DATA + (register & 3), value);
}

#[test]
fn the_most_ram_lies_behind_the_windows() {
    let board = BareBoard::new(BoardConfig { ram_bytes: RAM_MAX, ..BoardConfig::default() }).unwrap();
    let text = board.memory().view().flat_text();
    for line in [
        "  0000000000100000-00000000d0ffffff (prio 0, ram): pc.ram @0000000000100000\n",
        "  00000000d1000000-00000000d100ffff (prio 0, ram): bank.ram\n",
        "  00000000d1010000-00000000dfffffff (prio 0, ram): pc.ram @00000000d1010000\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[test]
fn ram_is_whole_pages_within_the_bounds() {
    let build = |ram_bytes| BareBoard::new(BoardConfig { ram_bytes, ..BoardConfig::default() });
    for bytes in [0, RAM_MIN - 0x1000, RAM_MIN + 1, RAM_MIN + 0x800, RAM_MAX + 0x1000, u64::MAX] {
        let error = build(bytes).err().unwrap().to_string();
        assert!(
            error.starts_with(&format!("{bytes:#x} bytes of RAM")) && error.contains("0xe0000000"),
            "{error}"
        );
    }
    let least = build(RAM_MIN).unwrap();
    poke(&least, LOW_RAM_END - 4, 0x1234);
    assert_eq!([peek(&least, LOW_RAM_END - 4), peek(&least, HIGH_RAM)], [0x1234, 0xffff_ffff]);
    poke(&build(RAM_MIN + 0x1000).unwrap(), HIGH_RAM + 0xffc, 1);
}

#[test]
fn what_nobody_answers_reads_as_ones_or_zeros() {
    let places = [LOW_RAM_END, 0xb_fffc, RAM_DEFAULT, RESERVED, IOMMU_WINDOW, 0xffff_fff0];
    let ones = board();
    let zeros = BareBoard::new(BoardConfig { unassigned: UnassignedPolicy::Zeros, ..BoardConfig::default() })
        .unwrap();
    for at in places {
        assert_eq!((peek(&ones, at), peek(&zeros, at)), (0xffff_ffff, 0), "{at:x}");
    }
    for port in [0, 0x60, 0xffff] {
        assert_eq!((inb(&ones, port), inb(&zeros, port)), (0xff, 0xff), "{port:x}");
    }
}

#[test]
fn pam_registers_show_ram_in_front_of_a_rom_that_has_a_pattern() {
    let board = board();
    let rom: Vec<u64> = (0..ROM_LEN).step_by(4).map(|off| peek(&board, ROM + off)).collect();
    let mut distinct = rom.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), rom.len());
    poke(&board, 0xf_0000, 0);
    assert_eq!(peek(&board, 0xf_0000), rom[0xc000]);
    pam(&board, 0x59, 0x20);
    poke(&board, 0xf_0000, 0x55);
    assert_eq!(peek(&board, 0xf_0000), rom[0xc000]);
    pam(&board, 0x59, 0x10);
    assert_eq!((peek(&board, 0xf_0000), peek(&board, 0xe_fffc)), (0x55, rom[0xbfff]));
    assert_eq!(board.blocks()[0].load(0xf_0000, AccessSize::B4), Some(0x55));
}

/// ICW1 to ICW4 of both controllers, vectors 20 and 28, everything unmasked.
fn init_pics(board: &BareBoard) {
    for (base, words) in [(PIC_MASTER, [0x11, 0x20, 4, 1]), (PIC_SLAVE, [0x11, 0x28, 2, 1])] {
        outb(board, base, words[0]);
        words[1..].iter().for_each(|word| outb(board, base + 1, *word));
    }
}

#[test]
fn the_timer_interrupts_through_the_pair() {
    let board = board();
    let (platform, links) = (board.platform(), board.links());
    let run_until = |time_ns| {
        links.time_ns.store(time_ns, Ordering::Relaxed);
        platform.run_events(time_ns);
        platform.interrupt_pending()
    };
    assert_eq!((platform.next_event_ns(), platform.interrupt_pending()), (None, false));
    init_pics(&board);
    assert!(platform.next_event_ns().is_some());
    links.attention.store(0, Ordering::Relaxed);
    // Counter 0, mode 0: the output rises once, when the count has run out.
    for (port, value) in [(PIT + 3, 0x30), (PIT, 0x00), (PIT, 0x10)] {
        outb(&board, port, value);
    }
    assert_ne!(links.attention.load(Ordering::Relaxed) & Doorbell::TIMER, 0);
    let due = platform.next_event_ns().unwrap();
    assert!((3_432_000..3_436_000).contains(&due), "4096 ticks of 838.1 ns: {due}");
    assert!(!run_until(due - 1) && run_until(due));
    assert_eq!((platform.acknowledge_interrupt(), platform.interrupt_pending()), (0x20, false));
    assert_eq!(platform.next_event_ns(), None);
}

#[test]
fn input_on_com1_is_irq_4_and_output_goes_to_the_sinks() {
    let (serial, console) = (Arc::new(Bytes::default()), Arc::new(Bytes::default()));
    let config = BoardConfig { serial: serial.clone(), debugcon: console.clone(), ..BoardConfig::default() };
    let board = BareBoard::new(config).unwrap();
    outb(&board, COM1, b's'.into());
    outb(&board, DEBUGCON, b'd'.into());
    assert_eq!((&**serial.0.lock().unwrap(), &**console.0.lock().unwrap()), (&b"s"[..], &b"d"[..]));
    assert_eq!(inb(&board, DEBUGCON), 0xe9);
    init_pics(&board);
    outb(&board, COM1 + 1, 1);
    let platform = board.platform();
    assert!(!platform.interrupt_pending());
    assert_eq!(board.serial_input(b"x"), 1);
    assert!(platform.interrupt_pending());
    assert_eq!((platform.acknowledge_interrupt(), inb(&board, COM1)), (0x24, b'x'.into()));
}

#[test]
fn the_first_exit_counts_and_the_stop_flag_is_seen() {
    let board = board();
    let platform = board.platform();
    assert_eq!((platform.exit_status(), platform.stop_requested()), (None, false));
    write(board.ports(), DEBUG_EXIT, AccessSize::B4, 0x21);
    assert_ne!(board.links().attention.load(Ordering::Relaxed) & Doorbell::EXIT, 0);
    outb(&board, DEBUG_EXIT, 0);
    assert_eq!(platform.exit_status(), Some(0x43));
    board.stop_flag().store(true, Ordering::Relaxed);
    assert!(platform.stop_requested());
}

#[test]
fn the_other_ports_are_where_a_pc_has_them() {
    let board = board();
    outb(&board, ELCR, 0xff);
    outb(&board, PORT_B, 3);
    assert_eq!((inb(&board, ELCR), inb(&board, PORT_B) & 0xf), (0xf8, 3));
    // The POST port reads as a port that nobody answers does, so its write is counted.
    outb(&board, POST, 0xa5);
    let counts = board.map().callback_counts();
    assert!(counts.iter().any(|count| count.name == "post" && count.writes == 1), "{counts:?}");
    outb(&board, PCI_ADDRESS + 1, 0xff);
    write(board.ports(), PCI_ADDRESS, AccessSize::B4, 0x8000_0000);
    assert_eq!(read(board.ports(), PCI_DATA, AccessSize::B4), 0x1237_8086);
    write(board.ports(), PCI_ADDRESS, AccessSize::B4, 0x8000_0800);
    assert_eq!(read(board.ports(), PCI_DATA, AccessSize::B4), 0xffff_ffff);
}

#[test]
fn the_bank_register_moves_the_window() {
    let board = board();
    for bank in 0..u64::from(BANKS) {
        write(board.memory(), BANK_REGISTER, AccessSize::B1, bank);
        poke(&board, BANK_WINDOW + BANK_LEN - 4, 0x1000 + bank);
    }
    write(board.memory(), BANK_REGISTER, AccessSize::B1, 5);
    assert_eq!(peek(&board, BANK_WINDOW + BANK_LEN - 4), 0x1005);
    assert_eq!(board.blocks()[2].load(BANK_LEN * 10 - 4, AccessSize::B4), Some(0x1009));
}

#[test]
fn the_master_copies_plainly_and_through_the_iommu() {
    let board = board();
    let copy = |src, dst, control| {
        for (register, value) in [(0, src), (4, dst), (8, 8), (12, control)] {
            poke(&board, TEST_DMA + register, value);
        }
        peek(&board, TEST_DMA + 12)
    };
    let map_page = |page, entry| {
        poke(&board, IOMMU_REGISTERS, page);
        poke(&board, IOMMU_REGISTERS + 4, entry);
    };
    poke(&board, 0x20_0004, 0xabcd);
    assert_eq!((copy(0x20_0000, 0x20_1000, 1), peek(&board, 0x20_1004)), (1, 0xabcd));
    map_page(7, 0x20_0001);
    map_page(9, 0x20_3002);
    assert_eq!((copy(0x7000, 0x9000, 3), peek(&board, 0x20_3004)), (1, 0xabcd));
    assert_eq!(copy(0x9000, 0x7000, 3), 2);
    assert_eq!(copy(0x10_0000, 0x9000, 3), 2);
    assert_eq!(
        (peek(&board, IOMMU_WINDOW + 0x7004), peek(&board, IOMMU_WINDOW + 0x9004)),
        (0xabcd, 0xffff_ffff)
    );
    poke(&board, IOMMU_WINDOW + 0x9008, 0x77);
    assert_eq!(peek(&board, 0x20_3008), 0x77);
}

#[test]
fn flash_test_block_and_ioapic_answer() {
    let board = board();
    let flash = |value| write(board.memory(), FLASH + 0x10, AccessSize::B1, value);
    flash(0x40);
    flash(0x5a);
    assert_eq!(read(board.memory(), FLASH, AccessSize::B1), 0x80);
    flash(0xff);
    assert_eq!(peek(&board, FLASH + 0x10), 0xffff_ff5a);
    poke(&board, TEST_BLOCK, 0x1122_3344);
    assert_eq!(
        (peek(&board, TEST_BLOCK), peek(&board, TEST_BLOCK + 4), peek(&board, TEST_BLOCK + 4)),
        (0x1122_3344, 0, 1)
    );
    poke(&board, IOAPIC, 1);
    assert_eq!(peek(&board, IOAPIC + 0x10), 0x0017_0011);
}

#[test]
fn a_dropped_board_leaves_nothing_behind() {
    let board = board();
    let blocks: Vec<Weak<RamBlock>> = board.blocks().iter().map(Arc::downgrade).collect();
    let platform = Arc::downgrade(&board.platform());
    drop(board);
    assert!(blocks.iter().all(|block| block.strong_count() == 0));
    assert_eq!(platform.strong_count(), 0);
}
