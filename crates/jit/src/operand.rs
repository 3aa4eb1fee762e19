//! Operands in SSA values: registers, effective addresses, immediates.

use cranelift_codegen::ir::{InstBuilder, Value};
use isa::{Gpr, Insn, Mem, Op, Operand, SegReg};

use crate::mem::Address;
use crate::translate::{Translator, clif_type};

fn bit(gpr: Gpr) -> u8 {
    1 << gpr.index()
}

/// Registers that an operation uses without naming them.
fn implied(insn: &Insn) -> u8 {
    match insn.op {
        Op::Push | Op::Pop | Op::Call | Op::Ret => bit(Gpr::Esp),
        Op::Leave => bit(Gpr::Esp) | bit(Gpr::Ebp),
        Op::Mul | Op::Imul1 | Op::Div | Op::Idiv | Op::Cwd | Op::Cbw | Op::In | Op::Out => {
            bit(Gpr::Eax) | bit(Gpr::Edx)
        }
        Op::Cmpxchg | Op::Lahf | Op::Sahf => bit(Gpr::Eax),
        Op::Loop | Op::Loope | Op::Loopne | Op::Jcxz => bit(Gpr::Ecx),
        Op::Movs | Op::Cmps | Op::Scas | Op::Lods | Op::Stos => string_registers(insn.op),
        _ => 0,
    }
}

/// Index registers, counter and accumulator of a string operation.
fn string_registers(op: Op) -> u8 {
    let index = match op {
        Op::Lods => bit(Gpr::Esi) | bit(Gpr::Eax),
        Op::Stos | Op::Scas => bit(Gpr::Edi) | bit(Gpr::Eax),
        _ => bit(Gpr::Esi) | bit(Gpr::Edi),
    };
    index | bit(Gpr::Ecx)
}

/// Registers that an instruction reads or writes, as a mask.
#[must_use]
pub fn registers(insn: &Insn) -> u8 {
    let mut set = implied(insn);
    for operand in &insn.operands {
        match operand {
            Operand::Reg(reg) => set |= bit(reg.gpr),
            Operand::Mem(mem) => {
                set |= mem.base.map_or(0, bit) | mem.index.map_or(0, bit);
            }
            Operand::None
            | Operand::Imm(_)
            | Operand::Seg(_)
            | Operand::Cr(_)
            | Operand::Dr(_)
            | Operand::Target(_)
            | Operand::Far { .. } => {}
        }
    }
    set
}

/// Registers that an instruction may write, as a mask.
#[must_use]
pub fn written(insn: &Insn) -> u8 {
    let mut set = match insn.op {
        Op::Jcxz | Op::Out => 0,
        _ => implied(insn),
    };
    let reads_only = matches!(
        insn.op,
        Op::Cmp
            | Op::Test
            | Op::Push
            | Op::Bt
            | Op::Jmp
            | Op::Call
            | Op::Out
            | Op::Mul
            | Op::Imul1
            | Op::Div
            | Op::Idiv
    );
    if !reads_only && let Operand::Reg(reg) = insn.operand(0) {
        set |= bit(reg.gpr);
    }
    if matches!(insn.op, Op::Xchg | Op::Xadd)
        && let Operand::Reg(reg) = insn.operand(1)
    {
        set |= bit(reg.gpr);
    }
    set
}

impl Translator<'_> {
    /// Sum of the registers of a memory operand.
    fn root(&mut self, mem: &Mem) -> Option<Value> {
        let index = mem.index.map(|index| {
            let value = self.gpr(index);
            if mem.scale == 0 { value } else { self.b.ins().ishl_imm_u(value, i64::from(mem.scale)) }
        });
        let base = mem.base.map(|base| self.gpr(base));
        match (base, index) {
            (Some(base), Some(index)) => Some(self.b.ins().iadd(base, index)),
            (one, None) | (None, one) => one,
        }
    }

    /// A memory operand as an address to access.
    pub(crate) fn address(&mut self, mem: &Mem) -> Address {
        Address { root: self.root(mem), disp: mem.disp, seg: mem.seg, window: self.windows.of(mem) }
    }

    /// The stack at `offset`.
    pub(crate) fn stack_address(&self, offset: Value) -> Address {
        Address { root: Some(offset), disp: 0, seg: SegReg::Ss, window: Gpr::Esp as u32 }
    }

    /// The value of operand `n`, in the width of the operand; immediates in the width of the operation.
    pub(crate) fn read(&mut self, insn: &Insn, n: usize) -> Value {
        match insn.operand(n) {
            Operand::Reg(reg) => self.reg(reg),
            Operand::Mem(mem) => {
                let address = self.address(&mem);
                let ty = clif_type(isa_width(mem.size));
                self.load(address, ty)
            }
            Operand::Imm(value) => self.constant(clif_type(insn.width), i64::from(value)),
            Operand::None
            | Operand::Seg(_)
            | Operand::Cr(_)
            | Operand::Dr(_)
            | Operand::Target(_)
            | Operand::Far { .. } => unreachable!("{insn:?} has no value in operand {n}"),
        }
    }

    /// Writes operand `n`, a register or memory.
    pub(crate) fn write(&mut self, insn: &Insn, n: usize, value: Value) {
        match insn.operand(n) {
            Operand::Reg(reg) => self.set_reg(reg, value),
            Operand::Mem(mem) => {
                let address = self.address(&mem);
                self.store(address, value);
            }
            Operand::None
            | Operand::Imm(_)
            | Operand::Seg(_)
            | Operand::Cr(_)
            | Operand::Dr(_)
            | Operand::Target(_)
            | Operand::Far { .. } => unreachable!("{insn:?} cannot write operand {n}"),
        }
    }

    /// Replaces operand 0 by what `change` makes of it; memory is checked for writing before it is read.
    pub(crate) fn modify(&mut self, insn: &Insn, change: impl FnOnce(&mut Self, Value) -> Value) {
        match insn.operand(0) {
            Operand::Mem(mem) => {
                let address = self.address(&mem);
                let place = self.place(address, clif_type(isa_width(mem.size)));
                let old = self.load_place(&place);
                let new = change(self, old);
                self.store_place(&place, new);
            }
            _ => {
                let old = self.read(insn, 0);
                let new = change(self, old);
                self.write(insn, 0, new);
            }
        }
    }
}

/// The width of a memory operand.
pub(crate) fn isa_width(bytes: u8) -> isa::Width {
    match bytes {
        1 => isa::Width::B1,
        2 => isa::Width::B2,
        8 => isa::Width::B8,
        _ => isa::Width::B4,
    }
}
