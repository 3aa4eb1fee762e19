//! Moves, extensions, exchanges, conditional moves.

use cpu::eflags;
use cranelift_codegen::ir::{InstBuilder, types};
use isa::{Gpr, Insn, Operand, Reg, Width};

use crate::flagstate::Bits;
use crate::operand::isa_width;
use crate::translate::{Translator, clif_type};

impl Translator<'_> {
    pub(super) fn mov(&mut self, insn: &Insn) {
        let value = self.read(insn, 1);
        self.write(insn, 0, value);
    }

    pub(super) fn extend(&mut self, insn: &Insn, signed: bool) {
        let ty = clif_type(insn.width);
        let value = match insn.operand(1) {
            Operand::Mem(mem) => {
                let address = self.address(&mem);
                self.load_extended(address, clif_type(isa_width(mem.size)), ty, signed)
            }
            _ => {
                let value = self.read(insn, 1);
                self.widen(value, ty, signed)
            }
        };
        self.write(insn, 0, value);
    }

    pub(super) fn lea(&mut self, insn: &Insn) {
        let Operand::Mem(mem) = insn.operand(1) else { unreachable!("LEA has a memory operand") };
        let address = self.address(&mem);
        let value = self.offset_of(&address);
        let value = self.widen(value, clif_type(insn.width), false);
        self.write(insn, 0, value);
    }

    /// The register operand is written last, after the memory operand can no longer fault.
    pub(super) fn xchg(&mut self, insn: &Insn) {
        let (memory, register) =
            if insn.mem().is_some() && matches!(insn.operand(1), Operand::Mem(_)) { (1, 0) } else { (0, 1) };
        match insn.operand(memory) {
            Operand::Mem(mem) => {
                let address = self.address(&mem);
                let place = self.place(address, clif_type(insn.width));
                let old = self.load_place(&place);
                let new = self.read(insn, register);
                self.store_place(&place, new);
                self.write(insn, register, old);
            }
            _ => {
                let (first, second) = (self.read(insn, 0), self.read(insn, 1));
                self.write(insn, 0, second);
                self.write(insn, 1, first);
            }
        }
    }

    pub(super) fn bswap(&mut self, insn: &Insn) {
        let Operand::Reg(reg) = insn.operand(0) else { unreachable!("BSWAP has a register operand") };
        let value = self.reg(reg);
        let value = if insn.width == Width::B4 {
            self.b.ins().bswap(value)
        } else {
            // The 16-bit form is undefined; processors give 0.
            self.constant(types::I16, 0)
        };
        self.set_reg(reg, value);
    }

    pub(super) fn setcc(&mut self, insn: &Insn) {
        let value = self.condition(insn.cond);
        self.write(insn, 0, value);
    }

    /// The source is read, and may fault, whatever the condition says.
    pub(super) fn cmovcc(&mut self, insn: &Insn) {
        let source = self.read(insn, 1);
        let old = self.read(insn, 0);
        let condition = self.condition(insn.cond);
        let value = self.b.ins().select(condition, source, old);
        self.write(insn, 0, value);
    }

    pub(super) fn lahf(&mut self) {
        let word = self.word_of(eflags::STATUS & !eflags::OF);
        let low = self.b.ins().bor_imm_u(word, i64::from(eflags::FIXED));
        let byte = self.b.ins().ireduce(types::I8, low);
        self.set_reg(Reg { gpr: Gpr::Eax, width: Width::B1, high: true }, byte);
    }

    pub(super) fn sahf(&mut self) {
        let byte = self.reg(Reg { gpr: Gpr::Eax, width: Width::B1, high: true });
        let word = self.b.ins().uextend(types::I32, byte);
        let mask = eflags::STATUS & !eflags::OF;
        let bits = self.b.ins().band_imm_u(word, i64::from(mask));
        self.replace_flags(mask, Bits::Word(bits));
    }

    /// CBW and CWDE.
    pub(super) fn cbw(&mut self, insn: &Insn) {
        let half = if insn.width == Width::B2 { Width::B1 } else { Width::B2 };
        let value = self.reg(Reg { gpr: Gpr::Eax, width: half, high: false });
        let value = self.b.ins().sextend(clif_type(insn.width), value);
        self.set_reg(Reg { gpr: Gpr::Eax, width: insn.width, high: false }, value);
    }

    /// CWD and CDQ.
    pub(super) fn cwd(&mut self, insn: &Insn) {
        let value = self.reg(Reg { gpr: Gpr::Eax, width: insn.width, high: false });
        let sign = self.b.ins().sshr_imm_u(value, i64::from(insn.width.bits()) - 1);
        self.set_reg(Reg { gpr: Gpr::Edx, width: insn.width, high: false }, sign);
    }
}
