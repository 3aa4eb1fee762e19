//! ELF32 executables for i386.
//!
//! Segments go to their physical addresses. An entry point inside of a segment's virtual addresses is moved along with
//! the segment. Not supported: relocation, dynamic linking, notes.
//! Source: System V ABI, "Object Files" and "Program Loading"; its Intel386 supplement.

use base::AddrRange;
use object::LittleEndian;
use object::elf::{self, FileHeader32, ProgramHeader32};
use object::pod;
use object::read::elf::FileHeader as _;

use super::error::LoadErrorKind as Kind;
use super::{Image, Segment, part, sorted};

/// Most program headers.
pub const SEGMENTS_MAX: usize = 128;

const LE: LittleEndian = LittleEndian;
const IDENT_LEN: u64 = 16;
const HEADER_LEN: u64 = size_of::<FileHeader32<LittleEndian>>() as u64;
const PROGRAM_HEADER_LEN: u64 = size_of::<ProgramHeader32<LittleEndian>>() as u64;

/// Reads the headers of an ELF file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Image<'_>, Kind> {
    check_ident(bytes)?;
    let mut copy = Vec::new();
    let (header, programs) = headers(bytes, &mut copy)?;
    check_header(header)?;
    let mut segments = Vec::new();
    let mut entry = None;
    for (index, program) in programs.iter().enumerate() {
        if program.p_type.get(LE) != elf::PT_LOAD || program.p_memsz.get(LE) == 0 {
            continue;
        }
        let segment = segment(bytes, index, program)?;
        entry = entry.or_else(|| physical_entry(header.e_entry.get(LE), program));
        segments.push(segment);
    }
    let segments = sorted(segments)?;
    let entry = match entry {
        Some(entry) => entry,
        None => entry_in(header.e_entry.get(LE), &segments)?,
    };
    Ok(Image { segments, entry })
}

/// Checks what the first 16 bytes say, before anything else is believed.
fn check_ident(bytes: &[u8]) -> Result<(), Kind> {
    let start = &bytes[..bytes.len().min(4)];
    if start != &elf::ELFMAG[..start.len()] {
        return Err(Kind::UnknownFormat(start.to_vec()));
    }
    let ident = part(bytes, 0, IDENT_LEN, "the ELF identification")?;
    if ident[4] == elf::ELFCLASS64.0 {
        return Err(Kind::Elf64);
    }
    if ident[5] == elf::ELFDATA2MSB.0 {
        return Err(Kind::BigEndian);
    }
    part(bytes, 0, HEADER_LEN, "the ELF header").map(drop)
}

type Headers<'a> = (&'a FileHeader32<LittleEndian>, &'a [ProgramHeader32<LittleEndian>]);

/// File header and program headers, in place if they are aligned there, else in `copy`.
fn headers<'a>(bytes: &'a [u8], copy: &'a mut Vec<u32>) -> Result<Headers<'a>, Kind> {
    let bytes = if bytes.as_ptr().cast::<u32>().is_aligned() {
        bytes
    } else {
        copy.resize(bytes.len().div_ceil(4), 0);
        let copy = &mut pod::bytes_of_slice_mut(copy)[..bytes.len()];
        copy.copy_from_slice(bytes);
        copy
    };
    let malformed = |error: object::read::Error| Kind::Malformed(error.to_string());
    let header = FileHeader32::<LittleEndian>::parse(bytes).map_err(malformed)?;
    let count = usize::from(header.e_phnum.get(LE));
    if count > SEGMENTS_MAX {
        return Err(Kind::TooManySegments { count, max: SEGMENTS_MAX });
    }
    let table_len = count as u64 * PROGRAM_HEADER_LEN;
    part(bytes, header.e_phoff.get(LE).into(), table_len, "the program header table")?;
    let programs = header.program_headers(LE, bytes).map_err(malformed)?;
    Ok((header, programs))
}

fn check_header(header: &FileHeader32<LittleEndian>) -> Result<(), Kind> {
    let (machine, kind) = (header.e_machine.get(LE), header.e_type.get(LE));
    if machine != elf::EM_386 {
        return Err(Kind::Machine(machine.0));
    }
    if kind != elf::ET_EXEC {
        return Err(Kind::Type(kind.0));
    }
    Ok(())
}

fn segment<'a>(
    bytes: &'a [u8],
    index: usize,
    program: &ProgramHeader32<LittleEndian>,
) -> Result<Segment<'a>, Kind> {
    let (filesz, memsz) = (program.p_filesz.get(LE), program.p_memsz.get(LE));
    if filesz > memsz {
        return Err(Kind::SegmentSizes { index, filesz, memsz });
    }
    let addr = program.p_paddr.get(LE);
    let last = addr.checked_add(memsz - 1).ok_or(Kind::PastEnd { index, addr, memsz })?;
    let range = AddrRange::new(addr.into(), last.into()).expect("the end was not wrapped");
    let data = part(bytes, program.p_offset.get(LE).into(), filesz.into(), "a segment")?;
    Ok(Segment { range, data })
}

/// The physical address of an entry point that is a virtual address of this segment.
fn physical_entry(entry: u32, program: &ProgramHeader32<LittleEndian>) -> Option<u32> {
    let offset = entry.checked_sub(program.p_vaddr.get(LE))?;
    (offset < program.p_memsz.get(LE)).then(|| program.p_paddr.get(LE).wrapping_add(offset))
}

/// An entry point that is a physical address of a segment.
pub(super) fn entry_in(entry: u32, segments: &[Segment<'_>]) -> Result<u32, Kind> {
    let inside = segments.iter().any(|segment| segment.range.contains(entry.into()));
    if inside { Ok(entry) } else { Err(Kind::Entry(entry)) }
}
