//! Waveforms of the data sheet, and that a jump over time equals the ticks in between.

use super::*;
use crate::GuestClock;
use crate::lines::fake::FakeLines;

struct Rig {
    pit: I8254,
    clock: GuestClock,
    lines: Arc<FakeLines>,
}

fn rig() -> Rig {
    let clock = GuestClock::new();
    let lines = Arc::new(FakeLines::default());
    let pit = I8254::new(Arc::new(clock.clone()), lines.line(0), Doorbell::new());
    Rig { pit, clock, lines }
}

impl Rig {
    fn put(&mut self, off: u64, value: u8) {
        self.pit.write(RegionOffset(off), value.into(), AccessSize::B1, &mut AccessCx::cpu()).unwrap();
    }

    fn get(&mut self, off: u64) -> u8 {
        self.pit.read(RegionOffset(off), AccessSize::B1, &mut AccessCx::cpu()).unwrap() as u8
    }

    fn at(&mut self, tick: i64) {
        self.clock.set_ns(ns_of(tick));
        self.pit.catch_up();
    }

    /// Programs counter `index` with a two-byte binary count.
    fn program(&mut self, index: u8, mode: u8, count: u16) {
        self.put(3, index << 6 | 0x30 | mode << 1);
        let [low, high] = count.to_le_bytes();
        self.put(index.into(), low);
        self.put(index.into(), high);
    }

    fn count(&mut self, index: u8) -> u16 {
        self.put(3, index << 6);
        u16::from_le_bytes([self.get(index.into()), self.get(index.into())])
    }

    /// Output of counter `index` in each of the ticks `1..=n` after now, as `-` (high) and `_` (low).
    fn wave(&mut self, index: usize, ticks: i64) -> String {
        let now = tick_at(self.clock.now_ns());
        let mut wave = String::new();
        for tick in 1..=ticks {
            self.at(now + tick);
            wave.push(if self.pit.output(index) { '-' } else { '_' });
        }
        wave
    }
}

#[test]
fn ticks_and_nanoseconds_round_trip() {
    for tick in [0, 1, 2, 1_193_181, 1_193_182, 1 << 40, 1 << 54] {
        assert_eq!(tick_at(ns_of(tick)), tick);
        assert!(tick == 0 || tick_at(ns_of(tick) - 1) == tick - 1);
    }
    assert_eq!(ns_of(1_193_182), 1_000_000_000);
    assert!(tick_at(u64::MAX) > 0);
}

#[test]
fn waveforms_follow_the_data_sheet() {
    // Loaded one tick after the write; gates of counters 0 and 1 are high.
    for (mode, count, wave) in [
        (0, 4, "____-------"),
        (2, 4, "---_---_---_"),
        (2, 3, "--_--_--_"),
        (3, 4, "--__--__--"),
        (3, 5, "---__---__"),
        (4, 3, "---_------"),
        (1, 3, "--------"),
        (5, 3, "--------"),
    ] {
        let mut rig = rig();
        rig.program(1, mode, count);
        assert_eq!(rig.wave(1, wave.len() as i64), wave, "mode {mode} count {count}");
    }
}

#[test]
fn a_rising_gate_triggers_modes_1_and_5_again_and_again() {
    for (mode, first, second) in [(1, "__", "___--"), (5, "--", "---_-")] {
        let mut rig = rig();
        rig.program(2, mode, 3);
        assert_eq!(rig.wave(2, 2), "--");
        rig.pit.set_gate(2, true);
        assert_eq!(rig.wave(2, 2), first);
        rig.pit.set_gate(2, false);
        rig.pit.set_gate(2, true);
        assert_eq!(rig.wave(2, 5), second, "mode {mode}");
    }
}

#[test]
fn a_low_gate_holds_mode_0_and_restarts_mode_2() {
    let mut rig = rig();
    rig.pit.set_gate(2, true);
    rig.program(2, 0, 4);
    assert_eq!(rig.wave(2, 3), "___");
    rig.pit.set_gate(2, false);
    assert_eq!((rig.wave(2, 5).as_str(), rig.count(2)), ("_____", 2));
    rig.pit.set_gate(2, true);
    assert_eq!(rig.wave(2, 3), "_--");
    rig.program(2, 2, 3);
    assert_eq!(rig.wave(2, 3), "--_");
    rig.pit.set_gate(2, false);
    assert_eq!(rig.wave(2, 3), "---");
    rig.pit.set_gate(2, true);
    assert_eq!(rig.wave(2, 4), "--_-");
}

#[test]
fn a_new_count_waits_for_the_period_in_modes_2_and_3() {
    let mut rig = rig();
    rig.program(1, 2, 4);
    rig.at(2);
    rig.put(1, 3);
    rig.put(1, 0);
    assert_eq!(rig.wave(1, 8), "-_--_--_");
    rig.program(1, 3, 6);
    assert_eq!(rig.wave(1, 2), "--");
    rig.put(1, 2);
    rig.put(1, 0);
    assert_eq!(rig.wave(1, 6), "-_-_-_");
}

#[test]
fn the_count_reads_back_in_every_mode() {
    for (mode, count, after, value) in
        [(0u8, 10u16, 4, 7u16), (0, 2, 5, 0xfffe), (2, 10, 11, 10), (3, 10, 3, 6), (3, 9, 7, 6), (4, 5, 2, 4)]
    {
        let mut rig = rig();
        rig.program(1, mode, count);
        rig.at(after);
        assert_eq!(rig.count(1), value, "mode {mode} count {count} tick {after}");
    }
}

#[test]
fn bcd_counts_in_decimal_and_zero_is_the_longest() {
    let mut rig = rig();
    rig.put(3, 0x71);
    rig.put(1, 0x00);
    rig.put(1, 0x10);
    rig.at(1 + 1);
    assert_eq!(rig.count(1), 0x0999);
    rig.at(1 + 1001);
    assert_eq!(rig.count(1), 0x9999);
    rig.put(3, 0x70);
    rig.put(1, 0);
    rig.put(1, 0);
    let now = tick_at(rig.clock.now_ns());
    rig.at(now + 2);
    assert_eq!(rig.count(1), 0xffff);
}

#[test]
fn byte_access_modes_and_latches() {
    let mut rig = rig();
    rig.put(3, 0x50);
    rig.put(1, 0x42);
    rig.at(1);
    assert_eq!((rig.get(1), rig.pit.state().counters[1].active), (0x42, 0x42));
    rig.put(3, 0x60);
    rig.put(1, 0x12);
    rig.at(2);
    assert_eq!((rig.get(1), rig.pit.state().counters[1].active), (0x12, 0x1200));
    rig.program(1, 0, 0x1234);
    rig.at(3);
    rig.put(3, 0x40);
    rig.at(0x100);
    rig.put(3, 0x40);
    assert_eq!([rig.get(1), rig.get(1)], [0x34, 0x12]);
    assert_ne!([rig.get(1), rig.get(1)], [0x34, 0x12]);
    assert_eq!(rig.get(3), 0xff);
}

#[test]
fn read_back_gives_status_then_count() {
    let mut rig = rig();
    rig.program(1, 2, 0x0203);
    rig.put(3, 0xc4);
    assert_eq!(rig.get(1), 0xf4, "output, null count, both bytes, mode 2");
    rig.get(1);
    rig.get(1);
    rig.at(1);
    rig.put(3, 0xc0 | 0x04);
    assert_eq!([rig.get(1), rig.get(1), rig.get(1)], [0xb4, 0x03, 0x02]);
    rig.put(3, 0xe0 | 0x0e);
    assert_eq!(rig.get(0) & 0x3f, 0x36);
    assert_eq!((rig.pit.state().counters[1].status, rig.pit.state().counters[1].latch), (Some(0xb4), None));
}

#[test]
fn irq0_rises_at_the_exact_nanosecond_and_once_per_period() {
    let mut rig = rig();
    rig.program(0, 2, 1193);
    let rises = rig.lines.rises(0);
    let event = rig.pit.next_event_ns().unwrap();
    assert_eq!(event, ns_of(1 + 1193));
    rig.clock.set_ns(event - 1);
    rig.pit.advance(event - 1);
    assert_eq!(rig.lines.rises(0), rises);
    for period in 1..=100 {
        let event = rig.pit.next_event_ns().unwrap();
        assert_eq!(event, ns_of(1 + 1193 * period));
        rig.pit.advance(event);
        assert_eq!(rig.lines.rises(0), rises + period as u32);
    }
}

#[test]
fn a_long_sleep_costs_one_edge_and_one_shot_modes_end() {
    let mut rig = rig();
    rig.program(0, 2, 2);
    let rises = rig.lines.rises(0);
    rig.pit.advance(u64::MAX / 2);
    assert_eq!(rig.lines.rises(0), rises + 1);
    let mut rig = self::rig();
    rig.program(0, 0, 100);
    assert!(!rig.lines.level(0));
    rig.pit.advance(rig.pit.next_event_ns().unwrap());
    assert!(rig.lines.level(0));
    assert_eq!(rig.pit.next_event_ns(), None);
}

#[test]
fn programming_rings_the_doorbell() {
    let bell = Doorbell::new();
    let mut pit = I8254::new(Arc::new(GuestClock::new()), IrqLine::unconnected(), bell.clone());
    let cx = &mut AccessCx::cpu();
    pit.write(RegionOffset(3), 0x34, AccessSize::B1, cx).unwrap();
    assert_eq!(bell.word().load(std::sync::atomic::Ordering::Relaxed), Doorbell::TIMER);
}

#[test]
fn a_jump_equals_its_ticks() {
    let seed = 0x8254_0001u64;
    let mut x = seed;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    for case in 0..4000 {
        let mut slow = Counter::new(next() % 2 == 0);
        slow.program(Access::Low, Mode::from_bits((next() % 6) as u8), next() % 4 == 0);
        let mut now = 0;
        for step in 0..12 {
            match next() % 4 {
                0 => slow.write((next() % 9 + 1) as u8),
                1 => slow.set_gate(next() % 2 == 0),
                _ => {}
            }
            let (mut fast, jump) = (slow.clone(), (next() % 25) as i64);
            let promised = slow.next_change();
            let mut rose = false;
            for tick in 1..=jump {
                let before = slow.output();
                let strobe =
                    matches!(slow.mode, Mode::RateGenerator | Mode::SoftwareStrobe | Mode::HardwareStrobe);
                let stepped = slow.sync(now + tick);
                assert_eq!(
                    stepped,
                    !before && slow.output(),
                    "seed {seed:#x} case {case} step {step} {slow:?}"
                );
                let changed = if strobe { stepped } else { before != slow.output() };
                assert!(
                    !changed || promised.is_some_and(|at| at <= now + tick),
                    "seed {seed:#x} case {case} {slow:?}"
                );
                rose |= stepped;
            }
            now += jump;
            assert_eq!((fast.sync(now), &fast), (rose, &slow), "seed {seed:#x} case {case} step {step}");
        }
    }
}
