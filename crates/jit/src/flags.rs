//! The arithmetic flags in SSA values: what an instruction reads and replaces, and how a flag is computed
//! from the operands of its producer.
//!
//! Written from SDM Vol. 1 3.4.3.1 and the Vol. 2 operation sections; flags that the manual leaves undefined
//! follow `docs/deviations.md`, so that exact state at a fault is the same in both executors.

use cpu::eflags::{AF, CF, OF, PF, SF, STATUS, ZF};
use cpu::flags::CcKind;
use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use isa::{Cond, Insn, Op, Operand};

use crate::flagstate::{FlagState, Lazy};
use crate::translate::Translator;

/// The flags in the order of the variables that carry them.
pub const FLAGS: [u32; 6] = [CF, PF, AF, ZF, SF, OF];

/// Which flags an instruction reads and which it surely replaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Read.
    pub read: u32,
    /// Replaced in every case, by a defined value or by the policy's.
    pub kill: u32,
}

/// Flags that a condition reads.
#[must_use]
pub fn cond_flags(cond: Cond) -> u32 {
    match cond {
        Cond::O | Cond::No => OF,
        Cond::B | Cond::Ae => CF,
        Cond::E | Cond::Ne => ZF,
        Cond::Be | Cond::A => CF | ZF,
        Cond::S | Cond::Ns => SF,
        Cond::P | Cond::Np => PF,
        Cond::L | Cond::Ge => SF | OF,
        Cond::Le | Cond::G => SF | OF | ZF,
    }
}

/// What `insn`, which is translated, does to the flags. INC and DEC read CF only when it is wanted later.
#[must_use]
pub fn effects(insn: &Insn) -> Effects {
    let kill = |kill| Effects { read: 0, kill };
    let count = match insn.operand(if matches!(insn.op, Op::Shld | Op::Shrd) { 2 } else { 1 }) {
        Operand::Imm(count) => count & 31,
        _ => 0,
    };
    match insn.op {
        Op::Add
        | Op::Sub
        | Op::Cmp
        | Op::And
        | Op::Or
        | Op::Xor
        | Op::Test
        | Op::Neg
        | Op::Mul
        | Op::Imul1
        | Op::Imul
        | Op::Xadd
        | Op::Cmpxchg => kill(STATUS),
        Op::Adc | Op::Sbb => Effects { read: CF, kill: STATUS },
        Op::Inc | Op::Dec => kill(STATUS & !CF),
        Op::Shl | Op::Shr | Op::Sar | Op::Shld | Op::Shrd => kill(if count == 0 { 0 } else { STATUS }),
        Op::Rol | Op::Ror => kill(if count == 0 { 0 } else { CF | OF }),
        Op::Bt | Op::Bts | Op::Btr | Op::Btc | Op::Clc | Op::Stc => kill(CF),
        Op::Cmc => Effects { read: CF, kill: CF },
        Op::Bsf | Op::Bsr => kill(ZF),
        Op::Jcc | Op::Setcc | Op::Cmovcc => Effects { read: cond_flags(insn.cond), kill: 0 },
        Op::Loope | Op::Loopne => Effects { read: ZF, kill: 0 },
        Op::Lahf => Effects { read: STATUS & !OF, kill: 0 },
        Op::Sahf => kill(STATUS & !OF),
        _ => Effects::default(),
    }
}

impl Translator<'_> {
    /// One flag as an `i8` of 0 or 1.
    pub fn flag(&mut self, flag: u32) -> Value {
        match self.flags {
            FlagState::Lazy(lazy) => self.lazy_flag(&lazy, flag),
            FlagState::Memory(mask) => {
                if mask & flag == 0 {
                    self.flags_from_memory();
                }
                let index = FLAGS.iter().position(|f| *f == flag).unwrap_or(0);
                self.b.use_var(self.flag_vars[index])
            }
            FlagState::Patched(mask, bits) | FlagState::Over(_, mask, bits) if mask & flag != 0 => {
                let bits = self.bits(bits);
                let shifted = self.b.ins().ushr_imm_u(bits, i64::from(flag.trailing_zeros()));
                let bit = self.b.ins().band_imm_u(shifted, 1);
                self.b.ins().ireduce(types::I8, bit)
            }
            FlagState::Over(lazy, ..) => self.lazy_flag(&lazy, flag),
            FlagState::Patched(..) => {
                self.settle_flags();
                self.flag(flag)
            }
        }
    }

    /// Reads the flags from the CPU state into the flag variables, but for those that are there already.
    pub(crate) fn flags_from_memory(&mut self) {
        let valid = match self.flags {
            FlagState::Memory(valid) => valid,
            FlagState::Lazy(_) | FlagState::Over(..) | FlagState::Patched(..) => 0,
        };
        self.call_helper(crate::abi::Helper::Flags);
        let word = self.load_state(types::I32, crate::translate::offset::EFLAGS);
        for (index, flag) in FLAGS.iter().enumerate().filter(|(_, flag)| valid & **flag == 0) {
            let shifted = self.b.ins().ushr_imm_u(word, i64::from(flag.trailing_zeros()));
            let bit = self.b.ins().band_imm_u(shifted, 1);
            let bit = self.b.ins().ireduce(types::I8, bit);
            self.b.def_var(self.flag_vars[index], bit);
        }
        self.flags = FlagState::Memory(STATUS);
    }

    fn flag_const(&mut self, value: i64) -> Value {
        self.b.ins().iconst(types::I8, value)
    }

    /// The result of the producer's computation.
    fn lazy_result(&mut self, lazy: &Lazy) -> Value {
        if let Some(result) = lazy.result {
            return result;
        }
        match (lazy.kind, lazy.b) {
            (CcKind::Sub, Some(b)) => self.b.ins().isub(lazy.a, b),
            _ => lazy.a,
        }
    }

    pub(crate) fn lazy_flag(&mut self, lazy: &Lazy, flag: u32) -> Value {
        if lazy.kind == CcKind::Bits {
            let shifted = self.b.ins().ushr_imm_u(lazy.a, i64::from(flag.trailing_zeros()));
            let bit = self.b.ins().band_imm_u(shifted, 1);
            return self.b.ins().ireduce(types::I8, bit);
        }
        match flag {
            CF => self.lazy_carry(lazy),
            OF => self.lazy_overflow(lazy),
            AF => self.lazy_auxiliary(lazy),
            ZF => {
                let result = self.lazy_result(lazy);
                self.b.ins().icmp_imm_s(IntCC::Equal, result, 0)
            }
            SF => {
                let result = self.lazy_result(lazy);
                self.b.ins().icmp_imm_s(IntCC::SignedLessThan, result, 0)
            }
            _ => {
                let result = self.lazy_result(lazy);
                self.parity(result)
            }
        }
    }

    fn parity(&mut self, result: Value) -> Value {
        let low = if self.b.func.dfg.value_type(result) == types::I8 {
            result
        } else {
            self.b.ins().ireduce(types::I8, result)
        };
        let ones = self.b.ins().popcnt(low);
        let odd = self.b.ins().band_imm_u(ones, 1);
        self.b.ins().bxor_imm_u(odd, 1)
    }

    fn lazy_carry(&mut self, lazy: &Lazy) -> Value {
        let a = lazy.a;
        match (lazy.kind, lazy.b, lazy.c) {
            (CcKind::Add, Some(b), _) => self.b.ins().icmp(IntCC::UnsignedLessThan, a, b),
            (CcKind::Sub, Some(b), _) => self.b.ins().icmp(IntCC::UnsignedLessThan, a, b),
            (CcKind::Adc, Some(b), Some(c)) => {
                let c = self.carry(c);
                // With a carry in, the sum wrapped also when it equals the second operand.
                let below = self.b.ins().icmp(IntCC::UnsignedLessThan, a, b);
                let equal = self.b.ins().icmp(IntCC::Equal, a, b);
                let equal = self.b.ins().band(equal, c);
                self.b.ins().bor(below, equal)
            }
            (CcKind::Sbb, Some(b), Some(c)) => {
                let c = self.carry(c);
                let below = self.b.ins().icmp(IntCC::UnsignedLessThan, a, b);
                let equal = self.b.ins().icmp(IntCC::Equal, a, b);
                let equal = self.b.ins().band(equal, c);
                self.b.ins().bor(below, equal)
            }
            (CcKind::Inc | CcKind::Dec | CcKind::Mul, _, Some(c)) => self.carry(c),
            (CcKind::Shl | CcKind::Shr | CcKind::Sar, Some(count), _) => self.shift_carry(lazy, count),
            _ => self.flag_const(0),
        }
    }

    /// Last bit shifted out: the count is in 1 to 31.
    fn shift_carry(&mut self, lazy: &Lazy, count: Value) -> Value {
        let bits = i64::from(lazy.ty.bits());
        let (wide, by) = match lazy.kind {
            CcKind::Shl => {
                let wide = self.b.ins().uextend(types::I64, lazy.a);
                let wide = self.b.ins().ishl(wide, count);
                (self.b.ins().ushr_imm_u(wide, bits), None)
            }
            CcKind::Shr => (self.widen(lazy.a, types::I64, false), Some(count)),
            _ => (self.widen(lazy.a, types::I64, true), Some(count)),
        };
        let shifted = match by {
            Some(count) => {
                let less = self.b.ins().iadd_imm_s(count, -1);
                self.b.ins().sshr(wide, less)
            }
            None => wide,
        };
        let bit = self.b.ins().band_imm_u(shifted, 1);
        self.b.ins().ireduce(types::I8, bit)
    }

    fn lazy_overflow(&mut self, lazy: &Lazy) -> Value {
        let a = lazy.a;
        match (lazy.kind, lazy.b, lazy.c) {
            (CcKind::Add | CcKind::Adc, Some(b), carry) => {
                let mut first = self.b.ins().isub(a, b);
                if let Some(carry) = carry {
                    let carry = self.carry(carry);
                    let carry = self.widen(carry, lazy.ty, false);
                    first = self.b.ins().isub(first, carry);
                }
                let x = self.b.ins().bxor(first, a);
                let y = self.b.ins().bxor(b, a);
                let both = self.b.ins().band(x, y);
                self.b.ins().icmp_imm_s(IntCC::SignedLessThan, both, 0)
            }
            (CcKind::Sub | CcKind::Sbb, Some(b), _) => {
                let result = self.lazy_result(lazy);
                let x = self.b.ins().bxor(a, b);
                let y = self.b.ins().bxor(a, result);
                let both = self.b.ins().band(x, y);
                self.b.ins().icmp_imm_s(IntCC::SignedLessThan, both, 0)
            }
            (CcKind::Inc | CcKind::Dec, ..) => {
                let smallest = 1i64 << (lazy.ty.bits() - 1);
                let edge = if lazy.kind == CcKind::Inc { smallest } else { smallest - 1 };
                let edge = self.constant(lazy.ty, edge);
                self.b.ins().icmp(IntCC::Equal, a, edge)
            }
            (CcKind::Mul, _, Some(c)) => self.carry(c),
            (CcKind::Shl, ..) => {
                let result = self.lazy_result(lazy);
                let sign = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, result, 0);
                let carry = self.lazy_carry(lazy);
                self.b.ins().bxor(sign, carry)
            }
            (CcKind::Shr, ..) => self.b.ins().icmp_imm_s(IntCC::SignedLessThan, a, 0),
            _ => self.flag_const(0),
        }
    }

    fn lazy_auxiliary(&mut self, lazy: &Lazy) -> Value {
        let (a, b) = (lazy.a, lazy.b);
        let mixed = match (lazy.kind, b) {
            (CcKind::Add | CcKind::Adc, Some(b)) => {
                let mut first = self.b.ins().isub(a, b);
                if let Some(carry) = lazy.c {
                    let carry = self.carry(carry);
                    let carry = self.widen(carry, lazy.ty, false);
                    first = self.b.ins().isub(first, carry);
                }
                let x = self.b.ins().bxor(first, b);
                self.b.ins().bxor(x, a)
            }
            (CcKind::Sub | CcKind::Sbb, Some(b)) => {
                let result = self.lazy_result(lazy);
                let x = self.b.ins().bxor(a, b);
                self.b.ins().bxor(x, result)
            }
            (CcKind::Inc | CcKind::Dec, _) => {
                let before = self.b.ins().iadd_imm_s(a, if lazy.kind == CcKind::Inc { -1 } else { 1 });
                let x = self.b.ins().bxor(before, a);
                self.b.ins().bxor_imm_u(x, 1)
            }
            _ => return self.flag_const(0),
        };
        let shifted = self.b.ins().ushr_imm_u(mixed, 4);
        let bit = self.b.ins().band_imm_u(shifted, 1);
        if lazy.ty == types::I8 { bit } else { self.b.ins().ireduce(types::I8, bit) }
    }

    /// A condition as an `i8` of 0 or 1; comparisons are fused with their producer where that is exact.
    pub fn condition(&mut self, cond: Cond) -> Value {
        let producer = match self.flags {
            FlagState::Lazy(lazy) => Some(lazy),
            FlagState::Over(lazy, mask, _) if mask & cond_flags(cond) == 0 => Some(lazy),
            FlagState::Over(..) | FlagState::Memory(_) | FlagState::Patched(..) => None,
        };
        if let Some(lazy) = producer
            && let Some(value) = self.fused(&lazy, cond)
        {
            return value;
        }
        let number = cond as u8;
        let base = match Cond::ALL[usize::from(number & !1)] {
            Cond::O => self.flag(OF),
            Cond::B => self.flag(CF),
            Cond::E => self.flag(ZF),
            Cond::Be => {
                let (carry, zero) = (self.flag(CF), self.flag(ZF));
                self.b.ins().bor(carry, zero)
            }
            Cond::S => self.flag(SF),
            Cond::P => self.flag(PF),
            Cond::L => {
                let (sign, overflow) = (self.flag(SF), self.flag(OF));
                self.b.ins().bxor(sign, overflow)
            }
            _ => {
                let (sign, overflow, zero) = (self.flag(SF), self.flag(OF), self.flag(ZF));
                let less = self.b.ins().bxor(sign, overflow);
                self.b.ins().bor(less, zero)
            }
        };
        if number & 1 == 1 { self.b.ins().bxor_imm_u(base, 1) } else { base }
    }

    fn fused(&mut self, lazy: &Lazy, cond: Cond) -> Option<Value> {
        let negate = cond as u8 & 1 == 1;
        let even = Cond::ALL[usize::from(cond as u8 & !1)];
        let invert = |code: IntCC| if negate { code.complement() } else { code };
        if lazy.kind == CcKind::Sub {
            let code = match even {
                Cond::B => IntCC::UnsignedLessThan,
                Cond::Be => IntCC::UnsignedLessThanOrEqual,
                Cond::E => IntCC::Equal,
                Cond::L => IntCC::SignedLessThan,
                Cond::Le => IntCC::SignedLessThanOrEqual,
                _ => return self.fused_zero(lazy, even, negate),
            };
            return Some(self.b.ins().icmp(invert(code), lazy.a, lazy.b?));
        }
        if lazy.kind == CcKind::Logic {
            let code = match even {
                Cond::L => IntCC::SignedLessThan,
                Cond::Le => IntCC::SignedLessThanOrEqual,
                Cond::Be => IntCC::Equal,
                _ => return self.fused_zero(lazy, even, negate),
            };
            return Some(self.b.ins().icmp_imm_s(invert(code), lazy.a, 0));
        }
        self.fused_zero(lazy, even, negate)
    }

    fn fused_zero(&mut self, lazy: &Lazy, even: Cond, negate: bool) -> Option<Value> {
        if lazy.kind == CcKind::Bits {
            return None;
        }
        let code = match even {
            Cond::E => IntCC::Equal,
            Cond::S => IntCC::SignedLessThan,
            _ => return None,
        };
        let code = if negate { code.complement() } else { code };
        let result = self.lazy_result(lazy);
        Some(self.b.ins().icmp_imm_s(code, result, 0))
    }

    /// All six flags at their EFLAGS places, as an `i32`.
    pub fn status_word(&mut self) -> Value {
        self.word_of(STATUS)
    }

    /// The flags in `mask` at their EFLAGS places, as an `i32`; the others are 0.
    pub fn word_of(&mut self, mask: u32) -> Value {
        let mut word = self.b.ins().iconst(types::I32, 0);
        for flag in FLAGS.into_iter().filter(|flag| mask & flag != 0) {
            let bit = self.flag(flag);
            let bit = self.b.ins().uextend(types::I32, bit);
            let bit = self.b.ins().ishl_imm_u(bit, i64::from(flag.trailing_zeros()));
            word = self.b.ins().bor(word, bit);
        }
        word
    }
}
