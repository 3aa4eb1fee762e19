//! Registers, addresses and immediates at random, and their encoding (SDM Vol. 2A 2.1).

use super::Writer;

/// Width of an operand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum W {
    B1,
    B2,
    B4,
}

impl W {
    /// 1 in the low bit of opcodes that come in a byte and a wide form.
    pub(super) const fn bit(self) -> u8 {
        if matches!(self, Self::B1) { 0 } else { 1 }
    }
}

pub(super) const EAX: u8 = 0;
pub(super) const ECX: u8 = 1;
pub(super) const EDX: u8 = 2;
pub(super) const EBX: u8 = 3;
pub(super) const ESP: u8 = 4;
pub(super) const EBP: u8 = 5;
pub(super) const ESI: u8 = 6;
pub(super) const EDI: u8 = 7;

impl Writer {
    /// A register that results go to: seldom one that holds a pointer, never ESP.
    pub(super) fn register(&mut self) -> u8 {
        const CHOICES: [u8; 20] = [
            EAX, EAX, EAX, EAX, EAX, ECX, ECX, ECX, ECX, EDX, EDX, EDX, EDX, EAX, ECX, EDX, EBX, EBP, ESI,
            EDI,
        ];
        self.rng.pick(&CHOICES)
    }

    /// A byte register: AL, CL, DL, AH, CH, DH and seldom BL or BH.
    pub(super) fn byte_register(&mut self) -> u8 {
        self.rng.pick(&[0, 1, 2, 4, 5, 6, 0, 1, 2, 4, 5, 6, 3, 7])
    }

    pub(super) fn register_of(&mut self, width: W) -> u8 {
        if width == W::B1 { self.byte_register() } else { self.register() }
    }

    pub(super) fn width(&mut self) -> W {
        match self.rng.below(10) {
            0..=2 => W::B1,
            3 | 4 => W::B2,
            _ => W::B4,
        }
    }

    pub(super) fn wide(&mut self) -> W {
        if self.rng.percent(25) { W::B2 } else { W::B4 }
    }

    /// Prefixes and opcode of an instruction.
    pub(super) fn opcode(&mut self, width: W, opcode: &[u8]) {
        if width == W::B2 {
            self.code.put(&[0x66]);
        }
        self.code.put(opcode);
    }

    /// ModRM for two registers.
    pub(super) fn registers_modrm(&mut self, reg: u8, rm: u8) {
        self.code.put(&[0xc0 | (reg & 7) << 3 | rm & 7]);
    }

    /// An instruction on a register and a register or memory operand.
    pub(super) fn with_operand(&mut self, width: W, opcode: &[u8], reg: u8) {
        if self.rng.percent(45) {
            self.with_memory(width, opcode, reg);
        } else {
            self.opcode(width, opcode);
            let rm = self.register_of(width);
            self.registers_modrm(reg, rm);
        }
    }

    /// An instruction on a register and memory.
    pub(super) fn with_memory(&mut self, width: W, opcode: &[u8], reg: u8) {
        if self.rng.percent(4) {
            let segment = self.rng.pick(&[0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]);
            self.code.put(&[segment]);
        }
        if self.rng.percent(1) {
            return self.with_short_address(width, opcode, reg);
        }
        self.opcode(width, opcode);
        self.memory_modrm(reg);
    }

    /// A 16-bit address, which reaches the low 64 KiB.
    pub(super) fn with_short_address(&mut self, width: W, opcode: &[u8], reg: u8) {
        self.code.put(&[0x67]);
        self.opcode(width, opcode);
        let rm = self.rng.within(0, 8) as u8;
        let displacement = self.rng.byte();
        self.code.put(&[0x40 | (reg & 7) << 3 | rm, displacement]);
    }

    /// ModRM, SIB and displacement of a memory operand.
    pub(super) fn memory_modrm(&mut self, reg: u8) {
        let reg = (reg & 7) << 3;
        let base = self.rng.pick(&[EBX, EBP, ESI, EDI, EBX, ESI, ESP]);
        let small = self.rng.pick(&[0, 1, 2, 3, 4, 8, 0x10, 0x7f, 0xfc, 0xff, 0x80]);
        match self.rng.below(20) {
            0..=11 if base == ESP => self.code.put(&[0x44 | reg, 0x24, small & 0x3f]),
            0..=11 => self.code.put(&[0x40 | reg | base, small]),
            12 | 13 => {
                let displacement = self.rng.below(0x40);
                let base = self.rng.pick(&[EBX, EBP, ESI, EDI]);
                self.code.put(&[0x80 | reg | base]);
                self.code.put32(displacement);
            }
            14..=17 => {
                let address = self.pointer(EBX);
                self.code.put(&[0x05 | reg]);
                self.code.put32(address);
            }
            18 => {
                let (index, scale) = (self.rng.pick(&[EAX, ECX, EDX]), self.rng.below(4) as u8);
                self.code.put(&[0x44 | reg, scale << 6 | index << 3 | EBX, small]);
            }
            _ => {
                let (index, scale) = (self.rng.pick(&[EAX, ECX, EDX]), self.rng.below(4) as u8);
                let address = self.pointer(EBX);
                self.code.put(&[0x04 | reg, scale << 6 | index << 3 | EBP]);
                self.code.put32(address);
            }
        }
    }

    /// An immediate of `width`.
    pub(super) fn immediate(&mut self, width: W) {
        let value = self.rng.operand().to_le_bytes();
        match width {
            W::B1 => self.code.put(&value[..1]),
            W::B2 => self.code.put(&value[..2]),
            W::B4 => self.code.put(&value),
        }
    }
}
