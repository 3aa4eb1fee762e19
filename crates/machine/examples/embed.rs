//! A machine inside another program: RAM and a device of one's own in the memory map, a guest that runs, a map that
//! changes while it runs, and statistics at the end.
//!
//! Run it with `cargo run --release -p marquetry-machine --example embed`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base::{AccessSize, RegionOffset};
use engine::{EngineConfig, Stop};
use marquetry_machine::{BoardConfig, Machine};
use memory::{AccessCx, AccessRules, BusError, Device, MmioDevice, Placement, RegionSpec};

/// Where the guest's code is loaded.
const CODE: u32 = 0x10_0000;
/// Two pages of RAM of our own, of which a window shows one.
const WINDOW: u32 = 0xe000_0000;
/// A register: what is written to it chooses the page.
const REGISTER: u32 = 0xe001_0000;
const PAGE: u64 = 0x1000;

/// A device whose register calls a closure when it is written, and reads as 0.
struct OnWrite<F>(F);

impl<F: FnMut(u32) -> Result<(), BusError> + Send> MmioDevice for OnWrite<F> {
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
        (self.0)(value as u32)
    }

    fn reset(&mut self) {}
}

/// Runs the guest; what it summed up, and how often the map was changed under it.
fn run() -> Result<(u32, u32), Box<dyn Error>> {
    // A board with 16 MiB of RAM, a processor, and the default engine: translated code with an interpreter below.
    let board = BoardConfig { ram_bytes: 16 << 20, ..BoardConfig::default() };
    let mut machine = Machine::new(board, EngineConfig::default())?;
    let map = machine.map().clone();

    // Regions are made first and show nowhere; a transaction attaches them, and a commit makes all of it visible at
    // once. `system` is the container that the guest's physical addresses are offsets in.
    let pages = map.add(RegionSpec::ram("pages", 2 * PAGE))?;
    let window = map.add(RegionSpec::alias("window", pages, 0, PAGE))?;
    let changes = Arc::new(AtomicU32::new(0));
    let choose = {
        // The callback edits the map while the guest's store is under way: the next instruction sees the new map.
        let (map, changes) = (map.clone(), Arc::clone(&changes));
        move |page: u32| {
            let mut txn = map.txn();
            txn.slide_alias(window, u64::from(page & 1) * PAGE).map_err(|_| BusError::Device(1))?;
            txn.commit().map_err(|_| BusError::Device(1))?;
            changes.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    };
    let rules = AccessRules::new().valid(4, 4).implemented(4, 4).little_endian();
    let register = map.add(RegionSpec::mmio("register", PAGE, Device::new(OnWrite(choose)), rules))?;
    let system = machine.board().system();
    let mut txn = map.txn();
    txn.attach(system, u64::from(WINDOW), window, Placement::Overlap { priority: 1 })?;
    txn.attach(system, u64::from(REGISTER), register, Placement::Overlap { priority: 1 })?;
    txn.commit()?;

    // Each page holds another number. Memory is filled through the block behind it, mapped or not.
    let block = map.ram_block(pages).ok_or("the region has memory")?;
    block.write(0, &1u32.to_le_bytes());
    block.write(PAGE, &1000u32.to_le_bytes());

    // The guest: 100,000 times it chooses a page and adds the number that it finds there.
    let mut code = vec![0xb9];
    code.extend(100_000u32.to_le_bytes()); // mov ecx, 100000
    code.extend([0x31, 0xd2]); // xor edx, edx
    let head = code.len();
    code.extend([0x89, 0x0d]); // mov [REGISTER], ecx
    code.extend(REGISTER.to_le_bytes());
    code.extend([0x03, 0x15]); // add edx, [WINDOW]
    code.extend(WINDOW.to_le_bytes());
    code.extend([0x49, 0x75]); // dec ecx; jnz head
    code.push((head as i32 - (code.len() as i32 + 1)) as u8);
    code.push(0xf4); // hlt
    machine.memory().write_rom(u64::from(CODE), &code);
    machine.engine_mut().cpu_mut().set_flat_protected(CODE);

    // A run ends when the guest halts for good or exits, at a limit of instructions, or when another thread sets the
    // flag that `Machine::stop_flag` gives.
    let mut slices = 0;
    let stop = loop {
        slices += 1;
        let limit = machine.engine().cpu().instructions() + 100_000;
        match machine.run(Some(limit)) {
            Stop::Limit => println!("{} instructions", machine.engine().cpu().instructions()),
            stop => break stop,
        }
    };
    let stats = machine.engine().stats();
    println!("ended by {stop:?} after {slices} slices");
    println!("{} units translated, {} instructions interpreted", stats.units, stats.interpreted);
    println!("{} map changes, {} translations severed by them", stats.map_changes, stats.severed_by_map);
    let sum = machine.engine().cpu().state.gpr[2] as u32;
    Ok((sum, changes.load(Ordering::Relaxed)))
}

/// Runs the guest and looks at what it found.
///
/// # Errors
/// A machine or a map that cannot be made.
pub fn main() -> Result<(), Box<dyn Error>> {
    let (sum, changes) = run()?;
    println!("the guest found {sum} in {changes} changes of the map");
    if (sum, changes) != (50_000 + 50_000 * 1000, 100_000) {
        return Err("the guest saw a page that was not shown".into());
    }
    Ok(())
}
