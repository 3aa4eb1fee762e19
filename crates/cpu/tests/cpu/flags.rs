//! The formulas of the lazy flags against a model that works bit by bit.

use marquetry_cpu::eflags::{AF, CF, OF, PF, SF, STATUS, ZF};
use marquetry_cpu::flags::{CcKind, CcOp, materialize, status};
use marquetry_cpu::layout::CpuState;
use proptest::prelude::*;

fn flag(cond: bool, mask: u32) -> u32 {
    if cond { mask } else { 0 }
}

fn bit(value: u32, n: u32) -> bool {
    value >> n & 1 == 1
}

/// PF, ZF, SF of the low `width` bits, counted bit by bit.
fn result(value: u32, width: u32) -> u32 {
    let ones = (0..8).filter(|n| bit(value, *n)).count();
    let zero = (0..width).all(|n| !bit(value, n));
    flag(ones.is_multiple_of(2), PF) | flag(zero, ZF) | flag(bit(value, width - 1), SF)
}

/// A full adder for each bit: result and the six flags.
fn add(a: u32, b: u32, carry: bool, width: u32) -> (u32, u32) {
    let (mut sum, mut carries) = (0, vec![carry]);
    for n in 0..width {
        let ones = u32::from(bit(a, n)) + u32::from(bit(b, n)) + u32::from(carries[n as usize]);
        sum |= (ones & 1) << n;
        carries.push(ones >= 2);
    }
    let (top, below) = (carries[width as usize], carries[width as usize - 1]);
    (sum, flag(top, CF) | flag(carries[4], AF) | flag(top != below, OF) | result(sum, width))
}

/// Subtraction as addition of the complement; the borrows are the complements of the carries.
fn sub(a: u32, b: u32, borrow: bool, width: u32) -> (u32, u32) {
    let (difference, flags) = add(a, !b, !borrow, width);
    (difference, flags ^ (CF | AF))
}

/// One bit at a time: result, last bit shifted out.
fn shift(kind: CcKind, first: u32, count: u32, width: u32) -> (u32, bool) {
    let ones = u32::MAX >> (32 - width);
    let (mut value, mut out) = (first & ones, false);
    let sign = bit(first, width - 1);
    for _ in 0..count {
        if kind == CcKind::Shl {
            out = bit(value, width - 1);
            value = value << 1 & ones;
        } else {
            out = bit(value, 0);
            value = value >> 1 | u32::from(kind == CcKind::Sar && sign) << (width - 1);
        }
    }
    (value, out)
}

fn state(kind: CcKind, width: u32, a: u32, b: u32, c: u32) -> Box<CpuState> {
    let mut state = CpuState::new_boxed();
    state.cc_op = CcOp::new(kind, width / 8);
    (state.cc_a, state.cc_b, state.cc_c) = (a, b, c);
    state
}

/// Values around the edges, or any.
fn operand() -> impl Strategy<Value = u32> {
    let edges =
        prop::sample::select(vec![0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000]);
    prop_oneof![edges, any::<u32>(), any::<u32>().prop_map(|value| !(value & 0xff))]
}

fn widths() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![8, 16, 32])
}

proptest! {
    #[test]
    fn sums(a in operand(), b in operand(), carry in any::<bool>(), width in widths()) {
        let (sum, flags) = add(a, b, false, width);
        prop_assert_eq!(status(&state(CcKind::Add, width, sum, b, 0)), flags);
        let (sum, flags) = add(a, b, carry, width);
        prop_assert_eq!(status(&state(CcKind::Adc, width, sum, b, u32::from(carry))), flags);
        let (sum, flags) = add(a, 1, false, width);
        let kept = flags & !CF | flag(carry, CF);
        prop_assert_eq!(status(&state(CcKind::Inc, width, sum, 0, u32::from(carry))), kept);
    }

    #[test]
    fn differences(a in operand(), b in operand(), borrow in any::<bool>(), width in widths()) {
        let (_, flags) = sub(a, b, false, width);
        prop_assert_eq!(status(&state(CcKind::Sub, width, a, b, 0)), flags);
        let (_, flags) = sub(a, b, borrow, width);
        prop_assert_eq!(status(&state(CcKind::Sbb, width, a, b, u32::from(borrow))), flags);
        let (difference, flags) = sub(a, 1, false, width);
        let kept = flags & !CF | flag(borrow, CF);
        prop_assert_eq!(status(&state(CcKind::Dec, width, difference, 0, u32::from(borrow))), kept);
    }

    #[test]
    fn shifts(a in operand(), count in 1_u32..32, width in widths()) {
        let top = |value: u32| bit(value, width - 1);
        let (value, out) = shift(CcKind::Shl, a, count, width);
        let wanted = flag(out, CF) | flag(top(value) != out, OF) | result(value, width);
        prop_assert_eq!(status(&state(CcKind::Shl, width, a, count, 0)), wanted);
        let (value, out) = shift(CcKind::Shr, a, count, width);
        let wanted = flag(out, CF) | flag(top(a), OF) | result(value, width);
        prop_assert_eq!(status(&state(CcKind::Shr, width, a, count, 0)), wanted);
        let (value, out) = shift(CcKind::Sar, a, count, width);
        let extended = ((a << (32 - width)) as i32 >> (32 - width)) as u32;
        let wanted = flag(out, CF) | result(value, width);
        prop_assert_eq!(status(&state(CcKind::Sar, width, extended, count, 0)), wanted);
    }

    #[test]
    fn logic_products_and_bits(a in operand(), high in any::<bool>(), width in widths()) {
        prop_assert_eq!(status(&state(CcKind::Logic, width, a, 0, 0)), result(a, width));
        let wanted = result(a, width) | flag(high, CF | OF);
        prop_assert_eq!(status(&state(CcKind::Mul, width, a, 0, u32::from(high))), wanted);
        prop_assert_eq!(status(&state(CcKind::Bits, width, a, 0, 0)), a & STATUS);
    }

    #[test]
    fn a_patch_replaces_the_flags_it_names(a in operand(), patch in any::<u32>(), named in any::<u32>()) {
        let mut state = state(CcKind::Logic, 32, a, 0, 0);
        let named = named & STATUS;
        state.cc_op.0 |= named << CcOp::PATCH_SHIFT;
        state.cc_patch = patch;
        let wanted = result(a, 32) & !named | patch & named;
        prop_assert_eq!(status(&state), wanted);
        state.eflags = !STATUS;
        materialize(&mut state);
        prop_assert_eq!((state.eflags, state.cc_op), (!STATUS | wanted, CcOp::EFLAGS));
    }
}
