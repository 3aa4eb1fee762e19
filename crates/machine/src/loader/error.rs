//! What can be wrong with an image: the value, and what to do about it.

use std::io;

use base::AddrRange;

use super::FILE_MAX;
use crate::board::bare::{HIGH_RAM, RAM_MAX};

/// Why an image was not loaded. Guest RAM is then unchanged.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {kind}")]
pub struct LoadError {
    /// The image, as its user named it.
    pub file: String,
    /// What is wrong.
    pub kind: LoadErrorKind,
}

impl LoadError {
    pub(crate) fn new(file: &str, kind: LoadErrorKind) -> Self {
        Self { file: file.to_owned(), kind }
    }
}

/// What is wrong with an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// There is no such file.
    #[error("no such file; check the path")]
    Missing,
    /// It is a directory.
    #[error("is a directory; name the image inside it")]
    Directory,
    /// It is neither file nor directory.
    #[error("is no regular file; copy its contents to a file and name that")]
    NotAFile,
    /// The host could not read it.
    #[error("cannot be read: {0}; check that it is readable")]
    Io(io::Error),
    /// It is larger than any image that fits.
    #[error("{len} bytes, the limit is {max}; strip debug information (strip -g)")]
    TooLarge {
        /// Bytes of the file.
        len: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// It holds nothing.
    #[error("is empty (0 bytes); build the image again")]
    Empty,
    /// It ends before something that it promises.
    #[error("{len} bytes, but {what} ends at {needed:#x}; the file was cut off, copy or build it again")]
    Truncated {
        /// What ends too late.
        what: &'static str,
        /// Where it ends.
        needed: u128,
        /// Bytes of the file.
        len: u64,
    },
    /// It begins like nothing that is known.
    #[error("starts with {0:02x?} and has no multiboot header; it must be ELF32 for i386 or multiboot 1")]
    UnknownFormat(Vec<u8>),
    /// It is for 64 bits.
    #[error("is an ELF64 image; build it for 32 bits (gcc -m32, ld -m elf_i386)")]
    Elf64,
    /// Its words are big-endian.
    #[error("is a big-endian ELF image; build it for i386 (gcc -m32)")]
    BigEndian,
    /// It is for another processor.
    #[error("is for machine {0} (e_machine), not for 3, i386; build it with gcc -m32")]
    Machine(u16),
    /// It is no executable.
    #[error("has ELF type {0} (e_type), not 2, EXEC; link it to fixed addresses (gcc -static -no-pie)")]
    Type(u16),
    /// Its ELF headers contradict themselves.
    #[error("malformed ELF: {0}; build the image again")]
    Malformed(String),
    /// There is nothing to load.
    #[error("has no segment to load (PT_LOAD with a size); check its linker script")]
    NoSegments,
    /// More segments than are supported.
    #[error("{count} program headers, the limit is {max}; join segments in its linker script")]
    TooManySegments {
        /// Program headers.
        count: usize,
        /// Most that are supported.
        max: usize,
    },
    /// A segment has more bytes in the file than in memory.
    #[error("segment {index}: p_filesz {filesz:#x} is above p_memsz {memsz:#x}; build the image again")]
    SegmentSizes {
        /// Number of the program header.
        index: usize,
        /// Bytes in the file.
        filesz: u32,
        /// Bytes in memory.
        memsz: u32,
    },
    /// A segment reaches past the addresses of a 32-bit processor.
    #[error("segment {index}: {memsz:#x} bytes at {addr:#x} reach past 4 GiB; link it to a lower address")]
    PastEnd {
        /// Number of the program header.
        index: usize,
        /// Its address.
        addr: u32,
        /// Bytes in memory.
        memsz: u32,
    },
    /// Two segments claim the same bytes.
    #[error("segments {first} and {second} overlap; check its linker script")]
    SegmentsOverlap {
        /// The lower one.
        first: AddrRange,
        /// The other one.
        second: AddrRange,
    },
    /// A part lies where the guest has no RAM.
    #[error(
        "needs RAM at {range}, but there is none at {gap:#x}: the guest has {ram_bytes:#x} bytes of RAM; {}",
        fix_of(*range, *gap, *ram_bytes)
    )]
    NotRam {
        /// The part.
        range: AddrRange,
        /// Its first address without RAM.
        gap: u64,
        /// RAM of the guest.
        ram_bytes: u64,
    },
    /// The processor would start outside of the image.
    #[error("entry point {0:#x} lies in no loaded segment; check ENTRY in its linker script")]
    Entry(u32),
    /// The multiboot header requires what is not offered.
    #[error(
        "multiboot flags {flags:#010x} require {unknown:#x}, which is not offered; clear those bits in the header"
    )]
    MultibootFlags {
        /// The flags.
        flags: u32,
        /// Those that cannot be met.
        unknown: u32,
    },
    /// The addresses of the multiboot header contradict each other or the file.
    #[error("multiboot header: {name} {value:#x} is {problem}; correct the header's addresses")]
    MultibootAddress {
        /// Field of the header.
        name: &'static str,
        /// Its value.
        value: u32,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The command line is too long.
    #[error("command line of {len} bytes, the limit is {max}; shorten it")]
    CommandLine {
        /// Its bytes.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The command line holds the byte that would end it.
    #[error("command line has a NUL at byte {0}; remove it")]
    CommandLineNul(usize),
    /// RAM has no place for the multiboot information.
    #[error("no {len:#x} bytes of RAM are left for the multiboot information; give the guest more RAM (-m)")]
    NoRoom {
        /// Bytes wanted.
        len: u64,
    },
}

const MIB: u64 = 1 << 20;

/// What to do about a part that does not lie in RAM.
fn fix_of(range: AddrRange, gap: u64, ram_bytes: u64) -> String {
    if gap >= ram_bytes && range.last() < RAM_MAX {
        format!("give it at least {} MiB (-m {0}M)", range.last() / MIB + 1)
    } else {
        format!("link it into {HIGH_RAM:#x} to {:#x}", ram_bytes.saturating_sub(1))
    }
}

const _: () = assert!(FILE_MAX <= u32::MAX as u64, "offsets in a file fit into 32 bits");
