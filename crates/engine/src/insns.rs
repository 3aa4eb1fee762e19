//! Decoded instructions of code that is interpreted.
//!
//! An entry is used only if the bytes in memory are those it was decoded from, so stores to code need no
//! notice here.

use base::LinearAddr;
use cpu::{Cpu, Exception};
use isa::{DecodeError, DecodeMode, Insn, decode};

const ENTRIES: usize = 4096;

#[derive(Clone, Copy)]
struct Entry {
    bytes: u128,
    eip: u32,
    insn: Option<Insn>,
}

/// A direct-mapped cache of decoded instructions.
pub struct InsnCache {
    entries: Box<[Entry]>,
}

/// The low `len` bytes.
fn mask(len: u8) -> u128 {
    u128::MAX >> (128 - 8 * u32::from(len))
}

impl InsnCache {
    pub fn new() -> Self {
        Self { entries: vec![Entry { bytes: 0, eip: 0, insn: None }; ENTRIES].into_boxed_slice() }
    }

    /// The instruction at CS:EIP.
    ///
    /// # Errors
    /// #GP(0) past the segment limit or 15 bytes, #PF.
    pub fn fetch(&mut self, cpu: &mut Cpu) -> Result<Insn, Exception> {
        let eip = cpu.state.eip;
        let cs = &cpu.state.segs[isa::SegReg::Cs.index()];
        if eip > cs.limit {
            return Err(Exception::Gp(0));
        }
        let (la, limit, code32) =
            (LinearAddr((cs.base as u32).wrapping_add(eip)), cs.limit, cs.attrs & cpu::attr::DB != 0);
        let Some(word) = cpu.fetch_word(la)? else { return decode_slowly(cpu, la, (eip, limit), code32) };
        let entry = &mut self.entries[eip as usize % ENTRIES];
        if let Some(insn) = entry.insn
            && entry.eip == eip
            && code32
            && (entry.bytes ^ word) & mask(insn.len) == 0
        {
            return Ok(insn);
        }
        let bytes = word.to_le_bytes();
        let insn = match decode(&bytes[..15], eip, DecodeMode { code32 }) {
            Ok(insn) => insn,
            Err(DecodeError::TooShort | DecodeError::TooLong) => return Err(Exception::Gp(0)),
        };
        if eip.checked_add(u32::from(insn.len) - 1).is_none_or(|last| last > limit) {
            return Err(Exception::Gp(0));
        }
        if code32 {
            *entry = Entry { bytes: word, eip, insn: Some(insn) };
        }
        Ok(insn)
    }
}

/// Near the end of a page, or outside plain memory.
fn decode_slowly(
    cpu: &mut Cpu,
    la: LinearAddr,
    (eip, limit): (u32, u32),
    code32: bool,
) -> Result<Insn, Exception> {
    let mut bytes = [0; 15];
    let inside = u64::from(limit) - u64::from(eip) + 1;
    let within = |len: usize| len.min(usize::try_from(inside).unwrap_or(usize::MAX));
    let len = within(cpu.fetch_here(la, &mut bytes)?);
    // The next page is read only if the instruction reaches into it.
    match decode(&bytes[..len], eip, DecodeMode { code32 }) {
        Ok(insn) => return Ok(insn),
        Err(DecodeError::TooLong) => return Err(Exception::Gp(0)),
        Err(DecodeError::TooShort) => {}
    }
    let (len, fault) = cpu.fetch(la, &mut bytes)?;
    let len = within(len);
    match decode(&bytes[..len], eip, DecodeMode { code32 }) {
        Ok(insn) => Ok(insn),
        Err(DecodeError::TooLong) => Err(Exception::Gp(0)),
        Err(DecodeError::TooShort) => {
            Err(fault.filter(|_| (len as u64) < inside).unwrap_or(Exception::Gp(0)))
        }
    }
}
