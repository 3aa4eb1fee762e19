//! Shifts and rotates. Counts are masked to five bits; a count of 0 changes neither operand nor flags.

use cpu::eflags::{CF, OF, STATUS};
use cpu::flags::CcKind;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use isa::{Insn, Op, Operand};

use crate::flagstate::{Bits, FlagState, Lazy};
use crate::translate::{Translator, clif_type};

impl Translator<'_> {
    /// The masked count of operand `n`: a constant, or a value to be tested for 0.
    fn count(&mut self, insn: &Insn, n: usize) -> Result<u32, Value> {
        match insn.operand(n) {
            Operand::Imm(count) => Ok(count & 31),
            _ => {
                let count = self.read(insn, n);
                let count = self.b.ins().uextend(types::I32, count);
                Err(self.b.ins().band_imm_u(count, 31))
            }
        }
    }

    /// Gives the flags `lazy` if `count` is not 0 and keeps the old ones else.
    ///
    /// Flags that nobody wants are not merged: then the old ones need not be known.
    fn flags_unless_zero(&mut self, before: FlagState, count: Value, lazy: Lazy) {
        if self.live_after == 0 {
            self.set_lazy(lazy);
            return;
        }
        self.flags = before;
        if self.in_state(self.live_after) {
            self.settle_flags();
            return self.store_flags_unless_zero(count, lazy);
        }
        let live = self.live_after & STATUS;
        let old = self.word_of(live);
        self.set_lazy(lazy);
        let new = self.word_of(live);
        let zero = self.b.ins().icmp_imm_s(IntCC::Equal, count, 0);
        let word = self.b.ins().select(zero, old, new);
        self.replace_flags(STATUS, Bits::Word(word));
    }

    pub(super) fn shift(&mut self, insn: &Insn) {
        let ty = clif_type(insn.width);
        let count = self.count(insn, 1);
        if count == Ok(0) {
            return self.modify(insn, |_, old| old);
        }
        let before = self.flags;
        let by = match count {
            Ok(count) => self.constant(types::I32, i64::from(count)),
            Err(count) => count,
        };
        let (kind, mut operands) = match insn.op {
            Op::Shl => (CcKind::Shl, None),
            Op::Shr => (CcKind::Shr, None),
            _ => (CcKind::Sar, None),
        };
        self.modify(insn, |t, first| {
            let result = t.shifted(kind, ty, first, by);
            operands = Some((first, result));
            result
        });
        let Some((first, result)) = operands else { return };
        let lazy = Lazy { kind, ty, a: first, b: Some(by), c: None, result: Some(result) };
        match count {
            Ok(_) => self.set_lazy(lazy),
            Err(count) => self.flags_unless_zero(before, count, lazy),
        }
    }

    /// Narrow operands are shifted in 32 bits, where a count of up to 31 means what it means on x86.
    fn shifted(&mut self, kind: CcKind, ty: Type, value: Value, count: Value) -> Value {
        let wide = self.widen(value, types::I32, kind == CcKind::Sar);
        let shifted = match kind {
            CcKind::Shl => self.b.ins().ishl(wide, count),
            CcKind::Shr => self.b.ins().ushr(wide, count),
            _ => self.b.ins().sshr(wide, count),
        };
        self.widen(shifted, ty, false)
    }

    /// ROL and ROR: CF and OF come from the result, the rest stays.
    pub(super) fn rotate(&mut self, insn: &Insn) {
        let left = insn.op == Op::Rol;
        let count = self.count(insn, 1);
        if count == Ok(0) {
            return self.modify(insn, |_, old| old);
        }
        let by = match count {
            Ok(count) => self.constant(types::I32, i64::from(count)),
            Err(count) => count,
        };
        // Reading the old flags first: the operand may be memory whose helper call comes in between.
        let before = self.flags;
        let mut result = None;
        self.modify(insn, |t, old| {
            let value = if left { t.b.ins().rotl(old, by) } else { t.b.ins().rotr(old, by) };
            result = Some(value);
            value
        });
        let Some(result) = result else { return };
        if self.live_after == 0 {
            return;
        }
        self.flags = before;
        let bits = Bits::Rotated { result, left };
        match count {
            Ok(_) => self.replace_flags(CF | OF, bits),
            Err(count) => {
                let bits = self.bits(bits);
                if self.in_state(self.live_after) {
                    self.settle_flags();
                    return self.patch_unless_zero(count, bits);
                }
                let old = self.word_of(self.live_after & STATUS);
                let kept = self.b.ins().band_imm_u(old, i64::from(STATUS & !(CF | OF)));
                let new = self.b.ins().bor(kept, bits);
                let zero = self.b.ins().icmp_imm_s(IntCC::Equal, count, 0);
                let word = self.b.ins().select(zero, old, new);
                self.replace_flags(STATUS, Bits::Word(word));
            }
        }
    }

    /// The flags are in the CPU state: CF and OF there are replaced if `count` is not 0.
    fn patch_unless_zero(&mut self, count: Value, bits: Value) {
        let (patch, on) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(count, patch, &[], on, &[]);
        self.b.switch_to_block(patch);
        self.store_patch(CF | OF, bits);
        self.b.ins().jump(on, &[]);
        self.b.switch_to_block(on);
        self.flags = FlagState::Memory(0);
    }

    /// SHLD and SHRD, in 64 bits: for 32-bit operands the pair, for 16-bit ones dst:src:dst.
    pub(super) fn double_shift(&mut self, insn: &Insn) {
        let left = insn.op == Op::Shld;
        let count = self.count(insn, 2);
        if count == Ok(0) {
            return self.modify(insn, |_, old| old);
        }
        let by = match count {
            Ok(count) => self.constant(types::I32, i64::from(count)),
            Err(count) => count,
        };
        let source = self.read(insn, 1);
        let before = self.flags;
        let bits = insn.width.bits();
        let mut operands = None;
        self.modify(insn, |t, old| {
            let (result, carry) = t.double_shifted(left, bits, (old, source), by);
            operands = Some((old, result, carry));
            result
        });
        let Some((old, result, carry)) = operands else { return };
        if self.live_after == 0 {
            return;
        }
        let word = self.double_shift_flags((old, result, carry), bits);
        self.flags = before;
        let word = match count {
            Ok(_) => word,
            Err(count) => {
                if self.in_state(self.live_after) {
                    self.settle_flags();
                    return self.store_flags_unless_zero(count, Lazy::bits(word));
                }
                let kept = self.word_of(self.live_after & STATUS);
                let zero = self.b.ins().icmp_imm_s(IntCC::Equal, count, 0);
                self.b.ins().select(zero, kept, word)
            }
        };
        self.replace_flags(STATUS, Bits::Word(word));
    }

    /// Result, and the last bit shifted out of the destination as an `i32`.
    fn double_shifted(
        &mut self,
        left: bool,
        bits: u32,
        pair: (Value, Value),
        count: Value,
    ) -> (Value, Value) {
        let (old, source) = pair;
        let ty = self.b.func.dfg.value_type(old);
        let old = self.b.ins().uextend(types::I64, old);
        let source = self.b.ins().uextend(types::I64, source);
        let bits = i64::from(bits);
        let (whole, low_at, carry_at) = if left {
            // From the top: dst, src (and dst again for 16 bits), shifted left; the result is the top part.
            let top = self.b.ins().ishl_imm_u(old, bits);
            let mut whole = self.b.ins().bor(top, source);
            if bits == 16 {
                let shifted = self.b.ins().ishl_imm_u(whole, 16);
                whole = self.b.ins().bor(shifted, old);
            }
            let low = if bits == 16 { 32 } else { bits };
            (self.b.ins().ishl(whole, count), low, low + bits)
        } else {
            let top = self.b.ins().ishl_imm_u(source, bits);
            let mut whole = self.b.ins().bor(top, old);
            if bits == 16 {
                let again = self.b.ins().ishl_imm_u(old, 32);
                whole = self.b.ins().bor(whole, again);
            }
            let less = self.b.ins().iadd_imm_s(count, -1);
            let before_last = self.b.ins().ushr(whole, less);
            let carry = self.b.ins().band_imm_u(before_last, 1);
            let carry = self.b.ins().ireduce(types::I32, carry);
            let shifted = self.b.ins().ushr(whole, count);
            return (self.b.ins().ireduce(ty, shifted), carry);
        };
        let carry = if carry_at == 64 {
            // The bit has left 64 bits: take it from the destination instead.
            let back = self.b.ins().ineg(count);
            let back = self.b.ins().iadd_imm_s(back, bits);
            self.b.ins().ushr(old, back)
        } else {
            self.b.ins().ushr_imm_u(whole, carry_at)
        };
        let carry = self.b.ins().band_imm_u(carry, 1);
        let carry = self.b.ins().ireduce(types::I32, carry);
        let result = self.b.ins().ushr_imm_u(whole, low_at);
        (self.b.ins().ireduce(ty, result), carry)
    }

    /// SF, ZF, PF of the result, OF when the sign changed, AF 0.
    fn double_shift_flags(&mut self, (old, result, carry): (Value, Value, Value), bits: u32) -> Value {
        let ty = self.b.func.dfg.value_type(result);
        self.set_logic(ty, result);
        let word = self.status_word();
        let word = self.b.ins().bor(word, carry);
        let changed = self.b.ins().bxor(old, result);
        let changed = self.widen(changed, types::I32, false);
        let overflow = self.bit_of(changed, bits - 1);
        let overflow = self.b.ins().ishl_imm_u(overflow, i64::from(OF.trailing_zeros()));
        self.b.ins().bor(word, overflow)
    }
}
