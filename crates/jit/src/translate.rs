//! The translator: one unit of guest blocks to one Cranelift function.
//!
//! Guest registers are SSA variables, loaded at the entry and stored on the main path: those that changed, before
//! the next instruction that can leave and at the end of each block. That is cheaper than to keep their values
//! for the blocks off the main path, except in a block that loops to itself. Invariant: at every point where
//! translated code can leave, `dirty` names the registers whose values are not in the state.

use std::collections::{BTreeSet, HashMap};

use cpu::CpuState;
use cranelift_codegen::ir::{
    AbiParam, Block, Function, InstBuilder, MemFlagsData, SigRef, Signature, Type, UserFuncName, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use isa::{Gpr, Insn, Op, Reg, Width};

use crate::abi::Helper;
use crate::delegate::{Handling, handling};
use crate::discover::{Discovered, End};
use crate::flags::FLAGS;
use crate::flagstate::{FlagState, Lazy};
use crate::liveness::{Leaving, Liveness, Wanted, analyse};
use crate::mem::GroupHost;
use crate::peel::Again;
use crate::unit::{Exit, Site, SiteKind, UnitCounts, UnitRequest};
use crate::windows::Windows;

/// Offsets of state fields that translated code uses.
pub mod offset {
    use std::mem::offset_of;

    use cpu::CpuState;
    use cpu::layout::Window;

    pub const GPR: i32 = offset_of!(CpuState, gpr) as i32;
    pub const EIP: i32 = offset_of!(CpuState, eip) as i32;
    pub const EFLAGS: i32 = offset_of!(CpuState, eflags) as i32;
    pub const CC_OP: i32 = offset_of!(CpuState, cc_op) as i32;
    pub const CC_A: i32 = offset_of!(CpuState, cc_a) as i32;
    pub const CC_B: i32 = offset_of!(CpuState, cc_b) as i32;
    pub const CC_C: i32 = offset_of!(CpuState, cc_c) as i32;
    pub const CC_PATCH: i32 = offset_of!(CpuState, cc_patch) as i32;
    pub const BUDGET: i32 = offset_of!(CpuState, budget) as i32;
    pub const LEAVE: i32 = offset_of!(CpuState, leave) as i32;
    pub const EXIT_SITE: i32 = offset_of!(CpuState, exit_site) as i32;
    pub const STATUS: i32 = offset_of!(CpuState, helper_status) as i32;
    pub const ACCESS_LA: i32 = offset_of!(CpuState, access_la) as i32;
    pub const ACCESS_META: i32 = offset_of!(CpuState, access_meta) as i32;
    pub const ACCESS_VALUE: i32 = offset_of!(CpuState, access_value) as i32;
    pub const EPOCH: i32 = offset_of!(CpuState, epoch) as i32;
    pub const CONTEXT: i32 = offset_of!(CpuState, context) as i32;
    pub const HELPERS: i32 = offset_of!(CpuState, helpers) as i32;
    pub const JUMP_CACHE: i32 = offset_of!(CpuState, jump_cache) as i32;
    pub const READ_WINDOWS: i32 = offset_of!(CpuState, read_windows) as i32;
    pub const WRITE_WINDOWS: i32 = offset_of!(CpuState, write_windows) as i32;
    pub const WINDOW_MINUS_START: i32 = offset_of!(Window, minus_start) as i32;
    pub const WINDOW_BOUND: i32 = offset_of!(Window, bound) as i32;
    pub const WINDOW_HOST: i32 = offset_of!(Window, host) as i32;
    pub const RANGE_HOST: i32 = offset_of!(CpuState, range_host) as i32;
    pub const WINDOW_BYTES: i32 = size_of::<Window>() as i32;
}

/// Accesses to the CPU state: aligned, never trapping.
pub const STATE: MemFlagsData = MemFlagsData::trusted();
/// Accesses to guest memory: never aligned, and checked before.
pub const GUEST: MemFlagsData = MemFlagsData::new().with_notrap();

/// The Cranelift type of an operand width.
#[must_use]
pub fn clif_type(width: Width) -> Type {
    match width {
        Width::B1 => types::I8,
        Width::B2 => types::I16,
        Width::B4 => types::I32,
        Width::B8 => types::I64,
    }
}

/// What the translation of a unit produced besides the function.
pub struct Translated {
    /// Sites.
    pub sites: Vec<Site>,
    /// Direct exits.
    pub exits: Vec<Exit>,
    /// Linear numbers of the pages whose cells the code looks at.
    pub pages: Vec<u32>,
    /// Operations of the counted blocks.
    pub counted: Vec<Vec<(Op, bool)>>,
    /// Counts.
    pub counts: UnitCounts,
    /// Most instructions between two budget checks.
    pub longest: u32,
    /// A bug in the plan of the groups: the function must not be run.
    pub broken: bool,
}

/// The state of translating one unit.
pub struct Translator<'a> {
    pub(crate) b: FunctionBuilder<'a>,
    pub(crate) request: &'a UnitRequest,
    pub(crate) unit: &'a Discovered,
    pub(crate) live: Liveness,
    pub(crate) leaving: Leaving,
    /// The plan of the groups is wrong: the unit must not be used.
    pub(crate) broken: bool,
    /// Host address of the first byte of each group whose leader was translated.
    pub(crate) group_hosts: HashMap<u32, GroupHost>,
    /// Blocks that loop to themselves and whose first time round is translated apart.
    pub(crate) peeled: BTreeSet<u32>,
    /// The loop of the peeled block that is being translated.
    pub(crate) again: Option<Again>,
    /// Address of the CPU state.
    pub(crate) state: Value,
    /// Host address of the first byte of the baked range; it does not change while the unit runs.
    pub(crate) range_host: Value,
    pub(crate) regs: [Variable; 8],
    pub(crate) flag_vars: [Variable; 6],
    pub(crate) budget: Variable,
    pub(crate) flags: FlagState,
    /// Producers whose CF a later one keeps.
    pub(crate) producers: Vec<Lazy>,
    /// Registers changed since they were last stored; none at the start of a block.
    pub(crate) dirty: u8,
    /// The block loops to itself: it keeps the registers that it changes, and stores them where it is left.
    pub(crate) keeps: bool,
    /// Which window an address in a register is tried in.
    pub(crate) windows: Windows,
    /// Registers that the unit touches.
    pub(crate) used: u8,
    /// EIP of the instruction being translated, and of the next.
    pub(crate) eip: u32,
    pub(crate) next: u32,
    /// Instructions completed before this one that the budget was not charged for.
    pub(crate) executed: u32,
    /// The same at the start of blocks that only one block leads to.
    pub(crate) carried: HashMap<u32, u32>,
    /// Values that are another one and a constant.
    sums: HashMap<Value, (Value, i32)>,
    /// Parts of register values, in the present block.
    parts: HashMap<(Value, bool, Type), Value>,
    /// Flags wanted after this instruction.
    pub(crate) live_after: u32,
    pub(crate) clif_blocks: HashMap<u32, Block>,
    predecessors: HashMap<u32, Vec<u32>>,
    end_flags: HashMap<u32, FlagState>,
    pub(crate) helper_sig: SigRef,
    pub(crate) tail_sig: SigRef,
    pub(crate) sites: Vec<Site>,
    pub(crate) exits: Vec<Exit>,
    /// Linear numbers of the pages whose cells the code looks at.
    pub(crate) pages: Vec<u32>,
    pub(crate) longest: u32,
    counts: UnitCounts,
    /// Where the unit's exits meet: with site and budget, and with a complete state.
    pub(crate) leave_block: Option<Block>,
    pub(crate) return_block: Option<Block>,
    /// EIP of the block being translated.
    pub(crate) block_eip: u32,
    /// Number of the block being translated, and of the instruction in it.
    pub(crate) block_number: u16,
    pub(crate) insn_number: u16,
    /// Operations of the counted blocks.
    counted: Vec<Vec<(Op, bool)>>,
    /// Whether the instruction's accesses call the helper: they failed their inline check too often.
    pub(crate) slow: bool,
    /// Whether the instruction's loads go through windows though there is a baked range.
    pub(crate) windowed: bool,
    /// Whether a helper of this instruction may have asked to leave.
    pub(crate) check_leave: bool,
}

/// Signature of translated code.
#[must_use]
pub fn unit_signature() -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.extend([types::I64, types::I32, types::I64].map(AbiParam::new));
    signature
}

/// Translates the unit into `func`.
pub fn translate(
    func: &mut Function,
    builder: &mut FunctionBuilderContext,
    request: &UnitRequest,
    unit: &Discovered,
    frontend: cranelift_codegen::isa::TargetFrontendConfig,
) -> Translated {
    func.signature = unit_signature();
    func.name = UserFuncName::user(0, request.entry);
    let mut translator = Translator::new(FunctionBuilder::new(func, builder), request, unit);
    translator.run();
    let Translator { mut b, sites, exits, pages, counted, counts, longest, broken, .. } = translator;
    b.seal_all_blocks();
    b.finalize(frontend);
    Translated { sites, exits, pages, counted, counts, longest, broken }
}

impl<'a> Translator<'a> {
    fn new(mut b: FunctionBuilder<'a>, request: &'a UnitRequest, unit: &'a Discovered) -> Self {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        let (state, budget_in) = (b.block_params(entry)[0], b.block_params(entry)[1]);
        let tail_sig = b.import_signature(unit_signature());
        let mut helper = Signature::new(CallConv::PreserveAll);
        helper.params.push(AbiParam::new(types::I64));
        let helper_sig = b.import_signature(helper);
        let regs = std::array::from_fn(|_| b.declare_var(types::I32));
        let flag_vars = std::array::from_fn(|_| b.declare_var(types::I8));
        let budget = b.declare_var(types::I32);
        b.def_var(budget, budget_in);
        let clif_blocks = unit.blocks.keys().map(|&eip| (eip, b.create_block())).collect();
        let range_host = match request.range {
            Some(_) => b.ins().load(types::I64, STATE, state, offset::RANGE_HOST),
            None => state,
        };
        let mut leaving = Leaving::default();
        if request.mode.paging {
            leaving.guards = crate::guards::plan(unit, request.entry);
        }
        if request.mode.flat {
            leaving.groups = crate::groups::plan(unit, request);
        }
        let mut translator = Self {
            b,
            request,
            unit,
            live: analyse(unit, &leaving),
            leaving,
            broken: false,
            group_hosts: HashMap::new(),
            peeled: BTreeSet::new(),
            again: None,
            state,
            range_host,
            regs,
            flag_vars,
            budget,
            flags: FlagState::Memory(0),
            producers: Vec::new(),
            dirty: 0,
            keeps: false,
            windows: Windows::default(),
            used: 0,
            eip: request.entry,
            next: request.entry,
            executed: 0,
            carried: HashMap::new(),
            sums: HashMap::new(),
            parts: HashMap::new(),
            live_after: 0,
            clif_blocks,
            predecessors: HashMap::new(),
            end_flags: HashMap::new(),
            helper_sig,
            tail_sig,
            sites: Vec::new(),
            exits: Vec::new(),
            pages: Vec::new(),
            longest: 0,
            counts: UnitCounts::default(),
            leave_block: None,
            return_block: None,
            block_eip: request.entry,
            block_number: 0,
            insn_number: 0,
            counted: Vec::new(),
            slow: false,
            windowed: false,
            check_leave: false,
        };
        translator.find_predecessors();
        translator.find_peeled();
        translator
    }

    fn find_predecessors(&mut self) {
        for &eip in self.unit.blocks.keys() {
            for target in self.unit.followers(eip) {
                if self.unit.blocks.contains_key(&target) {
                    self.predecessors.entry(target).or_default().push(eip);
                }
            }
        }
        for block in self.unit.blocks.values() {
            self.longest += block.insns.len() as u32;
            for (_, insn) in &block.insns {
                self.used |= crate::operand::registers(insn);
            }
        }
    }

    fn run(&mut self) {
        self.enter();
        for eip in self.order() {
            self.block(eip);
            self.block_number += 1;
        }
        self.shared_exits();
    }

    /// Checks the page of the entry, loads registers, and checks the budget for the first stretch.
    fn enter(&mut self) {
        if self.request.mode.paging {
            // Nothing is counted yet that would have to be taken back.
            self.insn_number = u16::MAX;
            self.guard(self.request.entry >> base::PAGE_SHIFT, SiteKind::Page);
        }
        for n in 0..8 {
            let value = if self.used >> n & 1 == 1 {
                self.load_state(types::I32, offset::GPR + 8 * n)
            } else {
                self.b.ins().iconst(types::I32, 0)
            };
            self.b.def_var(self.regs[n as usize], value);
        }
        let zero = self.b.ins().iconst(types::I8, 0);
        for var in self.flag_vars {
            self.b.def_var(var, zero);
        }
        let first = self.b.create_block();
        self.budget_check(self.request.entry, first);
        self.b.switch_to_block(first);
        if self.live.entry[&self.request.entry].read != 0 {
            self.flags_from_memory();
        }
        let entry = self.clif_blocks[&self.request.entry];
        self.b.ins().jump(entry, &[]);
    }

    /// Blocks in an order in which a block with one predecessor comes after it.
    fn order(&self) -> Vec<u32> {
        let mut order = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut stack = vec![self.request.entry];
        while let Some(eip) = stack.pop() {
            if !seen.insert(eip) {
                continue;
            }
            order.push(eip);
            let followers = self.unit.followers(eip).into_iter();
            stack.extend(followers.filter(|target| self.unit.blocks.contains_key(target)));
        }
        // Return sites whose call is followed but whose return lies outside the unit are not reachable in it.
        order
    }

    fn block(&mut self, eip: u32) {
        let block = self.clif_blocks[&eip];
        self.b.switch_to_block(block);
        self.block_eip = eip;
        self.flags = self.flags_at(eip);
        self.again = None;
        self.body(eip);
        if let Some(again) = self.again {
            self.b.switch_to_block(again.block);
            self.flags = self.flags_again(&again);
            self.body(eip);
        }
    }

    /// Translates the instructions of a block, whose flags at the start are known.
    fn body(&mut self, eip: u32) {
        let insns = &self.unit.blocks[&eip].insns;
        self.keeps = self.unit.followers(eip).contains(&eip);
        let written = |set, (_, insn): &(u32, Insn)| set | crate::operand::written(insn);
        self.dirty = if self.keeps { insns.iter().fold(0, written) } else { 0 };
        let after: Vec<Wanted> = self.live.after[&eip].clone();
        self.executed = self.carried.get(&eip).copied().unwrap_or(0);
        self.parts.clear();
        self.windows = Windows::default();
        self.insn_number = 0;
        if self.request.counted {
            self.count_block();
            let emitted = |insn: &Insn| handling(insn) == Handling::Emit;
            if self.again.is_none() {
                self.counted.push(insns.iter().map(|(_, insn)| (insn.op, emitted(insn))).collect());
            }
        }
        for (n, (at, insn)) in insns.iter().enumerate() {
            self.eip = *at;
            self.insn_number = n as u16;
            self.next = at.wrapping_add(u32::from(insn.len));
            self.live_after = after[n].any();
            self.slow = self.request.slow.contains(at) || !self.request.mode.flat;
            self.windowed = self.request.windowed.contains(at);
            self.check_leave = false;
            let leaves = self.leaving.at(*at, insn) || n + 1 == insns.len();
            if leaves && !self.keeps {
                self.store_registers();
                self.dirty = 0;
            }
            self.guards_before(*at);
            self.counts.insns += 1;
            if n + 1 == insns.len() && self.branch(insn) {
                self.end_flags.insert(eip, self.flags);
                return;
            }
            self.insn(insn);
            self.windows.after(*at, insn);
            self.executed += 1;
            if self.check_leave {
                self.leave_if_asked();
            }
        }
        self.insn_number = insns.len() as u16;
        match self.unit.blocks[&eip].end {
            End::Fall(next) => self.goto(next),
            End::Interp(at) => {
                self.eip = at;
                self.leave_at(SiteKind::Interp, at, self.executed);
            }
            _ => unreachable!("blocks that end in a branch returned above"),
        }
        self.end_flags.insert(eip, self.flags);
    }

    /// Looks at the pages that the instruction at `at` is the first to need.
    fn guards_before(&mut self, at: u32) {
        for page in self.leaving.guards.at(at).to_vec() {
            let here = page == at >> base::PAGE_SHIFT;
            self.guard(page, if here { SiteKind::Page } else { SiteKind::Crossing });
        }
    }

    fn flags_at(&self, eip: u32) -> FlagState {
        if let Some(source) = self.only_predecessor(eip)
            && let Some(flags) = self.end_flags.get(&source)
        {
            return *flags;
        }
        FlagState::Memory(self.live.entry[&eip].read)
    }

    /// The block that alone leads to `eip`, when its flags can be inherited.
    pub(crate) fn only_predecessor(&self, eip: u32) -> Option<u32> {
        if eip == self.request.entry {
            return None;
        }
        match self.predecessors.get(&eip).map(Vec::as_slice) {
            Some([one]) if *one != eip && !self.peeled.contains(one) => Some(*one),
            _ => None,
        }
    }

    /// Flags wanted at the start of a block of the unit.
    pub(crate) fn wanted_at(&self, eip: u32) -> Wanted {
        self.live.entry[&eip]
    }

    fn insn(&mut self, insn: &Insn) {
        // A division that may be left to the interpreter after its operand was read must not read a device twice.
        let helper = insn.mem().is_some_and(|mem| !self.in_line(mem.seg));
        let rereads = helper && matches!(insn.op, Op::Div | Op::Idiv);
        match handling(insn) {
            Handling::Emit if !rereads => self.emit(insn),
            Handling::String if self.request.mode.flat => self.string(insn),
            Handling::Emit | Handling::Delegate | Handling::String => {
                self.counts.delegated += 1;
                self.delegate();
            }
            Handling::Interp => unreachable!("discovery ends blocks before such instructions"),
        }
    }

    // Registers.

    /// A general-purpose register.
    pub(crate) fn gpr(&mut self, gpr: Gpr) -> Value {
        debug_assert!(self.used >> gpr.index() & 1 == 1, "{gpr:?} at {:#x}", self.eip);
        self.b.use_var(self.regs[gpr.index()])
    }

    /// Sets a general-purpose register.
    pub(crate) fn set_gpr(&mut self, gpr: Gpr, value: Value) {
        debug_assert!(self.used >> gpr.index() & 1 == 1, "{gpr:?} at {:#x}", self.eip);
        self.b.def_var(self.regs[gpr.index()], value);
        self.dirty |= 1 << gpr.index();
    }

    /// A register operand.
    pub(crate) fn reg(&mut self, reg: Reg) -> Value {
        let full = self.gpr(reg.gpr);
        match (reg.width, reg.high) {
            (Width::B4 | Width::B8, _) => full,
            (width, high) => self.part(full, high, clif_type(width)),
        }
    }

    /// What [`Translator::part`] would give, if it has been asked for in this block.
    pub(crate) fn known_part(&self, full: Value, high: bool, ty: Type) -> Option<Value> {
        self.parts.get(&(full, high, ty)).copied()
    }

    /// The low part of a register value, or its second byte; the same value each time in one block.
    pub(crate) fn part(&mut self, full: Value, high: bool, ty: Type) -> Value {
        if let Some(part) = self.parts.get(&(full, high, ty)) {
            return *part;
        }
        let from = if high { self.b.ins().ushr_imm_u(full, 8) } else { full };
        let part = self.b.ins().ireduce(ty, from);
        self.parts.insert((full, high, ty), part);
        part
    }

    /// Sets a register operand; the rest of the register stays.
    pub(crate) fn set_reg(&mut self, reg: Reg, value: Value) {
        if reg.width == Width::B4 {
            return self.set_gpr(reg.gpr, value);
        }
        let (shift, mask) = match (reg.width, reg.high) {
            (Width::B1, true) => (8, 0xffff_00ffu32),
            (Width::B1, false) => (0, 0xffff_ff00),
            _ => (0, 0xffff_0000),
        };
        let full = self.gpr(reg.gpr);
        let kept = self.b.ins().band_imm_u(full, i64::from(mask));
        let part = self.b.ins().uextend(types::I32, value);
        let part = if shift == 0 { part } else { self.b.ins().ishl_imm_u(part, shift) };
        let merged = self.b.ins().bor(kept, part);
        self.set_gpr(reg.gpr, merged);
    }

    /// Stores the registers that may have changed.
    pub(crate) fn store_registers(&mut self) {
        for n in 0..8 {
            if self.dirty >> n & 1 == 1 {
                let value = self.b.use_var(self.regs[n]);
                self.store_state(value, offset::GPR + 8 * n as i32);
            }
        }
    }

    /// Loads every register that the unit touches, after something else may have changed them.
    pub(crate) fn reload_registers(&mut self) {
        self.reload_some(u8::MAX);
    }

    /// Loads the registers of `set` that the unit touches.
    pub(crate) fn reload_some(&mut self, set: u8) {
        for n in 0..8 {
            if self.used & set & 1 << n != 0 {
                let value = self.load_state(types::I32, offset::GPR + 8 * n);
                self.b.def_var(self.regs[n as usize], value);
            }
        }
    }

    // Small things.

    pub(crate) fn load_state(&mut self, ty: Type, offset: i32) -> Value {
        self.b.ins().load(ty, STATE, self.state, offset)
    }

    pub(crate) fn store_state(&mut self, value: Value, offset: i32) {
        self.b.ins().store(STATE, value, self.state, offset);
    }

    pub(crate) fn store_state_const(&mut self, value: u32, offset: i32) {
        let value = self.b.ins().iconst(types::I32, i64::from(value));
        self.store_state(value, offset);
    }

    /// A constant of type `ty`, cut to its width.
    pub(crate) fn constant(&mut self, ty: Type, value: i64) -> Value {
        let mask = u64::MAX >> (64 - ty.bits());
        self.b.ins().iconst(ty, (value as u64 & mask) as i64)
    }

    pub(crate) fn widen(&mut self, value: Value, to: Type, signed: bool) -> Value {
        let from = self.b.func.dfg.value_type(value);
        match (from.bits().cmp(&to.bits()), signed) {
            (std::cmp::Ordering::Equal, _) => value,
            (std::cmp::Ordering::Greater, _) => self.b.ins().ireduce(to, value),
            (std::cmp::Ordering::Less, true) => self.b.ins().sextend(to, value),
            (std::cmp::Ordering::Less, false) => self.b.ins().uextend(to, value),
        }
    }

    /// Calls a helper; it changes nothing but the CPU state.
    pub(crate) fn call_helper(&mut self, helper: Helper) {
        let function = self.load_state(types::I64, offset::HELPERS + 8 * helper as i32);
        self.b.ins().call_indirect(self.helper_sig, function, &[self.state]);
    }

    /// Charges the completed instructions to the budget, on this way out of the block.
    pub(crate) fn charge(&mut self) {
        if self.executed > 0 {
            let budget = self.b.use_var(self.budget);
            let budget = self.b.ins().iadd_imm_s(budget, -i64::from(self.executed));
            self.b.def_var(self.budget, budget);
        }
    }

    /// `value` and a constant; sums of sums are made of the first value.
    pub(crate) fn add_const(&mut self, value: Value, by: i32) -> Value {
        let (root, before) = self.sums.get(&value).copied().unwrap_or((value, 0));
        let by = before.wrapping_add(by);
        if by == 0 {
            return root;
        }
        let sum = self.b.ins().iadd_imm_s(root, i64::from(by));
        self.sums.insert(sum, (root, by));
        sum
    }
}

/// Number of flag variables equals the number of flags.
const _: () = assert!(FLAGS.len() == 6);
/// The registers stand first in the state.
const _: () = assert!(std::mem::offset_of!(CpuState, gpr) == 0);
