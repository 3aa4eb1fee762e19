//! A guest that runs from RAM, ROM, an alias and a ROM device while what it runs from is changed all the time, by its
//! own device and by another thread: nothing stale is ever seen, and memory does not grow.
//!
//! `CHURN_UPDATES` sets the number of map changes of each run.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::{AccessSize, RegionOffset};
use engine::{EngineConfig, JitMode, Stop};
use machine::{BoardConfig, Machine};
use memory::{
    AccessCx, AccessRules, BusError, Device, MemoryMap, MmioDevice, Placement, RamBlock, RegionId, RegionSpec,
};
use tests::code::Code;

const CODE: u32 = 0x10_0000;
const STACK: u32 = 0x20_0000;
const PAGE: u64 = 0x1000;
/// A store of N here makes change N of the first window.
const REGISTER: u32 = 0xe000_0000;
/// What the guest's own stores change, and what the other thread changes.
const OWN: u32 = 0xe010_0000;
const OTHER: u32 = 0xe020_0000;
/// Where in a bank its canary is: the number of the change that showed it last.
const CANARY: u32 = 0x100;
/// Last canary seen in the other window.
const SEEN: u32 = 0x30_0000;

/// Four banks of a page at one place, of which one is shown: RAM, ROM, an alias of RAM that lies elsewhere, and a ROM
/// device. In each: `mov eax, bank; ret`, and a canary.
#[derive(Clone)]
struct Banks {
    map: MemoryMap,
    regions: [RegionId; 4],
    blocks: [Arc<RamBlock>; 4],
    shown: usize,
}

impl Banks {
    /// The banks at `at`, of which the first is shown.
    fn new(machine: &Machine, at: u32) -> Self {
        let map = machine.map().clone();
        let add = |spec| map.add(spec).expect("the map takes it");
        let nothing = Device::new(Nothing);
        let kept = add(RegionSpec::ram(&format!("kept-{at:x}"), 4 * PAGE));
        let regions = [
            add(RegionSpec::ram(&format!("ram-{at:x}"), PAGE)),
            add(RegionSpec::rom(&format!("rom-{at:x}"), PAGE)),
            add(RegionSpec::alias(&format!("alias-{at:x}"), kept, 2 * PAGE, PAGE)),
            add(RegionSpec::rom_device(&format!("romd-{at:x}"), PAGE, nothing, AccessRules::new(), true)),
        ];
        let block = |region| map.ram_block(region).expect("memory");
        let blocks = [block(regions[0]), block(regions[1]), block(kept), block(regions[3])];
        let mut txn = map.txn();
        for (bank, region) in regions.into_iter().enumerate() {
            let front = Placement::Overlap { priority: 2 };
            txn.attach(machine.board().system(), u64::from(at), region, front).expect("it is free");
            txn.set_enabled(region, bank == 0).expect("it is there");
        }
        txn.commit().expect("nobody refuses");
        let banks = Self { map, regions, blocks, shown: 0 };
        for bank in 0..4 {
            let code = Code::at(at).op(&[0xb8], bank as u32).put(&[0xc3]).bytes();
            assert!(banks.blocks[bank].write(banks.start(bank), &code));
        }
        banks
    }

    /// Where a bank begins in its block.
    fn start(&self, bank: usize) -> u64 {
        if bank == 2 { 2 * PAGE } else { 0 }
    }

    /// Change `number`: another bank, with the number as its canary.
    fn change(&mut self, number: u32) {
        let bank = number as usize % 4;
        let canary = self.start(bank) + u64::from(CANARY);
        assert!(self.blocks[bank].write(canary, &number.to_le_bytes()));
        let mut txn = self.map.txn();
        txn.set_enabled(self.regions[self.shown], false).expect("it is there");
        txn.set_enabled(self.regions[bank], true).expect("it is there");
        txn.commit().expect("nobody refuses");
        self.shown = bank;
    }
}

impl MmioDevice for Banks {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        Ok(0)
    }

    fn write(
        &mut self,
        _: RegionOffset,
        value: u64,
        _: AccessSize,
        _: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.change(value as u32);
        Ok(())
    }

    fn reset(&mut self) {}
}

/// A ROM device that does nothing.
struct Nothing;

impl MmioDevice for Nothing {
    fn read(&mut self, _: RegionOffset, _: AccessSize, _: &mut AccessCx) -> Result<u64, BusError> {
        Ok(0)
    }

    fn write(&mut self, _: RegionOffset, _: u64, _: AccessSize, _: &mut AccessCx) -> Result<(), BusError> {
        Ok(())
    }

    fn reset(&mut self) {}
}

/// Change N of the own window for N = ECX, ..., 1: the function must be that of bank N % 4, the canary N. The function of
/// the other window is called too. Its canaries count up; a bank that is still shown may have its next one already, which
/// is 4 greater, so they go back by 3 at most. EBX says what was wrong.
fn guest(changes: u32) -> Code {
    let mut code = Code::at(CODE);
    code.op(&[0xb9], changes).put(&[0x31, 0xdb]); // mov ecx, changes; xor ebx, ebx
    code.label("loop").op(&[0x89, 0x0d], REGISTER); // mov [REGISTER], ecx
    code.to(&[0xe8], OWN); // call OWN
    code.put(&[0x89, 0xca, 0x83, 0xe2, 3, 0x43, 0x39, 0xd0]); // mov edx, ecx; and edx, 3; inc ebx; cmp eax, edx
    code.near(&[0x0f, 0x85], "stale"); // jne stale
    code.put(&[0x43]).op(&[0x39, 0x0d], OWN + CANARY); // inc ebx; cmp [OWN + CANARY], ecx
    code.near(&[0x0f, 0x85], "stale"); // jne stale
    code.put(&[0x43]).op(&[0xa1], OTHER + CANARY); // inc ebx; mov eax, [OTHER + CANARY]
    code.put(&[0x8d, 0x50, 3]).op(&[0x3b, 0x15], SEEN); // lea edx, [eax + 3]; cmp edx, [SEEN]
    code.near(&[0x0f, 0x82], "stale"); // jb stale
    code.op(&[0xa3], SEEN).to(&[0xe8], OTHER); // mov [SEEN], eax; call OTHER
    code.put(&[0x43, 0x83, 0xf8, 3]).near(&[0x0f, 0x87], "stale"); // inc ebx; cmp eax, 3; ja stale
    code.put(&[0x31, 0xdb, 0x49]).near(&[0x0f, 0x85], "loop").put(&[0xf4]); // xor ebx, ebx; dec ecx; jnz loop; hlt
    code.label("stale").put(&[0xf4]); // hlt
    code
}

/// Pages of this process in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("a Linux host");
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number")
}

fn churn(name: &str, config: EngineConfig) {
    let updates = std::env::var("CHURN_UPDATES").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000u64);
    let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
    let (own, mut other) = (Banks::new(&machine, OWN), Banks::new(&machine, OTHER));
    let rules = AccessRules::new().valid(4, 4).implemented(4, 4).little_endian();
    let register = machine.map().add(RegionSpec::mmio("register", PAGE, Device::new(own), rules));
    let front = Placement::Overlap { priority: 2 };
    let mut txn = machine.map().txn();
    let register = register.expect("the map takes it");
    txn.attach(machine.board().system(), u64::from(REGISTER), register, front).expect("it is free");
    txn.commit().expect("nobody refuses");

    let (done, others) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let thread = std::thread::spawn({
        let (done, others) = (Arc::clone(&done), Arc::clone(&others));
        move || {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                other.change(number);
                others.store(u64::from(number), Ordering::Relaxed);
            }
            number
        }
    });
    let (mut made, mut settled) = (0, None);
    while made + others.load(Ordering::Relaxed) < updates {
        let changes = (updates / 20).clamp(1, 50_000) as u32;
        assert!(machine.memory().write_rom(u64::from(CODE), &guest(changes).bytes()).is_empty());
        let cpu = machine.engine_mut().cpu_mut();
        cpu.set_flat_protected(CODE);
        cpu.state.gpr[4] = u64::from(STACK);
        let stop = machine.run(None);
        let state = &machine.engine().cpu().state;
        let left = (state.gpr[1], state.gpr[3], state.gpr[0]);
        assert!(matches!(stop, Stop::Halted(_)), "{name}: {stop:?}, ECX, EBX, EAX {left:x?}");
        assert_eq!((left.0, left.1), (0, 0), "{name}: stale, ECX, EBX, EAX {left:x?}");
        made += u64::from(changes);
        settled.get_or_insert_with(resident);
    }
    done.store(true, Ordering::Relaxed);
    let last = thread.join().expect("the other thread ends well");
    // What the other thread did last is seen, too.
    let mut seen = [0; 4];
    assert!(machine.memory().read(u64::from(OTHER + CANARY), &mut seen, &mut AccessCx::dma()).is_ok());
    assert_eq!(u32::from_le_bytes(seen), last, "{name}");
    let stats = machine.engine().stats();
    println!("{name}: {made} changes of its own, {last} of another thread; {stats:?}");
    assert_eq!((stats.flushes, stats.dropped_code_write), (0, 0), "{name}");
    let grown = resident().saturating_sub(settled.unwrap_or_default());
    assert!(grown < 4096, "{name}: {grown} pages more at the end than after the first part");
}

/// One after the other: they watch the memory of the process.
#[test]
fn nothing_stale_and_nothing_left_over() {
    churn("interpreter", EngineConfig { jit: JitMode::Off, ..EngineConfig::default() });
    churn("translated", tests::translated());
}
