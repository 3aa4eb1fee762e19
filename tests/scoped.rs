//! Random trees, random edits and a guest that runs on them: what a map change makes unreachable is exactly what has a
//! page that is bound to something else, and what a store drops is exactly what has a line that was written.
//!
//! `SCOPED_SEEDS` sets how many trees there are, `SCOPED_FIRST` the first of their seeds.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use difftest::Rng;
use engine::{EngineConfig, Stop};
use machine::{BoardConfig, Machine};
use memory::{
    AccessRules, Device, FlatView, MapTxn, MemoryMap, Placement, RamBlock, RegionId, RegionSpec, Target,
};
use tests::code::Code;

const CODE: u32 = 0x10_0000;
const STACK: u32 = 0x20_0000;
/// Where the tree is, and how large.
const AREA: u32 = 0xe000_0000;
const PAGE: u64 = 0x1000;
const AREA_PAGES: u64 = 32;
const LINE: u64 = 64;
/// Pages of each block.
const BLOCK_PAGES: u64 = 6;

/// Block and offset of the first byte of what is shown somewhere, if all of it is of one block.
type Binding = Option<(u64, u64)>;

struct Nothing;

impl memory::MmioDevice for Nothing {
    fn read(
        &mut self,
        _: base::RegionOffset,
        _: base::AccessSize,
        _: &mut memory::AccessCx,
    ) -> Result<u64, memory::BusError> {
        Ok(0)
    }

    fn write(
        &mut self,
        _: base::RegionOffset,
        _: u64,
        _: base::AccessSize,
        _: &mut memory::AccessCx,
    ) -> Result<(), memory::BusError> {
        Ok(())
    }

    fn reset(&mut self) {}
}

/// A machine with a random tree in front of its devices.
struct World {
    machine: Machine,
    map: MemoryMap,
    /// What is attached to the area.
    parts: Vec<RegionId>,
    /// Its aliases, and the regions that have memory.
    aliases: Vec<RegionId>,
    blocks: Vec<Arc<RamBlock>>,
    roms: Vec<RegionId>,
}

impl World {
    fn new(rng: &mut Rng) -> Self {
        let config = EngineConfig { unit_limit: 2, ..tests::translated() };
        let machine = Machine::new(BoardConfig::default(), config).expect("a machine");
        let map = machine.map().clone();
        let add = |spec: RegionSpec| map.add(spec).expect("the map takes it");
        let area = add(RegionSpec::container("area", AREA_PAGES * PAGE));
        let mut world =
            Self { machine, map: map.clone(), parts: vec![], aliases: vec![], blocks: vec![], roms: vec![] };
        let len = BLOCK_PAGES * PAGE;
        let backed = [
            add(RegionSpec::ram("ram-0", len)),
            add(RegionSpec::ram("ram-1", len)),
            add(RegionSpec::rom("rom", len)),
            add(RegionSpec::rom_device("romd", len, Device::new(Nothing), AccessRules::new(), true)),
        ];
        world.blocks = backed.map(|region| map.ram_block(region).expect("memory")).to_vec();
        world.roms.push(backed[3]);
        let kept = add(RegionSpec::ram("kept", len));
        world.blocks.push(map.ram_block(kept).expect("memory"));
        for n in 0..3 {
            let alias = RegionSpec::alias(
                &format!("alias-{n}"),
                kept,
                below(rng, 3) * PAGE,
                (1 + below(rng, 4)) * PAGE,
            );
            world.aliases.push(add(alias));
        }
        // Registers that cover part of a page only.
        let small = add(RegionSpec::mmio("small", 0x100, Device::new(Nothing), AccessRules::new()));
        world.parts = [&backed[..], &world.aliases, &[small]].concat();
        for block in &world.blocks {
            fill(block);
        }
        let mut txn = map.txn();
        for part in world.parts.clone() {
            let how = Placement::Overlap { priority: below(rng, 4) as i32 };
            txn.attach(area, place(rng), part, how).expect("it is free");
        }
        let front = Placement::Overlap { priority: 2 };
        txn.attach(world.machine.board().system(), u64::from(AREA), area, front).expect("it is free");
        txn.commit().expect("nobody refuses");
        world
    }

    /// One random edit.
    fn edit(&self, txn: &mut MapTxn, rng: &mut Rng) {
        let part = self.parts[below(rng, self.parts.len() as u64) as usize];
        let alias = self.aliases[below(rng, self.aliases.len() as u64) as usize];
        let edited = match below(rng, 6) {
            0 => txn.set_enabled(part, below(rng, 2) == 0),
            1 => txn.move_to(part, place(rng)),
            2 => txn.set_priority(part, below(rng, 4) as i32),
            3 => txn.slide_alias(alias, below(rng, 4) * PAGE),
            4 => txn.set_romd(self.roms[0], below(rng, 2) == 0),
            _ => txn.set_readonly(alias, below(rng, 2) == 0),
        };
        edited.expect("the edit can be made");
    }

    /// Calls every function that the area shows; what can be run is translated then.
    fn call_all(&mut self) {
        let view = self.machine.memory().view();
        let mut code = Code::at(CODE);
        for page in 0..AREA_PAGES {
            let at = u64::from(AREA) + page * PAGE;
            if binding(&view, (at, at + PAGE)).is_some() {
                for function in functions() {
                    code.to(&[0xe8], (at + function) as u32);
                }
            }
        }
        self.run(code.put(&[0xf4]).bytes().as_slice());
    }

    /// Runs code to its HLT.
    fn run(&mut self, code: &[u8]) {
        assert!(self.machine.memory().write_rom(u64::from(CODE), code).is_empty());
        let cpu = self.machine.engine_mut().cpu_mut();
        cpu.set_flat_protected(CODE);
        cpu.state.gpr[4] = u64::from(STACK);
        let stop = self.machine.run(Some(1 << 20));
        assert!(matches!(stop, Stop::Halted(_)), "{stop:?}");
    }

    /// The translations of code in the area, by where they are entered: their pages, and whether anything leads to them.
    fn translations(&self) -> BTreeMap<u64, (Vec<(u64, u64)>, bool)> {
        let all = self.machine.engine().translations().into_iter();
        let inside = all.filter(|unit| (AREA..AREA + (AREA_PAGES * PAGE) as u32).contains(&unit.eip));
        inside.map(|unit| (unit.entry, (unit.covers, unit.reachable))).collect()
    }
}

/// A number below `bound`.
fn below(rng: &mut Rng, bound: u64) -> u64 {
    u64::from(rng.below(bound as u32))
}

/// A place for a part: mostly at a page, sometimes inside one.
fn place(rng: &mut Rng) -> u64 {
    let inside = if below(rng, 8) == 0 { 0x400 } else { 0 };
    below(rng, AREA_PAGES) * PAGE + inside
}

/// Where the functions of a page begin.
fn functions() -> impl Iterator<Item = u64> {
    (0..PAGE / 0x400).map(|n| n * 0x400)
}

/// `mov eax, ...; ret` at each place of each page.
fn fill(block: &RamBlock) {
    for page in 0..BLOCK_PAGES {
        for function in functions() {
            let at = page * PAGE + function;
            assert!(block.write(at, &Code::at(0).op(&[0xb8], at as u32).put(&[0xc3]).bytes()));
        }
    }
}

/// What `first` up to `end` show.
fn binding(view: &FlatView, (first, end): (u64, u64)) -> Binding {
    let range = view.lookup(first)?;
    let Target::Host(slice) = &range.read else { return None };
    let offset = slice.offset + (first - range.range.first());
    (range.range.last() >= end - 1).then(|| (slice.block.id().number(), offset))
}

fn one_world(seed: u64) -> (u64, u64) {
    let mut rng = Rng::new(seed);
    let mut world = World::new(&mut rng);
    let (mut severed, mut dropped) = (0, 0);
    for step in 0..12 {
        world.call_all();
        let (view, before) = (world.machine.memory().view(), world.translations());
        let evicted = world.machine.engine().stats().evicted;
        if below(&mut rng, 3) != 0 {
            let mut txn = world.map.txn();
            for _ in 0..=below(&mut rng, 3) {
                world.edit(&mut txn, &mut rng);
            }
            txn.commit().expect("nobody refuses");
            world.run(&[0xf4]);
            let now = world.machine.memory().view();
            let after = world.translations();
            assert_eq!(
                before.keys().collect::<Vec<_>>(),
                after.keys().collect::<Vec<_>>(),
                "seed {seed}, step {step}: an edit drops nothing"
            );
            for (entry, (covers, reachable)) in &before {
                let moved = covers.iter().any(|part| binding(&view, *part) != binding(&now, *part));
                let expected = *reachable && !moved;
                assert_eq!(after[entry].1, expected, "seed {seed}, step {step}: {covers:x?}, moved: {moved}");
                severed += u64::from(*reachable && moved);
            }
        } else {
            // A store of the host into a line of a block: what was made of it goes, wherever it is entered.
            let block = &world.blocks[below(&mut rng, world.blocks.len() as u64) as usize];
            let line = below(&mut rng, BLOCK_PAGES * PAGE / LINE) * LINE;
            let line = if below(&mut rng, 2) == 0 { line & !0x3ff } else { line };
            let id = block.id().number();
            assert!(block.write(line + 16, &[0xcc]));
            world.run(&[0xf4]);
            let after = world.translations();
            for (entry, (covers, reachable)) in &before {
                // What the map has hidden since it was made is not found by its address here.
                if !reachable {
                    continue;
                }
                let hit = covers.iter().any(|(first, end)| {
                    let Some((ram, start)) = binding(&view, (*first, *end)) else { return false };
                    let end = start + (end - first);
                    ram == id && start / LINE <= line / LINE && line / LINE <= (end - 1) / LINE
                });
                assert_eq!(
                    after.contains_key(entry),
                    !hit,
                    "seed {seed}, step {step}: {covers:x?}, hit: {hit}"
                );
                dropped += u64::from(hit);
            }
        }
        assert_eq!(world.machine.engine().stats().evicted, evicted, "evictions are counted apart");
    }
    let stats = world.machine.engine().stats();
    assert_eq!((stats.flushes, stats.dropped_range, stats.dropped_variants), (0, 0, 0), "seed {seed}");
    (severed, dropped)
}

#[test]
fn what_goes_is_what_changed() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = (number("SCOPED_FIRST").unwrap_or(1), number("SCOPED_SEEDS").unwrap_or(60));
    println!("seeds {first} to {}", first + count - 1);
    let (severed, dropped) =
        (first..first + count).map(one_world).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{severed} severed, {dropped} dropped");
    assert!(severed > 10 * count && dropped > count, "{severed} severed, {dropped} dropped: too few to tell");
}
