//! The pair through its registers and wires.

use super::*;

struct Rig {
    pic: I8259Pair,
    inputs: Arc<PicInputs>,
    intr: Arc<crate::lines::fake::FakeLines>,
}

impl Rig {
    fn raw() -> Self {
        let inputs = PicInputs::new(Doorbell::new());
        let intr = Arc::new(crate::lines::fake::FakeLines::default());
        Self { pic: I8259Pair::new(Arc::clone(&inputs), intr.line(0)), inputs, intr }
    }

    /// Vectors 20h and 28h, all unmasked, with this ICW4.
    fn ready(icw4: u8) -> Self {
        let mut rig = Self::raw();
        rig.init(icw4);
        rig
    }

    fn init(&mut self, icw4: u8) {
        for (base, icw2, icw3) in [(0, 0x20, 4), (2, 0x28, 2)] {
            self.put(base, 0x11);
            self.put(base + 1, icw2);
            self.put(base + 1, icw3);
            self.put(base + 1, icw4);
        }
    }

    fn put(&mut self, off: u64, value: u8) {
        self.pic.write(RegionOffset(off), value.into(), AccessSize::B1, &mut AccessCx::cpu()).unwrap();
    }

    fn get(&mut self, off: u64) -> u8 {
        self.pic.read(RegionOffset(off), AccessSize::B1, &mut AccessCx::cpu()).unwrap() as u8
    }

    fn raise(&self, irq: u8) {
        self.inputs.line(irq).raise();
    }

    fn lower(&self, irq: u8) {
        self.inputs.line(irq).lower();
    }

    fn isr(&mut self, base: u64) -> u8 {
        self.put(base, 0x0b);
        self.get(base)
    }

    fn irr(&mut self, base: u64) -> u8 {
        self.put(base, 0x0a);
        self.get(base)
    }
}

#[test]
fn nothing_is_asked_before_initialisation() {
    let mut rig = Rig::raw();
    rig.raise(1);
    assert!(!rig.pic.pending());
    rig.init(1);
    // ICW1 forgets the edge: the line must rise again.
    assert!(!rig.pic.pending());
    rig.lower(1);
    rig.raise(1);
    assert!(rig.pic.pending() && rig.intr.level(0));
}

#[test]
fn an_edge_is_acknowledged_once_and_ended_by_eoi() {
    let mut rig = Rig::ready(1);
    rig.raise(1);
    assert_eq!((rig.pic.pending(), rig.irr(0)), (true, 0x02));
    assert_eq!(rig.pic.acknowledge(), 0x21);
    assert_eq!((rig.isr(0), rig.irr(0), rig.pic.pending()), (0x02, 0, false));
    rig.put(0, 0x20);
    assert_eq!((rig.isr(0), rig.pic.pending()), (0, false));
    rig.lower(1);
    rig.raise(1);
    assert!(rig.pic.pending());
}

#[test]
fn priority_nests_and_the_mask_hides() {
    let mut rig = Rig::ready(1);
    rig.raise(4);
    assert_eq!(rig.pic.acknowledge(), 0x24);
    rig.raise(5);
    assert!(!rig.pic.pending());
    rig.raise(3);
    assert_eq!(rig.pic.acknowledge(), 0x23);
    assert_eq!(rig.isr(0), 0x18);
    rig.put(0, 0x20);
    assert_eq!(rig.isr(0), 0x10);
    rig.put(0, 0x64);
    assert_eq!(rig.pic.acknowledge(), 0x25);
    rig.put(1, 0xff);
    rig.raise(0);
    assert_eq!((rig.pic.pending(), rig.get(1), rig.irr(0)), (false, 0xff, 1));
    rig.put(1, 0xfe);
    assert!(rig.pic.pending());
}

#[test]
fn what_would_interrupt_is_what_does_when_it_rises() {
    for icw4 in [1, 3, 0x11] {
        for (mask, served) in
            [(0u8, None), (0xff, None), (0xfe, None), (0xef, Some(4)), (0, Some(4)), (0, Some(0))]
        {
            for irq in 0..16 {
                let mut rig = Rig::ready(icw4);
                rig.put(1, mask);
                if let Some(served) = served {
                    rig.raise(served);
                    rig.pic.acknowledge();
                }
                let (before, would) = (rig.pic.state().clone(), rig.pic.would_interrupt(irq));
                assert_eq!(rig.pic.state(), &before, "it only looks");
                // The input in service is still high: only another edge asks again.
                rig.lower(irq);
                rig.raise(irq);
                assert_eq!(
                    rig.pic.pending(),
                    would,
                    "ICW4 {icw4:x}, mask {mask:x}, {served:?} served, IRQ {irq}"
                );
            }
        }
    }
    assert!(!Rig::raw().pic.would_interrupt(0), "no ICW1 yet");
}

#[test]
fn the_slave_cascades_through_ir2() {
    let mut rig = Rig::ready(1);
    rig.raise(12);
    rig.raise(8);
    assert_eq!((rig.irr(0), rig.irr(2)), (0x04, 0x11));
    assert_eq!(rig.pic.acknowledge(), 0x28);
    assert_eq!((rig.isr(0), rig.isr(2)), (0x04, 0x01));
    rig.put(2, 0x20);
    rig.put(0, 0x20);
    assert_eq!(rig.pic.acknowledge(), 0x2c);
    // IRQ 3 to 7 wait behind the slave, IRQ 0 and 1 do not.
    rig.raise(5);
    assert!(!rig.pic.pending());
    rig.raise(0);
    assert_eq!(rig.pic.acknowledge(), 0x20);
}

#[test]
fn special_fully_nested_mode_lets_the_slave_interrupt_itself() {
    for (icw4, nested) in [(0x01, false), (0x11, true)] {
        let mut rig = Rig::ready(icw4);
        rig.raise(12);
        assert_eq!(rig.pic.acknowledge(), 0x2c);
        rig.raise(9);
        assert_eq!(rig.pic.pending(), nested);
    }
}

#[test]
fn automatic_eoi_leaves_nothing_in_service_and_may_rotate() {
    let mut rig = Rig::ready(0x03);
    rig.put(0, 0x80);
    rig.raise(3);
    assert_eq!((rig.pic.acknowledge(), rig.isr(0)), (0x23, 0));
    rig.raise(4);
    rig.raise(1);
    assert_eq!(rig.pic.acknowledge(), 0x24);
    assert_eq!(rig.pic.acknowledge(), 0x21);
    rig.put(0, 0x00);
    rig.lower(3);
    rig.raise(3);
    rig.raise(0);
    assert_eq!(rig.pic.acknowledge(), 0x23);
    assert_eq!(rig.pic.state().master.lowest, 1);
}

#[test]
fn rotation_commands_move_the_lowest_priority() {
    let mut rig = Rig::ready(1);
    rig.raise(2 + 1);
    rig.pic.acknowledge();
    rig.put(0, 0xa0);
    assert_eq!((rig.pic.state().master.lowest, rig.isr(0)), (3, 0));
    rig.raise(5);
    rig.raise(1);
    assert_eq!(rig.pic.acknowledge(), 0x25);
    rig.put(0, 0xe5);
    assert_eq!((rig.pic.state().master.lowest, rig.isr(0)), (5, 0));
    rig.put(0, 0xc0);
    rig.raise(0);
    assert_eq!(rig.pic.acknowledge(), 0x21);
}

#[test]
fn special_mask_mode_lets_lower_priorities_through() {
    let mut rig = Rig::ready(1);
    rig.raise(1);
    rig.pic.acknowledge();
    rig.raise(6);
    rig.put(1, 0x02);
    assert!(!rig.pic.pending());
    rig.put(0, 0x68);
    assert_eq!(rig.pic.acknowledge(), 0x26);
    // A non-specific EOI passes over the masked input.
    rig.put(0, 0x20);
    assert_eq!(rig.isr(0), 0x02);
    rig.put(0, 0x48);
    assert!(!rig.pic.state().master.special_mask);
}

#[test]
fn a_poll_acknowledges_one_chip() {
    let mut rig = Rig::ready(1);
    rig.raise(6);
    rig.put(0, 0x0c);
    assert_eq!(rig.get(0), 0x86);
    assert_eq!((rig.isr(0), rig.pic.pending()), (0x40, false));
    rig.put(0, 0x0c);
    assert_eq!(rig.get(1), 0);
    assert_eq!(rig.get(1), rig.pic.state().master.imr);
}

#[test]
fn a_level_input_asks_as_long_as_it_is_high() {
    let mut rig = Rig::ready(1);
    rig.put(4, 0xff);
    rig.put(5, 0xff);
    assert_eq!((rig.get(4), rig.get(5)), (0xf8, 0xde));
    rig.raise(5);
    assert_eq!(rig.pic.acknowledge(), 0x25);
    assert_eq!(rig.irr(0), 0x20);
    rig.put(0, 0x20);
    assert!(rig.pic.pending());
    rig.lower(5);
    assert!(!rig.pic.pending());
}

#[test]
fn requests_that_fall_away_make_spurious_interrupts() {
    let mut rig = Rig::ready(1);
    rig.raise(4);
    assert!(rig.pic.pending());
    rig.lower(4);
    assert_eq!((rig.pic.acknowledge(), rig.isr(0)), (0x27, 0));
    rig.raise(10);
    assert!(rig.pic.pending());
    rig.lower(10);
    assert_eq!(rig.pic.acknowledge(), 0x2f);
    assert_eq!((rig.isr(0), rig.isr(2)), (0x04, 0));
}

#[test]
fn single_chips_skip_icw3_and_icw4() {
    let mut rig = Rig::raw();
    rig.put(0, 0x12);
    rig.put(1, 0x47);
    rig.put(1, 0xfe);
    rig.raise(0);
    assert_eq!((rig.get(1), rig.pic.acknowledge()), (0xfe, 0x40));
}

#[test]
fn random_register_traffic_keeps_the_rules() {
    let seed = 0x1dea_5eed_u64;
    let mut x = seed;
    let mut rig = Rig::ready(1);
    for step in 0..200_000u32 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let value = (x >> 32) as u8;
        match x % 5 {
            0 => rig.put(x >> 8 & 7, value),
            1 => drop(rig.get(x >> 8 & 7)),
            2 => rig.inputs.line(value & 15).set(value & 16 != 0),
            3 if rig.pic.pending() => {
                let vector = rig.pic.acknowledge();
                let bases = [rig.pic.state().master.icw2 & 0xf8, rig.pic.state().slave.icw2 & 0xf8];
                assert!(bases.contains(&(vector & 0xf8)), "seed {seed:#x} step {step}");
            }
            _ => {}
        }
        let state = rig.pic.state();
        for pic in [&state.master, &state.slave] {
            assert!(pic.lowest < 8 && pic.edges & !pic.levels == 0, "seed {seed:#x} step {step}");
        }
    }
}

/// The run loop must look when a write lets a request through, and need not when it lets none through: guests mask and
/// unmask a lot.
#[test]
fn the_bell_rings_for_a_request_that_a_write_lets_through_and_for_the_end_of_silence() {
    let mut rig = Rig::raw();
    let word = rig.inputs.bell.word();
    let rung_by = |rig: &mut Rig, off, value| {
        word.store(0, Ordering::Relaxed);
        rig.put(off, value);
        word.load(Ordering::Relaxed) != 0
    };
    assert!(!rung_by(&mut rig, 1, 0xff), "a mask before ICW1");
    assert!(rung_by(&mut rig, 0, 0x11), "ICW1: the timer becomes an event");
    rig.init(0x01);
    assert!(!rung_by(&mut rig, 1, 0xfe) && !rung_by(&mut rig, 3, 0xff));
    rig.raise(1);
    assert!(!rung_by(&mut rig, 1, 0xff));
    assert!(rung_by(&mut rig, 1, 0xfd), "the mask let IRQ 1 through");
    assert_eq!(rig.pic.acknowledge(), 0x21);
    assert!(!rung_by(&mut rig, 1, 0xfc), "IRQ 1 is in service");
    rig.lower(1);
    rig.raise(1);
    assert!(rung_by(&mut rig, 0, 0x20), "the EOI let its next request through");
}
