//! How translated code reaches guest memory. The only file that knows the access schemes.
//!
//! * *Range*: with paging off a load is checked against the board's range of plain RAM, whose bounds are
//!   baked into the code and whose host address stands in the CPU state. A failed check leaves the unit.
//! * *Window*: each base register has a window for loads and one for stores in the CPU state
//!   ([`cpu::layout::Window`]); an access inside its window is one host access. Outside, a cold block asks a
//!   helper to make the window, and leaves when there is none to be made. Stores always go this way: a window
//!   for stores never holds a page whose write gate is closed.
//! * *Group*: either check may cover a whole group of accesses ([`crate::groups`]), whose members have none.
//! * *Helper*: an instruction whose inline accesses failed too often calls a helper for all of them, so that
//!   one that has reached a device is never run again.
//!
//! Invariants: the address is computed in 32 bits and extended once; a check covers the whole access; nothing
//! is done before the last check of the instruction.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use cranelift_frontend::Variable;
use isa::SegReg;

use crate::abi::{Helper, access};
use crate::groups::Part;
use crate::translate::{GUEST, Translator, offset};
use crate::unit::{RamRange, SiteKind};

/// An address to access: segment, offset, and the window to try.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// Sum of the registers, if there are any.
    pub root: Option<Value>,
    /// Displacement: with `root` the offset in the segment, which is the linear address when the segment is flat.
    pub disp: i32,
    /// Segment.
    pub seg: SegReg,
    /// Window.
    pub window: u32,
}

/// Memory that an instruction reads and then writes.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    address: Address,
    ty: Type,
    /// Host address and an offset from it, when the access is inlined.
    host: Option<(Value, i32)>,
}

/// The bytes that a check covers.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// Offset of the first from the access, at most 0.
    low: i32,
    /// How many.
    span: u32,
    /// They are those of a group.
    grouped: bool,
}

/// Host address of the first byte of a group.
#[derive(Clone, Copy, Debug)]
pub enum GroupHost {
    /// Its leader is translated once.
    Value(Value),
    /// Its leader is translated twice.
    Variable(Variable),
}

impl Translator<'_> {
    /// Whether an access of the present instruction through `seg` is inlined.
    pub(crate) fn in_line(&self, seg: SegReg) -> bool {
        !self.slow && matches!(seg, SegReg::Es | SegReg::Ss | SegReg::Ds)
    }

    /// Loads a value of type `ty`.
    pub(crate) fn load(&mut self, address: Address, ty: Type) -> Value {
        if self.in_line(address.seg) {
            let (host, inside) = self.host(&address, ty.bytes(), false);
            return self.b.ins().load(ty, GUEST, host, inside);
        }
        self.bus_access(&address, ty, 0);
        self.load_state(ty, offset::ACCESS_VALUE)
    }

    /// Loads a value of type `ty` and extends it.
    pub(crate) fn load_extended(&mut self, address: Address, ty: Type, to: Type, signed: bool) -> Value {
        if to != types::I32 || ty == to || !self.in_line(address.seg) {
            let value = self.load(address, ty);
            return self.widen(value, to, signed);
        }
        let (host, inside) = self.host(&address, ty.bytes(), false);
        match (ty, signed) {
            (types::I8, false) => self.b.ins().uload8(to, GUEST, host, inside),
            (types::I8, true) => self.b.ins().sload8(to, GUEST, host, inside),
            (_, false) => self.b.ins().uload16(to, GUEST, host, inside),
            (_, true) => self.b.ins().sload16(to, GUEST, host, inside),
        }
    }

    /// Stores a value in its width.
    pub(crate) fn store(&mut self, address: Address, value: Value) {
        let ty = self.b.func.dfg.value_type(value);
        if self.in_line(address.seg) {
            let (host, inside) = self.host(&address, ty.bytes(), true);
            self.b.ins().store(GUEST, value, host, inside);
            return;
        }
        self.store_access_value(value);
        self.bus_access(&address, ty, access::WRITE);
    }

    /// Checks memory that will be read and then written.
    pub(crate) fn place(&mut self, address: Address, ty: Type) -> Place {
        let host = self.in_line(address.seg).then(|| self.host(&address, ty.bytes(), true));
        Place { address, ty, host }
    }

    /// Reads what [`Translator::place`] checked.
    pub(crate) fn load_place(&mut self, place: &Place) -> Value {
        match place.host {
            Some((host, inside)) => self.b.ins().load(place.ty, GUEST, host, inside),
            None => {
                self.bus_access(&place.address, place.ty, access::FOR_WRITE);
                self.load_state(place.ty, offset::ACCESS_VALUE)
            }
        }
    }

    /// Writes what [`Translator::place`] checked.
    pub(crate) fn store_place(&mut self, place: &Place, value: Value) {
        match place.host {
            Some((host, inside)) => {
                self.b.ins().store(GUEST, value, host, inside);
            }
            None => {
                self.store_access_value(value);
                self.bus_access(&place.address, place.ty, access::WRITE);
            }
        }
    }

    fn store_access_value(&mut self, value: Value) {
        let wide = self.widen(value, types::I64, false);
        self.store_state(wide, offset::ACCESS_VALUE);
    }

    /// Host address of an inlined access of `size` bytes, and an offset from it.
    fn host(&mut self, address: &Address, size: u32, write: bool) -> (Value, i32) {
        let reach = match self.leaving.groups.at(self.eip) {
            Some(Part::Member { group, inside }) => {
                let host = match self.group_hosts.get(&group).copied() {
                    Some(GroupHost::Value(host)) => host,
                    Some(GroupHost::Variable(variable)) => self.b.use_var(variable),
                    None => {
                        // The leader dominates its members, so it was translated before; if not, the unit is refused.
                        self.broken = true;
                        self.state
                    }
                };
                return (host, inside);
            }
            Some(Part::Leader { low, span, .. }) => Reach { low, span, grouped: true },
            None => Reach { low: 0, span: size, grouped: false },
        };
        let host = match (self.request.range, address.root) {
            (Some(range), Some(root)) if !write && !self.windowed => {
                self.range_host((root, address.disp), reach, range)
            }
            (Some(range), None) if !write && !self.windowed => self.absolute_host(address, size, range),
            _ => self.window_host(address, size, write, reach),
        };
        if let Some(Part::Leader { group, .. }) = self.leaving.groups.at(self.eip) {
            self.keep_group_host(group, host);
        }
        (host, -reach.low)
    }

    /// Remembers the host address of a group; a leader that is translated twice has two of them.
    fn keep_group_host(&mut self, group: u32, host: Value) {
        if !self.peeled.contains(&self.block_eip) {
            self.group_hosts.insert(group, GroupHost::Value(host));
            return;
        }
        let variable = match self.group_hosts.get(&group) {
            Some(GroupHost::Variable(variable)) => *variable,
            _ => self.b.declare_var(types::I64),
        };
        self.b.def_var(variable, host);
        self.group_hosts.insert(group, GroupHost::Variable(variable));
    }

    /// The address is known, so whether it lies in the range is known too.
    fn absolute_host(&mut self, address: &Address, size: u32, range: RamRange) -> Value {
        let inside = (address.disp as u32).wrapping_sub(range.start);
        if inside <= range.len - size {
            self.b.ins().iadd_imm_s(self.range_host, i64::from(inside))
        } else {
            self.window_host(address, size, false, Reach { low: 0, span: size, grouped: false })
        }
    }

    /// Host address of the first byte of `reach`, which lies in the range.
    fn range_host(&mut self, (root, disp): (Value, i32), reach: Reach, range: RamRange) -> Value {
        let disp = disp.wrapping_add(reach.low).wrapping_sub_unsigned(range.start);
        let inside = self.add_disp(root, disp);
        let last = self.constant(types::I32, i64::from(range.len - reach.span));
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, inside, last);
        let (cold, hot) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(outside, cold, &[], hot, &[]);
        self.b.switch_to_block(cold);
        self.leave_at(SiteKind::Range, self.eip, self.executed);
        self.b.switch_to_block(hot);
        let inside = self.b.ins().uextend(types::I64, inside);
        self.b.ins().iadd(self.range_host, inside)
    }

    /// Offset in the segment.
    pub(crate) fn offset_of(&mut self, address: &Address) -> Value {
        match address.root {
            Some(root) => self.add_disp(root, address.disp),
            None => self.constant(types::I32, i64::from(address.disp)),
        }
    }

    fn add_disp(&mut self, root: Value, disp: i32) -> Value {
        if disp == 0 { root } else { self.add_const(root, disp) }
    }

    /// Host address of the first byte of `reach`, which lies in the access's window.
    fn window_host(&mut self, address: &Address, size: u32, write: bool, reach: Reach) -> Value {
        let windows = if write { offset::WRITE_WINDOWS } else { offset::READ_WINDOWS };
        let slot = windows + offset::WINDOW_BYTES * address.window as i32;
        let (cold, hot) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.append_block_param(hot, types::I64);
        let (outside, place) = self.outside_window(address, slot, reach);
        self.b.ins().brif(outside, cold, &[], hot, &[place.into()]);
        self.b.switch_to_block(cold);
        self.fill_window(address, size, write);
        let place = if reach.grouped {
            let (outside, place) = self.outside_window(address, slot, reach);
            let (leave, on) = (self.b.create_block(), self.b.create_block());
            self.b.set_cold_block(leave);
            self.b.set_cold_block(on);
            self.b.ins().brif(outside, leave, &[], on, &[]);
            self.b.switch_to_block(leave);
            self.leave_at(SiteKind::Group, self.eip, self.executed);
            self.b.switch_to_block(on);
            place
        } else {
            self.load_state(types::I64, offset::ACCESS_VALUE)
        };
        self.b.ins().jump(hot, &[place.into()]);
        self.b.switch_to_block(hot);
        self.b.block_params(hot)[0]
    }

    /// Whether `reach` is not inside the window at `slot`, and the host address of its first byte if it is.
    fn outside_window(&mut self, address: &Address, slot: i32, reach: Reach) -> (Value, Value) {
        // Each load stands before its one use, so that it becomes an operand.
        let first = Address { disp: address.disp.wrapping_add(reach.low), ..*address };
        let first = self.offset_of(&first);
        let minus_start = self.load_state(types::I32, slot + offset::WINDOW_MINUS_START);
        let inside = self.b.ins().iadd(first, minus_start);
        let inside = self.b.ins().uextend(types::I64, inside);
        let host = self.load_state(types::I64, slot + offset::WINDOW_HOST);
        let place = self.b.ins().iadd(inside, host);
        // The bound is for accesses of `WINDOW_ACCESS` bytes.
        let beyond = i64::from(reach.span) - cpu::layout::WINDOW_ACCESS as i64;
        let last = if beyond > 0 { self.b.ins().iadd_imm_s(inside, beyond) } else { inside };
        let bound = self.load_state(types::I64, slot + offset::WINDOW_BOUND);
        (self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, last, bound), place)
    }

    /// The cold path of an access outside its window: has the window made, or leaves. The host address of the
    /// access is left in `access_value`.
    fn fill_window(&mut self, address: &Address, size: u32, write: bool) {
        let direction = if write { access::WRITE } else { 0 };
        self.store_access(address, size | direction);
        self.call_helper(Helper::FillWindow);
        let status = self.load_state(types::I32, offset::STATUS);
        let (leave, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(leave);
        self.b.set_cold_block(on);
        self.b.ins().brif(status, leave, &[], on, &[]);
        self.b.switch_to_block(leave);
        self.leave_at(SiteKind::Access, self.eip, self.executed);
        self.b.switch_to_block(on);
    }

    fn store_access(&mut self, address: &Address, meta: u32) {
        let offset = self.offset_of(address);
        self.store_state(offset, offset::ACCESS_LA);
        let meta = meta | address.window << access::WINDOW_SHIFT | (address.seg as u32) << access::SEG_SHIFT;
        self.store_state_const(meta, offset::ACCESS_META);
    }

    /// Makes the access in the helper, devices included; the instruction completes or faults.
    fn bus_access(&mut self, address: &Address, ty: Type, direction: u32) {
        self.store_access(address, ty.bytes() | direction);
        self.store_exact_budget();
        self.call_helper(Helper::Access);
        self.leave_on_status(SiteKind::Helper);
        self.check_leave = true;
    }

    /// Leaves at this instruction when the helper did not succeed.
    pub(crate) fn leave_on_status(&mut self, kind: SiteKind) {
        let status = self.load_state(types::I32, offset::STATUS);
        let (leave, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(leave);
        self.b.ins().brif(status, leave, &[], on, &[]);
        self.b.switch_to_block(leave);
        self.leave_at(kind, self.eip, self.executed);
        self.b.switch_to_block(on);
    }

    /// Brings the budget in the state up to date, so that a device sees the right time.
    pub(crate) fn store_exact_budget(&mut self) {
        let budget = self.b.use_var(self.budget);
        let exact = self.b.ins().iadd_imm_s(budget, -i64::from(self.executed));
        self.store_state(exact, offset::BUDGET);
    }
}
