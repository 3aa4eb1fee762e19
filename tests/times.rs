//! What an engine says of where its time goes.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use cpu::{Activity, ActivityNote};
use engine::{EngineConfig, JitMode, Stop, Times};
use machine::{BoardConfig, ByteSink, Machine};
use tests::{guests, machine, translated};

/// A machine with the sieve, which computes for a while.
fn sieve(n: &str, config: EngineConfig) -> Machine {
    let all = guests();
    let sieve = all.iter().find(|guest| guest.name == "sieve").expect("a guest called so");
    machine(sieve, n, config).0
}

/// Runs the beginning of a guest and gives its times, which must fit the time from outside.
fn times(config: EngineConfig) -> Times {
    let mut machine = sieve("n=1000000", config);
    let started = Instant::now();
    assert_eq!(machine.run(Some(1_000_000)), Stop::Limit);
    let first = machine.engine().times();
    assert_eq!(machine.run(Some(20_000_000)), Stop::Limit);
    let outside = started.elapsed().as_nanos() as u64;
    let times = machine.engine().times();
    assert!(times.run_ns <= outside && times.run_ns > outside / 2, "{times:?}, {outside} ns from outside");
    assert!(times.run_ns > first.run_ns && first.run_ns > 0, "two runs add up: {first:?}, {times:?}");
    assert!(times.compiling_ns < times.run_ns, "a part of it: {times:?}");
    times
}

#[test]
fn compiling_is_counted_on_the_thread_that_does_it() {
    let sync = times(translated());
    assert!(sync.compiling_ns > 0 && sync.background_ns == 0, "{sync:?}");
    let background =
        times(EngineConfig { jit: JitMode::Background, threshold: 1, ..EngineConfig::default() });
    assert!(background.compiling_ns > 0 && background.background_ns > 0, "{background:?}");
    let off = times(EngineConfig { jit: JitMode::Off, ..EngineConfig::default() });
    assert_eq!((off.compiling_ns, off.background_ns), (0, 0));
}

/// Runs the sieve until `wanted` is seen from another thread, or to its end.
fn run_until_seen(wanted: Activity, config: EngineConfig) -> Stop {
    let mut machine = sieve("n=100000000", config);
    let (note, flag) = (machine.engine().activity(), machine.stop_flag());
    let watch = std::thread::spawn(move || {
        while note.get() != wanted {
            if flag.load(Ordering::Relaxed) {
                return;
            }
            std::hint::spin_loop();
        }
        flag.store(true, Ordering::Relaxed);
    });
    let stop = machine.run(Some(5_000_000_000));
    machine.stop_flag().store(true, Ordering::Relaxed);
    watch.join().expect("it only looks");
    stop
}

#[test]
fn both_executors_note_what_they_do() {
    let off = EngineConfig { jit: JitMode::Off, ..EngineConfig::default() };
    assert_eq!(run_until_seen(Activity::Interpreting, off), Stop::Requested);
    assert_eq!(run_until_seen(Activity::Translated, translated()), Stop::Requested);
    assert_eq!(run_until_seen(Activity::Compiling, translated()), Stop::Requested);
}

/// A debug console that keeps what is noted while it is written to.
#[derive(Default)]
struct Witness {
    note: OnceLock<ActivityNote>,
    seen: Mutex<Vec<Activity>>,
}

impl ByteSink for Witness {
    fn put(&self, _byte: u8) {
        let note = self.note.get().expect("the machine was made before it ran");
        self.seen.lock().expect("nobody panicked").push(note.get());
    }
}

#[test]
fn an_access_to_a_device_is_the_bus_and_what_was_noted_before_comes_back() {
    for config in [EngineConfig { jit: JitMode::Off, ..EngineConfig::default() }, translated()] {
        let witness = Arc::new(Witness::default());
        let sink = Arc::clone(&witness) as Arc<dyn ByteSink>;
        let board = BoardConfig { debugcon: sink, ..BoardConfig::default() };
        let mut machine = Machine::new(board, config).expect("a machine");
        witness.note.set(machine.engine().activity()).expect("it is set once");
        // out 0e9h, al; hlt
        machine.memory().write_rom(0x10_0000, &[0xe6, 0xe9, 0xf4]);
        machine.engine_mut().cpu_mut().set_flat_protected(0x10_0000);
        assert_eq!(machine.run(None), Stop::Halted(0x10_0003));
        assert_eq!(*witness.seen.lock().expect("nobody panicked"), [Activity::Bus]);
        assert_eq!(machine.engine().activity().get(), Activity::RunLoop, "the run is over");
    }
}
