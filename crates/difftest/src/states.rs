#![forbid(unsafe_code)]
//! Random states in which a form is harmless and shows something.
//!
//! A state is drawn, then bent towards the form: address registers into the window, counts small, divisors not
//! too small, strings that agree for a while. Whether it is harmless is not decided here: [`crate::vet`]
//! does, and what it refuses is drawn again.

use cpu::eflags;
use isa::{Gpr, Insn, Mem, Op, Operand, Rep, Width};

use crate::forms::{Form, SELECTORS, is_string};
use crate::kinds::{Kind, kind};
use crate::native::{NativeState, Place, USER_CODE, USER_DATA, WINDOW};
use crate::rng::Rng;
use crate::vet::{Unfit, vet};

/// Draws for one state before the form is given up.
const DRAWS: usize = 200;
/// EFLAGS bits that states differ in.
const FREE_FLAGS: u32 = eflags::STATUS | eflags::DF | eflags::ID;

/// A state in which `form` is harmless.
///
/// # Errors
/// The last reason why none was found.
pub fn harmless_state(place: Place, form: &Form, rng: &mut Rng) -> Result<NativeState, Unfit> {
    let mut last = Unfit::Memory;
    for _ in 0..DRAWS {
        let state = Draw { place, insn: &form.insn, rng, state: NativeState::zero(place) }.finish();
        match vet(place, &form.code, &state) {
            Ok(_) => return Ok(state),
            Err(unfit) => last = unfit,
        }
    }
    Err(last)
}

/// One state being drawn.
struct Draw<'a> {
    place: Place,
    insn: &'a Insn,
    rng: &'a mut Rng,
    state: NativeState,
}

impl Draw<'_> {
    fn finish(mut self) -> NativeState {
        for gpr in Gpr::ALL {
            let value = self.rng.operand();
            self.set(gpr, value);
        }
        self.rng.fill(&mut self.state.memory[..]);
        self.state.eflags = 0x202 | self.rng.next_u32() & FREE_FLAGS;
        self.by_operation();
        self.memory_operand();
        self.contents();
        self.state
    }

    fn gpr(&self, gpr: Gpr) -> u32 {
        self.state.gpr[gpr.index()]
    }

    fn set(&mut self, gpr: Gpr, value: u32) {
        self.state.gpr[gpr.index()] = value;
    }

    /// An address in the middle of the window.
    fn middle(&mut self) -> u32 {
        self.place.window() + self.rng.within(0xa0, 0x160)
    }

    fn landing(&mut self) -> u32 {
        let next = self.place.code() + u32::from(self.insn.len);
        self.rng.pick(&[next, self.place.forward(), self.place.backward()])
    }

    fn point(&mut self, gpr: Gpr) {
        let address = self.middle();
        self.set(gpr, address);
    }

    /// Stores what of `bytes` lies in the window.
    fn store(&mut self, la: u32, bytes: &[u8]) {
        for (number, byte) in (0u32..).zip(bytes) {
            let offset = la.wrapping_add(number).wrapping_sub(self.place.window()) as usize;
            if offset < WINDOW {
                self.state.memory[offset] = *byte;
            }
        }
    }

    fn store32(&mut self, la: u32, value: u32) {
        self.store(la, &value.to_le_bytes());
    }

    /// Registers that the operation uses without naming them.
    fn by_operation(&mut self) {
        match kind(self.insn.op) {
            Ok(Kind::Push | Kind::Pop | Kind::PushAll | Kind::PopAll | Kind::PopFlags) => {
                self.point(Gpr::Esp)
            }
            Ok(Kind::Near | Kind::Return | Kind::Far | Kind::FarReturn | Kind::InterruptReturn) => {
                self.point(Gpr::Esp)
            }
            Ok(Kind::Enter | Kind::Leave) => {
                self.point(Gpr::Esp);
                self.point(Gpr::Ebp);
            }
            Ok(Kind::String) => self.string(),
            Ok(Kind::Translate) => {
                let table = self.place.window() + self.rng.below(0x100);
                self.set(Gpr::Ebx, table);
            }
            Ok(Kind::Shift | Kind::Rotate | Kind::DoubleShift) => self.count(),
            Ok(Kind::Divide) => self.dividend(),
            Ok(Kind::Counted) => self.loop_count(),
            Ok(Kind::BitString) => self.bit_offset(),
            // Nothing but what the operands name; what is excluded is refused later.
            Ok(_) | Err(_) => {}
        }
    }

    /// Strings that lie in the window, and that agree at first when they are compared.
    fn string(&mut self) {
        self.point(Gpr::Esi);
        self.point(Gpr::Edi);
        if self.insn.rep != Rep::None {
            let count = self.rng.below(20);
            self.set(Gpr::Ecx, count);
        }
        if self.rng.percent(60) {
            let (same, at) = (self.rng.byte(), self.rng.below(WINDOW as u32) as usize);
            self.state.memory.fill(same);
            self.state.memory[at] = self.rng.byte();
            self.set(Gpr::Eax, u32::from(same) * 0x0101_0101);
        }
    }

    fn count(&mut self) {
        if self.rng.percent(80) {
            let count = self.rng.below(40);
            self.set(Gpr::Ecx, self.gpr(Gpr::Ecx) & !0xff | count);
        }
    }

    /// A high half that seldom makes the quotient too large.
    fn dividend(&mut self) {
        let bits = self.insn.width.bits();
        let signed = self.insn.op == Op::Idiv;
        let low = self.rng.operand();
        let (low, high) = match self.rng.below(3) {
            0 => (low, 0),
            1 if signed => (low, ((low << (32 - bits)) as i32 >> 31) as u32),
            _ => (low, self.rng.below(0x40)),
        };
        match self.insn.width {
            Width::B1 => self.set(Gpr::Eax, low & 0xff | high << 8 & 0xff00),
            Width::B2 | Width::B4 | Width::B8 => {
                self.set(Gpr::Eax, low);
                self.set(Gpr::Edx, high);
            }
        }
    }

    fn loop_count(&mut self) {
        let count = self.rng.pick(&[0, 1, 2, 0x1_0000, 0x1_0001, 0xffff_0000, 0xffff_0001, 7]);
        self.set(Gpr::Ecx, count);
    }

    fn bit_offset(&mut self) {
        if let (Some(_), Operand::Reg(reg)) = (self.insn.mem(), self.insn.operand(1)) {
            let offset = self.rng.within(0, 0x900).wrapping_sub(0x480);
            self.set(reg.gpr, offset);
        }
    }

    /// Bends address registers so that the memory operand lies in the window.
    fn memory_operand(&mut self) {
        let Some(mem) = self.insn.mem().copied() else { return };
        if mem.size == 0 || self.insn.addr_size != Width::B4 {
            return;
        }
        let target = self.middle();
        match (mem.base, mem.index) {
            (Some(base), Some(index)) if base == index => {
                self.solve(base, target, mem.disp, 1 + (1 << mem.scale))
            }
            (Some(base), Some(index)) => {
                let offset = self.gpr(index) << mem.scale;
                let base_value = target.wrapping_sub(offset).wrapping_add_signed(mem.disp.wrapping_neg());
                self.set_base(base, base_value);
            }
            (Some(base), None) => self.set_base(base, target.wrapping_add_signed(mem.disp.wrapping_neg())),
            (None, Some(index)) => self.solve(index, target, mem.disp, 1 << mem.scale),
            (None, None) => {}
        }
    }

    /// ESP that the operation also uses stays where it is: small displacements reach the window from there.
    fn set_base(&mut self, base: Gpr, value: u32) {
        let stack = base == Gpr::Esp && self.place.holds(self.gpr(Gpr::Esp), 1);
        let string = is_string(self.insn.op);
        if !stack && !string {
            self.set(base, value);
        }
    }

    /// `gpr * factor + disp` at or just below `target`.
    fn solve(&mut self, gpr: Gpr, target: u32, disp: i32, factor: u32) {
        // A multiple of 2^32 more makes odd factors reach every address; it is dropped by the wrap.
        let distance = u64::from(target.wrapping_add_signed(disp.wrapping_neg()));
        let wraps = u64::from(self.rng.below(factor)) << 32;
        self.set(gpr, ((distance + wraps) / u64::from(factor)) as u32);
    }

    /// Address of the memory operand with the registers as they are now.
    fn address(&self, mem: &Mem) -> u32 {
        let base = mem.base.map_or(0, |gpr| self.gpr(gpr));
        let index = mem.index.map_or(0, |gpr| self.gpr(gpr) << mem.scale);
        base.wrapping_add(index).wrapping_add_signed(mem.disp)
    }

    /// Values in memory and registers that the operation needs or that make it interesting.
    fn contents(&mut self) {
        if let Some(mem) = self.insn.mem().copied() {
            let (first, second) = (self.rng.operand(), self.rng.operand());
            let la = self.address(&mem);
            self.store32(la, first);
            self.store32(la.wrapping_add(4), second);
        }
        match kind(self.insn.op) {
            Ok(Kind::CompareExchange) => self.equal_accumulator(),
            Ok(Kind::CompareExchange8) => self.equal_pair(),
            Ok(Kind::Bound) => self.bounds(),
            Ok(Kind::PopFlags) => {
                let flags = self.rng.next_u32() & 0x0020_3ed5;
                self.store32(self.gpr(Gpr::Esp), flags);
            }
            Ok(Kind::Return | Kind::FarReturn | Kind::InterruptReturn) => self.return_frame(),
            Ok(Kind::Near) => self.indirect(),
            Ok(Kind::Far) => self.far_pointer(USER_CODE),
            Ok(Kind::FarPointer) => self.far_pointer(USER_DATA),
            Ok(Kind::MoveSegment | Kind::Pop | Kind::Verify | Kind::Describe) => self.selector(),
            // Any contents will do.
            Ok(_) | Err(_) => {}
        }
    }

    fn equal_accumulator(&mut self) {
        if self.rng.percent(50) {
            match self.insn.operand(0) {
                Operand::Reg(reg) if reg.gpr != Gpr::Eax => self.set(reg.gpr, self.gpr(Gpr::Eax)),
                Operand::Mem(mem) => self.store32(self.address(&mem), self.gpr(Gpr::Eax)),
                Operand::None
                | Operand::Reg(_)
                | Operand::Imm(_)
                | Operand::Seg(_)
                | Operand::Cr(_)
                | Operand::Dr(_)
                | Operand::Target(_)
                | Operand::Far { .. } => {}
            }
        }
    }

    fn equal_pair(&mut self) {
        let Operand::Mem(mem) = self.insn.operand(0) else { return };
        if self.rng.percent(60) {
            let la = self.address(&mem);
            self.store32(la, self.gpr(Gpr::Eax));
            self.store32(la.wrapping_add(4), self.gpr(Gpr::Edx));
        }
    }

    fn bounds(&mut self) {
        let (Operand::Reg(index), Operand::Mem(mem)) = (self.insn.operand(0), self.insn.operand(1)) else {
            return;
        };
        let (width, value) = (index.width.bytes(), self.gpr(index.gpr));
        let (below, above) = (self.rng.below(3), self.rng.below(3));
        let la = self.address(&mem);
        self.store(la, &value.wrapping_sub(below).to_le_bytes()[..width as usize]);
        self.store(la.wrapping_add(width), &value.wrapping_add(above).to_le_bytes()[..width as usize]);
    }

    fn return_frame(&mut self) {
        let (esp, eip, flags) = (self.gpr(Gpr::Esp), self.landing(), self.rng.next_u32() & 0x0020_3ed5);
        self.store32(esp, eip);
        if self.insn.op != Op::Ret {
            let selector = u32::from(USER_CODE) | self.rng.next_u32() << 16;
            self.store32(esp.wrapping_add(4), selector);
        }
        if self.insn.op == Op::Iret {
            self.store32(esp.wrapping_add(8), flags);
        }
    }

    fn indirect(&mut self) {
        let target = self.landing();
        match self.insn.operand(0) {
            Operand::Reg(reg) => self.set(reg.gpr, target),
            Operand::Mem(mem) => self.store32(self.address(&mem), target),
            Operand::None
            | Operand::Imm(_)
            | Operand::Seg(_)
            | Operand::Cr(_)
            | Operand::Dr(_)
            | Operand::Target(_)
            | Operand::Far { .. } => {}
        }
    }

    fn far_pointer(&mut self, selector: u16) {
        let Some(mem) = self.insn.mem().copied() else { return };
        let (la, target) = (self.address(&mem), self.landing());
        if mem.size == 6 {
            self.store32(la, target);
        }
        self.store(la.wrapping_add(u32::from(mem.size)).wrapping_sub(2), &selector.to_le_bytes());
    }

    /// A selector that both systems know, in the source operand.
    fn selector(&mut self) {
        let loads = matches!(self.insn.operand(0), Operand::Seg(_));
        let about = matches!(self.insn.op, Op::Verr | Op::Verw | Op::Lar | Op::Lsl);
        if !loads && !about {
            return;
        }
        let selector = if about { self.rng.pick(&SELECTORS) } else { USER_DATA };
        let source = if matches!(self.insn.op, Op::Verr | Op::Verw) { 0 } else { 1 };
        match self.insn.operand(source) {
            Operand::Reg(reg) => self.set(reg.gpr, self.gpr(reg.gpr) & !0xffff | u32::from(selector)),
            Operand::Mem(mem) => self.store(self.address(&mem), &selector.to_le_bytes()),
            Operand::None
            | Operand::Imm(_)
            | Operand::Seg(_)
            | Operand::Cr(_)
            | Operand::Dr(_)
            | Operand::Target(_)
            | Operand::Far { .. } => self.store(self.gpr(Gpr::Esp), &selector.to_le_bytes()),
        }
    }
}
