//! Decoded instructions of code that is interpreted.
//!
//! An entry is used only if the bytes in memory are those it was decoded from, so stores to code need no
//! notice here.

use base::LinearAddr;
use cpu::{Cpu, Exception};
use isa::{DecodeError, DecodeMode, Insn, Op, decode};

const ENTRIES: usize = 4096;

/// Longest instruction in bytes.
const MAX_LEN: usize = 15;

/// The low bytes of a word, by their number.
const LOW: [u128; 16] = {
    let mut masks = [0; 16];
    let mut len = 1;
    while len < masks.len() {
        masks[len] = u128::MAX >> (128 - 8 * len);
        len += 1;
    }
    masks
};

/// Where an instruction is fetched from.
#[derive(Clone, Copy)]
struct Place {
    eip: u32,
    la: LinearAddr,
    /// Bytes that the segment holds behind the first.
    behind: u32,
    code32: bool,
}

impl Place {
    /// CS:EIP.
    ///
    /// # Errors
    /// #GP(0) past the segment limit.
    fn of(cpu: &Cpu) -> Result<Self, Exception> {
        let eip = cpu.state.eip;
        let cs = &cpu.state.segs[isa::SegReg::Cs.index()];
        let behind = cs.limit.checked_sub(eip).ok_or(Exception::Gp(0))?;
        let la = LinearAddr((cs.base as u32).wrapping_add(eip));
        Ok(Self { eip, la, behind, code32: cs.attrs & cpu::attr::DB != 0 })
    }

    /// How many of `len` bytes the segment holds.
    fn within(self, len: usize) -> usize {
        len.min((self.behind as usize).saturating_add(1))
    }

    /// Its place in the cache.
    fn index(self) -> usize {
        (self.eip ^ self.eip >> base::PAGE_SHIFT) as usize % ENTRIES
    }
}

#[derive(Clone, Copy)]
struct Entry {
    bytes: u128,
    eip: u32,
    code32: bool,
    insn: Insn,
}

impl Entry {
    /// Whether it is of `place`, and what there is of it among the first `len` bytes is the same.
    fn matches(&self, place: Place, word: u128, len: usize) -> bool {
        let len = len.min(usize::from(self.insn.len));
        self.eip == place.eip
            && self.code32 == place.code32
            && (self.bytes ^ word) & LOW[len % LOW.len()] == 0
    }
}

/// A direct-mapped cache of decoded instructions.
pub struct InsnCache {
    entries: Box<[Entry]>,
}

impl InsnCache {
    pub fn new() -> Self {
        let insn = decode(&[0x90], 0, DecodeMode { code32: true }).expect("NOP is whole");
        // None of these EIPs belongs where it stands.
        let vacant = |n: u32| Entry { bytes: 0, eip: n ^ 1, code32: true, insn };
        Self { entries: (0..ENTRIES as u32).map(vacant).collect() }
    }

    /// The instruction at CS:EIP.
    ///
    /// # Errors
    /// #GP(0) past the segment limit or 15 bytes, #PF.
    pub fn fetch(&mut self, cpu: &mut Cpu) -> Result<&Insn, Exception> {
        let place = Place::of(cpu)?;
        match cpu.fetch_word(place.la)? {
            Some(word) if self.entries[place.index()].matches(place, word, MAX_LEN) => {}
            Some(word) => self.decode(place, &word.to_le_bytes()[..MAX_LEN]).map_err(|_| Exception::Gp(0))?,
            None => self.fetch_in_pieces(cpu, place)?,
        }
        let insn = &self.entries[place.index()].insn;
        if u32::from(insn.len) - 1 > place.behind { Err(Exception::Gp(0)) } else { Ok(insn) }
    }

    /// Enters the instruction at `place`, near the end of a page or outside plain memory.
    #[cold]
    fn fetch_in_pieces(&mut self, cpu: &mut Cpu, place: Place) -> Result<(), Exception> {
        let mut bytes = [0; MAX_LEN];
        let len = place.within(cpu.fetch_here(place.la, &mut bytes)?);
        // The next page is read only if the instruction reaches into it.
        match self.decode(place, &bytes[..len]) {
            Ok(()) => return Ok(()),
            Err(DecodeError::TooLong) => return Err(Exception::Gp(0)),
            Err(DecodeError::TooShort) => {}
        }
        let (len, fault) = cpu.fetch(place.la, &mut bytes)?;
        match self.decode(place, &bytes[..place.within(len)]) {
            Ok(()) => Ok(()),
            Err(DecodeError::TooLong) => Err(Exception::Gp(0)),
            Err(DecodeError::TooShort) => {
                Err(fault.filter(|_| len <= place.behind as usize).unwrap_or(Exception::Gp(0)))
            }
        }
    }

    /// Enters the instruction that `code` begins with or is the beginning of, if it is not there.
    fn decode(&mut self, place: Place, code: &[u8]) -> Result<(), DecodeError> {
        let mut bytes = [0; 16];
        bytes[..code.len()].copy_from_slice(code);
        let word = u128::from_le_bytes(bytes);
        let entry = &mut self.entries[place.index()];
        if entry.insn.op != Op::Invalid && entry.matches(place, word, code.len()) {
            return if usize::from(entry.insn.len) <= code.len() {
                Ok(())
            } else {
                Err(DecodeError::TooShort)
            };
        }
        let Place { eip, code32, .. } = place;
        let insn = decode(code, eip, DecodeMode { code32 })?;
        *entry = Entry { bytes: word, eip, code32, insn };
        Ok(())
    }
}

/// Whether the instruction after such an operation may be elsewhere.
pub fn ends_block(op: Op) -> bool {
    matches!(
        op,
        Op::Jmp
            | Op::Jcc
            | Op::Call
            | Op::Ret
            | Op::Loop
            | Op::Loope
            | Op::Loopne
            | Op::Jcxz
            | Op::JmpFar
            | Op::CallFar
            | Op::RetFar
            | Op::Int
            | Op::Int1
            | Op::Int3
            | Op::Into
            | Op::Iret
            | Op::Hlt
    )
}
