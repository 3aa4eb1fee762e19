//! Images made by hand, one for each thing that can be wrong with a file.

use super::*;
use crate::board::bare::{RAM_MAX, RAM_MIN};
use crate::{BareBoard, BoardConfig};
use memory::{
    AccessCx, MemoryMap, Placement, RamBlock, RegionSpec, SpaceConfig, Transparency, UnassignedPolicy,
};

const RAM: u64 = 8 << 20;

/// A program header and the bytes behind it.
#[derive(Clone)]
struct Part {
    kind: u32,
    vaddr: u32,
    paddr: u32,
    memsz: u32,
    /// Said in the header, if it is not the truth.
    filesz: Option<u32>,
    data: Vec<u8>,
}

fn part_at(paddr: u32, data: &[u8], memsz: u32) -> Part {
    Part { kind: 1, vaddr: paddr, paddr, memsz, filesz: None, data: data.to_vec() }
}

/// An ELF32 file, right unless a test spoils it.
struct Elf {
    entry: u32,
    parts: Vec<Part>,
}

const HEADER: usize = 52;
const PROGRAM: usize = 32;

impl Elf {
    fn new(entry: u32, parts: Vec<Part>) -> Self {
        Self { entry, parts }
    }

    fn one() -> Self {
        Self::new(0x10_0004, vec![part_at(0x10_0000, &[0x90; 16], 0x2000)])
    }

    fn bytes(&self) -> Vec<u8> {
        let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend([2u16, 3].map(u16::to_le_bytes).concat());
        file.extend([1, self.entry, HEADER as u32, 0, 0].map(u32::to_le_bytes).concat());
        file.extend(
            [HEADER as u16, PROGRAM as u16, self.parts.len() as u16, 40, 0, 0].map(u16::to_le_bytes).concat(),
        );
        let mut at = (HEADER + PROGRAM * self.parts.len()) as u32;
        for part in &self.parts {
            let len = part.data.len() as u32;
            let filesz = part.filesz.unwrap_or(len);
            let fields = [part.kind, at, part.vaddr, part.paddr, filesz, part.memsz, 7, 4];
            file.extend(fields.map(u32::to_le_bytes).concat());
            at += len;
        }
        file.extend(self.parts.iter().flat_map(|part| &part.data));
        file
    }
}

fn multiboot_header(flags: u32, rest: &[u32]) -> Vec<u8> {
    let checksum = 0u32.wrapping_sub(0x1bad_b002).wrapping_sub(flags);
    [&[0x1bad_b002, flags, checksum], rest].concat().iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn board(ram_bytes: u64) -> BareBoard {
    BareBoard::new(BoardConfig { ram_bytes, ..BoardConfig::default() }).unwrap()
}

fn load_on(board: &BareBoard, bytes: &[u8], append: &str) -> Result<Loaded, LoadError> {
    load("dir/kernel", bytes, append, &GuestRam::new(board.memory(), board.ram_bytes()))
}

/// The error's kind; its text names the file, and RAM is still zero.
fn refused(bytes: &[u8]) -> LoadErrorKind {
    let board = board(RAM);
    let kind = refused_on(&board, bytes);
    assert!(contents(&board.blocks()[0]) == vec![0; RAM as usize], "{kind}");
    kind
}

fn refused_on(board: &BareBoard, bytes: &[u8]) -> LoadErrorKind {
    let error = load_on(board, bytes, "").unwrap_err();
    assert!(error.to_string().starts_with("dir/kernel: "), "{error}");
    error.kind
}

fn contents(block: &RamBlock) -> Vec<u8> {
    let mut bytes = vec![0; block.len() as usize];
    assert!(block.read(0, &mut bytes));
    bytes
}

fn ram<const N: usize>(board: &BareBoard, addr: u64) -> [u8; N] {
    let mut bytes = [0; N];
    assert!(board.memory().read(addr, &mut bytes, &mut AccessCx::dma()).is_ok());
    bytes
}

fn ram_word(board: &BareBoard, addr: u64) -> u32 {
    u32::from_le_bytes(ram(board, addr))
}

fn ram_text(board: &BareBoard, addr: u64) -> String {
    let bytes = (addr..).map(|at| ram::<1>(board, at)[0]).take_while(|byte| *byte != 0).collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn segments_land_and_the_rest_of_them_is_zero() {
    let board = board(RAM);
    assert!(board.memory().write(0x10_0000, &[0xee; 0x3000], &mut AccessCx::dma()).is_ok());
    let elf = Elf::new(0x10_0004, vec![part_at(0x20_0000, b"data", 4), part_at(0x10_0000, b"code", 0x2000)]);
    let loaded = load_on(&board, &elf.bytes(), "").unwrap();
    let ranges =
        [AddrRange::new(0x10_0000, 0x10_1fff).unwrap(), AddrRange::new(0x20_0000, 0x20_0003).unwrap()];
    assert_eq!((loaded.format, loaded.entry, loaded.eax, loaded.ebx), (Format::Elf32, 0x10_0004, 0, 0));
    assert_eq!(loaded.segments, ranges);
    assert_eq!((ram(&board, 0x10_0000), ram(&board, 0x20_0000)), (*b"code\0\0", *b"data"));
    let nonzero = contents(&board.blocks()[0]).iter().filter(|byte| **byte != 0).count();
    assert_eq!((ram(&board, 0x10_1ffe), nonzero), ([0, 0, 0xee, 0xee], 8 + 0x1000));
}

#[test]
fn an_image_loads_from_any_alignment_and_posts_code_writes() {
    let board = board(RAM);
    let block = &board.blocks()[0];
    block.mark_code(0x10_0000, 1);
    for shift in 0..4 {
        let file = [vec![0; shift], Elf::one().bytes()].concat();
        load_on(&board, &file[shift..], "").unwrap();
        assert_eq!(board.map().code_writes().take(), [(block.id(), 0x100, 1)], "shift {shift}");
    }
}

#[test]
fn headers_that_are_not_loaded_are_skipped() {
    let note = Part { kind: 4, ..part_at(0xffff_0000, b"note", 4) };
    let nothing = Part { memsz: 0, ..part_at(0xa_0000, b"", 0) };
    let elf = Elf::new(0x10_0000, vec![note, nothing, part_at(0x10_0000, b"x", 1)]);
    assert_eq!(load_on(&board(RAM), &elf.bytes(), "").unwrap().segments.len(), 1);
}

#[test]
fn a_virtual_entry_point_moves_with_its_segment() {
    let high = Part { vaddr: 0xc010_0000, ..part_at(0x10_0000, &[0x90; 8], 0x1000) };
    let load = |entry| load_on(&board(RAM), &Elf::new(entry, vec![high.clone()]).bytes(), "");
    assert_eq!(load(0xc010_0123).unwrap().entry, 0x10_0123);
    assert_eq!(load(0x10_0123).unwrap().entry, 0x10_0123);
    for entry in [0xc010_1000, 0x10_1000, 0xf_ffff] {
        assert!(matches!(load(entry).unwrap_err().kind, Kind::Entry(value) if value == entry));
    }
}

#[test]
fn files_of_other_kinds_are_named() {
    assert!(matches!(refused(b""), Kind::Empty));
    assert!(matches!(refused(b"MZ\x90\0 and more"), Kind::UnknownFormat(start) if start == b"MZ\x90\0"));
    assert!(matches!(
        refused(b"\x7fE"),
        Kind::Truncated { what: "the ELF identification", needed: 16, len: 2 }
    ));
    let spoiled = |at: usize, byte: u8| {
        let mut bytes = Elf::one().bytes();
        bytes[at] = byte;
        refused(&bytes)
    };
    assert!(matches!(spoiled(4, 2), Kind::Elf64));
    assert!(matches!(spoiled(5, 2), Kind::BigEndian));
    assert!(matches!(spoiled(18, 62), Kind::Machine(62)));
    assert!(matches!(spoiled(16, 3), Kind::Type(3)));
    assert!(matches!(spoiled(16, 1), Kind::Type(1)));
    assert!(matches!(spoiled(6, 9), Kind::Malformed(_)));
    assert!(matches!(spoiled(42, 31), Kind::Malformed(_)));
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let (board, bytes) = (board(RAM), Elf::one().bytes());
    for len in 1..bytes.len() {
        let kind = refused_on(&board, &bytes[..len]);
        assert!(matches!(kind, Kind::Truncated { len: said, .. } if said == len as u64), "{len}: {kind}");
    }
}

#[test]
fn offsets_beyond_the_file_do_not_wrap() {
    for (at, what) in [(28, "the program header table"), (HEADER + 4, "a segment")] {
        for value in [0xffff_fff0u32, 0xffff_fffc] {
            let mut bytes = Elf::one().bytes();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            let kind = refused(&bytes);
            assert!(matches!(kind, Kind::Truncated { what: said, .. } if said == what), "{kind}");
        }
    }
}

#[test]
fn segments_that_contradict_themselves_are_refused() {
    let one = |part| refused(&Elf::new(0x10_0000, vec![part]).bytes());
    let part = part_at(0x10_0000, &[0; 8], 8);
    let kind = one(Part { memsz: 7, ..part.clone() });
    assert!(matches!(kind, Kind::SegmentSizes { index: 0, filesz: 8, memsz: 7 }), "{kind}");
    let kind = one(Part { filesz: Some(9), memsz: 9, ..part.clone() });
    assert!(matches!(kind, Kind::Truncated { what: "a segment", .. }), "{kind}");
    let kind = one(Part { paddr: 0xffff_fff8, memsz: 9, ..part.clone() });
    assert!(matches!(kind, Kind::PastEnd { index: 0, addr: 0xffff_fff8, memsz: 9 }), "{kind}");
    let kind = one(Part { kind: 4, ..part.clone() });
    assert!(matches!(kind, Kind::NoSegments), "{kind}");
    let kind = refused(&Elf::new(0x10_0000, vec![part_at(0x10_0007, b"", 1), part.clone()]).bytes());
    assert!(matches!(kind, Kind::SegmentsOverlap { first, .. } if first.first() == 0x10_0000), "{kind}");
    let many = refused(&Elf::new(0x10_0000, vec![part; 129]).bytes());
    assert!(matches!(many, Kind::TooManySegments { count: 129, max: 128 }), "{many}");
}

#[test]
fn what_does_not_fit_names_range_ram_and_fix() {
    let text = |addr, memsz| {
        let bytes = Elf::new(addr, vec![part_at(addr, b"x", memsz)]).bytes();
        load_on(&board(RAM), &bytes, "").unwrap_err().to_string()
    };
    let above = text(0x70_0000, 0x10_0001);
    for part in ["dir/kernel", "0000000000700000-0000000000800000", "0x800000 bytes of RAM", "(-m 9M)"] {
        assert!(above.contains(part), "{part}: {above}");
    }
    for (addr, memsz, gap) in [
        (0x9_f000, 0x1001, "0xa0000"),
        (0xc_0000, 1, "0xc0000"),
        (0xfd00_0000, 1, "0xfd000000"),
        (0xfe00_0000, 1, "0xfe000000"),
        (RAM_MAX as u32 - 1, 2, "0xdfffffff"),
    ] {
        let text = text(addr, memsz);
        assert!(text.contains(&format!("none at {gap}")) && text.contains("0x100000 to 0x7fffff"), "{text}");
    }
    assert!(text(0x10_0000, 0xfff0_0000).contains("0x100000 to 0x7fffff"));
    load_on(&board(RAM), &Elf::new(0x7f_ffff, vec![part_at(0x7f_ffff, b"x", 1)]).bytes(), "").unwrap();
    load_on(&board(RAM), &Elf::new(0x9_ffff, vec![part_at(0x9_ffff, b"x", 1)]).bytes(), "").unwrap();
}

#[test]
fn memory_whose_reads_and_writes_part_is_no_ram() {
    let map = MemoryMap::new();
    let root = map.add(RegionSpec::container("root", 0x4000)).unwrap();
    let (ram, rom) =
        (map.add(RegionSpec::ram("ram", 0x4000)).unwrap(), map.add(RegionSpec::rom("rom", 0x1000)).unwrap());
    let below = map.add(RegionSpec::alias("below", ram, 0, 0x3000)).unwrap();
    let mut txn = map.txn();
    txn.attach(root, 0, below, Placement::Exclusive).unwrap();
    txn.attach(root, 0x3000, rom, Placement::Exclusive).unwrap();
    // Writes to 1000 go to another page of the same block, those to 3000 to another block than reads.
    for (at, offset) in [(0x1000, 0x2000), (0x3000, 0x3000)] {
        let window = map.add(RegionSpec::alias("window", ram, offset, 0x1000)).unwrap();
        txn.attach(root, at, window, Placement::Overlap { priority: 1 }).unwrap();
        txn.set_transparent(window, Transparency::Reads).unwrap();
    }
    txn.commit().unwrap();
    let config = SpaceConfig::memory(UnassignedPolicy::Ones);
    let space = map.space(root, "space", config).unwrap();
    let ram = GuestRam::new(&space, 0x4000);
    assert_eq!(
        [0, 0x1000, 0x2000, 0x3000].map(|from| ram.end_of_run(from)),
        [0x1000, 0x1000, 0x3000, 0x3000]
    );
}

/// An ELF file whose segment begins with a multiboot header.
fn multiboot_elf(flags: u32) -> Vec<u8> {
    Elf::new(0x10_000c, vec![part_at(0x10_0000, &multiboot_header(flags, &[]), 0x1000)]).bytes()
}

#[test]
fn a_multiboot_kernel_gets_its_information() {
    let board = board(RAM);
    let loaded = load_on(&board, &multiboot_elf(3), "a=1 b").unwrap();
    assert_eq!((loaded.format, loaded.entry, loaded.eax), (Format::Multiboot, 0x10_000c, 0x2bad_b002));
    let info = u64::from(loaded.ebx);
    let field = |at| ram_word(&board, info + at);
    assert_eq!([field(0), field(4), field(8)], [0x205, 640, 7 * 1024]);
    assert_eq!(ram_text(&board, field(16).into()), "dir/kernel a=1 b");
    assert_eq!(ram_text(&board, field(64).into()), "marquetry");
    assert_eq!([field(12), field(20), field(24), field(44), field(88)], [0; 5]);
    let without = load_on(&board, &multiboot_elf(0), "").unwrap();
    assert_eq!(ram_text(&board, ram_word(&board, u64::from(without.ebx) + 16).into()), "dir/kernel ");
}

#[test]
fn the_information_lies_outside_of_the_image() {
    for (first, memsz) in [(0x9000, 1), (0x8fff, 0x10_00), (0x1000, 0x9_f000), (0x9010, 0x9_6ff0)] {
        let board = board(RAM);
        let data = [multiboot_header(0, &[]), vec![0xcc; 16]].concat();
        let parts = vec![part_at(0x10_0000, &data, 0x1000), part_at(first, b"", memsz)];
        let loaded = load_on(&board, &Elf::new(0x10_0000, parts).bytes(), "x").unwrap();
        let info = AddrRange::with_len(loaded.ebx.into(), 150).unwrap();
        assert!(loaded.segments.iter().all(|segment| !segment.overlaps(info)), "{first:x}: {info}");
        assert_eq!(ram(&board, 0x10_0000), *data.first_chunk::<28>().unwrap());
    }
    let full = part_at(0x1000, b"", 0x9_f000);
    let board = board(RAM_MIN + 0x1000);
    let parts = vec![full, part_at(0x10_0000, &multiboot_header(0, &[]), 0x1000)];
    let kind = load_on(&board, &Elf::new(0x10_0000, parts).bytes(), "").unwrap_err().kind;
    assert!(matches!(kind, Kind::NoRoom { len } if len > 120), "{kind}");
}

#[test]
fn a_header_is_found_only_where_and_as_it_must_be() {
    let padded = |pad: usize| {
        [vec![0; pad], multiboot_header(0x1_0000, &[0x10_0000, 0x10_0000, 0, 0, 0x10_0000])].concat()
    };
    assert!(load_on(&board(RAM), &padded(8180), "").is_ok());
    assert!(matches!(refused(&padded(8184)), Kind::UnknownFormat(_)));
    assert!(matches!(refused(&padded(2)), Kind::UnknownFormat(_)));
    let mut wrong = padded(0);
    wrong[8] ^= 1;
    assert!(matches!(refused(&wrong), Kind::UnknownFormat(_)));
    let cut = padded(0);
    assert!(matches!(
        refused(&cut[..31]),
        Kind::Truncated { what: "the multiboot header", needed: 32, len: 31 }
    ));
    let kind = refused(&multiboot_elf(4));
    assert!(matches!(kind, Kind::MultibootFlags { flags: 4, unknown: 4 }), "{kind}");
    assert!(load_on(&board(RAM), &multiboot_elf(0xfffe_0003), "").is_ok());
    let mut wide = multiboot_elf(0);
    wide[4] = 2;
    assert!(matches!(refused(&wide), Kind::Elf64));
}

/// `addresses`: header, load, load end, bss end, entry. The header is at 16 in the file, 8 bytes follow it.
fn kludge(addresses: [u32; 5]) -> Vec<u8> {
    [vec![0x11; 16], multiboot_header(0x1_0000, &addresses), vec![0x22; 8]].concat()
}

#[test]
fn addresses_in_the_header_place_the_file() {
    let board = board(RAM);
    assert!(board.memory().write(0x20_0000, &[0xee; 0x100], &mut AccessCx::dma()).is_ok());
    let file = kludge([0x20_0008, 0x20_0000, 0x20_0024, 0x20_0030, 0x20_0028]);
    let loaded = load_on(&board, &file, "").unwrap();
    assert_eq!(
        (loaded.entry, loaded.segments),
        (0x20_0028, vec![AddrRange::new(0x20_0000, 0x20_002f).unwrap()])
    );
    assert_eq!(ram(&board, 0x20_0000), *file[8..44].first_chunk::<36>().unwrap());
    assert_eq!((ram(&board, 0x20_0024), ram(&board, 0x20_0030)), ([0; 12], [0xee; 4]));
    let whole = load_on(&board, &kludge([0x20_0010, 0x20_0000, 0, 0, 0x20_0000]), "").unwrap();
    assert_eq!(whole.segments, [AddrRange::new(0x20_0000, 0x20_0037).unwrap()]);
}

#[test]
fn addresses_that_contradict_are_refused() {
    let name = |addresses| match refused(&kludge(addresses)) {
        Kind::MultibootAddress { name, .. } => name,
        other => panic!("{other}"),
    };
    assert_eq!(name([0x20_0000, 0x20_0001, 0, 0, 0x20_0000]), "load_addr");
    assert_eq!(name([0x20_0011, 0x20_0000, 0, 0, 0x20_0000]), "load_addr");
    assert_eq!(name([0x20_0000, 0x20_0000, 0x1f_ffff, 0, 0x20_0000]), "load_end_addr");
    assert_eq!(name([0x20_0000, 0x20_0000, 0x20_0010, 0x20_000f, 0x20_0000]), "bss_end_addr");
    let kind = refused(&kludge([0x20_0000, 0x20_0000, 0x20_0029, 0, 0x20_0000]));
    assert!(matches!(kind, Kind::Truncated { what: "the multiboot image", needed: 57, len: 56 }), "{kind}");
    assert!(matches!(refused(&kludge([0x20_0000, 0x20_0000, 0, 0, 0x20_0028])), Kind::Entry(0x20_0028)));
    assert!(matches!(refused(&kludge([0xffff_fff0, 0xffff_fff0, 0, 0, 0xffff_fff0])), Kind::NotRam { .. }));
    assert!(matches!(refused(&kludge([0, 0, 0, 0xffff_ffff, 0])), Kind::NotRam { .. }));
}

#[test]
fn command_lines_are_bounded_and_end_once() {
    let board = board(RAM);
    let error = load_on(&board, &multiboot_elf(0), &"x".repeat(0x1_0000)).unwrap_err();
    assert!(matches!(error.kind, Kind::CommandLine { len: 0x1_000b, max: 0x1_0000 }), "{error}");
    let error = load_on(&board, &multiboot_elf(0), "a\0b").unwrap_err();
    assert!(matches!(error.kind, Kind::CommandLineNul(12)), "{error}");
    assert!(load_on(&board, &multiboot_elf(0), &"x".repeat(0x1_0000 - 11)).is_ok());
}

#[test]
fn files_that_are_none_are_named() {
    let here = std::env::temp_dir();
    assert!(matches!(read(&here).unwrap_err().kind, Kind::Directory));
    let missing = here.join("marquetry-no-such-image");
    let error = read(&missing).unwrap_err();
    assert!(matches!(error.kind, Kind::Missing) && error.file == missing.to_string_lossy(), "{error}");
    assert!(matches!(read(Path::new("/dev/null")).unwrap_err().kind, Kind::NotAFile));
    let huge = here.join(format!("marquetry-huge-image-{}", std::process::id()));
    File::create(&huge).unwrap().set_len(FILE_MAX + 1).unwrap();
    let kind = read(&huge).unwrap_err().kind;
    std::fs::remove_file(&huge).unwrap();
    assert!(matches!(kind, Kind::TooLarge { len, .. } if len == FILE_MAX + 1), "{kind}");
}
