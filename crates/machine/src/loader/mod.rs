//! Loaders: from a file of unknown origin to bytes in guest RAM and a start state.
//!
//! Formats: multiboot 1 (by its header, which an ELF may hold or which places the file itself) and ELF32 for i386.
//! Files are hostile: sizes are checked before use, and nothing is written before the last check has passed. A file
//! costs its own size in host memory (twice, if it is not aligned) and time in proportion to it and to guest RAM, whatever it says.

pub mod elf32;
mod error;
pub mod multiboot;
mod ram;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base::AddrRange;

pub use error::{LoadError, LoadErrorKind};
pub use ram::GuestRam;

use error::LoadErrorKind as Kind;

/// Largest file that is read.
pub const FILE_MAX: u64 = 512 << 20;

/// What an image was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ELF32 without multiboot header.
    Elf32,
    /// Multiboot 1.
    Multiboot,
}

/// A loaded image: where it lies, and the state in which the processor starts it (flat protected mode).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What the image was taken for.
    pub format: Format,
    /// Physical address of the first instruction.
    pub entry: u32,
    /// EAX at the start.
    pub eax: u32,
    /// EBX at the start.
    pub ebx: u32,
    /// Where the image lies, by address.
    pub segments: Vec<AddrRange>,
}

/// Bytes of an image that belong together.
pub(crate) struct Segment<'a> {
    /// Where they go; what `data` does not fill is zero.
    pub range: AddrRange,
    /// The first bytes of the range.
    pub data: &'a [u8],
}

/// What a format's parser makes of a file.
pub(crate) struct Image<'a> {
    /// By address, disjoint.
    pub segments: Vec<Segment<'a>>,
    /// Physical address of the first instruction.
    pub entry: u32,
}

/// Reads a file for [`load`].
///
/// # Errors
/// A file that is missing, no regular file, too large or unreadable.
pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    read_bytes(path).map_err(|kind| LoadError::new(&path.to_string_lossy(), kind))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, Kind> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Kind::Missing,
        _ => Kind::Io(error),
    };
    // Looked at before it is opened: opening a pipe would wait for a writer.
    let about = std::fs::metadata(path).map_err(failed)?;
    if about.is_dir() {
        return Err(Kind::Directory);
    }
    if !about.is_file() {
        return Err(Kind::NotAFile);
    }
    let too_large = |len| Kind::TooLarge { len, max: FILE_MAX };
    if about.len() > FILE_MAX {
        return Err(too_large(about.len()));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    let len = bytes.len() as u64;
    if len > FILE_MAX { Err(too_large(len)) } else { Ok(bytes) }
}

/// Loads the image `bytes` into `ram`. The guest's command line is `name`, a space and `append`, as QEMU's `-kernel`
/// makes it; errors call the image `name` too.
///
/// # Errors
/// An image of no known format, or one that contradicts itself or does not fit into RAM. RAM is then unchanged.
pub fn load(name: &str, bytes: &[u8], append: &str, ram: &GuestRam<'_>) -> Result<Loaded, LoadError> {
    load_image(name, bytes, append, ram).map_err(|kind| LoadError::new(name, kind))
}

fn load_image(name: &str, bytes: &[u8], append: &str, ram: &GuestRam<'_>) -> Result<Loaded, Kind> {
    if bytes.is_empty() {
        return Err(Kind::Empty);
    }
    let header = multiboot::Header::find(bytes)?;
    let image = match &header {
        Some(header) => header.image(bytes)?,
        None => elf32::parse(bytes)?,
    };
    let segments: Vec<AddrRange> = image.segments.iter().map(|segment| segment.range).collect();
    for range in &segments {
        ram.check(*range)?;
    }
    let info = match &header {
        Some(_) => Some(multiboot::Info::new(&format!("{name} {append}"), ram, &segments)?),
        None => None,
    };
    for segment in &image.segments {
        ram.fill(segment.range, segment.data);
    }
    let (format, eax, ebx) = match info {
        Some(info) => {
            ram.fill(info.range, &info.bytes);
            (Format::Multiboot, multiboot::EAX, info.address())
        }
        None => (Format::Elf32, 0, 0),
    };
    Ok(Loaded { format, entry: image.entry, eax, ebx, segments })
}

/// Sorts segments by address and checks that they are some, and disjoint: then what they fill is bounded by RAM.
pub(crate) fn sorted(mut segments: Vec<Segment<'_>>) -> Result<Vec<Segment<'_>>, Kind> {
    segments.sort_by_key(|segment| segment.range);
    if segments.is_empty() {
        return Err(Kind::NoSegments);
    }
    for pair in segments.windows(2) {
        if pair[0].range.overlaps(pair[1].range) {
            return Err(Kind::SegmentsOverlap { first: pair[0].range, second: pair[1].range });
        }
    }
    Ok(segments)
}

/// `len` bytes of the file from `offset` on.
pub(crate) fn part<'a>(bytes: &'a [u8], offset: u64, len: u64, what: &'static str) -> Result<&'a [u8], Kind> {
    let truncated =
        Kind::Truncated { what, needed: u128::from(offset) + u128::from(len), len: bytes.len() as u64 };
    let Some(end) = offset.checked_add(len).filter(|end| *end <= bytes.len() as u64) else {
        return Err(truncated);
    };
    bytes.get(offset as usize..end as usize).ok_or(truncated)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
