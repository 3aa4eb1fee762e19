//! What one memory access of the guest costs, by the way it takes: nanoseconds for each access.
//!
//! Each case is a loop of four accesses through a base register each and an index, a change of the index, and the
//! jump back; the case "no access" has four register moves in their place. Before a case is measured, counts show
//! that its accesses take the way that its name says.

use benches::{interpreted, machine, run, translated};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use engine::EngineConfig;
use jit::abi::Helper;
use machine::Machine;

/// Accesses, and instructions in all, of one time round.
const ACCESSES: u64 = 4;
const INSNS: u64 = ACCESSES + 2;
/// Times round for each iteration that criterion asks for, as a number of accesses.
const SCALE: u32 = 1000;

/// `mov eax, [ebx+edi]`, and the same with ESI, EDX and ECX as base.
const LOADS: [u8; 12] = [0x8b, 0x04, 0x3b, 0x8b, 0x04, 0x3e, 0x8b, 0x04, 0x3a, 0x8b, 0x04, 0x39];
/// The same, storing EAX.
const STORES: [u8; 12] = [0x89, 0x04, 0x3b, 0x89, 0x04, 0x3e, 0x89, 0x04, 0x3a, 0x89, 0x04, 0x39];
/// `mov eax, ebx`, and the same from ESI, EDX and ECX.
const MOVES: [u8; 8] = [0x89, 0xd8, 0x89, 0xf0, 0x89, 0xd0, 0x89, 0xc8];

/// Page directory and tables: 4 KiB pages, each at its own address.
const DIRECTORY: u32 = 0x20_0000;
const TABLES: u32 = 0x40_0000;
/// Data above and below 1 MiB, and the test block.
const HIGH: u32 = 0x80_0000;
const LOW: u32 = 0x1_0000;
const BLOCK: u32 = 0xfe00_0000;
/// Index changes: inside a page; to RAM on the other side of the hole below 1 MiB; to a page with the same place in
/// the TLB (8192 entries); to one with another place.
const NEAR: u32 = 0x40;
const OVER_THE_HOLE: u32 = 0x80_0000;
const SAME_PLACE: u32 = 8192 << 12;
const OTHER_PLACE: u32 = 4096 << 12;

/// What the accesses of a case are to cause, each of them once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Nothing,
    RangeExit,
    WindowFill,
    WindowFillAndWalk,
    AccessHelper,
    Interpreted,
}

/// One case.
struct Case {
    name: &'static str,
    accesses: &'static [u8],
    paging: bool,
    first: u32,
    step: u32,
    config: EngineConfig,
    cause: Cause,
}

impl Case {
    fn machine(&self) -> Machine {
        let mut machine = machine(&self.code(), self.config.clone());
        if self.paging {
            // Present, writable.
            let table = |page: u32| (page << 12 | 3).to_le_bytes();
            let entry = |number: u32| ((TABLES + (number << 12)) | 3).to_le_bytes();
            let write = |at: u32, bytes: Vec<u8>| {
                machine.memory().write_rom(u64::from(at), &bytes);
            };
            write(DIRECTORY, (0..1024).flat_map(entry).collect());
            write(TABLES, (0..1 << 20).flat_map(table).collect());
        }
        run(&mut machine, 100_000);
        let grown = counts(&mut machine, 1000);
        let expected = |cause: Cause| if self.cause == cause { 1000 * ACCESSES } else { 0 };
        let fills = expected(Cause::WindowFill) + expected(Cause::WindowFillAndWalk);
        assert_near(self.name, "range exits", grown.range_exits, expected(Cause::RangeExit));
        assert_near(self.name, "windows filled", grown.fills, fills);
        assert_near(self.name, "page walks", grown.walks, expected(Cause::WindowFillAndWalk));
        assert_near(self.name, "access helper", grown.helper, expected(Cause::AccessHelper));
        let interpreted = expected(Cause::RangeExit) + expected(Cause::Interpreted) * INSNS / ACCESSES;
        assert_near(self.name, "interpreted", grown.interpreted, interpreted);
        machine
    }

    /// The loop, and before it the registers and, if asked for, paging.
    fn code(&self) -> Vec<u8> {
        let mut code = Vec::new();
        let set = |register: u8, value: u32| [&[0xb8 | register][..], &value.to_le_bytes()].concat();
        if self.paging {
            code.extend(set(0, DIRECTORY));
            code.extend([0x0f, 0x22, 0xd8]); // mov cr3, eax
            code.extend(set(0, 0x8000_0001)); // PG, PE
            code.extend([0x0f, 0x22, 0xc0]); // mov cr0, eax
        }
        let apart = if self.first == BLOCK { 0 } else { 0x1_0000 };
        for (n, register) in (0..).zip([3, 6, 2, 1]) {
            code.extend(set(register, self.first + n * apart));
        }
        code.extend([0x31, 0xff]); // xor edi, edi
        let head = code.len();
        code.extend(self.accesses);
        code.extend([0x81, 0xf7]); // xor edi, step
        code.extend(self.step.to_le_bytes());
        let length = (code.len() - head) as i32 + 5;
        code.push(0xe9); // jmp head
        code.extend((-length).to_le_bytes());
        code
    }
}

/// What was counted.
struct Counts {
    range_exits: u64,
    fills: u64,
    walks: u64,
    helper: u64,
    interpreted: u64,
}

impl Counts {
    fn of(machine: &Machine) -> Self {
        let engine = machine.engine();
        let (stats, calls) = (engine.stats(), engine.helper_calls());
        Self {
            range_exits: stats.range_exits,
            fills: calls[Helper::FillWindow as usize],
            walks: engine.cpu().mmu.stats().walks,
            helper: calls[Helper::Access as usize],
            interpreted: stats.interpreted,
        }
    }
}

/// By how much the counts grow in so many times round the loop.
fn counts(machine: &mut Machine, rounds: u64) -> Counts {
    let before = Counts::of(machine);
    run(machine, rounds * INSNS);
    let after = Counts::of(machine);
    Counts {
        range_exits: after.range_exits - before.range_exits,
        fills: after.fills - before.fills,
        walks: after.walks - before.walks,
        helper: after.helper - before.helper,
        interpreted: after.interpreted - before.interpreted,
    }
}

/// The last instructions before a limit are interpreted, so the counts are a little off.
fn assert_near(case: &str, what: &str, counted: u64, expected: u64) {
    assert!(counted.abs_diff(expected) < 50, "{case}: {what} {counted}, not about {expected}");
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, case: &Case) {
    let mut machine = case.machine();
    let insns = u64::from(SCALE) * INSNS / ACCESSES;
    group.bench_function(case.name, |b| b.iter_custom(|iters| run(&mut machine, iters * insns) / SCALE));
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let never = EngineConfig { slow_after: u32::MAX, ..translated() };
    let case = |name, accesses, paging, (first, step), config: &EngineConfig, cause| {
        Case { name, accesses, paging, first, step, config: config.clone(), cause }
    };
    let (jit, off) = (&translated(), &interpreted());
    vec![
        case("no access", &MOVES, false, (HIGH, NEAR), jit, Cause::Nothing),
        case("range, load, hit", &LOADS, false, (HIGH, NEAR), jit, Cause::Nothing),
        case("range, load, miss", &LOADS, false, (LOW, NEAR), &never, Cause::RangeExit),
        case("window, load, hit", &LOADS, false, (LOW, NEAR), jit, Cause::Nothing),
        case("window, load, miss", &LOADS, false, (LOW, OVER_THE_HOLE), jit, Cause::WindowFill),
        case("window, store, hit", &STORES, false, (HIGH, NEAR), jit, Cause::Nothing),
        case("window, store, miss", &STORES, false, (LOW, OVER_THE_HOLE), jit, Cause::WindowFill),
        case("paging, window, load, hit", &LOADS, true, (HIGH, NEAR), jit, Cause::Nothing),
        case("paging, window, load, miss, in TLB", &LOADS, true, (HIGH, OTHER_PLACE), jit, Cause::WindowFill),
        case("paging, window, load, miss, page walk", &LOADS, true, (HIGH, SAME_PLACE), jit, Cause::WindowFillAndWalk),
        case("paging, window, store, hit", &STORES, true, (HIGH, NEAR), jit, Cause::Nothing),
        case("paging, window, store, miss, in TLB", &STORES, true, (HIGH, OTHER_PLACE), jit, Cause::WindowFill),
        case("paging, window, store, miss, page walk", &STORES, true, (HIGH, SAME_PLACE), jit, Cause::WindowFillAndWalk),
        case("MMIO load by helper", &LOADS, false, (BLOCK, 0), jit, Cause::AccessHelper),
        case("MMIO store by helper", &STORES, false, (BLOCK, 0), jit, Cause::AccessHelper),
        case("paging, MMIO load by helper", &LOADS, true, (BLOCK, 0), jit, Cause::AccessHelper),
        case("interpreter, no access", &MOVES, false, (HIGH, NEAR), off, Cause::Interpreted),
        case("interpreter, load", &LOADS, false, (HIGH, NEAR), off, Cause::Interpreted),
        case("interpreter, store", &STORES, false, (HIGH, NEAR), off, Cause::Interpreted),
        case("interpreter, paging, load", &LOADS, true, (HIGH, NEAR), off, Cause::Interpreted),
        case("interpreter, MMIO load", &LOADS, false, (BLOCK, 0), off, Cause::Interpreted),
    ]
}

fn access(c: &mut Criterion) {
    let mut group = c.benchmark_group("access");
    for case in cases() {
        measure(&mut group, &case);
    }
    group.finish();
}

criterion_group!(benches, access);
criterion_main!(benches);
