//! From an EIP to a translation in the cache.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use base::{LinearAddr, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE};
use cpu::{CodePage, CodeSource, Exception};
use jit::abi::SITES_PER_UNIT;
use jit::{CodeBytes, CompiledUnit, RamRange, TranslateError, UnitRequest};
use memory::{FlatView, RamId, Target};

use crate::cache::{Made, Piece, TranslationKey, UnitId};
use crate::pages::PageKey;
use crate::run::Engine;
use crate::stats::InvalidationCause;
use crate::times::since;
use crate::worker::Worker;

/// Pages before and after the entry's that a unit may reach into.
const REACH: u32 = 8;

/// A place that a translation can be made at.
#[derive(Clone)]
pub struct Spot {
    pub key: TranslationKey,
    /// The page that holds it.
    pub page: CodePage,
}

/// One compilation on its way.
pub struct Job {
    /// Number set aside for the translation.
    pub id: UnitId,
    pub spot: Spot,
    pub request: UnitRequest,
    /// The pages that the copied bytes are from, one after the other.
    pub pages: Vec<CodePage>,
    /// Generation of the flat view that showed them.
    pub generation: u64,
}

impl Job {
    /// The piece of memory that the code bytes from `from` up to `to` are from; they lie in one page.
    fn piece(&self, from: u32, to: u32) -> Option<Piece> {
        let inside = u64::from(from.wrapping_sub(self.request.code.start));
        let page = self.pages.get((inside >> PAGE_SHIFT) as usize)?;
        let offset = inside & PAGE_MASK;
        let start = page.offset + offset;
        let end = start + u64::from(to.wrapping_sub(from));
        Some(Piece { eip: from, ram: page.block.id(), start, end, phys: page.phys.0 + offset })
    }

    /// What its translation expects at a linear page.
    fn page_key(&self, linear: u32) -> Option<(PageKey, u64)> {
        let first = self.request.code.start >> PAGE_SHIFT;
        let page = self.pages.get(linear.wrapping_sub(first) as usize)?;
        let key = PageKey {
            ram: page.block.id(),
            page: page.offset >> PAGE_SHIFT,
            linear,
            user: self.spot.key.mode.user,
        };
        Some((key, page.phys.0 >> PAGE_SHIFT))
    }
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
        let CodeSource::Page(page) = cpu.code_source(la)? else { return Ok(None) };
        let offset = page.offset + u64::from(la.page_offset());
        let key = TranslationKey { ram: page.block.id(), offset, eip, mode: self.mode };
        self.page_found(la.page(), &page);
        Ok(Some(Spot { key, page }))
    }

    /// A fetch has gone through the TLB to `page`: guards need not leave for it in this epoch.
    pub(crate) fn page_found(&mut self, linear: u32, page: &CodePage) {
        if self.mode.paging {
            let key = PageKey {
                ram: page.block.id(),
                page: page.offset >> PAGE_SHIFT,
                linear,
                user: self.mode.user,
            };
            self.cache.pages.found(key, page.phys.0 >> PAGE_SHIFT, self.owner.cpu.state.epoch);
        }
    }

    /// Makes a translation unreachable if the TLB or, when it knows nothing, the page tables show something else
    /// at one of its pages.
    pub(crate) fn sever_if_moved(&mut self, id: UnitId) {
        if self.has_moved(id) {
            self.stats.severed_by_paging += u64::from(self.cache.sever(id));
        }
    }

    pub(crate) fn has_moved(&self, id: UnitId) -> bool {
        let cpu = &self.owner.cpu;
        self.cache.get(id).is_some_and(|translation| {
            translation.pages.iter().any(|key| {
                let la = LinearAddr(key.linear << PAGE_SHIFT);
                let page = cpu.code_page(la).or_else(|| cpu.code_page_ahead(la));
                page.is_some_and(|page| (page.block.id(), page.offset >> PAGE_SHIFT) != (key.ram, key.page))
            })
        })
    }

    /// Compiles the code at `spot` and enters it into the cache.
    ///
    /// # Errors
    /// As `jit::Compiler::compile` and `jit::CodeArena::place`.
    pub(crate) fn compile(&mut self, spot: &Spot) -> Result<UnitId, TranslateError> {
        self.compiling(|engine| {
            let started = Instant::now();
            let job = engine.job(spot);
            let unit = engine.compiler.compile(&job.request);
            engine.stats.compile_ns += since(started);
            engine.finish_job(job, unit)
        })
    }

    /// Has the worker compile the code at `spot`, if it has room and does not do so already.
    pub(crate) fn submit(&mut self, spot: &Spot) {
        if self.worker.as_ref().is_none_or(|worker| !worker.wants(&spot.key)) {
            return;
        }
        let job = self.compiling(|engine| engine.job(spot));
        if let Some(worker) = &mut self.worker
            && let Some(job) = worker.submit(job)
        {
            self.cache.release(job.id);
        }
    }

    /// Installs what the worker has finished.
    pub(crate) fn install_finished(&mut self) {
        while let Some(finished) = self.worker.as_mut().and_then(Worker::take) {
            self.stats.compile_ns += finished.compile_ns;
            self.times.background_ns += finished.compile_ns;
            // What went wrong is counted; the code is interpreted on.
            let _installed = self.compiling(|engine| engine.finish_job(finished.job, finished.unit));
        }
    }

    /// Installs what came of a compilation.
    pub(crate) fn finish_job(
        &mut self,
        job: Job,
        unit: Result<CompiledUnit, TranslateError>,
    ) -> Result<UnitId, TranslateError> {
        let (id, key) = (job.id, job.spot.key);
        let installed = unit.and_then(|unit| self.install(&job, unit));
        if installed.is_ok() {
            self.hopeless.forget(&key);
        }
        if let Err(error) = &installed {
            self.cache.release(id);
            self.hopeless.give_up(key);
            if let TranslateError::Refused { .. } = error {
                self.stats.refused += 1;
                tracing::warn!(target: "engine::translate", "{error}");
            }
        }
        installed
    }

    /// What to compile at `spot`.
    pub(crate) fn job(&mut self, spot: &Spot) -> Job {
        let (start, pages) = self.pages_around(spot);
        let mut bytes = vec![0; pages.len() << PAGE_SHIFT];
        let (mut windowed, mut slow, mut ungrouped) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (n, page) in pages.iter().enumerate() {
            let at = n << PAGE_SHIFT;
            let read = page.block.read(page.offset, &mut bytes[at..at + PAGE_SIZE as usize]);
            debug_assert!(read, "the page lies inside the block");
            let range = (page.block.id(), page.offset)..(page.block.id(), page.offset + PAGE_SIZE);
            let eip =
                |(_, offset): &(RamId, u64)| start.wrapping_add((at as u64 + offset - page.offset) as u32);
            windowed.extend(self.windowed.range(range.clone()).map(eip));
            slow.extend(self.slow.range(range.clone()).map(eip));
            ungrouped.extend(self.ungrouped.range(range).map(eip));
        }
        let mode = spot.key.mode.unit_mode();
        let id = self.cache.reserve();
        let request = UnitRequest {
            entry: spot.key.eip,
            mode,
            code: CodeBytes { start, bytes },
            site_base: id * SITES_PER_UNIT,
            range: self.range.filter(|_| mode.flat && !mode.paging),
            windowed,
            slow,
            ungrouped,
            likely: self.interpreted.targets_in(start, pages.len()),
            limit: self.config.unit_limit,
            counted: self.config.counted,
        };
        let generation = self.owner.cpu.mmu.view().generation();
        Job { id, spot: spot.clone(), request, pages, generation }
    }

    /// The pages that a unit at `spot` may be made of, and the linear address of the first: that of the entry and
    /// its neighbours, as far as they are plain memory. What the page tables show is good enough: with paging on
    /// guards look before code is run, with paging off a lookup does.
    fn pages_around(&self, spot: &Spot) -> (u32, Vec<CodePage>) {
        let page = spot.key.eip >> PAGE_SHIFT;
        let at = |page: u32| self.owner.cpu.code_page_ahead(LinearAddr(page << PAGE_SHIFT));
        let mut pages: VecDeque<CodePage> = VecDeque::from([spot.page.clone()]);
        let mut first = page;
        while first > 0 && page - first < REACH {
            let Some(below) = at(first - 1) else { break };
            pages.push_front(below);
            first -= 1;
        }
        for above in page + 1..=(page + REACH).min(u32::MAX >> PAGE_SHIFT) {
            let Some(above) = at(above) else { break };
            pages.push_back(above);
        }
        (first << PAGE_SHIFT, pages.into())
    }

    /// Places a compiled unit, unless its bytes changed meanwhile.
    fn install(&mut self, job: &Job, unit: CompiledUnit) -> Result<UnitId, TranslateError> {
        let Job { id, spot, request, .. } = job;
        let id = *id;
        let nothing = TranslateError::NothingToTranslate(request.entry);
        if unit.sites.len() >= SITES_PER_UNIT as usize {
            return Err(TranslateError::Refused { eip: request.entry, reason: "too many sites".to_owned() });
        }
        if request.range.is_some() && request.range != self.range {
            self.stats.stale += 1;
            return Err(nothing);
        }
        let pieces = pieces(job, &unit.covers);
        for page in &job.pages {
            self.blocks.entry(page.block.id()).or_insert_with(|| Arc::clone(&page.block));
        }
        for piece in &pieces {
            self.mark_code(piece);
        }
        if !self.unchanged(request, &pieces) {
            self.stats.stale += 1;
            self.tidy_lines(&pieces);
            return Err(nothing);
        }
        let mut cells = self.cache.alloc_cells(unit.exits.len(), unit.counted.len());
        let own = cells.len();
        let keys: Vec<(PageKey, u64)> = unit.pages.iter().filter_map(|page| job.page_key(*page)).collect();
        cells.extend(keys.iter().map(|(key, phys)| self.cache.pages.acquire(*key, *phys)));
        let placed = match self.place(&unit, &cells) {
            Ok(placed) => placed,
            Err(error) => {
                self.cache.free_cells(&cells[..own]);
                for (key, _) in keys {
                    self.cache.pages.release(key);
                }
                self.tidy_lines(&pieces);
                return Err(error);
            }
        };
        cells.truncate(own);
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
            pieces,
            pages: keys.iter().map(|(key, _)| *key).collect(),
            generation: job.generation,
        };
        let id = self.cache.insert(made);
        self.interpreted.searched(spot.key.eip, 0);
        for (key, _) in keys {
            if let Some(page) = self.owner.cpu.code_page(LinearAddr(key.linear << PAGE_SHIFT)) {
                self.page_found(key.linear, &page);
            }
        }
        Ok(id)
    }

    /// Whether the bytes that went into the unit are still those in memory.
    fn unchanged(&self, request: &UnitRequest, pieces: &[Piece]) -> bool {
        pieces.iter().all(|piece| {
            let mut now = vec![0; (piece.end - piece.start) as usize];
            let copied = request.code.at(piece.eip).and_then(|bytes| bytes.get(..now.len()));
            let block = self.blocks.get(&piece.ram);
            block.is_some_and(|block| block.read(piece.start, &mut now)) && Some(now.as_slice()) == copied
        })
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

/// Ranges of code cut at the ends of pages.
fn pieces(job: &Job, covers: &[(u32, u32)]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (from, to) in covers {
        let mut from = *from;
        while from != *to {
            let left = PAGE_SIZE as u32 - (from & PAGE_MASK as u32);
            let end = from.wrapping_add(left.min(to.wrapping_sub(from)));
            pieces.extend(job.piece(from, end));
            from = end;
        }
    }
    pieces
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

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
