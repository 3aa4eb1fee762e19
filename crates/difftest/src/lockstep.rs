#![forbid(unsafe_code)]
//! Random programs on two executors, compared at exact instruction counts.
//!
//! One pair of benches serves a batch of programs: RAM pages that differ from the next program's image are
//! written, the processor is put into the program's start state, and translations of code that did not change
//! stay. What a program does to the translation cache must not matter to the next; a batch has an end so
//! that places in the code which were found slow are inlined again, and a difference can be replayed.
//! The reference interprets; the subject translates. Both follow the same policy for undefined flags, so
//! everything that a guest can see must be equal.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::{Engine, EngineConfig, JitMode, OpCounts, Platform, Stats, Stop};
use isa::Op;

use crate::bench::{Bench, Injector, TraceBlock};
use crate::generate::generate;
use crate::guests::next_line;
use crate::program::{Program, RAM_BYTES, Variant};
use crate::snapshot::{Origin, Snapshot};
use crate::subject::SubjectError;

/// Bytes compared and loaded at once.
const PAGE: usize = 0x1000;
/// Instructions shown before a difference.
const SHOWN: u64 = 16;

/// How programs are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockstepConfig {
    /// When the subject compiles; [`JitMode::Off`] compares the interpreter with itself.
    pub jit: JitMode,
    /// Code memory of the subject.
    pub code_bytes: usize,
    /// Most instructions in a unit of the subject: in most batches of programs, and in each eighth. Units
    /// overlap, so small ones compile much sooner; large ones have more of loops and merges.
    pub unit_limits: [usize; 2],
    /// Runs of each program. In the background compilation needs many until translated code is there to run.
    pub repeats: u32,
    /// Threads, each with its own pair.
    pub threads: usize,
    /// Count executions by operation.
    pub counted: bool,
    /// Whether Cranelift checks each function before it compiles it.
    pub verify: bool,
    /// Differences after which no further program is started.
    pub most_divergences: usize,
}

impl Default for LockstepConfig {
    fn default() -> Self {
        Self {
            jit: JitMode::Sync,
            code_bytes: 16 << 20,
            unit_limits: [16, 200],
            repeats: 1,
            threads: 2,
            counted: true,
            verify: cfg!(debug_assertions),
            most_divergences: 1,
        }
    }
}

impl LockstepConfig {
    /// With compilation in the background.
    #[must_use]
    pub fn background() -> Self {
        Self { jit: JitMode::Background, repeats: 16, ..Self::default() }
    }

    fn reference(&self) -> EngineConfig {
        EngineConfig { jit: JitMode::Off, code_bytes: 1 << 20, ..EngineConfig::default() }
    }

    fn subject(&self, batch: u64) -> EngineConfig {
        EngineConfig {
            jit: self.jit,
            threshold: 0,
            code_bytes: self.code_bytes,
            unit_limit: self.unit_limits[usize::from(batch.is_multiple_of(8))],
            counted: self.counted,
            // Programs are short: what waits for the worker, or for a group to be dissolved, would not be tested.
            queue: 16,
            ungroup_after: 3,
            verify: self.verify,
            ..EngineConfig::default()
        }
    }
}

/// One executor on its bench.
struct Side {
    engine: Engine,
    bench: Bench,
    injector: Arc<Injector>,
    origin: Origin,
    /// RAM as `refresh` has read it.
    seen: Vec<u8>,
    /// Instructions have run since then.
    stale: bool,
}

impl Side {
    fn new(config: EngineConfig, ram_bytes: u64) -> Result<Self, SubjectError> {
        let (bench, cpu) = Bench::new(ram_bytes)?;
        let injector = Arc::new(Injector::default());
        let platform = Arc::clone(&injector) as Arc<dyn Platform>;
        let engine = Engine::new(cpu, platform, config)?;
        Ok(Self {
            engine,
            bench,
            injector,
            origin: Origin::default(),
            seen: vec![0; ram_bytes as usize],
            stale: false,
        })
    }

    /// Puts `program` and its start state in place.
    fn load(&mut self, program: &Program) {
        self.refresh();
        let pages = program.image.chunks(PAGE).zip(self.seen.chunks_mut(PAGE));
        for (number, (wanted, present)) in pages.enumerate() {
            if wanted != present {
                self.bench.ram.write((number * PAGE) as u64, wanted);
                present.copy_from_slice(wanted);
            }
        }
        *self.bench.block.lock() = TraceBlock::default();
        program.start(self.engine.cpu_mut());
        self.origin = Origin::of(&self.engine);
        let start = self.origin.time_ns;
        self.injector.plan(program.interrupts.iter().map(|count| start + count * cpu::NS_PER_INSN));
    }

    fn refresh(&mut self) {
        if std::mem::take(&mut self.stale) {
            self.bench.ram.read(0, &mut self.seen);
        }
    }

    fn run(&mut self, count: u64) -> Stop {
        self.stale = true;
        self.engine.run(Some(self.origin.instructions + count))
    }

    fn look(&mut self) -> (Snapshot, TraceBlock) {
        self.refresh();
        let block = self.bench.block.lock().clone();
        (Snapshot::take(&mut self.engine, self.origin), block)
    }
}

/// The first difference of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Seed of the program.
    pub seed: u64,
    /// What the program is like.
    pub variant: Variant,
    /// Instructions after which the difference is there.
    pub count: u64,
    /// What differs: reference against subject.
    pub differences: Vec<String>,
    /// The instructions before it, the last one last.
    pub trace: Vec<String>,
    /// First seed of a run that shows it again: the program's own, if it differs on a fresh pair.
    pub replay_from: u64,
    /// State of the reference after them.
    pub reference: Option<Snapshot>,
    /// State of the subject after them.
    pub subject: Option<Snapshot>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "program {} differs after {} instructions ({:?})", self.seed, self.count, self.variant)?;
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        for line in &self.differences {
            writeln!(f, "  differs: {line}")?;
        }
        for (name, snapshot) in [("reference", &self.reference), ("subject", &self.subject)] {
            let Some(snapshot) = snapshot else { continue };
            write!(f, "  {name}:")?;
            for (field, value) in snapshot.fields().iter().take(10) {
                write!(f, " {field}={value}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "  replay: marq diff lockstep --seeds {}..{}", self.replay_from, self.seed + 1)
    }
}

/// How the compared programs ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Endings {
    /// At the instruction limit.
    pub limit: u64,
    /// By HLT.
    pub halted: u64,
    /// By a triple fault.
    pub shutdown: u64,
    /// By a part of the processor that is not built.
    pub unsupported: u64,
}

/// What a campaign has done.
#[derive(Clone, Debug, Default)]
pub struct LockstepReport {
    /// Programs compared.
    pub programs: u64,
    /// Instructions that they executed.
    pub instructions: u64,
    /// Exceptions delivered to them.
    pub exceptions: u64,
    /// Interrupts delivered to them.
    pub interrupts: u64,
    /// How they ended.
    pub endings: Endings,
    /// Differences, by seed.
    pub divergences: Vec<Divergence>,
    /// Executions of the subjects by operation.
    pub ops: OpCounts,
    /// Units compiled, guest instructions in them, and the time that it took.
    pub units: [u64; 3],
    /// Units that the code generator refused, and units evicted from code memory.
    pub lost: [u64; 2],
}

impl LockstepReport {
    fn merge(&mut self, other: Self) {
        self.programs += other.programs;
        self.instructions += other.instructions;
        self.exceptions += other.exceptions;
        self.interrupts += other.interrupts;
        self.endings.limit += other.endings.limit;
        self.endings.halted += other.endings.halted;
        self.endings.shutdown += other.endings.shutdown;
        self.endings.unsupported += other.endings.unsupported;
        for (sum, more) in self.lost.iter_mut().zip(other.lost) {
            *sum += more;
        }
        for (sum, more) in self.units.iter_mut().zip(other.units) {
            *sum += more;
        }
        self.divergences.extend(other.divergences);
        self.divergences.sort_by_key(|divergence| divergence.seed);
        add_ops(&mut self.ops, &other.ops);
    }

    /// Operations whose translated code ran, but fewer than `least` times.
    #[must_use]
    pub fn thin(&self, least: i64) -> Vec<(&'static str, i64)> {
        let counts = Op::ALL.iter().map(|op| (op.name(), self.ops.emitted[*op as usize]));
        counts.filter(|(_, count)| *count > 0 && *count < least).collect()
    }
}

fn add_ops(sum: &mut OpCounts, more: &OpCounts) {
    let tables = [
        (&mut sum.emitted, &more.emitted),
        (&mut sum.delegated, &more.delegated),
        (&mut sum.interpreted, &more.interpreted),
    ];
    for (sum, more) in tables {
        for (sum, more) in sum.iter_mut().zip(more) {
            *sum += more;
        }
    }
}

impl fmt::Display for LockstepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12} {:>12} {:>12} {:>12}", "operation", "emitted", "delegated", "interpreted")?;
        let mut totals = [0; 3];
        for op in Op::ALL {
            let number = *op as usize;
            let counts = [self.ops.emitted[number], self.ops.delegated[number], self.ops.interpreted[number]];
            if counts != [0; 3] {
                writeln!(f, "{:<12} {:>12} {:>12} {:>12}", op.name(), counts[0], counts[1], counts[2])?;
            }
            for (total, count) in totals.iter_mut().zip(counts) {
                *total += count;
            }
        }
        writeln!(f, "{:<12} {:>12} {:>12} {:>12}", "all", totals[0], totals[1], totals[2])?;
        writeln!(
            f,
            "{} programs, {} instructions, {} exceptions, {} interrupts; ended by limit {}, hlt {}, shutdown {}, unsupported {}",
            self.programs,
            self.instructions,
            self.exceptions,
            self.interrupts,
            self.endings.limit,
            self.endings.halted,
            self.endings.shutdown,
            self.endings.unsupported
        )?;
        let [units, insns, compile_ns] = self.units;
        let (compile_ms, [refused, evicted]) = (compile_ns / 1_000_000, self.lost);
        writeln!(
            f,
            "{units} units of {insns} instructions compiled in {compile_ms} ms, {refused} refused, {evicted} evicted"
        )?;
        for divergence in &self.divergences {
            write!(f, "{divergence}")?;
        }
        writeln!(f, "{} differences", self.divergences.len())
    }
}

/// Two executors that programs are compared on.
pub struct Pair {
    reference: Side,
    subject: Side,
}

impl Pair {
    /// A pair for the programs of a batch, see [`BATCH`].
    ///
    /// # Errors
    /// [`SubjectError`].
    pub fn new(config: &LockstepConfig, batch: u64) -> Result<Self, SubjectError> {
        let reference = Side::new(config.reference(), RAM_BYTES)?;
        Ok(Self { reference, subject: Side::new(config.subject(batch), RAM_BYTES)? })
    }

    /// A pair with another amount of RAM, which the images of its programs must fill.
    ///
    /// # Errors
    /// [`SubjectError`].
    pub(crate) fn with_ram(config: &LockstepConfig, ram_bytes: u64) -> Result<Self, SubjectError> {
        let reference = Side::new(config.reference(), ram_bytes)?;
        Ok(Self { reference, subject: Side::new(config.subject(0), ram_bytes)? })
    }

    /// RAM of the reference when the executors were last compared.
    pub(crate) fn ram(&self) -> &[u8] {
        &self.reference.seen
    }

    /// Counts of the subject so far.
    #[must_use]
    pub fn stats(&self) -> (Stats, OpCounts) {
        (self.subject.engine.stats(), self.subject.engine.op_counts())
    }

    /// Runs `program` on both and compares at its checkpoints and at its end.
    ///
    /// # Errors
    /// The first difference, narrowed down to an instruction where that is possible.
    pub fn compare(&mut self, program: &Program) -> Result<(Snapshot, Stop), Box<Divergence>> {
        self.load(program);
        for count in program.checkpoints.iter().chain([&program.limit]) {
            match self.run_to(*count) {
                Ok((_, Stop::Limit)) if *count < program.limit => {}
                Ok(end) => return Ok(end),
                Err(differences) => return Err(Box::new(self.narrow(program, *count, differences))),
            }
        }
        unreachable!("the last count is the limit")
    }

    /// Puts `program` and its start state on both.
    pub(crate) fn load(&mut self, program: &Program) {
        self.reference.load(program);
        self.subject.load(program);
    }

    /// Runs both to `count` and compares everything.
    pub(crate) fn run_to(&mut self, count: u64) -> Result<(Snapshot, Stop), Vec<String>> {
        let stops = (self.reference.run(count), self.subject.run(count));
        let (reference, subject) = (self.reference.look(), self.subject.look());
        let mut differences = Vec::new();
        if stops.0 != stops.1 {
            differences.push(format!("end: {:?} against {:?}", stops.0, stops.1));
        }
        differences.extend(reference.0.differences(&subject.0));
        if reference.1 != subject.1 {
            differences.push(format!("device: {:x?} against {:x?}", reference.1, subject.1));
        }
        differences.extend(self.memory_differences());
        if differences.is_empty() { Ok((reference.0, stops.0)) } else { Err(differences) }
    }

    fn memory_differences(&self) -> Vec<String> {
        if self.reference.seen == self.subject.seen {
            return Vec::new();
        }
        let bytes = self.reference.seen.iter().zip(&self.subject.seen).enumerate();
        bytes
            .filter(|(_, (reference, subject))| reference != subject)
            .take(8)
            .map(|(address, (reference, subject))| {
                format!("byte {address:#x}: {reference:02x} against {subject:02x}")
            })
            .collect()
    }

    /// Finds the smallest count at which the program differs when it is run straight to there.
    fn narrow(&mut self, program: &Program, count: u64, found: Vec<String>) -> Divergence {
        let (mut low, mut high, mut differences) = (0, count, found);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            self.load(program);
            match self.run_to(middle) {
                Ok(_) => low = middle,
                Err(found) => (high, differences) = (middle, found),
            }
        }
        self.load(program);
        // The difference of a straight run, if it shows there too.
        if let Err(found) = self.run_to(high) {
            differences = found;
        }
        let (reference, subject) = (self.reference.look().0, self.subject.look().0);
        let high = high.min(reference.instructions);
        Divergence {
            seed: program.seed,
            variant: program.variant,
            count: high,
            differences,
            trace: self.trace(program, high),
            replay_from: program.seed,
            reference: Some(reference),
            subject: Some(subject),
        }
    }

    /// The instructions of the reference up to `count`.
    fn trace(&mut self, program: &Program, count: u64) -> Vec<String> {
        self.reference.load(program);
        let first = count.saturating_sub(SHOWN);
        if first > 0 && self.reference.run(first) != Stop::Limit {
            return Vec::new();
        }
        let mut lines = Vec::new();
        for next in first..=count {
            lines.push(next_line(&mut self.reference.engine, self.reference.origin));
            if next == count || self.reference.run(next + 1) != Stop::Limit {
                break;
            }
        }
        lines
    }
}

/// Compares the programs of `seeds`, on as many threads as `config` says; `progress` gets the programs done so far.
///
/// # Errors
/// [`SubjectError`] when a pair cannot be made.
pub fn run_seeds(
    seeds: Range<u64>,
    config: &LockstepConfig,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<LockstepReport, SubjectError> {
    let campaign = Campaign {
        next: AtomicU64::new(seeds.start / BATCH),
        seeds,
        config,
        found: AtomicU64::new(0),
        done: AtomicU64::new(0),
        progress,
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..config.threads.max(1)).map(|_| scope.spawn(|| campaign.work())).collect();
        let mut report = LockstepReport::default();
        for worker in workers {
            report.merge(worker.join().expect("a worker catches the panics of programs")?);
        }
        Ok(report)
    })
}

/// Programs that share a pair: those whose seeds have the same quotient by this number.
pub const BATCH: u64 = 64;

struct Campaign<'a> {
    seeds: Range<u64>,
    config: &'a LockstepConfig,
    next: AtomicU64,
    found: AtomicU64,
    done: AtomicU64,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Campaign<'_> {
    fn work(&self) -> Result<LockstepReport, SubjectError> {
        let mut report = LockstepReport::default();
        while !self.is_over() {
            let batch = self.next.fetch_add(1, Ordering::Relaxed);
            let first = batch.saturating_mul(BATCH).max(self.seeds.start);
            let end = batch.saturating_add(1).saturating_mul(BATCH).min(self.seeds.end);
            if first >= end {
                break;
            }
            self.batch(batch, first..end, &mut report)?;
            let programs = end - first;
            (self.progress)(self.done.fetch_add(programs, Ordering::Relaxed) + programs);
        }
        Ok(report)
    }

    fn is_over(&self) -> bool {
        self.found.load(Ordering::Relaxed) >= self.config.most_divergences as u64
    }

    fn batch(&self, batch: u64, seeds: Range<u64>, report: &mut LockstepReport) -> Result<(), SubjectError> {
        let mut pair = Pair::new(self.config, batch)?;
        let mut first = seeds.start;
        for seed in seeds {
            if self.is_over() {
                break;
            }
            let Err(mut divergence) = self.program(&mut pair, seed, report) else { continue };
            self.found.fetch_add(1, Ordering::Relaxed);
            // What differs is in an unknown state.
            take_stats(&pair, report);
            pair = Pair::new(self.config, batch)?;
            if self.program(&mut pair, seed, &mut LockstepReport::default()).is_ok() {
                divergence.replay_from = first;
            }
            report.divergences.push(*divergence);
            pair = Pair::new(self.config, batch)?;
            first = seed + 1;
        }
        take_stats(&pair, report);
        Ok(())
    }

    /// Compares one program, as often as the settings say.
    fn program(
        &self,
        pair: &mut Pair,
        seed: u64,
        report: &mut LockstepReport,
    ) -> Result<(), Box<Divergence>> {
        let program = generate(seed);
        report.programs += 1;
        for _ in 0..self.config.repeats.max(1) {
            run_once(pair, &program, report)?;
        }
        Ok(())
    }
}

/// Compares one run of a program.
fn run_once(pair: &mut Pair, program: &Program, report: &mut LockstepReport) -> Result<(), Box<Divergence>> {
    let outcome = catch_unwind(AssertUnwindSafe(|| pair.compare(program)));
    match outcome {
        Ok(Ok((snapshot, stop))) => {
            report.instructions += snapshot.instructions;
            report.exceptions += snapshot.delivered[0];
            report.interrupts += snapshot.delivered[1];
            count_ending(&mut report.endings, &stop);
            Ok(())
        }
        Ok(Err(divergence)) => Err(divergence),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(Box::new(panicked(program, message)))
        }
    }
}

fn panicked(program: &Program, message: &str) -> Divergence {
    Divergence {
        seed: program.seed,
        variant: program.variant,
        count: 0,
        differences: vec![format!("an executor panicked: {message}")],
        trace: Vec::new(),
        replay_from: program.seed,
        reference: None,
        subject: None,
    }
}

fn take_stats(pair: &Pair, report: &mut LockstepReport) {
    let (stats, ops) = pair.stats();
    for (sum, more) in report.lost.iter_mut().zip([stats.refused, stats.evicted]) {
        *sum += more;
    }
    for (sum, more) in report.units.iter_mut().zip([stats.units, stats.unit_insns, stats.compile_ns]) {
        *sum += more;
    }
    add_ops(&mut report.ops, &ops);
}

fn count_ending(endings: &mut Endings, stop: &Stop) {
    match stop {
        Stop::Limit => endings.limit += 1,
        Stop::Halted(_) => endings.halted += 1,
        Stop::Shutdown(_) => endings.shutdown += 1,
        Stop::Unsupported(..) => endings.unsupported += 1,
        // The bench has no exit port and nobody asks it to stop; a panic is a difference.
        Stop::Exit(_) | Stop::Requested | Stop::Panicked(_) => {}
    }
}
