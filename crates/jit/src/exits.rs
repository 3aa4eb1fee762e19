//! Ways out of a unit, and edges inside it.

use cpu::flags::CcOp;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, ExternalName, GlobalValueData, InstBuilder, UserExternalName, Value, types,
};

use isa::Insn;

use crate::abi::{Helper, SITE_LOOKUP};
use crate::flags::FLAGS;
use crate::flagstate::{FlagState, Lazy};
use crate::translate::{STATE, Translator, offset};
use crate::unit::{Exit, Site, SiteKind};

/// Namespace of the external names that stand for link cells.
pub const CELL_NAMESPACE: u32 = 1;
/// Namespace of the external names that stand for block counters.
pub const COUNTER_NAMESPACE: u32 = 2;
/// Namespace of the external names that stand for cells of pages.
pub const PAGE_NAMESPACE: u32 = 3;

impl Translator<'_> {
    /// Leaves with the exact state: the registers, the operands of the flags, the budget and the site.
    ///
    /// `executed` counts the completed instructions that the budget was not charged for. Changes nothing
    /// that the translator knows, so that it can stand in a cold block.
    pub(crate) fn leave_at(&mut self, kind: SiteKind, eip: u32, executed: u32) {
        self.store_registers();
        let cc_op = match self.flags {
            FlagState::Lazy(lazy) => {
                self.store_flag_operands(&lazy);
                Some(lazy.cc_op())
            }
            FlagState::Over(lazy, mask, bits) => {
                self.store_flag_operands(&lazy);
                let bits = self.bits(bits);
                self.store_state(bits, offset::CC_PATCH);
                Some(lazy.cc_op().patched(mask))
            }
            FlagState::Patched(mask, bits) => {
                let bits = self.bits(bits);
                self.store_patch(mask, bits);
                None
            }
            FlagState::Memory(_) => None,
        };
        let number = self.request.site_base + self.sites.len() as u32;
        self.sites.push(Site { kind, eip, executed, cc_op, next: self.next, place: self.site_place(kind) });
        self.leave_with(number);
    }

    /// Leaves with `site` and the budget; one block of the unit does it for all.
    fn leave_with(&mut self, site: u32) {
        let site = self.b.ins().iconst(types::I32, i64::from(site));
        let budget = self.b.use_var(self.budget);
        let block = match self.leave_block {
            Some(block) => block,
            None => {
                let block = self.b.create_block();
                self.b.append_block_param(block, types::I32);
                self.b.append_block_param(block, types::I32);
                self.b.set_cold_block(block);
                *self.leave_block.insert(block)
            }
        };
        self.b.ins().jump(block, &[site.into(), budget.into()]);
    }

    /// Leaves with a state that is complete.
    fn leave_complete(&mut self) {
        let block = match self.return_block {
            Some(block) => block,
            None => {
                let block = self.b.create_block();
                self.b.set_cold_block(block);
                *self.return_block.insert(block)
            }
        };
        self.b.ins().jump(block, &[]);
    }

    /// Writes the blocks that the unit's exits share.
    pub(crate) fn shared_exits(&mut self) {
        if let Some(block) = self.leave_block {
            self.b.switch_to_block(block);
            let (site, budget) = (self.b.block_params(block)[0], self.b.block_params(block)[1]);
            self.store_state(site, offset::EXIT_SITE);
            self.store_state(budget, offset::BUDGET);
            self.b.ins().return_(&[]);
        }
        if let Some(block) = self.return_block {
            self.b.switch_to_block(block);
            self.b.ins().return_(&[]);
        }
    }

    fn store_flag_operands(&mut self, lazy: &Lazy) {
        let a = self.widen(lazy.a, types::I32, false);
        self.store_state(a, offset::CC_A);
        if let Some(b) = lazy.b {
            let b = self.widen(b, types::I32, false);
            self.store_state(b, offset::CC_B);
        }
        if let Some(c) = lazy.c {
            let c = self.carry(c);
            let c = self.widen(c, types::I32, false);
            self.store_state(c, offset::CC_C);
        }
    }

    /// Stores the flags so that the CPU state has them.
    pub(crate) fn store_flags(&mut self) {
        match self.flags {
            FlagState::Lazy(lazy) => {
                self.store_flag_operands(&lazy);
                let CcOp(op) = lazy.cc_op();
                self.store_state_const(op, offset::CC_OP);
            }
            FlagState::Over(lazy, mask, bits) => {
                self.store_flag_operands(&lazy);
                let bits = self.bits(bits);
                self.store_state(bits, offset::CC_PATCH);
                let CcOp(op) = lazy.cc_op().patched(mask);
                self.store_state_const(op, offset::CC_OP);
            }
            FlagState::Patched(mask, bits) => {
                let bits = self.bits(bits);
                self.store_patch(mask, bits);
            }
            FlagState::Memory(_) => {}
        }
    }

    /// After an instruction whose helper may have asked for it: leaves if it did.
    pub(crate) fn leave_if_asked(&mut self) {
        let asked = self.load_state(types::I32, offset::LEAVE);
        let (leave, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(leave);
        self.b.ins().brif(asked, leave, &[], on, &[]);
        self.b.switch_to_block(leave);
        self.leave_at(SiteKind::Leave, self.next, self.executed);
        self.b.switch_to_block(on);
    }

    /// Leaves at `eip` unless the budget covers the longest stretch; else goes on at `to`.
    pub(crate) fn budget_check(&mut self, eip: u32, to: Block) {
        let budget = self.b.use_var(self.budget);
        // The way on is the branch that is taken: at the end of a loop it is the only one.
        let enough =
            self.b.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, budget, i64::from(self.longest));
        let leave = self.b.create_block();
        self.b.set_cold_block(leave);
        self.b.ins().brif(enough, to, &[], leave, &[]);
        self.b.switch_to_block(leave);
        self.leave_at(SiteKind::Budget, eip, 0);
    }

    /// Leaves before the present instruction unless `page` was found in place in the present epoch.
    pub(crate) fn guard(&mut self, page: u32, kind: SiteKind) {
        let index = match self.pages.iter().position(|known| *known == page) {
            Some(index) => index,
            None => {
                self.pages.push(page);
                self.pages.len() - 1
            }
        };
        let cell = self.cell(PAGE_NAMESPACE, index as u32);
        let found = self.b.ins().load(types::I64, STATE, cell, 0);
        let epoch = self.load_state(types::I64, offset::EPOCH);
        let stale = self.b.ins().icmp(IntCC::NotEqual, found, epoch);
        let (leave, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(leave);
        self.b.ins().brif(stale, leave, &[], on, &[]);
        self.b.switch_to_block(leave);
        self.leave_at(kind, self.eip, self.executed);
        self.b.switch_to_block(on);
    }

    /// Goes to `target` from the end of the block. The budget is charged where ways meet and where the unit is left.
    ///
    /// What is done to the flags on the way holds on this way only: afterwards the translator knows of them what
    /// it knew before, for the other ways out of the block.
    pub(crate) fn goto(&mut self, target: u32) {
        let flags = self.flags;
        match self.clif_blocks.get(&target).copied() {
            Some(block) => {
                if target != self.block_eip {
                    self.store_registers();
                }
                if target == self.block_eip {
                    let budget = self.b.use_var(self.budget);
                    self.charge();
                    if self.go_again() {
                        self.flags = flags;
                        return;
                    }
                    self.b.def_var(self.budget, budget);
                }
                self.prepare_flags(target);
                if target > self.block_eip && self.only_predecessor(target).is_some() {
                    self.carried.insert(target, self.executed);
                    self.b.ins().jump(block, &[]);
                } else {
                    self.charge();
                    if target <= self.block_eip {
                        self.budget_check(target, block);
                    } else {
                        self.b.ins().jump(block, &[]);
                    }
                }
            }
            None => self.exit_to(target),
        }
        self.flags = flags;
    }

    /// Goes to `taken` if `condition` is not 0, else to `next`.
    pub(crate) fn goto_if(&mut self, condition: Value, taken: u32, next: u32) {
        let (yes, no) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(condition, yes, &[], no, &[]);
        self.b.switch_to_block(yes);
        self.goto(taken);
        self.b.switch_to_block(no);
        self.goto(next);
    }

    /// Puts the flags where a block of the unit expects them.
    fn prepare_flags(&mut self, target: u32) {
        if self.only_predecessor(target).is_some() {
            return;
        }
        let wanted = self.wanted_at(target);
        for (n, flag) in FLAGS.iter().enumerate() {
            if wanted.read & flag != 0 {
                let value = self.flag(*flag);
                self.b.def_var(self.flag_vars[n], value);
            }
        }
        if wanted.exposed != 0 {
            self.store_flags();
        }
    }

    /// Leaves the unit for a known EIP, through a link cell.
    fn exit_to(&mut self, target: u32) {
        self.store_registers();
        self.store_flags();
        let exit = match self.exits.iter().position(|exit| exit.target == target) {
            Some(exit) => exit,
            None => {
                self.exits.push(Exit { target });
                self.exits.len() - 1
            }
        };
        self.charge();
        let cell = self.cell(CELL_NAMESPACE, exit as u32);
        let function = self.b.ins().load(types::I64, STATE, cell, 0);
        let budget = self.b.use_var(self.budget);
        self.b.ins().return_call_indirect(self.tail_sig, function, &[self.state, budget, cell]);
    }

    /// Host address of a cell, put in when the unit gets its place.
    fn cell(&mut self, namespace: u32, index: u32) -> Value {
        let name = self.b.func.declare_imported_user_function(UserExternalName { namespace, index });
        let global = self.b.create_global_value(GlobalValueData::Symbol {
            name: ExternalName::user(name),
            offset: 0.into(),
            colocated: false,
            tls: false,
        });
        self.b.ins().symbol_value(types::I64, global)
    }

    /// Counts an execution of the block that begins here.
    pub(crate) fn count_block(&mut self) {
        let cell = self.cell(COUNTER_NAMESPACE, u32::from(self.block_number));
        let count = self.b.ins().load(types::I64, STATE, cell, 0);
        let count = self.b.ins().iadd_imm_s(count, 1);
        self.b.ins().store(STATE, count, cell, 0);
    }

    fn site_place(&self, kind: SiteKind) -> (u16, u16) {
        let done = match kind {
            SiteKind::Budget => u16::MAX,
            SiteKind::Leave => self.insn_number + 1,
            SiteKind::Access
            | SiteKind::Range
            | SiteKind::Group
            | SiteKind::Helper
            | SiteKind::Interp
            | SiteKind::Page
            | SiteKind::Crossing => self.insn_number,
        };
        (self.block_number, done)
    }

    /// Leaves the unit for an EIP that is known only now, through the jump cache.
    pub(crate) fn exit_indirect(&mut self, target: Value) {
        self.charge();
        self.store_registers();
        self.store_flags();
        self.store_state(target, offset::EIP);
        let folded = self.b.ins().ushr_imm_u(target, 12);
        let hash = self.b.ins().bxor(target, folded);
        let mask = cpu::layout::JUMP_CACHE_SIZE as i64 - 1;
        let index = self.b.ins().band_imm_u(hash, mask);
        let index = self.b.ins().uextend(types::I64, index);
        let index = self.b.ins().ishl_imm_u(index, 4);
        let entry = self.b.ins().iadd(self.state, index);
        let tag = self.b.ins().load(types::I64, STATE, entry, offset::JUMP_CACHE);
        let context = self.load_state(types::I64, offset::CONTEXT);
        let wide = self.b.ins().uextend(types::I64, target);
        let wanted = self.b.ins().bor(context, wide);
        let missed = self.b.ins().icmp(IntCC::NotEqual, tag, wanted);
        let (miss, hit) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(miss);
        self.b.ins().brif(missed, miss, &[], hit, &[]);
        let budget = self.b.use_var(self.budget);
        self.b.switch_to_block(miss);
        self.leave_with(SITE_LOOKUP);
        self.b.switch_to_block(hit);
        let cell = self.b.ins().load(types::I64, STATE, entry, offset::JUMP_CACHE + 8);
        let function = self.b.ins().load(types::I64, STATE, cell, 0);
        self.b.ins().return_call_indirect(self.tail_sig, function, &[self.state, budget, cell]);
    }

    /// Runs the instruction in the interpreter and goes on in the unit.
    pub(crate) fn delegate(&mut self) {
        self.run_helper(Helper::Delegate);
        self.reload_registers();
    }

    /// Runs a string instruction in its helper.
    pub(crate) fn string(&mut self, insn: &Insn) {
        self.store_state_const(crate::strings::pack(insn), offset::ACCESS_META);
        self.run_helper(Helper::String);
        self.reload_some(crate::operand::written(insn));
    }

    /// Brings the whole state up to date and has a helper run the instruction.
    fn run_helper(&mut self, helper: Helper) {
        self.store_registers();
        self.store_flags();
        self.flags = FlagState::Memory(0);
        self.store_exact_budget();
        let number = self.request.site_base + self.sites.len() as u32;
        self.store_state_const(self.eip, offset::EIP);
        self.store_state_const(number, offset::EXIT_SITE);
        self.sites.push(Site {
            kind: SiteKind::Helper,
            eip: self.eip,
            executed: 0,
            cc_op: None,
            next: self.next,
            place: self.site_place(SiteKind::Helper),
        });
        self.call_helper(helper);
        let status = self.load_state(types::I32, offset::STATUS);
        let (leave, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(leave);
        self.b.ins().brif(status, leave, &[], on, &[]);
        self.b.switch_to_block(leave);
        self.leave_complete();
        self.b.switch_to_block(on);
        self.check_leave = true;
    }
}
