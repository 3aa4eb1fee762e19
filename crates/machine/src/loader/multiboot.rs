//! Multiboot 1: the header in an image, and the information that a kernel gets.
//!
//! Supported: header in the first 8 KiB, page-aligned modules (there are none), memory information, the addresses of
//! bit 16. The information holds the sizes of lower and upper memory, command line and loader name.
//! Not supported: video modes (an image that requires one is refused), modules, memory map, symbols.
//! Source: Multiboot Specification 0.6.96; names are its names.

use base::AddrRange;

use super::elf32::{self, entry_in};
use super::error::LoadErrorKind as Kind;
use super::{GuestRam, Image, Segment, part, sorted};
use crate::board::bare::{HIGH_RAM, LOW_RAM_END};

/// EAX of a kernel that was loaded by a multiboot loader.
pub const EAX: u32 = 0x2bad_b002;
/// Longest command line.
pub const COMMAND_LINE_MAX: usize = 64 * 1024;

const MAGIC: u32 = 0x1bad_b002;
/// The header lies in this many bytes.
const SEARCH_LEN: usize = 8192;
const HEADER_LEN: usize = 12;
const LOADER_NAME: &str = "marquetry";

const FLAG_PAGE_ALIGN: u32 = 1 << 0;
const FLAG_MEMORY_INFO: u32 = 1 << 1;
const FLAG_ADDRESSES: u32 = 1 << 16;
/// Flags that an image may not insist on unless they are known.
const FLAGS_REQUIRED: u32 = 0xffff;

const INFO_MEMORY: u32 = 1 << 0;
const INFO_CMDLINE: u32 = 1 << 2;
const INFO_LOADER_NAME: u32 = 1 << 9;
/// Bytes of the information structure, with the fields of video that are left zero.
const INFO_LEN: usize = 120;
/// Where the information goes if the image leaves it free: low memory above what a BIOS uses.
const INFO_AT: u64 = 0x9000;

/// A multiboot header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where in the file it begins.
    at: u32,
    addresses: Option<Addresses>,
}

/// The address fields, for images that are no ELF files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Addresses {
    header_addr: u32,
    load_addr: u32,
    load_end_addr: u32,
    bss_end_addr: u32,
    entry_addr: u32,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let (word, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u32::from_le_bytes(*word))
}

impl Header {
    /// The header of an image, if it has one.
    ///
    /// # Errors
    /// A header that requires what is not offered, or that is cut off.
    pub fn find(bytes: &[u8]) -> Result<Option<Self>, Kind> {
        let searched = &bytes[..bytes.len().min(SEARCH_LEN)];
        for at in (0..searched.len().saturating_sub(HEADER_LEN - 1)).step_by(4) {
            let [Some(magic), Some(flags), Some(checksum)] =
                [0, 4, 8].map(|field| word(searched, at + field))
            else {
                break;
            };
            if magic == MAGIC && magic.wrapping_add(flags).wrapping_add(checksum) == 0 {
                return Self::read(bytes, at as u32, flags).map(Some);
            }
        }
        Ok(None)
    }

    fn read(bytes: &[u8], at: u32, flags: u32) -> Result<Self, Kind> {
        let unknown = flags & FLAGS_REQUIRED & !(FLAG_PAGE_ALIGN | FLAG_MEMORY_INFO);
        if unknown != 0 {
            return Err(Kind::MultibootFlags { flags, unknown });
        }
        if flags & FLAG_ADDRESSES == 0 {
            return Ok(Self { at, addresses: None });
        }
        let fields = part(bytes, u64::from(at) + HEADER_LEN as u64, 20, "the multiboot header")?;
        let field = |index: usize| word(fields, 4 * index).expect("five words were read");
        let addresses = Addresses {
            header_addr: field(0),
            load_addr: field(1),
            load_end_addr: field(2),
            bss_end_addr: field(3),
            entry_addr: field(4),
        };
        Ok(Self { at, addresses: Some(addresses) })
    }

    /// What is to be loaded: by the header's addresses if it has some, else by the ELF headers.
    pub(crate) fn image<'a>(&self, bytes: &'a [u8]) -> Result<Image<'a>, Kind> {
        match &self.addresses {
            Some(addresses) => addresses.image(self.at, bytes),
            None => elf32::parse(bytes),
        }
    }
}

impl Addresses {
    /// One segment: the file from the byte that belongs to `load_addr` on.
    fn image<'a>(&self, header_at: u32, bytes: &'a [u8]) -> Result<Image<'a>, Kind> {
        let wrong = |name, value, problem| Kind::MultibootAddress { name, value, problem };
        let load = self.load_addr;
        let before = self.header_addr.checked_sub(load);
        let before = before.ok_or(wrong("load_addr", load, "above header_addr"))?;
        let offset = header_at.checked_sub(before);
        let offset = offset.ok_or(wrong("load_addr", load, "before the start of the file"))?;
        let data = match self.load_end_addr {
            0 => bytes.get(offset as usize..).unwrap_or_default(),
            end => {
                let len = end.checked_sub(load).ok_or(wrong("load_end_addr", end, "below load_addr"))?;
                part(bytes, offset.into(), len.into(), "the multiboot image")?
            }
        };
        let data_end = u64::from(load) + data.len() as u64;
        let end = match self.bss_end_addr {
            0 => data_end,
            bss if u64::from(bss) < data_end => {
                return Err(wrong("bss_end_addr", bss, "below the end of the data"));
            }
            bss => bss.into(),
        };
        let range = AddrRange::with_len(load.into(), end - u64::from(load)).map_err(|_| Kind::NoSegments)?;
        let segments = sorted(vec![Segment { range, data }])?;
        let entry = entry_in(self.entry_addr, &segments)?;
        Ok(Image { segments, entry })
    }
}

/// The multiboot information, ready to be written.
pub(crate) struct Info {
    /// Where it goes.
    pub range: AddrRange,
    /// Structure, command line, loader name.
    pub bytes: Vec<u8>,
}

impl Info {
    /// Information for a kernel that lies in `image`: placed outside of it.
    pub fn new(command_line: &str, ram: &GuestRam<'_>, image: &[AddrRange]) -> Result<Self, Kind> {
        if command_line.len() > COMMAND_LINE_MAX {
            return Err(Kind::CommandLine { len: command_line.len(), max: COMMAND_LINE_MAX });
        }
        if let Some(at) = command_line.bytes().position(|byte| byte == 0) {
            return Err(Kind::CommandLineNul(at));
        }
        let len = INFO_LEN + command_line.len() + 1 + LOADER_NAME.len() + 1;
        let range = place(len as u64, ram, image)?;
        let at = range.first() as u32;
        let command_line_at = at + INFO_LEN as u32;
        let name_at = command_line_at + command_line.len() as u32 + 1;
        let mut bytes = vec![0; INFO_LEN];
        let kib = |from: u64, to: u64| ((to - from) >> 10) as u32;
        let lower = kib(0, ram.end_of_run(0).min(LOW_RAM_END));
        let upper = kib(HIGH_RAM, ram.end_of_run(HIGH_RAM));
        for (field, value) in [
            (0, INFO_MEMORY | INFO_CMDLINE | INFO_LOADER_NAME),
            (4, lower),
            (8, upper),
            (16, command_line_at),
            (64, name_at),
        ] {
            bytes[field..field + 4].copy_from_slice(&value.to_le_bytes());
        }
        for text in [command_line, LOADER_NAME] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        debug_assert_eq!(bytes.len(), len, "as long as its place");
        Ok(Self { range, bytes })
    }

    /// Where the structure lies.
    pub fn address(&self) -> u32 {
        self.range.first() as u32
    }
}

/// The first place of `len` bytes of RAM outside of the image: low memory, or behind a segment.
fn place(len: u64, ram: &GuestRam<'_>, image: &[AddrRange]) -> Result<AddrRange, Kind> {
    let behind = image.iter().map(|segment| (segment.last() + 1).next_multiple_of(base::PAGE_SIZE));
    let places = std::iter::once(INFO_AT).chain(behind);
    let free = |range: &AddrRange| {
        let taken = image.iter().any(|segment| segment.overlaps(*range));
        !taken && ram.end_of_run(range.first()) > range.last() && range.last() <= u32::MAX.into()
    };
    places.filter_map(|at| AddrRange::with_len(at, len).ok()).find(free).ok_or(Kind::NoRoom { len })
}
