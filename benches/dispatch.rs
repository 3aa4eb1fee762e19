//! What it costs to get from one guest instruction to the next, by the kind of transition: time for each
//! executed guest instruction (criterion's throughput is in instructions).

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::{EngineConfig, JitMode};
use machine::{BoardConfig, Machine};

/// Guest instructions of one measurement.
const INSTRUCTIONS: u64 = 1_000_000;
/// Where the code stands.
const CODE: u32 = 0x10_0000;

/// `l: dec ecx; jmp l`.
const LOOP: &[u8] = &[0x49, 0xeb, 0xfd];
/// `l: jmp m`, page distance between the two, `m: jmp l`: with units of one instruction, linked jumps alone.
const LINKED: &[u8] = &[0xeb, 0x02, 0x90, 0x90, 0xeb, 0xfa];
/// `l: mov eax, m; jmp eax; m: mov eax, l; jmp eax`.
const INDIRECT: &[u8] = &[0xb8, 0x07, 0x00, 0x10, 0x00, 0xff, 0xe0, 0xb8, 0x00, 0x00, 0x10, 0x00, 0xff, 0xe0];
/// `l: call f; jmp l; f: ret`.
const CALL: &[u8] = &[0xe8, 0x02, 0x00, 0x00, 0x00, 0xeb, 0xf9, 0xc3];

fn machine(code: &[u8], config: EngineConfig) -> Machine {
    let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
    let skipped = machine.memory().write_rom(u64::from(CODE), code);
    assert!(skipped.is_empty(), "the code lies in RAM");
    let cpu = machine.engine_mut().cpu_mut();
    cpu.set_flat_protected(CODE);
    cpu.state.gpr[4] = 0x20_0000;
    machine
}

fn dispatch(c: &mut Criterion) {
    let translated = EngineConfig { jit: JitMode::Sync, threshold: 0, ..EngineConfig::default() };
    let short = EngineConfig { unit_limit: 1, ..translated.clone() };
    let interpreted = EngineConfig { jit: JitMode::Off, ..EngineConfig::default() };
    let reentry = EngineConfig { slice: 64, ..translated.clone() };
    let cases = [
        ("loop inside a unit", LOOP, translated.clone()),
        ("linked jump", LINKED, short),
        ("indirect jump", INDIRECT, translated.clone()),
        ("call and return", CALL, translated),
        ("re-entry every 64 instructions", LOOP, reentry),
        ("interpreted", LOOP, interpreted),
    ];
    let mut group = c.benchmark_group("dispatch");
    group.throughput(Throughput::Elements(INSTRUCTIONS));
    for (name, code, config) in cases {
        let mut machine = machine(code, config);
        let mut limit = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                limit += INSTRUCTIONS;
                machine.run(Some(limit))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
