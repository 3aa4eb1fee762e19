//! The translation cache: translations under their keys, link cells, and the index by page.
//!
//! Invariants: a cell leads to a translation's code only while that translation is in the table; every cell
//! that leads there is its entry cell or in its `incoming` list; a jump-cache entry points to an entry cell,
//! never to code.

use std::collections::BTreeSet;

use base::{AddrRange, PAGE_MASK, PAGE_SHIFT};
use cpu::layout::{JUMP_CACHE_SIZE, JumpCacheEntry};
use cpu::{Cpu, CpuState};
use isa::Op;
use jit::{CompiledUnit, Placed, Site};
use memory::{FlatView, RamId, Target};
use rustc_hash::FxHashMap as HashMap;

use crate::cells::CellArena;
use crate::enter::{get_cell, set_cell};
use crate::mode::ModeKey;
use crate::pages::{PageCells, PageKey};
use crate::stats::{OpCounts, TranslationInfo};

/// Number of a translation; reused after it is dropped.
pub type UnitId = u32;

/// Identity of a translation: the bytes behind it and everything that it was made under (jit.md, 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TranslationKey {
    /// RAM block of the entry.
    pub ram: RamId,
    /// Offset of the entry in it.
    pub offset: u64,
    /// EIP of the entry: return addresses and targets are baked.
    pub eip: u32,
    /// Mode bits.
    pub mode: ModeKey,
}

/// Code bytes of a translation that lie in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// EIP of the first byte.
    pub eip: u32,
    /// RAM block.
    pub ram: RamId,
    /// Offset of the first byte in it.
    pub start: u64,
    /// Offset after the last.
    pub end: u64,
    /// Physical address of the first byte when the translation was made.
    pub phys: u64,
}

impl Piece {
    /// Page of the RAM block.
    pub fn page(&self) -> u64 {
        self.start >> PAGE_SHIFT
    }

    /// Bit mask of the lines of 64 bytes in the page that it touches.
    fn lines(&self) -> u64 {
        let line = |offset: u64| (offset & PAGE_MASK) >> 6;
        let (low, high) = (line(self.start), line(self.end - 1));
        u64::MAX >> (63 - (high - low)) << low
    }

    /// Whether `view` shows all of it where it was.
    fn in_place(&self, view: &FlatView) -> bool {
        let last = self.phys + (self.end - self.start - 1);
        view.lookup(self.phys).is_some_and(|range| match &range.read {
            Target::Host(slice) => {
                let offset = slice.offset + (self.phys - range.range.first());
                range.range.last() >= last && slice.block.id() == self.ram && offset == self.start
            }
            _ => false,
        })
    }
}

/// A live translation.
pub struct Translation {
    /// Its key.
    pub key: TranslationKey,
    /// Its place in code memory.
    pub placed: Placed,
    /// Cell that indirect branches enter through.
    pub entry_cell: u64,
    /// Cell and target EIP of each direct exit.
    pub exits: Vec<(u64, u32)>,
    /// Cells of other translations' exits that lead here.
    pub incoming: Vec<u64>,
    /// Sites.
    pub sites: Vec<Site>,
    /// Cell that counts the executions of each block, and the operations in it.
    pub counters: Vec<(u64, Vec<(Op, bool)>)>,
    /// Code bytes.
    pub pieces: Vec<Piece>,
    /// Pages whose cells it looks at.
    pub pages: Vec<PageKey>,
    /// Most instructions between budget checks.
    pub longest: u32,
    /// Guest instructions.
    pub insns: u32,
    /// Host bytes.
    pub bytes: u32,
    /// Whether its entry cell leads to its code.
    pub reachable: bool,
    /// Whether the paging-off range is baked into it.
    pub baked_range: bool,
    /// Generation of the flat view in which every page was last found where it was.
    pub verified: u64,
}

impl Translation {
    /// RAM block and offset of the code byte at `eip`.
    pub fn place_of(&self, eip: u32) -> Option<(RamId, u64)> {
        self.pieces.iter().find_map(|piece| {
            let inside = u64::from(eip.wrapping_sub(piece.eip));
            (inside < piece.end - piece.start).then_some((piece.ram, piece.start + inside))
        })
    }
}

/// Which exit a cell belongs to.
#[derive(Clone, Copy, Debug)]
struct ExitRef {
    unit: UnitId,
    exit: u32,
    /// The translation that its cell leads to.
    to: Option<UnitId>,
}

/// Translations by key, and what leads to them.
#[derive(Default)]
pub struct TranslationCache {
    units: Vec<Option<Translation>>,
    free_ids: Vec<UnitId>,
    /// Several under one key differ in what stood on the further pages of the unit.
    by_key: HashMap<TranslationKey, Vec<UnitId>>,
    live: usize,
    by_page: HashMap<(RamId, u64), BTreeSet<UnitId>>,
    /// By the physical page where their code was when they were made.
    by_phys: HashMap<u64, BTreeSet<UnitId>>,
    exits: HashMap<u64, ExitRef>,
    cells: CellArena,
    /// Cells of the pages of paged translations.
    pub pages: PageCells,
    /// Executions by operation of translations that are gone, less what their sites cut short.
    op_counts: OpCounts,
}

impl TranslationCache {
    /// Executions by operation, of all translations so far.
    pub fn op_counts(&self) -> OpCounts {
        let mut counts = self.op_counts.clone();
        for (cell, ops) in self.units.iter().flatten().flat_map(|translation| &translation.counters) {
            counts.add_block(get_cell(*cell), ops);
        }
        counts
    }

    /// Takes back what a block counted beyond the place where it was left.
    pub fn cut_short(&mut self, id: UnitId, place: (u16, u16)) {
        let Some(translation) = self.units.get(id as usize).and_then(Option::as_ref) else { return };
        if let Some((_, ops)) = translation.counters.get(usize::from(place.0)) {
            self.op_counts.cut(ops.get(usize::from(place.1)..).unwrap_or_default());
        }
    }

    /// Sets a number aside for a translation that is about to be made.
    pub fn reserve(&mut self) -> UnitId {
        self.free_ids.pop().unwrap_or_else(|| {
            self.units.push(None);
            self.units.len() as UnitId - 1
        })
    }

    /// Gives back a number that was set aside.
    pub fn release(&mut self, id: UnitId) {
        self.free_ids.push(id);
    }

    pub fn get(&self, id: UnitId) -> Option<&Translation> {
        self.units.get(id as usize)?.as_ref()
    }

    /// The translations under a key, the newest last.
    pub fn find(&self, key: &TranslationKey) -> &[UnitId] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// Cells for `exits` exits, leading nowhere, and then for `counters` counters at 0.
    pub fn alloc_cells(&mut self, exits: usize, counters: usize) -> Vec<u64> {
        let values = std::iter::repeat_n(jit::unlinked_stub(), exits).chain(std::iter::repeat_n(0, counters));
        values.map(|value| self.cells.alloc(value)).collect()
    }

    /// Gives back cells that no code uses.
    pub fn free_cells(&mut self, cells: &[u64]) {
        for cell in cells {
            self.cells.free(*cell);
        }
    }

    /// Enters a translation under the number that was set aside for it.
    pub fn insert(&mut self, made: Made) -> UnitId {
        let id = made.id;
        let entry_cell = self.cells.alloc(made.placed.entry);
        let (links, counters) = made.cells.split_at(made.unit.exits.len());
        let counters = counters.iter().copied().zip(made.unit.counted).collect();
        for (exit, cell) in links.iter().enumerate() {
            self.exits.insert(*cell, ExitRef { unit: id, exit: exit as u32, to: None });
        }
        let exits = links.iter().copied().zip(made.unit.exits.iter().map(|exit| exit.target)).collect();
        let translation = Translation {
            key: made.key,
            placed: made.placed,
            entry_cell,
            exits,
            incoming: Vec::new(),
            sites: made.unit.sites,
            pieces: made.pieces,
            pages: made.pages,
            longest: made.unit.longest,
            insns: made.unit.counts.insns,
            bytes: made.unit.code.len() as u32,
            counters,
            reachable: true,
            baked_range: made.baked_range,
            verified: made.generation,
        };
        for piece in &translation.pieces {
            self.by_page.entry((piece.ram, piece.page())).or_default().insert(id);
            self.by_phys.entry(piece.phys >> PAGE_SHIFT).or_default().insert(id);
        }
        self.by_key.entry(made.key).or_default().push(id);
        self.live += 1;
        self.units[id as usize] = Some(translation);
        id
    }

    /// The unit and target EIP of an exit's cell.
    pub fn exit_of(&self, cell: u64) -> Option<(UnitId, u32)> {
        let exit = self.exits.get(&cell)?;
        let target = self.get(exit.unit)?.exits.get(exit.exit as usize)?.1;
        Some((exit.unit, target))
    }

    /// Makes an exit's cell lead to a translation.
    pub fn link(&mut self, cell: u64, to: UnitId) {
        if let Some(translation) = self.units[to as usize].as_mut() {
            translation.incoming.push(cell);
            set_cell(cell, translation.placed.entry);
            if let Some(exit) = self.exits.get_mut(&cell) {
                exit.to = Some(to);
            }
        }
    }

    /// Cuts everything that leads to a translation; it stays under its key. Whether anything did.
    pub fn sever(&mut self, id: UnitId) -> bool {
        let Some(translation) = self.units[id as usize].as_mut() else { return false };
        for cell in translation.incoming.drain(..) {
            set_cell(cell, jit::unlinked_stub());
            if let Some(exit) = self.exits.get_mut(&cell) {
                exit.to = None;
            }
        }
        set_cell(translation.entry_cell, jit::lookup_stub());
        std::mem::replace(&mut translation.reachable, false)
    }

    /// Makes a severed translation reachable again after its pages were found in place.
    pub fn restore(&mut self, id: UnitId, generation: u64) {
        if let Some(translation) = self.units[id as usize].as_mut() {
            set_cell(translation.entry_cell, translation.placed.entry);
            translation.reachable = true;
            translation.verified = generation;
        }
    }

    /// Removes a translation and every way to it. Returns the pages that it covered.
    pub fn remove(&mut self, id: UnitId, state: &mut CpuState) -> Option<Translation> {
        self.sever(id);
        let translation = self.units[id as usize].take()?;
        self.live -= 1;
        if let Some(units) = self.by_key.get_mut(&translation.key) {
            units.retain(|unit| *unit != id);
            if units.is_empty() {
                self.by_key.remove(&translation.key);
            }
        }
        for piece in &translation.pieces {
            remove_from(&mut self.by_page, (piece.ram, piece.page()), id);
            remove_from(&mut self.by_phys, piece.phys >> PAGE_SHIFT, id);
        }
        for page in &translation.pages {
            self.pages.release(*page);
        }
        for (cell, _) in &translation.exits {
            let exit = self.exits.remove(cell);
            if let Some(to) = exit.and_then(|exit| exit.to)
                && let Some(to) = self.units[to as usize].as_mut()
            {
                to.incoming.retain(|incoming| incoming != cell);
            }
            self.cells.free(*cell);
        }
        for (cell, ops) in &translation.counters {
            self.op_counts.add_block(get_cell(*cell), ops);
            self.cells.free(*cell);
        }
        let slot = &mut state.jump_cache[jump_cache_index(translation.key.eip)];
        if slot.cell == translation.entry_cell {
            *slot = JumpCacheEntry { tag: u64::MAX, cell: 0 };
        }
        self.cells.free(translation.entry_cell);
        self.free_ids.push(id);
        Some(translation)
    }

    /// Translations with code bytes in one of `lines` (64 bytes each) of a page.
    pub fn covering(&self, ram: RamId, page: u64, lines: u64) -> Vec<UnitId> {
        let Some(units) = self.by_page.get(&(ram, page)) else { return Vec::new() };
        let hit = |id: &UnitId| {
            self.get(*id).is_some_and(|translation| line_mask(translation, (ram, page)) & lines != 0)
        };
        units.iter().copied().filter(hit).collect()
    }

    /// Lines of a page that live translations cover.
    pub fn lines(&self, ram: RamId, page: u64) -> u64 {
        let Some(units) = self.by_page.get(&(ram, page)) else { return 0 };
        units
            .iter()
            .filter_map(|id| self.get(*id))
            .fold(0, |mask, translation| mask | line_mask(translation, (ram, page)))
    }

    /// Translations whose code, where it was when they were made, lies in one of `ranges`.
    pub fn in_ranges(&self, ranges: &[AddrRange]) -> Vec<UnitId> {
        let touches = |translation: &Translation| {
            translation.pieces.iter().any(|piece| {
                AddrRange::new(piece.phys, piece.phys + (piece.end - piece.start - 1))
                    .is_some_and(|code| ranges.iter().any(|range| range.overlaps(code)))
            })
        };
        let pages: u64 =
            ranges.iter().map(|range| (range.last() >> PAGE_SHIFT) - (range.first() >> PAGE_SHIFT) + 1).sum();
        let mut found = BTreeSet::new();
        if pages > self.live as u64 {
            let live = self.units.iter().enumerate();
            found.extend(live.filter(|(_, unit)| unit.is_some()).map(|(id, _)| id as UnitId));
        } else {
            for range in ranges {
                let pages = range.first() >> PAGE_SHIFT..=range.last() >> PAGE_SHIFT;
                found.extend(pages.filter_map(|page| self.by_phys.get(&page)).flatten());
            }
        }
        found.into_iter().filter(|id| self.get(*id).is_some_and(touches)).collect()
    }

    /// Translations that the paging-off range is baked into.
    pub fn with_baked_range(&self) -> Vec<UnitId> {
        let live = self.units.iter().enumerate();
        live.filter(|(_, unit)| unit.as_ref().is_some_and(|unit| unit.baked_range))
            .map(|(id, _)| id as UnitId)
            .collect()
    }

    /// Translations in a generation of code memory.
    pub fn in_generation(&self, generation: usize) -> Vec<UnitId> {
        let live = self.units.iter().enumerate();
        live.filter(|(_, unit)| unit.as_ref().is_some_and(|unit| unit.placed.generation == generation))
            .map(|(id, _)| id as UnitId)
            .collect()
    }

    /// Whether every page of a translation is still found where it was when it was made.
    pub fn in_place(&self, id: UnitId, view: &FlatView) -> bool {
        self.get(id).is_some_and(|translation| translation.pieces.iter().all(|piece| piece.in_place(view)))
    }

    /// Key and physical entry address of every live translation.
    pub fn spots(&self) -> Vec<(TranslationKey, u64)> {
        let spot = |unit: &Translation| {
            let entry =
                |piece: &Piece| Some(piece.phys + unit.key.eip.checked_sub(piece.eip).map(u64::from)?);
            let holds =
                |piece: &&Piece| u64::from(unit.key.eip.wrapping_sub(piece.eip)) < piece.end - piece.start;
            Some((unit.key, unit.pieces.iter().find(holds).and_then(entry)?))
        };
        self.units.iter().flatten().filter_map(spot).collect()
    }

    /// Every live translation.
    pub fn infos(&self) -> Vec<TranslationInfo> {
        let info = |translation: &Translation| TranslationInfo {
            eip: translation.key.eip,
            covers: translation
                .pieces
                .iter()
                .map(|piece| (piece.phys, piece.phys + (piece.end - piece.start)))
                .collect(),
            insns: translation.insns,
            bytes: translation.bytes,
            entry: translation.placed.entry,
            reachable: translation.reachable,
        };
        self.units.iter().flatten().map(info).collect()
    }

    /// Entry cell that an indirect branch to EIP would go to.
    pub fn jump_cached(&self, cpu: &Cpu) -> Option<u64> {
        let entry = &cpu.state.jump_cache[jump_cache_index(cpu.state.eip)];
        (entry.tag == cpu.state.context | u64::from(cpu.state.eip)).then_some(entry.cell)
    }

    /// Records where a jump to `eip` in the present context leads.
    pub fn fill_jump_cache(&self, cpu: &mut Cpu, eip: u32, id: UnitId) {
        if let Some(translation) = self.get(id) {
            let tag = cpu.state.context | u64::from(eip);
            cpu.state.jump_cache[jump_cache_index(eip)] =
                JumpCacheEntry { tag, cell: translation.entry_cell };
        }
    }
}

fn remove_from<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<UnitId>>, key: K, id: UnitId) {
    if let Some(units) = index.get_mut(&key) {
        units.remove(&id);
        if units.is_empty() {
            index.remove(&key);
        }
    }
}

/// What `insert` needs.
pub struct Made {
    /// Number that was set aside.
    pub id: UnitId,
    /// Whether the paging-off range is baked into it.
    pub baked_range: bool,
    pub key: TranslationKey,
    pub unit: CompiledUnit,
    pub placed: Placed,
    pub cells: Vec<u64>,
    pub pieces: Vec<Piece>,
    pub pages: Vec<PageKey>,
    pub generation: u64,
}

/// Place of `eip` in the jump cache; translated code computes the same.
pub fn jump_cache_index(eip: u32) -> usize {
    (eip ^ eip >> 12) as usize % JUMP_CACHE_SIZE
}

fn line_mask(translation: &Translation, page: (RamId, u64)) -> u64 {
    let here = translation.pieces.iter().filter(|piece| (piece.ram, piece.page()) == page);
    here.fold(0, |mask, piece| mask | piece.lines())
}

/// Sites by their number, across units.
impl TranslationCache {
    /// The unit and site that a number names.
    pub fn site(&self, number: u32) -> Option<(UnitId, Site)> {
        let id = number / jit::abi::SITES_PER_UNIT;
        let site = self.get(id)?.sites.get((number % jit::abi::SITES_PER_UNIT) as usize)?;
        Some((id, *site))
    }
}
