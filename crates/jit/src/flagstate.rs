//! Where the flags are while a unit is translated, and how they get from there to where they are wanted.
//!
//! Most flags are wanted only where the unit is left, in blocks off the main path, so nothing is computed before it
//! is wanted. Invariant: the values that a state names are defined on every way to the point where it holds.

use cpu::eflags::{CF, OF, STATUS};
use cpu::flags::{CcKind, CcOp};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};

use crate::translate::Translator;

/// The producer of the flags: which computation, on which values.
#[derive(Clone, Copy, Debug)]
pub struct Lazy {
    /// Computation.
    pub kind: CcKind,
    /// Width of its operands.
    pub ty: Type,
    /// As `cc_a`.
    pub a: Value,
    /// As `cc_b`.
    pub b: Option<Value>,
    /// As `cc_c`.
    pub c: Option<Carry>,
    /// The result, where it is none of the above.
    pub result: Option<Value>,
}

impl Lazy {
    /// The six flags are in `word`, an `i32`, at their EFLAGS places.
    #[must_use]
    pub fn bits(word: Value) -> Self {
        Self { kind: CcKind::Bits, ty: types::I32, a: word, b: None, c: None, result: None }
    }

    /// What `cc_op` says for this producer.
    #[must_use]
    pub fn cc_op(&self) -> CcOp {
        CcOp::new(self.kind, self.ty.bytes())
    }
}

/// A carry that a producer's flags derive from: mostly it is wanted only where the unit is left, so it is computed
/// where it is wanted.
#[derive(Clone, Copy, Debug)]
pub enum Carry {
    /// 0 or 1, an `i8`.
    Value(Value),
    /// Whether the product of the two operands does not fit their width; with it the low half.
    Product {
        /// Operands as signed numbers.
        signed: bool,
        /// First operand.
        first: Value,
        /// Second operand.
        second: Value,
        /// Low half of the product.
        low: Value,
    },
    /// CF of an earlier producer, by its number.
    Of(usize),
}

/// Flags at their EFLAGS places, computed where they are wanted.
#[derive(Clone, Copy, Debug)]
pub enum Bits {
    /// An `i32`.
    Word(Value),
    /// CF and OF of a rotate.
    Rotated {
        /// Its result.
        result: Value,
        /// To the left.
        left: bool,
    },
}

/// Where the flags are at a point of the translation.
#[derive(Clone, Copy, Debug)]
pub enum FlagState {
    /// In the CPU state; those in the mask also in the flag variables.
    Memory(u32),
    /// To be derived from SSA values.
    Lazy(Lazy),
    /// In the CPU state, but for those in the mask, which are in the bits.
    Patched(u32, Bits),
    /// To be derived from SSA values, but for those in the mask, which are in the bits.
    Over(Lazy, u32, Bits),
}

impl Translator<'_> {
    /// Brings patched flags back into the CPU state.
    pub fn settle_flags(&mut self) {
        if let FlagState::Patched(mask, bits) = self.flags {
            let bits = self.bits(bits);
            self.store_patch(mask, bits);
            self.flags = FlagState::Memory(0);
        }
    }

    /// Replaces the flags in `mask` of the CPU state by those in `bits`.
    pub fn store_patch(&mut self, mask: u32, bits: Value) {
        use crate::translate::offset;
        let op = self.load_state(types::I32, offset::CC_OP);
        let op = self.b.ins().bor_imm_u(op, i64::from(mask << CcOp::PATCH_SHIFT));
        self.store_state(op, offset::CC_OP);
        let old = self.load_state(types::I32, offset::CC_PATCH);
        let kept = self.b.ins().band_imm_u(old, i64::from(STATUS & !mask));
        let new = self.b.ins().bor(kept, bits);
        self.store_state(new, offset::CC_PATCH);
    }

    /// Stores `lazy` as the flags' producer if `count` is not 0; the flags are in the CPU state either way.
    pub fn store_flags_unless_zero(&mut self, count: Value, lazy: Lazy) {
        let (store, on) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(count, store, &[], on, &[]);
        self.b.switch_to_block(store);
        self.flags = FlagState::Lazy(lazy);
        self.store_flags();
        self.b.ins().jump(on, &[]);
        self.b.switch_to_block(on);
        self.flags = FlagState::Memory(0);
    }

    /// Whether the flags in `mask` must be taken from the CPU state: they are not all in the variables.
    ///
    /// A block's flags are in the CPU state as a whole if any of them can be seen from outside; else those that
    /// are wanted at all are in the variables, and what the CPU state says is stale.
    pub fn in_state(&self, mask: u32) -> bool {
        match self.flags {
            FlagState::Memory(valid) => mask & STATUS & !valid != 0,
            FlagState::Patched(..) => true,
            FlagState::Lazy(_) | FlagState::Over(..) => false,
        }
    }

    /// Replaces the flags in `mask` by those in `bits` (an `i32` at EFLAGS places) and keeps the rest.
    ///
    /// Flags that nobody wants any more are not kept: then the old ones need not be known.
    pub fn replace_flags(&mut self, mask: u32, bits: Bits) {
        let kept = self.live_after & STATUS & !mask;
        self.flags = match self.flags {
            _ if kept == 0 => {
                let word = self.bits(bits);
                FlagState::Lazy(Lazy::bits(word))
            }
            FlagState::Memory(_) if self.in_state(kept) => FlagState::Patched(mask, bits),
            FlagState::Memory(_) => {
                let (old, bits) = (self.word_of(kept), self.bits(bits));
                FlagState::Lazy(Lazy::bits(self.b.ins().bor(old, bits)))
            }
            FlagState::Lazy(lazy) => FlagState::Over(lazy, mask, bits),
            FlagState::Patched(before, old) => {
                FlagState::Patched(before | mask, self.replace_bits((before, old), (mask, bits)))
            }
            FlagState::Over(lazy, before, old) => {
                FlagState::Over(lazy, before | mask, self.replace_bits((before, old), (mask, bits)))
            }
        };
    }

    /// The flags of `old`, replaced by those of `new`.
    fn replace_bits(&mut self, old: (u32, Bits), new: (u32, Bits)) -> Bits {
        if old.0 & !new.0 == 0 {
            return new.1;
        }
        let (before, bits) = (self.bits(old.1), self.bits(new.1));
        let kept = self.b.ins().band_imm_u(before, i64::from(STATUS & !new.0));
        Bits::Word(self.b.ins().bor(kept, bits))
    }

    /// The flags that `bits` stands for, as an `i32`; the others are 0.
    pub(crate) fn bits(&mut self, bits: Bits) -> Value {
        let (result, left) = match bits {
            Bits::Word(word) => return word,
            Bits::Rotated { result, left } => (result, left),
        };
        let width = self.b.func.dfg.value_type(result).bits();
        let wide = self.widen(result, types::I32, false);
        let top = self.bit_of(wide, width - 1);
        let (carry, other) = if left {
            let low = self.b.ins().band_imm_u(wide, 1);
            (low, low)
        } else {
            (top, self.bit_of(wide, width - 2))
        };
        let overflow = self.b.ins().bxor(top, other);
        let overflow = self.b.ins().ishl_imm_u(overflow, i64::from(OF.trailing_zeros()));
        self.b.ins().bor(carry, overflow)
    }

    /// Bit `bit` of an `i32`, as an `i32` of 0 or 1.
    pub(crate) fn bit_of(&mut self, word: Value, bit: u32) -> Value {
        let shifted = self.b.ins().ushr_imm_u(word, i64::from(bit));
        self.b.ins().band_imm_u(shifted, 1)
    }

    /// A carry as an `i8` of 0 or 1.
    pub(crate) fn carry(&mut self, carry: Carry) -> Value {
        match carry {
            Carry::Value(value) => value,
            Carry::Of(number) => {
                let lazy = self.producers[number];
                self.lazy_flag(&lazy, CF)
            }
            Carry::Product { signed, first, second, low } => {
                let ty = match self.b.func.dfg.value_type(low) {
                    types::I8 => types::I16,
                    types::I16 => types::I32,
                    _ => types::I64,
                };
                let (first, second) = (self.widen(first, ty, signed), self.widen(second, ty, signed));
                let product = self.b.ins().imul(first, second);
                let back = self.widen(low, ty, signed);
                self.b.ins().icmp(IntCC::NotEqual, back, product)
            }
        }
    }

    /// CF as it is now, to be computed where it is wanted.
    pub(crate) fn carry_now(&mut self) -> Carry {
        let lazy = match self.flags {
            FlagState::Lazy(lazy) => lazy,
            FlagState::Over(lazy, mask, _) if mask & CF == 0 => lazy,
            FlagState::Over(..) | FlagState::Memory(_) | FlagState::Patched(..) => {
                return Carry::Value(self.flag(CF));
            }
        };
        match (lazy.kind, lazy.c) {
            (CcKind::Inc | CcKind::Dec | CcKind::Mul, Some(carry)) => carry,
            _ => {
                self.producers.push(lazy);
                Carry::Of(self.producers.len() - 1)
            }
        }
    }

    /// Makes `lazy` the producer of the flags.
    pub fn set_lazy(&mut self, lazy: Lazy) {
        self.flags = FlagState::Lazy(lazy);
    }

    /// The flags of `result`, made by AND, OR, XOR or TEST.
    pub fn set_logic(&mut self, ty: Type, result: Value) {
        self.set_lazy(Lazy { kind: CcKind::Logic, ty, a: result, b: None, c: None, result: None });
    }
}
