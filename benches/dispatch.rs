//! What it costs to get from one guest instruction to the next, by the kind of transition, and what the compute
//! guests cost on each executor: nanoseconds for each executed guest instruction.

use std::time::Duration;

use benches::{compute_guests, guest, interpreted, machine, run, translated};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use engine::EngineConfig;
use machine::Machine;

/// Guest instructions for each iteration that criterion asks for: entering and leaving the run loop is to be nothing.
const SCALE: u32 = 1000;
/// Instructions run before a guest is measured.
const WARM: u64 = 20_000_000;

/// `l: dec ecx; jmp l`.
const LOOP: &[u8] = &[0x49, 0xeb, 0xfd];
/// `l: jmp m; nop; nop; m: jmp l`: with units of one instruction, linked jumps alone.
const LINKED: &[u8] = &[0xeb, 0x02, 0x90, 0x90, 0xeb, 0xfa];
/// `l: mov eax, m; jmp eax; m: mov eax, l; jmp eax`.
const INDIRECT: &[u8] = &[0xb8, 0x07, 0x00, 0x10, 0x00, 0xff, 0xe0, 0xb8, 0x00, 0x00, 0x10, 0x00, 0xff, 0xe0];
/// `l: call f; jmp l; f: ret`.
const CALL: &[u8] = &[0xe8, 0x02, 0x00, 0x00, 0x00, 0xeb, 0xf9, 0xc3];

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, machine: &mut Machine) {
    group.bench_function(name, |b| {
        b.iter_custom(|iters| run(machine, iters * u64::from(SCALE)) / SCALE);
    });
}

fn dispatch(c: &mut Criterion) {
    let short = EngineConfig { unit_limit: 1, ..translated() };
    let reentry = |slice| EngineConfig { slice, ..translated() };
    let mut group = c.benchmark_group("dispatch");
    for (name, code, config) in [
        ("loop inside a unit", LOOP, translated()),
        ("linked jump", LINKED, short),
        ("indirect jump", INDIRECT, translated()),
        ("call and return", CALL, translated()),
        ("re-entry every 64 instructions", LOOP, reentry(64)),
        ("re-entry every 1024 instructions", LOOP, reentry(1024)),
        ("interpreted", LOOP, interpreted()),
        ("interpreted call and return", CALL, interpreted()),
    ] {
        measure(&mut group, name, &mut machine(code, config));
    }
    group.finish();
}

fn guests(c: &mut Criterion) {
    for (name, config) in [("translated", translated()), ("interpreted", interpreted())] {
        let mut group = c.benchmark_group(name);
        group
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2))
            .sample_size(20);
        for guest_name in compute_guests() {
            let mut machine = guest(&guest_name, config.clone());
            run(&mut machine, WARM);
            measure(&mut group, &guest_name, &mut machine);
        }
        group.finish();
    }
}

criterion_group!(benches, dispatch, guests);
criterion_main!(benches);
