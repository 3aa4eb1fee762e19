//! From an EIP to a translation in the cache.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use base::{LinearAddr, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE};
use cpu::{CodeSource, Exception};
use jit::abi::SITES_PER_UNIT;
use jit::{CodeBytes, CompiledUnit, RamRange, TranslateError, UnitRequest};
use memory::{FlatView, RamBlock, RamId, Target};

use crate::cache::{Made, TranslationKey, UnitId};
use crate::run::Engine;
use crate::stats::InvalidationCause;

/// Pages before and after the entry's that a unit may reach into while paging is off.
const REACH: u64 = 8;

/// A place that a translation can be made at.
#[derive(Clone)]
pub struct Spot {
    pub block: Arc<RamBlock>,
    pub key: TranslationKey,
    /// Physical address of the entry.
    pub phys: u64,
}

/// One compilation on its way.
pub struct Job {
    /// Number set aside for the translation.
    pub id: UnitId,
    pub spot: Spot,
    pub request: UnitRequest,
    /// Block offset of the first byte copied.
    pub start: u64,
}

impl Engine {
    /// Where the code at EIP lies, if translations can be made of it.
    ///
    /// # Errors
    /// #PF of the fetch.
    pub(crate) fn spot(&mut self) -> Result<Option<Spot>, Exception> {
        let cpu = &mut self.owner.cpu;
        let eip = cpu.state.eip;
        let la = LinearAddr(eip.wrapping_add(self.mode.cs_base));
        let CodeSource::Page { block, offset, phys } = cpu.code_source(la)? else { return Ok(None) };
        let inside = u64::from(la.page_offset());
        let key = TranslationKey { ram: block.id(), offset: offset + inside, eip, mode: self.mode };
        Ok(Some(Spot { block, key, phys: phys.0 + inside }))
    }

    /// Compiles the code at `spot` and enters it into the cache.
    ///
    /// # Errors
    /// As `jit::Compiler::compile` and `jit::CodeArena::place`.
    pub(crate) fn compile(&mut self, spot: &Spot) -> Result<UnitId, TranslateError> {
        let started = Instant::now();
        let job = self.job(spot);
        let unit = self.compiler.compile(&job.request);
        self.stats.compile_ns += started.elapsed().as_nanos() as u64;
        self.finish_job(job, unit)
    }

    /// Installs what came of a compilation.
    pub(crate) fn finish_job(
        &mut self,
        job: Job,
        unit: Result<CompiledUnit, TranslateError>,
    ) -> Result<UnitId, TranslateError> {
        let id = job.id;
        let installed = unit.and_then(|unit| self.install(&job, unit));
        if let Err(error) = &installed {
            self.cache.release(id);
            if let TranslateError::Refused { .. } = error {
                self.stats.refused += 1;
                tracing::warn!(target: "engine::translate", "{error}");
            }
        }
        installed
    }

    /// What to compile at `spot`.
    pub(crate) fn job(&mut self, spot: &Spot) -> Job {
        let (start, end) = self.copied_range(spot);
        let mut bytes = vec![0; (end - start) as usize];
        let read = spot.block.read(start, &mut bytes);
        debug_assert!(read, "the range lies inside the block");
        let entry = spot.key.eip;
        let eip_of = |offset: u64| entry.wrapping_add((offset.wrapping_sub(spot.key.offset)) as u32);
        let eips = |places: &BTreeSet<(RamId, u64)>| {
            places
                .range((spot.key.ram, start)..(spot.key.ram, end))
                .map(|(_, offset)| eip_of(*offset))
                .collect()
        };
        let mode = spot.key.mode.unit_mode();
        let id = self.cache.reserve();
        let request = UnitRequest {
            entry,
            mode,
            code: CodeBytes { start: eip_of(start), bytes },
            site_base: id * SITES_PER_UNIT,
            range: self.range.filter(|_| mode.flat && !mode.paging),
            windowed: eips(&self.windowed),
            slow: eips(&self.slow),
            limit: self.config.unit_limit,
            counted: self.config.counted,
        };
        Job { id, spot: spot.clone(), request, start }
    }

    /// Block offsets of the bytes that a unit at `spot` may be made of: its page; with paging off also its
    /// neighbours, as far as one flat range shows them side by side.
    fn copied_range(&self, spot: &Spot) -> (u64, u64) {
        let page = spot.key.offset & !PAGE_MASK;
        let (mut start, mut end) = (page, page + PAGE_SIZE);
        if spot.key.mode.paging {
            return (start, end);
        }
        let Some(range) = self.owner.cpu.mmu.view().lookup(spot.phys) else { return (start, end) };
        let Target::Host(slice) = &range.read else { return (start, end) };
        let lowest = slice.offset.next_multiple_of(PAGE_SIZE);
        let bytes = range.range.last() - range.range.first();
        let highest = (slice.offset.saturating_add(bytes).saturating_add(1)) & !PAGE_MASK;
        start = page.saturating_sub(REACH << PAGE_SHIFT).max(lowest).min(page);
        end = (page + ((REACH + 1) << PAGE_SHIFT)).min(highest).max(end);
        // EIP must not wrap inside the copy.
        let below = u64::from(spot.key.eip).saturating_sub(spot.key.offset - start);
        if below == 0 {
            start = page;
        }
        let above = u64::from(u32::MAX) - u64::from(spot.key.eip);
        end = end.min(spot.key.offset.saturating_add(above) & !PAGE_MASK).max(page + PAGE_SIZE);
        (start, end)
    }

    /// Places a compiled unit, unless its bytes changed meanwhile.
    fn install(&mut self, job: &Job, unit: CompiledUnit) -> Result<UnitId, TranslateError> {
        let Job { id, spot, request, start } = job;
        let (id, start) = (*id, *start);
        let nothing = TranslateError::NothingToTranslate(request.entry);
        if unit.sites.len() >= SITES_PER_UNIT as usize {
            return Err(TranslateError::Refused { eip: request.entry, reason: "too many sites".to_owned() });
        }
        if request.range.is_some() && request.range != self.range {
            self.stats.stale += 1;
            return Err(nothing);
        }
        let offset_of = |eip: u32| start + u64::from(eip.wrapping_sub(request.code.start));
        let covers: Vec<(u64, u64)> = unit
            .covers
            .iter()
            .map(|(from, to)| (offset_of(*from), offset_of(*from) + u64::from(to.wrapping_sub(*from))))
            .collect();
        for (from, to) in &covers {
            self.mark_code(&spot.block, *from, to - from);
        }
        if !unchanged(&spot.block, request, start, &covers) {
            self.stats.stale += 1;
            self.tidy_lines(&spot.block, &covers);
            return Err(nothing);
        }
        let cells = self.cache.alloc_cells(unit.exits.len(), unit.counted.len());
        let placed = match self.place(&unit, &cells) {
            Ok(placed) => placed,
            Err(error) => {
                self.cache.free_cells(&cells);
                self.tidy_lines(&spot.block, &covers);
                return Err(error);
            }
        };
        self.blocks.entry(spot.key.ram).or_insert_with(|| Arc::clone(&spot.block));
        self.stats.units += 1;
        self.stats.unit_insns += u64::from(unit.counts.insns);
        self.stats.code_bytes += unit.code.len() as u64;
        let made = Made {
            id,
            baked_range: request.range.is_some(),
            key: spot.key,
            unit,
            placed,
            cells,
            covers,
            phys_delta: spot.phys.wrapping_sub(spot.key.offset),
            generation: self.owner.cpu.mmu.view().generation(),
        };
        Ok(self.cache.insert(made))
    }

    /// Finds room for a unit, recycling the oldest generation when there is none.
    fn place(&mut self, unit: &CompiledUnit, cells: &[u64]) -> Result<jit::Placed, TranslateError> {
        match self.code.place(unit, cells) {
            Err(TranslateError::NoCodeMemory(_)) => {
                let oldest = self.code.next();
                for id in self.cache.in_generation(oldest) {
                    self.drop_translation(id, InvalidationCause::Eviction);
                }
                self.code.advance();
                self.code.place(unit, cells)
            }
            placed => placed,
        }
    }
}

/// Whether the bytes that went into the unit are still those in memory.
fn unchanged(block: &RamBlock, request: &UnitRequest, start: u64, covers: &[(u64, u64)]) -> bool {
    covers.iter().all(|(from, to)| {
        let mut now = vec![0; (to - from) as usize];
        let copied = &request.code.bytes[(from - start) as usize..(to - start) as usize];
        block.read(*from, &mut now) && now == copied
    })
}

/// First address of the paging-off range: low memory has holes, and its edges move (jit.md, 1).
const RANGE_START: u32 = 1 << 20;

/// The paging-off range of a flat view: the plain RAM from 1 MiB up, with the host address of its first byte.
pub fn ram_range(view: &FlatView) -> Option<(RamRange, u64)> {
    let flat = view.lookup(u64::from(RANGE_START))?;
    let (Target::Host(read), Target::Host(write)) = (&flat.read, &flat.write) else { return None };
    if read.block.id() != write.block.id() || read.offset != write.offset {
        return None;
    }
    let bytes = flat.range.last() - u64::from(RANGE_START) + 1;
    let len = u32::try_from(bytes.min(u64::from(u32::MAX - RANGE_START)) & !PAGE_MASK).ok()?;
    let host = read.block.host().address() + read.offset + (u64::from(RANGE_START) - flat.range.first());
    (len > 0).then_some((RamRange { start: RANGE_START, len }, host))
}
