#![forbid(unsafe_code)]
//! Every integer instruction form that user mode can run, as bytes for the place where it runs.
//!
//! The opcode maps are walked byte by byte and the decoder says what each is; nothing is listed by mnemonic, so
//! an operation that is added to `isa` is tested without a change here. A form is an opcode with its
//! prefixes, one choice of registers or addressing, and one immediate.
//! Not covered: 16-bit addresses (they lie below 64 KiB, which Linux does not map) except those that are only
//! computed, near branches of 16-bit operand size (they leave the stub), REP before what is no string.

use isa::{DecodeMode, Gpr, Insn, Op, Operand, Width};

use crate::kinds::kind;
use crate::native::{Place, USER_CODE, USER_DATA};
use crate::rng::Rng;
use crate::vet::{is_reserved_nop, writes_memory_operand};

/// One form.
#[derive(Clone, Debug)]
pub struct Form {
    /// The instruction's bytes.
    pub code: Vec<u8>,
    /// The same decoded.
    pub insn: Insn,
}

/// Immediates of one opcode and addressing.
const IMMEDIATES: usize = 3;

/// Every form at `place`; `seed` chooses immediates and displacements.
#[must_use]
pub fn forms(place: Place, seed: u64) -> Vec<Form> {
    let mut walk = Walk { place, rng: Rng::part(seed, 0xf0), forms: Vec::new(), turn: 0 };
    for opcode in 0..=0xffu8 {
        if !is_prefix_or_escape(opcode) {
            walk.opcode(&[opcode], one_byte_has_modrm(opcode));
        }
        walk.opcode(&[0x0f, opcode], two_byte_has_modrm(opcode));
    }
    walk.forms
}

fn is_prefix_or_escape(opcode: u8) -> bool {
    matches!(opcode, 0x0f | 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3)
}

/// SDM Vol. 2D table A-2.
fn one_byte_has_modrm(opcode: u8) -> bool {
    match opcode {
        0x00..=0x3f => opcode & 7 < 4,
        0x62 | 0x63 | 0x69 | 0x6b | 0x80..=0x8f | 0xc0 | 0xc1 | 0xc4..=0xc7 | 0xd0..=0xd3 | 0xd8..=0xdf => {
            true
        }
        0xf6 | 0xf7 | 0xfe | 0xff => true,
        _ => false,
    }
}

/// SDM Vol. 2D table A-3, as far as a P6 has it.
fn two_byte_has_modrm(opcode: u8) -> bool {
    !matches!(opcode, 0x05..=0x0c | 0x0e | 0x30..=0x3f | 0x77 | 0x80..=0x8f | 0xa0..=0xa2 | 0xa8..=0xaa | 0xc8..=0xcf)
}

struct Walk {
    place: Place,
    rng: Rng,
    forms: Vec<Form>,
    /// Advances with each choice of addressing, so that all kinds take their turn.
    turn: usize,
}

impl Walk {
    fn opcode(&mut self, opcode: &[u8], has_modrm: bool) {
        const PREFIXES: [&[u8]; 9] =
            [&[], &[0x66], &[0xf0], &[0x66, 0xf0], &[0xf2], &[0xf3], &[0x66, 0xf2], &[0x66, 0xf3], &[0x67]];
        for prefix in PREFIXES {
            let head = [prefix, opcode].concat();
            if has_modrm {
                self.with_modrm(&head);
            } else {
                self.variants(&head);
            }
        }
        for segment in [0x26, 0x2e, 0x36, 0x3e] {
            let head = [&[segment][..], opcode].concat();
            if has_modrm { self.segment_override(&head) } else { self.variants(&head) }
        }
    }

    fn with_modrm(&mut self, head: &[u8]) {
        for reg in 0..8u8 {
            // The operand itself, another one, and SP or AH.
            for rm in [reg, self.rng.below(8) as u8, 4] {
                self.variants(&[head, &[0xc0 | reg << 3 | rm]].concat());
            }
            for _ in 0..3 {
                let addressing = self.addressing(reg);
                self.variants(&[head, &addressing[..]].concat());
            }
        }
    }

    /// One memory form under a segment override: all segments are flat, so nothing else may change.
    fn segment_override(&mut self, head: &[u8]) {
        let reg = self.rng.below(8) as u8;
        let addressing = self.addressing(reg);
        self.variants(&[head, &addressing[..]].concat());
    }

    /// ModRM, SIB and displacement of the next kind of memory operand.
    fn addressing(&mut self, reg: u8) -> Vec<u8> {
        let modrm = |rest: u8| rest | reg << 3;
        let disp8 = self.rng.byte();
        let disp32 = if self.rng.percent(50) { self.rng.below(0x100) } else { self.rng.next_u32() };
        let disp32 = disp32.to_le_bytes();
        // Aligned, so that a locked access does not cross a cache line.
        let absolute = (self.place.window() + (self.rng.within(0xc0, 0x140) & !7)).to_le_bytes();
        self.turn += 1;
        match self.turn % 11 {
            0 => vec![modrm(0x03)],
            1 => vec![modrm(0x45), disp8],
            2 => [&[modrm(0x84), 0xbe][..], &disp32].concat(),
            3 => [&[modrm(0x05)][..], &absolute].concat(),
            4 => vec![modrm(0x44), 0x24, disp8],
            5 => [&[modrm(0x04), 0xfd][..], &disp32].concat(),
            6 => vec![modrm(0x04), 0x00],
            7 => vec![modrm(0x44), 0x51, disp8],
            8 => [&[modrm(0x87)][..], &disp32].concat(),
            9 => vec![modrm(0x04), 0xf3],
            _ => vec![modrm(0x06)],
        }
    }

    /// The forms that begin with `head`: one, or several with different immediates or targets.
    fn variants(&mut self, head: &[u8]) {
        let Some(first) = self.decoded(head) else { return };
        let changes = matches!(first.insn.operand(0), Operand::Target(_) | Operand::Far { .. })
            || has_immediate(head, &first);
        let count = if changes { IMMEDIATES } else { 1 };
        for number in 0..count {
            let Some(mut form) = self.decoded(head) else { return };
            self.aim(&mut form, number);
            self.keep(form);
        }
    }

    /// `head` followed by a random immediate as long as the decoder wants it.
    fn decoded(&mut self, head: &[u8]) -> Option<Form> {
        let mut code = head.to_vec();
        let immediate = [self.rng.operand().to_le_bytes(), self.rng.operand().to_le_bytes()].concat();
        code.extend(immediate);
        code.resize(15, 0);
        self.finish(code)
    }

    fn finish(&self, mut code: Vec<u8>) -> Option<Form> {
        let insn = isa::decode(&code, self.place.code(), DecodeMode { code32: true }).ok()?;
        code.truncate(usize::from(insn.len));
        Some(Form { code, insn })
    }

    /// Points branches at landings, far pointers at the user's segment, ENTER at small frames.
    fn aim(&mut self, form: &mut Form, number: usize) {
        let len = form.code.len();
        let next = self.place.code() + len as u32;
        let target = [self.place.forward(), self.place.backward(), next][number % 3];
        match form.insn.operand(0) {
            Operand::Target(_) => {
                let distance = target.wrapping_sub(next).to_le_bytes();
                let immediate = if has_rel8(&form.insn, len) { 1 } else { 4 };
                form.code[len - immediate..].copy_from_slice(&distance[..immediate]);
            }
            Operand::Far { .. } if form.insn.op_size == Width::B4 => {
                form.code[len - 6..len - 2].copy_from_slice(&target.to_le_bytes());
                form.code[len - 2..].copy_from_slice(&USER_CODE.to_le_bytes());
            }
            Operand::Imm(_) if form.insn.op == Op::Enter => {
                let (size, level) =
                    (self.rng.below(0x40) as u8, [0, 1, self.rng.below(20) as u8][number % 3]);
                // Only the low five bits of the level count.
                form.code[len - 3..].copy_from_slice(&[size, 0, level | self.rng.byte() & 0xe0]);
            }
            Operand::None
            | Operand::Reg(_)
            | Operand::Mem(_)
            | Operand::Imm(_)
            | Operand::Seg(_)
            | Operand::Cr(_)
            | Operand::Dr(_)
            | Operand::Far { .. } => self.aim_immediate(form),
        }
    }

    /// MOV moffs: the address must lie in the window.
    fn aim_immediate(&mut self, form: &mut Form) {
        let opcode = form.code.iter().copied().find(|byte| !is_prefix(*byte));
        let moffs = matches!(opcode, Some(0xa0..=0xa3));
        if moffs && form.insn.addr_size == Width::B4 {
            let at = form.code.len() - 4;
            let address = self.place.window() + self.rng.below(0x1f8);
            form.code[at..].copy_from_slice(&address.to_le_bytes());
        }
    }

    fn keep(&mut self, form: Form) {
        let Some(form) = self.finish(form.code) else { return };
        let runs =
            kind(form.insn.op).is_ok() && !is_reserved_nop(&form.code) && self.is_reachable(&form.insn);
        let known = self.forms.iter().rev().take(64).any(|kept| kept.code == form.code);
        if runs && !known && prefixes_mean_something(&form) {
            self.forms.push(form);
        }
    }

    /// Whether any state can make it fit: see the file's header for what is left out.
    fn is_reachable(&self, insn: &Insn) -> bool {
        let memory = insn.mem().is_some_and(|mem| mem.size != 0) || is_string(insn.op) || insn.op == Op::Xlat;
        if memory && insn.addr_size == Width::B2 {
            return false;
        }
        let control = matches!(
            insn.op,
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
                | Op::Iret
        );
        if control && insn.op_size == Width::B2 {
            return false;
        }
        let excluded = loads_thread_pointer(insn) || writes_through_cs(insn) || is_self_defeating(insn);
        let divides_by_zero = insn.op == Op::Aam && insn.operand(0) == Operand::Imm(0);
        !excluded && !divides_by_zero
    }
}

fn has_rel8(insn: &Insn, len: usize) -> bool {
    match insn.op {
        Op::Loop | Op::Loope | Op::Loopne | Op::Jcxz => true,
        Op::Jcc | Op::Jmp => len < 5,
        _ => false,
    }
}

/// Whether other bytes behind `head` would make another instruction of the same form.
fn has_immediate(head: &[u8], form: &Form) -> bool {
    form.code.len() > head.len()
}

/// String operations, whose REP prefix counts.
#[must_use]
pub fn is_string(op: Op) -> bool {
    matches!(op, Op::Movs | Op::Cmps | Op::Scas | Op::Lods | Op::Stos)
}

/// FS and GS must stay as the host's libraries left them.
fn loads_thread_pointer(insn: &Insn) -> bool {
    let thread = |operand| matches!(operand, Operand::Seg(isa::SegReg::Fs | isa::SegReg::Gs));
    matches!(insn.op, Op::MovSeg | Op::Pop) && thread(insn.operand(0))
}

/// A code segment is never writable.
fn writes_through_cs(insn: &Insn) -> bool {
    insn.mem().is_some_and(|mem| mem.seg == isa::SegReg::Cs) && writes_memory_operand(insn)
}

/// Forms whose operands exclude each other: a bit offset in the register that also holds the address, a
/// division by the high half of the dividend, a call through the stack pointer.
fn is_self_defeating(insn: &Insn) -> bool {
    match (insn.op, insn.operand(0), insn.operand(1)) {
        (Op::Bt | Op::Bts | Op::Btr | Op::Btc, Operand::Mem(mem), Operand::Reg(index)) => {
            mem.base == Some(index.gpr) || mem.index == Some(index.gpr)
        }
        (Op::Div, Operand::Reg(divisor), Operand::None) if divisor.width == Width::B1 => {
            divisor.gpr == Gpr::Eax && divisor.high
        }
        (Op::Div, Operand::Reg(divisor), Operand::None) => divisor.gpr == Gpr::Edx,
        (Op::Call, Operand::Reg(target), Operand::None) => target.gpr == Gpr::Esp,
        _ => false,
    }
}

/// LOCK, REP and the address size only where they change what the instruction is, so that each form is there once.
fn prefixes_mean_something(form: &Form) -> bool {
    let opcode_at = form.code.iter().position(|byte| !is_prefix(*byte)).unwrap_or(0);
    form.code[..opcode_at].iter().all(|prefix| match prefix {
        0xf0 => form.insn.lock,
        0xf2 | 0xf3 => is_string(form.insn.op),
        0x67 => {
            form.insn.op == Op::Lea || matches!(form.insn.op, Op::Loop | Op::Loope | Op::Loopne | Op::Jcxz)
        }
        0x26 | 0x2e | 0x36 | 0x3e => {
            form.insn.mem().is_some() || is_string(form.insn.op) || form.insn.op == Op::Xlat
        }
        _ => true,
    })
}

fn is_prefix(byte: u8) -> bool {
    byte != 0x0f && is_prefix_or_escape(byte)
}

/// Selectors that forms about selectors are given.
pub(crate) const SELECTORS: [u16; 3] = [0, USER_CODE, USER_DATA];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const PLACE: Place = Place::at(0x0040_0000);

    #[test]
    fn every_operation_that_user_mode_can_run_has_a_form() {
        let forms = forms(PLACE, 1);
        let with: BTreeSet<&str> = forms.iter().map(|form| form.insn.op.name()).collect();
        let without: Vec<&str> = Op::ALL
            .iter()
            .filter(|op| kind(**op).is_ok())
            .map(|op| op.name())
            .filter(|name| !with.contains(name))
            .collect();
        assert!(without.is_empty(), "no form for {without:?}");
        assert!(forms.iter().all(|form| kind(form.insn.op).is_ok()));
    }

    #[test]
    fn add_has_all_widths_places_and_lock() {
        let forms = forms(PLACE, 1);
        let mut seen = BTreeMap::new();
        for form in forms.iter().filter(|form| form.insn.op == Op::Add) {
            let memory = form.insn.mem().is_some();
            *seen.entry((form.insn.width.bytes(), memory, form.insn.lock)).or_insert(0) += 1;
        }
        let kinds: Vec<_> = seen.keys().copied().collect();
        let all = [1, 2, 4]
            .map(|width| [(width, false, false), (width, true, false), (width, true, true)])
            .concat();
        assert_eq!(kinds, all);
        assert!(seen.values().all(|count| *count >= 8), "{seen:?}");
    }

    #[test]
    fn branches_aim_at_landings_both_ways() {
        let forms = forms(PLACE, 1);
        let targets: BTreeSet<u32> = forms
            .iter()
            .filter(|form| form.insn.op == Op::Jcc)
            .map(|form| match form.insn.operand(0) {
                Operand::Target(target) => target,
                other => panic!("{other:?}"),
            })
            .collect();
        let expected =
            BTreeSet::from([PLACE.backward(), PLACE.code() + 2, PLACE.code() + 6, PLACE.forward()]);
        assert_eq!(targets, expected);
    }

    #[test]
    fn forms_are_a_function_of_the_seed() {
        let codes = |seed| forms(PLACE, seed).into_iter().map(|form| form.code).collect::<Vec<_>>();
        assert_eq!(codes(1), codes(1));
        assert_ne!(codes(1), codes(2));
    }
}
