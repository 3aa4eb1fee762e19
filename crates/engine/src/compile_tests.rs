//! Tests of compiling: bytes that change while a translation of them is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use cpu::{Cpu, CpuLinks};
use memory::{AccessCx, MemoryMap, Placement, RegionSize, RegionSpec, SpaceConfig, UnassignedPolicy};

use super::*;
use crate::{EngineConfig, JitMode, NoPlatform};

const CODE: u32 = 0x10_0000;
/// Stores EBX to the immediate of the first instruction at [`CODE`].
const STORE: u32 = 0x11_0000;

/// An engine over 4 MiB of RAM. At [`CODE`]: `mov eax, 1; hlt`.
fn engine() -> Engine {
    let map = MemoryMap::new();
    let root = map.add(RegionSpec::container("system", RegionSize::WHOLE)).expect("a container");
    let ram = map.add(RegionSpec::ram("ram", 4 << 20)).expect("memory");
    let ports = map.add(RegionSpec::container("io", 1 << 16)).expect("a container");
    let mut txn = map.txn();
    txn.attach(root, 0, ram, Placement::Exclusive).expect("it is free");
    txn.commit().expect("nobody refuses");
    let floating = UnassignedPolicy::Ones;
    let memory = map.space(root, "memory", SpaceConfig::memory(floating)).expect("a space");
    assert!(memory.write_rom(u64::from(CODE), &[0xb8, 1, 0, 0, 0, 0xf4]).is_empty());
    let mut store = vec![0x89, 0x1d];
    store.extend((CODE + 1).to_le_bytes());
    store.push(0xf4);
    assert!(memory.write_rom(u64::from(STORE), &store).is_empty());
    let links = CpuLinks {
        memory,
        ports: map.space(ports, "I/O", SpaceConfig::ports(floating)).expect("a space"),
        code_writes: map.code_writes(),
        attention: Arc::new(AtomicU32::new(0)),
        time_ns: Arc::new(AtomicU64::new(0)),
    };
    let config = EngineConfig { jit: JitMode::Sync, threshold: 0, ..EngineConfig::default() };
    Engine::new(Cpu::new(links), Arc::new(NoPlatform), config).expect("an engine")
}

/// Runs from `eip` to the HLT.
fn run(engine: &mut Engine, eip: u32, ebx: u64) {
    engine.cpu_mut().set_flat_protected(eip);
    engine.cpu_mut().state.gpr[3] = ebx;
    engine.run(Some(engine.cpu().instructions() + 10));
}

type Writer = (&'static str, fn(&mut Engine));

fn by_translated_code(engine: &mut Engine) {
    run(engine, STORE, 2);
    assert_eq!(engine.stats().access_exits, 0, "the store is made inline");
}

fn by_the_interpreter(engine: &mut Engine) {
    let cpu = engine.cpu_mut();
    cpu.store(isa::SegReg::Ds, CODE + 1, base::AccessSize::B4, 2).expect("no fault");
    cpu.after_store();
}

fn by_a_bus_master(engine: &mut Engine) {
    let memory = engine.cpu().mmu.memory().clone();
    assert!(memory.write(u64::from(CODE) + 1, &[2], &mut AccessCx::dma()).is_ok());
}

#[test]
fn item_111_a_store_between_the_copy_of_the_bytes_and_the_installation_drops_the_translation() {
    let writers: [Writer; 3] = [
        ("translated code", by_translated_code),
        ("the interpreter", by_the_interpreter),
        ("a bus master", by_a_bus_master),
    ];
    for (name, write) in writers {
        let mut engine = engine();
        // Translated and warm, so that its store is made inline below.
        for _ in 0..2 {
            run(&mut engine, STORE, 1);
        }
        engine.cpu_mut().set_flat_protected(CODE);
        let spot = engine.spot().expect("no fault").expect("plain memory");
        let job = engine.job(&spot);
        write(&mut engine);
        let unit = engine.compiler.compile(&job.request);
        assert!(unit.is_ok(), "{name}");
        let before = engine.stats().stale;
        assert!(engine.finish_job(job, unit).is_err(), "{name}");
        assert_eq!(engine.stats().stale - before, 1, "{name}");
        assert!(engine.translations().iter().all(|unit| unit.eip != CODE), "{name}");
        run(&mut engine, CODE, 0);
        assert_eq!(engine.cpu().state.gpr[0], 2, "{name}");
    }
}

#[test]
fn item_111_a_translation_whose_bytes_stayed_is_installed() {
    let mut engine = engine();
    engine.cpu_mut().set_flat_protected(CODE);
    let spot = engine.spot().expect("no fault").expect("plain memory");
    let job = engine.job(&spot);
    // The line behind.
    let memory = engine.cpu().mmu.memory().clone();
    assert!(memory.write(u64::from(CODE) + 64, &[2], &mut AccessCx::dma()).is_ok());
    let unit = engine.compiler.compile(&job.request);
    assert!(engine.finish_job(job, unit).is_ok());
    assert_eq!(engine.translations().iter().filter(|unit| unit.eip == CODE).count(), 1);
}
