//! The run loop: slices, interrupts, and which executor runs next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use base::{LinearAddr, PAGE_MASK, PhysAddr};
use cpu::{Activity, CodePage, Cpu, Exception, Trap, eflags, flags, leave};
use jit::abi::{SITE_LOOKUP, SITE_UNLINKED, status};
use jit::{CodeArena, Compiler, OptLevel, Owner, Site, SiteKind};
use memory::{ListenerId, RamBlock, RamId};
use rustc_hash::FxHashMap as HashMap;

use crate::blocks::BlockCache;
use crate::cache::{TranslationCache, UnitId};
use crate::compile::Spot;
use crate::config::{EngineConfig, JitMode};
use crate::enter::enter;
use crate::hopeless::Hopeless;
use crate::insns::InsnCache;
use crate::invalidate::DeltaMailbox;
use crate::mode::ModeKey;
use crate::platform::Platform;
use crate::stats::{InvalidationCause, OpCounts, Stats, TranslationInfo};
use crate::times::{Times, since};
use crate::worker::Worker;

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest asked for it with this exit status.
    Exit(i32),
    /// The instruction limit was reached.
    Limit,
    /// A triple fault; EIP of the instruction that began it.
    Shutdown(u32),
    /// The guest asked for a part of the processor that is not built.
    Unsupported(u32, &'static str),
    /// HLT that nothing can end: interrupts are off, or no timer has one to raise that the interrupt controller would
    /// let through.
    Halted(u32),
    /// Someone outside asked for it.
    Requested,
    /// A helper panicked: a bug.
    Panicked(u32),
}

/// Which inlined check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    /// The access cannot be made directly.
    Access,
    /// It can, but outside the baked range.
    Range,
    /// It can, but the rest of its group cannot.
    Group,
}

/// Translations of one place that may differ in their further pages.
const MAX_VARIANTS: usize = 4;

/// One processor with its translation cache.
pub struct Engine {
    pub(crate) owner: Box<Owner>,
    pub(crate) cache: TranslationCache,
    pub(crate) code: CodeArena,
    pub(crate) compiler: Compiler,
    pub(crate) config: EngineConfig,
    pub(crate) stats: Stats,
    pub(crate) times: Times,
    pub(crate) mode: ModeKey,
    pub(crate) deltas: Arc<DeltaMailbox>,
    listener: ListenerId,
    pub(crate) blocks: HashMap<RamId, Arc<RamBlock>>,
    /// Instructions whose accesses go through the helper, by block offset.
    pub(crate) slow: BTreeSet<(RamId, u64)>,
    /// Instructions whose loads go through windows, by block offset.
    pub(crate) windowed: BTreeSet<(RamId, u64)>,
    /// Instructions whose access belongs to no group, by block offset.
    pub(crate) ungrouped: BTreeSet<(RamId, u64)>,
    /// The range of plain RAM that loads are checked against while paging is off.
    pub(crate) range: Option<jit::RamRange>,
    pub(crate) worker: Option<Worker>,
    pub(crate) interpreted_ops: Vec<i64>,
    slow_counts: BTreeMap<(RamId, u64), u32>,
    platform: Arc<dyn Platform>,
    /// For instructions that are run alone.
    pub(crate) insns: InsnCache,
    /// For those that are run one after another.
    pub(crate) interpreted: BlockCache,
    /// Number of the present state of what can be entered: a search for a translation made under another number may
    /// end otherwise now.
    pub(crate) searches: u64,
    contexts: HashMap<(ModeKey, u32), u32>,
    /// The present one.
    context: Option<(ModeKey, u32)>,
    pub(crate) hopeless: Hopeless,
    /// The slice ends at an exact instruction: what does not fit is interpreted.
    exact: bool,
    delegated: Arc<std::sync::atomic::AtomicU64>,
}

impl Drop for Engine {
    /// Nothing is posted any more to a mailbox that nobody empties.
    fn drop(&mut self) {
        self.owner.cpu.mmu.memory().unlisten(self.listener);
    }
}

impl Engine {
    /// An engine for `cpu` on the board `platform`.
    ///
    /// # Errors
    /// What the host says to code memory.
    pub fn new(cpu: Cpu, platform: Arc<dyn Platform>, config: EngineConfig) -> std::io::Result<Self> {
        let deltas = Arc::new(DeltaMailbox::default());
        let listener = cpu.mmu.memory().listen(10, Arc::clone(&deltas) as Arc<dyn memory::MapListener>);
        let compiler = Compiler::for_host(OptLevel::None, config.verify);
        let code = CodeArena::new(config.code_bytes, compiler.isa())?;
        let worker = match config.jit {
            JitMode::Background => {
                Some(Worker::start(Compiler::for_host(OptLevel::None, config.verify), config.queue)?)
            }
            JitMode::Off | JitMode::Sync => None,
        };
        let mode = ModeKey::of(&cpu.state);
        let mut owner = Box::new(Owner::new(cpu));
        let delegated = Arc::new(std::sync::atomic::AtomicU64::new(0));
        owner.delegate = Some(crate::interpret::delegate(Arc::clone(&delegated)));
        let mut engine = Self {
            owner,
            cache: TranslationCache::default(),
            code,
            compiler,
            config,
            stats: Stats::default(),
            times: Times::default(),
            mode,
            deltas,
            listener,
            blocks: HashMap::default(),
            slow: BTreeSet::new(),
            windowed: BTreeSet::new(),
            ungrouped: BTreeSet::new(),
            range: None,
            worker,
            interpreted_ops: OpCounts::default().interpreted,
            slow_counts: BTreeMap::new(),
            platform,
            insns: InsnCache::new(),
            interpreted: BlockCache::new(),
            searches: 1,
            contexts: HashMap::default(),
            context: None,
            hopeless: Hopeless::default(),
            exact: false,
            delegated,
        };
        // What is mapped now comes as the first change; the processor has that view already, if it is not newer.
        if engine.owner.cpu.mmu.map_changed() {
            engine.apply_map_changes();
        } else {
            drop(engine.deltas.take());
        }
        engine.range_changed();
        Ok(engine)
    }

    /// The processor.
    #[must_use]
    pub fn cpu(&self) -> &Cpu {
        &self.owner.cpu
    }

    /// The processor, to be changed between runs.
    pub fn cpu_mut(&mut self) -> &mut Cpu {
        &mut self.owner.cpu
    }

    /// What has been counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { delegated: self.delegated.load(std::sync::atomic::Ordering::Relaxed), ..self.stats }
    }

    /// Executed instructions by operation, if [`EngineConfig::counted`] asks for it.
    #[must_use]
    pub fn op_counts(&self) -> OpCounts {
        OpCounts { interpreted: self.interpreted_ops.clone(), ..self.cache.op_counts() }
    }

    /// Helper calls so far, by row of the helper table.
    #[must_use]
    pub fn helper_calls(&self) -> [u64; jit::abi::HELPER_COUNT] {
        self.owner.calls
    }

    /// The live translations.
    #[must_use]
    pub fn translations(&self) -> Vec<TranslationInfo> {
        self.cache.infos()
    }

    /// Compiles every live translation once more, for its listing; EIP of the entry beside each.
    pub fn listings(&mut self) -> Vec<(u32, jit::Listing)> {
        let requests = self.cache.spots();
        let mut listings = Vec::new();
        for (key, phys) in requests {
            let Some(block) = self.blocks.get(&key.ram).cloned() else { continue };
            let (offset, phys) = (key.offset & !PAGE_MASK, PhysAddr(phys & !PAGE_MASK));
            let job = self.job(&Spot { key, page: CodePage { block, offset, phys } });
            self.cache.release(job.id);
            if let Ok((_, listing)) = self.compiler.compile_with_listing(&job.request) {
                listings.push((key.eip, listing));
            }
        }
        listings
    }

    /// Runs until something stops the guest, or `limit` instructions in all have completed.
    pub fn run(&mut self, limit: Option<u64>) -> Stop {
        let started = Instant::now();
        let stop = self.run_slices(limit);
        self.times.run_ns += since(started);
        stop
    }

    fn run_slices(&mut self, limit: Option<u64>) -> Stop {
        self.mode_changed();
        self.owner.cpu.code_changed();
        loop {
            self.apply_pending();
            if let Some(status) = self.platform.exit_status() {
                return Stop::Exit(status);
            }
            if self.platform.stop_requested() {
                return Stop::Requested;
            }
            if limit.is_some_and(|limit| self.owner.cpu.instructions() >= limit) {
                return Stop::Limit;
            }
            let now = self.owner.cpu.now_ns();
            self.owner.cpu.publish_time();
            let due = self.platform.next_event_ns().is_some_and(|event| event <= now);
            self.owner.cpu.activity().during(Activity::Bus, || self.platform.run_events(now));
            if due {
                self.owner.cpu.code_changed();
            }
            if let Err(stop) = self.interrupt() {
                return stop;
            }
            if self.owner.cpu.state.halted {
                if let Err(stop) = self.sleep() {
                    return stop;
                }
                continue;
            }
            self.start_slice(limit);
            if let Err(stop) = self.slice() {
                return stop;
            }
            while self.goes_on() {
                self.apply_left();
                if let Err(stop) = self.slice() {
                    return stop;
                }
            }
        }
    }

    /// Whether the slice was left for a change of mode alone, and no interrupt is taken now. No event can have come
    /// nearer then.
    fn goes_on(&self) -> bool {
        let state = &self.owner.cpu.state;
        let interrupted = || state.eflags & eflags::IF != 0 && self.platform.interrupt_pending();
        state.leave == leave::MODE && state.budget > 0 && !state.halted && !interrupted()
    }

    /// Applies what helpers, devices and stores have asked for.
    fn apply_pending(&mut self) {
        self.owner.cpu.take_attention();
        self.apply_left();
    }

    /// Applies what translated code was left for, devices' wishes apart.
    fn apply_left(&mut self) {
        let asked = std::mem::take(&mut self.owner.cpu.state.leave);
        if asked != 0 {
            self.owner.cpu.code_changed();
            self.searches += 1;
        }
        if asked & leave::MAP != 0 || self.owner.cpu.mmu.map_changed() {
            self.apply_map_changes();
        }
        if self.owner.cpu.mmu.code_written() {
            self.apply_code_writes();
        }
        for page in self.owner.cpu.mmu.drain_invalidated() {
            self.cache.pages.forget_linear(page);
        }
        if asked & leave::MODE != 0 {
            self.mode_changed();
        }
    }

    /// Takes over the present mode and page directory: what the jump cache and the windows depend on.
    fn mode_changed(&mut self) {
        let state = &self.owner.cpu.state;
        let mode = ModeKey::of(state);
        // Without paging a window is not a matter of rights.
        if mode.user != self.mode.user && (mode.paging || self.mode.paging) {
            self.owner.cpu.state.clear_windows();
        }
        self.mode = mode;
        let key = (mode, if mode.paging { self.owner.cpu.state.cr3 } else { 0 });
        if self.context == Some(key) {
            return;
        }
        self.context = Some(key);
        if self.contexts.len() > 1 << 16 {
            self.contexts.clear();
            self.owner.cpu.state.clear_jump_cache();
        }
        let next = self.contexts.len() as u32 + 1;
        let id = *self.contexts.entry(key).or_insert(next);
        self.owner.cpu.state.context = u64::from(id) << 32;
    }

    fn start_slice(&mut self, limit: Option<u64>) {
        let cpu = &mut self.owner.cpu;
        let mut instructions = u64::from(self.config.slice);
        self.exact = false;
        if let Some(limit) = limit {
            let left = limit - cpu.instructions();
            (instructions, self.exact) = (instructions.min(left), left <= instructions);
        }
        if let Some(event) = self.platform.next_event_ns() {
            let left = event.saturating_sub(cpu.now_ns()).div_ceil(cpu::NS_PER_INSN).max(1);
            self.exact |= left <= instructions;
            instructions = instructions.min(left);
        }
        cpu.start_slice(instructions as u32);
    }

    /// Delivers a pending interrupt, if the processor takes it now.
    fn interrupt(&mut self) -> Result<(), Stop> {
        let cpu = &mut self.owner.cpu;
        let enabled = cpu.state.eflags & eflags::IF != 0 && !cpu.state.interrupt_shadow;
        if !enabled || !self.platform.interrupt_pending() {
            return Ok(());
        }
        let vector = self.platform.acknowledge_interrupt();
        cpu.state.halted = false;
        self.stats.interrupts += 1;
        flags::materialize(&mut cpu.state);
        let outcome = cpu.interrupt(vector);
        let outcome = self.finish(outcome);
        self.apply_pending();
        outcome
    }

    /// HLT: guest time passes until the next timer event that can lead to an interrupt.
    fn sleep(&mut self) -> Result<(), Stop> {
        let cpu = &mut self.owner.cpu;
        if cpu.state.eflags & eflags::IF == 0 {
            return Err(Stop::Halted(cpu.state.eip));
        }
        cpu.state.interrupt_shadow = false;
        if self.platform.interrupt_pending() {
            return Ok(());
        }
        let event = self.platform.next_wake_ns().ok_or(Stop::Halted(cpu.state.eip))?;
        cpu.sleep_until(event);
        Ok(())
    }

    /// Runs until the slice ends or something asks for the run loop.
    fn slice(&mut self) -> Result<(), Stop> {
        let mut quick = true;
        loop {
            self.install_finished();
            let state = &self.owner.cpu.state;
            if state.leave != 0 || state.halted || state.budget <= 0 {
                return Ok(());
            }
            let shadow = state.interrupt_shadow;
            let single_step = state.eflags & eflags::TF != 0;
            if shadow || single_step {
                return self.interpret_one();
            }
            if self.config.jit == JitMode::Off || !self.mode.translatable {
                self.interpret(true)?;
                continue;
            }
            // As an indirect branch would; where that leads nowhere, the next look is a thorough one.
            if std::mem::take(&mut quick)
                && let Some(cell) = self.cache.jump_cached(&self.owner.cpu)
            {
                self.execute(cell)?;
                continue;
            }
            match self.translation()? {
                Some(id) if self.fits(id) => self.execute_found(id)?,
                Some(_) if !self.exact => return Ok(()),
                Some(_) => self.interpret(false)?,
                None => {
                    self.interpret(false)?;
                    quick = true;
                }
            }
        }
    }

    fn fits(&self, id: UnitId) -> bool {
        let budget = self.owner.cpu.state.budget;
        self.cache.get(id).is_some_and(|unit| i64::from(budget) >= i64::from(unit.longest))
    }

    /// As [`Engine::translation`], but looks nowhere when the budget is spent: even a fetch may fault.
    fn translation_in_budget(&mut self) -> Result<Option<UnitId>, Stop> {
        if self.owner.cpu.state.budget <= 0 { Ok(None) } else { self.translation() }
    }

    /// The translation at EIP: found, or made now if the code is hot.
    fn translation(&mut self) -> Result<Option<UnitId>, Stop> {
        let eip = self.owner.cpu.state.eip;
        let threshold = if self.has_room() { self.config.threshold } else { u32::MAX };
        if self.interpreted.is_known_cold(eip, self.searches, threshold) {
            return Ok(None);
        }
        let spot = match self.spot() {
            Ok(Some(spot)) => spot,
            Ok(None) => return Ok(None),
            Err(exception) => {
                self.raise(exception)?;
                return Ok(None);
            }
        };
        if let Some(id) = self.find(&spot) {
            return Ok(Some(id));
        }
        self.interpreted.searched(spot.key.eip, self.searches);
        if self.interpreted.runs(spot.key.eip) < self.config.threshold {
            return Ok(None);
        }
        if self.hopeless.pass_by(&spot.key) {
            return Ok(None);
        }
        if self.worker.is_some() {
            self.submit(&spot);
            return Ok(None);
        }
        Ok(self.compile(&spot).ok())
    }

    /// A translation under the key of `spot` whose pages are all in place.
    fn find(&mut self, spot: &Spot) -> Option<UnitId> {
        let generation = self.owner.cpu.mmu.view().generation();
        let settled = |id: &UnitId| {
            let paging = spot.key.mode.paging;
            let known =
                |unit: &crate::cache::Translation| unit.reachable && (paging || unit.verified == generation);
            self.cache.get(*id).is_some_and(known)
        };
        let candidates = self.cache.find(&spot.key);
        if let Some(id) = candidates.iter().find(|id| settled(id)) {
            return Some(*id);
        }
        let in_place = |id: &&UnitId| {
            if spot.key.mode.paging {
                !self.has_moved(**id)
            } else {
                self.cache.in_place(**id, self.owner.cpu.mmu.view())
            }
        };
        match (candidates.iter().find(in_place).copied(), candidates) {
            (Some(id), _) => {
                self.cache.restore(id, generation);
                Some(id)
            }
            (None, [oldest, ..]) if candidates.len() >= MAX_VARIANTS => {
                self.drop_translation(*oldest, InvalidationCause::Variants);
                None
            }
            (None, _) => None,
        }
    }

    /// Runs the translation `id` of the code at EIP, where the next look finds it quickly.
    fn execute_found(&mut self, id: UnitId) -> Result<(), Stop> {
        let eip = self.owner.cpu.state.eip;
        self.cache.fill_jump_cache(&mut self.owner.cpu, eip, id);
        match self.cache.get(id) {
            Some(unit) => self.execute(unit.entry_cell),
            None => Ok(()),
        }
    }

    /// Runs translated code from an entry cell on until the run loop is needed.
    fn execute(&mut self, mut cell: u64) -> Result<(), Stop> {
        loop {
            self.stats.entries += 1;
            self.note(Activity::Translated);
            enter(&mut self.owner, cell);
            self.note(Activity::RunLoop);
            self.owner.cpu.translated_code_ran();
            if self.owner.panicked {
                return Err(Stop::Panicked(self.owner.cpu.state.eip));
            }
            let next = self.left()?.filter(|next| self.fits(*next) && self.owner.cpu.state.leave == 0);
            match next.and_then(|next| self.cache.get(next)) {
                Some(unit) => cell = unit.entry_cell,
                None => return Ok(()),
            }
        }
    }

    /// Handles the place where translated code left; a translation to go on with, if there is one.
    fn left(&mut self) -> Result<Option<UnitId>, Stop> {
        match self.owner.cpu.state.exit_site {
            SITE_UNLINKED => self.unlinked(),
            SITE_LOOKUP => {
                self.stats.lookups += 1;
                let eip = self.owner.cpu.state.eip;
                let found = self.translation_in_budget()?;
                if let Some(id) = found
                    && self.owner.cpu.state.eip == eip
                {
                    self.cache.fill_jump_cache(&mut self.owner.cpu, eip, id);
                }
                Ok(found)
            }
            number => {
                let Some((id, site)) = self.cache.site(number) else { return Ok(None) };
                self.at_site(id, site)?;
                match site.kind {
                    SiteKind::Page if self.owner.cpu.state.leave == 0 => self.translation_in_budget(),
                    _ => Ok(None),
                }
            }
        }
    }

    /// A direct exit that led nowhere yet.
    fn unlinked(&mut self) -> Result<Option<UnitId>, Stop> {
        let cell = self.owner.cpu.state.exit_cell;
        let Some((_, target)) = self.cache.exit_of(cell) else { return Ok(None) };
        self.owner.cpu.state.eip = target;
        let found = self.translation_in_budget()?;
        // Compiling may have evicted the unit that the exit belongs to.
        if let Some(id) = found
            && self.owner.cpu.state.eip == target
            && self.cache.exit_of(cell).is_some_and(|(_, same)| same == target)
        {
            self.stats.links += 1;
            self.cache.link(cell, id);
        }
        Ok(found)
    }

    /// Restores the exact state at a site and does what it asks for.
    fn at_site(&mut self, id: UnitId, site: Site) -> Result<(), Stop> {
        if self.config.counted {
            self.cache.cut_short(id, site.place);
        }
        let state = &mut self.owner.cpu.state;
        let resumed = site.kind == SiteKind::Helper && state.helper_status == status::RESUME;
        if !resumed {
            state.eip = site.eip;
        }
        state.budget = state.budget.wrapping_sub_unsigned(site.executed);
        if let Some(op) = site.cc_op {
            state.cc_op = op;
        }
        let spent = state.budget <= 0;
        match site.kind {
            // The instruction at these sites is not among those that the unit asked budget for.
            SiteKind::Interp | SiteKind::Budget | SiteKind::Page | SiteKind::Crossing if spent => Ok(()),
            SiteKind::Helper if resumed => Ok(()),
            SiteKind::Helper => self.pending_trap(),
            SiteKind::Access if state.helper_status == status::FAULT => self.pending_trap(),
            SiteKind::Access => {
                self.stats.access_exits += 1;
                self.count_slow(id, site.eip, Failed::Access);
                self.interpret_one()
            }
            SiteKind::Range => {
                self.stats.range_exits += 1;
                let before = self.owner.cpu.mmu.stats().bus_accesses;
                self.interpret_one()?;
                let by_bus = self.owner.cpu.mmu.stats().bus_accesses != before;
                self.count_slow(id, site.eip, if by_bus { Failed::Access } else { Failed::Range });
                Ok(())
            }
            SiteKind::Group => {
                self.stats.group_exits += 1;
                self.count_slow(id, site.eip, Failed::Group);
                self.interpret_one()
            }
            SiteKind::Interp => self.interpret_one(),
            SiteKind::Budget => {
                self.stats.budget_exits += 1;
                if self.exact { self.interpret_one() } else { self.end_slice() }
            }
            SiteKind::Leave => Ok(()),
            SiteKind::Page => {
                self.stats.page_exits += 1;
                // A fault comes again when the run loop looks for the code.
                if self.spot().is_ok() {
                    self.sever_if_moved(id);
                }
                Ok(())
            }
            SiteKind::Crossing => {
                self.stats.page_exits += 1;
                self.interpret_one()?;
                let next = LinearAddr(site.next.wrapping_sub(1));
                if let Some(page) = self.owner.cpu.code_page(next) {
                    self.page_found(next.page(), &page);
                }
                self.sever_if_moved(id);
                Ok(())
            }
        }
    }

    /// Ends a slice that need not end exactly.
    fn end_slice(&mut self) -> Result<(), Stop> {
        self.owner.cpu.state.leave |= leave::DEVICE;
        Ok(())
    }

    fn pending_trap(&mut self) -> Result<(), Stop> {
        match self.owner.pending.take() {
            Some(trap) => self.finish(Err(trap)),
            None => Ok(()),
        }
    }

    /// Counts an inline access that could not be made; too many, and the unit is made anew without it.
    fn count_slow(&mut self, id: UnitId, eip: u32, failed: Failed) {
        let Some(unit) = self.cache.get(id) else { return };
        let Some(place) = unit.place_of(eip) else { return };
        let count = self.slow_counts.entry(place).or_insert(0);
        *count += 1;
        let enough = if failed == Failed::Group { self.config.ungroup_after } else { self.config.slow_after };
        if *count >= enough {
            *count = 0;
            match failed {
                Failed::Access => self.stats.slow_insns += u64::from(self.slow.insert(place)),
                Failed::Range => self.stats.windowed_insns += u64::from(self.windowed.insert(place)),
                Failed::Group => self.stats.ungrouped_insns += u64::from(self.ungrouped.insert(place)),
            }
            self.drop_translation(id, InvalidationCause::SlowAccess);
        }
        if self.slow_counts.len() > 1 << 16 {
            self.slow_counts.clear();
        }
    }

    /// Delivers an exception to the guest.
    pub(crate) fn raise(&mut self, exception: Exception) -> Result<(), Stop> {
        self.finish(Err(Trap::Exception(exception)))
    }

    pub(crate) fn finish(&mut self, outcome: Result<(), Trap>) -> Result<(), Stop> {
        let eip = self.owner.cpu.state.eip;
        let trap = match outcome {
            Ok(()) => return Ok(()),
            Err(Trap::Exception(exception)) => {
                self.stats.exceptions += 1;
                flags::materialize(&mut self.owner.cpu.state);
                tracing::trace!(target: "cpu::exception", ?exception, eip, "delivered");
                self.owner.cpu.state.interrupt_shadow = false;
                self.owner.cpu.state.leave |= leave::MODE;
                self.owner.cpu.deliver(exception)
            }
            Err(other) => Err(other),
        };
        match trap {
            Ok(()) => Ok(()),
            Err(Trap::Unsupported(what)) => Err(Stop::Unsupported(eip, what)),
            Err(Trap::Shutdown | Trap::Exception(_)) => Err(Stop::Shutdown(eip)),
        }
    }
}
